//! A reader, the files from which its inputs are made, and the loop that feeds it.

use crate::allocator::{is_installed, peak_of};
use crate::mutator::Mutator;
use crate::watch::{Watch, save};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::time::{Duration, Instant};

/// Seconds per target. CI sets more than the default of 1.
const SECONDS: &str = "REGULUS_MUTATION_SECONDS";
/// Where the mutations start; the default is 0.
const SEED: &str = "REGULUS_MUTATION_SEED";
/// A reader that goes this far beyond its limit is stopped at once.
const GRACE: usize = 1 << 30;

/// What one input may cost.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Bytes of memory for each byte of the input.
    pub per_byte: usize,
    /// Bytes of memory beyond that.
    pub fixed: usize,
    /// Time on the wall clock.
    pub deadline: Duration,
}

impl Default for Limits {
    /// 64 bytes for each byte, 16 MiB beyond, 2 seconds.
    fn default() -> Self {
        Self { per_byte: 64, fixed: 16 << 20, deadline: Duration::from_secs(2) }
    }
}

/// What a check has done.
#[derive(Debug, Clone, Copy, Default)]
pub struct Report {
    /// Number of inputs.
    pub inputs: usize,
    /// Most memory that an input took, in bytes.
    pub peak: usize,
    /// Longest time that an input took.
    pub slowest: Duration,
}

/// A reader under test.
#[derive(Debug)]
pub struct Target {
    /// Name for messages and saved files.
    pub name: String,
    /// Valid inputs.
    pub seeds: Vec<Vec<u8>>,
    /// Pieces of the format that are inserted, such as keywords and instructions.
    pub words: Vec<&'static [u8]>,
    /// Pieces of the format after which numbers are changed, such as the signatures of records.
    pub landmarks: Vec<&'static [u8]>,
    /// What one input may cost.
    pub limits: Limits,
}

impl Target {
    /// A reader of an unknown format with the usual limits.
    pub fn new(name: &str, seeds: Vec<Vec<u8>>) -> Self {
        Self { name: name.into(), seeds, words: Vec::new(), landmarks: Vec::new(), limits: Limits::default() }
    }

    /// Feeds `reader` with the seeds and then with mutations of them for `REGULUS_MUTATION_SECONDS`.
    ///
    /// # Panics
    /// If the reader panics or takes too much memory or time, with the path of the saved input; if there are no
    /// seeds; if [`CountingAllocator`](crate::CountingAllocator) is not installed. A reader that hangs, or asks
    /// for absurd amounts of memory, ends the process after the same message.
    pub fn check(&self, reader: impl Fn(&[u8])) -> Report {
        assert!(!self.seeds.is_empty(), "{}: no seeds", self.name);
        let began = Instant::now();
        let seconds = Duration::from_secs(from_environment(SECONDS, 1));
        let mut report = self.run_all(&self.seeds, &reader);
        let watch = Watch::start(&self.name, self.limits.deadline);
        let mut mutator = Mutator::new(from_environment(SEED, 0)).with_format(&self.words, &self.landmarks);
        while began.elapsed() < seconds {
            let seed = mutator.below(self.seeds.len());
            let other = mutator.below(self.seeds.len());
            let input = mutator.mutate_with(&self.seeds[seed], &self.seeds[other]);
            self.run(watch, &input, &reader, &mut report);
        }
        println!("{}: {report:?}", self.name);
        report
    }

    /// Feeds `reader` with every file in `folder`: inputs that failed once. No folder means that none has.
    ///
    /// # Panics
    /// As [`Target::check`], and if a file cannot be read.
    pub fn replay(&self, folder: &Path, reader: impl Fn(&[u8])) -> Report {
        let read =
            |path: &Path| std::fs::read(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
        let inputs: Vec<Vec<u8>> = entries.map(|entry| read(&entry.path())).collect();
        self.run_all(&inputs, &reader)
    }

    /// Feeds `reader` with `inputs` as they are.
    ///
    /// # Panics
    /// As [`Target::check`].
    pub fn run_all(&self, inputs: &[Vec<u8>], reader: &impl Fn(&[u8])) -> Report {
        assert!(is_installed(), "{}: the test binary lacks `#[global_allocator]`", self.name);
        let watch = Watch::start(&self.name, self.limits.deadline);
        let mut report = Report::default();
        for input in inputs {
            self.run(watch, input, reader, &mut report);
        }
        report
    }

    fn run(&self, watch: &Watch, input: &[u8], reader: &impl Fn(&[u8]), report: &mut Report) {
        let limit = self.limits.fixed.saturating_add(self.limits.per_byte.saturating_mul(input.len()));
        watch.begin(input);
        let began = Instant::now();
        let (outcome, peak) =
            peak_of(limit.saturating_add(GRACE), || catch_unwind(AssertUnwindSafe(|| reader(input))));
        let time = began.elapsed();
        watch.end();
        let fault = match outcome {
            Err(_) => Some("panicked".to_owned()),
            Ok(()) if peak > limit => Some(format!("took {peak} bytes, more than {limit}")),
            Ok(()) if time > self.limits.deadline => Some(format!("took {time:?}")),
            Ok(()) => None,
        };
        if let Some(fault) = fault {
            panic!("{}: the reader {fault}; the input is in {}", self.name, save(&self.name, input));
        }
        report.inputs += 1;
        report.peak = report.peak.max(peak);
        report.slowest = report.slowest.max(time);
    }
}

fn from_environment(name: &str, default: u64) -> u64 {
    std::env::var(name).map_or(default, |text| {
        text.parse().unwrap_or_else(|_| panic!("{name} is {text:?}, not a whole number"))
    })
}
