//! What all trajectories of a folder share: a tiny CLIP, texts, and the batch of every step.

use crate::error::CaseError;
use crate::methods::notes::Notes;
use crate::recorded::Recorded;
use burn::tensor::{Device, Tensor, TensorData};
use regulus_clip::{Activation, Clip, ClipConfig, ImageConfig, Pooling, TextConfig, VitConfig};
use regulus_images::FileError;
use regulus_trainer::batches::{Batch, BatchSource, ImageSet};
use std::collections::BTreeMap;
use std::path::Path;

/// The shared start of the trajectories of a folder.
pub(super) struct Start {
    pub io: Recorded,
    pub clip: Clip,
    pub device: Device,
    notes: Notes,
}

impl Start {
    /// The start beside the trajectory at `path`.
    pub(super) fn beside(path: &Path, device: &Device) -> Result<Self, CaseError> {
        let io = Recorded::open(&path.with_file_name("common.safetensors"))?;
        let notes = Notes::open(&path.with_file_name("common.json"))?;
        let clip = clip(&io, &notes, device)?;
        Ok(Self { io, clip, device: device.clone(), notes })
    }

    /// The recorded batches.
    pub(super) fn batches(&self) -> Result<RecordedBatches, CaseError> {
        self.batches_of(&self.io, "")
    }

    /// The batches that another recording holds under `prefix`.
    pub(super) fn batches_of(&self, io: &Recorded, prefix: &str) -> Result<RecordedBatches, CaseError> {
        Ok(RecordedBatches {
            images: io.tensor(&format!("{prefix}images"), &self.device)?,
            labels: io.flat(&format!("{prefix}labels"))?.into_iter().map(|label| label as i64).collect(),
            per_epoch: self.notes.number("batches_per_epoch")? as usize,
        })
    }

    /// What all trajectories of the folder say about themselves.
    pub(super) fn notes(&self) -> &Notes {
        &self.notes
    }

    /// Number of classes.
    pub(super) fn classes(&self) -> Result<usize, CaseError> {
        Ok(self.notes.number("classes")? as usize)
    }

    /// The images that final logits are recorded for.
    pub(super) fn test_images(&self) -> Result<Tensor<4>, CaseError> {
        self.io.tensor("test_images", &self.device)
    }
}

fn clip(io: &Recorded, notes: &Notes, device: &Device) -> Result<Clip, CaseError> {
    let config = notes.get("config");
    let size = |key: &str| notes.size_in(config, key);
    let special = |key: &str| notes.size_in(notes.get("special_tokens"), key).map(|id| id as u32);
    let (image_width, text_width) = (size("vw")?, size("tw")?);
    let config = ClipConfig {
        embed_dim: size("embed")?,
        image: ImageConfig::Vit(VitConfig {
            resolution: size("res")?,
            patch: size("patch")?,
            width: image_width,
            layers: size("vl")?,
            heads: size("vh")?,
            mlp_width: 4 * image_width,
            activation: Activation::QuickGelu,
            layer_norm_eps: 1e-5,
        }),
        text: TextConfig {
            vocab: size("vocab")?,
            context: size("ctx")?,
            width: text_width,
            layers: size("tl")?,
            heads: size("th")?,
            mlp_width: 4 * text_width,
            activation: Activation::QuickGelu,
            layer_norm_eps: 1e-5,
            sot_id: special("sot")?,
            eot_id: special("eot")?,
            pad_id: 0,
            pooling: Pooling::HighestId,
        },
        logit_scale_init: notes.number_in(config, "logit_scale")?,
    };
    let mut values = BTreeMap::new();
    for name in io.names() {
        let Some(path) = name.strip_prefix("clip.") else { continue };
        let in_text = !path.starts_with("visual.") && path != "logit_scale";
        let path = if in_text { format!("text.{path}") } else { path.to_owned() };
        let flat: Vec<f32> = io.flat(name)?.into_iter().map(|value| value as f32).collect();
        let count = flat.len();
        values.insert(path, Tensor::from_data(TensorData::new(flat, [count]), device));
    }
    let unfit = |error: &dyn std::fmt::Display| CaseError::Unsupported(format!("the shared model: {error}"));
    let clip = Clip::init(&config, 0, device).map_err(|error| unfit(&error))?;
    if values.len() != clip.shapes().len() {
        return Err(CaseError::Unsupported(format!(
            "the shared model has {} parameters, recorded are {}",
            clip.shapes().len(),
            values.len()
        )));
    }
    clip.with_parameters(&values).map_err(|error| unfit(&error))
}

/// The recorded batch of each step.
pub(super) struct RecordedBatches {
    /// `[steps, batch, 3, height, width]`
    images: Tensor<5>,
    /// `[steps * batch]`
    labels: Vec<i64>,
    per_epoch: usize,
}

impl RecordedBatches {
    /// The batch of one step, if that is recorded.
    pub(super) fn at(&self, step: usize) -> Option<Batch> {
        let [steps, size, ..] = self.images.dims();
        let labels = self.labels.get(step * size..(step + 1) * size)?;
        (step < steps).then(|| Batch {
            pixels: self.images.clone().narrow(0, step, 1).squeeze_dim(0),
            labels: Tensor::from_data(labels, &self.images.device()),
            indices: (step * size..(step + 1) * size).collect(),
            epoch: step / self.per_epoch.max(1),
            step,
        })
    }
}

impl BatchSource for RecordedBatches {
    fn batch(&self, step: usize) -> Result<Option<Batch>, FileError> {
        Ok(self.at(step))
    }

    fn steps_per_epoch(&self) -> usize {
        self.per_epoch
    }

    fn unchanging(&self) -> Option<ImageSet<'_>> {
        None
    }
}
