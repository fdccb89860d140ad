//! Devices, small models and comparisons that the tests share.

use burn::tensor::{Device, Tensor, TensorData};
use regulus_clip::{
    Activation, Clip, ClipConfig, ImageConfig, Pooling, Pretrained, TextConfig, Tokenizer, VitConfig,
};
use regulus_images::Preprocess;
use regulus_images::random::Stream;
use safetensors::{Dtype, SafeTensors};
use std::path::{Path, PathBuf};

/// The devices that tests run on: those that `REGULUS_TEST_DEVICES` names, separated by commas,
/// and flex without it.
pub fn devices() -> Vec<Device> {
    let names = std::env::var("REGULUS_TEST_DEVICES").unwrap_or_else(|_| "flex".to_string());
    names.split(',').map(|name| device(name.trim())).collect()
}

fn device(name: &str) -> Device {
    match name {
        #[cfg(feature = "flex")]
        "flex" => Device::flex(),
        #[cfg(feature = "ndarray")]
        #[allow(deprecated, reason = "Burn keeps ndarray for now; parity is tested while it does")]
        "ndarray" => Device::ndarray(),
        #[cfg(feature = "wgpu")]
        "wgpu" => Device::wgpu(burn::tensor::DeviceKind::DefaultDevice),
        #[cfg(feature = "cuda")]
        "cuda" => Device::cuda(0),
        other => panic!("the tests are not built for the device {other:?}"),
    }
}

/// A folder of recorded tensors.
pub fn golden(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(name)
}

/// A safetensors file of recorded tensors.
pub struct Recorded(Vec<u8>);

impl Recorded {
    pub fn read(name: &str) -> Self {
        Self(std::fs::read(golden(name)).unwrap())
    }

    pub fn file(&self) -> SafeTensors<'_> {
        SafeTensors::deserialize(&self.0).unwrap()
    }

    /// A tensor as f32, with its shape.
    pub fn values(&self, name: &str) -> (Vec<f32>, Vec<usize>) {
        let file = self.file();
        let tensor = file.tensor(name).unwrap();
        let values = match tensor.dtype() {
            Dtype::F32 => tensor.data().as_chunks().0.iter().map(|b| f32::from_le_bytes(*b)).collect(),
            Dtype::F16 => {
                let halves = tensor.data().as_chunks().0.iter();
                halves.map(|b| burn::tensor::f16::from_le_bytes(*b).to_f32()).collect()
            }
            other => panic!("{name} is {other}"),
        };
        (values, tensor.shape().to_vec())
    }

    pub fn tensor<const D: usize>(&self, name: &str, device: &Device) -> Tensor<D> {
        let (values, shape) = self.values(name);
        Tensor::from_data(TensorData::new(values, shape), device)
    }

    /// Rows of token ids.
    pub fn ids(&self, name: &str) -> Vec<Vec<u32>> {
        let file = self.file();
        let tensor = file.tensor(name).unwrap();
        assert_eq!(tensor.dtype(), Dtype::I64);
        let ids: Vec<u32> =
            tensor.data().as_chunks().0.iter().map(|b| i64::from_le_bytes(*b) as u32).collect();
        ids.chunks(tensor.shape()[1]).map(<[u32]>::to_vec).collect()
    }
}

/// The values of a tensor on the host.
pub fn values<const D: usize>(tensor: &Tensor<D>) -> Vec<f32> {
    tensor.clone().try_into_vec_as().unwrap()
}

/// Panics unless `|a - b| <= tolerance * max(1, max|b|)` everywhere. Gives the largest deviation
/// in that unit.
#[track_caller]
pub fn assert_close<const D: usize>(
    name: &str,
    found: &Tensor<D>,
    expected: &Tensor<D>,
    tolerance: f32,
) -> f32 {
    assert_eq!(found.dims(), expected.dims(), "{name}");
    let (found, expected) = (values(found), values(expected));
    let unit = expected.iter().fold(1.0f32, |largest, value| largest.max(value.abs()));
    let pairs = found.iter().zip(&expected);
    let worst =
        pairs.map(|(a, b)| (a - b).abs() / unit).fold(0.0f32, |a, b| if b > a || b.is_nan() { b } else { a });
    println!("{name}: {worst:e} (tolerance {tolerance:e})");
    assert!(worst <= tolerance, "{name}: deviation {worst:e}, tolerance {tolerance:e}");
    worst
}

/// A model of two small towers that differ in every size.
pub fn small_config() -> ClipConfig {
    ClipConfig {
        embed_dim: 6,
        image: ImageConfig::Vit(VitConfig {
            resolution: 8,
            patch: 4,
            width: 12,
            layers: 2,
            heads: 3,
            mlp_width: 20,
            activation: Activation::QuickGelu,
            layer_norm_eps: 1e-5,
        }),
        text: TextConfig {
            vocab: 7,
            context: 9,
            width: 8,
            layers: 3,
            heads: 2,
            mlp_width: 10,
            activation: Activation::Gelu,
            layer_norm_eps: 1e-5,
            sot_id: 5,
            eot_id: 6,
            pad_id: 6,
            pooling: Pooling::FirstEot,
        },
        logit_scale_init: (1.0f64 / 0.07).ln(),
    }
}

/// The words of [`small_pretrained`].
pub const WORDS: [&str; 5] = ["a", "photo", "of", "cat", "dog"];

/// Texts of different lengths for [`small_config`].
pub fn small_texts() -> Vec<Vec<u32>> {
    vec![vec![5, 0, 3, 6], vec![5, 0, 1, 2, 0, 4, 6], vec![5, 6]]
}

/// Pixels for [`small_config`].
pub fn small_pixels(device: &Device) -> Tensor<4> {
    let mut stream = Stream::new(3, "pixels", 0, 0);
    let values: Vec<f32> = (0..2 * 3 * 8 * 8).map(|_| stream.normal() as f32).collect();
    Tensor::from_data(TensorData::new(values, [2, 3, 8, 8]), device)
}

/// A model of [`small_config`] with tokenizer and preprocessing.
pub fn small_pretrained(device: &Device) -> Pretrained {
    let config = small_config();
    let clip = Clip::init(&config, 1, device).unwrap();
    let tokenizer = Tokenizer::word_level(&WORDS).unwrap();
    Pretrained::from_parts(config, clip, tokenizer, Preprocess::clip(8)).unwrap()
}

/// A copy of the files `names` of the recorded folder `folder`, to be edited.
pub fn copied(folder: &str, names: &[&str]) -> tempfile::TempDir {
    let copy = tempfile::tempdir().unwrap();
    for name in names {
        std::fs::copy(golden(folder).join(name), copy.path().join(name)).unwrap();
    }
    copy
}

/// Changes the JSON file at `path`.
pub fn edit_json(path: &Path, edit: impl Fn(&mut serde_json::Value)) {
    let mut value = serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
    edit(&mut value);
    std::fs::write(path, value.to_string()).unwrap();
}
