//! What turns unit features of images and texts into logits.

use std::collections::BTreeMap;

use burn::tensor::Tensor;
use regulus_losses::BatchOutputs;

use super::{Bottleneck, Cache};
use crate::merge::NotMergeable;
use crate::method::BufferError;
use crate::parameters::Parameters;

/// The classifier of an adapted model. Layers and caches name their parameters by themselves.
#[derive(Debug, Clone, Default)]
#[allow(clippy::large_enum_variant, reason = "there is one for each run")]
pub enum Classifier {
    /// The cosine similarity times the logit scale.
    #[default]
    Cosine,
    /// The same, of image features that two layers have changed.
    Bottleneck(Bottleneck),
    /// The same with the votes of a cache.
    Cache(Cache),
}

impl Classifier {
    pub(super) fn parameters(&self) -> Parameters {
        match self {
            Self::Cosine => Parameters::default(),
            Self::Bottleneck(layers) => layers.parameters(),
            Self::Cache(cache) => cache.parameters(),
        }
    }

    /// Whether it is one matrix.
    ///
    /// # Errors
    /// [`NotMergeable`] with what it is besides.
    pub(super) fn check_plain(&self) -> Result<(), NotMergeable> {
        match self {
            Self::Cosine => Ok(()),
            Self::Bottleneck(_) => Err(NotMergeable::new(
                "its layers behind the image tower are a network, and a plain model has one linear classifier",
            )),
            Self::Cache(_) => Err(NotMergeable::new(
                "its cache looks each image up among those of the training, for which a plain model has no place",
            )),
        }
    }

    /// # Shapes
    /// - `image`: of unit length, `[batch, embed]`
    /// - `text`: of unit length, `[classes, embed]`
    pub(super) fn outputs(
        &self,
        parameters: &Parameters,
        image: Tensor<2>,
        text: Tensor<2>,
        scale: f64,
    ) -> BatchOutputs {
        let image = match self {
            Self::Bottleneck(layers) => layers.adapted(parameters, image),
            Self::Cosine | Self::Cache(_) => image,
        };
        let logits = image.clone().matmul(text.clone().transpose()) * scale;
        let logits = match self {
            Self::Cache(cache) => logits + cache.votes(parameters, image.clone()),
            Self::Cosine | Self::Bottleneck(_) => logits,
        };
        BatchOutputs { image, text, logits }
    }

    pub(super) fn buffers(&self) -> BTreeMap<String, Tensor<1>> {
        match self {
            Self::Cache(cache) => cache.buffers(),
            Self::Cosine | Self::Bottleneck(_) => BTreeMap::new(),
        }
    }

    pub(super) fn restore(&mut self, buffers: &BTreeMap<String, Tensor<1>>) -> Result<(), BufferError> {
        let known = self.buffers();
        if let Some(path) = buffers.keys().find(|name| !known.contains_key(*name)) {
            return Err(BufferError::Unknown { path: path.clone() });
        }
        match self {
            Self::Cache(cache) => buffers.values().try_for_each(|labels| cache.restore(labels)),
            Self::Cosine | Self::Bottleneck(_) => Ok(()),
        }
    }
}
