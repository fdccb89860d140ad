//! `torch.optim.SGD` with momentum.

use burn::tensor::Tensor;
use regulus_kernels::MomentumUpdate;

use super::{Memory, Untaken, Update};

/// `d = g + wd p; b = momentum b + d` (`b = d` at first); `p -= lr b`, with Nesterov's momentum
/// `p -= lr (d + momentum b)`.
pub(super) fn step(
    update: Update,
    momentum: f64,
    nesterov: bool,
    past: Option<Memory>,
) -> (Tensor<1>, Memory) {
    in_place(update, momentum, nesterov, past).unwrap_or_else(|untaken| {
        let (update, past) = *untaken;
        with_tensors(update, momentum, nesterov, past)
    })
}

fn with_tensors(update: Update, momentum: f64, nesterov: bool, past: Option<Memory>) -> (Tensor<1>, Memory) {
    let Update { parameter, gradient, learning_rate, weight_decay } = update;
    let direction = if weight_decay == 0.0 { gradient } else { gradient + parameter.clone() * weight_decay };
    let steps = past.as_ref().map_or(0, |memory| memory.steps) + 1;
    let buffer = match past {
        Some(memory) if momentum != 0.0 => memory.first * momentum + direction.clone(),
        _ => direction.clone(),
    };
    let way = if nesterov { direction + buffer.clone() * momentum } else { buffer.clone() };
    let value = parameter - way * learning_rate;
    (value, Memory { steps, first: buffer, second: None })
}

/// The same in one pass over memory, where the tensors and their device are made for it: there, operation by operation,
/// the formulas give the same bits.
fn in_place(
    update: Update,
    momentum: f64,
    nesterov: bool,
    past: Option<Memory>,
) -> Result<(Tensor<1>, Memory), Box<Untaken>> {
    if momentum == 0.0 {
        return Err(Box::new((update, past)));
    }
    let Some(Memory { steps, first, second: None }) = past else { return Err(Box::new((update, past))) };
    let Update { parameter, gradient, learning_rate, weight_decay } = update;
    let [keep, rate, decay] = [momentum, learning_rate, weight_decay].map(|value| value as f32);
    let update = MomentumUpdate { keep, rate, decay, nesterov };
    let moved = update.apply(&parameter, [gradient, first]);
    match moved {
        Ok([value, first]) => Ok((value, Memory { steps: steps + 1, first, second: None })),
        Err(untaken) => {
            let [gradient, first] = *untaken;
            let past = Memory { steps, first, second: None };
            Err(Box::new((Update { parameter, gradient, learning_rate, weight_decay }, Some(past))))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{close, device, tensor};

    /// Two steps from 2 with the gradients 1 and -1, learning rate 0.1, decay 0.5, momentum 0.9.
    fn two_steps(nesterov: bool) -> [Tensor<1>; 2] {
        let device = device();
        let run = |parameter: Tensor<1>, gradient: f32, past| {
            let gradient = tensor(&[gradient], &device);
            let update = Update { parameter, gradient, learning_rate: 0.1, weight_decay: 0.5 };
            step(update, 0.9, nesterov, past)
        };
        let (first, memory) = run(tensor(&[2.0], &device), 1.0, None);
        let (second, _) = run(first.clone(), -1.0, Some(memory));
        [first, second]
    }

    #[test]
    fn one_pass_gives_the_bits_of_many() {
        let device = device();
        let values = |factor: f32| {
            let values: Vec<f32> = (0..40_000).map(|i| ((i * 37 % 101) as f32 - 50.0) * factor).collect();
            tensor(&values, &device)
        };
        for (weight_decay, nesterov) in [(0.0, false), (0.03, false), (0.03, true)] {
            let update = || Update {
                parameter: values(0.013),
                gradient: values(0.7),
                learning_rate: 0.003,
                weight_decay,
            };
            let past = || Some(Memory { steps: 1, first: values(0.011), second: None });
            let (value, memory) = step(update(), 0.9, nesterov, past());
            let (expected, plain) = with_tensors(update(), 0.9, nesterov, past());
            let of = |tensor: Tensor<1>| tensor.into_data().try_to_vec::<f32>().unwrap();
            assert_eq!(of(value), of(expected));
            assert_eq!(of(memory.first), of(plain.first));
            assert_eq!(memory.steps, plain.steps);
        }
    }

    #[test]
    fn two_steps_with_momentum_and_decay() {
        // By hand: d1 = 1 + .5*2 = 2, p = 2 - .2 = 1.8; d2 = -1 + .9 = -.1, b = 1.8 - .1 = 1.7, p = 1.63.
        let [first, second] = two_steps(false);
        close(&first, &[1.8], 1e-6);
        close(&second, &[1.63], 1e-6);
    }

    #[test]
    fn two_steps_with_nesterovs_momentum() {
        // By hand: b1 = d1 = 2, p = 2 - .1 (2 + 1.8) = 1.62; d2 = -1 + .81 = -.19, b2 = 1.8 - .19 = 1.61,
        // p = 1.62 - .1 (-.19 + 1.449) = 1.4941.
        let [first, second] = two_steps(true);
        close(&first, &[1.62], 1e-6);
        close(&second, &[1.4941], 1e-6);
    }
}
