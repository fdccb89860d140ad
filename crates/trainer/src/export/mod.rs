//! Plain models from adapters: what other programs load.
//!
//! | Form | Base | What is written |
//! | --- | --- | --- |
//! | [`Form::Hf`] | CLIP | a folder of HF `CLIPModel` |
//! | [`Form::Hf`] | a vision transformer in the place of the image tower | a folder of `timm` |
//! | [`Form::Safetensors`] | CLIP | a file under OpenAI's names, which open_clip loads |
//!
//! Beside each stand the classifier and the names of its classes.

mod classifier;
mod place;
mod readme;

use std::path::{Path, PathBuf};

use regulus_clip::{Backbone, Injection, ParameterError, Pretrained, SaveError};
use regulus_images::Preprocess;

use crate::merge::Merged;
use crate::run::{AdaptError, AdaptedModel};

/// The layout of an export.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// A folder of Hugging Face.
    Hf,
    /// One file under OpenAI's names.
    Safetensors,
}

/// An adapter that cannot be exported.
#[derive(Debug, thiserror::Error)]
pub enum ExportError {
    /// The adapter has no plain form, or does not fit its models.
    #[error(transparent)]
    Adapt(#[from] AdaptError),
    /// There is something at the place.
    #[error("{} exists; name another place, or replace it with --force", .path.display())]
    Exists {
        /// The file or folder.
        path: PathBuf,
    },
    /// A folder holds more than an export, so that it is not replaced.
    #[error("{} holds {entry}, which no export writes, and is not replaced; name another folder", .path.display())]
    Foreign {
        /// The folder.
        path: PathBuf,
        /// The first such entry.
        entry: String,
    },
    /// The place has no name, such as `..`.
    #[error("{} is not the name of a new file or folder", .path.display())]
    Place {
        /// The place.
        path: PathBuf,
    },
    /// A file or folder cannot be written.
    #[error("cannot write {}: {source}", .path.display())]
    Write {
        /// The file or folder.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The model cannot be saved in this layout.
    #[error(transparent)]
    Save(#[from] SaveError),
    /// The merged weights are not those of the model.
    #[error(transparent)]
    Weights(#[from] ParameterError),
    /// The classifier cannot be stored.
    #[error("cannot encode {}: {reason}", .path.display())]
    Encode {
        /// The file.
        path: PathBuf,
        /// Why.
        reason: String,
    },
    /// A layout that has no place for the image encoder.
    #[error("{reason}")]
    Backbone {
        /// Why.
        reason: &'static str,
    },
}

/// The name of the classifier's file in a folder.
pub const CLASSIFIER: &str = "classifier.safetensors";
/// The name of the file with the classes.
pub const CLASSES: &str = "classes.json";
/// The name of the file that says how to use a folder.
pub const README: &str = "README.md";

/// Merges an adapter into its models and writes the result to `out`, whole or not at all. Returns all that was written.
///
/// # Errors
/// [`ExportError`] with the reason or the path at fault.
pub fn export(
    model: &AdaptedModel,
    form: Form,
    out: &Path,
    replace: bool,
) -> Result<Vec<PathBuf>, ExportError> {
    match form {
        Form::Hf => place::check_folder(out, replace)?,
        Form::Safetensors => place::check_files(&Files::beside(out).all(), replace)?,
    }
    let merged = model.merged()?;
    let plain = Plain::of(model, &merged)?;
    let card = &model.adapter().card;
    let (classes, templates) = (&card.class_names, &model.materials().task.templates);
    let classes = classifier::classes_json(classes, templates)
        .map_err(|error| ExportError::Encode { path: out.join(CLASSES), reason: error.to_string() })?;
    let scale = model.materials().pretrained.clip.logit_scale(&Injection::none());
    let scale = merged.weights.get("logit_scale").cloned().unwrap_or(scale);
    let head = classifier::bytes(&merged.classifier, scale)
        .map_err(|reason| ExportError::Encode { path: out.join(CLASSIFIER), reason })?;
    match form {
        Form::Hf => {
            place::folder(out, |folder| {
                plain.save(folder)?;
                let write = |name: &str, bytes: &[u8]| {
                    let path = folder.join(name);
                    std::fs::write(&path, bytes).map_err(|source| ExportError::Write { path, source })
                };
                write(CLASSIFIER, &head)?;
                write(CLASSES, classes.as_bytes())?;
                write(README, readme::text(card, &merged.classifier, plain.kind()).as_bytes())
            })?;
            Ok(vec![out.to_owned()])
        }
        Form::Safetensors => {
            let Plain::Clip(plain) = plain else {
                let reason = "open_clip's layout has no place for this image encoder; use --format hf";
                return Err(ExportError::Backbone { reason });
            };
            let files = Files::beside(out);
            for (path, bytes) in [
                (&files.model, plain.openai_weights()?.as_slice()),
                (&files.classifier, &head),
                (&files.classes, classes.as_bytes()),
            ] {
                crate::files::replace(path, bytes)
                    .map_err(|source| ExportError::Write { path: path.clone(), source })?;
            }
            Ok(files.all())
        }
    }
}

/// The files of [`Form::Safetensors`]: `model.safetensors`, `model.classifier.safetensors`, `model.classes.json`.
struct Files {
    model: PathBuf,
    classifier: PathBuf,
    classes: PathBuf,
}

impl Files {
    fn beside(out: &Path) -> Self {
        Self {
            model: out.to_owned(),
            classifier: out.with_extension(CLASSIFIER),
            classes: out.with_extension(CLASSES),
        }
    }

    fn all(&self) -> Vec<PathBuf> {
        vec![self.model.clone(), self.classifier.clone(), self.classes.clone()]
    }
}

/// What the base of a plain model is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Clip,
    Timm,
}

/// A merged model.
#[allow(clippy::large_enum_variant, reason = "there is one for each export")]
enum Plain {
    Clip(Pretrained),
    Backbone { network: Backbone, preprocess: Preprocess },
}

impl Plain {
    fn of(model: &AdaptedModel, merged: &Merged) -> Result<Self, ExportError> {
        let (materials, weights) = (model.materials(), &merged.weights);
        match &materials.backbone {
            Some(loaded) => {
                let network =
                    loaded.backbone.with_parameters(weights, &materials.pretrained.clip.device())?;
                Ok(Self::Backbone { network, preprocess: loaded.preprocess.clone() })
            }
            None => {
                let clip = materials.pretrained.clip.with_parameters(weights)?;
                Ok(Self::Clip(Pretrained { clip, ..materials.pretrained.clone() }))
            }
        }
    }

    fn kind(&self) -> Kind {
        match self {
            Self::Clip(_) => Kind::Clip,
            Self::Backbone { .. } => Kind::Timm,
        }
    }

    fn save(&self, folder: &Path) -> Result<(), ExportError> {
        match self {
            Self::Clip(pretrained) => Ok(pretrained.save(folder)?),
            Self::Backbone { network: Backbone::Vit(vit), preprocess } => {
                vit.save(preprocess, folder)?;
                Ok(())
            }
            Self::Backbone { network: Backbone::ResNet(_), .. } => {
                let reason = "there is no writer for residual networks; vision transformers can be exported";
                Err(ExportError::Backbone { reason })
            }
        }
    }
}
