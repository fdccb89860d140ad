//! How long a suite will take on this machine, from a miniature of one of its runs.

use std::path::Path;
use std::time::{Duration, Instant};

use regulus_trainer::device;
use regulus_trainer::experiment::{DataSpec, EnsembleSpace, Experiment};
use regulus_trainer::run::{Control, Inputs, run};

use super::plan::{PlannedRun, Setting};
use crate::failure::{Failure, Outcome};

const STEPS: usize = 4;
const TEST_IMAGES: usize = 200;

/// Test images of all splits of a run in the world; 0 for others.
fn test_images(data: &DataSpec) -> usize {
    data.test_images().unwrap_or(0) * data.known_splits().map_or(0, <[_]>::len)
}

/// Seconds for the unfinished runs with `jobs` at a time; `None` if the suite has no run in the world that
/// takes gradient steps. Runs a miniature in `scratch`, single-threaded like the real runs.
pub fn estimate(
    runs: &[PlannedRun],
    setting: &Setting,
    jobs: usize,
    scratch: &Path,
) -> Outcome<Option<Duration>> {
    let unfinished: Vec<&PlannedRun> = runs.iter().filter(|run| run.finished.is_none()).collect();
    let Some(miniature) = unfinished.iter().find_map(|run| miniature(run)) else { return Ok(None) };
    let pool = rayon::ThreadPoolBuilder::new().num_threads(1).build().map_err(Failure::work)?;
    let measured = pool.install(|| measure(&miniature, setting, scratch));
    // A leftover miniature would only look like a run; the next estimate replaces it.
    let _ = std::fs::remove_dir_all(scratch);
    let (per_step, per_image) = measured?;
    let seconds: f64 = unfinished.iter().map(|run| cost(run, per_step, per_image)).sum();
    Ok(Some(Duration::try_from_secs_f64(seconds / jobs.max(1) as f64).unwrap_or(Duration::MAX)))
}

/// The same experiment with a few steps and test images.
fn miniature(run: &PlannedRun) -> Option<Experiment> {
    let mut spec = run.experiment.spec().clone();
    // Mixtures are not part of a run's usual cost.
    spec.ensemble = None;
    let training = spec.training.as_mut()?;
    (training.steps, training.epochs) = (Some(STEPS), None);
    *spec.data.test_images_mut()? = TEST_IMAGES;
    Experiment::check(spec).ok()
}

/// Seconds per optimiser step, and per image that is rendered and looked at once.
fn measure(experiment: &Experiment, setting: &Setting, scratch: &Path) -> Outcome<(f64, f64)> {
    let device = device::by_name(&setting.device).map_err(Failure::request)?;
    let inputs = Inputs::check(experiment, &device::kind(&setting.device)).map_err(Failure::request)?;
    let began = Instant::now();
    let materials = inputs.load(experiment, &device, &|_| {}).map_err(Failure::work)?;
    let data = &experiment.spec().data;
    let tested = test_images(data);
    let rendered = data.training_images().unwrap_or(0) + tested;
    let rendering = began.elapsed().as_secs_f64() / rendered as f64;
    let mut trained = None;
    let began = Instant::now();
    let mut clock = |progress| {
        if let regulus_trainer::run::Progress::Training { done: STEPS, .. } = progress {
            trained = Some(began.elapsed());
        }
    };
    let mut note = |_: &str| {};
    let control = Control { fresh: true, ..Control::watching(&mut clock, &mut note) };
    run(experiment, &materials, scratch, &device, control).map_err(Failure::work)?;
    let total = began.elapsed();
    let training = trained.unwrap_or(total);
    let looking = (total - training).as_secs_f64() / tested as f64;
    Ok((training.as_secs_f64() / STEPS as f64, rendering + looking))
}

fn cost(run: &PlannedRun, per_step: f64, per_image: f64) -> f64 {
    let spec = run.experiment.spec();
    let trained = spec.data.training_images().unwrap_or(0);
    let steps = spec.training.as_ref().map_or(0, |training| {
        let images_per_step = training.batch.saturating_mul(training.accumulate).max(1);
        training.total_steps((trained / images_per_step).max(1))
    });
    let looks = 1 + spec.ensemble.as_ref().map_or(0, |ensemble| match ensemble.space {
        EnsembleSpace::Logits => 1,
        EnsembleSpace::Weights => ensemble.shares.len(),
    });
    let images = trained + test_images(&spec.data) * looks;
    steps as f64 * per_step + images as f64 * per_image
}
