//! `torch.optim.SGD` with momentum.

use burn::tensor::Tensor;

use super::{Memory, Update};

/// `d = g + wd p; b = momentum b + d` (`b = d` at first); `p -= lr b`.
pub(super) fn step(update: Update, momentum: f64, past: Option<Memory>) -> (Tensor<1>, Memory) {
    let Update { parameter, gradient, learning_rate, weight_decay } = update;
    let direction = if weight_decay == 0.0 { gradient } else { gradient + parameter.clone() * weight_decay };
    let steps = past.as_ref().map_or(0, |memory| memory.steps) + 1;
    let buffer = match past {
        Some(memory) if momentum != 0.0 => memory.first * momentum + direction,
        _ => direction,
    };
    let value = parameter - buffer.clone() * learning_rate;
    (value, Memory { steps, first: buffer, second: None })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{close, device, tensor};

    #[test]
    fn two_steps_with_momentum_and_decay() {
        let device = device();
        let run = |parameter: Tensor<1>, gradient: &[f32], past| {
            let update = Update {
                parameter,
                gradient: tensor(gradient, &device),
                learning_rate: 0.1,
                weight_decay: 0.5,
            };
            step(update, 0.9, past)
        };
        // By hand: d1 = 1 + .5*2 = 2, p = 2 - .2 = 1.8; d2 = -1 + .9 = -.1, b = 1.8 - .1 = 1.7, p = 1.63.
        let (first, memory) = run(tensor(&[2.0], &device), &[1.0], None);
        close(&first, &[1.8], 1e-6);
        let (second, _) = run(first, &[-1.0], Some(memory));
        close(&second, &[1.63], 1e-6);
    }
}
