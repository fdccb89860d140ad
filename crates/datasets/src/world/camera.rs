//! The camera of the downstream tasks: a shift away from the images of pre-training, as a dull and
//! noisy camera would cause.

use regulus_images::random::Stream;

use super::canvas::{Image, luminance, mix};
use super::parameters::SIDE;

/// What a camera does to the finished, small image; steps apply in the order of the fields.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Camera {
    /// How far colours go towards their grey, 0 to 1.
    pub grey: f64,
    /// Factor of the distance from middle grey (0.5).
    pub contrast: f64,
    /// Share that a pixel takes from its two neighbours, along rows and then along columns.
    /// A pixel outside the image repeats the border.
    pub blur: f64,
    /// Added to every channel.
    pub brightness: f64,
    /// Standard deviation of the noise per pixel and channel.
    pub noise: f64,
}

impl Camera {
    /// Sends `image` through the camera.
    pub(super) fn apply(&self, image: &mut Image, stream: &mut Stream) {
        for pixel in image.iter_mut() {
            *pixel = mix(*pixel, [luminance(*pixel); 3], self.grey)
                .map(|channel| 0.5 + (channel - 0.5) * self.contrast);
        }
        self.blur_lines(image, 1, SIDE);
        self.blur_lines(image, SIDE, 1);
        for channel in image.iter_mut().flatten() {
            *channel += self.brightness + self.noise * stream.normal();
        }
    }

    /// Blurs along lines whose pixels are `step` apart and whose starts are `line` apart.
    fn blur_lines(&self, image: &mut Image, step: usize, line: usize) {
        for start in (0..SIDE).map(|index| index * line) {
            let mut before = image[start];
            for index in 0..SIDE {
                let here = image[start + index * step];
                let after = image[start + (index + 1).min(SIDE - 1) * step];
                image[start + index * step] = std::array::from_fn(|c| {
                    (1.0 - self.blur) * here[c] + self.blur / 2.0 * (before[c] + after[c])
                });
                before = here;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STILL: Camera = Camera { grey: 0.0, contrast: 1.0, blur: 0.0, brightness: 0.0, noise: 0.0 };

    fn dot() -> Image {
        let mut image = [[0.0; 3]; SIDE * SIDE];
        image[5 * SIDE + 7] = [1.0, 0.0, 0.0];
        image
    }

    fn through(camera: Camera, mut image: Image) -> Image {
        camera.apply(&mut image, &mut Stream::new(0, "camera", 0, 0));
        image
    }

    #[test]
    fn blur_spreads_to_both_sides_and_keeps_the_total() {
        let image = through(Camera { blur: 0.5, ..STILL }, dot());
        assert_eq!(image[5 * SIDE + 7][0], 0.25);
        assert_eq!(image[5 * SIDE + 6][0], 0.125);
        assert_eq!(image[5 * SIDE + 8][0], 0.125);
        assert_eq!(image[4 * SIDE + 8][0], 0.0625);
        assert_eq!(image.iter().map(|pixel| pixel[0]).sum::<f64>(), 1.0);
    }

    #[test]
    fn grey_then_contrast_then_brightness() {
        assert_eq!(through(STILL, dot()), dot());
        let image = through(Camera { grey: 1.0, contrast: 0.5, brightness: 0.1, ..STILL }, dot());
        for channel in image[5 * SIDE + 7] {
            assert!((channel - (0.5 + (0.3 - 0.5) * 0.5 + 0.1)).abs() < 1e-12);
        }
        assert!((image[0][1] - 0.35).abs() < 1e-12);
    }
}
