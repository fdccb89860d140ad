//! Random initialisation of a model that is to be trained from scratch.
//!
//! Every parameter has a stream of its own, keyed by its path, so that the values of one do not
//! depend on which others exist or in what order they are drawn.

use crate::config::{ClipConfig, ImageConfig};
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
    let count = shape.iter().product();
    let mut stream = Stream::new(seed, &format!("init {path}"), 0, 0);
    let mut draw = || match start(config, path) {
        Start::Constant(value) => value,
        Start::Normal(deviation) => deviation * stream.normal(),
        Start::Uniform(bound) => stream.range(-bound, bound),
    };
    let values: Vec<f32> = (0..count).map(|_| draw() as f32).collect();
    Tensor::from_data(TensorData::new(values, [count]), device)
}

/// CLIP's attention, embeddings and projections; PyTorch's default for all other linear maps,
/// which is uniform within `1 / sqrt(inputs)` for weights and biases.
fn start(config: &ClipConfig, path: &str) -> Start {
    let in_text = path.starts_with(TEXT_TOWER);
    let (width, mlp_width, patch_values) = match &config.image {
        _ if in_text => (config.text.width, config.text.mlp_width, 0),
        ImageConfig::Vit(vit) => (vit.width, vit.mlp_width, vit.patch_values()),
    };
    let by_inputs = |inputs: usize| 1.0 / (inputs as f64).sqrt();
    let (module, name) = path.rsplit_once('.').unwrap_or(("", path));
    match (module.rsplit('.').next().unwrap_or(module), name) {
        (_, "logit_scale") => Start::Constant(config.logit_scale_init),
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
