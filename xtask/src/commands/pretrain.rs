//! `cargo xtask pretrain`: the built-in world's tiny CLIP, from scratch.

use std::path::PathBuf;

use anyhow::Context;
use burn::tensor::Device;
use regulus_clip::{Clip, ClipConfig, ImageConfig, Pretrained, Tokenizer};
use regulus_datasets::world::{self, Style, TEMPLATES, VOCABULARY};
use regulus_images::Preprocess;
use regulus_trainer::batches::{ImageSet, Sampler};
use regulus_trainer::evaluate::{logits_of, score};
use regulus_trainer::experiment::{check_training_config, parse_toml, read_text};
use regulus_trainer::pretrain::Pretraining;
use regulus_trainer::recorder::Recorder;
use regulus_trainer::training::{TrainingConfig, train};
use regulus_trainer::zero_shot::ZeroShot;
use regulus_trainer::{device, method::Method as _};
use serde::Deserialize;

use crate::failure::{Failure, Outcome};
use crate::progress::Line;
use crate::table::Table;

/// Arguments of `cargo xtask pretrain`.
#[derive(clap::Args)]
pub struct Arguments {
    /// What to train and how
    #[arg(long, default_value = "recipes/pretrain/world-clip.toml")]
    recipe: PathBuf,
    /// Where to write the model, in Hugging Face CLIPModel layout
    #[arg(long)]
    out: PathBuf,
    /// Device to train on: cpu, ndarray, wgpu, cuda:N
    #[arg(long, default_value = "cpu")]
    device: String,
    /// Replace a model that is already there
    #[arg(long)]
    force: bool,
}

/// A pre-training recipe.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Recipe {
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

/// Most images of a training set.
const MOST_IMAGES: usize = 1_000_000;

/// Test images per class and style.
const TEST_IMAGES_PER_CLASS: usize = 100;

pub fn run(arguments: &Arguments) -> Outcome {
    let text = read_text(&arguments.recipe).map_err(Failure::request)?;
    let recipe: Recipe =
        parse_toml(&text, &arguments.recipe.display().to_string()).map_err(Failure::request)?;
    let device = device::by_name(&arguments.device).map_err(Failure::request)?;
    if arguments.out.exists() && !arguments.force {
        let message = format!("{} exists; remove it or add --force", arguments.out.display());
        return Err(Failure::request(anyhow::anyhow!(message)));
    }
    check_training_config(&recipe.training).map_err(Failure::request)?;
    let precision = recipe.training.precision;
    device::check_precision(&device, &arguments.device, precision).map_err(Failure::request)?;
    if !(1..=MOST_IMAGES).contains(&recipe.images) {
        let message = format!("images is {}; expected 1 to {MOST_IMAGES}", recipe.images);
        return Err(Failure::Request(anyhow::anyhow!(message)));
    }
    if !matches!(recipe.model.image, ImageConfig::Vit(_)) {
        let message = "model.image.kind is not `vit`; pre-training only knows vision transformers";
        return Err(Failure::Request(anyhow::anyhow!(message)));
    }
    let clip = Clip::init(&recipe.model, recipe.seed, &device).map_err(Failure::request)?;
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
        images: ImageSet { images: &set.images, preprocess: &preprocess, device: &device },
        originals: &set.images,
        seed: recipe.seed,
        batch: recipe.training.batch,
        augmentation: recipe.training.augmentation.clone(),
    };
    let mut recorder = Recorder::in_memory();
    let mut line = Line::start("training");
    let parameters = train(&mut method, &source, &recipe.training, &mut recorder, &mut |taken| {
        line.step(taken.done, taken.total);
    })
    .map_err(Failure::work)?;
    let last = recorder.steps().last().map_or(f64::NAN, |step| step.loss);
    line.finish(&format!("trained {} steps, last loss {last:.3}", recorder.steps().len()));

    let clip = method.finished(&parameters).map_err(Failure::work)?;
    let pretrained =
        Pretrained::from_parts(recipe.model, clip, tokenizer, preprocess).map_err(Failure::work)?;
    pretrained
        .save(&arguments.out)
        .with_context(|| format!("saving the model to {}", arguments.out.display()))
        .map_err(Failure::Work)?;
    println!("wrote {} (sha256 {})", arguments.out.display(), pretrained.sha256);
    print_accuracy(&pretrained, &device)
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
