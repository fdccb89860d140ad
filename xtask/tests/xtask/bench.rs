//! The harness that measures, on a model that takes no time.

use crate::support::{text, xtask};

#[test]
fn steps_of_the_tiny_model_are_measured() {
    let folder = tempfile::tempdir().unwrap();
    let json = folder.path().join("steps.json");
    let arguments =
        ["bench", "step", "--model", "tiny", "--runs", "2", "--warmup", "1", "--json", text(&json)];
    let ended = xtask(&arguments).with_code(0);
    let report: serde_json::Value = serde_json::from_slice(&std::fs::read(&json).unwrap()).unwrap();
    let cases = report["cases"].as_array().unwrap();
    assert_eq!(cases.len(), 8, "{report}");
    for case in cases {
        let name = case["name"].as_str().unwrap();
        let regulus = &case["regulus"];
        let stages = &regulus["stages"];
        let of = |stage: &str| stages[stage].as_f64().unwrap();
        assert!(ended.stdout.contains(name));
        assert_eq!(regulus["turns"].as_array().unwrap().len(), 2);
        assert!(of("student") > 0.0 && of("backward") > 0.0 && of("optimiser") > 0.0 && of("data") > 0.0);
        // What changes in the images is seen by the frozen model anew, and what does not is known.
        let looks = ["promptsrc-50", "promptsrc-100", "coop", "r-amt", "proreg"].contains(&name);
        assert_eq!(of("teacher") > 0.0, looks, "{name}: {stages}");
        let whole = ["data", "teacher", "student", "backward", "optimiser"].map(of).iter().sum::<f64>();
        assert!(whole <= 1.2 * regulus["slowest"].as_f64().unwrap(), "{name}: {stages}");
        if cfg!(target_os = "linux") {
            assert!(regulus["peak_bytes"].as_u64().unwrap() > 1 << 20);
        }
    }
}

#[test]
fn images_texts_and_loading_are_measured() {
    for (what, names) in [
        ("encode", &["zero-shot"][..]),
        ("text", &["text-1000"]),
        ("load", &["load", "load-weights", "load-first-features"]),
    ] {
        let ended = xtask(&["bench", what, "--model", "tiny", "--runs", "1", "--warmup", "0"]).with_code(0);
        let rows: Vec<&str> =
            ended.stdout.lines().filter_map(|line| line.split_whitespace().nth(1)).collect();
        assert!(names.iter().all(|name| rows.contains(name)), "{}", ended.stdout);
    }
}

#[test]
fn ways_to_multiply_take_turns() {
    let folder = tempfile::tempdir().unwrap();
    let json = folder.path().join("steps.json");
    let arguments =
        ["bench", "step", "--model", "tiny", "--case", "proreg", "--runs", "1", "--json", text(&json)];
    let modes = ["--matmul", "f32", "--matmul", "bf16x3", "--matmul", "bf16"];
    xtask(&[&arguments[..], &modes[..]].concat()).with_code(0);
    let report: serde_json::Value = serde_json::from_slice(&std::fs::read(&json).unwrap()).unwrap();
    let measured: Vec<_> = report["cases"].as_array().unwrap().iter().map(|case| &case["matmul"]).collect();
    assert_eq!(measured, ["f32", "bf16x3", "bf16"]);
    xtask(&[&arguments[..], &["--matmul", "f64"]].concat()).with_code(2).naming(&["f64", "bf16x3"]);
}

#[test]
fn what_a_model_does_not_have_is_left_out_with_the_reason() {
    let arguments = ["bench", "step", "--model", "tiny", "--case", "no-such", "--case", "coop"];
    xtask(&arguments).refused().naming(&["no case `no-such`", "promptsrc-50", "tes-resnet50"]);
    xtask(&["bench", "step", "--model", "tiny", "--runs", "0"]).refused().naming(&["--runs is 0"]);
}

#[test]
fn a_peer_that_is_not_there_is_told() {
    let arguments = ["bench", "step", "--model", "tiny", "--peer", "--python", "no-such-python"];
    xtask(&arguments).refused().naming(&["--peer needs a Python with PyTorch", "no-such-python"]);
}

/// Needs a Python with PyTorch, whose name is in REGULUS_PYTHON.
#[test]
#[ignore = "needs a Python with PyTorch, torchvision, safetensors and transformers"]
fn the_peer_takes_turns() {
    let python = std::env::var("REGULUS_PYTHON").unwrap_or_else(|_| "python3".into());
    let folder = tempfile::tempdir().unwrap();
    for (what, forms) in [("step", 9), ("encode", 1), ("text", 1), ("load", 3)] {
        let json = folder.path().join(what);
        let end = ["--runs", "2", "--peer", "--python", &python, "--json", text(&json)];
        let arguments = ["bench", what, "--model", "tiny"];
        let ended = xtask(&[&arguments[..], &end[..]].concat()).with_code(0);
        assert!(ended.stdout.contains("peer/ours"), "{}", ended.stdout);
        let report: serde_json::Value = serde_json::from_slice(&std::fs::read(&json).unwrap()).unwrap();
        let peers = report["cases"].as_array().unwrap().iter().flat_map(|case| {
            let own = case["regulus"]["seconds"].as_f64().unwrap();
            case["peers"].as_array().unwrap().iter().map(move |peer| (own, peer))
        });
        let peers: Vec<_> = peers.collect();
        assert_eq!(peers.len(), forms, "{report}");
        for (own, peer) in peers {
            let ratio = peer["measured"]["seconds"].as_f64().unwrap() / own;
            assert!((peer["time_ratio"].as_f64().unwrap() - ratio).abs() < 1e-9 * ratio);
            assert!(peer["memory_ratio"].as_f64().is_some() == cfg!(target_os = "linux"));
        }
    }
}
