//! What must hold for R-MT's masks and gradient dropout, whatever the numbers.

use burn::tensor::{Device, Tensor};
use proptest::prelude::*;
use regulus_losses::{
    FusedTarget, Sparsity, binarise, distillation, drop_gradient, fused_distillation, keep_probability,
    mask_regulariser, masked_weight,
};

use crate::devices::{devices, values};

const THRESHOLD: f32 = 5e-3;

/// Numbers of very different sizes, zero included.
fn number() -> impl Strategy<Value = f32> {
    prop_oneof![Just(0f32), -1f32..1.0, -1e-7f32..1e-7, -1e3f32..1e3]
}

/// Masks and weights; many masks lie at the threshold or beside it.
fn masked() -> impl Strategy<Value = Vec<(f32, f32)>> {
    let beside = |steps: i32| f32::from_bits(THRESHOLD.to_bits().wrapping_add_signed(steps));
    let mask = prop_oneof![number(), (-2..3).prop_map(beside)];
    prop::collection::vec((mask, number()), 1..40)
}

fn tensor(values: impl Iterator<Item = f32>, device: &Device) -> Tensor<1> {
    Tensor::from_data(values.collect::<Vec<_>>().as_slice(), device)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn masks_are_binary_and_weights_kept_or_zero(entries in masked()) {
        for device in devices() {
            let mask = tensor(entries.iter().map(|entry| entry.0), &device);
            let weight = tensor(entries.iter().map(|entry| entry.1), &device);
            let on: Vec<bool> = entries.iter().map(|entry| entry.0 > THRESHOLD).collect();
            let expected: Vec<f32> = on.iter().map(|&on| f32::from(u8::from(on))).collect();
            let expected_weight: Vec<f32> =
                entries.iter().zip(&on).map(|(entry, &on)| if on { entry.1 } else { 0.0 }).collect();
            let off = on.iter().filter(|&&on| !on).count();
            for mask in [mask.clone(), mask.autodiff().require_grad()] {
                let weight = if mask.is_require_grad() { weight.clone().autodiff() } else { weight.clone() };
                prop_assert_eq!(values(binarise(mask.clone(), f64::from(THRESHOLD))), expected.clone());
                let weight = masked_weight(weight, mask.clone(), f64::from(THRESHOLD));
                prop_assert_eq!(values(weight), expected_weight.clone());
                let sparsity = Sparsity::of(mask, f64::from(THRESHOLD));
                prop_assert_eq!(sparsity, Sparsity { off, masked: entries.len() });
            }
        }
    }

    #[test]
    fn the_regulariser_is_the_sum_of_the_norms(
        entries in masked(), copies in 1usize..300, weight in 0.0..2.0,
    ) {
        for device in devices() {
            let long: Vec<f32> = entries.iter().map(|entry| entry.1).collect::<Vec<_>>().repeat(copies);
            let masks = [tensor(long.iter().copied(), &device), tensor(entries.iter().map(|e| e.0), &device)];
            let got = f64::from(values(mask_regulariser(masks, weight).unwrap())[0]);
            let norm = |values: &mut dyn Iterator<Item = f32>| values.map(|v| f64::from(v).powi(2)).sum::<f64>().sqrt();
            let expected =
                weight * (norm(&mut long.iter().copied()) + norm(&mut entries.iter().map(|entry| entry.0)));
            prop_assert!((got - expected).abs() <= 1e-5 * expected.max(1e-3), "{got} instead of {expected}");
        }
    }

    #[test]
    fn keep_probabilities_follow_the_signs(pairs in prop::collection::vec((number(), number()), 1..40)) {
        for device in devices() {
            let task = tensor(pairs.iter().map(|pair| pair.0), &device);
            let general = tensor(pairs.iter().map(|pair| pair.1), &device);
            let keep = values(keep_probability(task, general));
            for (&(a, b), keep) in pairs.iter().zip(keep) {
                prop_assert!((0.0..=1.0).contains(&keep), "{keep} of {a} and {b}");
                let size = f64::from(a.abs()) + f64::from(b.abs());
                if a == 0.0 {
                    prop_assert_eq!(keep, 0.5);
                } else if a * b >= 0.0 && a.signum() == b.signum() {
                    let expected = 0.5 + 0.5 * size / (size + 1e-8);
                    prop_assert!((f64::from(keep) - expected).abs() <= 1e-6, "{keep} instead of {expected}");
                    prop_assert!(size < 1.0 || keep == 1.0, "{keep} of {a} and {b}");
                } else {
                    prop_assert!(b.abs() <= a.abs() || keep <= 0.5, "{keep} of {a} and {b}");
                }
            }
        }
    }

    #[test]
    fn dropping_shrinks_what_is_not_kept_and_nothing_else(
        entries in prop::collection::vec((number(), 0f32..=1.0, 0f32..1.0), 1..40), lambda in 0f32..1.0,
    ) {
        for device in devices() {
            let task = tensor(entries.iter().map(|entry| entry.0), &device);
            let keep = tensor(entries.iter().map(|entry| entry.1), &device);
            let uniform = tensor(entries.iter().map(|entry| entry.2), &device);
            let drop = |lambda| values(drop_gradient(task.clone(), keep.clone(), uniform.clone(), lambda));
            prop_assert_eq!(drop(0.0), values(task.clone()));
            let (shrunk, gone) = (drop(f64::from(lambda)), drop(1.0));
            for ((&(a, keep, uniform), shrunk), gone) in entries.iter().zip(shrunk).zip(gone) {
                if keep > uniform {
                    prop_assert_eq!((shrunk, gone), (a, a));
                } else {
                    let expected = a * (1.0 - lambda);
                    prop_assert!((shrunk - expected).abs() <= 1e-6 * expected.abs(), "{shrunk}, {expected}");
                    prop_assert_eq!(gone, 0.0);
                }
            }
        }
    }

    #[test]
    fn a_pure_teacher_makes_the_fused_target_the_teachers(
        logits in prop::collection::vec((-80f32..80.0, -80f32..80.0), 12), temperature in 0.5..4.0,
    ) {
        for device in devices() {
            let device = device.autodiff();
            let student = tensor(logits.iter().map(|pair| pair.0), &device).reshape([3, 4]).require_grad();
            let teacher = tensor(logits.iter().map(|pair| pair.1), &device).reshape([3, 4]).require_grad();
            let mut results = Vec::new();
            for target in [FusedTarget::WithGradient, FusedTarget::Detached] {
                let loss = fused_distillation(student.clone(), teacher.clone(), 1.0, temperature, target);
                let gradients = loss.clone().sum().backward();
                prop_assert!(teacher.grad(&gradients).is_none());
                results.push((values(loss), values(student.grad(&gradients).unwrap())));
            }
            prop_assert_eq!(&results[0], &results[1]);
            prop_assert_eq!(&results[0].0, &values(distillation(student, teacher, temperature)));
        }
    }
}

#[test]
fn no_mask_has_no_regulariser() {
    assert!(mask_regulariser([], 1.0).is_none());
}

#[test]
fn sparsities_add_and_shares_are_fractions() {
    let sum = Sparsity { off: 1, masked: 4 } + Sparsity { off: 2, masked: 8 };
    assert_eq!(sum, Sparsity { off: 3, masked: 12 });
    assert_eq!((sum.share_of_masked(), sum.share_of(30)), (0.25, 0.1));
    assert_eq!(Sparsity::default().share_of_masked(), 0.0);
}

#[test]
#[should_panic(expected = "different shapes")]
fn a_mask_of_another_shape_is_refused() {
    let device = devices().remove(0);
    masked_weight(Tensor::<2>::zeros([3, 4], &device), Tensor::zeros([1, 4], &device), 0.5);
}

#[test]
#[should_panic(expected = "different shapes")]
fn random_numbers_of_another_shape_are_refused() {
    let device = devices().remove(0);
    let gradient = Tensor::<1>::zeros([3], &device);
    drop_gradient(gradient.clone(), gradient, Tensor::zeros([1], &device), 1.0);
}
