//! Smooth random patterns for backgrounds and brush strokes.

use regulus_images::random::Stream;

use super::parameters::CANVAS;

/// The largest lattice that is used.
const LARGEST: usize = 16;

/// Bilinear value noise: random values on a square lattice whose corners are the corner pixels of
/// the canvas, and straight lines between them.
#[derive(Debug, Clone)]
pub(super) struct ValueNoise {
    size: usize,
    lattice: [f64; LARGEST * LARGEST],
    /// Along one axis, the lattice cell of each pixel, and how far into the cell the pixel is.
    cells: [(usize, f64); CANVAS],
}

impl ValueNoise {
    /// Noise on a `size` x `size` lattice of uniform values; `size` is 2 to 16.
    pub fn new(size: usize, stream: &mut Stream) -> Self {
        let size = size.clamp(2, LARGEST);
        let mut lattice = [0.0; LARGEST * LARGEST];
        lattice[..size * size].fill_with(|| stream.uniform());
        let cells = std::array::from_fn(|pixel| cell(pixel, size - 1));
        Self { size, lattice, cells }
    }

    /// Value in `[0, 1]` at a pixel of the canvas.
    pub fn at(&self, x: usize, y: usize) -> f64 {
        let ((column, right), (row, down)) = (self.cells[x], self.cells[y]);
        let corner = row * self.size + column;
        let across =
            |start: usize| self.lattice[start] + (self.lattice[start + 1] - self.lattice[start]) * right;
        let (top, bottom) = (across(corner), across(corner + self.size));
        top + (bottom - top) * down
    }
}

/// The cell of a pixel along an axis of so many `cells`, and how far into the cell it is.
fn cell(pixel: usize, cells: usize) -> (usize, f64) {
    let cell = (pixel * cells / (CANVAS - 1)).min(cells - 1);
    (cell, (pixel * cells) as f64 / (CANVAS - 1) as f64 - cell as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn noise_meets_its_lattice_and_is_straight_between() {
        let noise = ValueNoise::new(4, &mut Stream::new(1, "noise", 0, 0));
        for (pixel, lattice) in [(0, 0), (21, 1), (42, 2), (63, 3)] {
            assert!((noise.at(pixel, 63) - noise.lattice[12 + lattice]).abs() < 1e-12);
        }
        let middle = (noise.at(5, 9) + noise.at(7, 9)) / 2.0;
        assert!((noise.at(6, 9) - middle).abs() < 1e-12);
        assert!(noise.at(0, 0) != noise.at(63, 63));
    }
}
