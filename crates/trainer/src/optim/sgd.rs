//! `torch.optim.SGD` with momentum.

use burn::tensor::Tensor;

use super::{Memory, Update};

/// `d = g + wd p; b = momentum b + d` (`b = d` at first); `p -= lr b`, with Nesterov's momentum
/// `p -= lr (d + momentum b)`.
pub(super) fn step(
    update: Update,
    momentum: f64,
    nesterov: bool,
    past: Option<Memory>,
) -> (Tensor<1>, Memory) {
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
