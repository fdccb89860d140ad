//! `cargo xtask pretrain` of a backbone: from a recipe to a folder.

use std::path::Path;

use crate::support::{root, text, write, xtask};

/// The shipped recipe, cut short.
fn quick() -> String {
    let recipe = std::fs::read_to_string(root().join("recipes/pretrain/world-backbone.toml")).unwrap();
    let mut quick = recipe.clone();
    for (long, short) in [
        ("images = 40000", "images = 50"),
        ("steps = 2400", "steps = 3"),
        ("batch = 64", "batch = 8"),
        ("images = 4000", "images = 60"),
        ("test_images = 100", "test_images = 1"),
    ] {
        assert!(quick.contains(long), "{long}");
        quick = quick.replace(long, short);
    }
    quick
}

fn saved(folder: &Path, recipe: &str) -> std::path::PathBuf {
    let path = folder.join("recipe.toml");
    write(&path, recipe.as_bytes());
    path
}

#[test]
fn a_backbone_is_trained_saved_and_measured() {
    let folder = tempfile::tempdir().unwrap();
    let (recipe, out) = (saved(folder.path(), &quick()), folder.path().join("backbone"));
    let pretrain = ["pretrain", "--recipe", text(&recipe), "--out", text(&out)];
    let ended = xtask(&pretrain).with_code(0);
    for part in ["sha256", "linear probe on 20 clean images", "untrained", "painting"] {
        assert!(ended.stdout.contains(part), "{part}: {}", ended.stdout);
    }
    let config = std::fs::read_to_string(out.join("config.json")).unwrap();
    assert!(config.contains("\"num_heads\": 4") && config.contains("\"pretrained_cfg\""), "{config}");
    let weights = || std::fs::read(out.join("model.safetensors")).unwrap();
    let first = weights();
    xtask(&pretrain).refused().naming(&["exists", "--force"]);
    xtask(&[&pretrain[..], &["--force"]].concat()).with_code(0);
    assert!(first == weights(), "the same recipe gives the same weights");
}

#[test]
fn what_a_recipe_says_wrong_is_told_before_any_work() {
    let folder = tempfile::tempdir().unwrap();
    let refused = |from: &str, to: &str| {
        let quick = quick();
        let changed = quick.replacen(from, to, 1);
        assert_ne!(quick, changed);
        let (recipe, out) = (saved(folder.path(), &changed), folder.path().join("backbone"));
        let ended = xtask(&["pretrain", "--recipe", text(&recipe), "--out", text(&out)]).refused();
        assert!(!out.exists());
        ended
    };
    refused("kind = \"backbone\"", "kind = \"backbones\"").naming(&["backbones", "did you mean `backbone`"]);
    refused("grey = ", "gray = ").naming(&["gray", "grey"]);
    refused("temperature = 0.1", "temperature = 0.0").naming(&["simclr.temperature", "positive"]);
    refused("scale = [0.5, 1.0]", "scale = [1.5, 2.0]").naming(&["views.crop.scale"]);
    refused("resolution = 32", "resolution = 64").naming(&["model.resolution", "32"]);
    refused("activation = \"gelu\"", "activation = \"quick_gelu\"").naming(&["activation", "GELU"]);
    refused("batch = 8", "batch = 1").naming(&["training.batch", "2"]);
    refused("clip_norm = 1.0", "augmentation = \"flip\"").naming(&["training.augmentation", "views"]);
    refused("c = 100.0", "c = -1.0").naming(&["probe.c"]);
}
