//! What training forgets: zero-shot accuracy on other classes before and after it.

use serde_json::Value;

use crate::support::{run_folders, text, xtask};

#[test]
fn a_reference_set_shows_what_training_forgets() {
    let folder = tempfile::tempdir().unwrap();
    let run = |method: &str, name: &str, more: &[&str]| -> (Value, String) {
        let runs = folder.path().join(name);
        let asked = [
            "train",
            "--data",
            "world",
            "--runs",
            text(&runs),
            "--method",
            method,
            "--set",
            "data.test_images=80",
            "--reference",
            "world-few-shot",
            "--set",
            "reference.test_images=200",
        ];
        let ended = xtask(&[&asked[..], more].concat()).with_code(0);
        let outcome = std::fs::read(run_folders(&runs)[0].join("outcome.json")).unwrap();
        (serde_json::from_slice(&outcome).unwrap(), ended.stdout)
    };
    // Nothing is trained, nothing is forgotten.
    let (outcome, _) = run("zero-shot", "zero-shot", &[]);
    let kept = &outcome["forgetting"][0];
    assert_eq!((&kept["original"], &kept["images"]), (&kept["trained"], &Value::from(200)));
    // Steps that are far too long destroy the image tower, also under a trained classifier of eight classes.
    let harsh = ["--set", "training.steps=30", "--set", "training.learning_rate=0.01"];
    let (outcome, printed) = run("finetune", "finetune", &harsh);
    let lost = &outcome["forgetting"][0];
    let number = |key: &str| lost[key].as_f64().unwrap();
    assert_eq!(number("original"), kept["original"].as_f64().unwrap());
    assert!(number("original") - number("trained") > 20.0, "{lost}");
    assert!(printed.contains("zero-shot on world-few-shot"), "{printed}");
    // A probe trains no tower: there is nothing to compare.
    let (outcome, _) = run("linear-probe", "probe", &[]);
    assert!(outcome.get("forgetting").is_none(), "{outcome}");
    let asked =
        ["train", "--data", "world", "--reference", "published:eurosat", "--runs", text(folder.path())];
    xtask(&asked).refused().naming(&["--root is missing"]);
}
