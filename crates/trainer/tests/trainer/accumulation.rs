//! Gradients averaged over several batches against those of one large batch.

use burn::tensor::Device;
use regulus_datasets::LabelledImages;
use regulus_images::Preprocess;
use regulus_losses::TeacherWeight;
use regulus_trainer::batches::{Augmentation, Batch, ImageSet, Sampler};
use regulus_trainer::experiment::parse_toml;
use regulus_trainer::method::{Method, Objective, StepOutcome};
use regulus_trainer::methods::{FineTune, Head, HeadStart, Regulariser};
use regulus_trainer::parameters::Parameters;
use regulus_trainer::recorder::{Recorder, StepRecord};
use regulus_trainer::training::{TrainingConfig, train};
use regulus_trainer::zero_shot::{Averaging, ZeroShot, text_features};

use crate::support::{Case, compare, device, host, tiny_clip, token_rows};

/// Update rules with a rate at which parameters move by far more than rounding.
const OPTIMISERS: [(f64, &str); 2] =
    [(0.1, "{ rule = \"sgd\", momentum = 0.9 }"), (1e-3, "{ rule = \"adam-w\", epsilon = 1e-3 }")];

/// Three epochs, clipped in every step and at another rate in each.
fn config(batch: usize, accumulate: usize, (rate, optimiser): (f64, &str)) -> TrainingConfig {
    let text = format!(
        "epochs = 3\nbatch = {batch}\naccumulate = {accumulate}\nlearning_rate = {rate}\nclip_norm = 0.1\n\
         augmentation = \"flip\"\nschedule = {{ warmup = 2, decay = \"cosine\" }}\noptimiser = {optimiser}"
    );
    parse_toml(&text, "test").unwrap()
}

fn proreg(common: &Case, device: &Device) -> FineTune {
    let clip = tiny_clip(common, device);
    let features = text_features(&clip, &[token_rows(common, "tokens")], Averaging::UnitFirst);
    let teacher = ZeroShot::new(clip.clone(), features.clone());
    let head = Head::new(&clip, HeadStart::Prompt(features), true, true);
    let regulariser = Regulariser::ProReg { form: TeacherWeight::Prob, alpha: 2.0, temperature: 1.0 };
    FineTune::new(clip, head, teacher, regulariser)
}

/// What 14 images make of `method`: two large batches of six, or four small ones of three, an epoch.
fn trained(method: &mut dyn Method, config: &TrainingConfig) -> (Parameters, Vec<StepRecord>) {
    let pixels = (0..14 * 16 * 16 * 3).map(|value| (value * 37 % 251) as u8).collect::<Vec<u8>>();
    let images =
        LabelledImages { side: 16, pixels: pixels.into(), labels: (0..14).map(|index| index % 5).collect() };
    let (preprocess, device) = (Preprocess::clip(16), device());
    let set = ImageSet { images: &images, preprocess: &preprocess, device: &device };
    let (batch, augmentation) = (config.batch, config.augmentation.clone());
    let sampler = Sampler { images: set, originals: &images, seed: 4, batch, augmentation };
    assert_eq!(config.augmentation, Augmentation::Flip);
    let mut recorder = Recorder::in_memory();
    let parameters = train(method, &sampler, config, &mut recorder, &mut |_| {}).unwrap();
    (parameters, recorder.steps().to_vec())
}

/// 1e-6 of a value above 1: losses are rounded to f32.
fn relative(value: f64) -> f64 {
    1e-6 * value.abs().max(1.0)
}

#[test]
fn small_batches_train_as_a_large_one() {
    let (common, device) = (Case::open("common"), device());
    for optimiser in OPTIMISERS {
        let start = proreg(&common, &device).parameters();
        let (large, whole) = trained(&mut proreg(&common, &device), &config(6, 1, optimiser));
        let (small, averaged) = trained(&mut proreg(&common, &device), &config(3, 2, optimiser));
        assert_eq!(averaged.len(), 6);
        for (ours, theirs) in averaged.iter().zip(&whole) {
            assert_eq!((ours.step, ours.epoch), (theirs.step, theirs.epoch));
            assert_eq!(ours.learning_rate, theirs.learning_rate);
            compare("loss", &[ours.loss], &[theirs.loss], relative(theirs.loss));
            for (ours, theirs) in ours.terms.iter().zip(&theirs.terms) {
                assert_eq!(ours.0, theirs.0);
                compare(ours.0, &[ours.1], &[theirs.1], relative(theirs.1));
            }
        }
        for (name, leaf) in small.iter() {
            let (found, expected) = (host(leaf.value.clone()), host(large[name.as_str()].value.clone()));
            compare(name, &found, &expected, 1e-6);
        }
        let way = host(small["visual.proj"].value.clone() - start["visual.proj"].value.clone());
        assert!(way.iter().any(|way| way.abs() > 1e-4), "nothing moved: the comparison says nothing");
    }
}

/// A loss that reaches a parameter of its own in every second batch only.
struct EverySecond;

impl Method for EverySecond {
    fn parameters(&self) -> Parameters {
        let mut parameters = Parameters::default();
        parameters.insert_values("always", vec![1.0], vec![1], &device());
        parameters.insert_values("sometimes", vec![1.0], vec![1], &device());
        parameters
    }

    fn objective(&self, parameters: &Parameters, batch: &Batch) -> Objective {
        let always = parameters["always"].value.clone() * 3.0;
        let sometimes = parameters["sometimes"].value.clone() * 8.0;
        match batch.step % 2 {
            0 => Objective { loss: always.clone(), terms: vec![("always", always)] },
            _ => Objective { loss: always + sometimes.clone(), terms: vec![("sometimes", sometimes)] },
        }
    }

    fn logits(&self, _: &Parameters, pixels: burn::tensor::Tensor<4>) -> burn::tensor::Tensor<2> {
        pixels.flatten(1, 3)
    }
}

#[test]
fn what_a_batch_does_not_reach_counts_as_zero() {
    let sgd = TrainingConfig { clip_norm: None, ..config(3, 2, OPTIMISERS[0]) };
    let (_, steps) = trained(&mut EverySecond, &sgd);
    assert_eq!(steps[0].terms, [("always", 1.5), ("sometimes", 4.0)]);
    assert_eq!(steps[0].loss, (3.0 + 11.0) / 2.0);
    let outcome = |loss: f64| StepOutcome { loss, terms: Vec::new(), gradients: Default::default() };
    assert_eq!(outcome(1.0).plus(outcome(2.0)).divided_by(2.0).loss, 1.5);
    // The warm-up's first rate is 0; then the gradients 3 and 4 move the two parameters.
    let mut constant = sgd;
    constant.schedule.warmup = 0.0;
    constant.schedule.decay = regulus_trainer::schedule::Decay::Constant;
    (constant.epochs, constant.steps) = (None, Some(1));
    let (moved, _) = trained(&mut EverySecond, &constant);
    compare("always", &host(moved["always"].value.clone()), &[1.0 - 0.1 * 3.0], 1e-6);
    compare("sometimes", &host(moved["sometimes"].value.clone()), &[1.0 - 0.1 * 4.0], 1e-6);
}
