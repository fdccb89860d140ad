//! TeS against values of the official code, recomputed in f64.

use burn::tensor::{DType, Device, Tensor};
use regulus_losses::{TesSettings, tes};
use serde_json::Value;

use crate::devices::{precisions, unit, wide};
use crate::recorded::{GRADIENT, Recorded, assert_close, gradient_of_large_logits};

const CASES: &str = include_str!("../golden/tes.json");
const TENSORS: &[u8] = include_bytes!("../golden/tes.safetensors");

#[test]
fn losses_soft_labels_and_gradients_agree_with_the_recorded_ones() {
    let recorded = Recorded::new(CASES, TENSORS);
    assert_eq!(recorded.cases.len(), 25);
    for (device, dtype) in precisions() {
        for case in &recorded.cases {
            check(case, &recorded, (&device, dtype));
        }
    }
}

fn check(case: &Value, recorded: &Recorded, at: (&Device, DType)) {
    let (key, inputs) = (case["key"].as_str().unwrap(), case["inputs"].as_str().unwrap());
    let number = |key: &str| case[key].as_f64().unwrap();
    let settings =
        TesSettings { tau: number("tau"), lambda_v: number("lambda_v"), lambda_t: number("lambda_t") };
    let input = |part: &str| recorded.tensor::<2>(&format!("{inputs}.{part}"), at);
    let expected = |part: &str| recorded.values(&format!("{key}.{part}"));
    let what = |part: &str| format!("{key}.{part} in {:?}", at.1);
    let labels = recorded.labels(&format!("{inputs}.label"), at.0);

    for of in ["raw", "unit"] {
        let vision_logits = input("vision_logits").require_grad();
        let projected = input("proj_raw");
        let leaf = if of == "raw" { projected } else { unit(projected) }.require_grad();
        let projected = if of == "raw" { unit(leaf.clone()) } else { leaf.clone() };
        let result = tes(vision_logits.clone(), projected, input("text"), labels.clone(), settings);
        let loss_tolerance = recorded.loss_tolerance(&format!("{key}.loss"), at.1);
        let compare_loss = |part: &str, got: Tensor<1>| {
            assert_close(&what(part), &wide(got), &expected(part), loss_tolerance);
        };
        compare_loss("loss", result.loss.clone());
        compare_loss("loss_vision", result.vision.mean());
        compare_loss("loss_text", result.text.mean());
        assert_close(&what("soft_label"), &wide(result.soft_labels), &expected("soft_label"), GRADIENT);

        let gradients = result.loss.backward();
        let gradient = wide(vision_logits.grad(&gradients).unwrap());
        assert_close(&what("grad_vision"), &gradient, &expected("grad_vision_logits"), GRADIENT);
        let part = format!("grad_proj_{of}");
        let large = settings.tau < 0.1;
        let tolerance = if large { gradient_of_large_logits(at.1) } else { GRADIENT };
        let gradient = wide(leaf.grad(&gradients).unwrap());
        assert_close(&what(&part), &gradient, &expected(&part), tolerance);
    }
}
