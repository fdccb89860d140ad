//! How the operations take part in autodiff: frozen inputs, mixed devices, views, checkpointing, sharing.

use burn::tensor::{DType, Device, Tensor, TensorData};
use regulus_kernels::{AttentionMask, attention, layer_norm, linear, quick_gelu, reference};

use crate::cases::{devices, distance, noise, values};

fn tensor<const D: usize>(shape: [usize; D], seed: u64, device: &Device) -> Tensor<D> {
    Tensor::from_data(TensorData::new(noise(shape.iter().product(), seed), shape), device)
}

fn close<const D: usize>(got: Tensor<D>, expected: Tensor<D>) {
    let expected: Vec<f64> = values(expected).into_iter().map(f64::from).collect();
    let distance = distance(&values(got), &expected);
    assert!(distance < 1e-5, "{distance}");
}

#[test]
fn frozen_inputs_get_no_gradient_and_leave_the_others_unchanged() {
    for device in devices() {
        let device = device.autodiff();
        let (x, weight, bias) =
            (tensor([2, 5, 6], 1, &device), tensor([7, 6], 2, &device), tensor([7], 3, &device));
        let tracked = x.clone().require_grad();
        let full = linear(tracked.clone(), weight.clone().require_grad(), Some(bias.clone().require_grad()));
        let expected = tracked.grad(&full.powi_scalar(2).sum().backward()).unwrap();

        let x_tracked = x.clone().require_grad();
        let frozen = linear(x_tracked.clone(), weight.clone(), Some(bias.clone()));
        let gradients = frozen.powi_scalar(2).sum().backward();
        close(x_tracked.grad(&gradients).unwrap(), expected);
        assert!(weight.grad(&gradients).is_none());

        let weight_tracked = weight.clone().require_grad();
        let gradients = linear(x.clone(), weight_tracked.clone(), Some(bias)).powi_scalar(2).sum().backward();
        assert!(weight_tracked.grad(&gradients).is_some());
        assert!(x.grad(&gradients).is_none());

        let result = layer_norm(x.clone(), tensor([6], 4, &device), tensor([6], 5, &device), 1e-5);
        assert!(!result.is_tracked());
    }
}

#[test]
fn constants_may_live_outside_autodiff() {
    for plain in devices() {
        let device = plain.clone().autodiff();
        let x = tensor([2, 5, 6], 1, &device).require_grad();
        let (weight, bias) = (tensor([7, 6], 2, &plain), tensor([7], 3, &plain));
        let gradients = linear(x.clone(), weight.clone(), Some(bias)).sum().backward();
        let expected = weight.sum_dim(0).reshape([1, 1, 6]).expand([2, 5, 6]);
        close(x.grad(&gradients).unwrap(), expected);
        let plain_result = linear(x.inner(), tensor([7, 6], 2, &plain), None);
        assert!(!plain_result.is_autodiff());
    }
}

#[test]
fn views_are_read_in_their_order() {
    for device in devices() {
        let stored = tensor([5, 2, 24], 1, &device);
        let view = stored.swap_dims(0, 1);
        let copy = Tensor::from_data(view.to_data(), &device);
        let weight = tensor([24, 9], 2, &device);
        let run = |x: Tensor<3>| attention(x, 2, AttentionMask::Causal);
        close(run(view.clone()), run(copy.clone()));
        close(quick_gelu(view.clone()), quick_gelu(copy.clone()));
        close(
            linear(view.clone(), weight.clone().transpose(), None),
            reference::linear(copy, weight.transpose(), None),
        );
        close(quick_gelu(view.clone().narrow(2, 3, 7)), quick_gelu(view).narrow(2, 3, 7));
    }
}

#[test]
fn inputs_and_gradients_that_are_shared_stay_intact() {
    for device in devices() {
        let device = device.autodiff();
        let x = tensor([2, 5, 6], 1, &device).require_grad();
        let before = values(x.clone());
        let (weight, bias) = (tensor([6], 2, &device), tensor([6], 3, &device));
        let run = |gelu: fn(Tensor<3>) -> Tensor<3>, norm: fn(_, _, _, _) -> Tensor<3>| {
            let sum = x.clone() + gelu(x.clone());
            let result = sum.clone() + norm(sum, weight.clone(), bias.clone(), 1e-5);
            x.grad(&(result.powi_scalar(2).sum().backward())).unwrap()
        };
        let expected = run(reference::quick_gelu, reference::layer_norm);
        close(run(quick_gelu, layer_norm), expected);
        assert_eq!(values(x), before);
    }
}

#[test]
fn checkpointing_takes_the_reference() {
    for device in devices() {
        let run = |device: &Device, gelu: fn(Tensor<3>) -> Tensor<3>| {
            let x = tensor([2, 5, 6], 1, device).require_grad();
            let weight = tensor([6, 6], 2, device).require_grad();
            let gradients = gelu(linear(x.clone(), weight.clone(), None)).powi_scalar(2).sum().backward();
            (x.grad(&gradients).unwrap(), weight.grad(&gradients).unwrap())
        };
        let (x, weight) = run(&device.clone().autodiff().gradient_checkpointing(), quick_gelu);
        let (x_expected, weight_expected) = run(&device.autodiff(), reference::quick_gelu);
        close(x, x_expected);
        close(weight, weight_expected);
    }
}

#[test]
fn empty_batches_stay_empty() {
    for device in devices() {
        let x = Tensor::<3>::zeros([0, 5, 6], &device);
        assert_eq!(quick_gelu(x.clone()).dims(), [0, 5, 6]);
        assert_eq!(linear(x, tensor([7, 6], 2, &device), None).dims(), [0, 5, 7]);
    }
}

#[cfg(feature = "flex")]
#[test]
fn other_float_types_take_the_reference() {
    let device = Device::flex().autodiff();
    let x = tensor([2, 5, 6], 1, &device).cast(DType::F64).require_grad();
    let result = quick_gelu(x.clone());
    assert_eq!(result.dtype(), DType::F64);
    assert!(x.grad(&result.sum().backward()).is_some());
}

#[test]
#[should_panic(expected = "linear: `x` has 6 features")]
fn a_weight_of_another_width_is_refused() {
    let device = devices().remove(0);
    linear(tensor([2, 5, 6], 1, &device), tensor([7, 5], 2, &device), None);
}

#[test]
#[should_panic(expected = "attention: 24 features")]
fn heads_must_divide_the_width() {
    attention(tensor([2, 5, 24], 1, &devices().remove(0)), 3, AttentionMask::Full);
}

/// Samples of one thread share scratch memory: one that is not a number must not reach the next.
#[test]
fn samples_do_not_affect_each_other() {
    let gradient = |x: Tensor<3>| {
        let x = x.require_grad();
        let result = attention(x.clone(), 2, AttentionMask::Full);
        x.grad(&result.powi_scalar(2).sum().backward()).unwrap()
    };
    let one_thread = rayon::ThreadPoolBuilder::new().num_threads(1).build().unwrap();
    for device in devices() {
        let good = tensor([1, 5, 24], 1, &device.autodiff());
        let both = Tensor::cat(vec![good.clone() * f32::NAN, good.clone()], 0);
        let both = one_thread.install(|| gradient(both));
        close(both.narrow(0, 1, 1), gradient(good));
    }
}
