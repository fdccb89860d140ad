//! R-MT's masks and gradient dropout against values of the official code, recomputed in f64.

use burn::tensor::{DType, Device, Tensor, activation};
use regulus_losses::{
    FusedTarget, binarise, cross_entropy, drop_gradient, fused_distillation, keep_probability,
    mask_regulariser, masked_weight,
};
use serde_json::Value;

use crate::devices::{precisions, wide};
use crate::recorded::{EXACTLY, GRADIENT, LOSS, Recorded, Tolerance, assert_close};

const CASES: &str = include_str!("../golden/ramt.json");
const TENSORS: &[u8] = include_bytes!("../golden/ramt.safetensors");
/// Of results that are one multiplication away from a recorded tensor in f32.
const ROUNDED: Tolerance = Tolerance { absolute: 0.0, relative: 2e-7 };

fn recorded() -> Recorded {
    Recorded::new(CASES, TENSORS)
}

fn number(case: &Value, key: &str) -> f64 {
    case[key].as_f64().unwrap()
}

fn of_kind<'a>(recorded: &'a Recorded, kind: &str) -> Vec<&'a Value> {
    recorded.cases.iter().filter(|case| case["kind"] == kind).collect()
}

#[test]
fn the_binariser_is_exact_and_straight_through() {
    let recorded = recorded();
    let threshold = number(of_kind(&recorded, "binariser")[0], "threshold");
    for (device, _) in precisions() {
        // The recorded thresholds are those of f32.
        let at = (&device, DType::F32);
        let mask = recorded.tensor::<1>("bin.mask", at).require_grad();
        let on = binarise(mask.clone(), threshold);
        assert_close("bin.out", &wide(on.clone()), &recorded.values("bin.out"), EXACTLY);
        let gradients = (on * recorded.tensor("bin.upstream", at)).sum().backward();
        let gradient = wide(mask.grad(&gradients).unwrap());
        assert_close("bin.grad", &gradient, &recorded.values("bin.grad"), EXACTLY);
    }
}

#[test]
fn keep_probabilities_and_dropped_gradients_agree_with_the_recorded_ones() {
    let recorded = recorded();
    for (device, dtype) in precisions() {
        let tensor = |name: &str| recorded.tensor::<1>(name, (&device, dtype));
        let keep = keep_probability(tensor("gdr.a"), tensor("gdr.b"));
        assert_close("gdr.p", &wide(keep.clone()), &recorded.values("gdr.p"), GRADIENT);
        let cases = of_kind(&recorded, "gradient_dropout");
        assert_eq!(cases.len(), 4);
        for case in cases {
            let key = case["key"].as_str().unwrap();
            let dropped = drop_gradient(tensor("gdr.a"), keep.clone(), tensor("gdr.u"), number(case, "lam"));
            assert_close(key, &wide(dropped), &recorded.values(key), ROUNDED);
        }
    }
}

#[test]
fn the_norm_of_a_zero_mask_has_no_slope() {
    let recorded = recorded();
    for (device, dtype) in precisions() {
        let zeros = recorded.values("l2zero.grad");
        let mask = Tensor::<1>::zeros([zeros.len()], (&device, dtype)).require_grad();
        let norm = mask_regulariser([mask.clone()], 1.0).unwrap();
        assert_close("l2zero", &wide(norm.clone()), &[0.0], EXACTLY);
        let gradient = wide(mask.grad(&norm.backward()).unwrap());
        assert_close("l2zero", &gradient, &zeros, EXACTLY);
    }
}

#[test]
fn a_masked_linear_layer_agrees_with_the_recorded_one() {
    let recorded = recorded();
    for (device, dtype) in precisions() {
        let at = (&device, dtype);
        let tensor = |name: &str| recorded.tensor::<2>(&format!("lin.{name}"), at);
        let bias = recorded.tensor::<1>("lin.bias", at).unsqueeze::<2>();
        let layer = MaskedLayer {
            key: "lin",
            masks: vec![("weight", tensor("mask.weight"))],
            logits: &|masks, threshold| {
                let weight = masked_weight(tensor("weight"), masks[0].clone(), threshold);
                tensor("x").matmul(weight.transpose()) + bias.clone()
            },
        };
        layer.check(&recorded, at);
    }
}

#[test]
fn a_masked_attention_layer_agrees_with_the_recorded_one() {
    let recorded = recorded();
    let heads = number(recorded.cases.iter().find(|case| case["key"] == "mha").unwrap(), "heads") as usize;
    for (device, dtype) in precisions() {
        let at = (&device, dtype);
        let tensor = |name: &str| recorded.tensor::<2>(&format!("mha.{name}"), at);
        let bias = |name: &str| recorded.tensor::<1>(&format!("mha.attn.{name}"), at).unsqueeze::<3>();
        let x = recorded.tensor::<3>("mha.x", at);
        let [batch, tokens, width] = x.dims();
        let linear = |x: Tensor<3>, weight: Tensor<2>| x.matmul(weight.transpose().unsqueeze::<3>());
        let layer = MaskedLayer {
            key: "mha",
            masks: vec![("in_proj", tensor("mask.in_proj")), ("out_proj", tensor("mask.out_proj"))],
            logits: &|masks, threshold| {
                let in_proj = masked_weight(tensor("attn.in_proj_weight"), masks[0].clone(), threshold);
                let out_proj = masked_weight(tensor("attn.out_proj.weight"), masks[1].clone(), threshold);
                let qkv = linear(x.clone(), in_proj) + bias("in_proj_bias");
                let part = |index: usize| -> Tensor<4> {
                    let part = qkv.clone().narrow(2, index * width, width);
                    part.reshape([batch, tokens, heads, width / heads]).swap_dims(1, 2)
                };
                let scale = ((width / heads) as f64).sqrt();
                let scores = activation::softmax(part(0).matmul(part(1).swap_dims(2, 3)) / scale, 3);
                let mixed = scores.matmul(part(2)).swap_dims(1, 2).reshape([batch, tokens, width]);
                let out = linear(mixed, out_proj) + bias("out_proj.bias");
                out.mean_dim(1).squeeze_dim::<2>(1).matmul(tensor("head").transpose())
            },
        };
        layer.check(&recorded, at);
    }
}

/// A recorded layer: its masks by name, and its logits as a function of them.
struct MaskedLayer<'a> {
    key: &'a str,
    masks: Vec<(&'a str, Tensor<2>)>,
    logits: &'a dyn Fn(&[Tensor<2>], f64) -> Tensor<2>,
}

impl MaskedLayer<'_> {
    fn check(&self, recorded: &Recorded, at: (&Device, DType)) {
        let cases = of_kind(recorded, self.key);
        assert_eq!(cases.len(), 4);
        let labels = recorded.labels(&self.name("label"), at.0);
        let teacher = recorded.tensor::<2>(&self.name("teacher_logits"), at);
        for case in cases {
            let (threshold, l2_weight) = (number(case, "threshold"), number(case, "l2_weight"));
            let logits = |masks: &[Tensor<2>]| (self.logits)(masks, threshold);
            let cross_entropy = |masks: &[Tensor<2>]| cross_entropy(logits(masks), labels.clone()).mean();
            let norms = |masks: &[Tensor<2>], weight: f64| {
                mask_regulariser(masks.iter().map(|mask| mask.clone().flatten(0, 1)), weight).unwrap()
            };
            let masks: Vec<_> = self.masks.iter().map(|(_, mask)| mask.clone()).collect();
            let expected = recorded.values(&self.name("logits"));
            assert_close(self.key, &wide(logits(&masks)), &expected, GRADIENT);
            self.compare(recorded, Some("ce"), "grad_ce", cross_entropy);
            self.compare(recorded, Some("l2"), "grad_l2", |masks| norms(masks, 1.0));
            let task = self
                .compare(recorded, None, "grad_main", |masks| cross_entropy(masks) + norms(masks, l2_weight));

            let key = case["key"].as_str().unwrap();
            let variant = key.strip_prefix(&self.name("")).unwrap();
            let (fuse, temperature) = (number(case, "fuse_alpha"), number(case, "T"));
            let (loss, gradient) = (format!("{variant}.kl"), format!("{variant}.grad_kl"));
            let general = self.compare(recorded, Some(&loss), &gradient, |masks| {
                let (student, target) = (logits(masks), FusedTarget::WithGradient);
                fused_distillation(student, teacher.clone(), fuse, temperature, target).mean()
            });
            self.check_dropout(recorded, case, task.into_iter().zip(general), at);
        }
    }

    fn name(&self, part: &str) -> String {
        format!("{}.{part}", self.key)
    }

    /// Compares a loss, where it is recorded, and its gradients, which are returned.
    fn compare(
        &self,
        recorded: &Recorded,
        loss_name: Option<&str>,
        gradient_name: &str,
        loss: impl Fn(&[Tensor<2>]) -> Tensor<1>,
    ) -> Vec<Tensor<2>> {
        let masks: Vec<_> = self.masks.iter().map(|(_, mask)| mask.clone().require_grad()).collect();
        let loss = loss(&masks);
        if let Some(name) = loss_name.map(|name| self.name(name)) {
            assert_close(&name, &wide(loss.clone()), &recorded.values(&name), LOSS);
        }
        let gradients = loss.backward();
        let gradients: Vec<_> = masks.iter().map(|mask| mask.grad(&gradients).unwrap()).collect();
        for ((mask, _), gradient) in self.masks.iter().zip(&gradients) {
            let name = self.name(&format!("{gradient_name}.{mask}"));
            assert_close(&name, &wide(gradient.clone()), &recorded.values(&name), GRADIENT);
        }
        gradients
    }

    /// Keep probabilities of the recorded gradients, and what is left of the given ones.
    fn check_dropout(
        &self,
        recorded: &Recorded,
        case: &Value,
        gradients: impl Iterator<Item = (Tensor<2>, Tensor<2>)>,
        at: (&Device, DType),
    ) {
        let key = case["key"].as_str().unwrap();
        for ((mask, _), (task, general)) in self.masks.iter().zip(gradients) {
            let tensor = |name: String| recorded.tensor::<2>(&name, at).inner();
            let recorded_task = tensor(self.name(&format!("grad_main.{mask}")));
            let keep = keep_probability(recorded_task, tensor(format!("{key}.grad_kl.{mask}")));
            let name = format!("{key}.p.{mask}");
            assert_close(&name, &wide(keep), &recorded.values(&name), GRADIENT);

            let keep = keep_probability(task.clone(), general);
            let uniform = tensor(self.name(&format!("u.{mask}")));
            let lambdas = case["lambdas"].as_array().unwrap();
            for lambda in lambdas.iter().map(|lambda| lambda.as_f64().unwrap()) {
                let name = format!("{key}.dropped_lam{lambda:?}.{mask}");
                let dropped = drop_gradient(task.clone(), keep.clone(), uniform.clone(), lambda);
                assert_close(&name, &wide(dropped), &recorded.values(&name), GRADIENT);
            }
        }
    }
}
