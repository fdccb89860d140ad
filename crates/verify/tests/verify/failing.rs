//! A verification that cannot fail proves nothing.

use crate::support::{TRAJECTORIES, copied, device, edit, nudge, recorded, report};
use regulus_verify::{Case, CaseReport, DiscoverError, find_cases, verify};
use std::fs;

/// What failed, and why.
fn failures(report: &CaseReport) -> Vec<String> {
    let rows = report.rows.iter().filter(|row| !row.passed());
    let rows = rows.map(|row| format!("{}: {}", row.what, row.problem.as_deref().unwrap_or("differs")));
    rows.chain(report.failure.clone()).collect()
}

#[test]
fn a_value_beyond_the_tolerance_fails_and_one_within_passes() {
    for (amount, fails) in [(1e-6, false), (1e-3, true), (f32::NAN, true)] {
        let folder = copied("openai_vit");
        nudge(&folder.path().join("io.safetensors"), "vision_hidden_1", amount);
        let found = failures(&report(folder.path()));
        assert_eq!(!found.is_empty(), fails, "{amount}: {found:?}");
        assert!(found.iter().all(|failure| failure.starts_with("vision_hidden_1")), "{found:?}");
    }
}

#[test]
fn a_wrong_activation_fails() {
    let folder = copied("open_clip/gelu");
    let config = folder.path().join("open_clip_config.json");
    let text = fs::read_to_string(&config).unwrap();
    fs::write(&config, text.replace("\"embed_dim\"", "\"quick_gelu\": true, \"embed_dim\"")).unwrap();
    assert!(failures(&report(folder.path())).len() > 4);
}

#[test]
fn a_tensor_that_nothing_compares_is_a_failure() {
    let folder = copied("hf_vit");
    edit(&folder.path().join("io.safetensors"), |tensors| {
        let known = tensors["text_pooled"].clone();
        tensors.insert("text_pooled_twice".into(), known);
    });
    let found = failures(&report(folder.path()));
    assert_eq!(found, ["text_pooled_twice: recorded, but nothing here knows what it is"]);
}

#[test]
fn files_of_one_model_that_differ_fail() {
    let folder = copied("openai_vit");
    let other = folder.path().join("model_other.safetensors");
    fs::copy(folder.path().join("model_mixed_fp16.safetensors"), &other).unwrap();
    edit(&other, |tensors| tensors.get_mut("positional_embedding").unwrap().2[0] ^= 1);
    let found = failures(&report(folder.path()));
    assert_eq!(found.len(), 1, "{found:?}");
    assert!(found[0].contains("parameters of"), "{found:?}");
}

#[test]
fn weights_that_cannot_be_read_are_a_failure_that_says_why() {
    let folder = copied("openai_vit");
    let archive = folder.path().join("jit_mixed_fp16.pt");
    let bytes = fs::read(&archive).unwrap();
    fs::write(&archive, &bytes[..bytes.len() / 2]).unwrap();
    let found = failures(&report(folder.path()));
    assert!(found.len() == 1 && found[0].contains("jit_mixed_fp16.pt"), "{found:?}");

    let folder = copied("hf_vit");
    fs::remove_file(folder.path().join("model.safetensors")).unwrap();
    assert_eq!(failures(&report(folder.path())), ["the folder holds no weights"]);
}

#[test]
fn inputs_that_a_model_cannot_take_are_a_failure() {
    let folder = copied("hf_vit");
    edit(&folder.path().join("io.safetensors"), |tensors| {
        let pixels = tensors.get_mut("pixel_values").unwrap();
        pixels.1 = vec![4, 3, 16, 64];
    });
    let found = failures(&report(folder.path()));
    assert!(!found.is_empty());
}

#[test]
fn a_method_that_is_not_known_is_a_failure() {
    let folder = tempfile::tempdir().unwrap();
    for name in ["common", "zero_shot"] {
        for ending in ["json", "safetensors"] {
            let file = format!("{name}.{ending}");
            fs::copy(recorded(TRAJECTORIES).join(&file), folder.path().join(&file)).unwrap();
        }
    }
    edit(&folder.path().join("zero_shot.safetensors"), |tensors| {
        tensors.retain(|name, _| name == "out.logits");
    });
    fs::write(folder.path().join("zero_shot.json"), r#"{ "method": "Something new" }"#).unwrap();
    let found = failures(&report(folder.path()));
    assert_eq!(found, ["Something new is a method that is not built here yet"]);
}

#[test]
fn damaged_notes_are_a_failure() {
    let folder = tempfile::tempdir().unwrap();
    let (tensors, notes) = (folder.path().join("a.safetensors"), folder.path().join("a.json"));
    fs::copy(recorded(TRAJECTORIES).join("zero_shot.safetensors"), &tensors).unwrap();
    fs::write(&notes, "{").unwrap();
    let report = verify(&Case::Method { tensors, notes }, &device());
    assert!(report.failure.unwrap().contains("a.json"));
}

#[test]
fn a_folder_without_cases_is_an_error() {
    let folder = tempfile::tempdir().unwrap();
    assert!(matches!(find_cases(folder.path()), Err(DiscoverError::None { .. })));
    assert!(find_cases(&folder.path().join("missing")).is_err());
}

#[test]
fn a_recorded_infinity_fails() {
    let folder = copied("openai_vit");
    nudge(&folder.path().join("io.safetensors"), "image_features", f32::INFINITY);
    let found = failures(&report(folder.path()));
    assert!(
        found.len() == 2 && found.iter().all(|failure| failure.starts_with("image_features")),
        "{found:?}"
    );
}

#[test]
fn what_bears_the_name_of_a_case_is_one() {
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir_all(folder.path().join("a/io.safetensors")).unwrap();
    let found = failures(&report(folder.path()));
    assert!(found[0].contains("io.safetensors"), "{found:?}");
}

#[test]
fn a_clip_that_records_only_images_is_no_backbone() {
    let folder = copied("hf_vit");
    edit(&folder.path().join("io.safetensors"), |tensors| {
        tensors.retain(|name, _| {
            name == "pixel_values" || name.starts_with("vision") || name.starts_with("image")
        });
    });
    let report = report(folder.path());
    assert!(report.passed(), "{:?}", failures(&report));
}

#[test]
fn crops_of_absurd_sizes_are_not_tried() {
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir(folder.path().join("images")).unwrap();
    let index = r#"{ "mean": [0, 0, 0], "std": [1, 1, 1], "images": [], "crops": [{ "file": "a.png", "key": "a.png/crop0_u8",
        "i": 0, "j": 0, "h": 1, "w": 1, "size": 1000000000, "flip": false, "interpolation": "bicubic" }] }"#;
    fs::write(folder.path().join("index.json"), index).unwrap();
    let io = folder.path().join("io.safetensors");
    fs::copy(recorded(TRAJECTORIES).join("zero_shot.safetensors"), &io).unwrap();
    edit(&io, |tensors| {
        tensors.clear();
        tensors.insert("a.png/crop0_u8".into(), (safetensors::Dtype::U8, vec![3, 1, 1], vec![0; 3]));
    });
    let found = failures(&report(folder.path()));
    assert!(found.len() == 1 && found[0].contains("the side is 1000000000"), "{found:?}");
}

#[cfg(unix)]
#[test]
fn links_in_circles_end() {
    let folder = copied("hf_vit");
    let nested = folder.path().join("deep");
    fs::create_dir(&nested).unwrap();
    std::os::unix::fs::symlink(folder.path(), nested.join("up")).unwrap();
    let root = tempfile::tempdir().unwrap();
    let case = root.path().join("a");
    fs::create_dir(&case).unwrap();
    fs::write(case.join("strings.json"), "[]").unwrap();
    for link in ["l1", "l2", "l3", "l4"] {
        std::os::unix::fs::symlink(root.path(), root.path().join(link)).unwrap();
    }
    assert_eq!(find_cases(root.path()).unwrap().len(), 1);
    assert_eq!(failures(&report(root.path())), ["strings.json holds no text"]);
}
