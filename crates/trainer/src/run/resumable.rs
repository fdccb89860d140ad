//! Training that survives its process: checkpoints on the way, and the way back from them.

use std::path::Path;
use std::time::{Duration, Instant};

use burn::tensor::Device;

use super::{Control, Progress, RunError};
use crate::batches::BatchSource;
use crate::checkpoint::{Checkpoints, Found, Saved};
use crate::method::Method;
use crate::parameters::Parameters;
use crate::recorder::Recorder;
use crate::selection::Selector;
use crate::training::{Training, TrainingConfig};

/// What is left of an earlier process that worked on the same run.
pub(super) struct Earlier {
    pub(super) checkpoints: Checkpoints,
    /// The newest checkpoint that is whole.
    pub(super) saved: Option<Saved>,
    pub(super) recorder: Recorder,
    /// The number of steps behind which the trained parameters were taken, where validation images chose.
    pub(super) selected_step: Option<usize>,
}

impl Earlier {
    /// Finds the newest checkpoint in `folder` and brings the record back to where it was then; a record without a
    /// checkpoint starts anew.
    pub(super) fn find(
        folder: &Path,
        identity: &str,
        device: &Device,
        control: &mut Control<'_>,
    ) -> Result<Self, RunError> {
        let mut checkpoints = Checkpoints::in_folder(folder, identity);
        if control.fresh {
            checkpoints.remove()?;
        }
        let Found { newest: saved, damaged } = checkpoints.find(Recorder::metrics_bytes(folder), device);
        for (path, damage) in damaged {
            (control.notice)(&format!("{} cannot be used: {damage}", path.display()));
        }
        let recorder = match &saved {
            Some(saved) => Recorder::resumed(folder, saved.metrics_bytes)?,
            None => Recorder::in_folder(folder)?,
        };
        Ok(Self { checkpoints, saved, recorder, selected_step: None })
    }

    /// Seconds that earlier processes have spent on the run.
    pub(super) fn seconds(&self) -> f64 {
        self.saved.as_ref().map_or(0.0, |saved| saved.seconds)
    }

    /// Trains from where the run is to its last step.
    pub(super) fn train(
        &mut self,
        method: &mut dyn Method,
        source: &dyn BatchSource,
        config: &TrainingConfig,
        selector: Option<Selector<'_>>,
        control: &mut Control<'_>,
        began: Instant,
    ) -> Result<Parameters, RunError> {
        let spent = self.seconds();
        let mut training = Training::new(method, source, config)?.selecting(selector);
        if let Some(saved) = self.saved.take() {
            let done = saved.state.done;
            training = training.resume(saved.state)?;
            (control.notice)(&format!("going on after step {done}"));
        }
        let mut last = Instant::now();
        while let Some(taken) = training.step(&mut self.recorder)? {
            let (done, total, ends_epoch) = (taken.done, taken.total, taken.ends_epoch);
            (control.progress)(Progress::Training { done, total });
            let stopped = (control.stop)();
            if stopped || ends_epoch || last.elapsed() >= control.checkpoint_every {
                let metrics_bytes = self.recorder.synced()?;
                let seconds = spent + began.elapsed().as_secs_f64();
                self.checkpoints.save(&Saved { state: training.state(), metrics_bytes, seconds })?;
                last = Instant::now();
            }
            if stopped && done < total {
                return Err(RunError::Stopped { done, total });
            }
        }
        self.selected_step = training.selected_step();
        Ok(training.finish()?)
    }
}

/// A quarter of an hour: what a long epoch may lose at most.
pub(super) const CHECKPOINT_EVERY: Duration = Duration::from_secs(15 * 60);
