//! `cargo xtask devices`, and what is said of devices that cannot be used.

use serde_json::Value;

use crate::support::{class_folders, text, xtask};

fn listed() -> Vec<Value> {
    serde_json::from_str(&xtask(&["devices", "--json"]).with_code(0).stdout).unwrap()
}

#[test]
fn every_backend_is_listed_with_its_feature() {
    let listed = listed();
    for name in ["cpu", "ndarray", "wgpu", "vulkan", "metal", "cuda", "rocm"] {
        let of_backend = |entry: &&Value| entry["device"].as_str().unwrap().split(':').next() == Some(name);
        let entry = listed.iter().find(of_backend).unwrap_or_else(|| panic!("{name} is not listed"));
        let feature = if name == "cpu" { "flex" } else { name };
        assert_eq!(entry["feature"], feature);
    }
    assert_eq!(listed[0]["usable"], true);
    assert!(listed[0]["free_bytes"].as_u64().unwrap() > 1 << 20);
    let table = xtask(&["devices"]).with_code(0).stdout;
    assert!(table.contains("compiled in") && table.contains(" GB free"), "{table}");
}

#[test]
fn a_device_that_cannot_be_used_is_refused_with_what_is_missing() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    class_folders(&data.join("train"), &["cat", "house"], 2);
    let train = |device: &str| {
        let runs = folder.path().join("runs");
        xtask(&["train", "--data", text(&data), "--runs", text(&runs), "--device", device]).refused()
    };
    train("tpu").naming(&["unknown device `tpu`", "cpu, ndarray, wgpu"]);
    train("cpu:1").naming(&["unknown device `cpu:1`"]);
    for entry in listed().iter().filter(|entry| entry["usable"] == false) {
        let (device, feature) = (entry["device"].as_str().unwrap(), entry["feature"].as_str().unwrap());
        let missing = match entry["compiled_in"].as_bool().unwrap() {
            true => "there is no device".to_owned(),
            false => format!("--features {feature}"),
        };
        train(device).naming(&[device, &missing]);
    }
    if cfg!(feature = "wgpu") {
        train("wgpu:9").naming(&["there is no device `wgpu:9`", "cargo xtask devices"]);
    }
}
