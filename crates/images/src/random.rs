//! Random numbers that are the same on every platform, in every order of evaluation.
//!
//! Every random decision of Regulus (initialisation, rendering, augmentation, order) is drawn from
//! a [`Stream`] that is keyed by what it is for, never from shared state: the number drawn for
//! image 17 of epoch 3 does not depend on which thread renders it or on what came before.
//! The stream is ChaCha8; conversion to floats and the normal distribution are our own, on top of
//! `libm`, because neither `rand`'s conversions nor a platform's `ln` are stable across versions.

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};

/// A deterministic stream of random numbers for one purpose.
///
/// ```
/// use regulus_images::random::Stream;
/// let mut a = Stream::new(7, "flip", 0, 42);
/// let mut b = Stream::new(7, "flip", 0, 42);
/// assert_eq!(a.uniform(), b.uniform());
/// ```
#[derive(Debug, Clone)]
pub struct Stream {
    generator: ChaCha8Rng,
    spare_normal: Option<f64>,
}

impl Stream {
    /// The stream of `purpose` (any short name, such as `"flip"`) under `seed`, for item `index`
    /// of `epoch`. Pass 0 where a purpose has no epochs or no items.
    pub fn new(seed: u64, purpose: &str, epoch: u64, index: u64) -> Self {
        let mut key = [0u8; 32];
        for (slot, word) in key.chunks_exact_mut(8).zip([seed, fnv1a(purpose), epoch, index]) {
            slot.copy_from_slice(&word.to_le_bytes());
        }
        Self { generator: ChaCha8Rng::from_seed(key), spare_normal: None }
    }

    /// 64 uniformly distributed bits.
    pub fn bits(&mut self) -> u64 {
        self.generator.next_u64()
    }

    /// Uniform in `[0, 1)` with 53 bits of precision.
    pub fn uniform(&mut self) -> f64 {
        (self.bits() >> 11) as f64 * (1.0 / (1u64 << 53) as f64)
    }

    /// Uniform in `[low, high)`.
    pub fn range(&mut self, low: f64, high: f64) -> f64 {
        low + (high - low) * self.uniform()
    }

    /// True with probability `p`.
    pub fn chance(&mut self, p: f64) -> bool {
        self.uniform() < p
    }

    /// Uniform in `0..bound`, without bias (Lemire's multiply-and-reject). 0 for a bound of 0.
    pub fn below(&mut self, bound: usize) -> usize {
        let bound = bound as u64;
        if bound == 0 {
            return 0;
        }
        let reject_under = bound.wrapping_neg() % bound;
        loop {
            let product = u128::from(self.bits()) * u128::from(bound);
            if product as u64 >= reject_under {
                return (product >> 64) as usize;
            }
        }
    }

    /// Standard normal (Box-Muller; both values of a pair are used).
    pub fn normal(&mut self) -> f64 {
        if let Some(value) = self.spare_normal.take() {
            return value;
        }
        // 1 - u lies in (0, 1], so the logarithm is finite.
        let radius = (-2.0 * libm::log(1.0 - self.uniform())).sqrt();
        let (sine, cosine) = libm::sincos(2.0 * std::f64::consts::PI * self.uniform());
        self.spare_normal = Some(radius * sine);
        radius * cosine
    }

    /// Index drawn with the given non-negative weights; they need not sum to 1.
    /// The last index if rounding runs past the end.
    pub fn weighted(&mut self, weights: &[f64]) -> usize {
        let mut left = self.uniform() * weights.iter().sum::<f64>();
        for (index, weight) in weights.iter().enumerate() {
            if left < *weight {
                return index;
            }
            left -= weight;
        }
        weights.len().saturating_sub(1)
    }

    /// Fisher-Yates shuffle.
    pub fn shuffle<T>(&mut self, items: &mut [T]) {
        for last in (1..items.len()).rev() {
            items.swap(last, self.below(last + 1));
        }
    }

    /// `0..n` in random order.
    pub fn permutation(&mut self, n: usize) -> Vec<usize> {
        let mut order: Vec<usize> = (0..n).collect();
        self.shuffle(&mut order);
        order
    }
}

/// FNV-1a, 64 bits: turns a purpose into a word of the key.
fn fnv1a(text: &str) -> u64 {
    text.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn streams_are_pinned() {
        let mut stream = Stream::new(1, "pin", 2, 3);
        let drawn: Vec<u64> = (0..3).map(|_| stream.bits()).collect();
        assert_eq!(drawn, PINNED);
    }

    #[test]
    fn purposes_seeds_epochs_and_indices_differ() {
        let first = |seed, purpose, epoch, index| Stream::new(seed, purpose, epoch, index).bits();
        let base = first(1, "a", 0, 0);
        for other in [first(2, "a", 0, 0), first(1, "b", 0, 0), first(1, "a", 1, 0), first(1, "a", 0, 1)] {
            assert_ne!(base, other);
        }
    }

    #[test]
    fn moments_are_those_of_the_distributions() {
        let mut stream = Stream::new(5, "moments", 0, 0);
        let n = 40_000;
        let uniform: f64 = (0..n).map(|_| stream.uniform()).sum::<f64>() / f64::from(n);
        let normals: Vec<f64> = (0..n).map(|_| stream.normal()).collect();
        let mean = normals.iter().sum::<f64>() / f64::from(n);
        let variance = normals.iter().map(|x| (x - mean) * (x - mean)).sum::<f64>() / f64::from(n);
        assert!((uniform - 0.5).abs() < 0.01 && mean.abs() < 0.02 && (variance - 1.0).abs() < 0.03);
    }

    #[test]
    fn normals_are_those_of_the_separate_functions() {
        let (mut stream, mut uniforms) = (Stream::new(7, "normal", 0, 0), Stream::new(7, "normal", 0, 0));
        for _ in 0..50_000 {
            let radius = libm::sqrt(-2.0 * libm::log(1.0 - uniforms.uniform()));
            let angle = 2.0 * std::f64::consts::PI * uniforms.uniform();
            assert_eq!(stream.normal().to_bits(), (radius * libm::cos(angle)).to_bits());
            assert_eq!(stream.normal().to_bits(), (radius * libm::sin(angle)).to_bits());
        }
        // Angles that come up in no short test: tiny ones, and either side of where the series change.
        let exponents = (0..54).map(|bits| 1.0 / (1u64 << bits) as f64);
        let quarters = (1..8).map(|quarter| f64::from(quarter) / 8.0);
        for turn in exponents.chain(quarters).chain([0.0]) {
            let middle = (2.0 * std::f64::consts::PI * turn).to_bits();
            for angle in (middle.saturating_sub(50)..middle + 50).map(f64::from_bits) {
                let bits = (libm::sin(angle).to_bits(), libm::cos(angle).to_bits());
                let (sine, cosine) = libm::sincos(angle);
                assert_eq!((sine.to_bits(), cosine.to_bits()), bits, "{angle:e}");
            }
        }
    }

    #[test]
    fn below_covers_its_range_evenly() {
        let mut stream = Stream::new(9, "below", 0, 0);
        let mut counts = [0usize; 5];
        for _ in 0..10_000 {
            counts[stream.below(5)] += 1;
        }
        assert!(counts.iter().all(|&count| (1_800..2_200).contains(&count)), "{counts:?}");
        assert_eq!(stream.below(0), 0);
    }

    #[test]
    fn weighted_follows_its_weights() {
        let mut stream = Stream::new(9, "weighted", 0, 0);
        let heavy = (0..1_000).filter(|_| stream.weighted(&[1.0, 3.0]) == 1).count();
        assert!((700..800).contains(&heavy), "{heavy}");
    }

    const PINNED: [u64; 3] =
        [7_739_211_997_087_724_975, 15_820_305_410_169_393_991, 5_258_493_494_730_170_360];
}
