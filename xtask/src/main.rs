//! Regulus's command line: run `cargo xtask help`.

#![allow(
    rustdoc::invalid_html_tags,
    reason = "doc comments of arguments are help texts, with <placeholders>"
)]

mod commands;
mod commit;
mod cost;
mod facts;
mod failure;
mod image_store;
mod interrupt;
mod listed_data;
mod on_device;
mod progress;
mod request;
mod scores;
mod suite;
mod table;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

use commands::{
    bench, check, data, devices, eval, export, fetch, importance, predict, pretrain, reproduce,
    run_experiment, train, verify,
};
use failure::Failure;

/// Fine-tune vision-language models without making them forget.
#[derive(Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask", version)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Run a suite of experiments and print its table and the verdict of every claim
    Reproduce(reproduce::Arguments),
    /// Fine-tune a model on a folder of images, or on the built-in world
    Train(train::Arguments),
    /// Name the classes of images with a trained adapter
    Predict(predict::Arguments),
    /// Score a trained adapter, or mixtures of two, on test images
    Eval(eval::Arguments),
    /// Merge a trained adapter into a plain model that other programs load
    Export(export::Arguments),
    /// Measure which weights of the image tower matter for a task, to decide what to mask
    Importance(importance::Arguments),
    /// Train the built-in world's tiny CLIP from scratch
    Pretrain(pretrain::Arguments),
    /// Fetch a published model into the cache of the Hugging Face hub's client
    Fetch(fetch::Arguments),
    /// Say which published data sets are known and here; look at the built-in world, or write it to disk
    #[command(subcommand)]
    Data(data::Command),
    /// Run recorded cases of the reference implementations again and compare every tensor
    Verify(verify::Arguments),
    /// List what can be computed on: compiled in, found on this machine, with memory
    Devices(devices::Arguments),
    /// Measure how fast parts of Regulus are on this machine
    #[command(subcommand)]
    Bench(bench::Command),
    /// Format, lint, document and test: what has to pass before a change lands
    Check,
    /// One experiment of a suite, as a process of its own
    #[command(hide = true)]
    RunExperiment(run_experiment::Arguments),
}

fn main() -> ExitCode {
    let outcome = match Arguments::parse().command {
        Command::Reproduce(arguments) => reproduce::run(&arguments),
        Command::Train(arguments) => train::run(&arguments),
        Command::Predict(arguments) => predict::run(&arguments),
        Command::Eval(arguments) => eval::run(&arguments),
        Command::Export(arguments) => export::run(&arguments),
        Command::Importance(arguments) => importance::run(&arguments),
        Command::Pretrain(arguments) => pretrain::run(&arguments),
        Command::Fetch(arguments) => fetch::run(&arguments),
        Command::Data(command) => data::run(&command),
        Command::Verify(arguments) => verify::run(&arguments),
        Command::Devices(arguments) => devices::run(&arguments),
        Command::Bench(command) => bench::run(&command),
        Command::Check => check::run(),
        Command::RunExperiment(arguments) => run_experiment::run(&arguments),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            match &failure {
                Failure::Stopped(_) => eprintln!("{failure}"),
                _ => eprintln!("error: {failure}"),
            }
            failure.exit_code()
        }
    }
}
