//! What steps save changes no result: one forward pass for two gradients, shared beginnings of texts, classes some at a
//! time.

use std::sync::Arc;

use proptest::prelude::*;
use regulus_clip::{Clip, TokenBatch, normalise};
use regulus_kernels::computing_anew;
use regulus_losses::PromptSrcWeights;
use regulus_trainer::batches::Batch;
use regulus_trainer::method::{Method, StepOutcome};
use regulus_trainer::methods::prompts::{
    ClassPrompts, ContextPrompts, ContextSettings, ContextStart, CoupledPrompts, Depth, NamePosition,
    ProjectedContext, ProjectionSettings, PromptLearning, PromptRegulariser, Prompts, TowerPrompts,
    TowerSettings,
};
use regulus_trainer::methods::{GradientDropout, MaskPart, MaskTargets};
use regulus_trainer::parameters::Parameters;
use regulus_trainer::zero_shot::{Averaging, text_features};

use crate::masks::models::{mixed, tiny_resnet, tiny_vit, tuning};
use crate::support::{Case, RecordedBatches, device, host, tiny_clip, token_rows};

struct Setting {
    common: Case,
    clip: Clip,
}

impl Setting {
    fn new() -> Self {
        let common = Case::open("common");
        let clip = tiny_clip(&common, &device());
        Self { common, clip }
    }

    fn batch(&self) -> Batch {
        RecordedBatches { common: &self.common, device: &device() }.at(0).unwrap()
    }

    fn class_prompts(&self) -> ClassPrompts {
        let tokens = TokenBatch::new(&token_rows(&self.common, "tokens"), self.clip.text.config()).unwrap();
        let names = self.common.flat("name_lens").iter().map(|&length| length as usize).collect();
        ClassPrompts::new(&self.clip, &tokens, names).unwrap()
    }

    fn context(&self, per_class: bool, position: NamePosition) -> ContextPrompts {
        let settings = ContextSettings { vectors: 2, per_class, position, start: ContextStart::Random };
        ContextPrompts::new(&self.clip, self.class_prompts(), settings, 5).unwrap()
    }

    /// Every form of prompts that texts can have.
    fn prompts(&self, form: usize) -> Arc<dyn Prompts> {
        let depth = |layers| Depth { layers, vectors: 2 };
        match form {
            0 => Arc::new(self.context(false, NamePosition::End)),
            1 => Arc::new(self.context(false, NamePosition::Middle)),
            2 => Arc::new(self.context(false, NamePosition::Front)),
            3 => Arc::new(self.context(true, NamePosition::End)),
            4 => {
                let settings = TowerSettings { image: depth(2), text: depth(2), start: ContextStart::Words };
                Arc::new(TowerPrompts::new(&self.clip, self.class_prompts(), settings, 5).unwrap())
            }
            _ => {
                let (start, prompts) = (ContextStart::Words, self.class_prompts());
                Arc::new(CoupledPrompts::new(&self.clip, prompts, depth(2), start, 5).unwrap())
            }
        }
    }

    fn learning(&self, clip: Clip, form: usize) -> PromptLearning {
        let tokens = [token_rows(&self.common, "tokens")];
        let texts = normalise(text_features(&self.clip, &tokens, Averaging::UnitFirst));
        let weights = PromptSrcWeights { text: 25.0, image: 10.0, logits: 1.0 };
        PromptLearning::of(clip, self.prompts(form), PromptRegulariser::SelfRegulating { weights, texts })
    }
}

/// Fails unless losses agree within 1e-5 and gradients within 1e-4, of the largest or of 1.
fn agree(found: &StepOutcome, expected: &StepOutcome) {
    assert!((found.loss - expected.loss).abs() <= 1e-5 * expected.loss.abs().max(1.0));
    assert_eq!(found.gradients.len(), expected.gradients.len());
    for (name, gradient) in &expected.gradients {
        let (found, expected) = (host(found.gradients[name].clone()), host(gradient.clone()));
        let unit = expected.iter().fold(1.0, |unit: f64, value| unit.max(value.abs()));
        for (found, expected) in found.iter().zip(&expected) {
            assert!((found - expected).abs() <= 1e-4 * unit, "{name}: {found} against {expected}");
        }
    }
}

fn same(found: &StepOutcome, expected: &StepOutcome) {
    assert_eq!((found.loss, &found.terms), (expected.loss, &expected.terms));
    for (name, gradient) in &expected.gradients {
        assert_eq!(host(found.gradients[name].clone()), host(gradient.clone()), "{name}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(16))]

    #[test]
    fn prompts_learn_the_same_without_copies_and_some_classes_at_a_time(form in 0usize..6, at_once in 1usize..5) {
        let setting = Setting::new();
        let batch = setting.batch();
        let learning = |clip: Clip| setting.learning(clip, form);
        let expected = learning(setting.clip.clone().computing_every_position());
        let parameters = expected.parameters();
        let expected = expected.step(&parameters, &batch);
        let whole = learning(setting.clip.clone());
        agree(&whole.step(&parameters, &batch), &expected);
        let parts = whole.clone().with_classes_at_once(at_once);
        agree(&parts.step(&parameters, &batch), &expected);
        let [whole, parts] = [whole, parts].map(|method| host(method.logits(&parameters, batch.pixels.clone())));
        for (found, expected) in parts.iter().zip(&whole) {
            prop_assert!((found - expected).abs() < 1e-4);
        }
    }
}

#[test]
fn gradient_dropout_needs_one_forward_pass() {
    let part = MaskPart::All;
    for (model, batch) in [tiny_vit(&device()), tiny_resnet(&device())] {
        let targets = MaskTargets { part, first_convolution: true };
        let method = tuning(&model, targets, Some(GradientDropout::default()));
        let masks: Parameters = mixed(&method.parameters());
        let expected = computing_anew(|| method.step(&masks, &batch));
        same(&method.step(&masks, &batch), &expected);
        // The masks of a prediction are applied once for all batches.
        let found = host(method.predictor(&masks)(batch.pixels.clone()));
        assert_eq!(found, host(method.logits(&masks, batch.pixels.clone())));
    }
}

#[test]
fn projected_gradients_need_one_forward_pass() {
    let setting = Setting::new();
    let tokens = [token_rows(&setting.common, "tokens")];
    let hand_written = text_features(&setting.clip, &tokens, Averaging::UnitFirst);
    let method = ProjectedContext::new(
        setting.clip.clone(),
        setting.context(false, NamePosition::End),
        hand_written,
        ProjectionSettings { lambda: 1.0, temperature: 1.0 },
    );
    let (parameters, batch) = (method.parameters(), setting.batch());
    let expected = computing_anew(|| method.step(&parameters, &batch));
    same(&method.step(&parameters, &batch), &expected);
}
