//! The weights of one axis: which input pixels an output pixel is made of.

use super::Filter;
use std::ops::Range;

/// Fractional bits of a weight: 32, less 8 for the pixel and 2 for sums beyond the range of a pixel.
pub(super) const FRACTION_BITS: u32 = 22;

/// The weights of a run of output pixels along one axis: exact, or in fixed point.
pub(super) struct AxisWeights<W> {
    /// First input pixel and number of weights of each output pixel.
    spans: Vec<(usize, usize)>,
    /// The weights of all output pixels, one after the other.
    weights: Vec<W>,
}

impl AxisWeights<f64> {
    /// The weights of the output pixels in `window`, when `from` pixels become `to`.
    pub fn new(from: usize, to: usize, window: Range<usize>, filter: Filter) -> Self {
        let scale = from as f64 / to as f64;
        let stretch = scale.max(1.0);
        let (radius, kernel): (f64, fn(f64) -> f64) = match filter {
            Filter::Bicubic => (2.0, bicubic),
            Filter::Bilinear => (1.0, bilinear),
        };
        let support = radius * stretch;
        let mut axis = Self { spans: Vec::with_capacity(window.len()), weights: Vec::new() };
        for pixel in window {
            let center = (pixel as f64 + 0.5) * scale;
            // The casts cut towards zero and saturate: a negative start becomes 0.
            let start = (center - support + 0.5) as usize;
            let end = ((center + support + 0.5) as usize).min(from);
            let first = axis.weights.len();
            let taps = (start..end).map(|tap| kernel((tap as f64 - center + 0.5) * (1.0 / stretch)));
            axis.weights.extend(taps);
            let taps = &mut axis.weights[first..];
            let sum: f64 = taps.iter().sum();
            taps.iter_mut().for_each(|weight| *weight /= sum);
            axis.spans.push((start, taps.len()));
        }
        axis
    }

    /// The weights rounded to [`FRACTION_BITS`].
    pub fn fixed_point(self) -> AxisWeights<i32> {
        AxisWeights { spans: self.spans, weights: self.weights.into_iter().map(fixed_point).collect() }
    }
}

impl<W> AxisWeights<W> {
    /// Moves the spans so that the first input pixel in use becomes pixel 0; returns the range of input
    /// pixels that are in use.
    pub fn rebase(&mut self) -> Range<usize> {
        let start = self.spans.iter().map(|span| span.0).min().unwrap_or(0);
        let end = self.spans.iter().map(|span| span.0 + span.1).max().unwrap_or(0);
        for span in &mut self.spans {
            span.0 -= start;
        }
        start..end
    }

    /// Number of output pixels.
    pub fn len(&self) -> usize {
        self.spans.len()
    }

    /// First input pixel and weights of each output pixel.
    pub fn iter(&self) -> impl Iterator<Item = (usize, &[W])> {
        let mut rest = self.weights.as_slice();
        self.spans.iter().map(move |&(start, count)| {
            let (weights, after) = rest.split_at(count);
            rest = after;
            (start, weights)
        })
    }
}

/// Rounds half away from zero, with Pillow's arithmetic.
fn fixed_point(weight: f64) -> i32 {
    let scaled = weight * f64::from(1 << FRACTION_BITS);
    (if weight < 0.0 { scaled - 0.5 } else { scaled + 0.5 }) as i32
}

/// Keys (1981), "Cubic convolution interpolation for digital image processing", with `a = -0.5`.
fn bicubic(x: f64) -> f64 {
    const A: f64 = -0.5;
    let x = x.abs();
    if x < 1.0 {
        ((A + 2.0) * x - (A + 3.0)) * x * x + 1.0
    } else if x < 2.0 {
        (((x - 5.0) * x + 8.0) * x - 4.0) * A
    } else {
        0.0
    }
}

fn bilinear(x: f64) -> f64 {
    (1.0 - x.abs()).max(0.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn weights_sum_to_one_within_their_rounding() {
        for filter in [Filter::Bicubic, Filter::Bilinear] {
            for (from, to) in [(1, 1), (1, 9), (9, 1), (100, 7), (7, 100), (5000, 3), (300, 299)] {
                let axis = AxisWeights::new(from, to, 0..to, filter).fixed_point();
                assert_eq!(axis.len(), to);
                for (start, weights) in axis.iter() {
                    assert!(!weights.is_empty() && start + weights.len() <= from);
                    let error = weights.iter().sum::<i32>() - (1 << FRACTION_BITS);
                    assert!(error.unsigned_abs() as usize <= weights.len().div_ceil(2), "{error}");
                }
            }
        }
    }

    #[test]
    fn bicubic_has_the_values_of_keys() {
        let values = [0.0, 0.5, 1.0, 1.5, 2.0, -0.5].map(bicubic);
        assert_eq!(values, [1.0, 0.5625, 0.0, -0.0625, 0.0, 0.5625]);
    }

    #[test]
    fn an_axis_that_keeps_its_length_keeps_its_pixels() {
        for (pixel, (start, weights)) in AxisWeights::new(6, 6, 0..6, Filter::Bicubic).iter().enumerate() {
            let one = pixel - start;
            assert!(weights.iter().enumerate().all(|(tap, &w)| w == f64::from(u8::from(tap == one))));
        }
    }
}
