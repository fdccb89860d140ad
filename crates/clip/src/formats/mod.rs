//! The layouts in which CLIP models are published.
//!
//! Which one a model has is read off its tensors and the files beside them, never off a flag. A publisher's
//! module turns his description into a [`ClipConfig`] and his names into a [`Layout`]; everything after that is
//! the same for all.

mod error;
mod files;
pub(crate) mod hf;
mod json;
mod loaded;
mod notice;
mod open_clip;
pub(crate) mod openai;

pub use error::{LoadError, SaveError};
pub(crate) use files::ModelFiles;
pub(crate) use json::{Json, pretty};
pub use loaded::LoadedClip;
pub use notice::Notice;

use crate::config::ClipConfig;
use crate::weights::Layout;
use regulus_checkpoints::Checkpoint;
use regulus_images::Preprocess;
use std::fmt;

/// Whose layout a model has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Publisher {
    /// HF `transformers`' `CLIPModel`.
    Hf,
    /// OpenAI's CLIP, and everything trained from its code.
    OpenAi,
    /// open_clip, with its `open_clip_config.json`.
    OpenClip,
}

impl fmt::Display for Publisher {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Hf => "HF CLIPModel",
            Self::OpenAi => "OpenAI CLIP",
            Self::OpenClip => "open_clip",
        })
    }
}

/// What a publisher's files say about a model, before its tensors are converted.
pub(crate) struct Description {
    pub publisher: Publisher,
    pub config: ClipConfig,
    pub layout: Box<dyn Layout>,
    /// `None` where it is stated in a file that is only read for a whole [`Pretrained`](crate::Pretrained).
    pub preprocess: Option<Preprocess>,
    /// Whether positions of another resolution than the configuration's are to be interpolated.
    pub adapts_resolution: bool,
    pub notices: Vec<Notice>,
}

/// The names that mark a CLIP model, and nothing else.
const HF_MARK: &str = "vision_model.embeddings.patch_embedding.weight";
const OPENAI_MARK: &str = "visual.conv1.weight";

/// What the names of each CLIP in `checkpoint` begin with, and whether they are HF's.
pub(crate) fn models(checkpoint: &Checkpoint) -> impl Iterator<Item = (String, bool)> {
    checkpoint.tensors().filter_map(|(name, _)| {
        let marks = [(HF_MARK, true), (OPENAI_MARK, false)].into_iter();
        let mut found = marks.filter_map(|(mark, is_hf)| Some((name.strip_suffix(mark)?, is_hf)));
        let (prefix, is_hf) = found.next()?;
        (prefix.is_empty() || prefix.ends_with('.')).then(|| (prefix.to_string(), is_hf))
    })
}

/// Describes the model in `checkpoint`.
pub(crate) fn describe(files: &ModelFiles, checkpoint: &Checkpoint) -> Result<Description, LoadError> {
    let models: Vec<(String, bool)> = models(checkpoint).collect();
    let (prefix, is_hf) = match models.as_slice() {
        [only] => only.clone(),
        [] => {
            let first = checkpoint.tensors().next().map_or("none".to_string(), |(name, _)| name.to_string());
            return Err(LoadError::UnknownModel { path: checkpoint.path().into(), first });
        }
        several => {
            let prefixes = several.iter().map(|(prefix, _)| format!("`{prefix}`")).collect();
            return Err(LoadError::SeveralModels { path: checkpoint.path().into(), prefixes });
        }
    };
    let outside = match prefix.is_empty() {
        true => 0,
        false => checkpoint.tensors().filter(|(name, _)| !name.starts_with(&prefix)).count(),
    };
    let mut description = match (is_hf, files.beside(open_clip::CONFIG_FILE)) {
        (true, _) => hf::describe(files, &prefix)?,
        (false, Some(config)) => open_clip::describe(config, checkpoint, &prefix)?,
        (false, None) => openai::describe(files, checkpoint, &prefix)?,
    };
    if outside > 0 {
        description.notices.push(Notice::OutsideIgnored { prefix, tensors: outside });
    }
    Ok(description)
}
