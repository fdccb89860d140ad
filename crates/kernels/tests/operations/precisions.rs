//! Products in bf16 and in split bf16: how far results and gradients are from those in f64 and f32, and that frozen
//! weights, which are packed once, give what weights give that are not.

use burn::tensor::{Device, Tensor, TensorData};
use regulus_kernels::{MatmulPrecision, conv2d, linear, multiplying_in, reference};

use crate::cases::{Case, Operation, Path, all, distance, noise, values};
use crate::exact;

/// Largest distance of a result from f64, and of a gradient from plain f32, relative to the largest magnitude. Over all
/// cases, at most 3.7e-5 and 7.2e-5, 2.0e-2 and 1.8e-2 were found; f32 keeps 1e-5 and 1e-4.
const TOLERANCES: [(MatmulPrecision, f64, f64); 2] =
    [(MatmulPrecision::Bf16x3, 1e-4, 1e-4), (MatmulPrecision::Bf16, 4e-2, 4e-2)];

fn multiplies(case: &Case) -> bool {
    use Operation::{AddLinear, Attention, Linear, LinearGelu};
    matches!(case.operation, Linear { .. } | AddLinear | LinearGelu { .. } | Attention { .. })
}

fn widened(values: &[f32]) -> Vec<f64> {
    values.iter().copied().map(f64::from).collect()
}

/// The backward pass runs outside of the scope of the forward pass.
fn differentiated(case: &Case, path: Path, precision: MatmulPrecision) -> Vec<Vec<f32>> {
    case.differentiated(&case.inputs(), |inputs| multiplying_in(precision, || case.apply(inputs, path)))
}

#[test]
fn results_and_gradients_stay_within_what_each_precision_allows() {
    let mut worst = [[0.0f64; 2]; 2];
    for case in all().into_iter().filter(multiplies) {
        let exact_inputs: Vec<Vec<f64>> = case.inputs().iter().map(|values| widened(values)).collect();
        let exact = exact::result(&case, &exact_inputs);
        let plain = differentiated(&case, Path::Plain, MatmulPrecision::F32);
        for ((precision, ..), worst) in TOLERANCES.into_iter().zip(&mut worst) {
            let found = differentiated(&case, Path::Fused, precision);
            worst[0] = worst[0].max(distance(&found[0], &exact));
            for (found, plain) in found[1..].iter().zip(&plain[1..]) {
                worst[1] = worst[1].max(distance(found, &widened(plain)));
            }
        }
    }
    println!("largest distances (results, gradients) in bf16x3 and bf16: {worst:?}");
    for ((precision, result, gradient), [results, gradients]) in TOLERANCES.into_iter().zip(worst) {
        assert!(results < result && gradients < gradient, "{precision}: {results} and {gradients}");
    }
    // They would be those of f32 if the precision went unheeded.
    assert!(worst[0][0] > 1e-7 && worst[1][0] > 1e-3, "{worst:?}");
}

#[test]
fn a_scope_ends_with_its_work() {
    let case = Case { operation: Operation::Linear { out: 9 }, batch: 2, tokens: 3, width: 40, bias: true };
    let outside = differentiated(&case, Path::Fused, MatmulPrecision::F32);
    let inside = multiplying_in(MatmulPrecision::Bf16, || {
        let inner = differentiated(&case, Path::Fused, MatmulPrecision::F32);
        assert_eq!(inner, outside);
        differentiated(&case, Path::Fused, MatmulPrecision::Bf16)
    });
    assert_ne!(inside, outside);
    assert_eq!(differentiated(&case, Path::Fused, MatmulPrecision::F32), outside);
}

fn tensor<const D: usize>(shape: [usize; D], seed: u64, device: &Device) -> Tensor<D> {
    Tensor::from_data(TensorData::new(noise(shape.iter().product(), seed), shape), device)
}

/// Result and gradient of the input of a linear layer.
fn layer(weight: Tensor<2>, precision: MatmulPrecision) -> [Vec<f32>; 2] {
    let device = Device::flex().autodiff();
    let x = tensor([2, 19, 37], 1, &device).require_grad();
    let result = multiplying_in(precision, || linear(x.clone(), weight, None));
    let gradients = (result.clone() * tensor(result.dims(), 5, &device)).sum().backward();
    [values(result), values(x.grad(&gradients).unwrap())]
}

#[test]
fn frozen_weights_give_the_bits_of_trained_ones() {
    let device = Device::flex().autodiff();
    for precision in MatmulPrecision::ALL {
        let weight = tensor([29, 37], 2, &device);
        let trained = layer(weight.clone().require_grad(), precision);
        // Packed the second time, and taken from there the third.
        for time in 1..=3 {
            assert_eq!(layer(weight.clone(), precision), trained, "{precision}, time {time}");
        }
    }
}

/// The memory of a weight that is gone may be that of the next one.
#[test]
fn a_frozen_weight_is_not_taken_for_another() {
    let device = Device::flex().autodiff();
    for seed in 0..20 {
        let weight = tensor([29, 37], seed, &device);
        let frozen = layer(weight.clone(), MatmulPrecision::Bf16);
        assert_eq!(layer(weight.clone(), MatmulPrecision::Bf16), frozen);
        let shared = weight.clone();
        // In place where no one else holds the memory.
        let changed = weight * 2.0;
        let twice = layer(changed.clone(), MatmulPrecision::Bf16);
        assert_eq!(layer(changed.clone(), MatmulPrecision::Bf16), twice);
        assert_eq!(twice, layer(changed.require_grad(), MatmulPrecision::Bf16));
        assert_eq!(layer(shared.require_grad(), MatmulPrecision::Bf16), frozen);
    }
}

#[test]
fn convolutions_multiply_in_the_precision() {
    let device = Device::flex();
    let (x, weight) = (tensor([2, 16, 9, 9], 1, &device), tensor([8, 16, 3, 3], 2, &device));
    let expected = widened(&values(reference::conv2d(x.clone(), weight.clone(), None, 1, 1)));
    for (precision, tolerance, _) in TOLERANCES {
        let found = values(multiplying_in(precision, || conv2d(x.clone(), weight.clone(), None, 1, 1)));
        let off = distance(&found, &expected);
        assert!(off < tolerance && off > 1e-7, "{precision}: {off}");
    }
}
