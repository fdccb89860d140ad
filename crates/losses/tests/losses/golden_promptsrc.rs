//! PromptSRC's terms against values of the official code, recomputed in f64.

use burn::tensor::{DType, Device, Tensor};
use regulus_losses::{
    BatchOutputs, PromptSrcWeights, aggregate_templates, feature_agreement, logit_agreement, promptsrc,
};
use serde_json::Value;

use crate::devices::{precisions, unit, wide};
use crate::recorded::{GRADIENT, Recorded, assert_close, gradient_of_large_logits};

const CASES: &str = include_str!("../golden/promptsrc.json");
const TENSORS: &[u8] = include_bytes!("../golden/promptsrc.safetensors");

#[test]
fn terms_and_gradients_agree_with_the_recorded_ones() {
    let recorded = Recorded::new(CASES, TENSORS);
    assert_eq!(recorded.cases.len(), 5);
    for (device, dtype) in precisions() {
        for case in &recorded.cases {
            check(case, &recorded, (&device, dtype));
        }
    }
}

fn check(case: &Value, recorded: &Recorded, at: (&Device, DType)) {
    let key = case["key"].as_str().unwrap();
    let name = |part: &str| format!("{key}.{part}");
    let what = |part: &str| format!("{key}.{part} in {:?}", at.1);
    let tensor = |part: &str| recorded.tensor::<2>(&name(part), at);
    let scale = recorded.values(&name("logit_scale_exp"))[0];
    let labels = recorded.labels(&name("label"), at.0);
    let number = |key: &str| case[key].as_f64().unwrap();
    let weights =
        PromptSrcWeights { text: number("text_weight"), image: number("image_weight"), logits: 1.0 };

    let outputs = |image: Tensor<2>, text: Tensor<2>| {
        let logits = image.clone().matmul(text.clone().transpose()) * scale;
        BatchOutputs { image, text, logits }
    };
    let compare = |part: &str, got: Tensor<2>| {
        let tolerance = gradient_of_large_logits(at.1);
        assert_close(&what(part), &wide(got), &recorded.values(&name(part)), tolerance);
    };
    let frozen_text = aggregate_templates(recorded.tensor::<3>(&name("text_frozen_templates"), at));
    compare("text_frozen", frozen_text.clone());
    let frozen = outputs(unit(tensor("image_frozen")), frozen_text);
    let compare_cosines = |part: &str, logits: Tensor<2>| {
        let expected: Vec<f64> = recorded.values(&name(part)).iter().map(|logit| logit / scale).collect();
        assert_close(&what(part), &wide(logits / scale), &expected, GRADIENT);
    };
    compare_cosines("logits_frozen", frozen.logits.clone());
    compare_cosines("logits", outputs(unit(tensor("image")), unit(tensor("text"))).logits);

    for (raw, suffix) in [(true, ""), (false, "_unit")] {
        let leaf = |part: &str| if raw { tensor(part) } else { unit(tensor(part)) }.require_grad();
        let (image, text) = (leaf("image"), leaf("text"));
        let prepared = |leaf: &Tensor<2>| if raw { unit(leaf.clone()) } else { leaf.clone() };
        let prompted = || outputs(prepared(&image), prepared(&text));
        let check_term = |term: &str, loss: Tensor<1>| {
            let (recorded_loss, tolerance) = (name(term), recorded.loss_tolerance(&name(term), at.1));
            assert_close(&what(term), &wide(loss.clone()), &recorded.values(&recorded_loss), tolerance);
            let gradients = loss.backward();
            for (side, leaf) in [("image", &image), ("text", &text)] {
                let part = format!("grad_{term}.{side}{suffix}");
                if recorded.has(&name(&part)) {
                    compare(&part, leaf.grad(&gradients).unwrap_or_else(|| leaf.zeros_like().inner()));
                }
            }
        };
        let all = || promptsrc(prompted(), frozen.clone(), labels.clone(), weights);
        check_term("total", all().loss);
        check_term("ce", all().cross_entropy);
        // The two agreements of features are recorded with their factors.
        check_term("scl_text", all().text * weights.text);
        check_term("scl_image", all().image * weights.image);
        check_term("scl_logits", all().logits);
        check_term("scl_text", feature_agreement(prompted().text, frozen.text.clone()) * weights.text);
        check_term("scl_image", feature_agreement(prompted().image, frozen.image.clone()) * weights.image);
        check_term("scl_logits", logit_agreement(prompted().logits, frozen.logits.clone()));
    }
}

#[test]
fn equal_models_leave_only_the_cross_entropy() {
    let recorded = Recorded::new(CASES, TENSORS);
    let case = recorded.cases.iter().find(|case| case["prompted_equals_frozen"] == true).unwrap();
    let key = case["key"].as_str().unwrap();
    for (device, dtype) in precisions() {
        for side in ["image", "text"] {
            let features = unit(recorded.tensor::<2>(&format!("{key}.{side}"), (&device, dtype)));
            let prompted = features.clone().require_grad();
            let agreement = feature_agreement(prompted.clone(), features);
            assert_eq!(wide(agreement.clone()), [0.0]);
            let gradient = prompted.grad(&agreement.backward()).unwrap();
            assert!(wide(gradient).iter().all(|&slope| slope == 0.0), "{side}");
        }
    }
}
