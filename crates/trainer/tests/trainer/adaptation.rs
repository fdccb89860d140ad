//! Methods put together: a single part is the method itself, parts do not get into each other's way, and what an
//! earlier stage has trained stays as it is.

use std::sync::Arc;

use burn::tensor::Tensor;
use regulus_clip::TokenBatch;
use regulus_datasets::LabelledImages;
use regulus_images::Preprocess;
use regulus_losses::{PromptSrcWeights, TeacherWeight};
use regulus_trainer::batches::{Batch, ImageSet};
use regulus_trainer::method::{Method, StepOutcome};
use regulus_trainer::methods::adaptation::{
    Adaptation, Bottleneck, Cache, CacheSettings, Classifier, Composition, LowRank, LowRankSettings, Matrix,
    Placed, Towers, WholeTower,
};
use regulus_trainer::methods::prompts::{
    ClassPrompts, ContextPrompts, ContextSettings, ContextStart, Depth, NamePosition, PromptLearning,
    PromptRegulariser, Prompts, TowerPrompts, TowerSettings,
};
use regulus_trainer::methods::{
    FineTune, GradientDropout, Head, HeadStart, MaskPart, MaskSettings, MaskTargets, MaskTuning, Masks,
    Regulariser, SeededDraws,
};
use regulus_trainer::parameters::Parameters;
use regulus_trainer::zero_shot::{Averaging, ZeroShot, text_features};

use crate::support::{Case, RecordedBatches, device, host, tiny_clip, token_rows};

/// The tiny model of five classes, and its parts.
struct Setting {
    frozen: ZeroShot,
    prompts: ClassPrompts,
    batch: Batch,
}

const TARGETS: MaskTargets = MaskTargets { part: MaskPart::Attention, first_convolution: false };

fn masks_with(dropout: Option<GradientDropout>) -> MaskSettings {
    MaskSettings { dropout, ..MaskSettings::default() }
}

impl Setting {
    fn new() -> Self {
        let common = Case::open("common");
        let clip = tiny_clip(&common, &device());
        let rows = token_rows(&common, "tokens");
        let tokens = TokenBatch::new(&rows, clip.text.config()).unwrap();
        let names = common.flat("name_lens").iter().map(|&length| length as usize).collect();
        let prompts = ClassPrompts::new(&clip, &tokens, names).unwrap();
        let features = text_features(&clip, &[rows], Averaging::UnitFirst);
        let batch = RecordedBatches { common: &common, device: &device() }.at(0).unwrap();
        Self { frozen: ZeroShot::new(clip, features), prompts, batch }
    }

    /// Nothing but the frozen model.
    fn bare(&self) -> Composition {
        Composition {
            frozen: self.frozen.clone(),
            written: self.prompts.written().clone(),
            tower: None,
            low_rank: None,
            masks: None,
            draws: Arc::new(SeededDraws { seed: 2 }),
            prompts: None,
            regulariser: PromptRegulariser::None,
            classifier: Placed { prefix: String::new(), part: Classifier::Cosine },
            objective: Regulariser::None,
            fixed: Parameters::default(),
            follows_fixed: false,
        }
    }

    fn masks(&self, prefix: &str, dropout: Option<GradientDropout>) -> Option<Placed<Masks>> {
        let part = Masks::new(self.frozen.clip(), TARGETS, masks_with(dropout)).unwrap();
        Some(Placed { prefix: prefix.into(), part })
    }

    fn context(&self) -> Arc<dyn Prompts> {
        let settings = ContextSettings {
            vectors: 4,
            per_class: false,
            position: NamePosition::End,
            start: ContextStart::Words,
        };
        Arc::new(ContextPrompts::new(self.frozen.clip(), self.prompts.clone(), settings, 5).unwrap())
    }

    fn deep(&self) -> Arc<dyn Prompts> {
        let depth = Depth { layers: 2, vectors: 2 };
        let settings = TowerSettings { image: depth, text: depth, start: ContextStart::Words };
        Arc::new(TowerPrompts::new(self.frozen.clip(), self.prompts.clone(), settings, 5).unwrap())
    }

    fn self_regulating(&self) -> PromptRegulariser {
        PromptRegulariser::SelfRegulating {
            weights: PromptSrcWeights::default(),
            texts: self.frozen.text_features(),
        }
    }

    fn low_rank(&self, prefix: &str, dropout: f64) -> Option<Placed<LowRank>> {
        let matrices = vec![Matrix::Q, Matrix::K, Matrix::V, Matrix::O];
        let settings = LowRankSettings { towers: Towers::Both, matrices, rank: 2, alpha: 1.0, dropout };
        let part = LowRank::new(self.frozen.clip(), settings, 5).unwrap();
        Some(Placed { prefix: prefix.into(), part })
    }

    fn logits(&self, method: &dyn Method, parameters: &Parameters) -> Vec<f64> {
        host(method.logits(parameters, self.batch.pixels.clone()))
    }
}

/// Every value of every leaf moved by its own small amount.
fn moved(parameters: &Parameters) -> Parameters {
    parameters.map(|_, leaf| {
        let count = leaf.value.dims()[0];
        let steps: Vec<f32> = (0..count).map(|index| ((index * 37 % 11) as f32 - 5.0) / 500.0).collect();
        leaf.value.clone() + Tensor::<1>::from_data(steps.as_slice(), &leaf.value.device())
    })
}

fn values(outcome: &StepOutcome) -> Vec<(String, Vec<f64>)> {
    let gradients = outcome.gradients.iter();
    gradients.map(|(name, gradient)| (name.clone(), host(gradient.clone()))).collect()
}

/// The same loss, gradients and predictions, bit by bit.
fn same(one: &dyn Method, other: &dyn Method, setting: &Setting) {
    let parameters = moved(&one.parameters());
    let (one_step, other_step) =
        (one.step(&parameters, &setting.batch), other.step(&parameters, &setting.batch));
    assert_eq!(one_step.loss, other_step.loss);
    assert_eq!(values(&one_step), values(&other_step));
    assert!(!one_step.gradients.is_empty());
    assert_eq!(setting.logits(one, &parameters), setting.logits(other, &parameters));
}

#[test]
fn one_part_alone_is_the_method_itself() {
    let setting = Setting::new();
    let clip = setting.frozen.clip().clone();
    for dropout in [None, Some(GradientDropout { lambda: 0.7, ..GradientDropout::default() })] {
        let draws = Arc::new(SeededDraws { seed: 2 });
        let alone =
            MaskTuning::new(setting.frozen.clone(), TARGETS, masks_with(dropout.clone()), draws).unwrap();
        let masks = setting.masks("", dropout);
        same(&alone, &Adaptation::new(Composition { masks, ..setting.bare() }), &setting);
    }
    for (prompts, regulariser) in
        [(setting.context(), PromptRegulariser::None), (setting.deep(), setting.self_regulating())]
    {
        let alone = PromptLearning::of(clip.clone(), prompts.clone(), regulariser.clone());
        let prompts = Some(Placed { prefix: String::new(), part: prompts });
        let composed = Adaptation::new(Composition { prompts, regulariser, ..setting.bare() });
        same(&alone, &composed, &setting);
    }
}

#[test]
fn the_whole_tower_under_an_objective_is_fine_tuning() {
    let setting = Setting::new();
    let clip = setting.frozen.clip();
    let head = Head::new(clip, HeadStart::Prompt(setting.frozen.text_features()), true, false);
    for objective in [
        Regulariser::None,
        Regulariser::ProReg { form: TeacherWeight::Prob, alpha: 2.0, temperature: 1.0 },
        Regulariser::ConstantDistillation { alpha: 0.3, temperature: 2.0 },
    ] {
        let alone = FineTune::new(clip.clone(), head.clone(), setting.frozen.clone(), objective.clone());
        let tower = Some(Placed { prefix: String::new(), part: WholeTower::new(clip, &head) });
        let composed = Adaptation::new(Composition { tower, objective, ..setting.bare() });
        let parameters = moved(&alone.parameters());
        let (one, other) =
            (alone.step(&parameters, &setting.batch), composed.step(&parameters, &setting.batch));
        assert!((one.loss - other.loss).abs() < 1e-5 * one.loss.abs(), "{} and {}", one.loss, other.loss);
        for ((name, a), (_, b)) in values(&one).iter().zip(values(&other)) {
            let size = a.iter().fold(1e-6f64, |size, value| size.max(value.abs()));
            assert!(a.iter().zip(&b).all(|(a, b)| (a - b).abs() < 1e-4 * size), "{name}");
        }
    }
}

#[test]
fn parts_that_have_not_moved_change_nothing() {
    let setting = Setting::new();
    let expected = host(setting.frozen.classify(setting.batch.pixels.clone()));
    let prompts = Some(Placed { prefix: "coop/".into(), part: setting.context() });
    let composition = Composition {
        masks: setting.masks("r-amt/", None),
        low_rank: setting.low_rank("lora/", 0.0),
        prompts,
        ..setting.bare()
    };
    let method = Adaptation::new(composition);
    let found = setting.logits(&method, &method.parameters());
    assert!(found.iter().zip(&expected).all(|(a, b)| (a - b).abs() < 1e-4), "{found:?} {expected:?}");
    let parts: std::collections::BTreeSet<String> =
        method.parameters().iter().map(|(name, _)| name.split('/').next().unwrap().to_owned()).collect();
    assert_eq!(parts.into_iter().collect::<Vec<_>>(), ["coop", "lora", "r-amt"]);
}

#[test]
fn dropout_touches_masks_alone() {
    let setting = Setting::new();
    let step = |dropout| {
        let composition = Composition {
            masks: setting.masks("r-amt/", dropout),
            prompts: Some(Placed { prefix: "deep/".into(), part: setting.deep() }),
            regulariser: setting.self_regulating(),
            ..setting.bare()
        };
        let method = Adaptation::new(composition);
        let step = method.step(&moved(&method.parameters()), &setting.batch);
        let masked = values(&step).into_iter().partition(|(name, _)| name.starts_with("r-amt/"));
        let (masks, prompts): (Vec<_>, Vec<_>) = masked;
        (masks, prompts, step.loss)
    };
    let (plain_masks, plain_prompts, plain_loss) = step(None);
    let (masks, prompts, loss) = step(Some(GradientDropout::default()));
    assert_eq!(loss, plain_loss);
    assert_eq!(prompts, plain_prompts);
    assert_ne!(masks, plain_masks);
    for ((_, dropped), (_, plain)) in masks.iter().zip(&plain_masks) {
        assert!(dropped.iter().zip(plain).all(|(dropped, plain)| *dropped == 0.0 || dropped == plain));
    }
}

#[test]
fn cross_entropy_is_counted_once_and_regularisers_add() {
    let setting = Setting::new();
    let composition = Composition {
        masks: setting.masks("r-amt/", None),
        prompts: Some(Placed { prefix: "deep/".into(), part: setting.deep() }),
        regulariser: setting.self_regulating(),
        ..setting.bare()
    };
    let method = Adaptation::new(composition);
    let step = method.step(&moved(&method.parameters()), &setting.batch);
    let weights = [
        ("cross_entropy", 1.0),
        ("text_agreement", 25.0),
        ("image_agreement", 10.0),
        ("logit_agreement", 1.0),
        ("mask_norm", 1.0),
    ];
    let names: Vec<&str> = step.terms.iter().map(|(name, _)| *name).collect();
    assert_eq!(names, weights.map(|(name, _)| name));
    let sum: f64 = step.terms.iter().zip(weights).map(|((_, term), (_, weight))| term * weight).sum();
    assert!((sum - step.loss).abs() < 1e-4 * step.loss, "{sum} and {}", step.loss);
    assert!(step.terms.iter().all(|(_, term)| *term > 0.0));
}

#[test]
fn what_is_fixed_acts_and_is_not_trained() {
    let setting = Setting::new();
    let joint = Composition {
        masks: setting.masks("r-amt/", None),
        prompts: Some(Placed { prefix: "coop/".into(), part: setting.context() }),
        ..setting.bare()
    };
    let together = Adaptation::new(joint.clone());
    let trained = moved(&together.parameters());
    let fixed = trained.filtered(|name| name.starts_with("coop/"));
    let staged = Adaptation::new(Composition { fixed: fixed.clone(), ..joint.clone() });
    assert!(staged.parameters().iter().all(|(name, _)| name.starts_with("r-amt/")));
    let masks = trained.filtered(|name| name.starts_with("r-amt/"));
    assert_eq!(setting.logits(&together, &trained), setting.logits(&staged, &masks));
    let gradients = |method: &dyn Method, parameters: &Parameters| {
        let step = values(&method.step(parameters, &setting.batch));
        step.into_iter().filter(|(name, _)| name.starts_with("r-amt/")).collect::<Vec<_>>()
    };
    assert_eq!(gradients(&together, &trained), gradients(&staged, &masks));
    let other_texts = Adaptation::new(Composition { fixed: Parameters::default(), ..joint });
    assert_ne!(
        setting.logits(&other_texts, &masks.clone().with(&other_texts.parameters())),
        setting.logits(&staged, &masks)
    );
}

#[test]
fn a_regulariser_follows_the_original_model_unless_it_is_told_otherwise() {
    let setting = Setting::new();
    let kd = Regulariser::ConstantDistillation { alpha: 1.0, temperature: 1.0 };
    let settings = MaskSettings { norm_weight: 0.0, ..masks_with(None) };
    let part = Masks::new(setting.frozen.clip(), TARGETS, settings).unwrap();
    let base = Composition {
        masks: Some(Placed { prefix: "r-amt/".into(), part }),
        prompts: Some(Placed { prefix: "coop/".into(), part: setting.context() }),
        objective: kd,
        ..setting.bare()
    };
    let fixed = moved(&Adaptation::new(base.clone()).parameters()).filtered(|name| name.starts_with("coop/"));
    let slope = |follows_fixed: bool| {
        let method = Adaptation::new(Composition { fixed: fixed.clone(), follows_fixed, ..base.clone() });
        let step = values(&method.step(&method.parameters(), &setting.batch));
        step.into_iter().flat_map(|(_, gradient)| gradient).fold(0.0f64, |most, slope| most.max(slope.abs()))
    };
    let (own, original) = (slope(true), slope(false));
    assert!(
        own < 1e-3 * original,
        "masks that are all on agree with the model of stage 1: {own}, {original}"
    );
}

/// The tiny model reads images of 16 x 16 pixels.
fn images(count: usize) -> LabelledImages {
    let pixels = (0..count * 16 * 16 * 3).map(|value| (value * 31 % 251) as u8).collect::<Vec<u8>>();
    LabelledImages { side: 16, pixels: pixels.into(), labels: (0..count).map(|index| index % 5).collect() }
}

#[test]
fn kept_features_are_those_that_would_be_computed() {
    let setting = Setting::new();
    let images = images(6);
    let side = setting.batch.pixels.dims()[2];
    let (preprocess, device) = (Preprocess::clip(side), device());
    assert_eq!(side, images.side);
    let set = ImageSet { images: &images, preprocess: &preprocess, device: &device };
    let batch = set.shuffled(1, 4).next().unwrap();
    let embed = setting.frozen.clip().embed_dim();
    let prompts = || Some(Placed { prefix: "coop/".into(), part: setting.context() });
    let kd = Regulariser::ConstantDistillation { alpha: 0.5, temperature: 1.0 };
    let layers = Bottleneck::new(embed, 2, 0.3, 1, &device);
    let bottleneck = Placed { prefix: "clip-adapter/".into(), part: Classifier::Bottleneck(layers) };
    let dropped = setting.masks("r-amt/", Some(GradientDropout::default()));
    for composition in [
        Composition { prompts: prompts(), objective: kd.clone(), ..setting.bare() },
        Composition { prompts: prompts(), classifier: bottleneck, ..setting.bare() },
        Composition { masks: dropped, prompts: prompts(), ..setting.bare() },
    ] {
        let fresh = Adaptation::new(composition);
        let mut kept = fresh.clone();
        kept.prepare(&set);
        let parameters = moved(&fresh.parameters());
        let (one, other) = (fresh.step(&parameters, &batch), kept.step(&parameters, &batch));
        assert!((one.loss - other.loss).abs() < 1e-5, "{} and {}", one.loss, other.loss);
        for ((name, a), (_, b)) in values(&one).iter().zip(values(&other)) {
            let size = a.iter().fold(1e-5f64, |size, value| size.max(value.abs()));
            assert!(a.iter().zip(&b).all(|(a, b)| (a - b).abs() < 1e-3 * size), "{name}");
        }
    }
}

#[test]
fn a_cache_votes_with_features_of_the_masked_model() {
    let setting = Setting::new();
    let base = Composition { masks: setting.masks("r-amt/", None), ..setting.bare() };
    let masks = Adaptation::new(base.clone()).parameters();
    let off = masks.map(|name, leaf| match name.contains("resblocks.0") {
        true => leaf.value.zeros_like(),
        false => leaf.value.clone(),
    });
    let masked = Adaptation::new(Composition { fixed: off.clone(), ..base.clone() });
    let (pixels, labels) = (setting.batch.pixels.clone(), setting.batch.labels.clone());
    let features = regulus_clip::normalise(masked.initial_features(pixels.clone()));
    let settings = CacheSettings { alpha: 50.0, beta: 100.0 };
    let cache = Cache::new(settings, 5, features, labels.clone());
    let placed = Placed { prefix: "tip-adapter/".into(), part: Classifier::Cache(cache) };
    let method = masked.with_classifier(placed);
    assert_eq!(method.parameters().len(), 1, "the keys");
    let logits = method.logits(&method.parameters(), pixels);
    let winners: Vec<i64> = logits.argmax(1).into_data().iter::<i64>().collect();
    assert_eq!(winners, labels.into_data().iter::<i64>().collect::<Vec<i64>>());
    let buffers = method.buffers();
    assert_eq!(buffers.keys().collect::<Vec<_>>(), ["tip-adapter/labels"]);
    let mut again = method.clone();
    again.restore_buffers(&buffers).unwrap();
    assert_eq!(setting.logits(&again, &again.parameters()), setting.logits(&method, &method.parameters()));
    let wrong = buffers.into_values().map(|value| ("labels".to_owned(), value)).collect();
    assert!(again.restore_buffers(&wrong).is_err());
}

#[test]
fn low_rank_updates_add_their_product() {
    let setting = Setting::new();
    let composition = Composition { low_rank: setting.low_rank("", 0.0), ..setting.bare() };
    let method = Adaptation::new(composition);
    let start = method.parameters();
    let zero_shot = host(setting.frozen.classify(setting.batch.pixels.clone()));
    let found = setting.logits(&method, &start);
    assert!(found.iter().zip(&zero_shot).all(|(a, b)| (a - b).abs() < 1e-4), "B starts at 0");
    let gradients = method.step(&start, &setting.batch).gradients;
    let reached =
        gradients.iter().filter(|(_, gradient)| host((*gradient).clone()).iter().any(|g| *g != 0.0));
    assert!(reached.clone().all(|(name, _)| name.ends_with("_B")), "A has no gradient while B is 0");
    assert!(reached.count() > 4);
    // One update written into the weight by hand.
    let path = "visual.transformer.resblocks.0.attn.in_proj_weight";
    let factor = |name: char| format!("visual.transformer.resblocks.0.attn.v_proj.w_lora_{name}");
    let parameters = start.map(|name, leaf| match name == factor('B') {
        true => leaf.value.ones_like() * 0.3,
        false => leaf.value.clone(),
    });
    let a: Tensor<2> = parameters[factor('A').as_str()].tensor();
    let b: Tensor<2> = parameters[factor('B').as_str()].tensor();
    let update = b.matmul(a) / 2f64.sqrt();
    let [rows, columns] = update.dims();
    let clip = setting.frozen.clip();
    let weight = clip.parameters(regulus_clip::Part::Image).into_iter().find(|weight| weight.path == path);
    let base = weight.unwrap().value;
    let zeros = Tensor::zeros([2 * rows * columns], &base.device());
    let changed = base + Tensor::cat(vec![zeros, update.reshape([rows * columns])], 0);
    let values = std::collections::BTreeMap::from([(path.to_owned(), changed)]);
    let merged = ZeroShot::new(clip.with_parameters(&values).unwrap(), setting.frozen.text_features());
    let expected = host(merged.classify(setting.batch.pixels.clone()));
    let found = setting.logits(&method, &parameters);
    assert!(found.iter().zip(&expected).all(|(a, b)| (a - b).abs() < 1e-4));
    assert!(expected.iter().zip(&zero_shot).any(|(a, b)| (a - b).abs() > 1e-3));
}

#[test]
fn dropped_inputs_are_those_of_training_and_differ_from_step_to_step() {
    let setting = Setting::new();
    let method =
        |dropout| Adaptation::new(Composition { low_rank: setting.low_rank("", dropout), ..setting.bare() });
    let (plain, dropping, barely) = (method(0.0), method(0.25), method(1e-12));
    let parameters = moved(&plain.parameters());
    assert_eq!(setting.logits(&plain, &parameters), setting.logits(&dropping, &parameters));
    let loss = |method: &Adaptation, step: usize| {
        method.step(&parameters, &Batch { step, ..setting.batch.clone() }).loss
    };
    assert_eq!(loss(&dropping, 3), loss(&dropping, 3));
    assert_ne!(loss(&dropping, 3), loss(&dropping, 4));
    assert_ne!(loss(&dropping, 3), loss(&plain, 3));
    // Beside the weight or within it, an update of whole inputs is the same.
    assert!((loss(&barely, 3) - loss(&plain, 3)).abs() < 1e-4);
}
