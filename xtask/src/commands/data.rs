//! `cargo xtask data`: published data sets, and the built-in world as pictures.

use std::path::{Path, PathBuf};

use anyhow::Context;
use regulus_datasets::world::export::{self, ExportError};
use regulus_datasets::world::{TestSet, TestSize, WorldTask, sheet};
use regulus_images::encode_png;
use regulus_trainer::files;

use super::published;
use crate::failure::{Failure, Outcome};

/// What to do with data sets and the world.
#[derive(clap::Subcommand)]
pub enum Command {
    /// Print the published data sets that are known by name
    List {
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Say what of published data sets is on disk, what is missing and how to get it; exit code 1 if anything is
    /// missing or not as published
    Check {
        /// Names of data sets; all of them if absent
        names: Vec<String>,
        /// Folder of all data sets, or of the one that is named
        #[arg(long)]
        root: PathBuf,
        /// Also compare the contents of images in different splits, which reads them
        #[arg(long)]
        contents: bool,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Write a contact sheet: every class in every style, clean and through the hard camera
    Sheet {
        /// The PNG to write
        #[arg(long, default_value = "world.png")]
        out: PathBuf,
        /// Seed of the scenes
        #[arg(long, default_value_t = 1)]
        seed: u64,
    },
    /// Write the images of a task to disk
    Export {
        /// Layout on disk
        #[arg(long, value_enum, default_value_t = Format::Imagefolder)]
        format: Format,
        /// Which task
        #[arg(long, value_enum, default_value_t = TaskName::Bias)]
        task: TaskName,
        /// Bias strength of the task `bias`, 0 to 1
        #[arg(long, default_value_t = 0.85)]
        strength: f64,
        /// Images per class of the task `few-shot`
        #[arg(long, default_value_t = 16)]
        shots: usize,
        /// Seed of the training images
        #[arg(long, default_value_t = 1)]
        seed: u64,
        /// Which split: train, or one of the task's test splits; all of them if absent
        #[arg(long)]
        split: Option<String>,
        /// Test images per split
        #[arg(long, default_value_t = 2000)]
        test_images: usize,
        /// Folder to write to
        #[arg(long)]
        out: PathBuf,
    },
}

/// Layouts on disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Format {
    /// `<split>/<class>/<index>.png`
    Imagefolder,
}

/// Tasks of the world.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum TaskName {
    /// Contextual bias: splits train, id, ood
    Bias,
    /// Base-to-novel classes: splits train, base, novel
    BaseToNovel,
    /// Few shots: splits train, test
    FewShot,
}

/// Largest number of images per split or class; also the limit of an experiment's `data.test_images`.
const MOST_IMAGES: usize = 1_000_000;

pub fn run(command: &Command) -> Outcome {
    match command {
        Command::List { json } => published::list(*json),
        Command::Check { names, root, contents, json } => {
            published::check(&published::Request { names, root, contents: *contents, json: *json })
        }
        Command::Sheet { out, seed } => write_sheet(out, *seed),
        Command::Export {
            format: Format::Imagefolder,
            task,
            strength,
            shots,
            seed,
            split,
            test_images,
            out,
        } => {
            if !(0.0..=1.0).contains(strength) {
                return Err(wrong(format!("--strength is {strength}; expected 0 to 1")));
            }
            for (option, images) in [("--test-images", *test_images), ("--shots", *shots)] {
                if !(1..=MOST_IMAGES).contains(&images) {
                    return Err(wrong(format!("{option} is {images}; expected 1 to {MOST_IMAGES}")));
                }
            }
            let size = TestSize { images: *test_images, set: TestSet::Final };
            let task = match task {
                TaskName::Bias => WorldTask::bias(*strength, *seed, size),
                TaskName::BaseToNovel => WorldTask::base_to_novel(*seed, size),
                TaskName::FewShot => WorldTask::few_shot(*shots, *seed, size),
            };
            export_task(&task, split.as_deref(), out)
        }
    }
}

fn wrong(message: String) -> Failure {
    Failure::Request(anyhow::anyhow!(message))
}

fn write_sheet(out: &Path, seed: u64) -> Outcome {
    let image = sheet::contact_sheet(seed);
    let png = encode_png(&image).map_err(Failure::work)?;
    files::replace(out, &png)
        .with_context(|| format!("cannot write {}", out.display()))
        .map_err(Failure::Request)?;
    println!("wrote {} ({} x {} pixels)", out.display(), image.width, image.height);
    Ok(())
}

fn export_task(task: &WorldTask, wanted: Option<&str>, out: &Path) -> Outcome {
    let tests = task.tests.iter().map(|test| (test.name, &test.classes, &test.split));
    let mut chosen: Vec<_> = std::iter::once(("train", &task.classes, &task.train)).chain(tests).collect();
    let names: Vec<&str> = chosen.iter().map(|(name, ..)| *name).collect();
    if let Some(unknown) = wanted.filter(|name| !names.contains(name)) {
        return Err(wrong(format!("no split is called `{unknown}`; {} has {}", task.name, names.join(", "))));
    }
    chosen.retain(|(name, ..)| wanted.is_none_or(|wanted| wanted == *name));
    // All of them before the first is written: a refusal leaves nothing behind.
    for path in chosen.iter().map(|(name, ..)| out.join(name)) {
        if std::fs::read_dir(&path).is_ok_and(|mut entries| entries.next().is_some()) {
            return Err(Failure::request(ExportError::NotEmpty { path }));
        }
    }
    for (name, classes, split) in chosen {
        let classes: Vec<String> = classes.iter().map(|class| class.name().to_owned()).collect();
        let folder = out.join(name);
        let written = export::image_folder(&split.images, &classes, &folder).map_err(Failure::request)?;
        println!("wrote {written} images to {}", folder.display());
    }
    Ok(())
}
