//! Running an experiment on a device that may break off: a graphics processor that runs out of memory ends with what
//! the run was estimated to need and what to change, not with a backend's panic.

use anyhow::anyhow;
use regulus_trainer::device::{Backend, DeviceFailure};
use regulus_trainer::experiment::Experiment;
use regulus_trainer::run::{Inputs, Outcome as RunOutcome, RunError};

use crate::cost::Cost;
use crate::failure::{Failure, Outcome};

/// A device by the name that it was asked for, and what the run should need on it.
pub struct OnDevice {
    name: String,
    processor: bool,
    remedy: String,
}

impl OnDevice {
    /// What to say if a run of `experiment` breaks off.
    pub fn of(experiment: &Experiment, inputs: &Inputs, name: &str) -> Outcome<Self> {
        let processor = name.split(':').next().and_then(Backend::by_name).is_none_or(Backend::is_processor);
        let remedy = match processor {
            true => String::new(),
            false => Cost::of(experiment, inputs, name)?.remedy(),
        };
        Ok(Self { name: name.to_owned(), processor, remedy })
    }

    /// Runs; what panics on the way is told by the error alone.
    pub fn run(&self, run: impl FnOnce() -> Result<RunOutcome, RunError>) -> Outcome<RunOutcome> {
        if self.processor {
            return run().map_err(Failure::of_run);
        }
        let told = std::panic::take_hook();
        if std::env::var_os("RUST_BACKTRACE").is_none() {
            std::panic::set_hook(Box::new(|_| {}));
        }
        let ended = run();
        std::panic::set_hook(told);
        ended.map_err(|error| self.explained(error))
    }

    fn explained(&self, error: RunError) -> Failure {
        match &error {
            RunError::Device { source: failure @ DeviceFailure::OutOfMemory { .. }, .. } => Failure::Work(
                anyhow!("the device {} did not finish the run: {failure}; {}", self.name, self.remedy),
            ),
            _ => Failure::of_run(error),
        }
    }
}
