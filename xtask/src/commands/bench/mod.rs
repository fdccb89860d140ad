//! `cargo xtask bench`: how fast Regulus is on this machine, and how much memory it takes.

mod cases;
mod child;
mod loader;
mod measure;
mod models;
mod peer;
mod report;
mod work;

use crate::failure::Outcome;
use cases::Kind;

/// What to measure.
#[derive(clap::Subcommand)]
pub enum Command {
    /// Seconds of a training step: promptsrc-50, promptsrc-100, coop, coop-cached, r-amt, proreg, tes, tes-resnet50;
    /// and when asked for, within 6 GiB: promptsrc-1000, coop-1000, coop-21000
    Step(measure::Arguments),
    /// Images per second of zero-shot classification
    Encode(measure::Arguments),
    /// Class prompts per second of the text tower
    Text(measure::Arguments),
    /// Seconds of loading a model from safetensors
    Load(measure::Arguments),
    /// Images per second of the image loader: for training, for evaluation, and from the cache
    Loader(loader::Arguments),
    /// One case, as a process of its own
    #[command(hide = true)]
    Case(work::Arguments),
}

pub fn run(command: &Command) -> Outcome {
    match command {
        Command::Step(arguments) => measure::run(Kind::Step, arguments),
        Command::Encode(arguments) => measure::run(Kind::Encode, arguments),
        Command::Text(arguments) => measure::run(Kind::Text, arguments),
        Command::Load(arguments) => measure::run(Kind::Load, arguments),
        Command::Loader(arguments) => loader::run(arguments),
        Command::Case(arguments) => work::run(arguments),
    }
}
