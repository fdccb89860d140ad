//! The vision transformer without CLIP's projection and without its first LayerNorm, as `timm` and
//! `transformers` publish it.

use super::vit_names::{Naming, VitLayout};
use super::{Backbone, LoadedBackbone, preprocess, timm_config, vit_config};
use crate::block::{BlockShape, LayerNorm, Transformer};
use crate::config::{Check, ConfigError, VitConfig};
use crate::formats::hf::{CONFIG_FILE, WEIGHTS_FILE};
use crate::formats::{LoadError, ModelFiles, SaveError};
use crate::init;
use crate::injection::{Injection, Scope};
use crate::parameters::{NamedParameter, filled, named, shapes, vacant};
use crate::vit::{PatchEmbedding, with_class_token};
use crate::weights;
use burn::module::{Module, Param};
use burn::tensor::{Device, Tensor};
use regulus_checkpoints::{Checkpoint, sha256};
use regulus_images::Preprocess;
use std::collections::BTreeMap;
use std::path::Path;

/// A vision transformer (Dosovitskiy et al. 2021) whose feature is the class token after the last
/// LayerNorm. Its parameters are frozen; clones share memory.
#[derive(Module, Debug)]
pub struct VitBackbone {
    conv1: PatchEmbedding,
    /// `[width]`
    class_embedding: Param<Tensor<1>>,
    /// `[1 + patches, width]`
    positional_embedding: Param<Tensor<2>>,
    transformer: Transformer,
    ln_post: LayerNorm,
    #[module(skip)]
    config: VitConfig,
}

impl VitBackbone {
    fn vacant(config: &VitConfig, device: &Device) -> Self {
        let width = config.width;
        Self {
            conv1: PatchEmbedding::vacant(config, true, device),
            class_embedding: vacant([width], device),
            positional_embedding: vacant([config.positions(), width], device),
            transformer: Transformer::vacant(config.layers, &BlockShape::of_images(config), device),
            ln_post: LayerNorm::vacant(width, config.layer_norm_eps, device),
            config: config.clone(),
        }
    }

    /// A network with random parameters, drawn as `timm` does: the start of pre-training.
    ///
    /// Every parameter is drawn from a stream of its own, keyed by `seed` and its path.
    ///
    /// # Errors
    /// [`ConfigError`] for sizes that are 0 or absurd.
    pub fn init(config: &VitConfig, seed: u64, device: &Device) -> Result<Self, ConfigError> {
        check(config)?;
        let draw =
            &mut |path: &str, shape: &[usize]| Some(init::vit_backbone(config, seed, path, shape, device));
        Ok(filled(Self::vacant(config, device), draw))
    }

    /// The backbone in `checkpoint`, with the names of `timm` or of `transformers`' `ViTModel`, below
    /// any prefix. Heads and the decoder of masked auto-encoders are passed over, and so is whatever
    /// a training checkpoint holds beside the backbone. Of a self-distillation checkpoint the teacher
    /// is read.
    ///
    /// # Errors
    /// [`LoadError`] for an invalid configuration, for weights of another kind of network, and for
    /// weights that do not fit the configuration, with all tensors that are missing, unused or
    /// misshapen.
    pub fn from_checkpoint(
        config: &VitConfig,
        checkpoint: &Checkpoint,
        device: &Device,
    ) -> Result<Self, LoadError> {
        Self::read(config, &VitLayout::of(checkpoint)?, checkpoint, device)
    }

    /// Loads a folder or a weights file.
    ///
    /// A folder holds the weights (`model.safetensors`, `pytorch_model.bin`, or the index of their
    /// shards) and the `config.json` of `transformers` or `timm`. Without `config.json` the tensors must have
    /// `timm`'s names (as DINO and MAE have); the architecture is then read off them, the number of heads being
    /// the usual one for the width.
    ///
    /// # Errors
    /// [`LoadError`]: a missing or unreadable file, an unsupported or unclear architecture, or
    /// weights that do not fit it, with all tensors that are missing, unused or misshapen.
    pub fn load(path: impl AsRef<Path>, device: &Device) -> Result<LoadedBackbone, LoadError> {
        let files = ModelFiles::find(path.as_ref())?;
        Self::read_beside(&files, &Checkpoint::open(&files.weights)?, device)
    }

    /// Reads the network of an open checkpoint, which lies in `files`.
    pub(crate) fn read_beside(
        files: &ModelFiles,
        checkpoint: &Checkpoint,
        device: &Device,
    ) -> Result<LoadedBackbone, LoadError> {
        let layout = VitLayout::of(checkpoint)?;
        let config = vit_config::find(files, &layout, checkpoint)?;
        let backbone = Backbone::Vit(Self::read(&config, &layout, checkpoint, device)?);
        Ok(LoadedBackbone {
            preprocess: preprocess::find(files, &backbone)?,
            backbone,
            batches: BTreeMap::new(),
            ignored: weights::ignored(&layout, checkpoint),
            sha256: checkpoint.sha256(),
        })
    }

    /// The architecture of the network of an open checkpoint, which lies in `files`.
    pub(super) fn described(files: &ModelFiles, checkpoint: &Checkpoint) -> Result<VitConfig, LoadError> {
        let config = vit_config::find(files, &VitLayout::of(checkpoint)?, checkpoint)?;
        check(&config).map_err(|source| LoadError::Config { path: checkpoint.path().into(), source })?;
        Ok(config)
    }

    fn read(
        config: &VitConfig,
        layout: &VitLayout,
        checkpoint: &Checkpoint,
        device: &Device,
    ) -> Result<Self, LoadError> {
        check(config).map_err(|source| LoadError::Config { path: checkpoint.path().into(), source })?;
        Ok(weights::read(Self::vacant(config, device), layout, checkpoint, device)?)
    }

    /// Saves the backbone as a folder in the layout of `timm`'s models on the hub, which `timm` loads unchanged
    /// (`timm.create_model("local-dir:...")`): weights, and a `config.json` with architecture and preprocessing. The
    /// same backbone gives the same bytes. Returns the SHA-256 of the weights file, in hexadecimal.
    ///
    /// # Errors
    /// [`SaveError`]: a file that cannot be written, or an architecture or preprocessing that the layout cannot
    /// represent.
    pub fn save(&self, preprocess: &Preprocess, directory: impl AsRef<Path>) -> Result<String, SaveError> {
        let directory = directory.as_ref();
        let json = timm_config::to_json(&self.config, preprocess)?;
        let write = |path: &Path, source| SaveError::Write { path: path.into(), source };
        std::fs::create_dir_all(directory).map_err(|source| write(directory, source))?;
        let ordinary = directory.join(CONFIG_FILE);
        std::fs::write(&ordinary, json).map_err(|source| write(&ordinary, source))?;
        let layout = VitLayout { naming: Naming::Timm, prefix: String::new() };
        weights::write(self.parameters(), &layout, &directory.join(WEIGHTS_FILE), &ordinary)?;
        Ok(sha256(&weights::bytes(self.parameters(), &layout)?))
    }

    /// Whether [`Self::save`] can represent this backbone: to be asked before a long training.
    ///
    /// # Errors
    /// [`SaveError::Unrepresentable`] if it cannot.
    pub fn check_save(&self, preprocess: &Preprocess) -> Result<(), SaveError> {
        timm_config::to_json(&self.config, preprocess).map(drop)
    }

    /// The architecture.
    pub fn config(&self) -> &VitConfig {
        &self.config
    }

    /// Width of the features.
    pub fn width(&self) -> usize {
        self.config.width
    }

    /// The class token after the last LayerNorm.
    ///
    /// # Shapes
    /// - `pixels`: `[batch, 3, resolution, resolution]`, normalised as the backbone expects
    /// - output: `[batch, width]`
    ///
    /// # Panics
    /// If the pixels are not of the backbone's resolution.
    pub fn features(&self, pixels: Tensor<4>, injection: &Injection) -> Tensor<2> {
        let scope = Scope::root(injection);
        let patches = self.conv1.forward(pixels, &scope.enter("conv1"));
        let class = scope.weight("class_embedding", &self.class_embedding);
        let positions = scope.weight("positional_embedding", &self.positional_embedding);
        let x = with_class_token(patches, class, positions);
        let x = self.transformer.forward(x, &scope.enter("transformer"), |_, x| x, |_| {});
        self.ln_post.forward(x.narrow(1, 0, 1), &scope.enter("ln_post")).squeeze_dim(1)
    }

    /// The parameters in module order. They share memory with the backbone.
    pub fn parameters(&self) -> Vec<NamedParameter> {
        named(self, "")
    }

    /// Path and shape of every parameter, in module order.
    pub fn shapes(&self) -> Vec<(String, Vec<usize>)> {
        shapes(self, "")
    }
}

fn check(config: &VitConfig) -> Result<(), ConfigError> {
    let mut check = Check::default();
    config.check(&mut check);
    check.finish(|| config.parameter_count(0))
}
