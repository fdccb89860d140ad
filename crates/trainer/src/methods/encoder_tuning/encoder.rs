//! The image encoders that are fine-tuned under a classifier: any backbone, or CLIP's image tower without its projection
//! and texts.

use burn::tensor::{Device, Tensor};
use regulus_clip::{
    Backbone, Clip, ImageTower, Injection, NamedParameter, Normalisation, Part, RunningStatistics,
};

/// An image encoder whose features a linear layer classifies.
#[derive(Debug, Clone)]
#[allow(clippy::large_enum_variant, reason = "there is one for each run")]
pub enum ImageEncoder {
    /// A network without texts, of any pre-training. Its own classifier is not used.
    Backbone {
        /// The network.
        network: Backbone,
        /// Where it is.
        device: Device,
    },
    /// CLIP's image tower up to its projection. The batch normalisation of a residual tower stays at the running
    /// statistics of the pre-training.
    Clip(Clip),
}

impl ImageEncoder {
    /// Where the encoder is.
    pub fn device(&self) -> Device {
        match self {
            Self::Backbone { device, .. } => device.clone(),
            Self::Clip(clip) => clip.device(),
        }
    }

    /// One feature per image, `[batch, width]`, of normalised pixels `[batch, 3, height, width]`.
    pub fn features(
        &self,
        pixels: Tensor<4>,
        injection: &Injection,
        normalisation: Normalisation<'_>,
    ) -> Tensor<2> {
        match self {
            Self::Backbone { network, .. } => network.features(pixels, injection, normalisation),
            Self::Clip(clip) => clip.visual.pooled(pixels, injection),
        }
    }

    /// The parameters that the features depend on and an optimiser may train, in module order.
    pub(super) fn trainable(&self) -> Vec<NamedParameter> {
        let (parameters, unused): (_, &[&str]) = match self {
            Self::Backbone { network, .. } => (network.parameters(), &["fc."]),
            Self::Clip(clip) => (clip.parameters(Part::Image), &["visual.proj", "visual.attnpool.c_proj."]),
        };
        let reaches = |path: &str| !unused.iter().any(|prefix| path.starts_with(prefix));
        let trained = |path: &str| reaches(path) && !RunningStatistics::holds(path);
        parameters.into_iter().filter(|parameter| trained(&parameter.path)).collect()
    }

    /// Paths and lengths of the running statistics that training moves.
    pub(super) fn statistics(&self) -> Vec<(String, usize)> {
        let shapes = match self {
            Self::Backbone { network, .. } => network.shapes(),
            Self::Clip(_) => Vec::new(),
        };
        let held = shapes.into_iter().filter(|(path, _)| RunningStatistics::holds(path));
        held.map(|(path, shape)| (path, shape.iter().product())).collect()
    }

    /// Whether training normalises by the statistics of a batch, which then needs two images or more.
    pub fn normalises_batches(&self) -> bool {
        match self {
            Self::Backbone { network, .. } => network.normalises_batches(),
            Self::Clip(_) => false,
        }
    }

    /// Whether it is a vision transformer; a residual network otherwise.
    pub(super) fn is_transformer(&self) -> bool {
        match self {
            Self::Backbone { network, .. } => matches!(network, Backbone::Vit(_)),
            Self::Clip(clip) => matches!(&clip.visual, ImageTower::Vit(_)),
        }
    }

    /// Width of the features.
    pub fn width(&self) -> usize {
        match self {
            Self::Backbone { network, .. } => network.width(),
            Self::Clip(clip) => clip.visual.pooled_width(),
        }
    }
}
