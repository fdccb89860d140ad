//! Every command of the guide to adapters, run as it stands there.

#![cfg(unix)]

use std::os::unix::fs::symlink;
use std::process::Command;

use crate::support::{class_folders, png, program, root, text, write};

/// `cargo xtask` is the binary under test, and training is short.
const SHELL: &str = r#"
set -e
cargo() {
    shift
    case $1 in
        train) "$PROGRAM" "$@" --set training.steps=2 --set training.batch=4 ;;
        *) "$PROGRAM" "$@" ;;
    esac
}
"#;

#[test]
fn the_commands_of_the_guide_work_in_their_order() {
    let guide = std::fs::read_to_string(root().join("docs/guide/adapters.md")).unwrap();
    let blocks = guide.split("```console\n").skip(1).map(|rest| rest.split("```").next().unwrap());
    let script: String = blocks.collect();
    assert!(script.matches("cargo xtask").count() > 10, "{script}");
    let home = tempfile::tempdir().unwrap();
    let path = |name: &str| home.path().join(name);
    let repository = root().canonicalize().unwrap();
    for name in ["recipes", "assets"] {
        symlink(repository.join(name), path(name)).unwrap();
    }
    std::fs::create_dir_all(path("models")).unwrap();
    symlink(repository.join("assets/world-clip"), path("models/my-clip")).unwrap();
    class_folders(&path("photographs/train"), &["cat", "house"], 6);
    class_folders(&path("photographs/test"), &["cat", "house"], 2);
    write(&path("new-photographs/1.png"), &png(40, 1));
    write(&path("new-photographs/more/2.png"), &png(32, 2));
    let script = format!("{SHELL}\n{script}");
    let output = Command::new("sh")
        .args(["-c", &script])
        .env("PROGRAM", program())
        .current_dir(home.path())
        .output()
        .unwrap();
    let (said, told) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "stdout: {said}\nstderr: {told}");
    for file in ["predictions.csv", "mixtures.json", "exported/README.md", "exported.safetensors"] {
        assert!(path(file).is_file(), "{file} of {}", text(home.path()));
    }
}
