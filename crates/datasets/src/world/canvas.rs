//! The canvas that scenes are painted on, and the small image that leaves it.

use super::parameters::{CANVAS, LUMINANCE, Rgb, SIDE};

/// Pixels of the canvas, row by row.
#[derive(Debug, Clone)]
pub(super) struct Canvas(Vec<Rgb>);

/// Pixels of an image of the finished size, row by row, not yet rounded to bytes.
pub(super) type Image = [Rgb; SIDE * SIDE];

impl Canvas {
    /// A canvas whose pixels are `colour(x, y)`, asked for row by row.
    pub fn from_fn(mut colour: impl FnMut(usize, usize) -> Rgb) -> Self {
        Self((0..CANVAS * CANVAS).map(|index| colour(index % CANVAS, index / CANVAS)).collect())
    }

    pub fn at(&self, x: usize, y: usize) -> Rgb {
        self.0[y * CANVAS + x]
    }

    /// Mean colour.
    pub fn mean(&self) -> Rgb {
        let mut sum = [0.0; 3];
        for pixel in &self.0 {
            sum.iter_mut().zip(pixel).for_each(|(sum, channel)| *sum += channel);
        }
        sum.map(|sum| sum / self.0.len() as f64)
    }

    /// The mean of every 2x2 pixels.
    pub fn halved(&self) -> Image {
        let mut image = [[0.0; 3]; SIDE * SIDE];
        for (index, pixel) in image.iter_mut().enumerate() {
            let (x, y) = (index % SIDE * 2, index / SIDE * 2);
            let four = [self.at(x, y), self.at(x + 1, y), self.at(x, y + 1), self.at(x + 1, y + 1)];
            *pixel = std::array::from_fn(|c| (four[0][c] + four[1][c] + four[2][c] + four[3][c]) / 4.0);
        }
        image
    }
}

/// `a` at `t = 0`, `b` at `t = 1`.
pub(super) fn mix(a: Rgb, b: Rgb, t: f64) -> Rgb {
    std::array::from_fn(|channel| a[channel] + (b[channel] - a[channel]) * t)
}

/// Brightness as the eye weighs the channels.
pub(super) fn luminance(colour: Rgb) -> f64 {
    LUMINANCE[0] * colour[0] + LUMINANCE[1] * colour[1] + LUMINANCE[2] * colour[2]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn halving_averages_blocks() {
        let canvas = Canvas::from_fn(|x, y| [x as f64, y as f64, 1.0]);
        let image = canvas.halved();
        assert_eq!(image[0], [0.5, 0.5, 1.0]);
        assert_eq!(image[SIDE + 2], [4.5, 2.5, 1.0]);
        assert_eq!(canvas.mean(), [31.5, 31.5, 1.0]);
    }
}
