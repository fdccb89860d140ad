//! Where the time of a training step goes: what `cargo xtask bench step` breaks down.
//!
//! Methods and the training loop say which stage they are in. Nobody listens unless [`measured`] does, and saying so costs
//! nothing worth mentioning. Times are those of the calling thread by the clock, which is right for the CPU backends:
//! they compute an operation when it is asked for.

use std::cell::RefCell;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

/// A stage of a training step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// Making the batch: decoding, augmentation, normalisation.
    Data,
    /// The frozen model, where its features or logits are asked for.
    Teacher,
    /// The trained model and its losses, and what no other stage counts.
    Student,
    /// Going backward through the graph.
    Backward,
    /// Clipping and the update of the parameters.
    Optimiser,
}

/// Seconds in each stage.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct StageSeconds {
    /// In [`Stage::Data`].
    pub data: f64,
    /// In [`Stage::Teacher`].
    pub teacher: f64,
    /// In [`Stage::Student`].
    pub student: f64,
    /// In [`Stage::Backward`].
    pub backward: f64,
    /// In [`Stage::Optimiser`].
    pub optimiser: f64,
}

impl StageSeconds {
    /// All of them.
    pub fn sum(&self) -> f64 {
        self.data + self.teacher + self.student + self.backward + self.optimiser
    }

    fn add(&mut self, stage: Stage, time: Duration) {
        let seconds = match stage {
            Stage::Data => &mut self.data,
            Stage::Teacher => &mut self.teacher,
            Stage::Student => &mut self.student,
            Stage::Backward => &mut self.backward,
            Stage::Optimiser => &mut self.optimiser,
        };
        *seconds += time.as_secs_f64();
    }
}

/// The stage that this thread is in, since when, and what it has spent so far.
struct Watch {
    stage: Stage,
    since: Instant,
    spent: StageSeconds,
}

impl Watch {
    /// Turns to another stage and returns the one before.
    fn turn(&mut self, stage: Stage) -> Stage {
        let now = Instant::now();
        self.spent.add(self.stage, now - self.since);
        self.since = now;
        std::mem::replace(&mut self.stage, stage)
    }
}

thread_local! {
    static WATCH: RefCell<Option<Watch>> = const { RefCell::new(None) };
}

fn turn(stage: Stage) -> Option<Stage> {
    WATCH.with_borrow_mut(|watch| watch.as_mut().map(|watch| watch.turn(stage)))
}

/// Does a part of a step that belongs to `stage`. Stages may lie inside each other: time counts for the innermost.
pub fn within<T>(stage: Stage, work: impl FnOnce() -> T) -> T {
    let before = turn(stage);
    let result = work();
    if let Some(before) = before {
        turn(before);
    }
    result
}

/// What `work` returns, and the seconds that it spent in each stage; what belongs to none counts as
/// [`Stage::Student`].
pub fn measured<T>(work: impl FnOnce() -> T) -> (T, StageSeconds) {
    let watch = Watch { stage: Stage::Student, since: Instant::now(), spent: StageSeconds::default() };
    let before = WATCH.replace(Some(watch));
    let result = work();
    turn(Stage::Student);
    let spent = WATCH.replace(before).map(|watch| watch.spent).unwrap_or_default();
    (result, spent)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_counts_for_the_innermost_stage() {
        let wait = || std::thread::sleep(Duration::from_millis(4));
        let ((), spent) = measured(|| {
            within(Stage::Backward, || {
                wait();
                within(Stage::Teacher, || [wait(), wait()]);
            });
            within(Stage::Data, wait);
        });
        assert!(spent.backward >= 0.004 && spent.teacher >= 0.008 && spent.data >= 0.004, "{spent:?}");
        assert!(spent.student < spent.sum() / 2.0, "{spent:?}");
        assert_eq!(spent.optimiser, 0.0);
    }

    #[test]
    fn without_a_listener_work_is_done_all_the_same() {
        assert_eq!(within(Stage::Optimiser, || 3), 3);
    }
}
