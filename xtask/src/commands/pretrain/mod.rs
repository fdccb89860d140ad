//! `cargo xtask pretrain`: the built-in world's own models, from scratch.

mod backbone;
mod clip;

use std::path::PathBuf;

use regulus_trainer::batches::BatchSource;
use regulus_trainer::device;
use regulus_trainer::experiment::{check_training_config, parse_toml, read_text};
use regulus_trainer::method::Method;
use regulus_trainer::parameters::Parameters;
use regulus_trainer::recorder::Recorder;
use regulus_trainer::training::{TrainingConfig, train};
use serde::Deserialize;

use crate::failure::{Failure, Outcome};
use crate::progress::Line;

/// Arguments of `cargo xtask pretrain`.
#[derive(clap::Args)]
pub struct Arguments {
    /// What to train and how
    #[arg(long, default_value = "recipes/pretrain/world-clip.toml")]
    recipe: PathBuf,
    /// Where to write the model: a CLIPModel folder of Hugging Face, or a timm folder for a backbone
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
#[serde(tag = "kind", rename_all = "kebab-case")]
#[allow(clippy::large_enum_variant, reason = "there is one for each run")]
enum Recipe {
    /// A CLIP, from images and captions.
    Clip(clip::Recipe),
    /// An image backbone, from images alone.
    Backbone(backbone::Recipe),
}

/// Most images of a training set.
const MOST_IMAGES: usize = 1_000_000;

pub fn run(arguments: &Arguments) -> Outcome {
    let text = read_text(&arguments.recipe).map_err(Failure::request)?;
    let recipe: Recipe =
        parse_toml(&text, &arguments.recipe.display().to_string()).map_err(Failure::request)?;
    let device = device::by_name(&arguments.device).map_err(Failure::request)?;
    if arguments.out.exists() && !arguments.force {
        let message = format!("{} exists; remove it or add --force", arguments.out.display());
        return Err(Failure::request(anyhow::anyhow!(message)));
    }
    match recipe {
        Recipe::Clip(recipe) => clip::run(recipe, &arguments.out, &device, &arguments.device),
        Recipe::Backbone(recipe) => backbone::run(recipe, &arguments.out, &device),
    }
}

/// What both kinds of recipes say about data and optimisation.
fn check(images: usize, training: &TrainingConfig) -> Outcome {
    check_training_config(training).map_err(Failure::request)?;
    if !(1..=MOST_IMAGES).contains(&images) {
        return Err(refused(format!("images is {images}; expected 1 to {MOST_IMAGES}")));
    }
    Ok(())
}

fn refused(message: String) -> Failure {
    Failure::Request(anyhow::anyhow!(message))
}

/// Trains with a line of progress.
fn trained(
    method: &mut dyn Method,
    source: &dyn BatchSource,
    config: &TrainingConfig,
) -> Outcome<Parameters> {
    let mut recorder = Recorder::in_memory();
    let mut line = Line::start("training");
    let parameters = train(method, source, config, &mut recorder, &mut |taken| {
        line.step(taken.done, taken.total);
    })
    .map_err(Failure::work)?;
    let last = recorder.steps().last().map_or(f64::NAN, |step| step.loss);
    line.finish(&format!("trained {} steps, last loss {last:.3}", recorder.steps().len()));
    Ok(parameters)
}
