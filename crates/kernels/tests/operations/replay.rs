//! One computation with two graphs.

use burn::tensor::{Device, Tensor, TensorData};
use regulus_kernels::{
    AttentionMask, MaskedWeight, attention, computing_anew, computing_once, layer_norm, linear,
    masked_linear, masked_weight, quick_gelu,
};

use crate::cases::{devices, noise, values};

fn tensor<const D: usize>(shape: [usize; D], seed: u64, device: &Device) -> Tensor<D> {
    Tensor::from_data(TensorData::new(noise(shape.iter().product(), seed), shape), device)
}

/// A small block with masked weights; the leaf is the mask of one, and a part of it that of the other.
fn block(mask: &Tensor<1>, device: &Device) -> Tensor<3> {
    let (x, weight) = (tensor([2, 5, 6], 1, device), tensor([18 * 6], 2, device));
    let weight = masked_weight(weight, mask.clone(), 0.0).reshape([18, 6]);
    let normed = layer_norm(x.clone(), tensor([6], 3, device), tensor([6], 4, device), 1e-5);
    let mixed = attention(linear(normed, weight, None), 2, AttentionMask::Full);
    let weight = tensor([6, 6], 6, device);
    let mask = mask.clone().narrow(0, 0, 36).reshape([6, 6]);
    let masked = MaskedWeight { weight, mask, threshold: 0.0 };
    masked_linear(quick_gelu(mixed), masked, tensor([6], 7, device), Some(x))
}

/// Gradients of two objectives of the block's result.
fn both(device: &Device) -> [Vec<f32>; 2] {
    let run = || {
        let mask = tensor([18 * 6], 5, device).require_grad();
        let result = block(&mask, device);
        (mask, result)
    };
    let ((first_mask, first), (second_mask, second)) = computing_once(run, run);
    assert_eq!(values(first.clone()), values(second.clone()));
    let gradient = |mask: Tensor<1>, loss: Tensor<1>| values(mask.grad(&loss.backward()).unwrap());
    [gradient(first_mask, first.sum()), gradient(second_mask, second.powi_scalar(2).sum())]
}

#[test]
fn two_objectives_have_the_gradients_of_two_computations() {
    for device in devices() {
        let device = device.autodiff();
        let once = both(&device);
        assert_eq!(once, computing_anew(|| both(&device)));
        assert_ne!(once[0], once[1]);
    }
}

#[test]
fn what_does_not_fit_is_computed() {
    for device in devices() {
        let device = device.autodiff();
        let mask = tensor([18 * 6], 5, &device);
        let other = || quick_gelu(tensor([3, 5, 6], 9, &device));
        let (_, (got, then)) = computing_once(|| block(&mask, &device), || (other(), block(&mask, &device)));
        assert_eq!(values(got), values(other()));
        assert_eq!(values(then), values(block(&mask, &device)));
    }
}

#[test]
fn an_input_that_was_not_tracked_gets_its_gradient() {
    for device in devices() {
        let device = device.autodiff();
        let weight = tensor([7, 6], 2, &device);
        let run = |x: &Tensor<3>| quick_gelu(linear(x.clone(), weight.clone(), None));
        let frozen = tensor([2, 5, 6], 1, &device);
        let tracked = frozen.clone().require_grad();
        let (_, result) = computing_once(|| run(&frozen), || run(&tracked));
        let got = tracked.grad(&result.sum().backward()).unwrap();
        let expected = tracked.grad(&run(&tracked).sum().backward()).unwrap();
        assert_eq!(values(got), values(expected));
    }
}

#[test]
fn nothing_is_taken_afterwards() {
    let device = devices().remove(0);
    let x = |seed| tensor([2, 5, 6], seed, &device);
    let (_, _) = computing_once(|| (quick_gelu(x(1)), quick_gelu(x(2))), || quick_gelu(x(1)));
    assert_ne!(values(quick_gelu(x(3))), values(quick_gelu(x(2))));
}
