//! Reads the recorded trajectories of the reference implementations: a tiny CLIP, the batches of six
//! steps, and what losses, parameters and logits became.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use burn::tensor::{Device, Tensor, TensorData};
use regulus_clip::{Activation, Clip, ClipConfig, ImageConfig, Pooling, TextConfig, VitConfig};
use regulus_images::FileError;
use regulus_trainer::batches::{Batch, BatchSource, ImageSet};
use regulus_trainer::device::by_name;
use regulus_trainer::experiment::Experiment;
use regulus_trainer::run::{Control, Materials, Outcome, RunError, run};
use safetensors::{Dtype, SafeTensors};

/// The device under test: the first of `REGULUS_TEST_DEVICES`, or `flex`.
pub fn device() -> Device {
    let names = std::env::var("REGULUS_TEST_DEVICES").unwrap_or_else(|_| "flex".into());
    by_name(names.split(',').next().unwrap()).unwrap()
}

fn golden(name: &str, extension: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(format!("tests/golden/{name}.{extension}"))
}

/// One recorded case: tensors and what its JSON says.
pub struct Case {
    bytes: Vec<u8>,
    pub notes: serde_json::Value,
}

impl Case {
    pub fn open(name: &str) -> Self {
        let notes = std::fs::read_to_string(golden(name, "json")).unwrap();
        Self { notes: serde_json::from_str(&notes).unwrap(), ..Self::tensors(name) }
    }

    /// A case without notes.
    pub fn tensors(name: &str) -> Self {
        let bytes = std::fs::read(golden(name, "safetensors")).unwrap();
        Self { bytes, notes: serde_json::Value::Null }
    }

    pub fn names(&self, prefix: &str) -> Vec<String> {
        let tensors = SafeTensors::deserialize(&self.bytes).unwrap();
        let mut names: Vec<String> = tensors.names().into_iter().map(String::from).collect();
        names.retain(|name| name.starts_with(prefix));
        names.sort();
        names
    }

    /// Values as f64 whatever the stored type, with the shape.
    pub fn values(&self, name: &str) -> (Vec<f64>, Vec<usize>) {
        let tensors = SafeTensors::deserialize(&self.bytes).unwrap();
        let view = tensors.tensor(name).unwrap();
        let data = view.data();
        let values = match view.dtype() {
            Dtype::F32 => {
                data.chunks_exact(4).map(|b| f64::from(f32::from_le_bytes(b.try_into().unwrap()))).collect()
            }
            Dtype::F64 => data.chunks_exact(8).map(|b| f64::from_le_bytes(b.try_into().unwrap())).collect(),
            Dtype::I64 => {
                data.chunks_exact(8).map(|b| i64::from_le_bytes(b.try_into().unwrap()) as f64).collect()
            }
            other => panic!("{name} has type {other:?}"),
        };
        (values, view.shape().to_vec())
    }

    pub fn flat(&self, name: &str) -> Vec<f64> {
        self.values(name).0
    }

    pub fn tensor<const D: usize>(&self, name: &str, device: &Device) -> Tensor<D> {
        let (values, mut shape) = self.values(name);
        if shape.is_empty() {
            shape.push(1);
        }
        let values: Vec<f32> = values.into_iter().map(|value| value as f32).collect();
        Tensor::from_data(TensorData::new(values, shape), device)
    }
}

/// Rows of token ids of an integer tensor whose last dimension is the context.
pub fn token_rows(case: &Case, name: &str) -> Vec<Vec<u32>> {
    let (values, shape) = case.values(name);
    values.chunks(*shape.last().unwrap()).map(|row| row.iter().map(|&id| id as u32).collect()).collect()
}

/// The tiny CLIP that all trajectories start from.
pub fn tiny_clip(common: &Case, device: &Device) -> Clip {
    let config = &common.notes["config"];
    let size = |key: &str| config[key].as_u64().unwrap() as usize;
    let special = |key: &str| common.notes["special_tokens"][key].as_u64().unwrap() as u32;
    let (image_width, text_width) = (size("vw"), size("tw"));
    let config = ClipConfig {
        embed_dim: size("embed"),
        image: ImageConfig::Vit(VitConfig {
            resolution: size("res"),
            patch: size("patch"),
            width: image_width,
            layers: size("vl"),
            heads: size("vh"),
            mlp_width: 4 * image_width,
            activation: Activation::QuickGelu,
            layer_norm_eps: 1e-5,
        }),
        text: TextConfig {
            vocab: size("vocab"),
            context: size("ctx"),
            width: text_width,
            layers: size("tl"),
            heads: size("th"),
            mlp_width: 4 * text_width,
            activation: Activation::QuickGelu,
            layer_norm_eps: 1e-5,
            sot_id: special("sot"),
            eot_id: special("eot"),
            pad_id: 0,
            pooling: Pooling::HighestId,
        },
        logit_scale_init: config["logit_scale"].as_f64().unwrap(),
    };
    let values: BTreeMap<String, Tensor<1>> = common
        .names("clip.")
        .into_iter()
        .map(|name| {
            let path = name.trim_start_matches("clip.");
            let in_text = !path.starts_with("visual.") && path != "logit_scale";
            let path = if in_text { format!("text.{path}") } else { path.to_owned() };
            let flat: Vec<f32> = common.flat(&name).into_iter().map(|value| value as f32).collect();
            (path, Tensor::from_data(flat.as_slice(), device))
        })
        .collect();
    let clip = Clip::init(&config, 0, device).unwrap();
    assert_eq!(values.len(), clip.shapes().len(), "every parameter is recorded");
    clip.with_parameters(&values).unwrap()
}

/// The recorded batch of each step.
pub struct RecordedBatches<'a> {
    pub common: &'a Case,
    pub device: &'a Device,
}

impl RecordedBatches<'_> {
    /// The batch of one step, if that is recorded.
    pub fn at(&self, step: usize) -> Option<Batch> {
        let (labels, shape) = self.common.values("labels");
        let (steps, size) = (shape[0], shape[1]);
        if step >= steps {
            return None;
        }
        let images: Tensor<5> = self.common.tensor("images", self.device);
        let labels: Vec<i64> = labels[step * size..(step + 1) * size].iter().map(|&l| l as i64).collect();
        Some(Batch {
            pixels: images.narrow(0, step, 1).squeeze_dim(0),
            labels: Tensor::from_data(labels.as_slice(), self.device),
            indices: (step * size..(step + 1) * size).collect(),
            epoch: step / 2,
            step,
        })
    }
}

impl BatchSource for RecordedBatches<'_> {
    fn batch(&self, step: usize) -> Result<Option<Batch>, FileError> {
        Ok(self.at(step))
    }

    fn steps_per_epoch(&self) -> usize {
        2
    }

    fn unchanging(&self) -> Option<ImageSet<'_>> {
        None
    }
}

/// Largest absolute difference; panics with the place if it is above `tolerance`.
pub fn compare(what: &str, found: &[f64], expected: &[f64], tolerance: f64) {
    assert_eq!(found.len(), expected.len(), "{what}: number of values");
    for (index, (a, b)) in found.iter().zip(expected).enumerate() {
        assert!((a - b).abs() <= tolerance, "{what}[{index}]: {a} against {b}, tolerance {tolerance:.1e}");
    }
}

pub fn host<const D: usize>(tensor: Tensor<D>) -> Vec<f64> {
    tensor.into_data_as::<f32>().iter::<f32>().map(f64::from).collect()
}

/// A whole run that nobody watches.
pub fn ran_unwatched(
    experiment: &Experiment,
    materials: &Materials,
    folder: &Path,
) -> Result<Outcome, RunError> {
    let (mut progress, mut notice) = (|_| {}, |_: &str| {});
    run(experiment, materials, folder, &device(), Control::watching(&mut progress, &mut notice))
}
