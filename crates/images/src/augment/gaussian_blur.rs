//! A blur of random strength, so that fine structure alone does not tell images apart.

use crate::RgbImage;
use crate::random::Stream;

/// Convolves with a Gaussian of random width (torchvision's `GaussianBlur` with a kernel of `2 radius + 1` pixels).
/// Beyond its border the image is mirrored, without repeating the border itself.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct GaussianBlur {
    /// Pixels on each side of the middle that count.
    pub radius: usize,
    /// Smallest and largest standard deviation in pixels. One that is not positive does not blur.
    pub sigma: (f64, f64),
}

impl GaussianBlur {
    /// The blurred image.
    pub fn apply(&self, image: &RgbImage, stream: &mut Stream) -> RgbImage {
        self.blurred(image, self.draw(stream))
    }

    /// The standard deviation, uniform within `sigma` (torchvision's `get_params`).
    pub fn draw(&self, stream: &mut Stream) -> f64 {
        stream.range(self.sigma.0, self.sigma.1)
    }

    /// The image blurred with a given standard deviation in pixels.
    pub fn blurred(&self, image: &RgbImage, sigma: f64) -> RgbImage {
        if sigma.is_nan() || sigma <= 0.0 {
            return image.clone();
        }
        let weights = weights(self.radius, sigma);
        let (width, height) = (image.width, image.height);
        let (columns, rows) = (Mirrored::new(self.radius, width), Mirrored::new(self.radius, height));
        let at = |row: usize, column: usize, channel: usize| (row * width + column) * 3 + channel;
        let mut across = vec![0.0; image.pixels.len()];
        let mut pixels = vec![0; image.pixels.len()];
        for (row, column) in places(width, height) {
            for channel in 0..3 {
                let value = |column: usize| f64::from(image.pixels[at(row, column, channel)]);
                across[at(row, column, channel)] = columns.around(column, &weights, value);
            }
        }
        for (row, column) in places(width, height) {
            for channel in 0..3 {
                let sum = rows.around(row, &weights, |row| across[at(row, column, channel)]);
                pixels[at(row, column, channel)] = sum.round_ties_even() as u8;
            }
        }
        RgbImage { pixels, ..*image }
    }
}

/// The Gaussian at whole distances, with sum 1.
fn weights(radius: usize, sigma: f64) -> Vec<f64> {
    let distances = (0..=2 * radius).map(|index| (index as f64 - radius as f64) / sigma);
    let mut weights: Vec<f64> = distances.map(|x| libm::exp(-0.5 * x * x)).collect();
    let sum: f64 = weights.iter().sum();
    weights.iter_mut().for_each(|weight| *weight /= sum);
    weights
}

fn places(width: usize, height: usize) -> impl Iterator<Item = (usize, usize)> {
    (0..height).flat_map(move |row| (0..width).map(move |column| (row, column)))
}

/// A side of an image that goes on beyond its ends as in a mirror.
struct Mirrored {
    radius: usize,
    /// The pixel at each place from `radius` before the first to `radius` after the last.
    places: Vec<usize>,
}

impl Mirrored {
    fn new(radius: usize, side: usize) -> Self {
        let last = side.saturating_sub(1);
        let period = (2 * last).max(1);
        // Moved by whole periods, so that no place is negative.
        let start = period * radius.div_ceil(period) - radius;
        let places = (start..start + side + 2 * radius).map(|place| {
            let place = place % period;
            place.min(period - place).min(last)
        });
        Self { radius, places: places.collect() }
    }

    /// The weighted sum of the values around `middle`.
    fn around(&self, middle: usize, weights: &[f64], value: impl Fn(usize) -> f64) -> f64 {
        let places = &self.places[middle..=middle + 2 * self.radius];
        places.iter().zip(weights).map(|(&place, weight)| value(place) * weight).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(levels: &[u8]) -> RgbImage {
        RgbImage::new(levels.len(), 1, levels.iter().flat_map(|&level| [level; 3]).collect()).unwrap()
    }

    #[test]
    fn the_border_is_a_mirror() {
        let places = |radius, side| Mirrored::new(radius, side).places;
        assert_eq!(places(2, 4), [2, 1, 0, 1, 2, 3, 2, 1]);
        assert_eq!(places(3, 2), [1, 0, 1, 0, 1, 0, 1, 0]);
        assert_eq!(places(2, 1), [0; 5]);
    }

    #[test]
    fn a_point_becomes_the_gaussian() {
        let blur = GaussianBlur { radius: 1, sigma: (1.0, 1.0) };
        // exp(-1/2) / (1 + 2 exp(-1/2)) = 0.27407 of 250 is 68.5, the middle 0.45186 of it 113.0.
        let blurred = blur.apply(&row(&[0, 0, 250, 0, 0]), &mut Stream::new(1, "blur", 0, 0));
        assert_eq!(blurred, row(&[0, 69, 113, 69, 0]));
        let flat = row(&[77, 77, 77]);
        assert_eq!(blur.blurred(&flat, 0.7), flat);
    }

    #[test]
    fn widths_fill_their_range() {
        let blur = GaussianBlur { radius: 2, sigma: (0.1, 2.0) };
        let drawn = (0..1_000).map(|index| blur.draw(&mut Stream::new(1, "blur", 0, index)));
        let (low, high) = drawn.fold((f64::MAX, f64::MIN), |(low, high), x| (low.min(x), high.max(x)));
        assert!((0.1..0.11).contains(&low) && (1.99..2.0).contains(&high));
    }

    #[test]
    fn absurd_settings_do_not_panic() {
        let image = row(&[3, 9]);
        for sigma in [f64::NAN, f64::INFINITY, -1.0, 0.0, 1e-300, 1e300] {
            for radius in [0, 1, 50] {
                GaussianBlur { radius, sigma: (sigma, sigma) }
                    .apply(&image, &mut Stream::new(1, "blur", 0, 0));
            }
        }
    }
}
