//! Masks on an image encoder under layers of its own: what is trained, what masks do, and whose gradients are dropped.

use std::path::Path;
use std::sync::Arc;

use burn::tensor::{Device, Tensor};
use regulus_clip::{Backbone, Injection, LoadedBackbone, Part as Tower, RunningStatistics};
use regulus_losses::{FusedTarget, TesSettings, fused_distillation};
use regulus_trainer::batches::Batch;
use regulus_trainer::method::Method;
use regulus_trainer::methods::{
    DropoutDraws, EncoderMasks, EncoderTuning, GradientDropout, ImageEncoder, MaskError, MaskPart,
    MaskSettings, MaskTargets, MaskedWeight, Masks, Part, SeededDraws, Supervision,
};
use regulus_trainer::parameters::Parameters;
use regulus_trainer::zero_shot::{Averaging, ZeroShot, text_features};

use crate::encoder_tuning::resnet;
use crate::support::{Case, RecordedBatches, compare, device, host, tiny_clip, token_rows};

const CLASSES: usize = 5;
const ATTENTION: MaskTargets = MaskTargets { part: MaskPart::Attention, first_convolution: false };
const WITHOUT: MaskSettings = MaskSettings { start: 1e-2, threshold: 5e-3, norm_weight: 1e-4, dropout: None };
/// A fully connected weight, its mask and all.
const PATH: &str = "visual.transformer.resblocks.0.attn.out_proj.weight";

/// CLIP's tower with its zero-shot model.
struct Setting {
    zero_shot: ZeroShot,
    batch: Batch,
}

impl Setting {
    fn new() -> Self {
        let (common, device) = (Case::open("common"), device());
        let clip = tiny_clip(&common, &device);
        let texts = text_features(&clip, &[token_rows(&common, "tokens")], Averaging::UnitFirst);
        let batch = RecordedBatches { common: &common, device: &device }.at(0).unwrap();
        Self { zero_shot: ZeroShot::new(clip, texts), batch }
    }

    fn plain(&self) -> EncoderTuning {
        let encoder = ImageEncoder::Clip(self.zero_shot.clip().clone());
        let settings = TesSettings { tau: 0.03, lambda_v: 0.1, lambda_t: 0.3 };
        let texts = Supervision::Texts { features: self.zero_shot.text_features(), settings };
        EncoderTuning::new(encoder, texts, 2, RunningStatistics::default())
    }

    fn masked(&self, settings: MaskSettings) -> EncoderTuning {
        let zero_shot = Some(self.zero_shot.clone());
        self.plain().with_masks(masks(ATTENTION, settings, zero_shot)).unwrap()
    }
}

fn masks(targets: MaskTargets, settings: MaskSettings, zero_shot: Option<ZeroShot>) -> EncoderMasks {
    EncoderMasks { targets, settings, draws: draws(), zero_shot }
}

fn draws() -> Arc<dyn DropoutDraws> {
    Arc::new(SeededDraws { seed: 3 })
}

/// Dropout against a student that differs from the frozen model: a part of the masks is off.
fn dropout() -> MaskSettings {
    let how = GradientDropout { lambda: 1.0, temperature: 2.0, fuse: 0.7, target: FusedTarget::Detached };
    MaskSettings { dropout: Some(how), ..WITHOUT }
}

/// Every seventh mask of each weight off.
fn thinned(method: &EncoderTuning) -> Parameters {
    method.parameters().map(|name, leaf| {
        let [length] = leaf.value.dims();
        if method.is_head(name) {
            return leaf.value.clone();
        }
        let values: Vec<f32> = (0..length).map(|index| if index % 7 == 0 { 0.0 } else { 0.01 }).collect();
        Tensor::from_data(values.as_slice(), &leaf.value.device())
    })
}

#[test]
fn masks_take_the_place_of_the_encoders_weights() {
    let setting = Setting::new();
    let (plain, masked) = (setting.plain(), setting.masked(WITHOUT));
    let (weights, start) = (plain.parameters(), masked.parameters());
    let (heads, rest): (Vec<_>, Vec<_>) = start.iter().partition(|(name, _)| masked.is_head(name));
    assert_eq!(heads.len(), weights.iter().filter(|(name, _)| plain.is_head(name)).count());
    assert!(
        rest.iter().all(|(name, leaf)| name.contains(".attn.") && leaf.shape == weights[name.as_str()].shape)
    );
    assert!(
        rest.iter().all(|(_, leaf)| host(leaf.value.clone()).iter().all(|&mask| mask == f64::from(0.01f32)))
    );
    let pixels = || setting.batch.pixels.clone();
    let logits = |method: &EncoderTuning, parameters| host(method.logits(parameters, pixels()));
    assert_eq!(logits(&masked, &start), logits(&plain, &weights), "all masks are on");

    // Masks that are off are weights of 0.
    let thin = thinned(&masked);
    let zeros = weights.map(|name, leaf| match thin.get(name) {
        Some(mask) if !plain.is_head(name) => {
            leaf.value.clone() * mask.value.clone().greater_elem(5e-3).float()
        }
        _ => leaf.value.clone(),
    });
    compare("logits", &logits(&masked, &thin), &logits(&plain, &zeros), 1e-6);
    let facts = masked.facts(&thin);
    let fact = |name: &str| facts.iter().find(|(known, _)| *known == name).unwrap().1;
    assert!(fact("masked_weights_off") > 0.1 * fact("masked_weights"));
    assert!(fact("tower_parameters") > fact("masked_weights") && plain.facts(&weights).is_empty());
}

#[test]
fn a_step_trains_masks_and_heads_alone() {
    let setting = Setting::new();
    let (plain, masked) = (setting.plain(), setting.masked(WITHOUT));
    let start = masked.parameters();
    let (with, without) =
        (masked.step(&start, &setting.batch), plain.step(&plain.parameters(), &setting.batch));
    assert_eq!(with.gradients.len(), start.len());
    for name in ["fc.weight", "projection_head.3.weight"] {
        compare(name, &host(with.gradients[name].clone()), &host(without.gradients[name].clone()), 1e-6);
    }
    // The slope of a mask is that of the weight times the weight, and that of the norm.
    let mask = &start[PATH];
    let (slope, weight) =
        (host(without.gradients[PATH].clone()), host(plain.parameters()[PATH].value.clone()));
    let norm = host(mask.value.clone()).iter().map(|value| value * value).sum::<f64>().sqrt();
    let expected: Vec<f64> = slope.iter().zip(&weight).map(|(g, w)| g * w + 1e-4 * 0.01 / norm).collect();
    compare(PATH, &host(with.gradients[PATH].clone()), &expected, 1e-6);
    let norms: f64 = start
        .iter()
        .filter(|(name, _)| !masked.is_head(name))
        .map(|(_, leaf)| host(leaf.value.clone()).iter().map(|value| value * value).sum::<f64>().sqrt())
        .sum();
    compare("loss", &[with.loss - without.loss], &[1e-4 * norms], 1e-5);
    assert!(with.terms.iter().any(|(name, _)| *name == "mask_norm"));
}

#[test]
fn dropout_concerns_the_masks_alone_and_follows_the_zero_shot_prediction() {
    let setting = Setting::new();
    let batch = &setting.batch;
    let (dropped, whole) = (setting.masked(dropout()), setting.masked(WITHOUT));
    let parameters = thinned(&whole);
    let (with, without) = (dropped.step(&parameters, batch), whole.step(&parameters, batch));
    for name in ["fc.weight", "fc.bias", "projection_head.0.weight"] {
        assert_eq!(host(with.gradients[name].clone()), host(without.gradients[name].clone()));
    }
    // The same with the pieces of mask tuning on the whole tower, projection included.
    let masks = Masks::new(setting.zero_shot.clip(), ATTENTION, dropout()).unwrap();
    let tracked = parameters.filtered(|name| !whole.is_head(name)).tracked();
    let student =
        setting.zero_shot.classify_with(batch.pixels.clone(), &masks.inject(&tracked, Injection::none()));
    let frozen = setting.zero_shot.classify(batch.pixels.clone());
    let mut slopes = fused_distillation(student, frozen, 0.7, 2.0, FusedTarget::Detached).mean().backward();
    let general = tracked.gradients(&mut slopes);
    let mut expected = without.gradients.clone();
    let weights: &[MaskedWeight] = masks.weights();
    let kept =
        masks.drop_entries(&mut expected, &general, draws().draw(batch.epoch, batch.step, weights), 1.0);
    assert!(kept > 0.1 && kept < 0.99, "{kept}");
    for (name, gradient) in expected {
        compare(&name, &host(with.gradients[&name].clone()), &host(gradient), 1e-7);
    }
    let told = with.terms.iter().find(|(name, _)| *name == "kept").unwrap().1;
    assert_eq!(told, kept);
}

fn backbone(network: Backbone, device: &Device) -> EncoderTuning {
    let encoder = ImageEncoder::Backbone { network, device: device.clone() };
    let labels = Supervision::Labels { classes: CLASSES, smoothing: 0.0 };
    EncoderTuning::new(encoder, labels, 2, RunningStatistics::default())
}

/// Names of the masks of an encoder.
fn masked_weights(method: EncoderTuning, targets: MaskTargets) -> Vec<String> {
    let method = method.with_masks(masks(targets, WITHOUT, None)).unwrap();
    let parameters = method.parameters();
    parameters.iter().map(|(name, _)| name.clone()).filter(|name| !method.is_head(name)).collect()
}

#[test]
fn a_transformer_that_has_never_seen_text_is_masked_by_parts() {
    let device = device();
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../assets/world-backbone");
    let loaded = LoadedBackbone::load(&folder, &device).unwrap();
    let method = || backbone(loaded.backbone.clone(), &device);
    let count =
        |part, first_convolution| masked_weights(method(), MaskTargets { part, first_convolution }).len();
    let blocks = count(MaskPart::Attention, false) / 2;
    assert!(blocks > 1);
    assert_eq!(count(MaskPart::Mlp, false), 2 * blocks);
    assert_eq!(count(MaskPart::All, false), 4 * blocks);
    assert_eq!(count(MaskPart::All, true), 4 * blocks + 1);
    let zero_shot = Setting::new().zero_shot;
    for zero_shot in [None, Some(zero_shot)] {
        let refused = method().with_masks(masks(ATTENTION, dropout(), zero_shot)).unwrap_err();
        assert_eq!(refused, MaskError::NoZeroShot);
        assert!(refused.to_string().contains("amt"), "{refused}");
    }
}

#[test]
fn of_a_residual_network_the_convolutions_are_masked() {
    let device = device();
    let method = || backbone(resnet(&device), &device);
    let names = masked_weights(method(), ATTENTION);
    let weights = method().parameters();
    let convolutions = weights.iter().filter(|(_, leaf)| leaf.shape.len() == 4).count();
    assert_eq!(names.len(), convolutions);
    assert!(
        names.iter().any(|name| name == "conv1.weight")
            && names.iter().any(|name| name.contains("downsample.0"))
    );
    let mlp = MaskTargets { part: MaskPart::Mlp, first_convolution: false };
    assert_eq!(method().with_masks(masks(mlp, WITHOUT, None)).unwrap_err(), MaskError::NoMlp);

    // Statistics of batches move the running ones, with masks as without; the rest of the network is frozen.
    let method = method().with_masks(masks(ATTENTION, WITHOUT, None)).unwrap();
    assert!(method.buffers().is_empty());
    let batch = Setting::new().batch;
    let step = method.step(&method.parameters(), &batch);
    assert!(method.buffers().contains_key("layer4.0.downsample.1.running_var"));
    assert_eq!(step.gradients.len(), convolutions + 2);
}

#[test]
fn what_does_not_reach_the_features_has_no_mask() {
    let clip = crate::masks::models::tiny_resnet(&device()).0.clip().clone();
    let own = Masks::new(&clip, ATTENTION, WITHOUT).unwrap().weights().len();
    assert!(
        clip.parameters(Tower::Image).iter().any(|weight| weight.path == "visual.attnpool.c_proj.weight")
    );
    let labels = Supervision::Labels { classes: CLASSES, smoothing: 0.0 };
    let method = EncoderTuning::new(ImageEncoder::Clip(clip), labels, 2, RunningStatistics::default());
    let names = masked_weights(method, ATTENTION);
    assert_eq!(names.len(), own - 1);
    assert!(!names.iter().any(|name| name.contains("c_proj")));
}
