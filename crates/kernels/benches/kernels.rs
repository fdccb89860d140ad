//! Every operation at the sizes that it has in CLIP ViT-B/16 (convolutions: ResNet-50), beside its plain-Burn reference.
//!
//! Both are measured in one run, one after the other, so that a ratio does not compare two states of the machine. The
//! products also run in bf16 where the processor has units for it; the reference is always f32.

use std::hint::black_box;
use std::time::Duration;

use burn::tensor::{Device, Tensor, TensorData};
use criterion::measurement::WallTime;
use criterion::{BenchmarkGroup, Criterion};
use regulus_kernels::{
    AttentionMask, Gelu, MaskedWeight, MatmulPrecision, Normalised, Packing, add_linear, amx_available,
    attention, batch_norm, conv2d, gelu_erf, layer_norm, linear, linear_gelu, masked_linear, masked_weight,
    multiplying_in, packed_attention, quick_gelu, reference,
};

/// Images of a batch.
const BATCH: usize = 8;
/// The class token and 14 x 14 patches.
const TOKENS: usize = 197;
/// Width and heads of the image tower.
const IMAGE: (usize, usize) = (768, 12);
/// Width and heads of the text tower.
const TEXT: (usize, usize) = (512, 8);
/// Prompts of a batch of texts, and their tokens.
const TEXTS: (usize, usize) = (16, 77);

fn main() {
    let mut criterion = Criterion::default().configure_from_args();
    let device = Device::flex().autodiff();
    linear_layers(&mut criterion, &device);
    layers_with_more(&mut criterion, &device);
    attentions(&mut criterion, &device);
    elementwise(&mut criterion, &device);
    convolutions(&mut criterion, &device);
    criterion.final_summary();
}

/// The precisions that are worth measuring: without units for bf16 it is emulated, for comparing values only.
fn precisions() -> Vec<(&'static str, MatmulPrecision)> {
    let mut precisions = vec![("f32", MatmulPrecision::F32)];
    if amx_available() {
        precisions.extend([("bf16x3", MatmulPrecision::Bf16x3), ("bf16", MatmulPrecision::Bf16)]);
    }
    precisions
}

fn group<'a>(criterion: &'a mut Criterion, name: &str) -> BenchmarkGroup<'a, WallTime> {
    let mut group = criterion.benchmark_group(name);
    group.sample_size(20).warm_up_time(Duration::from_secs(1)).measurement_time(Duration::from_secs(3));
    group
}

/// Times what `work` makes.
fn time<T>(group: &mut BenchmarkGroup<'_, WallTime>, name: &str, mut work: impl FnMut() -> T) {
    group.bench_function(name, |bencher| bencher.iter(|| black_box(work())));
}

/// Times an operation that multiplies in every precision, then its reference.
fn time_products<T>(
    criterion: &mut Criterion,
    name: &str,
    mut fused: impl FnMut() -> T,
    plain: impl FnMut() -> T,
) {
    let mut group = group(criterion, name);
    for (precision, value) in precisions() {
        time(&mut group, precision, || multiplying_in(value, &mut fused));
    }
    time(&mut group, "plain Burn", plain);
    group.finish();
}

/// Times an operation and its reference.
fn time_both<T>(criterion: &mut Criterion, name: &str, fused: impl FnMut() -> T, plain: impl FnMut() -> T) {
    let mut group = group(criterion, name);
    time(&mut group, "fused", fused);
    time(&mut group, "plain Burn", plain);
    group.finish();
}

/// Reproducible values in [-0.1, 0.1].
fn values<const D: usize>(shape: [usize; D], device: &Device) -> Tensor<D> {
    let count = shape.iter().product::<usize>();
    let values: Vec<f32> = (0..count).map(|i| ((i * 7919) % 1009) as f32 / 5045.0 - 0.1).collect();
    Tensor::from_data(TensorData::new(values, shape), device)
}

/// The way back from an output whose gradient is 1 everywhere.
fn backward<const D: usize>(output: Tensor<D>) {
    black_box(output.sum().backward());
}

fn linear_layers(criterion: &mut Criterion, device: &Device) {
    let (width, _) = IMAGE;
    let (x, weight, bias) = (
        values([BATCH, TOKENS, width], device),
        values([4 * width, width], device),
        values([4 * width], device),
    );
    // Frozen: what does not need gradients is packed once and kept.
    let arguments = || (x.clone(), weight.clone(), Some(bias.clone()));
    let forward = |(x, weight, bias)| linear(x, weight, bias);
    let plain = |(x, weight, bias)| reference::linear(x, weight, bias);
    time_products(criterion, "linear, frozen", || forward(arguments()), || plain(arguments()));

    let input = x.clone().require_grad();
    let arguments = || (input.clone(), weight.clone(), Some(bias.clone()));
    time_products(
        criterion,
        "linear, frozen, with backward",
        || backward(forward(arguments())),
        || backward(plain(arguments())),
    );

    let (input, weight, bias) = (x.require_grad(), weight.require_grad(), bias.require_grad());
    let arguments = || (input.clone(), weight.clone(), Some(bias.clone()));
    time_products(criterion, "linear", || forward(arguments()), || plain(arguments()));
    time_products(
        criterion,
        "linear, with backward",
        || backward(forward(arguments())),
        || backward(plain(arguments())),
    );
}

/// Layers with what is before their product or behind it.
fn layers_with_more(criterion: &mut Criterion, device: &Device) {
    let (width, _) = IMAGE;
    let x = values([BATCH, TOKENS, width], device).require_grad();
    let (weight, bias) = (values([4 * width, width], device), values([4 * width], device));
    let arguments = || (x.clone(), weight.clone(), bias.clone());
    let fused = |(x, weight, bias)| linear_gelu(x, weight, bias, Gelu::Quick);
    let plain = |(x, weight, bias)| reference::linear_gelu(x, weight, bias, Gelu::Quick);
    let [forward, both] = ["linear, quick_gelu", "linear, quick_gelu, with backward"];
    time_products(criterion, forward, || fused(arguments()), || plain(arguments()));
    time_products(criterion, both, || backward(fused(arguments())), || backward(plain(arguments())));

    let mask = values([4 * width, width], device).require_grad();
    let masked = || MaskedWeight { weight: weight.clone(), mask: mask.clone(), threshold: 5e-3 };
    let arguments = || (x.clone(), masked(), bias.clone());
    let fused = |(x, masked, bias)| masked_linear(x, masked, bias, None);
    let plain = |(x, masked, bias)| reference::masked_linear(x, masked, bias, None);
    let [forward, both] = ["masked linear", "masked linear, with backward"];
    time_products(criterion, forward, || fused(arguments()), || plain(arguments()));
    time_products(criterion, both, || backward(fused(arguments())), || backward(plain(arguments())));

    let (weight, bias) = (values([width, width], device), values([width], device));
    let arguments = || (x.clone(), x.clone(), weight.clone(), bias.clone());
    let fused = |(residual, x, weight, bias)| add_linear(residual, x, weight, bias);
    let plain = |(residual, x, weight, bias)| reference::add_linear(residual, x, weight, bias);
    let [forward, both] = ["linear, residual", "linear, residual, with backward"];
    time_products(criterion, forward, || fused(arguments()), || plain(arguments()));
    time_products(criterion, both, || backward(fused(arguments())), || backward(plain(arguments())));
}

fn attentions(criterion: &mut Criterion, device: &Device) {
    let (texts, context) = TEXTS;
    for (name, mask, [batch, tokens], (width, heads)) in [
        ("attention", AttentionMask::Full, [BATCH, TOKENS], IMAGE),
        ("causal attention", AttentionMask::Causal, [texts, context], TEXT),
    ] {
        let qkv = values([batch, tokens, 3 * width], device);
        let fused = |qkv: &Tensor<3>| attention(qkv.clone(), heads, mask);
        let plain = |qkv: &Tensor<3>| reference::attention(qkv.clone(), heads, mask);
        time_products(criterion, name, || fused(&qkv), || plain(&qkv));
        let qkv = qkv.require_grad();
        let name = format!("{name}, with backward");
        time_products(criterion, &name, || backward(fused(&qkv)), || backward(plain(&qkv)));
    }

    // A hundred classes, "a photo of a ...": what differs are three to six tokens.
    let lengths: Vec<usize> = (0..100).map(|class| 3 + class % 4).collect();
    let packing = Packing::new(5, &lengths);
    let (width, heads) = TEXT;
    let qkv = values([1, packing.positions(), 3 * width], device);
    let fused = |qkv: &Tensor<3>| packed_attention(qkv.clone(), heads, &packing);
    let plain = |qkv: &Tensor<3>| reference::packed_attention(qkv.clone(), heads, &packing);
    time_products(criterion, "packed attention", || fused(&qkv), || plain(&qkv));
    let qkv = qkv.require_grad();
    let name = "packed attention, with backward";
    time_products(criterion, name, || backward(fused(&qkv)), || backward(plain(&qkv)));
}

fn elementwise(criterion: &mut Criterion, device: &Device) {
    let (width, _) = IMAGE;
    let x = values([BATCH, TOKENS, width], device).require_grad();
    let [weight, bias] = [(); 2].map(|()| values([width], device).require_grad());
    let fused = || layer_norm(x.clone(), weight.clone(), bias.clone(), 1e-5);
    let plain = || reference::layer_norm(x.clone(), weight.clone(), bias.clone(), 1e-5);
    time_both(criterion, "layer_norm", fused, plain);
    time_both(criterion, "layer_norm, with backward", || backward(fused()), || backward(plain()));

    type Activation = fn(Tensor<3>) -> Tensor<3>;
    let activations: [(&str, Activation, Activation); 2] =
        [("quick_gelu", quick_gelu, reference::quick_gelu), ("gelu_erf", gelu_erf, reference::gelu_erf)];
    let x = values([BATCH, TOKENS, 4 * width], device).require_grad();
    for (name, fused, plain) in activations {
        time_both(criterion, name, || fused(x.clone()), || plain(x.clone()));
        let name = format!("{name}, with backward");
        time_both(criterion, &name, || backward(fused(x.clone())), || backward(plain(x.clone())));
    }

    let [weight, mask] = [(); 2].map(|()| values([4 * width * width], device).require_grad());
    let fused = || masked_weight(weight.clone(), mask.clone(), 5e-3);
    let plain = || reference::masked_weight(weight.clone(), mask.clone(), 5e-3);
    time_both(criterion, "masked_weight", fused, plain);
    time_both(criterion, "masked_weight, with backward", || backward(fused()), || backward(plain()));
}

fn convolutions(criterion: &mut Criterion, device: &Device) {
    let (channels, side) = (64, 56);
    let x = values([BATCH, channels, side, side], device).require_grad();
    let weight = values([channels, channels, 3, 3], device).require_grad();
    let fused = || conv2d(x.clone(), weight.clone(), None, 1, 1);
    let plain = || reference::conv2d(x.clone(), weight.clone(), None, 1, 1);
    time_products(criterion, "conv2d 3x3", fused, plain);
    time_products(criterion, "conv2d 3x3, with backward", || backward(fused()), || backward(plain()));

    let [weight, bias] = [(); 2].map(|()| values([channels], device).require_grad());
    let fused = || batch_norm(x.clone(), weight.clone(), bias.clone(), 1e-5);
    let plain = || reference::batch_norm(x.clone(), weight.clone(), bias.clone(), 1e-5);
    time_both(criterion, "batch_norm", fused, plain);
    let output = |Normalised { output, .. }: Normalised<4>| backward(output);
    time_both(criterion, "batch_norm, with backward", || output(fused()), || output(plain()));
}
