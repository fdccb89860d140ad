//! Architecture and weights of a model, without tokenizer and preprocessing.

use super::{Description, LoadError, ModelFiles, Notice, Publisher, describe, models};
use crate::clip::Clip;
use crate::config::{ClipConfig, ImageConfig};
use crate::weights;
use burn::tensor::Device;
use regulus_checkpoints::{Checkpoint, FileDigest};
use std::path::Path;

/// Architecture and weights of a model, without tokenizer and preprocessing.
#[derive(Debug, Clone)]
pub struct LoadedClip {
    /// The architecture.
    pub config: ClipConfig,
    /// The model.
    pub clip: Clip,
    /// SHA-256 of the weights file; of a sharded model, of the digests of its shards.
    pub sha256: FileDigest,
    /// Whose layout the model has.
    pub publisher: Publisher,
    /// What loading decided and a user should know.
    pub notices: Vec<Notice>,
}

impl LoadedClip {
    /// Loads the weights at `path`, a file or a model folder of HF `CLIPModel`, OpenAI or open_clip.
    ///
    /// Layout and container are recognised by the contents: safetensors (single or sharded), `torch.save` (zip or
    /// legacy) or a TorchScript archive. Values are read from a safetensors file when they are first used: it may be
    /// replaced by renaming, but not written into, as long as the model is used.
    ///
    /// # Errors
    /// [`LoadError`]: a missing or unreadable file, an invalid or unsupported configuration, or weights that do
    /// not fit it, with all tensors that are missing, unused or misshapen.
    pub fn load(path: &Path, device: &Device) -> Result<Self, LoadError> {
        let files = ModelFiles::find(path)?;
        let checkpoint = Checkpoint::open(&files.weights)?;
        let description = describe(&files, &checkpoint)?;
        Self::read(description, &checkpoint, device)
    }

    /// Whether `checkpoint` holds a CLIP under the names of any publisher.
    pub fn is_in(checkpoint: &Checkpoint) -> bool {
        models(checkpoint).next().is_some()
    }

    /// Converts the tensors of a model that has been described.
    pub(crate) fn read(
        description: Description,
        checkpoint: &Checkpoint,
        device: &Device,
    ) -> Result<Self, LoadError> {
        let Description { publisher, config, layout, adapts_resolution, mut notices, .. } = description;
        let path = || checkpoint.path().to_path_buf();
        let wanted = config.image.resolution();
        let stored = match adapts_resolution {
            true => stored_config(&config, layout.as_ref(), checkpoint),
            false => config.clone(),
        };
        let vacant =
            Clip::vacant(&stored, device).map_err(|source| LoadError::Config { path: path(), source })?;
        let clip = weights::read(vacant, layout.as_ref(), checkpoint, device)?;
        let from = stored.image.resolution();
        let clip = match from == wanted {
            true => clip,
            false => {
                notices.push(Notice::PositionsInterpolated { from, to: wanted });
                let resized = clip.at_resolution(&stored, wanted);
                resized.map_err(|source| LoadError::Resolution { path: path(), source })?.1
            }
        };
        Ok(Self { config, clip, sha256: checkpoint.sha256(), publisher, notices })
    }
}

/// The configuration with the resolution that the stored positional embedding has.
fn stored_config(config: &ClipConfig, layout: &dyn weights::Layout, checkpoint: &Checkpoint) -> ClipConfig {
    let mut stored = config.clone();
    let pieces = layout.pieces("visual.positional_embedding", &[]);
    let tensor = pieces.first().and_then(|piece| checkpoint.tensor(&piece.key));
    let positions = tensor.and_then(|tensor| tensor.shape().first().copied());
    if let (Some(positions), ImageConfig::Vit(vit)) = (positions, &config.image) {
        let side = positions.saturating_sub(1).isqrt();
        if side > 0 && side * side + 1 == positions && side != vit.grid() {
            stored.image.set_resolution(side.saturating_mul(vit.patch));
        }
    }
    stored
}
