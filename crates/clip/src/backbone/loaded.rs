//! A backbone as it comes out of a file.

use super::vit_names::VitLayout;
use super::{Backbone, BackboneError, ResNet, ResNetArchitecture, VitBackbone, preprocess};
use crate::config::VitConfig;
use crate::formats::ModelFiles;
use crate::weights::WeightsError;
use burn::tensor::Device;
use regulus_checkpoints::{Checkpoint, FileDigest};
use regulus_images::Preprocess;
use std::collections::BTreeMap;
use std::path::Path;

/// The sizes of a backbone.
#[derive(Debug, Clone, PartialEq)]
pub enum BackboneArchitecture {
    /// A residual network.
    ResNet(ResNetArchitecture),
    /// A vision transformer.
    Vit(VitConfig),
}

/// A backbone and what its file says besides.
#[derive(Debug, Clone)]
pub struct LoadedBackbone {
    /// The network. Its parameters are frozen.
    pub backbone: Backbone,
    /// Turns images into pixels: as `timm`'s `config.json` (`pretrained_cfg`) or `transformers`'
    /// `preprocessor_config.json` beside the weights say, else as is usual for images of ImageNet
    /// ([`Backbone::preprocess`]).
    pub preprocess: Preprocess,
    /// How many batches each batch normalisation has seen, by the path of PyTorch's counter, for
    /// [`RunningStatistics::new`](crate::RunningStatistics::new). Empty if the file does not say.
    pub batches: BTreeMap<String, u64>,
    /// Names of tensors that belong to the training of the file and not to the network, such as
    /// MoCo's queue, key encoder and projection head. They were not read.
    pub ignored: Vec<String>,
    /// SHA-256 of the file.
    pub sha256: FileDigest,
}

impl LoadedBackbone {
    /// Loads a backbone from a folder or a weights file. Architecture and layout are recognised by the names and
    /// shapes of the tensors: see [`ResNet::load`] and [`VitBackbone::load`].
    ///
    /// # Errors
    /// [`BackboneError`]: a file that is damaged or holds no known backbone, or tensors that do not
    /// fit, of which all are listed.
    pub fn load(path: impl AsRef<Path>, device: &Device) -> Result<Self, BackboneError> {
        let files = ModelFiles::find(path.as_ref())?;
        let checkpoint = Checkpoint::open(&files.weights).map_err(WeightsError::from)?;
        if VitLayout::is_found_in(&checkpoint) {
            Ok(VitBackbone::read_beside(&files, &checkpoint, device)?)
        } else {
            let loaded = ResNet::read(&checkpoint, device)?;
            Ok(Self { preprocess: preprocess::find(&files, &loaded.backbone)?, ..loaded })
        }
    }

    /// The architecture of the backbone at `path`, of which no weight is read.
    ///
    /// # Errors
    /// As [`Self::load`], for what is read.
    pub fn architecture(path: impl AsRef<Path>) -> Result<BackboneArchitecture, BackboneError> {
        let files = ModelFiles::find(path.as_ref())?;
        let checkpoint = Checkpoint::open(&files.weights).map_err(WeightsError::from)?;
        Ok(match VitLayout::is_found_in(&checkpoint) {
            true => BackboneArchitecture::Vit(VitBackbone::described(&files, &checkpoint)?),
            false => BackboneArchitecture::ResNet(ResNet::described(&checkpoint)?),
        })
    }

    /// The identity of the backbone at `path`, without loading it: SHA-256 over its weights and the files that
    /// describe them, in hexadecimal. Two copies of a folder have the same.
    ///
    /// # Errors
    /// [`BackboneError`] if a file is missing or cannot be read.
    pub fn fingerprint(path: impl AsRef<Path>) -> Result<String, BackboneError> {
        Ok(ModelFiles::find(path.as_ref())?.fingerprint()?)
    }
}
