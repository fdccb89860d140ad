//! Prompt learning where no trajectory is recorded: visual prompts, KgCoOp, kept image features, and prompts that do
//! not fit.

use burn::tensor::Tensor;
use regulus_clip::{Clip, Injection, TokenBatch, normalise};
use regulus_datasets::LabelledImages;
use regulus_images::Preprocess;
use regulus_losses::PromptSrcWeights;
use regulus_trainer::batches::{Augmentation, Batch, BatchSource, ImageSet, Sampler};
use regulus_trainer::method::Method;
use regulus_trainer::methods::prompts::{
    ClassPrompts, ConditionalContext, ConditionalSettings, ContextPrompts, ContextSettings, ContextStart,
    CoupledPrompts, Depth, NamePosition, PromptError, PromptLearning, PromptRegulariser, TowerPrompts,
    TowerSettings,
};
use regulus_trainer::parameters::Parameters;
use regulus_trainer::zero_shot::{Averaging, ZeroShot, text_features};

use crate::support::{Case, RecordedBatches, compare, device, host, tiny_clip, token_rows};

/// The tiny model with its five classes, "a photo of a" in four tokens before each name.
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

    fn prompts(&self) -> ClassPrompts {
        let tokens = TokenBatch::new(&token_rows(&self.common, "tokens"), self.clip.text.config()).unwrap();
        let names = self.common.flat("name_lens").iter().map(|&length| length as usize).collect();
        ClassPrompts::new(&self.clip, &tokens, names).unwrap()
    }

    fn batch(&self) -> Batch {
        RecordedBatches { common: &self.common, device: &device() }.at(0).unwrap()
    }

    fn context(&self, settings: ContextSettings) -> Result<ContextPrompts, PromptError> {
        ContextPrompts::new(&self.clip, self.prompts(), settings, 5)
    }

    fn towers(&self, image: Depth, text: Depth) -> Result<TowerPrompts, PromptError> {
        let settings = TowerSettings { image, text, start: ContextStart::Words };
        TowerPrompts::new(&self.clip, self.prompts(), settings, 5)
    }

    /// Raw text features of the prompts as they are written.
    fn written(&self) -> Tensor<2> {
        text_features(&self.clip, &[token_rows(&self.common, "tokens")], Averaging::UnitFirst)
    }

    fn zero_shot(&self, pixels: Tensor<4>) -> Vec<f64> {
        host(ZeroShot::new(self.clip.clone(), self.written()).classify(pixels))
    }
}

const END: ContextSettings =
    ContextSettings { vectors: 4, per_class: false, position: NamePosition::End, start: ContextStart::Words };

fn loss(method: &dyn Method, parameters: &Parameters, batch: &Batch) -> f64 {
    method.step(parameters, batch).loss
}

/// Every value of every leaf moved by its own small amount.
fn moved(parameters: &Parameters) -> Parameters {
    parameters.map(|_, leaf| {
        let steps = Tensor::<1>::from_data(
            (0..leaf.value.dims()[0])
                .map(|index| ((index * 37 % 11) as f32 - 5.0) / 50.0)
                .collect::<Vec<f32>>()
                .as_slice(),
            &leaf.value.device(),
        );
        leaf.value.clone() + steps
    })
}

#[test]
fn context_that_starts_from_its_words_is_zero_shot() {
    let setting = Setting::new();
    let pixels = setting.batch().pixels;
    let expected = setting.zero_shot(pixels.clone());
    for per_class in [false, true] {
        for vectors in 1..=4 {
            let prompts = setting.context(ContextSettings { vectors, per_class, ..END }).unwrap();
            let method = PromptLearning::new(setting.clip.clone(), prompts, PromptRegulariser::None);
            let found = host(method.logits(&method.parameters(), pixels.clone()));
            compare("logits", &found, &expected, 1e-4);
        }
    }
}

#[test]
fn visual_prompts_leave_the_texts_alone() {
    let setting = Setting::new();
    let batch = setting.batch();
    let text = host(normalise(setting.written()));
    let mut losses = Vec::new();
    for layers in [1, 3] {
        let prompts = setting.towers(Depth { layers, vectors: 2 }, Depth::default()).unwrap();
        let method = PromptLearning::new(setting.clip.clone(), prompts, PromptRegulariser::None);
        let parameters = moved(&method.parameters());
        assert_eq!(parameters.len(), layers);
        assert!(parameters.iter().all(|(name, _)| name.starts_with("image_encoder.")));
        compare("texts", &host(method.text_features(&parameters)), &text, 1e-6);
        let step = method.step(&parameters, &batch);
        assert_eq!(step.gradients.len(), layers, "every layer's prompts receive a gradient");
        losses.push(step.loss);
    }
    assert_ne!(losses[0], losses[1]);
}

#[test]
fn knowledge_guidance_is_the_distance_to_the_written_prompts() {
    let setting = Setting::new();
    let batch = setting.batch();
    let hand_written = normalise(setting.written());
    let method =
        |regulariser| PromptLearning::new(setting.clip.clone(), setting.context(END).unwrap(), regulariser);
    let weight = 8.0;
    let guided = method(PromptRegulariser::KnowledgeGuided { weight, hand_written: hand_written.clone() });
    let plain = method(PromptRegulariser::None);
    let start = plain.parameters();
    compare("at the start", &[loss(&guided, &start, &batch)], &[loss(&plain, &start, &batch)], 1e-5);
    let away = moved(&start);
    let squares = (guided.text_features(&away) - hand_written).powi_scalar(2).sum_dim(1);
    let half_distance = host(squares).iter().sum::<f64>() / 2.0 / 5.0;
    assert!(half_distance > 1e-3, "{half_distance}");
    let found = loss(&guided, &away, &batch) - loss(&plain, &away, &batch);
    compare("away", &[found], &[weight * half_distance], 1e-4);
}

#[test]
fn terms_of_promptsrc_can_be_switched_off_one_by_one() {
    let setting = Setting::new();
    let batch = setting.batch();
    let texts = normalise(setting.written());
    let both = Depth { layers: 2, vectors: 2 };
    let method = |regulariser| {
        PromptLearning::new(setting.clip.clone(), setting.towers(both, both).unwrap(), regulariser)
    };
    let plain = method(PromptRegulariser::None);
    let parameters = moved(&plain.parameters());
    let with = |text: f64, image: f64, logits: f64| {
        let weights = PromptSrcWeights { text, image, logits };
        let method = method(PromptRegulariser::SelfRegulating { weights, texts: texts.clone() });
        let step = method.step(&parameters, &batch);
        (step.loss, step.terms.iter().map(|(_, value)| *value).collect::<Vec<f64>>())
    };
    let (all, terms) = with(25.0, 10.0, 1.0);
    let [ce, text, image, logits] = terms[..] else { panic!("{terms:?}") };
    assert!(text > 1e-4 && image > 1e-4 && logits > 1e-6, "{terms:?}");
    compare("none", &[with(0.0, 0.0, 0.0).0], &[loss(&plain, &parameters, &batch)], 1e-5);
    compare("text", &[with(25.0, 0.0, 0.0).0], &[ce + 25.0 * text], 1e-5);
    compare("image", &[with(0.0, 10.0, 0.0).0], &[ce + 10.0 * image], 1e-5);
    compare("logits", &[with(0.0, 0.0, 1.0).0], &[ce + logits], 1e-5);
    compare("all", &[all], &[ce + 25.0 * text + 10.0 * image + logits], 1e-5);
}

#[test]
fn image_features_that_are_kept_change_nothing() {
    let setting = Setting::new();
    let pixels = (0..12 * 16 * 16 * 3).map(|value| (value * 37 % 251) as u8).collect::<Vec<u8>>();
    let images =
        LabelledImages { side: 16, pixels: pixels.into(), labels: (0..12).map(|index| index % 5).collect() };
    let (preprocess, device) = (Preprocess::clip(16), device());
    let set = ImageSet { images: &images, preprocess: &preprocess, device: &device };
    let sampler =
        Sampler { images: set, originals: &images, seed: 4, batch: 4, augmentation: Augmentation::None };
    let both = Depth { layers: 2, vectors: 2 };
    let texts = normalise(setting.written());
    let regulariser = PromptRegulariser::SelfRegulating { weights: PromptSrcWeights::default(), texts };
    let clip = || setting.clip.clone();
    let conditional = ConditionalSettings { vectors: 4, hidden: 3, start: ContextStart::Words };
    let methods: [Box<dyn Fn() -> Box<dyn Method>>; 3] = [
        Box::new(|| {
            let prompts = setting.context(END).unwrap();
            Box::new(PromptLearning::new(clip(), prompts, PromptRegulariser::None))
        }),
        Box::new(|| {
            let prompts = setting.towers(both, both).unwrap();
            Box::new(PromptLearning::new(clip(), prompts, regulariser.clone()))
        }),
        Box::new(|| Box::new(ConditionalContext::new(clip(), setting.prompts(), conditional, 1).unwrap())),
    ];
    for method in methods {
        let (asking, mut keeping) = (method(), method());
        keeping.prepare(&sampler.unchanging().unwrap());
        let parameters = moved(&asking.parameters());
        for step in 0..2 {
            let batch = sampler.batch(step).unwrap().unwrap();
            let expected = loss(asking.as_ref(), &parameters, &batch);
            compare("loss", &[loss(keeping.as_ref(), &parameters, &batch)], &[expected], 1e-5);
        }
    }
}

#[test]
fn a_conditional_context_looks_at_each_image_alone() {
    let setting = Setting::new();
    let pixels = setting.batch().pixels;
    let settings = ConditionalSettings { vectors: 3, hidden: 2, start: ContextStart::Random };
    let method = ConditionalContext::new(setting.clip.clone(), setting.prompts(), settings, 3).unwrap();
    let parameters = moved(&method.parameters());
    let together = host(method.logits(&parameters, pixels.clone()));
    let alone = (0..4).flat_map(|image| host(method.logits(&parameters, pixels.clone().narrow(0, image, 1))));
    compare("logits", &alone.collect::<Vec<f64>>(), &together, 1e-4);
}

#[test]
fn prompts_that_do_not_fit_are_refused() {
    let setting = Setting::new();
    let clip = &setting.clip;
    let context = |vectors, position, start| {
        setting.context(ContextSettings { vectors, position, start, ..END }).unwrap_err()
    };
    let random = ContextStart::Random;
    assert_eq!(context(0, NamePosition::End, random), PromptError::Nothing);
    // The shortest prompt ends at position 7: six vectors fit, or five and a name of one token.
    let no_room = |error| matches!(error, PromptError::NoRoom { .. });
    assert!(no_room(context(7, NamePosition::End, random)));
    assert!(no_room(context(6, NamePosition::Front, random)));
    assert!(no_room(context(usize::MAX, NamePosition::Middle, random)));
    let too_many = PromptError::NoSharedWords { vectors: 5, shared: 4 };
    assert_eq!(context(5, NamePosition::End, ContextStart::Words), too_many);
    let (one, four) = (Depth { layers: 1, vectors: 1 }, Depth { layers: 4, vectors: 1 });
    let layers = |tower| PromptError::Layers { tower, asked: 4, layers: 3 };
    assert_eq!(setting.towers(four, one).unwrap_err(), layers("image"));
    assert_eq!(setting.towers(one, four).unwrap_err(), layers("text"));
    let nothing = setting.towers(Depth { layers: 2, vectors: 0 }, Depth::default());
    assert_eq!(nothing.unwrap_err(), PromptError::Nothing);
    assert!(no_room(setting.towers(one, Depth { layers: 1, vectors: 7 }).unwrap_err()));
    let coupled = CoupledPrompts::new(clip, setting.prompts(), four, random, 0);
    assert_eq!(coupled.unwrap_err(), layers("image"));
    let tokens = TokenBatch::new(&token_rows(&setting.common, "tokens"), clip.text.config()).unwrap();
    let names = ClassPrompts::new(clip, &tokens, vec![1, 2]);
    assert_eq!(names.unwrap_err(), PromptError::Names { lengths: 2, classes: 5 });
}

#[test]
fn other_initial_values_have_to_fit() {
    let setting = Setting::new();
    let method = || {
        let prompts = setting.context(END).unwrap();
        PromptLearning::new(setting.clip.clone(), prompts, PromptRegulariser::None)
    };
    let start = method().parameters();
    assert!(method().starting_from(moved(&start)).is_ok());
    let error = |given| method().starting_from(given).unwrap_err().to_string();
    assert!(error(Parameters::default()).contains("ctx is missing"));
    let mut more = start.clone();
    more.insert("more", start["ctx"].value.clone(), vec![4, 32]);
    assert!(error(more).contains("more is of shape [4, 32], expected missing"));
    let mut turned = Parameters::default();
    turned.insert("ctx", start["ctx"].value.clone(), vec![32, 4]);
    assert!(error(turned).contains("of shape [32, 4], expected of shape [4, 32]"));
}

#[test]
fn words_that_are_looked_up_first_read_the_same() {
    let setting = Setting::new();
    let none = Injection::none();
    let tokens = TokenBatch::new(&token_rows(&setting.common, "tokens"), setting.clip.text.config()).unwrap();
    let embedded = setting.clip.embed_tokens(&tokens, &none);
    let found = host(setting.clip.encode_embedded(&embedded, &none));
    compare("features", &found, &host(setting.clip.encode_tokens(&tokens, &none)), 0.0);
}
