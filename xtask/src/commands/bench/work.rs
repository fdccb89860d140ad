//! One case in a process of its own, so that its peak of memory is its own: it takes a turn whenever it is asked to.

use std::io::{BufRead, Write};
use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::anyhow;
use burn::tensor::{Device, Tensor};
use regulus_clip::{Injection, LoadedClip, Pretrained};
use regulus_datasets::{LabelledImages, Task};
use regulus_images::random::Stream;
use regulus_kernels::{MatmulPrecision, multiplying_in};
use regulus_trainer::batches::{ImageSet, Sampler};
use regulus_trainer::class_texts::ClassTexts;
use regulus_trainer::device;
use regulus_trainer::experiment::TextSpec;
use regulus_trainer::prompts::tokenize;
use regulus_trainer::recorder::Recorder;
use regulus_trainer::run::{Materials, method_of};
use regulus_trainer::stages;
use regulus_trainer::training::Training;
use regulus_trainer::zero_shot::{Averaging, text_features};

use super::cases::{Case, Kind, Loading, class_names};
use super::child::Said;
use super::models::Model;
use crate::failure::{Failure, Outcome};

/// Arguments of the process.
#[derive(clap::Args)]
pub struct Arguments {
    /// The case
    #[arg(long)]
    case: String,
    /// Its model
    #[arg(long, value_enum)]
    model: Model,
    /// How matrices are multiplied
    #[arg(long, default_value = "f32")]
    matmul: MatmulPrecision,
    /// Folder of the model to load
    #[arg(long)]
    folder: Option<PathBuf>,
}

/// Image sets of this many batches: enough that a step does not see the same images as the one before.
const BATCHES: usize = 2;

pub fn run(arguments: &Arguments) -> Outcome {
    let Arguments { case, model, matmul, folder } = arguments;
    let case = Case::named(case).ok_or_else(|| Failure::Request(anyhow!("no case is called `{case}`")))?;
    let device = device::by_name("cpu").map_err(Failure::request)?;
    multiplying_in(*matmul, || match case.kind {
        Kind::Step => steps(&case, *model, *matmul, &device),
        Kind::Encode => images(&case, *model, *matmul, &device),
        Kind::Text => texts(&case, *model, &device),
        Kind::Load => loading(&case, folder.as_deref(), &device),
    })
}

/// Takes turns until the input ends, then says how much memory they took.
fn serve(mut turn: impl FnMut() -> Outcome) -> Outcome {
    say(&Said { ready: Some(concat!("Regulus ", env!("CARGO_PKG_VERSION")).into()), ..Said::default() })?;
    for line in std::io::stdin().lock().lines() {
        line.map_err(Failure::work)?;
        let began = Instant::now();
        let (outcome, stages) = stages::measured(&mut turn);
        outcome?;
        let seconds = Some(began.elapsed().as_secs_f64());
        say(&Said { seconds, stages: Some(stages), ..Said::default() })?;
    }
    say(&Said { peak_bytes: peak_memory(), ..Said::default() })
}

fn say(said: &Said) -> Outcome {
    let line = serde_json::to_string(said).map_err(Failure::work)?;
    let mut out = std::io::stdout().lock();
    writeln!(out, "{line}").and_then(|()| out.flush()).map_err(Failure::work)
}

fn steps(case: &Case, model: Model, matmul: MatmulPrecision, device: &Device) -> Outcome {
    let (experiment, materials) = (case.experiment(model, matmul)?, materials(case, model, device)?);
    let spec = experiment.spec();
    let mut method = match method_of(&experiment, &materials, device) {
        Ok(method) => method,
        Err(error) => return say(&Said { unsupported: Some(error.to_string()), ..Said::default() }),
    };
    let Some(config) = &spec.training else {
        return Err(Failure::Work(anyhow!("{} takes no steps", case.name)));
    };
    let images = ImageSet { images: &materials.task.train, preprocess: materials.preprocess(), device };
    let (batch, augmentation) = (config.batch, config.augmentation.clone());
    let sampler = Sampler { images, originals: materials.originals(), seed: spec.seed, batch, augmentation };
    let mut training = Training::new(method.as_mut(), &sampler, config).map_err(Failure::work)?;
    let mut recorder = Recorder::in_memory();
    serve(|| training.step(&mut recorder).map(|_| ()).map_err(Failure::work))
}

fn images(case: &Case, model: Model, matmul: MatmulPrecision, device: &Device) -> Outcome {
    let (experiment, materials) = (case.experiment(model, matmul)?, materials(case, model, device)?);
    let method = method_of(&experiment, &materials, device).map_err(Failure::work)?;
    let parameters = method.parameters();
    let predictor = method.predictor(&parameters);
    let images = ImageSet { images: &materials.task.train, preprocess: materials.preprocess(), device };
    let mut batches = images.chunks(case.batch(model)).collect::<Vec<_>>().into_iter().cycle();
    serve(|| {
        let pixels = batches.next().ok_or_else(|| Failure::Work(anyhow!("there are no images")))?;
        let _logits = predictor(pixels).into_data();
        Ok(())
    })
}

fn texts(case: &Case, model: Model, device: &Device) -> Outcome {
    let pretrained = model.random(device)?;
    let templates = ["a photo of a {}.".to_owned()];
    let ids = tokenize(&pretrained, &class_names(case.classes(model)), &templates).map_err(Failure::work)?;
    serve(|| {
        let _features = text_features(&pretrained.clip, &ids, Averaging::UnitFirst).into_data();
        Ok(())
    })
}

fn loading(case: &Case, folder: Option<&Path>, device: &Device) -> Outcome {
    let folder =
        folder.ok_or_else(|| Failure::Request(anyhow!("{} needs the folder of a model", case.name)))?;
    let weights = || LoadedClip::load(folder, device).map_err(Failure::work);
    match case.loading {
        Loading::Weights => serve(|| weights().map(|_| ())),
        Loading::FirstFeatures => serve(|| weights().map(|loaded| first_features(&loaded, device))),
        Loading::Folder => serve(|| Pretrained::load(folder, device).map(|_| ()).map_err(Failure::work)),
    }
}

/// Asks a model for what its first user does.
fn first_features(LoadedClip { clip, config, .. }: &LoadedClip, device: &Device) {
    let side = config.image.resolution();
    let image = clip.encode_image(Tensor::zeros([1, 3, side, side], device), &Injection::none());
    let text = vec![config.text.sot_id, 320, 1125, 539, 320, 2368, config.text.eot_id];
    let text = clip.encode_text(&[text], &Injection::none());
    let _features = (image.into_data(), text.into_data());
}

/// A random model, images of noise, and names for the classes.
fn materials(case: &Case, model: Model, device: &Device) -> Outcome<Materials> {
    let pretrained = model.random(device)?;
    let backbone = case.has_backbone.then(|| model.backbone(device)).transpose()?;
    let preprocess = backbone.as_ref().map_or(&pretrained.preprocess, |loaded| &loaded.preprocess);
    let (classes, images, side) = (case.classes(model), BATCHES * case.batch(model), preprocess.crop);
    let mut noise = Stream::new(1, "bench", 0, 0);
    let pixels = (0..images * side * side * 3).map(|_| noise.range(0.0, 256.0) as u8).collect();
    let labels = (0..images).map(|image| image * 7 % classes).collect();
    let train = LabelledImages::new(side, pixels, labels).map_err(Failure::work)?;
    let task = Task {
        name: "noise".into(),
        class_names: class_names(classes),
        templates: vec!["a photo of a {}.".into()],
        train,
        tests: Vec::new(),
    };
    let texts = ClassTexts::load(&TextSpec::default(), device).map_err(Failure::work)?;
    Ok(Materials {
        pretrained,
        backbone,
        texts,
        task,
        resized_from: None,
        report: None,
        notices: Vec::new(),
        listed: None,
        reference: None,
        identity: "bench".into(),
        device_kind: "cpu-f32".into(),
        commit: None,
    })
}

/// The largest resident set of this process in bytes, on Linux.
fn peak_memory() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    let kibibytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    kibibytes.checked_mul(1024)
}
