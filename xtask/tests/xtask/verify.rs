//! `cargo xtask verify`: table, totals and exit code.

use std::fs;
use std::path::PathBuf;

use crate::support::{root, text, xtask};

fn golden(name: &str) -> PathBuf {
    root().join("crates/clip/tests/golden").join(name)
}

#[test]
fn agreement_is_shown_tensor_by_tensor_and_in_total() {
    let ended = xtask(&["verify", text(&golden("open_clip")), text(&golden("tokenizer"))]).with_code(0);
    for part in ["tensor", "max |Δ|", "tolerance", "verdict", "vision_hidden_0", "logits_per_text"] {
        assert!(ended.stdout.contains(part), "{part} is not in {}", ended.stdout);
    }
    let last = ended.stdout.lines().last().unwrap();
    assert!(last.starts_with("total: 3 of 3 cases PASS, 0 FAIL; "), "{last}");
    assert!(!ended.stdout.contains("│    FAIL"), "{}", ended.stdout);
}

#[test]
fn a_case_that_cannot_be_run_is_a_failure_with_its_reason() {
    let folder = tempfile::tempdir().unwrap();
    for name in ["io.safetensors", "config.json"] {
        fs::copy(golden("hf_vit").join(name), folder.path().join(name)).unwrap();
    }
    let ended = xtask(&["verify", text(folder.path()), text(&golden("open_clip/gelu"))]).with_code(1);
    assert!(ended.stdout.contains("the folder holds no weights"), "{}", ended.stdout);
    assert!(ended.stdout.contains("1 of 2 cases PASS, 1 FAIL"), "{}", ended.stdout);
    assert!(ended.stderr.contains("1 of 2 cases failed"), "{}", ended.stderr);
}

#[test]
fn wrong_requests_are_refused() {
    xtask(&["verify", "no/such/folder"]).refused().naming(&["no/such/folder"]);
    let empty = tempfile::tempdir().unwrap();
    xtask(&["verify", text(empty.path())]).refused().naming(&["no case found", "io.safetensors"]);
    xtask(&["verify", text(&golden("hf_vit")), "--device", "gpu"]).refused().naming(&["gpu"]);
}
