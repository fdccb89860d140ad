//! What must hold for PromptSRC's and TeS's losses, whatever the numbers.

use burn::tensor::{Device, Int, Tensor, TensorData};
use proptest::prelude::*;
use regulus_losses::{
    BatchOutputs, PromptSrcWeights, TesSettings, aggregate_templates, cross_entropy, feature_agreement,
    logit_agreement, promptsrc, tes,
};

use crate::devices::{devices, unit, values};

const SIZE: usize = 4;

fn square() -> impl Strategy<Value = Vec<f32>> {
    prop::collection::vec(prop_oneof![-3f32..3.0, -80f32..80.0, Just(80f32)], SIZE * SIZE)
}

fn tensor(values: &[f32], device: &Device) -> Tensor<2> {
    Tensor::from_data(TensorData::new(values.to_vec(), [SIZE, SIZE]), device)
}

fn labels(device: &Device) -> Tensor<1, Int> {
    Tensor::from_data([2i64, 0, 3, 3], device)
}

/// Outputs whose features are the rows of these numbers, and whose logits are the numbers themselves.
fn outputs(numbers: &[f32], device: &Device) -> BatchOutputs {
    let logits = tensor(numbers, device).require_grad();
    BatchOutputs { image: unit(logits.clone()), text: unit(logits.clone() * 2.0), logits }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn promptsrc_is_the_weighted_sum_of_its_terms_and_spares_the_frozen_model(
        prompted in square(), frozen in square(), text in 0.0..30.0, image in 0.0..30.0, logits in 0.0..2.0,
    ) {
        for device in devices() {
            let device = device.autodiff();
            let of = |weights| {
                let frozen = outputs(&frozen, &device);
                (frozen.logits.clone(), promptsrc(outputs(&prompted, &device), frozen, labels(&device), weights))
            };
            let (frozen_leaf, result) = of(PromptSrcWeights { text, image, logits });
            let part = |tensor: Tensor<1>| f64::from(values(tensor)[0]);
            let terms = [(text, part(result.text)), (image, part(result.image)), (logits, part(result.logits))];
            prop_assert!(terms.iter().all(|(_, term)| *term >= -1e-5), "{terms:?}");
            let expected = part(result.cross_entropy) + terms.iter().map(|(factor, term)| factor * term).sum::<f64>();
            let got = part(result.loss.clone());
            prop_assert!((got - expected).abs() <= 1e-4 + 1e-6 * expected.abs(), "{got} instead of {expected}");
            prop_assert!(frozen_leaf.grad(&result.loss.backward()).is_none());

            let (_, off) = of(PromptSrcWeights { text: 0.0, image: 0.0, logits: 0.0 });
            prop_assert_eq!(values(off.loss), values(cross_entropy(tensor(&prompted, &device), labels(&device)).mean()));
        }
    }

    #[test]
    fn a_model_agrees_with_itself(numbers in square()) {
        for device in devices() {
            let itself = tensor(&numbers, &device);
            prop_assert_eq!(values(feature_agreement(itself.clone(), itself.clone())), [0.0]);
            prop_assert_eq!(values(logit_agreement(itself.clone(), itself)), [0.0]);
        }
    }

    #[test]
    fn aggregated_templates_have_unit_length_and_long_features_count_more(numbers in square(), times in 2f64..50.0) {
        for device in devices() {
            let first = tensor(&numbers, &device) + 100.0;
            let second = Tensor::<2>::from_data([[1.0, -1.0, 2.0, 0.0]], &device).expand([SIZE, SIZE]);
            let of = |factor: f64| {
                values(aggregate_templates(Tensor::stack::<3>(vec![first.clone() * factor, second.clone()], 1)))
            };
            for row in of(1.0).chunks(SIZE) {
                let length: f32 = row.iter().map(|value| value * value).sum::<f32>().sqrt();
                prop_assert!((length - 1.0).abs() < 1e-6, "{length}");
            }
            let alone = values(unit(first.clone()));
            let distance = |rows: Vec<f32>| rows.iter().zip(&alone).map(|(a, b)| (a - b).abs()).sum::<f32>();
            prop_assert!(distance(of(times)) < distance(of(1.0)));
        }
    }

    #[test]
    fn tes_without_reference_is_cross_entropy(logits in square(), projected in square(), text in square(), tau in 0.03..1.0) {
        for device in devices() {
            let device = device.autodiff();
            let projected = (tensor(&projected, &device) + 0.01).require_grad();
            let settings = TesSettings { tau, lambda_v: 0.0, lambda_t: 0.0 };
            let text = unit(tensor(&text, &device) + 0.01);
            let logits = tensor(&logits, &device);
            let result = tes(logits.clone(), unit(projected.clone()), text, labels(&device), settings);
            let expected = values(cross_entropy(logits, labels(&device)));
            prop_assert_eq!(values(result.vision.clone()), expected);
            prop_assert_eq!(values(result.loss.clone()), values(result.vision.clone().mean()));
            let slope = projected.grad(&result.loss.backward()).unwrap();
            prop_assert!(values(slope).iter().all(|&slope| slope == 0.0));
        }
    }

    #[test]
    fn the_classifiers_of_tes_learn_from_their_own_term(
        logits in square(), projected in square(), text in square(), lambda_v in 0.0..1.0, lambda_t in 0.1..1.0,
    ) {
        for device in devices() {
            let device = device.autodiff();
            let (logits, projected) =
                (tensor(&logits, &device).require_grad(), (tensor(&projected, &device) + 0.01).require_grad());
            let settings = TesSettings { tau: 0.1, lambda_v, lambda_t };
            let text = unit(tensor(&text, &device) + 0.01);
            let of = || tes(logits.clone(), unit(projected.clone()), text.clone(), labels(&device), settings);
            for sum in values(of().soft_labels.sum_dim(1)) {
                prop_assert!((sum - 1.0).abs() < 1e-6, "{sum}");
            }
            let vision = of().vision.sum().backward();
            prop_assert!(projected.grad(&vision).is_none());
            prop_assert!(logits.grad(&vision).is_some());
            let text_term = of().text.sum().backward();
            prop_assert!(logits.grad(&text_term).is_none());
            prop_assert!(projected.grad(&text_term).is_some());
        }
    }
}

#[test]
#[should_panic(expected = "different shapes")]
fn features_of_another_number_of_classes_are_refused() {
    let device = devices().remove(0);
    feature_agreement(Tensor::zeros([3, 4], &device), Tensor::zeros([1, 4], &device));
}

#[test]
#[should_panic(expected = "differ in width")]
fn texts_of_another_width_are_refused() {
    let device = devices().remove(0);
    let settings = TesSettings { tau: 0.03, lambda_v: 0.1, lambda_t: 0.3 };
    let labels = Tensor::<1, Int>::from_data([0i64], &device);
    tes(
        Tensor::zeros([1, 3], &device),
        Tensor::zeros([1, 4], &device),
        Tensor::zeros([3, 5], &device),
        labels,
        settings,
    );
}
