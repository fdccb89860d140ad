//! A training step of each system on a ViT-B/16 with random weights, on every way to compute on the processor, against
//! the same step in f64. A model computes in the format of its weights; in f64 every operation is the plain formula.

use std::collections::BTreeMap;
use std::sync::Arc;

use burn::tensor::{Device, FloatDType, Tensor, TensorData};
use regulus_clip::{Clip, ClipConfig, Part, RunningStatistics, TokenBatch, normalise};
use regulus_images::random::Stream;
use regulus_kernels::{MatmulPrecision, multiplying_in};
use regulus_losses::{PromptSrcWeights, TeacherWeight, TesSettings};
use regulus_trainer::batches::Batch;
use regulus_trainer::method::{Method, StepOutcome};
use regulus_trainer::methods::prompts::{
    ClassPrompts, ContextStart, Depth, PromptLearning, PromptRegulariser, TowerPrompts, TowerSettings,
};
use regulus_trainer::methods::{
    EncoderTuning, FineTune, Head, HeadStart, ImageEncoder, MaskPart, MaskSettings, MaskTargets, MaskTuning,
    Regulariser, SeededDraws, Supervision,
};
use regulus_trainer::zero_shot::{Averaging, ZeroShot, text_features};

/// One of the systems, with its published settings.
#[derive(Debug, Clone, Copy, PartialEq)]
enum System {
    ProReg,
    Tes,
    RMt,
    PromptSrc,
}

/// Largest distance of a loss and of gradients from f64, relative to the largest magnitude. Found were at most 1.8e-7 and
/// 5.8e-6, 1.1e-6 and 6.5e-5, 9.1e-4 and 4.0e-2 (gradients of TeS: 1.4e-4, 7.3e-5 and 1.5e-1).
struct Tolerance {
    loss: f64,
    gradients: f64,
}

const TOLERANCES: [(MatmulPrecision, Tolerance); 3] = [
    (MatmulPrecision::F32, Tolerance { loss: 1e-6, gradients: 5e-5 }),
    (MatmulPrecision::Bf16x3, Tolerance { loss: 5e-6, gradients: 1.5e-4 }),
    (MatmulPrecision::Bf16, Tolerance { loss: 5e-3, gradients: 8e-2 }),
];

/// TeS divides by the deviation within a small batch, which enlarges roundings.
const ENLARGED_BY_TES: f64 = 4.0;

/// Gradient dropout compares each entry with a random number: of so many entries, some lie within rounding of it, and
/// are kept on one side only.
const UNDECIDED: f64 = 1e-3;

const CLASSES: usize = 5;

/// `a photo of a <name>.` for names of one to three words, as ids of OpenAI's tokenizer.
fn tokens() -> (Vec<Vec<u32>>, Vec<usize>) {
    let names: [&[u32]; CLASSES] = [&[2368], &[1929, 1774], &[3989], &[4558, 786, 1615], &[2533, 539]];
    let row = |name: &&[u32]| {
        let mut row = [&[49406, 320, 1125, 539, 320][..], name, &[269, 49407]].concat();
        row.resize(77, 0);
        row
    };
    (names.iter().map(row).collect(), names.iter().map(|name| name.len()).collect())
}

fn model(format: FloatDType, device: &Device) -> Clip {
    let clip = Clip::init(&ClipConfig::openai("ViT-B/16").unwrap(), 1, device).unwrap();
    let weights = clip.parameters(Part::All).into_iter();
    let weights: BTreeMap<String, Tensor<1>> =
        weights.map(|weight| (weight.path, weight.value.cast(format))).collect();
    clip.with_parameters(&weights).unwrap()
}

/// TeS normalises over the batch: with two images all that is left of them is a sign.
fn images(system: System) -> usize {
    if system == System::Tes { 6 } else { 2 }
}

fn batch(images: usize, format: FloatDType, device: &Device) -> Batch {
    let mut stream = Stream::new(3, "full size", 0, 0);
    // Each image has a colour of its own: a network with random weights tells noise from noise by rounding only.
    let colour = |place: usize| (place / (224 * 224)) as f32 * 1.7;
    let value = |place: usize| 3.0 * colour(place).sin() + stream.normal() as f32;
    let values: Vec<f32> = (0..images * 3 * 224 * 224).map(value).collect();
    let pixels = Tensor::<4>::from_data(TensorData::new(values, [images, 3, 224, 224]), device).cast(format);
    let labels = Tensor::from_data(
        (0..images as i64).map(|index| index % CLASSES as i64).collect::<Vec<_>>().as_slice(),
        device,
    );
    Batch { pixels, labels, indices: (0..images).collect(), epoch: 0, step: 0 }
}

fn method(system: System, clip: Clip) -> Box<dyn Method> {
    let (rows, names) = tokens();
    let features = text_features(&clip, std::slice::from_ref(&rows), Averaging::UnitFirst);
    let zero_shot = || ZeroShot::new(clip.clone(), features.clone());
    match system {
        System::ProReg => {
            let head = Head::new(&clip, HeadStart::Prompt(features.clone()), true, false);
            let regulariser = Regulariser::ProReg { form: TeacherWeight::Prob, alpha: 2.0, temperature: 1.0 };
            Box::new(FineTune::new(clip.clone(), head, zero_shot(), regulariser))
        }
        System::Tes => {
            let settings = TesSettings { tau: 0.03, lambda_v: 0.1, lambda_t: 0.3 };
            let texts = Supervision::Texts { features: features.clone(), settings };
            let encoder = ImageEncoder::Clip(clip.clone());
            Box::new(EncoderTuning::new(encoder, texts, 2, RunningStatistics::default()))
        }
        System::RMt => {
            let targets = MaskTargets { part: MaskPart::Attention, first_convolution: false };
            let draws = Arc::new(SeededDraws { seed: 1 });
            Box::new(MaskTuning::new(zero_shot(), targets, MaskSettings::default(), draws).unwrap())
        }
        System::PromptSrc => {
            let tokens = TokenBatch::new(&rows, clip.text.config()).unwrap();
            let depth = Depth { layers: 9, vectors: 4 };
            let settings = TowerSettings { image: depth, text: depth, start: ContextStart::Words };
            let prompts = ClassPrompts::new(&clip, &tokens, names).unwrap();
            let prompts = TowerPrompts::new(&clip, prompts, settings, 5).unwrap();
            let texts = normalise(features.clone());
            let regulariser =
                PromptRegulariser::SelfRegulating { weights: PromptSrcWeights::default(), texts };
            Box::new(PromptLearning::new(clip.clone(), prompts, regulariser))
        }
    }
}

/// The loss of a step and all gradients, by name.
struct Step {
    loss: f64,
    gradients: BTreeMap<String, Vec<f64>>,
}

fn step(system: System, format: FloatDType, device: &Device) -> Step {
    let method = method(system, model(format, device));
    let parameters = method.parameters().map(|_, leaf| leaf.value.clone().cast(format));
    let StepOutcome { loss, gradients, .. } =
        method.step(&parameters, &batch(images(system), format, device));
    let wide = |gradient: Tensor<1>| gradient.into_data().convert::<f64>().try_to_vec().unwrap();
    Step { loss, gradients: gradients.into_iter().map(|(name, gradient)| (name, wide(gradient))).collect() }
}

/// Below this share of the largest gradient of all, one is compared in that unit: a bias before batch normalisation
/// has none but what rounding leaves.
const VANISHING: f64 = 1e-4;

/// Distance of a loss, and of gradients but for a share of [`UNDECIDED`] entries of masks.
fn distances(system: System, found: &Step, exact: &Step) -> (f64, f64) {
    assert_eq!(found.gradients.keys().collect::<Vec<_>>(), exact.gradients.keys().collect::<Vec<_>>());
    assert!(!exact.gradients.is_empty());
    let largest = |values: &Vec<f64>| values.iter().fold(0.0, |largest: f64, value| largest.max(value.abs()));
    let least = VANISHING * exact.gradients.values().map(largest).fold(f64::MIN_POSITIVE, f64::max);
    let worst = found.gradients.iter().map(|(name, gradient)| {
        let exact = &exact.gradients[name];
        assert_eq!(gradient.len(), exact.len(), "{name}");
        let largest = largest(exact).max(least);
        let mut off: Vec<f64> = gradient.iter().zip(exact).map(|(a, b)| (a - b).abs() / largest).collect();
        assert!(off.iter().all(|off| off.is_finite()), "{name}");
        let left_out = if system == System::RMt { (off.len() as f64 * UNDECIDED) as usize } else { 0 };
        let last = off.len() - 1 - left_out;
        *off.select_nth_unstable_by(last, f64::total_cmp).1
    });
    ((found.loss - exact.loss).abs() / exact.loss.abs(), worst.fold(0.0, f64::max))
}

fn assert_close(what: &str, system: System, found: &Step, exact: &Step, tolerance: &Tolerance) {
    let (loss, gradients) = distances(system, found, exact);
    println!("{system:?} on {what}: loss {loss:.1e}, gradients {gradients:.1e}");
    let allowed = tolerance.gradients * if system == System::Tes { ENLARGED_BY_TES } else { 1.0 };
    assert!(loss <= tolerance.loss, "{system:?} on {what}: the loss deviates by {loss:.1e}");
    assert!(gradients <= allowed, "{system:?} on {what}: gradients deviate by {gradients:.1e}");
}

fn steps_agree(system: System) {
    let exact = step(system, FloatDType::F64, &Device::flex());
    for (matmul, tolerance) in &TOLERANCES {
        let found = multiplying_in(*matmul, || step(system, FloatDType::F32, &Device::flex()));
        assert_close(&format!("flex in {matmul}"), system, &found, &exact, tolerance);
    }
}

#[test]
fn steps_of_proreg_agree_with_f64() {
    steps_agree(System::ProReg);
}

#[test]
fn steps_of_tes_agree_with_f64() {
    steps_agree(System::Tes);
}

#[test]
fn steps_of_r_mt_agree_with_f64() {
    steps_agree(System::RMt);
}

#[test]
fn steps_of_promptsrc_agree_with_f64() {
    steps_agree(System::PromptSrc);
}

#[cfg(feature = "ndarray")]
#[test]
fn steps_on_ndarray_agree_with_f64() {
    let device = regulus_trainer::device::by_name("ndarray").unwrap();
    for system in [System::ProReg, System::Tes, System::RMt, System::PromptSrc] {
        let exact = step(system, FloatDType::F64, &Device::flex());
        let found = step(system, FloatDType::F32, &device);
        assert_close("ndarray", system, &found, &exact, &TOLERANCES[0].1);
    }
}
