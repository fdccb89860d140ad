//! The two towers as one model.

use crate::config::{ClipConfig, ConfigError, Listed};
use crate::embedded_texts::EmbeddedTexts;
use crate::image_tower::{IMAGE_TOWER, ImageTower};
use crate::init;
use crate::injection::{Injection, Scope};
use crate::parameters::{NamedParameter, Part, filled, named, shapes, vacant};
use crate::precision::Precision;
use crate::text::{TEXT_TOWER, TextTower};
use crate::token_batch::TokenBatch;
use burn::module::{Module, Param};
use burn::tensor::{Device, Tensor};
use std::collections::{BTreeMap, BTreeSet};

/// A CLIP model (Radford et al. 2021): an image and a text tower that share an embedding space.
///
/// Its parameters never require gradients and are never mutated; what a method trains enters
/// through an [`Injection`]. Clones share memory.
#[derive(Module, Debug)]
pub struct Clip {
    /// The image tower.
    pub visual: ImageTower,
    /// The text tower.
    pub text: TextTower,
    /// Natural logarithm of the factor between cosine similarities and logits, `[1]`.
    logit_scale: Param<Tensor<1>>,
}

/// Parameters that do not belong to a model. Lists every fault, not only the first.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the parameters do not fit the model:{}", Listed(.faults))]
pub struct ParameterError {
    /// Everything that is wrong, in the order of the paths.
    pub faults: Vec<ParameterFault>,
}

/// One parameter that does not belong to a model.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ParameterFault {
    /// The model has no parameter of that path.
    #[error("{path}: the model has no such parameter")]
    Unknown {
        /// The path.
        path: String,
    },
    /// The number of values is not that of the parameter.
    #[error("{path}: found {found} values, expected {expected} for the shape {shape:?}")]
    Size {
        /// The path.
        path: String,
        /// Number of values given.
        found: usize,
        /// Number of values of the parameter.
        expected: usize,
        /// Shape of the parameter.
        shape: Vec<usize>,
    },
}

impl Clip {
    /// A model with random parameters: the start of pre-training.
    ///
    /// Every parameter is drawn from a stream of its own, keyed by `seed` and its path.
    ///
    /// # Errors
    /// [`ConfigError`] if the configuration is not valid.
    pub fn init(config: &ClipConfig, seed: u64, device: &Device) -> Result<Self, ConfigError> {
        let clip = Self::vacant(config, device)?;
        Ok(filled(clip, &mut |path, shape| Some(init::parameter(config, seed, path, shape, device))))
    }

    /// A model whose parameters have shapes but no values yet.
    pub(crate) fn vacant(config: &ClipConfig, device: &Device) -> Result<Self, ConfigError> {
        config.check()?;
        Ok(Self {
            visual: ImageTower::vacant(&config.image, config.embed_dim, device),
            text: TextTower::vacant(&config.text, config.embed_dim, device),
            logit_scale: vacant([1], device),
        })
    }

    /// The same model, sharing its memory, with towers that compute in `precision`. Parameters, what enters a tower and
    /// what it yields stay in f32.
    ///
    /// The device has to support it: [`Precision::is_supported_by`].
    #[must_use]
    pub fn computing_in(mut self, precision: Precision) -> Self {
        self.visual.compute_in(precision);
        self.text.compute_in(precision);
        self
    }

    /// The same model, sharing its memory, with towers that compute every position of every text, padding included, in
    /// every block. Without this, what texts begin with is computed once for all of them, padding not at all, and of the
    /// last block only what is read. Features and gradients agree up to the order of floating-point sums, which is what
    /// this is there to test.
    #[must_use]
    pub fn computing_every_position(mut self) -> Self {
        self.visual.compute_every_position();
        self.text.compute_every_position();
        self
    }

    /// The feature of each image, not normalised. On the CPU, a transformer that nothing is injected into takes as many
    /// images at a time as [`ImageTower::images_at_once`] says, so that intermediate results need less memory.
    ///
    /// # Shapes
    /// - `pixels`: `[batch, 3, resolution, resolution]`, normalised as the model expects
    /// - output: `[batch, embed_dim]`
    ///
    /// # Panics
    /// If the pixels are not of the model's resolution.
    pub fn encode_image(&self, pixels: Tensor<4>, injection: &Injection) -> Tensor<2> {
        let pooled = |pixels| self.visual.pooled(pixels, injection);
        let images = pixels.dims()[0];
        let pooled = match self.visual.images_at_once(&pixels.device()) {
            Some(most) if injection.is_none() && images > most => {
                let evenly = images.div_ceil(images.div_ceil(most));
                Tensor::cat(pixels.split(evenly, 0).into_iter().map(pooled).collect(), 0)
            }
            _ => pooled(pixels),
        };
        self.visual.project(pooled, injection)
    }

    /// The feature of each text, not normalised. Reads no position behind the last end of a text.
    ///
    /// # Shapes
    /// - `ids`: token ids per text, from start to end token; padding is allowed but not needed
    /// - output: `[texts, embed_dim]`
    ///
    /// # Panics
    /// If the ids are not from this model's tokenizer and context. For ids of unknown origin,
    /// check them with [`TokenBatch::new`] and call [`Self::encode_tokens`].
    pub fn encode_text(&self, ids: &[Vec<u32>], injection: &Injection) -> Tensor<2> {
        match TokenBatch::new(ids, self.text.config()) {
            Ok(tokens) => self.encode_tokens(&tokens, injection),
            Err(error) => panic!("{error}"),
        }
    }

    /// The feature of each text of a checked batch, not normalised.
    ///
    /// # Shapes
    /// - output: `[texts, embed_dim]`
    pub fn encode_tokens(&self, tokens: &TokenBatch, injection: &Injection) -> Tensor<2> {
        self.text.project(self.text.pooled(tokens, injection), injection)
    }

    /// The vectors of a batch's tokens: what prompt learning changes before [`Self::encode_embedded`].
    pub fn embed_tokens(&self, tokens: &TokenBatch, injection: &Injection) -> EmbeddedTexts {
        self.text.embedded(tokens, injection)
    }

    /// The feature of each text whose words have been looked up, not normalised.
    ///
    /// # Shapes
    /// - output: `[texts, embed_dim]`
    ///
    /// # Panics
    /// If the texts are longer than the model's context, or their vectors not of its width.
    pub fn encode_embedded(&self, texts: &EmbeddedTexts, injection: &Injection) -> Tensor<2> {
        self.text.project(self.text.pooled_embedded(texts, injection), injection)
    }

    /// Width of the space that both towers embed into.
    pub fn embed_dim(&self) -> usize {
        self.visual.embed_dim()
    }

    /// The device that the parameters are on.
    pub fn device(&self) -> Device {
        self.logit_scale.val().device()
    }

    /// Natural logarithm of the logit scale, `[1]`.
    pub fn logit_scale(&self, injection: &Injection) -> Tensor<1> {
        Scope::root(injection).weight("logit_scale", &self.logit_scale)
    }

    /// Scaled cosine similarities of all images with all texts.
    ///
    /// # Shapes
    /// - `images`: `[images, embed_dim]` and `texts`: `[texts, embed_dim]`, of any length
    /// - output: `[images, texts]`
    pub fn logits(&self, images: Tensor<2>, texts: Tensor<2>, injection: &Injection) -> Tensor<2> {
        let scale = self.logit_scale(injection).exp().unsqueeze();
        normalise(images).matmul(normalise(texts).transpose()) * scale
    }

    /// The parameters of a part of the model, in module order. They share memory with it.
    pub fn parameters(&self, part: Part) -> Vec<NamedParameter> {
        match part {
            Part::All => named(self, ""),
            Part::Image => named(&self.visual, IMAGE_TOWER),
            Part::Text => named(&self.text, TEXT_TOWER),
        }
    }

    /// Path and shape of every parameter, in module order.
    pub fn shapes(&self) -> Vec<(String, Vec<usize>)> {
        shapes(self, "")
    }

    /// Path and shape of every parameter of a model of that architecture, in module order, without
    /// making one: no memory is allocated for values.
    ///
    /// # Errors
    /// [`ConfigError`] if the configuration is not valid.
    pub fn shapes_of(config: &ClipConfig, device: &Device) -> Result<Vec<(String, Vec<usize>)>, ConfigError> {
        Ok(Self::vacant(config, device)?.shapes())
    }

    /// A copy of the model with new values for some parameters, such as those of a fine-tuned
    /// model that is to be saved. The values are copied; all others share memory with `self`.
    ///
    /// # Shapes
    /// - `values`: flattened, by canonical path
    ///
    /// # Errors
    /// [`ParameterError`] for unknown paths and wrong numbers of values.
    pub fn with_parameters(&self, values: &BTreeMap<String, Tensor<1>>) -> Result<Self, ParameterError> {
        with_values(self.clone(), values, &self.device())
    }

    /// The weights that an injection changes, as they are then, flat and by path: what a model without the injection
    /// has to hold for the same features. Prompts are no weights and are left out.
    pub fn changed_by(&self, injection: &Injection) -> BTreeMap<String, Tensor<1>> {
        let changed =
            self.parameters(Part::All).into_iter().filter_map(|NamedParameter { path, shape, value }| {
                let value = injection.changed(&path, value, &shape)?;
                Some((path, value))
            });
        changed.collect()
    }

    /// Checks that an injection changes only parameters that the model has.
    ///
    /// # Errors
    /// [`ParameterError`] with every unknown path.
    pub fn check_injection(&self, injection: &Injection) -> Result<(), ParameterError> {
        let known: BTreeSet<String> = self.shapes().into_iter().map(|(path, _)| path).collect();
        let faults: Vec<ParameterFault> = injection
            .paths()
            .filter(|path| !known.contains(*path))
            .map(|path| ParameterFault::Unknown { path: path.to_string() })
            .collect();
        if faults.is_empty() { Ok(()) } else { Err(ParameterError { faults }) }
    }
}

/// `module` with new values, flattened and by path, for some parameters.
pub(crate) fn with_values<M: Module>(
    module: M,
    values: &BTreeMap<String, Tensor<1>>,
    device: &Device,
) -> Result<M, ParameterError> {
    let known: BTreeMap<String, Vec<usize>> = shapes(&module, "").into_iter().collect();
    let fault = |(path, value): (&String, &Tensor<1>)| {
        let path = path.clone();
        let Some(shape) = known.get(&path) else {
            return Some(ParameterFault::Unknown { path });
        };
        let (found, expected) = (value.dims()[0], shape.iter().product());
        let shape = shape.clone();
        (found != expected).then_some(ParameterFault::Size { path, found, expected, shape })
    };
    let faults: Vec<ParameterFault> = values.iter().filter_map(fault).collect();
    if !faults.is_empty() {
        return Err(ParameterError { faults });
    }
    let value = |path: &str| {
        values.get(path).map(|value| Tensor::from_data(value.to_data(), (device, value.dtype())))
    };
    Ok(filled(module, &mut |path, _| value(path)))
}

/// Each row divided by its Euclidean length.
///
/// # Shapes
/// - `features`: `[rows, embed_dim]`
/// - output: as `features`
pub fn normalise(features: Tensor<2>) -> Tensor<2> {
    let length = features.clone().powi_scalar(2).sum_dim(1).sqrt();
    features / length
}
