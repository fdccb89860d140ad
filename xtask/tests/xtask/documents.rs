//! Every command of the guides that lead from images to an exported model, run as it stands there.

#![cfg(unix)]

use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::Command;

use crate::support::{class_folders, png, program, root, write};

/// `cargo xtask` is the binary under test, and training is short. What trains nothing takes no length.
const SHELL: &str = r#"
set -e
cargo() {
    shift
    world=""
    case "$*" in
        *" world-"*) world="--set data.test_images=40 --set data.shots=2" ;;
    esac
    case "$*" in
        *--print*|*tip-adapter*) "$PROGRAM" "$@" $world ;;
        train*) "$PROGRAM" "$@" --set training.steps=2 --set training.batch=4 $world ;;
        *) "$PROGRAM" "$@" ;;
    esac
}
"#;

/// The console blocks of a document, one after the other.
fn commands_of(document: &str) -> String {
    let text = std::fs::read_to_string(root().join(document)).unwrap();
    text.split("```console\n").skip(1).map(|rest| rest.split("```").next().unwrap()).collect()
}

/// A folder in which the commands of the guides find what they name.
fn home(folder: &Path) {
    let repository = root().canonicalize().unwrap();
    for name in ["recipes", "assets"] {
        symlink(repository.join(name), folder.join(name)).unwrap();
    }
    std::fs::create_dir_all(folder.join("models")).unwrap();
    symlink(repository.join("assets/world-clip"), folder.join("models/my-clip")).unwrap();
    class_folders(&folder.join("photographs/train"), &["cat", "house"], 6);
    class_folders(&folder.join("photographs/test"), &["cat", "house"], 2);
    for domain in ["photo", "art_painting", "sketch"] {
        class_folders(&folder.join("pacs").join(domain), &["dog", "house"], 6);
    }
    write(&folder.join("new-photographs/1.png"), &png(40, 1));
    write(&folder.join("new-photographs/more/2.png"), &png(32, 2));
}

/// Runs the commands of a document and looks for the files that they should leave.
fn follow(document: &str, fewest: usize, files: &[&str]) {
    let commands = commands_of(document);
    assert!(commands.matches("cargo xtask").count() >= fewest, "{document}: {commands}");
    let folder = tempfile::tempdir().unwrap();
    home(folder.path());
    let output = Command::new("sh")
        .args(["-c", &format!("{SHELL}\n{commands}")])
        .env("PROGRAM", program())
        .current_dir(folder.path())
        .output()
        .unwrap();
    let (said, told) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{document}\nstdout: {said}\nstderr: {told}");
    for file in files {
        assert!(folder.path().join(file).is_file(), "{document}: {file}");
    }
}

#[test]
fn the_commands_of_the_guide_to_images_work_in_their_order() {
    follow("docs/guide/your-own-images.md", 4, &[]);
}

#[test]
fn the_commands_of_the_guide_to_adapters_work_in_their_order() {
    let files = ["predictions.csv", "mixtures.json", "exported/README.md", "exported.safetensors"];
    follow("docs/guide/adapters.md", 11, &files);
}

#[test]
fn the_commands_of_the_page_on_compositions_work_in_their_order() {
    follow("docs/methods/composition.md", 3, &[]);
}
