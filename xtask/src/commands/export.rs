//! `cargo xtask export`: an adapter merged into a plain model.

use std::path::PathBuf;

use anyhow::Context;
use regulus_trainer::adapter::Adapter;
use regulus_trainer::device;
use regulus_trainer::export::{self, ExportError, Form};
use regulus_trainer::run::{AdaptedModel, ModelPaths};

use crate::failure::{Failure, Outcome};

/// Arguments of `cargo xtask export`.
#[derive(clap::Args)]
pub struct Arguments {
    /// The adapter.safetensors of a run
    #[arg(long)]
    adapter: PathBuf,
    /// hf: a folder that transformers' CLIPModel loads; safetensors: a file that open_clip loads
    #[arg(long, value_enum, default_value_t = Format::Hf)]
    format: Format,
    /// Folder or file to write
    #[arg(long)]
    out: PathBuf,
    /// The model that the adapter was trained on, where it is not at the place in its recipe
    #[arg(long)]
    model: Option<PathBuf>,
    /// The image encoder that it was trained on, likewise
    #[arg(long)]
    backbone: Option<PathBuf>,
    /// Replace an earlier export
    #[arg(long)]
    force: bool,
}

/// Layouts of a plain model.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Format {
    /// A folder of Hugging Face
    Hf,
    /// One file under OpenAI's names
    Safetensors,
}

/// Merging computes little, and needs no accelerator.
const DEVICE: &str = "cpu";

pub fn run(arguments: &Arguments) -> Outcome {
    let Arguments { adapter: path, format, out, model, backbone, force } = arguments;
    let device = device::by_name(DEVICE).map_err(Failure::request)?;
    let adapter = Adapter::load(path, &device).map_err(Failure::request)?;
    let paths = ModelPaths { model: model.as_deref(), backbone: backbone.as_deref() };
    let origin = || path.display().to_string();
    let model = AdaptedModel::load(adapter, paths, None, DEVICE, &device);
    let model = model.with_context(origin).map_err(Failure::Request)?;
    let form = match format {
        Format::Hf => Form::Hf,
        Format::Safetensors => Form::Safetensors,
    };
    let written = export::export(&model, form, out, *force).map_err(|error| match error {
        ExportError::Write { .. } | ExportError::Encode { .. } => Failure::work(error),
        _ => Failure::Request(anyhow::Error::new(error).context(origin())),
    })?;
    written.iter().for_each(|path| println!("wrote {}", path.display()));
    Ok(())
}
