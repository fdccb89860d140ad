//! Bias tuning: of the image tower, only the biases are trained (BitFit, Zaken et al., ACL 2022). Distillation from the
//! zero-shot model keeps what it knew.

use burn::tensor::Tensor;
use regulus_clip::Part;
use regulus_losses::{cross_entropy, distillation};
use regulus_trainer::batches::{Batch, ImageSet};
use regulus_trainer::method::{Method, Objective};
use regulus_trainer::parameters::Parameters;
use regulus_trainer::zero_shot::ZeroShot;

/// Bias tuning of a zero-shot model.
pub struct BiasTuning {
    /// The frozen CLIP with its text classifier: what is tuned, and the teacher.
    model: ZeroShot,
    /// Factor on the distillation.
    alpha: f64,
    /// The teacher's logits of all training images, `[images, classes]`, where they never change.
    teacher: Option<Tensor<2>>,
}

impl BiasTuning {
    /// Tunes the biases of `model`.
    pub fn new(model: ZeroShot, alpha: f64) -> Self {
        Self { model, alpha, teacher: None }
    }
}

impl Method for BiasTuning {
    fn parameters(&self) -> Parameters {
        let weights = self.model.clip().parameters(Part::Image).into_iter();
        weights.filter(|weight| weight.path.ends_with("bias")).collect()
    }

    fn prepare(&mut self, images: &ImageSet<'_>) {
        self.teacher = Some(self.model.classify_all(images));
    }

    fn objective(&self, parameters: &Parameters, batch: &Batch) -> Objective {
        let student = self.logits(parameters, batch.pixels.clone());
        let teacher = match &self.teacher {
            Some(logits) => batch.rows_of(logits),
            None => self.model.classify(batch.pixels.clone()),
        };
        let ce = cross_entropy(student.clone(), batch.labels.clone()).mean();
        let kd = distillation(student, teacher, 1.0).mean();
        let loss = ce.clone() + kd.clone() * self.alpha;
        Objective { loss, terms: vec![("cross_entropy", ce), ("distillation", kd)] }
    }

    fn logits(&self, parameters: &Parameters, pixels: Tensor<4>) -> Tensor<2> {
        self.model.classify_with(pixels, &parameters.replacing(|_| true))
    }
}
