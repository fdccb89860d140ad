//! Gradient clipping by the norm over many parameters at once.

use crate::parameters::LeafGradients;

/// Scales the gradients whose name passes `belongs` so that their joint L2 norm is at most
/// `max_norm`, as `torch.nn.utils.clip_grad_norm_` does (factor `max / (norm + 1e-6)`, at most 1).
/// Returns the norm before clipping. Summed on the host in f64 and in order of names, so that the
/// result does not depend on threads.
pub fn clip_global_norm(gradients: &mut LeafGradients, max_norm: f64, belongs: impl Fn(&str) -> bool) -> f64 {
    let mut squares = 0.0f64;
    for (_, gradient) in gradients.iter().filter(|(name, _)| belongs(name)) {
        let values: Vec<f32> = gradient.to_data_as::<f32>().iter::<f32>().collect();
        squares += values.iter().map(|&x| f64::from(x) * f64::from(x)).sum::<f64>();
    }
    let norm = squares.sqrt();
    let factor = max_norm / (norm + 1e-6);
    if factor < 1.0 {
        for (_, gradient) in gradients.iter_mut().filter(|(name, _)| belongs(name)) {
            *gradient = gradient.clone() * factor;
        }
    }
    norm
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{close, device, tensor};

    #[test]
    fn clips_only_the_chosen_group() {
        let device = device();
        let mut gradients = LeafGradients::new();
        gradients.insert("a.x".into(), tensor(&[3.0], &device));
        gradients.insert("a.y".into(), tensor(&[4.0], &device));
        gradients.insert("b.z".into(), tensor(&[9.0], &device));
        let norm = clip_global_norm(&mut gradients, 1.0, |name| name.starts_with("a."));
        assert!((norm - 5.0).abs() < 1e-9);
        close(&gradients["a.x"], &[0.6], 1e-6);
        close(&gradients["a.y"], &[0.8], 1e-6);
        close(&gradients["b.z"], &[9.0], 0.0);
    }
}
