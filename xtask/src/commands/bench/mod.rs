//! `cargo xtask bench`: how fast parts of Regulus are on this machine.

mod loader;

use crate::failure::Outcome;

/// What to measure.
#[derive(clap::Subcommand)]
pub enum Command {
    /// Images per second of the image loader: for training, for evaluation, and from the cache
    Loader(loader::Arguments),
}

pub fn run(command: &Command) -> Outcome {
    match command {
        Command::Loader(arguments) => loader::run(arguments),
    }
}
