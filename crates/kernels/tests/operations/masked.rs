//! Masked weights and linear layers of them against their formulas.

use burn::tensor::{Device, Tensor, TensorData};
use regulus_kernels::{MaskedWeight, masked_linear, masked_weight, reference};
#[cfg(feature = "flex")]
use regulus_kernels::{MatmulPrecision, add_linear, linear, multiplying_in};

use crate::cases::{devices, distance, noise, values};

const THRESHOLD: f64 = 0.25;

type Layer = fn(Tensor<3>, MaskedWeight, Tensor<1>, Option<Tensor<3>>) -> Tensor<3>;

fn tensor<const D: usize>(shape: [usize; D], seed: u64, device: &Device) -> Tensor<D> {
    Tensor::from_data(TensorData::new(noise(shape.iter().product(), seed), shape), device)
}

#[test]
fn masked_weights_are_exact_and_their_gradients_pass_straight_through() {
    for device in devices() {
        let device = device.autodiff();
        let (weight, mask) = (tensor([70_001], 1, &device), tensor([70_001], 2, &device));
        let cotangent = tensor([70_001], 3, &device);
        let run = |masked: fn(Tensor<1>, Tensor<1>, f64) -> Tensor<1>| {
            let (weight, mask) = (weight.clone().require_grad(), mask.clone().require_grad());
            let result = masked(weight.clone(), mask.clone(), 0.25);
            let gradients = (result.clone() * cotangent.clone()).sum().backward();
            [result, weight.grad(&gradients).unwrap(), mask.grad(&gradients).unwrap()].map(values)
        };
        assert_eq!(run(masked_weight), run(reference::masked_weight));
    }
}

/// A layer of `[batch, tokens, in]` and `[out]` features.
#[derive(Debug, Clone, Copy)]
struct Size {
    x: [usize; 3],
    out: usize,
    residual: bool,
}

/// Every size of rows and features, with and without a residual.
fn sizes() -> Vec<Size> {
    let rows = [[1, 1], [3, 7], [2, 77], [1, 197]];
    let features = [[8, 13], [20, 20], [96, 5], [33, 130]];
    let both = rows.iter().flat_map(|&[batch, tokens]| {
        features.iter().map(move |&[width, out]| Size { x: [batch, tokens, width], out, residual: false })
    });
    both.flat_map(|size| [size, Size { residual: true, ..size }]).collect()
}

impl Size {
    /// The result, and the gradients of the input, the weight, the mask, the bias and the residual.
    fn differentiated(self, layer: Layer, device: &Device) -> Vec<Vec<f32>> {
        self.tracking([true; 5], layer, device).into_iter().flatten().collect()
    }

    /// The same, of those inputs that are tracked.
    fn tracking(self, tracked: [bool; 5], layer: Layer, device: &Device) -> [Option<Vec<f32>>; 6] {
        let Self { x: [batch, tokens, width], out, residual } = self;
        let [of_x, of_weight, of_mask, of_bias, of_residual] = tracked;
        let x = leaf([batch, tokens, width], 1, of_x, device);
        let weight = leaf([out, width], 2, of_weight, device);
        let mask = leaf([out, width], 3, of_mask, device);
        let bias = leaf([out], 4, of_bias, device);
        let residual = residual.then(|| leaf([batch, tokens, out], 5, of_residual, device));
        let masked = MaskedWeight { weight: weight.clone(), mask: mask.clone(), threshold: THRESHOLD };
        let result = layer(x.clone(), masked, bias.clone(), residual.clone());
        let cotangent = tensor([batch, tokens, out], 6, device);
        let gradients = (result.clone() * cotangent).sum().backward();
        let [x, residual] =
            [Some(x), residual].map(|leaf| leaf.and_then(|leaf| leaf.grad(&gradients)).map(values));
        let [weight, mask] = [weight, mask].map(|leaf| leaf.grad(&gradients).map(values));
        [Some(values(result)), x, weight, mask, bias.grad(&gradients).map(values), residual]
    }
}

/// Values on a device, tracked or not.
fn leaf<const D: usize>(shape: [usize; D], seed: u64, tracked: bool, device: &Device) -> Tensor<D> {
    let values = tensor(shape, seed, device);
    if tracked { values.require_grad() } else { values }
}

#[test]
fn a_masked_layer_is_a_layer_of_the_masked_weight() {
    for device in devices() {
        let device = device.autodiff();
        for size in sizes() {
            let got = size.differentiated(masked_linear, &device);
            let expected = size.differentiated(reference::masked_linear, &device);
            assert_eq!(got.len(), if size.residual { 6 } else { 5 });
            for (index, (got, expected)) in got.iter().zip(&expected).enumerate() {
                let expected: Vec<f64> = expected.iter().copied().map(f64::from).collect();
                let (distance, allowed) = (distance(got, &expected), if index == 0 { 1e-5 } else { 1e-4 });
                assert!(distance < allowed, "{size:?}, {index}: {distance}");
            }
        }
    }
}

/// Zeros that are put in while a weight is packed are those of a masked copy.
#[cfg(feature = "flex")]
#[test]
fn masking_on_the_way_changes_no_bit() {
    let two_passes: Layer = |x, MaskedWeight { weight, mask, threshold }, bias, residual| {
        let [out, width] = weight.dims();
        let [weight, mask] = [weight, mask].map(|values| values.reshape([out * width]));
        let weight = masked_weight(weight, mask, threshold).reshape([out, width]);
        match residual {
            Some(residual) => add_linear(residual, x, weight, bias),
            None => linear(x, weight, Some(bias)),
        }
    };
    let device = Device::flex().autodiff();
    for precision in MatmulPrecision::ALL {
        multiplying_in(precision, || {
            for size in sizes() {
                let got = size.differentiated(masked_linear, &device);
                assert_eq!(got, size.differentiated(two_passes, &device), "{size:?}");
            }
        });
    }
}

/// Whatever else is tracked, a gradient is the same; what is not tracked has none.
#[test]
fn any_inputs_may_be_tracked() {
    for device in devices() {
        let device = device.autodiff();
        for size in [[2, 9, 6], [3, 11, 20]].map(|x| Size { x, out: 7, residual: true }) {
            let all = size.tracking([true; 5], masked_linear, &device);
            for subset in 1..32usize {
                let tracked: [bool; 5] = std::array::from_fn(|input| subset >> input & 1 == 1);
                let got = size.tracking(tracked, masked_linear, &device);
                assert_eq!(got[0], all[0], "{tracked:?}");
                for (input, tracked) in tracked.into_iter().enumerate() {
                    let expected = all[input + 1].as_ref().filter(|_| tracked);
                    assert_eq!(got[input + 1].as_ref(), expected, "{input} of subset {subset}");
                }
            }
        }
    }
}

#[test]
#[should_panic(expected = "masked_linear")]
fn a_mask_is_as_large_as_its_weight() {
    let device = devices().remove(0);
    let masked = MaskedWeight {
        weight: tensor([5, 6], 1, &device),
        mask: tensor([6, 5], 2, &device),
        threshold: THRESHOLD,
    };
    masked_linear(tensor([1, 2, 6], 3, &device), masked, tensor([5], 4, &device), None);
}
