//! LP-FT: a linear probe first, then fine-tuning of everything from its head.
//!
//! Kumar, Raghunathan, Jones, Ma, Liang, "Fine-Tuning can Distort Pretrained Features and Underperform
//! Out-of-Distribution", ICLR 2022. Under a random head the first gradients of the tower are wrong, and change features
//! that were good; under the head of a probe they are small from the start.

use burn::tensor::Tensor;
use regulus_clip::{Clip, Part, RunningStatistics, normalise};

use super::head::Head;
use super::linear_probe::LinearProbe;
use crate::batches::Batch;
use crate::merge::{Merged, NotMergeable};
use crate::method::{Method, Objective};
use crate::parameters::Parameters;

/// Fine-tuning of the image tower under the linear layer of a probe, `x W^T + b` of unit image features `x`, by
/// cross-entropy.
#[derive(Debug, Clone)]
pub struct ProbeThenFineTune {
    clip: Clip,
    probe: LinearProbe,
    start: Parameters,
}

impl ProbeThenFineTune {
    /// Starts where `probe`, a probe of `clip`, is.
    pub fn new(clip: Clip, probe: LinearProbe) -> Self {
        let weights = clip.parameters(Part::Image).into_iter();
        let mut start: Parameters =
            weights.filter(|weight| !RunningStatistics::holds(&weight.path)).collect();
        for (name, leaf) in probe.parameters().iter() {
            start.insert(name.clone(), leaf.value.clone(), leaf.shape.clone());
        }
        Self { clip, probe, start }
    }
}

impl Method for ProbeThenFineTune {
    fn parameters(&self) -> Parameters {
        self.start.clone()
    }

    fn objective(&self, parameters: &Parameters, batch: &Batch) -> Objective {
        let logits = self.logits(parameters, batch.pixels.clone());
        let loss = regulus_losses::cross_entropy(logits, batch.labels.clone()).mean();
        Objective { loss, terms: Vec::new() }
    }

    fn is_head(&self, name: &str) -> bool {
        Head::owns(name)
    }

    fn merged(&self, parameters: &Parameters) -> Result<Merged, NotMergeable> {
        let tower = parameters.iter().filter(|(name, _)| !Head::owns(name));
        let weights = tower.map(|(name, leaf)| (name.clone(), leaf.value.clone())).collect();
        Ok(Merged { weights, ..self.probe.merged(parameters)? })
    }

    fn logits(&self, parameters: &Parameters, pixels: Tensor<4>) -> Tensor<2> {
        let tower = parameters.replacing(|name| !Head::owns(name));
        let features = normalise(self.clip.encode_image(pixels, &tower));
        self.probe.classified(parameters, features)
    }
}
