//! Adam and its two decoupled-decay variants.

use burn::tensor::Tensor;
use regulus_kernels::{AdamUpdate, Decay};

use super::{Memory, Moments, Untaken, Update};

/// Which member of the family.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Variant {
    Adam,
    AdamW,
    HfAdamW,
}

/// With `m = b1 m + (1-b1) g` and `v = b2 v + (1-b2) g^2` after `k` updates:
///
/// - `Adam`, `AdamW`: `p -= lr / (1-b1^k) m / (sqrt(v) / sqrt(1-b2^k) + eps)`;
///   Adam adds `wd p` to `g` first, AdamW scales `p` by `1 - lr wd` first.
/// - `HfAdamW`: `p -= lr sqrt(1-b2^k) / (1-b1^k) m / (sqrt(v) + eps)`, then `p -= lr wd p`.
pub(super) fn step(
    update: Update,
    moments: &Moments,
    variant: Variant,
    past: Option<Memory>,
) -> (Tensor<1>, Memory) {
    in_place(update, moments, variant, past).unwrap_or_else(|untaken| {
        let (update, past) = *untaken;
        with_tensors(update, moments, variant, past)
    })
}

fn with_tensors(
    update: Update,
    moments: &Moments,
    variant: Variant,
    past: Option<Memory>,
) -> (Tensor<1>, Memory) {
    let Update { parameter, gradient, learning_rate, weight_decay } = update;
    let Moments { beta1, beta2, epsilon } = *moments;
    let decays = weight_decay != 0.0;
    let gradient = match variant {
        Variant::Adam if decays => gradient + parameter.clone() * weight_decay,
        _ => gradient,
    };
    let fresh_first = gradient.clone() * (1.0 - beta1);
    let fresh_second = gradient.clone() * gradient * (1.0 - beta2);
    let (steps, first, second) = match past {
        Some(Memory { steps, first, second: Some(second) }) => {
            (steps + 1, first * beta1 + fresh_first, second * beta2 + fresh_second)
        }
        _ => (1, fresh_first, fresh_second),
    };
    let correction1 = 1.0 - beta1.powi(steps as i32);
    let correction2 = (1.0 - beta2.powi(steps as i32)).sqrt();
    let value = match variant {
        Variant::HfAdamW => {
            let rate = learning_rate * correction2 / correction1;
            let moved = parameter - first.clone() / (second.clone().sqrt() + epsilon) * rate;
            if decays { moved.clone() - moved * (learning_rate * weight_decay) } else { moved }
        }
        Variant::Adam | Variant::AdamW => {
            let start = match variant {
                Variant::AdamW if decays => parameter * (1.0 - learning_rate * weight_decay),
                _ => parameter,
            };
            let denominator = second.clone().sqrt() / correction2 + epsilon;
            start - first.clone() / denominator * (learning_rate / correction1)
        }
    };
    (value, Memory { steps, first, second: Some(second) })
}

/// The same in one pass over memory, where the tensors and their device are made for it: there, operation by operation,
/// the formulas give the same bits.
fn in_place(
    update: Update,
    moments: &Moments,
    variant: Variant,
    past: Option<Memory>,
) -> Result<(Tensor<1>, Memory), Box<Untaken>> {
    let Some(Memory { steps, first, second: Some(second) }) = past else {
        return Err(Box::new((update, past)));
    };
    let Update { parameter, gradient, learning_rate, weight_decay } = update;
    let Moments { beta1, beta2, epsilon } = *moments;
    let correction1 = 1.0 - beta1.powi(steps as i32 + 1);
    let correction2 = (1.0 - beta2.powi(steps as i32 + 1)).sqrt();
    let (rate, correction) = match variant {
        Variant::HfAdamW => (learning_rate * correction2 / correction1, 1.0),
        Variant::Adam | Variant::AdamW => (learning_rate / correction1, correction2),
    };
    let decay = match variant {
        _ if weight_decay == 0.0 => Decay::None,
        Variant::Adam => Decay::InGradient(weight_decay as f32),
        Variant::AdamW => Decay::Before((1.0 - learning_rate * weight_decay) as f32),
        Variant::HfAdamW => Decay::After((learning_rate * weight_decay) as f32),
    };
    let update = AdamUpdate {
        keep: [beta1, beta2].map(|beta| beta as f32),
        add: [beta1, beta2].map(|beta| (1.0 - beta) as f32),
        rate: rate as f32,
        correction: correction as f32,
        epsilon: epsilon as f32,
        decay,
    };
    let moved = update.apply(&parameter, [gradient, first, second]);
    match moved {
        Ok([value, first, second]) => Ok((value, Memory { steps: steps + 1, first, second: Some(second) })),
        Err(untaken) => {
            let [gradient, first, second] = *untaken;
            let past = Memory { steps, first, second: Some(second) };
            Err(Box::new((Update { parameter, gradient, learning_rate, weight_decay }, Some(past))))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{close, device, tensor};

    /// Two updates of one scalar, in f64, straight from the formulas of the doc above.
    fn expected(variant: Variant, start: f64, gradients: [f64; 2], wd: f64) -> [f64; 2] {
        let (lr, b1, b2, eps): (f64, f64, f64, f64) = (0.1, 0.9, 0.98, 1e-8);
        let (mut p, mut m, mut v) = (start, 0.0, 0.0);
        let mut trace = [0.0; 2];
        for (k, g) in gradients.into_iter().enumerate() {
            let g = if variant == Variant::Adam { g + wd * p } else { g };
            m = b1 * m + (1.0 - b1) * g;
            v = b2 * v + (1.0 - b2) * g * g;
            let (c1, c2) = (1.0 - b1.powi(k as i32 + 1), 1.0 - b2.powi(k as i32 + 1));
            p = match variant {
                Variant::HfAdamW => {
                    let moved = p - lr * c2.sqrt() / c1 * m / (v.sqrt() + eps);
                    moved - lr * wd * moved
                }
                Variant::AdamW => p * (1.0 - lr * wd) - lr / c1 * m / (v.sqrt() / c2.sqrt() + eps),
                Variant::Adam => p - lr / c1 * m / (v.sqrt() / c2.sqrt() + eps),
            };
            trace[k] = p;
        }
        trace
    }

    #[test]
    fn one_pass_gives_the_bits_of_many() {
        let device = device();
        let values = |factor: f32| {
            let values: Vec<f32> = (0..40_000).map(|i| ((i * 37 % 101) as f32 - 50.0) * factor).collect();
            tensor(&values, &device)
        };
        let moments = Moments::default();
        for variant in [Variant::Adam, Variant::AdamW, Variant::HfAdamW] {
            for weight_decay in [0.0, 0.03] {
                let update = || Update {
                    parameter: values(0.013),
                    gradient: values(0.0007),
                    learning_rate: 0.003,
                    weight_decay,
                };
                let past =
                    || Memory { steps: 6, first: values(0.011), second: Some(values(0.1).powi_scalar(2)) };
                let (value, memory) = step(update(), &moments, variant, Some(past()));
                let (expected, plain) = with_tensors(update(), &moments, variant, Some(past()));
                let of = |tensor: Tensor<1>| tensor.into_data().try_to_vec::<f32>().unwrap();
                assert_eq!(of(value), of(expected), "{variant:?}");
                assert_eq!(of(memory.first), of(plain.first), "{variant:?}");
                assert_eq!(memory.second.map(of), plain.second.map(of), "{variant:?}");
                assert_eq!(memory.steps, plain.steps);
            }
        }
    }

    #[test]
    fn two_steps_of_each_variant() {
        let device = device();
        let moments = Moments { beta1: 0.9, beta2: 0.98, epsilon: 1e-8 };
        for variant in [Variant::Adam, Variant::AdamW, Variant::HfAdamW] {
            let gradients = [0.3f64, -2.0];
            let mut parameter = tensor(&[1.5], &device);
            let mut memory = None;
            for (gradient, wanted) in gradients.iter().zip(expected(variant, 1.5, gradients, 0.2)) {
                let update = Update {
                    parameter,
                    gradient: tensor(&[*gradient as f32], &device),
                    learning_rate: 0.1,
                    weight_decay: 0.2,
                };
                let (value, next) = step(update, &moments, variant, memory);
                close(&value, &[wanted as f32], 1e-6);
                (parameter, memory) = (value, Some(next));
            }
        }
    }
}
