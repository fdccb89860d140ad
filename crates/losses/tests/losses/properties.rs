//! What must hold for all logits, up to differences of 160.

use burn::tensor::{Device, Int, Tensor, TensorData};
use proptest::prelude::*;
use regulus_losses::{
    TeacherWeight, constant_distillation, cross_entropy, distillation, kl_divergence, l2_sp, proreg,
    smooth_labels, soft_cross_entropy,
};

use crate::devices::{devices, values};

/// Logits of student and teacher, and labels.
#[derive(Debug, Clone)]
struct Batch {
    classes: usize,
    student: Vec<f32>,
    teacher: Vec<f32>,
    labels: Vec<i64>,
}

impl Batch {
    fn logits(&self, values: &[f32], device: &Device) -> Tensor<2> {
        Tensor::from_data(TensorData::new(values.to_vec(), [self.labels.len(), self.classes]), device)
    }

    fn student(&self, device: &Device) -> Tensor<2> {
        self.logits(&self.student, device)
    }

    fn teacher(&self, device: &Device) -> Tensor<2> {
        self.logits(&self.teacher, device)
    }

    fn labels(&self, device: &Device) -> Tensor<1, Int> {
        Tensor::from_data(self.labels.as_slice(), device)
    }
}

fn batches() -> impl Strategy<Value = Batch> {
    let logit = || prop_oneof![-80f32..80.0, -3f32..3.0, Just(-80.0), Just(80.0)];
    (1usize..5, 2usize..9).prop_flat_map(move |(size, classes)| {
        let logits = || prop::collection::vec(logit(), size * classes);
        let labels = prop::collection::vec(0..classes as i64, size);
        (logits(), logits(), labels).prop_map(move |(student, teacher, labels)| Batch {
            classes,
            student,
            teacher,
            labels,
        })
    })
}

fn forms() -> impl Strategy<Value = TeacherWeight> {
    prop_oneof![
        Just(TeacherWeight::Exp10),
        Just(TeacherWeight::Prob),
        (0.0..4.0).prop_map(|gamma| TeacherWeight::Power { gamma }),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn divergence_is_non_negative_and_zero_between_equals(batch in batches(), temperature in 0.5..4.0) {
        for device in devices() {
            let (student, teacher) = (batch.student(&device), batch.teacher(&device));
            for value in values(kl_divergence(student.clone(), teacher, temperature)) {
                prop_assert!(value >= -1e-5, "{value}");
            }
            prop_assert!(values(kl_divergence(student.clone(), student, temperature)).iter().all(|&v| v == 0.0));
        }
    }

    #[test]
    fn distillation_is_the_divergence_and_the_entropy_of_the_teacher(
        batch in batches(),
        temperature in 0.5..4.0,
    ) {
        for device in devices() {
            let (student, teacher) = (batch.student(&device), batch.teacher(&device));
            let entropy = distillation(teacher.clone(), teacher.clone(), temperature);
            let sum = values(kl_divergence(student.clone(), teacher.clone(), temperature) + entropy);
            for (got, sum) in values(distillation(student, teacher, temperature)).into_iter().zip(sum) {
                prop_assert!((got - sum).abs() <= 1e-4 + 1e-5 * sum.abs(), "{got} and {sum}");
            }
        }
    }

    #[test]
    fn weights_are_fractions_and_extreme_logits_stay_finite(
        batch in batches(),
        form in forms(),
        alpha in 0.0..4.0,
        temperature in 0.5..4.0,
    ) {
        for device in devices() {
            let device = device.autodiff();
            let student = batch.student(&device).require_grad();
            let teacher = batch.teacher(&device).require_grad();
            let result = proreg(student.clone(), teacher.clone(), batch.labels(&device), form, alpha, temperature);
            prop_assert!(values(result.weights).iter().all(|w| (0.0..=1.0).contains(w)));
            prop_assert!(values(result.loss.clone())[0].is_finite());
            let gradients = result.loss.backward();
            prop_assert!(values(student.grad(&gradients).unwrap()).iter().all(|g| g.is_finite()));
            prop_assert!(teacher.grad(&gradients).is_none());
        }
    }

    #[test]
    fn constant_distillation_without_a_teacher_is_cross_entropy(batch in batches(), temperature in 0.5..4.0) {
        for device in devices() {
            let (student, labels) = (batch.student(&device), batch.labels(&device));
            let teacher = batch.teacher(&device);
            let without = constant_distillation(student.clone(), teacher.clone(), labels.clone(), 0.0, temperature);
            prop_assert_eq!(values(without), values(cross_entropy(student.clone(), labels.clone())));
            let only = constant_distillation(student.clone(), teacher.clone(), labels, 1.0, temperature);
            prop_assert_eq!(values(only), values(distillation(student, teacher, temperature)));
        }
    }

    #[test]
    fn cross_entropy_with_smoothed_labels_mixes_label_and_uniform(batch in batches(), epsilon in 0.0..1.0) {
        for device in devices() {
            let (student, labels) = (batch.student(&device), batch.labels(&device));
            let targets = smooth_labels(labels.clone(), batch.classes, epsilon, &device);
            for total in values(targets.clone().sum_dim(1)) {
                prop_assert!((total - 1.0).abs() < 1e-6);
            }
            let uniform = Tensor::full(targets.shape(), 1.0 / batch.classes as f64, &device);
            let expected = cross_entropy(student.clone(), labels) * (1.0 - epsilon)
                + soft_cross_entropy(student.clone(), uniform) * epsilon;
            for (got, expected) in values(soft_cross_entropy(student, targets)).into_iter().zip(values(expected)) {
                prop_assert!((got - expected).abs() <= 1e-4, "{got} instead of {expected}");
            }
        }
    }

    #[test]
    fn l2_sp_pulls_towards_the_start(
        weights in prop::collection::vec((-2f32..2.0, -2f32..2.0), 1..50),
        copies in 1usize..300,
        beta in 0.0..2.0,
    ) {
        for device in devices() {
            let device = device.autodiff();
            let flat = |select: fn(&(f32, f32)) -> f32| {
                let values: Vec<f32> = weights.iter().map(select).collect::<Vec<_>>().repeat(copies);
                Tensor::<1>::from_data(values.as_slice(), &device)
            };
            let (current, start) = (flat(|pair| pair.0).require_grad(), flat(|pair| pair.1).require_grad());
            let penalty = l2_sp([(current.clone(), start.clone()), (current.clone(), start.clone())], beta).unwrap();
            let squares: f64 = weights.iter().map(|&(w, start)| (f64::from(w) - f64::from(start)).powi(2)).sum();
            let expected = beta * squares * copies as f64;
            let got = f64::from(values(penalty.clone())[0]);
            prop_assert!((got - expected).abs() <= 1e-5 * expected.max(1e-3), "{got} instead of {expected}");
            let gradients = penalty.backward();
            let slope = values((current.clone() - start.clone()).detach() * (2.0 * beta));
            for (got, expected) in values(current.grad(&gradients).unwrap()).into_iter().zip(slope) {
                prop_assert!((got - expected).abs() <= 1e-5, "{got} instead of {expected}");
            }
            prop_assert!(start.grad(&gradients).is_none());
        }
    }
}

#[test]
fn l2_sp_of_nothing_is_nothing() {
    assert!(l2_sp([], 1.0).is_none());
}

#[test]
fn smoothing_spreads_epsilon_over_all_classes() {
    for device in devices() {
        let labels = Tensor::<1, Int>::from_data([2i64, 0], &device);
        let targets = values(smooth_labels(labels, 4, 0.1, &device));
        let expected = [0.025f32, 0.025, 0.925, 0.025, 0.925, 0.025, 0.025, 0.025];
        for (got, expected) in targets.into_iter().zip(expected) {
            assert!((got - expected).abs() < 1e-7, "{got} instead of {expected}");
        }
    }
}

#[test]
#[should_panic(expected = "different shapes")]
fn a_teacher_of_another_batch_is_refused() {
    let device = devices().remove(0);
    distillation(Tensor::zeros([3, 4], &device), Tensor::zeros([1, 4], &device), 1.0);
}

#[test]
#[should_panic(expected = "differ in length")]
fn weights_of_another_length_are_refused() {
    let device = devices().remove(0);
    l2_sp([(Tensor::zeros([3], &device), Tensor::zeros([1], &device))], 1.0);
}
