//! The eight backgrounds: each mixes two colours by a pattern `t` that is its own.

use std::f64::consts::PI;

use regulus_images::random::Stream;

use super::canvas::{Canvas, mix};
use super::noise::ValueNoise;
use super::parameters::{
    BACKGROUND_BRIGHTNESS, BACKGROUND_COLOURS, BACKGROUND_FREQUENCY, CANVAS, STAR_PROBABILITY,
};
use super::words::Background;

/// What varies between two images of the same background, apart from noise.
struct Variation {
    phase: f64,
    frequency: f64,
}

impl Background {
    /// Paints the background; its noise is drawn from `stream`.
    pub(super) fn paint(self, stream: &mut Stream) -> Canvas {
        let (low, high) = BACKGROUND_FREQUENCY;
        let variation = Variation { phase: stream.uniform(), frequency: stream.range(low, high) };
        let brightness = stream.range(BACKGROUND_BRIGHTNESS.0, BACKGROUND_BRIGHTNESS.1);
        let (first, second) = BACKGROUND_COLOURS[self.index()];
        let mut pattern = self.pattern(variation, stream);
        Canvas::from_fn(|x, y| {
            mix(first, second, pattern(x, y)).map(|channel| (channel * brightness).clamp(0.0, 1.0))
        })
    }

    /// The pattern as a function of the pixel; it is asked row by row and may draw on the way.
    fn pattern<'a>(
        self,
        Variation { phase, frequency }: Variation,
        stream: &'a mut Stream,
    ) -> Box<dyn FnMut(usize, usize) -> f64 + 'a> {
        match self {
            Self::Grass => {
                let patches = ValueNoise::new(8, stream);
                let mut blades = [0.0; CANVAS];
                Box::new(move |x, y| {
                    // A blade is two rows high.
                    if y % 2 == 0 {
                        blades[x] = stream.uniform();
                    }
                    0.5 * patches.at(x, y) + 0.5 * blades[x]
                })
            }
            Self::Sky => {
                let clouds = ValueNoise::new(4, stream);
                Box::new(move |x, y| 0.8 * (1.6 * clouds.at(x, y) - 0.5).clamp(0.0, 1.0) + 0.2 * unit(y))
            }
            Self::Water => {
                let sway: [f64; CANVAS] =
                    std::array::from_fn(|x| 0.35 * libm::sin(4.0 * PI * (unit(x) + phase)) + phase);
                Box::new(move |x, y| 0.5 + 0.5 * libm::sin(2.0 * PI * (7.0 * unit(y) * frequency + sway[x])))
            }
            Self::Sand => {
                let dunes = ValueNoise::new(3, stream);
                Box::new(move |x, y| 0.45 * dunes.at(x, y) + 0.55 * stream.uniform())
            }
            Self::Brick => Box::new(move |x, y| {
                let height = unit(y) * 8.0 * frequency + phase;
                let row = height.floor();
                let offset = if row as i64 % 2 == 0 { 0.0 } else { 0.5 };
                let mortar =
                    height - row < 0.18 || fraction(4.0 * unit(x) * frequency + offset + phase) < 0.09;
                0.9 * f64::from(u8::from(mortar)) + 0.1 * stream.uniform()
            }),
            Self::Night => {
                let mut stars = [false; CANVAS / 2];
                Box::new(move |x, y| {
                    if x % 2 == 0 && y % 2 == 0 {
                        stars[x / 2] = stream.chance(STAR_PROBABILITY);
                    }
                    (f64::from(u8::from(stars[x / 2])) + 0.12 * unit(y)).min(1.0)
                })
            }
            Self::Snow => {
                let drifts = ValueNoise::new(5, stream);
                Box::new(move |x, y| {
                    let flake = stream.uniform() > 0.9;
                    0.7 * drifts.at(x, y) + 0.3 * f64::from(u8::from(flake))
                })
            }
            Self::Forest => {
                let bends = ValueNoise::new(4, stream);
                let leaves = ValueNoise::new(8, stream);
                Box::new(move |x, y| {
                    let across = 6.0 * unit(x) * frequency + phase + 0.15 * bends.at(x, y);
                    let trunk = libm::sin(2.0 * PI * across) > 0.1;
                    0.75 * f64::from(u8::from(trunk)) + 0.25 * leaves.at(x, y)
                })
            }
        }
    }
}

/// Centre of a pixel along one axis of the canvas, in `[0, 1]`.
fn unit(pixel: usize) -> f64 {
    (pixel as f64 + 0.5) / CANVAS as f64
}

fn fraction(value: f64) -> f64 {
    value - value.floor()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::world::canvas::luminance;

    #[test]
    fn backgrounds_vary_within_and_between_images() {
        for background in Background::ALL {
            let paint = |index| background.paint(&mut Stream::new(1, "background", 0, index));
            let (one, other) = (paint(0), paint(1));
            let pixels = || (0..CANVAS).flat_map(|y| (0..CANVAS).map(move |x| (x, y)));
            assert!(pixels().any(|(x, y)| one.at(x, y) != other.at(x, y)), "{background:?}");
            assert!(pixels().any(|(x, y)| one.at(x, y) != one.at(0, 0)), "{background:?}");
            assert!(pixels().all(|(x, y)| one.at(x, y).iter().all(|c| (0.0..=1.0).contains(c))));
        }
    }

    #[test]
    fn night_is_dark_with_stars_of_two_by_two() {
        let night = Background::Night.paint(&mut Stream::new(2, "background", 0, 0));
        let bright = |x, y| luminance(night.at(x, y)) > 0.6;
        let stars = (0..CANVAS).flat_map(|y| (0..CANVAS).map(move |x| (x, y))).filter(|&(x, y)| bright(x, y));
        let mut count = 0;
        for (x, y) in stars {
            let (left, top) = (x / 2 * 2, y / 2 * 2);
            assert!(bright(left, top) && bright(left + 1, top) && bright(left, top + 1));
            count += 1;
        }
        assert!((4 * 4..4 * 40).contains(&count), "{count}");
    }
}
