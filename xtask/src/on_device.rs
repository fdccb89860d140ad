//! Work on a device that may break off: a graphics processor that runs out of memory ends a run with what the run was
//! estimated to need and what to change, not with a backend's panic.

use std::sync::{Arc, Mutex, PoisonError};

use anyhow::anyhow;
use burn::tensor::Device;
use regulus_trainer::device::{Backend, DeviceFailure, guarded};
use regulus_trainer::experiment::Experiment;
use regulus_trainer::run::{Inputs, Outcome as RunOutcome, RunError};

use crate::cost::Cost;
use crate::failure::{Failure, Outcome};

/// A device by the name that it was asked for, and what the run should need on it.
pub struct OnDevice {
    name: String,
    processor: bool,
    remedy: String,
    /// Where the first panic was; others follow from it.
    first_panic: Arc<Mutex<Option<String>>>,
}

impl OnDevice {
    /// What to say if work for `experiment` breaks off.
    pub fn of(experiment: &Experiment, inputs: &Inputs, name: &str, device: &Device) -> Outcome<Self> {
        let processor = name.split(':').next().and_then(Backend::by_name).is_none_or(Backend::is_processor);
        let remedy = match processor {
            true => String::new(),
            false => Cost::of(experiment, inputs, name)?.remedy(device),
        };
        Ok(Self { name: name.to_owned(), processor, remedy, first_panic: Arc::default() })
    }

    /// Does the work. Panics on a graphics processor become an error: backends tell by panics what went wrong.
    pub fn work<T>(&self, work: impl FnOnce() -> Outcome<T>) -> Outcome<T> {
        if self.processor {
            return work();
        }
        let told = std::panic::take_hook();
        let first = Arc::clone(&self.first_panic);
        std::panic::set_hook(Box::new(move |panic| {
            let place = panic.location().map(ToString::to_string).unwrap_or_default();
            first.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(place);
        }));
        let ended = guarded(work);
        std::panic::set_hook(told);
        ended.unwrap_or_else(|failure| Err(self.explained(&failure)))
    }

    /// Does a run.
    pub fn run(&self, run: impl FnOnce() -> Result<RunOutcome, RunError>) -> Outcome<RunOutcome> {
        self.work(|| {
            run().map_err(|error| match &error {
                RunError::Device { source, .. } => self.explained(source),
                _ => Failure::of_run(error),
            })
        })
    }

    fn explained(&self, failure: &DeviceFailure) -> Failure {
        let Self { name, remedy, first_panic, .. } = self;
        Failure::Work(match failure {
            DeviceFailure::OutOfMemory { .. } => {
                anyhow!("the device {name} did not finish the run: {failure}; {remedy}")
            }
            DeviceFailure::Broken { .. } => {
                let place = first_panic.lock().unwrap_or_else(PoisonError::into_inner).clone();
                let place = place.map(|place| format!(" (first at {place})")).unwrap_or_default();
                anyhow!("the device {name} did not finish the run: {failure}{place}")
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn device(remedy: &str) -> OnDevice {
        let (name, remedy) = ("cuda:1".to_owned(), remedy.to_owned());
        OnDevice { name, processor: false, remedy, first_panic: Arc::default() }
    }

    fn ended(message: &'static str) -> String {
        let device = device("the estimate was about 9.0 GB; --set training.batch=4 needs about 5.0 GB");
        let loading = device.work(|| -> Outcome { panic!("{message}") }).unwrap_err().to_string();
        let running = device.run(|| {
            let source = guarded(|| panic!("{message}")).map(|_: u8| ()).unwrap_err();
            Err(RunError::Device { device: "cuda-f32".into(), source })
        });
        assert_eq!(running.unwrap_err().to_string(), loading);
        loading
    }

    #[test]
    fn running_out_of_memory_is_told_with_the_estimate_and_a_change() {
        let told = ended("out of device memory allocating 2000000000 bytes");
        for part in ["cuda:1", "out of memory when 2.0 GB", "about 9.0 GB", "training.batch=4"] {
            assert!(told.contains(part), "`{part}` is not in: {told}");
        }
    }

    #[test]
    fn another_failure_is_told_with_its_place() {
        let told = ended("the device is lost");
        assert!(told.contains("the device is lost") && told.contains("on_device.rs"), "{told}");
        assert!(!told.contains("training.batch"), "{told}");
    }

    #[test]
    fn work_that_ends_gives_its_result() {
        assert!(matches!(device("").work(|| Ok(3)), Ok(3)));
    }
}
