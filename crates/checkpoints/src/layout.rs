//! Where the elements of a tensor lie in its storage: shape, strides and offset, checked once when a file is
//! opened, so that reading never has to doubt them.

/// More dimensions than PyTorch allows are refused.
const MAX_RANK: usize = 64;

/// A tensor inside a storage. Only [`Layout::new`] makes one, so every element is known to lie inside.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Layout {
    shape: Vec<usize>,
    /// Steps in elements; `None` if the elements lie in row-major order without gaps.
    strides: Option<Vec<usize>>,
    numel: usize,
    /// First element, counted from the start of the storage.
    start: usize,
    /// One past the last element.
    end: usize,
}

impl Layout {
    /// The tensor of `shape` whose first element is element `offset` of a storage of `storage` elements.
    pub(crate) fn new(
        shape: Vec<usize>,
        strides: Vec<usize>,
        offset: usize,
        storage: usize,
    ) -> Result<Self, String> {
        if shape.len() > MAX_RANK || shape.len() != strides.len() {
            return Err(format!("{} dimensions with {} strides", shape.len(), strides.len()));
        }
        let numel = numel(&shape).ok_or_else(|| format!("the shape {shape:?} has too many elements"))?;
        if numel == 0 {
            return Ok(Self { shape, strides: None, numel, start: 0, end: 0 });
        }
        // The last element has the highest index in every dimension.
        let end = shape
            .iter()
            .zip(&strides)
            .try_fold(offset, |last, (&size, &stride)| last.checked_add((size - 1).checked_mul(stride)?))
            .and_then(|last| last.checked_add(1))
            .filter(|&end| end <= storage)
            .ok_or_else(|| {
                format!(
                    "shape {shape:?} with strides {strides:?} from element {offset} leaves its storage of \
                     {storage} elements"
                )
            })?;
        let contiguous = is_row_major(&shape, &strides);
        Ok(Self { shape, strides: (!contiguous).then_some(strides), numel, start: offset, end })
    }

    /// A tensor that is a whole storage in row-major order; `numel` is the product of `shape`.
    pub(crate) fn whole(shape: Vec<usize>, numel: usize) -> Self {
        Self { shape, strides: None, numel, start: 0, end: numel }
    }

    pub(crate) fn shape(&self) -> &[usize] {
        &self.shape
    }

    pub(crate) fn numel(&self) -> usize {
        self.numel
    }

    /// The elements of the storage from the first to the last one used.
    pub(crate) fn span(&self) -> std::ops::Range<usize> {
        self.start..self.end
    }

    /// Element numbers relative to `span().start`, in row-major order of the tensor; `None` if that is `0..numel`.
    pub(crate) fn scattered(&self) -> Option<Scattered<'_>> {
        let strides = self.strides.as_deref()?;
        Some(Scattered {
            shape: &self.shape,
            strides,
            index: vec![0; strides.len()],
            next: 0,
            left: self.numel,
        })
    }
}

/// Product of the sizes; `None` on overflow. A size of 0 makes it 0, whatever the others are.
pub(crate) fn numel(shape: &[usize]) -> Option<usize> {
    if shape.contains(&0) {
        return Some(0);
    }
    shape.iter().try_fold(1usize, |product, &size| product.checked_mul(size))
}

fn is_row_major(shape: &[usize], strides: &[usize]) -> bool {
    let mut expected = 1;
    shape.iter().zip(strides).rev().all(|(&size, &stride)| {
        let fits = size == 1 || stride == expected;
        expected *= size;
        fits
    })
}

/// Element numbers of a tensor that is not contiguous.
#[derive(Debug)]
pub(crate) struct Scattered<'a> {
    shape: &'a [usize],
    strides: &'a [usize],
    index: Vec<usize>,
    next: usize,
    left: usize,
}

impl Iterator for Scattered<'_> {
    type Item = usize;

    fn next(&mut self) -> Option<usize> {
        self.left = self.left.checked_sub(1)?;
        let element = self.next;
        for ((index, &size), &stride) in self.index.iter_mut().zip(self.shape).zip(self.strides).rev() {
            *index += 1;
            if *index < size {
                self.next += stride;
                break;
            }
            *index = 0;
            self.next -= (size - 1) * stride;
        }
        Some(element)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.left, Some(self.left))
    }
}

impl ExactSizeIterator for Scattered<'_> {}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn row_major_tensors_take_the_short_way() {
        let layout = Layout::new(vec![2, 1, 3], vec![3, 99, 1], 4, 10).unwrap();
        assert_eq!((layout.span(), layout.numel()), (4..10, 6));
        assert!(layout.scattered().is_none());
    }

    #[test]
    fn what_leaves_the_storage_is_refused() {
        assert!(Layout::new(vec![2, 3], vec![3, 1], 5, 10).is_err());
        assert!(Layout::new(vec![2], vec![usize::MAX], 1, 10).is_err());
        assert!(Layout::new(vec![usize::MAX, 2], vec![0, 0], 0, 10).is_err());
        assert!(Layout::new(vec![1], vec![1], usize::MAX, 10).is_err());
        assert!(Layout::new(vec![1; 65], vec![1; 65], 0, 10).is_err());
    }

    #[test]
    fn an_empty_tensor_needs_nothing() {
        let layout =
            Layout::new(vec![usize::MAX, 0, usize::MAX], vec![usize::MAX; 3], usize::MAX, 0).unwrap();
        assert_eq!((layout.numel(), layout.span()), (0, 0..0));
    }

    proptest! {
        #[test]
        fn elements_are_those_of_naive_indexing(
            dimensions in proptest::collection::vec((1usize..5, 0usize..7), 0..5),
            offset in 0usize..9,
        ) {
            let (shape, strides): (Vec<_>, Vec<_>) = dimensions.into_iter().unzip();
            let mut naive = vec![offset];
            for (&size, &stride) in shape.iter().zip(&strides) {
                naive = naive.iter().flat_map(|&at| (0..size).map(move |i| at + i * stride)).collect();
            }
            let end = naive.iter().max().unwrap() + 1;
            prop_assert!(Layout::new(shape.clone(), strides.clone(), offset, end - 1).is_err());
            let layout = Layout::new(shape, strides, offset, end).unwrap();
            prop_assert_eq!(layout.numel(), naive.len());
            prop_assert_eq!(layout.span(), offset..end);
            let elements: Vec<_> = match layout.scattered() {
                Some(scattered) => scattered.map(|element| element + offset).collect(),
                None => layout.span().collect(),
            };
            prop_assert_eq!(elements, naive);
        }
    }
}
