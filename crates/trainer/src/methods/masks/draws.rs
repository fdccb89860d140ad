//! Where gradient dropout's random numbers come from.

use std::fmt;

use regulus_images::random::Stream;

use super::MaskedWeight;

/// A source of uniform random numbers for gradient dropout.
pub trait DropoutDraws: fmt::Debug + Send + Sync {
    /// Numbers in [0, 1) for every mask of a batch, `step` being its number in the run: one list per mask in the given
    /// order, each as long as its weight.
    fn draw(&self, epoch: usize, step: usize, masks: &[MaskedWeight]) -> Vec<Vec<f32>>;
}

/// Numbers that follow from a seed: one stream per step, from which the masks are served in their order.
#[derive(Debug, Clone, Copy)]
pub struct SeededDraws {
    /// The run's seed.
    pub seed: u64,
}

impl DropoutDraws for SeededDraws {
    fn draw(&self, epoch: usize, step: usize, masks: &[MaskedWeight]) -> Vec<Vec<f32>> {
        let mut stream = Stream::new(self.seed, "gradient-dropout", epoch as u64, step as u64);
        let sizes = masks.iter().map(|mask| mask.shape.iter().product::<usize>());
        sizes.map(|size| (0..size).map(|_| single(stream.bits())).collect()).collect()
    }
}

/// The upper 24 bits as a number in [0, 1), which f32 holds exactly.
fn single(bits: u64) -> f32 {
    (bits >> 40) as f32 / (1u32 << 24) as f32
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{device, tensor};

    #[test]
    fn every_step_has_numbers_of_its_own_and_the_same_ones_again() {
        let mask = |path: &str, size: usize| MaskedWeight {
            path: path.into(),
            shape: vec![size],
            value: tensor(&vec![0.0; size], &device()),
        };
        let masks = [mask("a", 500), mask("b", 300)];
        let draws = SeededDraws { seed: 5 };
        let first = draws.draw(0, 0, &masks);
        assert_eq!(first.iter().map(Vec::len).collect::<Vec<_>>(), [500, 300]);
        assert_eq!(first, draws.draw(0, 0, &masks));
        assert_ne!(first, draws.draw(0, 1, &masks));
        assert_ne!(first[0][..300], first[1][..]);
        let all = first.concat();
        assert!(all.iter().all(|value| (0.0..1.0).contains(value)));
        let mean = all.iter().sum::<f32>() / 800.0;
        assert!((mean - 0.5).abs() < 0.05, "{mean}");
        assert!(single(u64::MAX) < 1.0);
    }
}
