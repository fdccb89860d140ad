//! ProReg and constant distillation against values of the official code, recomputed in f64.

use burn::tensor::{DType, Device};
use regulus_losses::{
    TeacherWeight, constant_distillation, cross_entropy, distillation, proreg, teacher_weight,
};
use serde_json::Value;

use crate::devices::{devices, wide};
use crate::recorded::{GRADIENT, LOSS, Recorded, Tolerance, assert_close};

const CASES: &str = include_str!("../golden/proreg.json");
const TENSORS: &[u8] = include_bytes!("../golden/proreg.safetensors");
/// Of losses per sample, which may be 0.
const PER_SAMPLE: Tolerance = Tolerance { absolute: 1e-6, relative: 2e-6 };

#[test]
fn losses_weights_and_gradients_agree_with_the_recorded_ones() {
    let recorded = Recorded::new(CASES, TENSORS);
    assert_eq!(recorded.cases.len(), 126);
    for device in devices() {
        for case in &recorded.cases {
            check(case, &recorded, &device.clone().autodiff());
        }
    }
}

fn check(case: &Value, recorded: &Recorded, device: &Device) {
    let text = |key: &str| case[key].as_str().unwrap();
    let number = |key: &str| case[key].as_f64().unwrap();
    let (key, inputs) = (text("key"), text("inputs"));
    let (alpha, temperature) = (number("alpha"), number("T"));
    let logits = |name: &str| recorded.tensor::<2>(&format!("{inputs}.{name}"), (device, DType::F32));
    let student = logits("student").require_grad();
    let teacher = logits("teacher");
    let labels = recorded.labels(&format!("{inputs}.label"), device);

    let form = match text("loss") {
        "kd" => None,
        "exp10" => Some(TeacherWeight::Exp10),
        "prob" => Some(TeacherWeight::Prob),
        "power" => Some(TeacherWeight::Power { gamma: number("gamma") }),
        other => panic!("unknown loss {other}"),
    };
    let expected = |part: &str| recorded.values(&format!("{key}.{part}"));
    let loss = match form {
        None => {
            constant_distillation(student.clone(), teacher.clone(), labels.clone(), alpha, temperature).mean()
        }
        Some(form) => {
            let result = proreg(student.clone(), teacher.clone(), labels.clone(), form, alpha, temperature);
            let weight = teacher_weight(
                form,
                cross_entropy(student.clone(), labels.clone()),
                cross_entropy(teacher.clone(), labels.clone()),
            );
            assert_close(key, &wide(weight), &expected("w_teacher"), GRADIENT);
            assert_close(key, &wide(result.weights), &expected("w_teacher"), GRADIENT);
            assert_close(key, &wide(result.distillation), &expected("kl_per_sample"), PER_SAMPLE.on(device));
            result.loss
        }
    };
    let divergence = distillation(student.clone(), teacher, temperature);
    assert_close(key, &wide(divergence), &expected("kl_per_sample"), PER_SAMPLE.on(device));
    let gradients = loss.backward();
    assert_close(key, &wide(loss), &expected("loss"), LOSS.on(device));
    assert_close(key, &wide(student.grad(&gradients).unwrap()), &expected("grad"), GRADIENT);
}
