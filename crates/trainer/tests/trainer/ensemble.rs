//! The sweep over mixtures of the trained and the zero-shot model, from recipe to record.

use std::path::Path;

use regulus_trainer::evaluate::Scores;
use regulus_trainer::experiment::{EnsembleSpace, Experiment, parse_toml};
use regulus_trainer::run::{EnsembleScores, Inputs, Outcome, SplitScores};

use crate::support::{device, ran_unwatched};

const PROREG: &str = r#"{ name = "proreg", form = "prob", alpha = 2.0 }
[training]
steps = 4
batch = 16
learning_rate = 1e-3
schedule = { decay = "constant" }
optimiser = { rule = "adam-w" }"#;

fn experiment(data: &str, method: &str, ensemble: &str) -> Result<Experiment, String> {
    let model = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../assets/world-clip");
    let text = format!(
        "seed = 1\nmodel = {{ path = {model:?} }}\ndata = {{ {data}, test_images = 40 }}\n\
         method = {method}\n{ensemble}"
    );
    Experiment::check(parse_toml(&text, "test").unwrap()).map_err(|faults| faults.to_string())
}

/// The outcome, whose file holds the same sweep, and the lines of the record that name a share.
fn outcome(data: &str, method: &str, ensemble: &str) -> (Outcome, Vec<serde_json::Value>) {
    let (folder, device) = (tempfile::tempdir().unwrap(), device());
    let experiment = experiment(data, method, ensemble).unwrap();
    let inputs = Inputs::check(&experiment, "cpu").unwrap();
    let materials = inputs.load(&experiment, &device, &|_| {}).unwrap();
    let outcome = ran_unwatched(&experiment, &materials, folder.path()).unwrap();
    assert_eq!(Outcome::load(folder.path()).unwrap().unwrap().ensemble, outcome.ensemble);
    let metrics = std::fs::read_to_string(folder.path().join("metrics.jsonl")).unwrap();
    let lines = metrics.lines().map(|line| serde_json::from_str(line).unwrap());
    (outcome, lines.filter(|line: &serde_json::Value| line.get("share").is_some()).collect())
}

fn scores(splits: &[SplitScores]) -> Vec<(&str, &Scores)> {
    splits.iter().map(|split| (split.split.as_str(), &split.scores)).collect()
}

#[test]
fn a_sweep_begins_at_zero_shot_and_ends_at_the_trained_model() {
    // The splits of the second task have other classes than the training images.
    let (bias, novel) = ("kind = \"world-bias\", strength = 0.85", "kind = \"world-base-to-novel\"");
    let (logits, weights) = (EnsembleSpace::Logits, EnsembleSpace::Weights);
    for (data, space) in [(bias, logits), (novel, logits), (bias, weights), (novel, weights)] {
        let named = if space == weights { "space = \"weights\"" } else { "" };
        let shares = &format!("[ensemble]\n{named}\nshares = [0, 0.5, 1]");
        let method = match data.contains("novel") {
            true => PROREG.replace("alpha = 2.0", "alpha = 2.0, head = { trained = false }"),
            false => PROREG.to_owned(),
        };
        let (mixed, lines) = outcome(data, &method, shares);
        let (trained, none) = outcome(data, &method, "");
        let (zero_shot, _) = outcome(data, r#"{ name = "zero-shot" }"#, "");
        assert!(none.is_empty() && trained.ensemble.is_empty());
        assert_ne!(mixed.identity, trained.identity);
        let [first, middle, last] = mixed.ensemble.as_slice() else { panic!("{:?}", mixed.ensemble) };
        assert_eq!((first.share, scores(&first.splits)), (0.0, scores(&zero_shot.splits)));
        assert_eq!((last.share, scores(&last.splits)), (1.0, scores(&trained.splits)));
        assert_eq!(mixed.splits, trained.splits);
        assert_ne!(trained.splits, zero_shot.splits, "training changed nothing: the ends say nothing");
        assert_eq!(middle.space, space);
        // Two splits, three shares, two metrics.
        assert_eq!(lines.len(), 12);
        let recorded = |scores: &EnsembleScores, split: usize| {
            let named = |line: &&serde_json::Value| {
                line["share"] == scores.share
                    && line["split"] == scores.splits[split].split.as_str()
                    && line["metric"] == "accuracy"
            };
            lines.iter().find(named).unwrap()["value"].as_f64().unwrap()
        };
        for (scores, split) in [(middle, 0), (middle, 1), (first, 1)] {
            assert_eq!(recorded(scores, split), scores.splits[split].scores.accuracy);
        }
    }
}

#[test]
fn a_mixture_of_weights_is_not_one_of_logits() {
    let data = "kind = \"world-bias\", strength = 0.85";
    let far = PROREG.replace("steps = 4", "steps = 8").replace("1e-3", "3e-3");
    let middle = |space: &str| {
        let (outcome, _) = outcome(data, &far, &format!("[ensemble]\nspace = \"{space}\"\nshares = [0.5]"));
        outcome.ensemble[0].splits.clone()
    };
    assert_ne!(middle("weights"), middle("logits"));
}

#[test]
fn sweeps_that_make_no_sense_are_refused() {
    let world = "kind = \"world-bias\", strength = 0.85";
    let refused = |method: &str, ensemble: &str, part: &str| {
        let message = experiment(world, method, ensemble).unwrap_err();
        assert!(message.contains(part), "`{part}` is not in: {message}");
    };
    refused(PROREG, "[ensemble]\nshares = []", "ensemble.shares: has 0 entries");
    refused(PROREG, "[ensemble]\nshares = [0.5, 1.5]", "ensemble.shares: is 1.5; expected 0 to 1");
    refused(PROREG, "[ensemble]\nshares = [nan]", "ensemble.shares: is NaN");
    let weights = "[ensemble]\nspace = \"weights\"\nshares = [0.5]";
    let head =
        |init: &str| PROREG.replace("alpha = 2.0", &format!("alpha = 2.0, head = {{ init = \"{init}\" }}"));
    refused(&head("fresh"), weights, "ensemble.space: is `weights`, but proreg has a fresh head");
    refused(&head("promptless"), weights, "proreg has a promptless head");
    let other = |method: &str| PROREG.replace("{ name = \"proreg\", form = \"prob\", alpha = 2.0 }", method);
    refused(
        &other("{ name = \"coop\" }"),
        weights,
        "coop does not train the weights of the image tower alone",
    );
    refused(&other("{ name = \"lp-ft\" }"), weights, "lp-ft starts at the head of a linear probe");
    let staged = format!("{weights}\n[before]\nmethod = {{ name = \"coop\" }}");
    refused(PROREG, &staged, "proreg stands on what an earlier stage has trained");
    refused(r#"{ name = "zero-shot" }"#, "[ensemble]\nshares = [0.5]", "zero-shot trains none");
}
