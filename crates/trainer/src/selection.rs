//! Which step's parameters a run ends with: the last one's, or those of the epoch that classifies validation images
//! best. Test images never choose.

use std::collections::BTreeMap;

use burn::tensor::Tensor;
use serde::{Deserialize, Serialize};

use crate::batches::ImageSet;
use crate::evaluate::{logits_of, score};
use crate::method::Method;
use crate::parameters::Parameters;

/// How the parameters are chosen that a run ends with.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Selection {
    /// Those of the last step.
    #[default]
    Last,
    /// Those of the epoch with the highest accuracy on validation images of the training distribution; of several, the
    /// first.
    IdVal,
}

impl Selection {
    /// Whether nothing chooses.
    pub fn is_last(&self) -> bool {
        *self == Self::Last
    }
}

/// The best epoch so far.
#[derive(Debug, Clone)]
pub struct Selected {
    /// Accuracy on the validation images, in percent.
    pub accuracy: f64,
    /// Optimiser steps that had been taken.
    pub done: usize,
    /// The parameters then.
    pub parameters: Parameters,
    /// What steps had moved beside them: [`Method::buffers`].
    pub buffers: BTreeMap<String, Tensor<1>>,
}

/// Looks at the validation images after every epoch.
#[derive(Debug)]
pub struct Selector<'a> {
    images: ImageSet<'a>,
    classes: usize,
    best: Option<Selected>,
}

impl<'a> Selector<'a> {
    /// Chooses by `images` of `classes` classes.
    pub fn new(images: ImageSet<'a>, classes: usize) -> Self {
        Self { images, classes, best: None }
    }

    /// Goes on from the best epoch that was found before.
    pub(crate) fn resume(&mut self, best: Option<Selected>) {
        self.best = best;
    }

    /// The best epoch so far.
    pub fn best(&self) -> Option<&Selected> {
        self.best.as_ref()
    }

    /// The accuracy after `done` steps, in percent; the parameters are kept if it is the best so far.
    pub(crate) fn look(&mut self, method: &dyn Method, parameters: &Parameters, done: usize) -> f64 {
        let logits = logits_of(method, parameters, &self.images);
        let accuracy = score(&logits, &self.images.images.labels, self.classes).accuracy;
        if self.best.as_ref().is_none_or(|best| accuracy > best.accuracy) {
            let (parameters, buffers) = (parameters.clone(), method.buffers());
            self.best = Some(Selected { accuracy, done, parameters, buffers });
        }
        accuracy
    }
}
