//! Times one transformer block, forward and backward with all weights trainable: fused passes against the
//! plain-Burn reference, interleaved, best of several rounds.
//!
//! `RAYON_NUM_THREADS=1 cargo run --release -p regulus-kernels --example block`

use std::time::{Duration, Instant};

use burn::tensor::{Device, Tensor, TensorData};
use regulus_kernels::{AttentionMask, attention, layer_norm, linear, quick_gelu, reference};

/// The operations of a block, fused or plain.
#[derive(Clone, Copy)]
struct Operations {
    linear: fn(Tensor<3>, Tensor<2>, Option<Tensor<1>>) -> Tensor<3>,
    layer_norm: fn(Tensor<3>, Tensor<1>, Tensor<1>, f64) -> Tensor<3>,
    quick_gelu: fn(Tensor<3>) -> Tensor<3>,
    attention: fn(Tensor<3>, usize, AttentionMask) -> Tensor<3>,
}

const FUSED: Operations = Operations { linear, layer_norm, quick_gelu, attention };
const REFERENCE: Operations = Operations {
    linear: reference::linear,
    layer_norm: reference::layer_norm,
    quick_gelu: reference::quick_gelu,
    attention: reference::attention,
};

/// A weight matrix `[out, in]` or normalisation weight, with its bias.
struct Layer<const D: usize> {
    weight: Tensor<D>,
    bias: Tensor<1>,
}

impl<const D: usize> Layer<D> {
    fn new(shape: [usize; D], device: &Device) -> Self {
        let (weight, bias) =
            (values(shape, device).require_grad(), values([shape[0]], device).require_grad());
        Self { weight, bias }
    }
}

struct Block {
    heads: usize,
    norms: [Layer<1>; 2],
    projections: [Layer<2>; 4],
}

impl Block {
    fn new(width: usize, heads: usize, device: &Device) -> Self {
        let shapes = [[3 * width, width], [width, width], [4 * width, width], [width, 4 * width]];
        Self {
            heads,
            norms: [0, 1].map(|_| Layer::new([width], device)),
            projections: shapes.map(|shape| Layer::new(shape, device)),
        }
    }

    fn forward(&self, x: Tensor<3>, operations: Operations) -> Tensor<3> {
        let norm =
            |x, layer: &Layer<1>| (operations.layer_norm)(x, layer.weight.clone(), layer.bias.clone(), 1e-5);
        let project =
            |x, layer: &Layer<2>| (operations.linear)(x, layer.weight.clone(), Some(layer.bias.clone()));
        let [ln_1, ln_2] = &self.norms;
        let [in_proj, out_proj, c_fc, c_proj] = &self.projections;
        let qkv = project(norm(x.clone(), ln_1), in_proj);
        let x = x + project((operations.attention)(qkv, self.heads, AttentionMask::Full), out_proj);
        let hidden = (operations.quick_gelu)(project(norm(x.clone(), ln_2), c_fc));
        x + project(hidden, c_proj)
    }
}

/// Reproducible values in [-0.1, 0.1].
fn values<const D: usize>(shape: [usize; D], device: &Device) -> Tensor<D> {
    let count = shape.iter().product::<usize>();
    let values: Vec<f32> = (0..count).map(|i| ((i * 7919) % 1009) as f32 / 5045.0 - 0.1).collect();
    Tensor::from_data(TensorData::new(values, shape), device)
}

/// The time of one forward pass and of one backward pass.
fn pass(block: &Block, x: &Tensor<3>, operations: Operations) -> [Duration; 2] {
    let start = Instant::now();
    let result = block.forward(x.clone().require_grad(), operations);
    let forward = start.elapsed();
    let gradients = result.sum().backward();
    let both = start.elapsed();
    assert!(block.projections[0].weight.grad(&gradients).is_some());
    [forward, both - forward]
}

fn main() {
    let device = Device::flex().autodiff();
    println!("{} threads; ms forward + backward", rayon::current_num_threads());
    for (batch, tokens, width, heads, rounds) in [(32, 17, 128, 4, 100), (8, 197, 768, 12, 5)] {
        let block = Block::new(width, heads, &device);
        let x = values([batch, tokens, width], &device);
        let mut best = [[Duration::MAX; 2]; 2];
        for _ in 0..rounds {
            for (best, operations) in best.iter_mut().zip([FUSED, REFERENCE]) {
                let times = pass(&block, &x, operations);
                best.iter_mut().zip(times).for_each(|(best, time)| *best = time.min(*best));
            }
        }
        let ms = |time: Duration| time.as_secs_f64() * 1e3;
        let [fused, plain] = best.map(|times| times.iter().sum::<Duration>());
        println!(
            "batch {batch}, {tokens} tokens, width {width}: fused {:.2} + {:.2}, reference {:.2} + {:.2}, ratio {:.2}",
            ms(best[0][0]),
            ms(best[0][1]),
            ms(best[1][0]),
            ms(best[1][1]),
            ms(plain) / ms(fused),
        );
    }
}
