//! Memory for the values of a parameter that a file does not hold as the model needs them.
//!
//! Most of the time that converting takes goes into getting memory from the system, page by page. Large pages are had
//! faster, and weights are looked up faster in them.

use burn::tensor::{AllocationProperty, Bytes};
use memmap2::MmapMut;

/// Fewer values than fill a large page of most systems.
const FEW: usize = (2 << 20) / size_of::<f32>();

/// Memory for values, all 0 at first.
pub(super) enum Room {
    Few(Vec<f32>),
    Many(MmapMut),
}

impl Room {
    /// For `count` values.
    pub(super) fn new(count: usize) -> Self {
        let few = || Self::Few(vec![0.0; count]);
        if count < FEW {
            return few();
        }
        // Where the system gives none in this way, it is asked in the usual one.
        let Some(Ok(map)) = count.checked_mul(size_of::<f32>()).map(MmapMut::map_anon) else { return few() };
        #[cfg(target_os = "linux")]
        // It is only advice: there may be no large pages.
        let _ = map.advise(memmap2::Advice::HugePage);
        Self::Many(map)
    }

    pub(super) fn values(&mut self) -> &mut [f32] {
        match self {
            Self::Few(values) => values,
            Self::Many(map) => bytemuck::cast_slice_mut::<u8, f32>(map),
        }
    }

    /// The values as a tensor takes them.
    pub(super) fn into_bytes(self) -> Bytes {
        match self {
            Self::Few(values) => Bytes::from_elems(values),
            Self::Many(map) => Bytes::from_shared(bytes::Bytes::from_owner(map), AllocationProperty::Other),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_of_any_count_come_back() {
        for count in [0, 1, FEW - 1, FEW, 3 * FEW + 5] {
            let mut room = Room::new(count);
            assert!(room.values().len() == count && room.values().iter().all(|value| *value == 0.0));
            (0..).zip(room.values()).for_each(|(number, value)| *value = number as f32);
            let bytes = room.into_bytes();
            let values = bytemuck::cast_slice::<u8, f32>(&bytes);
            assert!(
                values.len() == count && (0..).zip(values).all(|(number, value)| *value == number as f32)
            );
        }
    }
}
