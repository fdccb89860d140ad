//! Gradients of all inputs at once.

use burn::tensor::{Device, Tensor, TensorData};
use regulus_kernels::Gelu;
#[cfg(feature = "flex")]
use regulus_kernels::{MatmulPrecision, linear, linear_gelu, multiplying_in};

use crate::cases::{Case, Inputs, Operation, Path, all, devices, distance, noise, values};
use crate::exact;

/// The gradients of `Σ result cotangent` in all inputs.
fn gradients(case: &Case, path: Path, device: &Device) -> Vec<Vec<f32>> {
    let inputs = Inputs::new(case, &case.inputs(), device).require_grad();
    let result = case.apply(&inputs, path);
    let cotangent = TensorData::new(cotangent(result.shape().num_elements()), result.shape());
    let gradients = (result * Tensor::from_data(cotangent, device)).sum().backward();
    let x = inputs.x.grad(&gradients).map(values);
    let matrix = inputs.matrix.iter().map(|matrix| matrix.grad(&gradients).map(values));
    let vectors = inputs.vectors.iter().map(|vector| vector.grad(&gradients).map(values));
    [x].into_iter().chain(matrix).chain(vectors).map(Option::unwrap).collect()
}

fn cotangent(count: usize) -> Vec<f32> {
    noise(count, 99)
}

fn widened(values: &[f32]) -> Vec<f64> {
    values.iter().copied().map(f64::from).collect()
}

#[test]
fn fused_gradients_agree_with_plain_ones() {
    for device in devices() {
        for case in all() {
            let device = device.clone().autodiff();
            let fused = gradients(&case, Path::Fused, &device);
            let plain = gradients(&case, Path::Plain, &device);
            for (input, (fused, plain)) in fused.iter().zip(&plain).enumerate() {
                let distance = distance(fused, &widened(plain));
                assert!(distance < 1e-4, "{case:?}, input {input}: {distance}");
            }
        }
    }
}

/// The slope of `Σ result cotangent` along a direction, by central differences in f64, is the scalar product
/// of the gradient with the direction.
#[test]
fn gradients_agree_with_slopes_in_f64() {
    const STEP: f64 = 1e-5;
    for device in devices() {
        for case in all() {
            let inputs: Vec<Vec<f64>> = case.inputs().iter().map(|values| widened(values)).collect();
            let gradients = gradients(&case, Path::Fused, &device.clone().autodiff());
            for (input, gradient) in gradients.iter().enumerate() {
                let direction = widened(&noise(gradient.len(), 7));
                let objective = |step: f64| {
                    let mut moved = inputs.clone();
                    moved[input].iter_mut().zip(&direction).for_each(|(value, d)| *value += step * d);
                    let result = exact::result(&case, &moved);
                    let cotangent = widened(&cotangent(result.len()));
                    result.iter().zip(cotangent).map(|(value, c)| value * c).sum::<f64>()
                };
                let slope = (objective(STEP) - objective(-STEP)) / (2.0 * STEP);
                let terms = gradient.iter().zip(&direction).map(|(&g, d)| f64::from(g) * d);
                let size = terms.clone().map(|term| term * term).sum::<f64>().sqrt().max(1.0);
                let error = (terms.sum::<f64>() - slope).abs() / size;
                assert!(error < 1e-4, "{case:?}, input {input}: {error}");
            }
        }
    }
}

/// Every element of every gradient of small cases, by central differences in f64.
#[test]
fn every_element_agrees_with_differences() {
    const STEP: f64 = 1e-5;
    for device in devices() {
        for operation in [
            Operation::Linear { out: 3 },
            Operation::LinearGelu { out: 3, gelu: Gelu::Quick },
            Operation::LinearGelu { out: 3, gelu: Gelu::Erf },
            Operation::LinearGelu { out: 3, gelu: Gelu::Tanh },
            Operation::LayerNorm,
            Operation::QuickGelu,
            Operation::GeluErf,
            Operation::GeluTanh,
            Operation::Attention { heads: 2, causal: false },
            Operation::Attention { heads: 2, causal: true },
        ] {
            let case = Case { operation, batch: 2, tokens: 3, width: 4, bias: true };
            let inputs: Vec<Vec<f64>> = case.inputs().iter().map(|values| widened(values)).collect();
            let gradients = gradients(&case, Path::Fused, &device.clone().autodiff());
            for (input, gradient) in gradients.iter().enumerate() {
                let slope = |element: usize| {
                    let objective = |step: f64| {
                        let mut moved = inputs.clone();
                        moved[input][element] += step;
                        let result = exact::result(&case, &moved);
                        let cotangent = widened(&cotangent(result.len()));
                        result.iter().zip(cotangent).map(|(value, c)| value * c).sum::<f64>()
                    };
                    (objective(STEP) - objective(-STEP)) / (2.0 * STEP)
                };
                let expected: Vec<f64> = (0..gradient.len()).map(slope).collect();
                let distance = distance(gradient, &expected);
                assert!(distance < 1e-5, "{case:?}, input {input}: {distance}");
            }
        }
    }
}

/// An activation sees the same sums in the product as behind it.
#[cfg(feature = "flex")]
#[test]
fn activating_in_the_product_changes_no_bit() {
    for case in all() {
        let Operation::LinearGelu { gelu, .. } = case.operation else { continue };
        for precision in MatmulPrecision::ALL {
            let differentiated = |layer: &dyn Fn(Tensor<3>, Tensor<2>, Tensor<1>) -> Tensor<3>| {
                case.differentiated(&case.inputs(), |inputs| {
                    let (weight, bias) = (inputs.matrix.clone().unwrap(), inputs.vectors[0].clone());
                    multiplying_in(precision, || layer(inputs.x.clone(), weight, bias))
                })
            };
            let one_pass = differentiated(&|x, weight, bias| linear_gelu(x, weight, bias, gelu));
            let two_passes = differentiated(&|x, weight, bias| gelu.apply(linear(x, weight, Some(bias))));
            assert_eq!(one_pass, two_passes, "{case:?} in {precision}");
        }
    }
}

/// Whatever else is tracked, a gradient of an activated layer is the same.
#[test]
fn any_inputs_of_an_activated_layer_may_be_tracked() {
    let operation = Operation::LinearGelu { out: 7, gelu: Gelu::Quick };
    let case = Case { operation, batch: 3, tokens: 11, width: 20, bias: true };
    for device in devices() {
        let device = device.autodiff();
        let all = gradients(&case, Path::Fused, &device);
        for subset in 1..8usize {
            let mut inputs = Inputs::new(&case, &case.inputs(), &device);
            let [x, weight, bias] = std::array::from_fn(|input| subset >> input & 1 == 1);
            inputs.x = if x { inputs.x.require_grad() } else { inputs.x };
            inputs.matrix = inputs.matrix.map(|matrix| if weight { matrix.require_grad() } else { matrix });
            let track = |vector: Tensor<1>| if bias { vector.require_grad() } else { vector };
            inputs.vectors = inputs.vectors.into_iter().map(track).collect();
            let result = case.apply(&inputs, Path::Fused);
            let cotangent = TensorData::new(cotangent(result.shape().num_elements()), result.shape());
            let found = (result * Tensor::from_data(cotangent, &device)).sum().backward();
            let of_x = inputs.x.grad(&found).map(values);
            let of_weight = inputs.matrix.and_then(|matrix| matrix.grad(&found)).map(values);
            let of_bias = inputs.vectors[0].grad(&found).map(values);
            for ((got, tracked), expected) in
                [of_x, of_weight, of_bias].into_iter().zip([x, weight, bias]).zip(&all)
            {
                assert_eq!(got.as_ref(), Some(expected).filter(|_| tracked), "subset {subset}");
            }
        }
    }
}
