//! A set of canvas pixels, one bit each: a row of the canvas is one machine word, so that
//! shadows and outlines are a few shifts.

use super::parameters::CANVAS;

/// Which pixels of the canvas are covered. Bit `x` of word `y` is the pixel in column `x`, row `y`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Mask([u64; CANVAS]);

impl Mask {
    pub fn empty() -> Self {
        Self([0; CANVAS])
    }

    pub fn insert(&mut self, x: usize, y: usize) {
        self.0[y] |= 1 << x;
    }

    pub fn contains(&self, x: usize, y: usize) -> bool {
        self.0[y] >> x & 1 == 1
    }

    /// Every pixel `right` columns to the right and `down` rows down; what leaves the canvas is lost.
    pub fn shifted(&self, right: usize, down: usize) -> Self {
        let mut shifted = Self::empty();
        for y in down..CANVAS {
            shifted.0[y] = self.0[y - down] << right;
        }
        shifted
    }

    /// With `times` rounds of adding the four neighbours of every pixel.
    pub fn dilated(&self, times: usize) -> Self {
        let mut mask = *self;
        for _ in 0..times {
            let rows = mask.0;
            for (y, row) in mask.0.iter_mut().enumerate() {
                let above = if y > 0 { rows[y - 1] } else { 0 };
                let below = if y + 1 < CANVAS { rows[y + 1] } else { 0 };
                *row |= rows[y] << 1 | rows[y] >> 1 | above | below;
            }
        }
        mask
    }

    pub fn complement(&self) -> Self {
        Self(self.0.map(|row| !row))
    }

    pub fn and(&self, other: &Self) -> Self {
        let mut mask = *self;
        mask.0.iter_mut().zip(other.0).for_each(|(row, other)| *row &= other);
        mask
    }

    pub fn or(&self, other: &Self) -> Self {
        let mut mask = *self;
        mask.0.iter_mut().zip(other.0).for_each(|(row, other)| *row |= other);
        mask
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn covered(mask: &Mask) -> Vec<(usize, usize)> {
        let pixels = (0..CANVAS).flat_map(|y| (0..CANVAS).map(move |x| (x, y)));
        pixels.filter(|&(x, y)| mask.contains(x, y)).collect()
    }

    fn one(x: usize, y: usize) -> Mask {
        let mut mask = Mask::empty();
        mask.insert(x, y);
        mask
    }

    #[test]
    fn dilation_grows_a_diamond_and_stops_at_the_border() {
        assert_eq!(covered(&one(5, 5).dilated(1)), [(5, 4), (4, 5), (5, 5), (6, 5), (5, 6)]);
        assert_eq!(covered(&one(5, 5).dilated(2)).len(), 13);
        assert_eq!(covered(&one(63, 63).dilated(1)), [(63, 62), (62, 63), (63, 63)]);
    }

    #[test]
    fn shifting_moves_right_and_down() {
        assert_eq!(covered(&one(5, 7).shifted(3, 2)), [(8, 9)]);
        assert!(covered(&one(62, 7).shifted(3, 0)).is_empty());
    }
}
