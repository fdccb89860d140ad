//! The only sink of numbers. Whatever a table or a report shows was written here first.
//!
//! `metrics.jsonl` holds deterministic values alone, so that two runs of one experiment can be compared
//! byte by byte; seconds go to `timing.jsonl`.

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io::{BufWriter, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::time::Instant;

use serde::Serialize;

/// A record that could not be written.
#[derive(Debug, thiserror::Error)]
#[error("cannot write {path}: {source}")]
pub struct RecordError {
    path: PathBuf,
    source: std::io::Error,
}

/// The values of one optimiser step.
#[derive(Debug, Clone, PartialEq)]
pub struct StepRecord {
    /// 0-based optimiser step.
    pub step: usize,
    /// 0-based pass over the data.
    pub epoch: usize,
    /// Base learning rate of the step.
    pub learning_rate: f64,
    /// The objective.
    pub loss: f64,
    /// Parts of the objective.
    pub terms: Vec<(&'static str, f64)>,
}

#[derive(Serialize)]
struct StepLine<'a> {
    step: usize,
    epoch: usize,
    learning_rate: f64,
    loss: f64,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    terms: BTreeMap<&'a str, f64>,
}

#[derive(Serialize)]
struct ScoreLine<'a> {
    split: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    share: Option<f64>,
    metric: &'a str,
    value: f64,
}

#[derive(Serialize)]
struct FactLine<'a> {
    fact: &'a str,
    value: f64,
}

#[derive(Serialize)]
struct TimingLine<'a> {
    stage: &'a str,
    seconds: f64,
}

struct Sink {
    path: PathBuf,
    writer: BufWriter<File>,
    /// Length of the file.
    bytes: u64,
}

impl Sink {
    /// Goes on behind the first `bytes` of the file; what stands there is dropped.
    fn open(path: PathBuf, bytes: u64) -> Result<Self, RecordError> {
        let file = OpenOptions::new().write(true).create(true).truncate(false).open(&path);
        let opened = file.and_then(|mut file| {
            file.set_len(bytes)?;
            file.seek(SeekFrom::End(0))?;
            Ok(file)
        });
        match opened {
            Ok(file) => Ok(Self { path, writer: BufWriter::new(file), bytes }),
            Err(source) => Err(RecordError { path, source }),
        }
    }

    fn line(&mut self, value: &impl Serialize) -> Result<(), RecordError> {
        let line = serde_json::to_string(value).map_err(std::io::Error::from);
        let written = line.and_then(|line| {
            writeln!(self.writer, "{line}")?;
            self.writer.flush()?;
            Ok(line.len() as u64 + 1)
        });
        self.bytes += written.map_err(|source| RecordError { path: self.path.clone(), source })?;
        Ok(())
    }

    /// Waits until the disk has what was written, and returns its length.
    fn synced(&mut self) -> Result<u64, RecordError> {
        let synced = self.writer.get_ref().sync_data();
        synced.map_err(|source| RecordError { path: self.path.clone(), source })?;
        Ok(self.bytes)
    }
}

const METRICS: &str = "metrics.jsonl";
const TIMING: &str = "timing.jsonl";

/// Writes the numbers of one run.
pub struct Recorder {
    files: Option<(Sink, Sink)>,
    /// Every step so far, for tests and for callers without a folder.
    steps: Vec<StepRecord>,
}

impl Recorder {
    /// Records into `metrics.jsonl` and `timing.jsonl` of an existing folder; what was there is replaced.
    pub fn in_folder(folder: &Path) -> Result<Self, RecordError> {
        let (metrics, timing) = (Sink::open(folder.join(METRICS), 0)?, Sink::open(folder.join(TIMING), 0)?);
        Ok(Self { files: Some((metrics, timing)), steps: Vec::new() })
    }

    /// Goes on with the record in `folder` behind its first `metrics_bytes`; what was recorded after them is dropped.
    pub fn resumed(folder: &Path, metrics_bytes: u64) -> Result<Self, RecordError> {
        let timing = folder.join(TIMING);
        let timed = std::fs::metadata(&timing).map_or(0, |file| file.len());
        let (metrics, timing) =
            (Sink::open(folder.join(METRICS), metrics_bytes)?, Sink::open(timing, timed)?);
        Ok(Self { files: Some((metrics, timing)), steps: Vec::new() })
    }

    /// Length of the record in `folder`; 0 without one.
    pub fn metrics_bytes(folder: &Path) -> u64 {
        std::fs::metadata(folder.join(METRICS)).map_or(0, |file| file.len())
    }

    /// Waits until the disk has all that was recorded, and returns the length of `metrics.jsonl`.
    pub fn synced(&mut self) -> Result<u64, RecordError> {
        self.files.as_mut().map_or(Ok(0), |(metrics, _)| metrics.synced())
    }

    /// Keeps the steps in memory only.
    pub fn in_memory() -> Self {
        Self { files: None, steps: Vec::new() }
    }

    /// The steps recorded since this recorder was made.
    pub fn steps(&self) -> &[StepRecord] {
        &self.steps
    }

    /// Records an optimiser step.
    pub fn step(&mut self, record: &StepRecord) -> Result<(), RecordError> {
        self.steps.push(record.clone());
        let Some((metrics, _)) = &mut self.files else { return Ok(()) };
        metrics.line(&StepLine {
            step: record.step,
            epoch: record.epoch,
            learning_rate: record.learning_rate,
            loss: record.loss,
            terms: record.terms.iter().copied().collect(),
        })
    }

    /// Records a final score.
    pub fn score(&mut self, split: &str, metric: &str, value: f64) -> Result<(), RecordError> {
        self.score_line(&ScoreLine { split, share: None, metric, value })
    }

    /// Records a final score of the ensemble in which the trained model has this share.
    pub fn ensemble_score(
        &mut self,
        split: &str,
        share: f64,
        metric: &str,
        value: f64,
    ) -> Result<(), RecordError> {
        self.score_line(&ScoreLine { split, share: Some(share), metric, value })
    }

    fn score_line(&mut self, line: &ScoreLine<'_>) -> Result<(), RecordError> {
        let Some((metrics, _)) = &mut self.files else { return Ok(()) };
        metrics.line(line)
    }

    /// Records what a method says of its trained parameters.
    pub fn fact(&mut self, name: &str, value: f64) -> Result<(), RecordError> {
        let Some((metrics, _)) = &mut self.files else { return Ok(()) };
        metrics.line(&FactLine { fact: name, value })
    }

    /// Records how long a stage took, measured from `start`.
    pub fn timing(&mut self, stage: &str, start: Instant) -> Result<(), RecordError> {
        let Some((_, timing)) = &mut self.files else { return Ok(()) };
        timing.line(&TimingLine { stage, seconds: start.elapsed().as_secs_f64() })
    }
}
