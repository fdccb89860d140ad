//! Packed texts against each text alone.

use burn::tensor::{Device, Tensor, TensorData};
use regulus_kernels::{AttentionMask, Packing, attention, packed_attention, reference};

use crate::cases::{devices, distance, noise, values};

const WIDTH: usize = 20;
const HEADS: usize = 4;

fn tensor<const D: usize>(shape: [usize; D], seed: u64, device: &Device) -> Tensor<D> {
    Tensor::from_data(TensorData::new(noise(shape.iter().product(), seed), shape), device)
}

/// Result and gradient of attention, each text alone behind a copy of the common positions.
fn alone(qkv: &Tensor<3>, packing: &Packing, cotangent: &Tensor<3>) -> [Vec<f64>; 2] {
    let qkv = qkv.clone().require_grad();
    let common = qkv.clone().narrow(1, 0, packing.common());
    let (mut parts, mut next) = (Vec::new(), packing.common());
    for &length in packing.lengths() {
        let text = Tensor::cat(vec![common.clone(), qkv.clone().narrow(1, next, length)], 1);
        let mixed = reference::attention(text, HEADS, AttentionMask::Causal);
        parts.push(mixed.narrow(1, packing.common(), length));
        next += length;
    }
    parts.insert(0, reference::attention(common, HEADS, AttentionMask::Causal));
    let result = Tensor::cat(parts, 1);
    let gradients = (result.clone() * cotangent.clone()).sum().backward();
    [result, qkv.grad(&gradients).unwrap()].map(|tensor| values(tensor).into_iter().map(f64::from).collect())
}

fn packed(
    qkv: &Tensor<3>,
    packing: &Packing,
    cotangent: &Tensor<3>,
    attention: fn(Tensor<3>, usize, &Packing) -> Tensor<3>,
) -> [Vec<f32>; 2] {
    let qkv = qkv.clone().require_grad();
    let result = attention(qkv.clone(), HEADS, packing);
    let gradients = (result.clone() * cotangent.clone()).sum().backward();
    [values(result), values(qkv.grad(&gradients).unwrap())]
}

#[test]
fn packed_texts_see_what_each_sees_alone() {
    let many: Vec<usize> = (0..37).map(|text| 1 + text * 5 % 9).collect();
    for (common, lengths) in [(1, vec![1, 1]), (3, vec![2, 1, 7]), (17, many), (5, vec![4; 16])] {
        let packing = Packing::new(common, &lengths);
        for device in devices() {
            let device = device.autodiff();
            let qkv = tensor([1, packing.positions(), 3 * WIDTH], 1, &device) * 3.0;
            let cotangent = tensor([1, packing.positions(), WIDTH], 2, &device);
            let expected = alone(&qkv, &packing, &cotangent);
            for attention in [packed_attention, reference::packed_attention] {
                let got = packed(&qkv, &packing, &cotangent, attention);
                for (got, expected) in got.iter().zip(&expected) {
                    let distance = distance(got, expected);
                    assert!(distance < 1e-5, "{packing:?}: {distance}");
                }
            }
        }
    }
}

#[cfg(feature = "flex")]
#[test]
fn sums_over_texts_do_not_depend_on_threads() {
    let lengths: Vec<usize> = (0..100).map(|text| 1 + text % 7).collect();
    let packing = Packing::new(5, &lengths);
    let device = Device::flex().autodiff();
    let qkv = tensor([1, packing.positions(), 3 * WIDTH], 1, &device);
    let cotangent = tensor([1, packing.positions(), WIDTH], 2, &device);
    let on = |threads: usize| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| packed(&qkv, &packing, &cotangent, packed_attention))
    };
    assert_eq!(on(1), on(3));
}

#[test]
fn one_text_alone_is_plain_attention() {
    let device = devices().remove(0);
    let qkv = tensor([1, 9, 3 * WIDTH], 1, &device);
    let got = packed_attention(qkv.clone(), HEADS, &Packing::new(4, &[5]));
    let expected = values(attention(qkv, HEADS, AttentionMask::Causal)).into_iter().map(f64::from);
    assert!(distance(&values(got), &expected.collect::<Vec<_>>()) < 1e-5);
}

#[test]
#[should_panic(expected = "cannot be packed")]
fn a_text_needs_a_position_of_its_own() {
    Packing::new(3, &[2, 0]);
}
