//! The operations of residual networks, fused against plain, at sizes that fill nothing evenly.

use burn::tensor::{Device, Tensor, TensorData};
use regulus_kernels::{add_relu, batch_norm, conv2d, reference, relu};

use crate::cases::{EPS, devices, distance, noise, values};

fn tensor<const D: usize>(shape: [usize; D], seed: u64, device: &Device) -> Tensor<D> {
    Tensor::from_data(TensorData::new(noise(shape.iter().product(), seed), shape), device)
}

/// The result, and the gradients of a weighted sum of it in all inputs.
fn differentiated(
    inputs: (Tensor<4>, Tensor<4>, [Tensor<1>; 2]),
    work: impl Fn(Tensor<4>, Tensor<4>, [Tensor<1>; 2]) -> Tensor<4>,
) -> Vec<Vec<f32>> {
    let (x, other) = (inputs.0.require_grad(), inputs.1.require_grad());
    let vectors = inputs.2.map(Tensor::require_grad);
    let result = work(x.clone(), other.clone(), vectors.clone());
    let weights = tensor(result.dims(), 99, &result.device());
    let gradients = (result.clone() * weights).sum().backward();
    let of = [x.grad(&gradients), other.grad(&gradients)].into_iter().flatten().map(values);
    let of_vectors = vectors.iter().filter_map(|vector| vector.grad(&gradients)).map(values);
    [values(result)].into_iter().chain(of).chain(of_vectors).collect()
}

fn assert_agree(got: &[Vec<f32>], expected: &[Vec<f32>], what: &str) {
    assert_eq!(got.len(), expected.len(), "{what}");
    for (index, (got, expected)) in got.iter().zip(expected).enumerate() {
        let expected: Vec<f64> = expected.iter().copied().map(f64::from).collect();
        let (distance, tolerance) = (distance(got, &expected), if index == 0 { 1e-5 } else { 1e-4 });
        assert!(distance < tolerance, "{what}, output {index}: {distance}");
    }
}

#[test]
fn convolutions_agree_with_plain_ones() {
    let sizes = [
        // batch, in, out, height, width, side, stride, padding
        (1, 1, 1, 1, 1, 1, 1, 0),
        (2, 3, 5, 9, 7, 3, 1, 1),
        (3, 3, 4, 11, 12, 7, 2, 3),
        (2, 6, 5, 8, 9, 1, 2, 0),
        (9, 17, 19, 7, 7, 3, 1, 1),
        (9, 33, 18, 7, 7, 1, 1, 0),
        (2, 4, 3, 30, 31, 1, 1, 0),
        (2, 4, 3, 30, 31, 3, 2, 1),
        (5, 2, 3, 2, 3, 3, 1, 1),
        (2, 3, 4, 9, 8, 3, 1, 0),
        (2, 3, 4, 6, 5, 3, 1, 2),
        (2, 2, 3, 4, 4, 5, 1, 4),
        (2, 2, 3, 5, 4, 1, 1, 1),
        (3, 2, 3, 7, 8, 4, 2, 1),
        (2, 2, 3, 9, 9, 2, 3, 0),
        // Groups of 3, 3 and 1 images, and of 2, 2 and 1.
        (7, 3, 4, 13, 13, 3, 1, 1),
        (5, 3, 4, 29, 29, 3, 2, 1),
    ];
    for device in devices() {
        let device = device.autodiff();
        for (batch, inputs, outputs, height, width, side, stride, padding) in sizes {
            let x = tensor([batch, inputs, height, width], 1, &device);
            let weight = tensor([outputs, inputs, side, side], 2, &device);
            let bias = [tensor([outputs], 3, &device), tensor([1], 4, &device)];
            for with_bias in [true, false] {
                let run =
                    |convolve: fn(Tensor<4>, Tensor<4>, Option<Tensor<1>>, usize, usize) -> Tensor<4>| {
                        differentiated((x.clone(), weight.clone(), bias.clone()), |x, weight, [bias, _]| {
                            convolve(x, weight, with_bias.then_some(bias), stride, padding)
                        })
                    };
                let what =
                    format!("{batch}x{inputs}x{height}x{width} to {outputs} by {side}/{stride}+{padding}");
                assert_agree(&run(conv2d), &run(reference::conv2d), &what);
            }
        }
    }
}

#[test]
fn only_what_is_tracked_has_a_gradient() {
    for device in devices() {
        let device = device.autodiff();
        let (x, weight) = (tensor([2, 3, 5, 5], 1, &device), tensor([4, 3, 3, 3], 2, &device));
        let both = (x.clone().require_grad(), weight.clone().require_grad());
        let all = conv2d(both.0.clone(), both.1.clone(), None, 1, 1).sum().backward();
        let tracked = x.clone().require_grad();
        let gradients = conv2d(tracked.clone(), weight.clone(), None, 1, 1).sum().backward();
        assert_eq!(values(tracked.grad(&gradients).unwrap()), values(both.0.grad(&all).unwrap()));
        let tracked = weight.require_grad();
        let gradients = conv2d(x.clone(), tracked.clone(), None, 1, 1).sum().backward();
        assert_eq!(values(tracked.grad(&gradients).unwrap()), values(both.1.grad(&all).unwrap()));
        assert!(x.grad(&gradients).is_none());
    }
}

#[test]
fn batch_normalisation_agrees_with_the_plain_one() {
    for device in devices() {
        let device = device.autodiff();
        for dims in [[2, 1, 1, 1], [3, 5, 4, 7], [8, 3, 17, 16], [1, 2, 1, 3]] {
            let x = tensor(dims, 1, &device) * 3.0 + 10.0;
            let vectors = [tensor([dims[1]], 2, &device), tensor([dims[1]], 3, &device)];
            let run = |fused: bool| {
                differentiated((x.clone(), x.clone(), vectors.clone()), |x, _, [weight, bias]| {
                    let normalise = if fused { batch_norm } else { reference::batch_norm };
                    normalise(x, weight, bias, EPS).output
                })
            };
            assert_agree(&run(true), &run(false), &format!("{dims:?}"));
            let [weight, bias] = vectors.clone();
            let fused = batch_norm(x.clone(), weight.clone(), bias.clone(), EPS);
            let plain = reference::batch_norm(x.clone(), weight, bias, EPS);
            assert!(!fused.mean.is_tracked() && !fused.variance.is_tracked());
            let statistics = [[fused.mean, fused.variance], [plain.mean, plain.variance]];
            let [fused, plain] = statistics.map(|pair| pair.map(values).to_vec());
            assert_agree(&fused, &plain, &format!("statistics of {dims:?}"));
        }
    }
}

#[test]
fn rectified_sums_agree_with_plain_ones() {
    for device in devices() {
        let device = device.autodiff();
        let shape = [3, 7, 41, 43];
        let inputs = (tensor(shape, 1, &device), tensor(shape, 2, &device));
        let run = |work: fn(Tensor<4>, Tensor<4>) -> Tensor<4>| {
            let vectors = [tensor([1], 3, &device), tensor([1], 4, &device)];
            differentiated((inputs.0.clone(), inputs.1.clone(), vectors), |a, b, _| work(a, b))
        };
        assert_eq!(run(add_relu), run(|a, b| reference::relu(a + b)));
        assert_eq!(run(|a, _| relu(a)), run(|a, _| reference::relu(a)));
        let odd =
            Tensor::<1>::from_data([f32::NAN, -0.0, -1.0, f32::INFINITY], &device).reshape([1, 1, 1, 4]);
        let cut = values(relu(odd));
        assert!(cut[0].is_nan());
        assert_eq!(cut[1..], [0.0, 0.0, f32::INFINITY]);
    }
}
