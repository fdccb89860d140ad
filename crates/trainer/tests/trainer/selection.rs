//! Choosing an epoch by validation images, from recipe to outcome, and across an interruption.

use std::cell::Cell;
use std::path::Path;

use regulus_trainer::experiment::{Experiment, parse_toml};
use regulus_trainer::run::{Control, Inputs, Materials, Outcome, RunError, run};
use serde_json::Value;

use crate::support::{device, ran_unwatched};

/// Rates that are so high that the last epoch is not the best.
fn experiment(data: &str, selection: &str) -> Result<Experiment, String> {
    let model = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../assets/world-clip");
    let text = format!(
        "seed = 1\nmodel = {{ path = {model:?} }}\ndata = {{ {data}, test_images = 40 }}\n\
         method = {{ name = \"finetune\" }}\n[training]\nepochs = 3\nbatch = 200\nlearning_rate = 0.02\n\
         schedule = {{ decay = \"constant\" }}\noptimiser = {{ rule = \"adam-w\" }}\n{selection}"
    );
    Experiment::check(parse_toml(&text, "test").unwrap()).map_err(|faults| faults.to_string())
}

const BIAS: &str = "kind = \"world-bias\", strength = 0.85";
const ID_VAL: &str = "selection = \"id-val\"";

fn materials(experiment: &Experiment) -> Materials {
    Inputs::check(experiment, "cpu").unwrap().load(experiment, &device(), &|_| {}).unwrap()
}

/// Accuracy on the validation images after each epoch.
fn looks(folder: &Path) -> Vec<(f64, f64)> {
    let metrics = std::fs::read_to_string(folder.join("metrics.jsonl")).unwrap();
    let lines = metrics.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    let looks = lines.filter_map(|line| {
        let steps = line["metric"].as_str()?.strip_prefix("accuracy_after_step_")?.parse().ok()?;
        Some((steps, line["value"].as_f64()?))
    });
    looks.collect()
}

#[test]
fn a_run_ends_with_the_epoch_that_validates_best() {
    let folder = tempfile::tempdir().unwrap();
    let experiment = experiment(BIAS, ID_VAL).unwrap();
    let materials = materials(&experiment);
    let chosen = ran_unwatched(&experiment, &materials, folder.path()).unwrap();
    let looks = looks(folder.path());
    assert_eq!(looks.len(), 3, "one for each epoch");
    let best = looks.iter().copied().reduce(|best, look| if look.1 > best.1 { look } else { best }).unwrap();
    assert_eq!(chosen.accuracy("id"), Some(best.1));
    assert_eq!(chosen.facts["selected_step"], best.0);
    assert_ne!(best.0, looks[2].0, "the last epoch is the best here: the test says nothing");

    // Cut off in the last epoch, the run ends with the same bits.
    let again = folder.path().join("again");
    let (steps, mut progress, mut notice) = (Cell::new(0), |_| {}, |_: &str| {});
    let stop = || {
        steps.set(steps.get() + 1);
        steps.get() as f64 > looks[1].0
    };
    let control = Control { stop: &stop, ..Control::watching(&mut progress, &mut notice) };
    let stopped = run(&experiment, &materials, &again, &device(), control);
    assert!(matches!(stopped, Err(RunError::Stopped { .. })), "{stopped:?}");
    let resumed = ran_unwatched(&experiment, &materials, &again).unwrap();
    assert_eq!(Outcome { seconds: 0.0, ..resumed }, Outcome { seconds: 0.0, ..chosen });
    for file in ["metrics.jsonl", "adapter.safetensors"] {
        let [one, other] = [folder.path(), &again].map(|run| std::fs::read(run.join(file)).unwrap());
        assert!(one == other, "{file} differs");
    }
}

#[test]
fn without_validation_images_nothing_can_choose() {
    let folder = tempfile::tempdir().unwrap();
    let experiment = experiment("kind = \"world-few-shot\", shots = 2", ID_VAL).unwrap();
    let error = ran_unwatched(&experiment, &materials(&experiment), folder.path()).unwrap_err();
    assert!(matches!(error, RunError::NoValidation), "{error}");
    assert!(error.to_string().contains("training.selection"), "{error}");
}

#[test]
fn one_epoch_or_the_mean_of_all() {
    let both = format!("{ID_VAL}\naggregation = {{ weights = \"equal\" }}");
    let refused = experiment(BIAS, &both).unwrap_err();
    assert!(refused.contains("training.selection: chooses one epoch"), "{refused}");
}
