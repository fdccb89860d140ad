//! R-MT's masks, masked layers and gradient dropout.

use super::agreement::{gradient, in_single, loss, of_large_logits, settings, widest, zero_without};
use super::notes::Notes;
use crate::checks::Checks;
use crate::error::CaseError;
use crate::recorded::Recorded;
use crate::report::Row;
use burn::tensor::{DType, Device, Tensor, activation};
use regulus_losses::{
    FusedTarget, binarise, cross_entropy, drop_gradient, fused_distillation, keep_probability,
    mask_regulariser, masked_weight,
};
use serde_json::Value;

/// Whether the case records gradients before and after dropout.
pub(crate) fn recognises(io: &Recorded) -> bool {
    io.names().any(|name| name.starts_with("gdr.") || name.contains(".dropped_lam"))
}

pub(crate) fn run(
    io: &Recorded,
    notes: &Notes,
    device: &Device,
    rows: &mut Vec<Row>,
) -> Result<(), CaseError> {
    let cases = notes.list("cases")?;
    settings(io, notes, rows, |checks, case| match case["kind"].as_str() {
        Some("binariser") => binariser(checks, notes, case, device),
        Some("gradient_dropout") => dropout(checks, notes, case, device),
        Some("gradient of the norm at zero") => norm_at_zero(checks, notes, case, device),
        Some(layer) => {
            // What all settings of a layer share stands in an entry of its own.
            let shared = cases.iter().find(|other| other["key"] == layer).unwrap_or(&Value::Null);
            Layer::read(checks.recorded, notes, layer, shared, device)?.check(checks, notes, case, device)
        }
        None => Ok(()),
    })
}

fn binariser(checks: &mut Checks<'_>, notes: &Notes, case: &Value, device: &Device) -> Result<(), CaseError> {
    let io = checks.recorded;
    let key = notes.text_in(case, "key")?;
    let tensor = |part: &str| io.tensor_as::<1>(&format!("{key}.{part}"), device, DType::F32);
    let mask = tensor("mask")?.require_grad();
    let on = binarise(mask.clone(), notes.number_in(case, "threshold")?);
    // Exactly 0 or 1, and the gradient passes unchanged.
    checks.tensor(&format!("{key}.out"), &on, 0.0)?;
    match mask.grad(&(on * tensor("upstream")?).sum().backward()) {
        Some(slope) => checks.tensor(&format!("{key}.grad"), &slope, 0.0),
        None => {
            checks.problem(&format!("{key}.grad"), "the mask received no gradient");
            Ok(())
        }
    }
}

fn dropout(checks: &mut Checks<'_>, notes: &Notes, case: &Value, device: &Device) -> Result<(), CaseError> {
    let io = checks.recorded;
    let key = notes.text_in(case, "key")?;
    let family = key.rsplit_once('.').map_or(key, |(family, _)| family);
    let tensor = |part: &str| io.tensor_as::<1>(&format!("{family}.{part}"), device, widest(device));
    let keep = keep_probability(tensor("a")?, tensor("b")?);
    gradient(checks, &format!("{family}.p"), &keep)?;
    gradient(checks, key, &drop_gradient(tensor("a")?, keep, tensor("u")?, notes.number_in(case, "lam")?))
}

fn norm_at_zero(
    checks: &mut Checks<'_>,
    notes: &Notes,
    case: &Value,
    device: &Device,
) -> Result<(), CaseError> {
    let name = format!("{}.grad", notes.text_in(case, "key")?);
    let mask = checks.recorded.tensor::<1>(&name, device)?.zeros_like().require_grad();
    let norm = mask_regulariser([mask.clone()], 1.0);
    match norm.and_then(|norm| mask.grad(&norm.backward())) {
        Some(slope) => checks.tensor(&name, &slope, 0.0),
        None => {
            checks.problem(&name, "the mask received no gradient");
            Ok(())
        }
    }
}

/// A recorded layer with masks on its weights.
struct Layer {
    key: String,
    /// Names of the masks, and the masks.
    masks: Vec<(String, Tensor<2>)>,
    logits: LogitsOfMasks,
}

/// Logits from masks and their threshold.
type LogitsOfMasks = Box<dyn Fn(&[Tensor<2>], f64) -> Tensor<2>>;

struct Attention {
    x: Tensor<3>,
    in_proj: Tensor<2>,
    in_bias: Tensor<3>,
    out_proj: Tensor<2>,
    out_bias: Tensor<3>,
    head: Tensor<2>,
    heads: usize,
}

impl Layer {
    fn read(
        io: &Recorded,
        notes: &Notes,
        key: &str,
        shared: &Value,
        device: &Device,
    ) -> Result<Self, CaseError> {
        let precision = widest(device);
        let matrix = |part: &str| io.tensor_as::<2>(&format!("{key}.{part}"), device, precision);
        let vector = |part: &str| io.tensor_as::<1>(&format!("{key}.{part}"), device, precision);
        let (masks, logits): (&[&str], LogitsOfMasks) = match key {
            "lin" => {
                let (x, weight, bias) = (matrix("x")?, matrix("weight")?, vector("bias")?.unsqueeze::<2>());
                let logits = move |masks: &[Tensor<2>], threshold| {
                    let weight = masked_weight(weight.clone(), masks[0].clone(), threshold);
                    x.clone().matmul(weight.transpose()) + bias.clone()
                };
                (&["weight"], Box::new(logits))
            }
            "mha" => {
                let attention = Attention {
                    x: io.tensor_as(&format!("{key}.x"), device, precision)?,
                    in_proj: matrix("attn.in_proj_weight")?,
                    in_bias: vector("attn.in_proj_bias")?.unsqueeze(),
                    out_proj: matrix("attn.out_proj.weight")?,
                    out_bias: vector("attn.out_proj.bias")?.unsqueeze(),
                    head: matrix("head")?,
                    heads: notes.size_in(shared, "heads")?,
                };
                let logits = move |masks: &[Tensor<2>], threshold| attention.logits(masks, threshold);
                (&["in_proj", "out_proj"], Box::new(logits))
            }
            other => {
                return Err(CaseError::Unsupported(format!("a masked layer {other:?} is not known here")));
            }
        };
        let masks = masks.iter().map(|name| Ok((name.to_string(), matrix(&format!("mask.{name}"))?)));
        Ok(Self { key: key.into(), masks: masks.collect::<Result<_, CaseError>>()?, logits })
    }

    fn name(&self, part: &str) -> String {
        format!("{}.{part}", self.key)
    }

    fn check(
        &self,
        checks: &mut Checks<'_>,
        notes: &Notes,
        case: &Value,
        device: &Device,
    ) -> Result<(), CaseError> {
        let io = checks.recorded;
        let key = notes.text_in(case, "key")?;
        let number = |field: &str| notes.number_in(case, field);
        let threshold = in_single(number("threshold")?);
        let (fuse, temperature) = (number("fuse_alpha")?, number("T")?);
        let labels = io.labels(&self.name("label"), device)?;
        let teacher: Tensor<2> = io.tensor_as(&self.name("teacher_logits"), device, widest(device))?;
        let plain: Vec<Tensor<2>> = self.masks.iter().map(|(_, mask)| mask.clone()).collect();
        of_large_logits(checks, &self.name("logits"), &(self.logits)(&plain, threshold))?;

        let missing = || CaseError::Unsupported(format!("{key} has no masks"));
        let norms = |masks: &[Tensor<2>], weight: f64| {
            mask_regulariser(masks.iter().map(|mask| mask.clone().flatten(0, 1)), weight).ok_or_else(missing)
        };
        let entropy =
            |masks: &[Tensor<2>]| Ok(cross_entropy((self.logits)(masks, threshold), labels.clone()).mean());
        let l2_weight = number("l2_weight")?;
        let task = |masks: &[Tensor<2>]| Ok(entropy(masks)? + norms(masks, l2_weight)?);
        let agreement = |masks: &[Tensor<2>]| {
            let (student, target) = ((self.logits)(masks, threshold), FusedTarget::WithGradient);
            Ok(fused_distillation(student, teacher.clone(), fuse, temperature, target).mean())
        };
        self.gradients(checks, Some(&self.name("ce")), &self.name("grad_ce"), entropy)?;
        self.gradients(checks, Some(&self.name("l2")), &self.name("grad_l2"), |masks| norms(masks, 1.0))?;
        let task = self.gradients(checks, None, &self.name("grad_main"), task)?;
        let (value, slope) = (format!("{key}.kl"), format!("{key}.grad_kl"));
        let general = self.gradients(checks, Some(&value), &slope, agreement)?;

        let lambdas = case["lambdas"].as_array().map(Vec::as_slice).unwrap_or_default();
        for ((mask, _), (task, general)) in self.masks.iter().zip(task.into_iter().zip(general)) {
            let keep = keep_probability(task.clone(), general);
            gradient(checks, &format!("{key}.p.{mask}"), &keep)?;
            let uniform: Tensor<2> =
                io.tensor_as(&self.name(&format!("u.{mask}")), device, widest(device))?;
            for lambda in lambdas.iter().filter_map(Value::as_f64) {
                let dropped = drop_gradient(task.clone(), keep.clone(), uniform.clone().inner(), lambda);
                gradient(checks, &format!("{key}.dropped_lam{lambda:?}.{mask}"), &dropped)?;
            }
        }
        Ok(())
    }

    /// Compares a loss, where it is recorded, and its gradients, which are returned.
    fn gradients(
        &self,
        checks: &mut Checks<'_>,
        loss_name: Option<&str>,
        gradient_name: &str,
        value: impl Fn(&[Tensor<2>]) -> Result<Tensor<1>, CaseError>,
    ) -> Result<Vec<Tensor<2>>, CaseError> {
        // A backward pass uses its graph up: every loss is computed from leaves of its own.
        let masks: Vec<Tensor<2>> = self.masks.iter().map(|(_, mask)| mask.clone().require_grad()).collect();
        let value = value(&masks)?;
        if let Some(name) = loss_name {
            loss(checks, name, &value)?;
        }
        let gradients = value.backward();
        let of_mask = |((name, _), mask): (&(String, Tensor<2>), &Tensor<2>)| {
            let found = zero_without(mask.grad(&gradients), mask);
            gradient(checks, &format!("{gradient_name}.{name}"), &found)?;
            Ok(found)
        };
        self.masks.iter().zip(&masks).map(of_mask).collect()
    }
}

impl Attention {
    /// The mean over tokens of the attention's output, times the head.
    fn logits(&self, masks: &[Tensor<2>], threshold: f64) -> Tensor<2> {
        let [batch, tokens, width] = self.x.dims();
        let linear = |x: Tensor<3>, weight: Tensor<2>| x.matmul(weight.transpose().unsqueeze::<3>());
        let in_proj = masked_weight(self.in_proj.clone(), masks[0].clone(), threshold);
        let out_proj = masked_weight(self.out_proj.clone(), masks[1].clone(), threshold);
        let qkv = linear(self.x.clone(), in_proj) + self.in_bias.clone();
        let part = |index: usize| -> Tensor<4> {
            let part = qkv.clone().narrow(2, index * width, width);
            part.reshape([batch, tokens, self.heads, width / self.heads]).swap_dims(1, 2)
        };
        let scale = ((width / self.heads) as f64).sqrt();
        let scores = activation::softmax(part(0).matmul(part(1).swap_dims(2, 3)) / scale, 3);
        let mixed = scores.matmul(part(2)).swap_dims(1, 2).reshape([batch, tokens, width]);
        let out = linear(mixed, out_proj) + self.out_bias.clone();
        out.mean_dim(1).squeeze_dim::<2>(1).matmul(self.head.clone().transpose())
    }
}
