//! Images that the runs of a suite share: the same numbers as without them, and nothing left behind.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use crate::reproduce::SUITE;
use crate::support::{program, root, run_folders, text, write};

/// Everything below `folder` that is no folder.
fn files(folder: &Path) -> Vec<PathBuf> {
    let Ok(entries) = std::fs::read_dir(folder) else { return Vec::new() };
    let (folders, mut files): (Vec<_>, Vec<_>) =
        entries.filter_map(Result::ok).map(|entry| entry.path()).partition(|path| path.is_dir());
    files.extend(folders.iter().flat_map(|folder| self::files(folder)));
    files.sort();
    files
}

fn start(arguments: &[&str]) -> Child {
    let mut command = Command::new(program());
    command.args(arguments).current_dir(root()).env("REGULUS_CACHE", "off");
    // A run of a suite stops when its standard input closes.
    command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap()
}

#[track_caller]
fn finish(mut child: Child) {
    // Taken before waiting, which would close it.
    let input = child.stdin.take();
    let said = std::io::read_to_string(child.stderr.take().unwrap()).unwrap();
    let status = child.wait().unwrap();
    drop(input);
    assert!(status.success(), "{status}: {said}");
}

fn reproduce(folder: &Path) -> Child {
    let suite = folder.join("mini.toml");
    write(&suite, SUITE.as_bytes());
    start(&["reproduce", "--suite", text(&suite), "--runs", text(folder)])
}

#[test]
fn a_run_has_the_same_results_with_rendered_read_and_damaged_images() {
    let folder = tempfile::tempdir().unwrap();
    finish(reproduce(folder.path()));
    let runs = run_folders(&folder.path().join("mini"));
    let trained = runs.iter().find(|run| text(run).contains("finetune")).unwrap();
    let spec = trained.join("experiment.toml");
    let shared = folder.path().join("shared");
    std::fs::create_dir(&shared).unwrap();

    let results = |name: &str, rendered: &[&str]| {
        let run = folder.path().join(name);
        std::fs::create_dir(&run).unwrap();
        let arguments = ["run-experiment", "--spec", text(&spec), "--folder", text(&run), "--device", "cpu"];
        finish(start(&[&arguments, rendered].concat()));
        ["metrics.jsonl", "adapter.safetensors"].map(|file| std::fs::read(run.join(file)).unwrap())
    };
    let expected = results("without", &[]);
    assert_eq!(results("rendered", &["--rendered", text(&shared)]), expected);
    let kept = files(&shared);
    assert_eq!(kept.len(), 3, "one file of training images, two of test images");
    let modified = |path: &PathBuf| std::fs::metadata(path).unwrap().modified().unwrap();
    let times: Vec<_> = kept.iter().map(modified).collect();
    assert_eq!(results("read", &["--rendered", text(&shared)]), expected);
    assert_eq!(kept.iter().map(modified).collect::<Vec<_>>(), times, "what is there is read");

    for path in &kept {
        let mut bytes = std::fs::read(path).unwrap();
        let middle = bytes.len() / 2;
        bytes[middle] ^= 0x40;
        std::fs::write(path, bytes).unwrap();
    }
    assert_eq!(results("damaged", &["--rendered", text(&shared)]), expected);
    assert_eq!(results("missing", &["--rendered", text(&folder.path().join("nowhere"))]), expected);
    assert!(!folder.path().join("nowhere").exists());
    // What the suite has written is what a run on its own writes.
    let of_suite =
        ["metrics.jsonl", "adapter.safetensors"].map(|file| std::fs::read(trained.join(file)).unwrap());
    assert_eq!(of_suite, expected);
}

#[test]
fn runs_of_a_suite_share_a_folder_that_goes_with_it() {
    let folder = tempfile::tempdir().unwrap();
    let suite = folder.path().join("mini");
    let rendered = suite.join("rendered");
    // Left by a suite that was killed.
    write(&rendered.join("1-2/images"), b"stale");

    let mut child = reproduce(folder.path());
    let mut most = 0;
    while child.try_wait().unwrap().is_none() {
        let found = files(&rendered);
        let whole = found.iter().filter(|path| path.extension().is_none() && !path.ends_with("1-2/images"));
        most = most.max(whole.count());
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
    finish(child);
    // Two seeds have training images of their own, and the same two splits of test images.
    assert_eq!(most, 4);
    assert!(!rendered.exists() && !suite.join("rendered.lock").exists());

    // Beside another process that has its images there, a suite renders for itself.
    let held = std::fs::File::create(suite.join("rendered.lock")).unwrap();
    held.lock().unwrap();
    let others = rendered.join("3-4/images");
    write(&others, b"another process reads this");
    let run = run_folders(&suite).into_iter().find(|run| run.join("outcome.json").is_file()).unwrap();
    let before = std::fs::read(run.join("metrics.jsonl")).unwrap();
    std::fs::remove_file(run.join("outcome.json")).unwrap();
    finish(reproduce(folder.path()));
    assert_eq!(std::fs::read(run.join("metrics.jsonl")).unwrap(), before);
    assert_eq!(files(&rendered), [others]);
}
