//! The tiny CLIP.

use std::path::Path;

use anyhow::Context;
use burn::tensor::Device;
use regulus_clip::{Clip, ClipConfig, ImageConfig, Pretrained, Tokenizer};
use regulus_datasets::world::{self, Style, TEMPLATES, VOCABULARY};
use regulus_images::Preprocess;
use regulus_trainer::batches::{ImageSet, Sampler};
use regulus_trainer::device::check_precision;
use regulus_trainer::evaluate::{logits_of, score};
use regulus_trainer::method::Method as _;
use regulus_trainer::pretrain::Pretraining;
use regulus_trainer::training::TrainingConfig;
use regulus_trainer::zero_shot::ZeroShot;
use serde::Deserialize;

use super::{check, refused, trained};
use crate::failure::{Failure, Outcome};
use crate::progress::Line;
use crate::table::Table;

/// How a CLIP is pre-trained.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Recipe {
    /// Seed of images, captions, initialisation and order.
    seed: u64,
    /// Number of training images.
    images: usize,
    /// Steps of the first stage, in which only the word head teaches.
    words_only_steps: usize,
    /// Architecture.
    model: ClipConfig,
    /// Optimisation.
    training: TrainingConfig,
}

/// The token of every word that is not in the world's vocabulary. It is never trained; it lets the model read
/// the class names of other data sets at all.
const UNKNOWN: &str = "<unk>";

/// Test images per class and style.
const TEST_IMAGES_PER_CLASS: usize = 100;

pub(super) fn run(recipe: Recipe, out: &Path, device: &Device, backend: &str) -> Outcome {
    check(recipe.images, &recipe.training)?;
    let precision = recipe.training.precision;
    check_precision(device, backend, precision).map_err(Failure::request)?;
    if !matches!(recipe.model.image, ImageConfig::Vit(_)) {
        let message = "model.image.kind is not `vit`; pre-training only knows vision transformers";
        return Err(refused(message.into()));
    }
    let clip = Clip::init(&recipe.model, recipe.seed, device).map_err(Failure::request)?;
    let tokenizer =
        Tokenizer::word_level(&[&VOCABULARY[..], &[UNKNOWN]].concat()).map_err(Failure::request)?;
    let preprocess = Preprocess::clip(recipe.model.image.resolution());
    // Put together once before training, so that parts that contradict each other are told now.
    Pretrained::from_parts(recipe.model.clone(), clip.clone(), tokenizer.clone(), preprocess.clone())
        .map_err(Failure::request)?;

    let line = Line::start("rendering images");
    let set = world::pretraining_set(recipe.seed, recipe.images);
    line.finish(&format!("rendered {} images", set.len()));

    let context = recipe.model.text.context;
    let words_only_batches = recipe.words_only_steps.saturating_mul(recipe.training.accumulate);
    let mut method = Pretraining::new(
        clip.computing_in(precision),
        context,
        &set.scenes,
        &tokenizer,
        words_only_batches,
        recipe.seed,
    )
    .map_err(Failure::request)?;
    let source = Sampler {
        images: ImageSet { images: &set.images, preprocess: &preprocess, device },
        originals: &set.images,
        seed: recipe.seed,
        batch: recipe.training.batch,
        augmentation: recipe.training.augmentation.clone(),
    };
    let parameters = trained(&mut method, &source, &recipe.training)?;
    let clip = method.finished(&parameters).map_err(Failure::work)?;
    let pretrained =
        Pretrained::from_parts(recipe.model, clip, tokenizer, preprocess).map_err(Failure::work)?;
    pretrained
        .save(out)
        .with_context(|| format!("saving the model to {}", out.display()))
        .map_err(Failure::Work)?;
    println!("wrote {} (sha256 {})", out.display(), pretrained.sha256.get());
    print_accuracy(&pretrained, device)
}

/// Zero-shot accuracy on clean images of every style, with one template and with all.
fn print_accuracy(pretrained: &Pretrained, device: &Device) -> Outcome {
    let names: Vec<String> = world::CLASSES[..world::ACTIVE].iter().map(ToString::to_string).collect();
    let templates: Vec<String> = TEMPLATES.iter().map(ToString::to_string).collect();
    let classifier = |templates: &[String]| -> Outcome<ZeroShot> {
        ZeroShot::written(pretrained, &names, templates).map_err(Failure::work)
    };
    let (single, ensemble) = (classifier(&templates[..1])?, classifier(&templates)?);
    let mut table = Table::new(["style", "one template", "all templates"]);
    for style in Style::ALL {
        let split = world::zero_shot_set(style, TEST_IMAGES_PER_CLASS);
        let images = ImageSet { images: &split.images, preprocess: &pretrained.preprocess, device };
        let accuracy = |method: &ZeroShot| {
            let logits = logits_of(method, &method.parameters(), &images);
            format!("{:.1}", score(&logits, &split.images.labels, names.len()).accuracy)
        };
        table.row([style.name().to_owned(), accuracy(&single), accuracy(&ensemble)]);
    }
    println!(
        "zero-shot accuracy on {} clean images per style, in percent:",
        names.len() * TEST_IMAGES_PER_CLASS
    );
    println!("{table}");
    Ok(())
}
