//! `cargo xtask predict`: the classes of images, by a trained adapter.

mod output;
mod sources;

use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::Context;
use rayon::prelude::*;
use regulus_datasets::LabelledImages;
use regulus_images::{Preprocess, decode_file};
use regulus_trainer::adapter::Adapter;
use regulus_trainer::device;
use regulus_trainer::run::{AdaptedModel, ModelPaths};

use crate::failure::{Failure, Outcome};
use crate::progress::clock;
use output::{Format, Output, top};
use sources::Sources;

/// Arguments of `cargo xtask predict`.
#[derive(clap::Args)]
pub struct Arguments {
    /// The adapter.safetensors of a run
    #[arg(long)]
    adapter: PathBuf,
    /// The model that the adapter was trained on, where it is not at the place in its recipe
    #[arg(long)]
    model: Option<PathBuf>,
    /// The image encoder that it was trained on, likewise
    #[arg(long)]
    backbone: Option<PathBuf>,
    /// Classes to choose from, separated by commas (default: those of the training). Methods that read names take any
    #[arg(long, value_delimiter = ',', conflicts_with = "classes_from")]
    classes: Vec<String>,
    /// A file with one class per line instead
    #[arg(long)]
    classes_from: Option<PathBuf>,
    /// Template with {} for the class name, in the place of those of the training (may be repeated)
    #[arg(long = "template")]
    templates: Vec<String>,
    /// How many classes are shown for each image
    #[arg(long, default_value_t = 5)]
    top_k: usize,
    /// Form of the answer
    #[arg(long, value_enum, default_value_t = Format::Table)]
    format: Format,
    /// Images in memory at once
    #[arg(long, default_value_t = 64)]
    batch: usize,
    /// Device to compute on: cpu, ndarray, wgpu, cuda:N
    #[arg(long, default_value = "cpu")]
    device: String,
    /// Images, folders of images, or - for a list of these on standard input, one per line
    #[arg(required = true)]
    images: Vec<PathBuf>,
}

/// Most images of a batch.
const LARGEST_BATCH: usize = 4096;

pub fn run(arguments: &Arguments) -> Outcome {
    check(arguments)?;
    let began = Instant::now();
    let asked = classes(arguments)?;
    let model = load(arguments)?;
    let class_names = asked.unwrap_or_else(|| model.adapter().card.class_names.clone());
    let origin = || arguments.adapter.display().to_string();
    let classifier = model.classifier(&class_names).with_context(origin).map_err(Failure::Request)?;
    tell_unknown_words(&model, &class_names);
    let predict = classifier.predictor();
    let mut output = Output::start(arguments.format, arguments.top_k.min(class_names.len()));
    let mut sources = Sources::of(&arguments.images);
    let (mut done, mut failed) = (0, 0);
    loop {
        let chunk: Vec<_> = sources.by_ref().take(arguments.batch).collect();
        if chunk.is_empty() {
            break;
        }
        let Decoded { paths, images, unreadable } = decoded(chunk, model.preprocess());
        for reason in &unreadable {
            eprintln!("cannot use {reason}");
        }
        failed += unreadable.len();
        done += paths.len();
        let logits = predict(&images).with_context(origin).map_err(Failure::Work)?;
        let rows = paths.iter().zip(logits.chunks_exact(class_names.len()));
        let mut written = rows.map(|(path, row)| output.row(path, &top(row, arguments.top_k), &class_names));
        let written = written.try_for_each(|written| written).and_then(|()| output.flush());
        if !goes_on(written)? {
            return Ok(());
        }
    }
    if !goes_on(output.finish())? {
        return Ok(());
    }
    let images = if done == 1 { "image" } else { "images" };
    eprintln!("{done} {images} ({})", clock(began.elapsed()));
    match failed {
        0 => Ok(()),
        _ => Err(Failure::work(anyhow::anyhow!("{failed} of {} images could not be used", done + failed))),
    }
}

fn check(arguments: &Arguments) -> Outcome {
    let wrong = |message: String| Err(Failure::Request(anyhow::anyhow!(message)));
    if arguments.top_k == 0 {
        return wrong("--top-k is 0; expected at least 1".into());
    }
    match arguments.batch {
        1..=LARGEST_BATCH => Ok(()),
        batch => wrong(format!("--batch is {batch}; expected 1 to {LARGEST_BATCH}")),
    }
}

/// The classes that are asked for, where they are not those of the training.
fn classes(arguments: &Arguments) -> Outcome<Option<Vec<String>>> {
    let Some(path) = &arguments.classes_from else {
        let classes: Vec<String> = arguments.classes.iter().map(|name| name.trim().to_owned()).collect();
        return Ok((!classes.is_empty()).then_some(classes));
    };
    let text = std::fs::read_to_string(path)
        .with_context(|| format!("--classes-from: cannot read {}", path.display()))
        .map_err(Failure::Request)?;
    let lines = text.trim_start_matches('\u{feff}').lines().map(str::trim);
    Ok(Some(lines.filter(|line| !line.is_empty()).map(str::to_owned).collect()))
}

fn load(arguments: &Arguments) -> Outcome<AdaptedModel> {
    let Arguments { adapter: path, model, backbone, templates, .. } = arguments;
    let device = device::by_name(&arguments.device).map_err(Failure::request)?;
    let adapter = Adapter::load(path, &device).map_err(Failure::request)?;
    let paths = ModelPaths { model: model.as_deref(), backbone: backbone.as_deref() };
    let templates = (!templates.is_empty()).then(|| templates.clone());
    let kind = device::kind(&arguments.device);
    let model = AdaptedModel::load(adapter, paths, templates, &kind, &device);
    let model = model.with_context(|| path.display().to_string()).map_err(Failure::Request)?;
    model.materials().pretrained.notices.iter().for_each(|notice| eprintln!("note: {notice}"));
    Ok(model)
}

fn tell_unknown_words(model: &AdaptedModel, class_names: &[String]) {
    if !model.reads_class_names() {
        return;
    }
    let tokenizer = &model.materials().pretrained.tokenizer;
    let unknown: Vec<String> = class_names.iter().flat_map(|name| tokenizer.unknown_words(name)).collect();
    if !unknown.is_empty() {
        eprintln!("note: the model has no word for {}: it reads all of them alike", unknown.join(", "));
    }
}

/// What became of a chunk of files.
struct Decoded {
    paths: Vec<PathBuf>,
    /// The images of these paths.
    images: LabelledImages,
    /// What could not be used, and why.
    unreadable: Vec<String>,
}

fn decoded(chunk: Vec<Result<PathBuf, String>>, preprocess: &Preprocess) -> Decoded {
    let read = |path: &Path| -> Result<Vec<u8>, String> {
        let image = decode_file(path).map_err(|error| error.to_string())?;
        Ok(preprocess.square(&image.image).pixels)
    };
    let squares: Vec<Result<(PathBuf, Vec<u8>), String>> =
        chunk.into_par_iter().map(|path| path.and_then(|path| Ok((path.clone(), read(&path)?)))).collect();
    let (mut paths, mut pixels, mut unreadable) = (Vec::new(), Vec::new(), Vec::new());
    for square in squares {
        match square {
            Ok((path, square)) => {
                paths.push(path);
                pixels.extend(square);
            }
            Err(reason) => unreadable.push(reason),
        }
    }
    // The labels are not looked at.
    let labels = vec![0; paths.len()];
    Decoded {
        paths,
        images: LabelledImages { side: preprocess.crop, pixels: pixels.into(), labels },
        unreadable,
    }
}

/// Whether anybody still reads what is written.
fn goes_on(written: std::io::Result<()>) -> Outcome<bool> {
    match written {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(false),
        Err(error) => {
            Err(Failure::Work(anyhow::Error::new(error).context("cannot write to standard output")))
        }
    }
}
