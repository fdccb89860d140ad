//! What runs will cost, told before anything is loaded, and the refusal of runs that cannot fit into memory.

use std::time::Duration;

use anyhow::anyhow;
use burn::tensor::Device;
use regulus_clip::Precision;
use regulus_trainer::device::{self, Backend, memory_of};
use regulus_trainer::estimate::{
    Advice, MemoryEstimate, Sizes, advice, available, bytes, duration, memory, operations, speed,
};
use regulus_trainer::experiment::{Experiment, ExperimentSpec};
use regulus_trainer::run::Inputs;

use crate::failure::{Failure, Outcome};
use crate::suite::PlannedRun;

/// An experiment and the sizes that its cost follows from.
pub struct Cost<'a> {
    spec: &'a ExperimentSpec,
    sizes: Sizes,
    memory: MemoryEstimate,
}

impl<'a> Cost<'a> {
    /// The cost of an experiment on a device of this name.
    pub fn of(experiment: &'a Experiment, inputs: &Inputs, device_name: &str) -> Outcome<Self> {
        let sizes = Sizes::read(experiment, inputs, &device::kind(device_name)).map_err(Failure::request)?;
        let spec = experiment.spec();
        Ok(Self { spec, memory: memory(spec, &sizes), sizes })
    }

    /// What takes how much memory at the peak, for people.
    pub fn table(&self) -> String {
        self.memory.to_string()
    }

    /// `about 2.1 GB of memory and 4 min`.
    pub fn line(&self, device: &Device) -> String {
        let time = duration(operations(self.spec, &self.sizes), speed(device));
        format!("about {} of memory and {}", bytes(self.memory.total), roughly(time))
    }

    /// What to say of a run that was started and did not fit: its need, and what would make it smaller.
    pub fn remedy(&self, device: &Device) -> String {
        let needed = self.memory.total;
        let supports = |precision: Precision| precision.is_supported_by(device);
        let estimate = format!("the estimate was about {}", bytes(needed));
        match advice(self.spec, &self.sizes, needed / 2, supports) {
            Some(Advice { change, total, .. }) => {
                format!("{estimate}; {change} needs about {}", bytes(total))
            }
            None => format!("{estimate}; use a smaller model"),
        }
    }

    /// Refuses a run that needs more than there is, with what would make it fit.
    pub fn check(&self, device: &Device, device_name: &str) -> Outcome {
        let Some(available) = limit(device, device_name)? else { return Ok(()) };
        let needed = self.memory.total;
        if needed <= available {
            return Ok(());
        }
        let supports = |precision: Precision| precision.is_supported_by(device);
        let found = advice(self.spec, &self.sizes, available, supports);
        Err(refusal("this run needs", needed, available, &in_words(found)))
    }
}

/// What one of many runs needs.
pub struct Need<'a> {
    spec: &'a ExperimentSpec,
    sizes: &'a Sizes,
    total: u64,
}

impl<'a> Need<'a> {
    /// The need of a planned run.
    pub fn of(run: &'a PlannedRun) -> Self {
        let (spec, sizes) = (run.experiment.spec(), &run.sizes);
        Self { spec, sizes, total: memory(spec, sizes).total }
    }
}

/// Bytes of the `jobs` runs that need most.
pub fn together(needs: &[Need<'_>], jobs: usize) -> u64 {
    let mut totals: Vec<u64> = needs.iter().map(|need| need.total).collect();
    totals.sort_by_key(|total| std::cmp::Reverse(*total));
    totals.into_iter().take(jobs).fold(0, u64::saturating_add)
}

/// Refuses runs of which `jobs` at a time need more than there is.
pub fn check_together(needs: &[Need<'_>], jobs: usize, device: &Device, device_name: &str) -> Outcome {
    let needed = together(needs, jobs);
    let largest = needs.iter().max_by_key(|need| need.total);
    let (Some(available), Some(Need { spec, sizes, .. })) = (limit(device, device_name)?, largest) else {
        return Ok(());
    };
    if needed <= available {
        return Ok(());
    }
    let jobs = jobs.min(needs.len());
    let fewer = (1..jobs).rev().find(|fewer| together(needs, *fewer) <= available);
    let hint = match fewer {
        Some(fewer) => format!("--jobs {fewer} needs about {}", bytes(together(needs, fewer))),
        None => {
            let supports = |precision: Precision| precision.is_supported_by(device);
            format!("of the largest run, {}", in_words(advice(spec, sizes, available, supports)))
        }
    };
    Err(refusal(&format!("up to {jobs} runs at a time need"), needed, available, &hint))
}

/// Bytes that runs may take; `None` where there is no telling.
fn limit(device: &Device, device_name: &str) -> Outcome<Option<u64>> {
    match Backend::by_name(&device::kind(device_name)) {
        Some(backend) if !backend.is_processor() => Ok(memory_of(backend, device).map(|memory| memory.free)),
        _ => available().map_err(Failure::request),
    }
}

fn refusal(what: &str, needed: u64, available: u64, hint: &str) -> Failure {
    let (needed, available) = (bytes(needed), bytes(available));
    Failure::Request(anyhow!(
        "{what} about {needed} of memory, and {available} are available; {hint}; --ignore-memory goes on \
         anyway"
    ))
}

fn in_words(advice: Option<Advice>) -> String {
    match advice {
        Some(Advice { change, total, fits: true }) => format!("{change} needs about {}", bytes(total)),
        Some(Advice { change, total, fits: false }) => {
            format!("no change makes it fit: {change} saves most and needs about {}", bytes(total))
        }
        None => "no change makes it smaller: use a smaller model".to_owned(),
    }
}

/// A time that is not known better than by a factor.
fn roughly(time: Duration) -> String {
    match time.as_secs_f64() {
        seconds if seconds < 60.0 => format!("{:.0} s", seconds.ceil().max(1.0)),
        seconds if seconds < 90.0 * 60.0 => format!("{:.0} min", seconds / 60.0),
        seconds => format!("{:.0} h", seconds / 3600.0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_round() {
        let of = |seconds| roughly(Duration::from_secs_f64(seconds));
        assert_eq!([of(0.0), of(12.3), of(240.4), of(9000.0)], ["1 s", "13 s", "4 min", "2 h"]);
    }
}
