//! Random initialisation of a model that is to be trained from scratch.
//!
//! Every parameter has a stream of its own, keyed by its path, so that the values of one do not
//! depend on which others exist or in what order they are drawn.

use crate::config::{ClipConfig, ImageConfig, ResNetConfig, VitConfig};
use crate::text::TEXT_TOWER;
use burn::tensor::{Device, Tensor, TensorData};
use regulus_images::random::Stream;

/// The distribution of the initial values of a parameter.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Start {
    Constant(f64),
    /// Mean 0 and this standard deviation.
    Normal(f64),
    /// Between minus and plus this bound.
    Uniform(f64),
}

/// The initial value of the parameter at `path`, flattened.
pub(crate) fn parameter(
    config: &ClipConfig,
    seed: u64,
    path: &str,
    shape: &[usize],
    device: &Device,
) -> Tensor<1> {
    drawn(start(config, path, shape), seed, path, shape, device)
}

/// The initial value of the parameter at `path` of torchvision's residual networks, flattened (`models/resnet.py`):
/// convolutions from He et al. 2015, by their outputs; a classifier starts without bias.
pub(crate) fn resnet_backbone(seed: u64, path: &str, shape: &[usize], device: &Device) -> Tensor<1> {
    let start = match *shape {
        [outputs, _, height, width] => Start::Normal((2.0 / (outputs * height * width) as f64).sqrt()),
        [_, inputs] => Start::Uniform(by_inputs(inputs)),
        _ if path.ends_with("weight") || path.ends_with("running_var") => Start::Constant(1.0),
        _ => Start::Constant(0.0),
    };
    drawn(start, seed, path, shape, device)
}

/// The initial value of the parameter at `path` of `timm`'s vision transformers, flattened (`init_weights_vit_timm`):
/// linear maps and positions from N(0, 0.02) without biases, PyTorch's default for the patches, a class token that
/// is nearly 0. `timm` cuts the normal distribution at 100 standard deviations, which nothing reaches.
pub(crate) fn vit_backbone(
    config: &VitConfig,
    seed: u64,
    path: &str,
    shape: &[usize],
    device: &Device,
) -> Tensor<1> {
    let start = match path.rsplit('.').next().unwrap_or(path) {
        _ if path.starts_with("conv1") => Start::Uniform(by_inputs(config.patch_values())),
        "class_embedding" => Start::Normal(1e-6),
        name if name.contains("bias") => Start::Constant(0.0),
        _ if shape.len() > 1 => Start::Normal(0.02),
        _ => Start::Constant(1.0),
    };
    drawn(start, seed, path, shape, device)
}

fn drawn(start: Start, seed: u64, path: &str, shape: &[usize], device: &Device) -> Tensor<1> {
    let count = shape.iter().product();
    let mut stream = Stream::new(seed, &format!("init {path}"), 0, 0);
    let mut draw = || match start {
        Start::Constant(value) => value,
        Start::Normal(deviation) => deviation * stream.normal(),
        Start::Uniform(bound) => stream.range(-bound, bound),
    };
    let values: Vec<f32> = (0..count).map(|_| draw() as f32).collect();
    Tensor::from_data(TensorData::new(values, [count]), device)
}

/// CLIP's attention, embeddings and projections; PyTorch's default for all other linear maps,
/// which is uniform within `1 / sqrt(inputs)` for weights and biases.
fn start(config: &ClipConfig, path: &str, shape: &[usize]) -> Start {
    if path == "logit_scale" {
        return Start::Constant(config.logit_scale_init);
    }
    let in_text = path.starts_with(TEXT_TOWER);
    let (width, mlp_width, patch_values) = match &config.image {
        _ if in_text => (config.text.width, config.text.mlp_width, 0),
        ImageConfig::Vit(vit) => (vit.width, vit.mlp_width, vit.patch_values()),
        ImageConfig::ResNet(resnet) => return resnet_start(resnet, path, shape),
    };
    let (module, name) = path.rsplit_once('.').unwrap_or(("", path));
    match (module.rsplit('.').next().unwrap_or(module), name) {
        ("ln_pre" | "ln_1" | "ln_2" | "ln_post" | "ln_final", "weight") => Start::Constant(1.0),
        ("ln_pre" | "ln_1" | "ln_2" | "ln_post" | "ln_final", _) => Start::Constant(0.0),
        (_, "in_proj_bias") | ("out_proj", "bias") => Start::Constant(0.0),
        (_, "in_proj_weight" | "class_embedding" | "proj" | "text_projection") => {
            Start::Normal(by_inputs(width))
        }
        (_, "positional_embedding") => Start::Normal(if in_text { 0.01 } else { by_inputs(width) }),
        ("token_embedding", _) => Start::Normal(0.02),
        ("conv1", _) => Start::Uniform(by_inputs(patch_values)),
        ("c_proj", _) => Start::Uniform(by_inputs(mlp_width)),
        _ => Start::Uniform(by_inputs(width)),
    }
}

/// As OpenAI initialises the attention pool and the last normalisation of each block, which starts
/// at zero so that a block begins as its shortcut (openai/CLIP, `clip/model.py`,
/// `initialize_parameters`); PyTorch's default for all else.
fn resnet_start(config: &ResNetConfig, path: &str, shape: &[usize]) -> Start {
    let (module, name) = path.rsplit_once('.').unwrap_or(("", path));
    let pooled = by_inputs(config.pooled_width());
    match name {
        "positional_embedding" => Start::Normal(pooled),
        "weight" if module.contains("attnpool") => Start::Normal(pooled),
        "bias" if module.contains("attnpool") => Start::Uniform(pooled),
        "weight" if shape.len() > 1 => Start::Uniform(by_inputs(shape.iter().skip(1).product())),
        "weight" if module.contains("layer") && module.ends_with("bn3") => Start::Constant(0.0),
        "weight" | "running_var" => Start::Constant(1.0),
        _ => Start::Constant(0.0),
    }
}

/// One over the square root of the number of inputs.
fn by_inputs(inputs: usize) -> f64 {
    1.0 / (inputs as f64).sqrt()
}
