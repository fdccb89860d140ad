//! ProReg and constant distillation against values of the official code, recomputed in f64.

use burn::tensor::{Device, Int, Tensor, TensorData};
use regulus_losses::{
    TeacherWeight, constant_distillation, cross_entropy, distillation, proreg, teacher_weight,
};
use safetensors::{Dtype, SafeTensors};
use serde_json::Value;

use crate::devices::{devices, values};

const CASES: &str = include_str!("../golden/proreg.json");
const TENSORS: &[u8] = include_bytes!("../golden/proreg.safetensors");

/// The recorded tensor as f64, with its shape.
fn recorded(tensors: &SafeTensors, name: &str) -> (Vec<f64>, Vec<usize>) {
    let view = tensors.tensor(name).unwrap();
    let values = match view.dtype() {
        Dtype::F32 => {
            view.data().as_chunks().0.iter().map(|bytes| f64::from(f32::from_le_bytes(*bytes))).collect()
        }
        Dtype::F64 => view.data().as_chunks().0.iter().map(|bytes| f64::from_le_bytes(*bytes)).collect(),
        Dtype::I64 => {
            view.data().as_chunks().0.iter().map(|bytes| i64::from_le_bytes(*bytes) as f64).collect()
        }
        other => panic!("{name} has type {other:?}"),
    };
    (values, view.shape().to_vec())
}

fn logits(tensors: &SafeTensors, name: &str, device: &Device) -> Tensor<2> {
    let (values, shape) = recorded(tensors, name);
    let values: Vec<f32> = values.into_iter().map(|value| value as f32).collect();
    Tensor::from_data(TensorData::new(values, shape), device)
}

fn assert_close(what: &str, got: &[f32], expected: &[f64], absolute: f64, relative: f64) {
    assert_eq!(got.len(), expected.len(), "{what}");
    for (&got, &expected) in got.iter().zip(expected) {
        let error = (f64::from(got) - expected).abs();
        assert!(error <= absolute + relative * expected.abs(), "{what}: {got} instead of {expected}");
    }
}

#[test]
fn losses_weights_and_gradients_agree_with_the_recorded_ones() {
    let document: Value = serde_json::from_str(CASES).unwrap();
    let tensors = SafeTensors::deserialize(TENSORS).unwrap();
    let cases = document["cases"].as_array().unwrap();
    assert_eq!(cases.len(), 126);
    for device in devices() {
        for case in cases {
            check(case, &tensors, &device.clone().autodiff());
        }
    }
}

fn check(case: &Value, tensors: &SafeTensors, device: &Device) {
    let text = |key: &str| case[key].as_str().unwrap();
    let number = |key: &str| case[key].as_f64().unwrap();
    let (key, inputs) = (text("key"), text("inputs"));
    let (alpha, temperature) = (number("alpha"), number("T"));
    let student = logits(tensors, &format!("{inputs}.student"), device).require_grad();
    let teacher = logits(tensors, &format!("{inputs}.teacher"), device);
    let labels: Vec<i64> =
        recorded(tensors, &format!("{inputs}.label")).0.iter().map(|&l| l as i64).collect();
    let labels = Tensor::<1, Int>::from_data(labels.as_slice(), device);

    let form = match text("loss") {
        "kd" => None,
        "exp10" => Some(TeacherWeight::Exp10),
        "prob" => Some(TeacherWeight::Prob),
        "power" => Some(TeacherWeight::Power { gamma: number("gamma") }),
        other => panic!("unknown loss {other}"),
    };
    let expected = |part: &str| recorded(tensors, &format!("{key}.{part}")).0;
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
            assert_close(key, &values(weight), &expected("w_teacher"), 1e-6, 0.0);
            assert_close(key, &values(result.weights), &expected("w_teacher"), 1e-6, 0.0);
            assert_close(key, &values(result.distillation), &expected("kl_per_sample"), 1e-6, 2e-6);
            result.loss
        }
    };
    let divergence = distillation(student.clone(), teacher, temperature);
    assert_close(key, &values(divergence), &expected("kl_per_sample"), 1e-6, 2e-6);
    let gradients = loss.backward();
    assert_close(key, &values(loss), &expected("loss"), 0.0, 2e-6);
    assert_close(key, &values(student.grad(&gradients).unwrap()), &expected("grad"), 1e-6, 0.0);
}
