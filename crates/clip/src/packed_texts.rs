//! Which positions of which texts the text tower has to compute at all.
//!
//! The tower is causal and only the end of each text is read. So what texts begin with (the start token, learned context,
//! the words of a template) has the same hidden states in all of them and is computed once, and behind the end of a text
//! nothing is computed. What is left is laid out in one sequence, without padding.

use regulus_kernels::Packing;

/// The positions of several texts in one sequence.
#[derive(Debug, Clone)]
pub(crate) struct PackedTexts {
    packing: Packing,
}

impl PackedTexts {
    /// Texts that end at `ends` and begin alike for `common` positions, of which those behind the first are overwritten
    /// by as many `prompts`; `None` if there is nothing to share but the start token, or no place behind it.
    pub(crate) fn new(ends: &[usize], common: usize, prompts: usize) -> Option<Self> {
        let first_end = ends.iter().min().copied()?;
        // Prompts make the positions alike that they overwrite. Every end stays a position of its own text.
        let shared = if common > 0 { common.max(1 + prompts).min(first_end) } else { 0 };
        if ends.len() < 2 || shared < (1 + prompts).max(2) {
            return None;
        }
        let lengths: Vec<usize> = ends.iter().map(|end| end + 1 - shared).collect();
        Some(Self { packing: Packing::new(shared, &lengths) })
    }

    pub(crate) fn packing(&self) -> &Packing {
        &self.packing
    }

    /// For each position of the sequence, where its word is among those of all texts, each of which has `length`.
    pub(crate) fn words(&self, length: usize) -> Vec<usize> {
        let common = self.packing.common();
        let lengths = self.packing.lengths().iter().enumerate();
        let own = lengths.flat_map(|(text, own)| {
            let first = text * length + common;
            first..first + own
        });
        (0..common).chain(own).collect()
    }

    /// For each position of the sequence, its place in its text.
    pub(crate) fn places(&self) -> Vec<usize> {
        let common = self.packing.common();
        let own = self.packing.lengths().iter().flat_map(|own| common..common + own);
        (0..common).chain(own).collect()
    }

    /// Where each text ends in the sequence.
    pub(crate) fn ends(&self) -> Vec<usize> {
        let end = |last: &mut usize, own: &usize| {
            *last += own;
            Some(*last)
        };
        self.packing.lengths().iter().scan(self.packing.common() - 1, end).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn positions_of_texts_are_found_in_the_sequence() {
        // Texts of 6 positions that end at the last but one and at the fourth.
        let packed = PackedTexts::new(&[4, 3], 2, 0).unwrap();
        assert_eq!(packed.words(6), [0, 1, 2, 3, 4, 8, 9]);
        assert_eq!(packed.places(), [0, 1, 2, 3, 4, 2, 3]);
        assert_eq!(packed.ends(), [4, 6]);
    }

    #[test]
    fn prompts_are_common_and_ends_are_not() {
        let common = |ends: &[usize], common, prompts| {
            PackedTexts::new(ends, common, prompts).map(|packed| packed.packing().common())
        };
        assert_eq!(common(&[5, 6], 1, 3), Some(4));
        assert_eq!(common(&[5, 6], 6, 3), Some(5));
        assert_eq!(common(&[3, 6], 1, 3), None);
        assert_eq!(common(&[5, 6], 0, 0), None);
        assert_eq!(common(&[5, 6], 1, 0), None);
        assert_eq!(common(&[5, 6], 2, 0), Some(2));
        assert_eq!(common(&[5], 2, 0), None);
        assert_eq!(common(&[0, 4], 1, 0), None);
    }
}
