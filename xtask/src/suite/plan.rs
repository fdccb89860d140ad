//! From a suite to its runs, each checked and named before the first one starts.

use std::path::PathBuf;

use regulus_kernels::MatmulPrecision;
use regulus_trainer::device;
use regulus_trainer::estimate::Sizes;
use regulus_trainer::experiment::{
    Experiment, ExperimentSpec, ModelSpec, Recipe, SpecError, apply_override, parse_toml,
};
use regulus_trainer::run::{Inputs, Listings, Outcome as RunOutcome, folder_name};

use super::spec::{RunRow, Suite};
use crate::failure::{Failure, Outcome};
use crate::image_store::image_store;

/// One run of a suite.
#[derive(Debug, Clone)]
pub struct PlannedRun {
    /// Task in the suite's words.
    pub task: String,
    /// Row in the suite's words.
    pub method: String,
    /// Seed.
    pub seed: u64,
    /// Whether every seed of the suite shares this result.
    pub shared: bool,
    /// The checked experiment.
    pub experiment: Experiment,
    /// What its cost follows from.
    pub sizes: Sizes,
    /// Folder of the run.
    pub folder: PathBuf,
    /// The outcome, if the run has finished before.
    pub finished: Option<RunOutcome>,
}

impl PlannedRun {
    /// Task, method and seed for people.
    pub fn title(&self) -> String {
        format!("{} {} s{}", self.task, self.method, self.seed)
    }
}

/// Where and how a suite runs.
#[derive(Debug, Clone)]
pub struct Setting {
    /// Folder of the suite's runs.
    pub root: PathBuf,
    /// Name of the device.
    pub device: String,
    /// Whether finished runs are run again.
    pub force: bool,
    /// Commit of the code, where it is known.
    pub commit: Option<String>,
    /// Values that are changed in every experiment, `key=value`; those of training in every one that trains.
    pub set: Vec<String>,
}

/// All runs of a suite, in the order of its rows.
pub fn plan(suite: &Suite, setting: &Setting) -> Outcome<Vec<PlannedRun>> {
    let (mut runs, listings) = (Vec::new(), Listings::default());
    for row in &suite.runs {
        let once = row.once.iter().map(|method| (method, &suite.seeds[..1], true));
        let each = row.methods.iter().map(|method| (method, &suite.seeds[..], false));
        for (method, seeds, shared) in once.chain(each) {
            for &seed in seeds {
                let run = PlannedRun { shared, ..planned(suite, row, method, seed, setting, &listings)? };
                check_new(&run, &runs, suite)?;
                runs.push(run);
            }
        }
    }
    Ok(runs)
}

/// The same experiment twice would count one measurement as two, and write into one folder from two processes.
fn check_new(run: &PlannedRun, earlier: &[PlannedRun], suite: &Suite) -> Outcome {
    let Some(same) = earlier.iter().find(|earlier| earlier.folder == run.folder) else { return Ok(()) };
    let (name, same, run) = (&suite.name, same.title(), run.title());
    let message = format!("suite `{name}`: `{run}` is the same experiment as `{same}`; list it once");
    Err(Failure::Request(anyhow::anyhow!(message)))
}

fn planned(
    suite: &Suite,
    row: &RunRow,
    method: &str,
    seed: u64,
    setting: &Setting,
    listings: &Listings,
) -> Outcome<PlannedRun> {
    let (task, runs) = (row.task.as_str(), row.method_of(method));
    let Recipe { method: trained, training, before, teacher, ensemble } = suite.recipe_for(runs)?;
    let spec = ExperimentSpec {
        reference: None,
        seed,
        model: ModelSpec {
            path: suite.model.clone(),
            resolution: None,
            backbone: suite.backbone_of.get(runs).cloned(),
            matmul: MatmulPrecision::default(),
        },
        data: suite.tasks[task].clone(),
        method: trained,
        training,
        ensemble,
        before,
        teacher,
    };
    let named = |error: anyhow::Error| {
        Failure::Request(error.context(format!("suite `{}`: {task}, {method}", suite.name)))
    };
    let spec = changed(spec, &setting.set).map_err(|error| named(error.into()))?;
    let experiment = Experiment::check(spec).map_err(|faults| named(faults.into()))?;
    let kind = device::kind(&setting.device);
    let inputs = Inputs::check_among(&experiment, &kind, listings).map_err(|error| named(error.into()))?;
    let inputs = inputs.kept_in(image_store()?);
    let sizes = Sizes::read(&experiment, &inputs, &kind).map_err(|error| named(error.into()))?;
    let folder = setting.root.join(folder_name(&experiment, &inputs.identity));
    let finished = match setting.force {
        true => None,
        false => RunOutcome::of_finished(&folder).map_err(Failure::request)?,
    };
    let (task, method) = (task.to_owned(), method.to_owned());
    Ok(PlannedRun { task, method, seed, shared: false, experiment, sizes, folder, finished })
}

/// The spec with some values changed.
fn changed(spec: ExperimentSpec, set: &[String]) -> Result<ExperimentSpec, SpecError> {
    if set.is_empty() {
        return Ok(spec);
    }
    let origin = format!("--set {}", set.join(" "));
    let invalid =
        |error: toml::ser::Error| SpecError::Invalid { origin: origin.clone(), message: error.to_string() };
    let mut document = toml::Table::try_from(&spec).map_err(invalid)?;
    for assignment in set.iter().filter(|set| spec.training.is_some() || !set.starts_with("training.")) {
        apply_override(&mut document, assignment)?;
    }
    parse_toml(&toml::to_string(&document).map_err(invalid)?, &origin)
}
