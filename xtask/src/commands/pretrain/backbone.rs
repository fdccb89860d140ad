//! The backbone that has never seen text.

use std::path::Path;

use anyhow::Context;
use burn::tensor::Device;
use regulus_clip::{Backbone, VitBackbone, VitConfig};
use regulus_datasets::world::{self, Style};
use regulus_images::Preprocess;
use regulus_trainer::batches::{Augmentation, ImageSet, Sampler};
use regulus_trainer::methods::ImageEncoder;
use regulus_trainer::probe::FeatureProbe;
use regulus_trainer::simclr::{SimClr, SimClrSpec};
use regulus_trainer::training::TrainingConfig;
use regulus_trainer::views::{TwoViews, ViewSpec};
use serde::Deserialize;

use super::{MOST_IMAGES, check, refused, trained};
use crate::failure::{Failure, Outcome};
use crate::progress::Line;
use crate::table::Table;

/// How a backbone is pre-trained.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Recipe {
    /// Seed of images, views, initialisation and order.
    seed: u64,
    /// Number of training images.
    images: usize,
    /// Architecture.
    model: VitConfig,
    /// Projection and loss.
    simclr: SimClrSpec,
    /// How two views of an image are made.
    views: ViewSpec,
    /// Optimisation; a batch of `n` images has `2n` views.
    training: TrainingConfig,
    /// Measurement of the result.
    probe: ProbeSpec,
}

/// How the result is measured: by a linear classifier on frozen features, fitted on labelled images that training
/// has not seen.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(deny_unknown_fields)]
struct ProbeSpec {
    /// Number of labelled images.
    images: usize,
    /// Inverse strength of the classifier's regularisation.
    c: f64,
    /// Test images of each class in each style.
    test_images: usize,
}

/// Seed of the probe's labelled images, which no recipe has as its own.
const PROBE_SEED: u64 = u64::MAX;

pub(super) fn run(recipe: Recipe, out: &Path, device: &Device) -> Outcome {
    check_recipe(&recipe)?;
    let network = VitBackbone::init(&recipe.model, recipe.seed, device).map_err(Failure::request)?;
    let preprocess = Preprocess::clip(recipe.model.resolution);
    // Asked before training, so that what cannot be saved is told now.
    network.check_save(&preprocess).map_err(Failure::request)?;

    let line = Line::start("rendering images");
    let mut images = world::pretraining_set(recipe.seed, recipe.images).images;
    // Nothing learns from them; without them, nothing can.
    images.labels.fill(0);
    line.finish(&format!("rendered {} images", images.len()));

    let start = Backbone::Vit(network);
    let mut method = SimClr::new(start.clone(), recipe.simclr, recipe.seed, device.clone());
    let sampler = Sampler {
        images: ImageSet { images: &images, preprocess: &preprocess, device },
        originals: &images,
        seed: recipe.seed,
        batch: recipe.training.batch,
        augmentation: Augmentation::None,
    };
    let source = TwoViews { sampler, views: recipe.views };
    let parameters = trained(&mut method, &source, &recipe.training)?;
    let backbone = method.finished(&parameters).map_err(Failure::work)?;
    if let Backbone::Vit(network) = &backbone {
        let sha256 = network
            .save(&preprocess, out)
            .with_context(|| format!("saving the backbone to {}", out.display()))
            .map_err(Failure::Work)?;
        println!("wrote {} (sha256 {sha256})", out.display());
    }
    print_accuracy([start, backbone], recipe.probe, &preprocess, device)
}

fn check_recipe(recipe: &Recipe) -> Outcome {
    check(recipe.images, &recipe.training)?;
    let simclr = recipe.simclr.faults().into_iter().map(|(key, message)| format!("simclr.{key} {message}"));
    let views = recipe.views.faults().into_iter().map(|(key, message)| format!("views.{key} {message}"));
    let mut faults: Vec<String> = simclr.chain(views).collect();
    if recipe.training.augmentation != Augmentation::None {
        faults.push("training.augmentation is given; a backbone's images are changed as [views] says".into());
    }
    if recipe.training.batch.min(recipe.images) < 2 {
        faults.push(
            "training.batch and images have to be at least 2: views are told from those of others".into(),
        );
    }
    if recipe.model.resolution != world::SIDE {
        let found = recipe.model.resolution;
        faults.push(format!("model.resolution is {found}; images of the world have {} pixels", world::SIDE));
    }
    let ProbeSpec { images, c, test_images } = recipe.probe;
    for (key, count) in [("images", images), ("test_images", test_images)] {
        if !(1..=MOST_IMAGES).contains(&count) {
            faults.push(format!("probe.{key} is {count}; expected 1 to {MOST_IMAGES}"));
        }
    }
    if !(1e-10..=1e10).contains(&c) {
        faults.push(format!("probe.c is {c}; expected 1e-10 to 1e10"));
    }
    if faults.is_empty() { Ok(()) } else { Err(refused(faults.join("\n"))) }
}

/// Accuracy of a linear probe on clean images of every style, before and after training.
fn print_accuracy(
    networks: [Backbone; 2],
    spec: ProbeSpec,
    preprocess: &Preprocess,
    device: &Device,
) -> Outcome {
    let line = Line::start("fitting linear probes");
    let train = world::pretraining_set(PROBE_SEED, spec.images).images;
    let encoders = networks.map(|network| ImageEncoder::Backbone { network, device: device.clone() });
    let fit = |encoder| FeatureProbe::fit(encoder, preprocess, &train, world::ACTIVE, spec.c);
    let probes: Result<Vec<FeatureProbe<'_>>, _> = encoders.iter().map(fit).collect();
    let probes = probes.map_err(Failure::work)?;
    line.finish(&format!("fitted linear probes on {} other images with labels", spec.images));
    let mut table = Table::new(["style", "untrained", "trained"]);
    for style in Style::ALL {
        let test = world::zero_shot_set(style, spec.test_images).images;
        let accuracies = probes.iter().map(|probe| format!("{:.1}", probe.accuracy(&test)));
        table.row([style.name().to_owned()].into_iter().chain(accuracies));
    }
    println!(
        "accuracy of a linear probe on {} clean images per style, in percent:",
        world::ACTIVE * spec.test_images
    );
    println!("{table}");
    Ok(())
}
