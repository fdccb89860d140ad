//! The classes of images.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::{adapter, json, pictures, predict, probabilities, trained};
use crate::support::{Ended, png, program, root, text, write};

fn listed(run: &Path, list: &[u8], more: &[&str]) -> Ended {
    let mut command = Command::new(program());
    command.args(["predict", "--adapter", text(&adapter(run))]).args(more).current_dir(root());
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    child.stdin.take().unwrap().write_all(list).unwrap();
    let output = child.wait_with_output().unwrap();
    Ended {
        code: output.status.code().unwrap(),
        stdout: String::from_utf8(output.stdout).unwrap(),
        stderr: String::from_utf8(output.stderr).unwrap(),
    }
}

#[test]
fn predictions_have_the_accuracy_of_the_training() {
    let folder = tempfile::tempdir().unwrap();
    let set = pictures(folder.path()).join("test");
    for method in ["r-amt", "proreg"] {
        let run = trained(folder.path(), method);
        let outcome = json(&run.join("outcome.json"));
        if method == "r-amt" {
            assert!(outcome["facts"]["masked_weights_off"].as_f64().unwrap() > 0.0, "{outcome}");
        }
        // Batches that do not divide the set.
        let ended = predict(&run, &["--format", "jsonl", "--batch", "7", "--top-k", "3", text(&set)]);
        let found = probabilities(&ended.with_code(0));
        assert_eq!(found.len(), 60);
        let class = |path: &str| Path::new(path).parent().unwrap().file_name().unwrap().to_owned();
        let hits = found.iter().filter(|(path, ranked)| class(path) == *ranked[0].0).count();
        let accuracy = outcome["splits"][0]["scores"]["accuracy"].as_f64().unwrap();
        assert!((100.0 * hits as f64 / 60.0 - accuracy).abs() < 1e-9, "{method}: {hits} hits, {accuracy} %");
        for ranked in found.values() {
            assert_eq!(ranked.len(), 3);
            assert!(ranked.windows(2).all(|pair| pair[0].1 >= pair[1].1), "{ranked:?}");
        }
    }
}

#[test]
fn tables_csv_and_json_say_the_same() {
    let folder = tempfile::tempdir().unwrap();
    let run = trained(folder.path(), "coop");
    let home = folder.path().join("home");
    for (index, name) in ["=1+1.png", "a, \"b\".png", "z/-x.png"].iter().enumerate() {
        write(&home.join(name), &png(32, index as u8));
    }
    // Named from inside the folder, so that a cell begins with the name.
    let inside = |format: &str| {
        let mut command = Command::new(program());
        let model = root().join("assets/world-clip").canonicalize().unwrap();
        command.args(["predict", "--top-k", "2", "--format", format, "--model", text(&model), "--adapter"]);
        let output =
            command.arg(adapter(&run)).args(["=1+1.png", "a, \"b\".png", "z"]).current_dir(&home).output();
        let output = output.unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    };
    let csv = inside("csv");
    let lines: Vec<&str> = csv.lines().collect();
    assert_eq!(lines[0], "image,class_1,probability_1,class_2,probability_2");
    assert_eq!(lines.len(), 4);
    assert!(lines[1].starts_with("'=1+1.png,"), "{csv}");
    assert!(lines[2].starts_with("\"a, \"\"b\"\".png\","), "{csv}");
    assert!(lines[3].starts_with("z/-x.png,"), "{csv}");
    let table = inside("table");
    assert!(table.contains("=1+1.png") && table.contains(" %"), "{table}");
    let lines = inside("jsonl");
    let first: serde_json::Value = serde_json::from_str(lines.lines().next().unwrap()).unwrap();
    let class = first["predictions"][0]["class"].as_str().unwrap();
    assert!(csv.lines().nth(1).unwrap().contains(class), "{csv}{lines}");
}

#[test]
fn lists_come_on_standard_input_and_what_cannot_be_read_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let run = trained(folder.path(), "coop");
    let home = folder.path().join("home");
    write(&home.join("sub/one.png"), &png(32, 1));
    write(&home.join("two.png"), &png(20, 2));
    write(&home.join("broken.png"), &png(32, 3)[..40]);
    let path = |name: &str| text(&home.join(name)).to_owned();
    let list =
        format!("{}\r\n\n{}\n{}\n{}", path("two.png"), path("broken.png"), path("sub"), path("none.png"));
    let ended = listed(&run, list.as_bytes(), &["--format", "jsonl", "-"]).with_code(1);
    let order: Vec<&str> = ended.stdout.lines().map(|line| line.split('"').nth(3).unwrap()).collect();
    assert_eq!(order, [path("two.png"), path("sub/one.png")]);
    ended.naming(&["broken.png", "none.png", "2 of 4 images could not be used"]);
    let nothing = listed(&run, b"", &["--format", "csv", "-"]).with_code(0);
    assert!(nothing.stdout.starts_with("image,class_1,"), "{}", nothing.stdout);
    let empty = folder.path().join("empty");
    std::fs::create_dir_all(&empty).unwrap();
    predict(&run, &[text(&empty)]).with_code(1).naming(&["empty", "no image"]);
}

#[cfg(unix)]
#[test]
fn paths_that_are_no_text_work() {
    use std::os::unix::ffi::OsStringExt;
    let folder = tempfile::tempdir().unwrap();
    let run = trained(folder.path(), "coop");
    let name = std::ffi::OsString::from_vec(b"caf\xe9\x1b.png".to_vec());
    let path: PathBuf = folder.path().join("home").join(name);
    write(&path, &png(32, 1));
    let mut list = path.clone().into_os_string().into_vec();
    list.push(b'\n');
    for format in ["jsonl", "csv", "table"] {
        let ended = listed(&run, &list, &["--format", format, "-"]).with_code(0);
        assert!(ended.stdout.contains("caf\u{fffd}"), "{}", ended.stdout);
        let below = predict(&run, &["--format", format, text(&folder.path().join("home"))]).with_code(0);
        assert_eq!(ended.stdout, below.stdout);
        assert!(format == "csv" || !ended.stdout.contains('\u{1b}'), "{}", ended.stdout);
    }
}

#[cfg(unix)]
#[test]
fn a_reader_that_leaves_is_no_fault() {
    let folder = tempfile::tempdir().unwrap();
    let run = trained(folder.path(), "coop");
    let set = pictures(folder.path()).join("test");
    for format in ["jsonl", "csv", "table"] {
        let mut command = Command::new(program());
        command
            .args(["predict", "--batch", "4", "--format", format, "--adapter"])
            .arg(adapter(&run))
            .arg(&set);
        let mut child =
            command.current_dir(root()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        drop(child.stdout.take());
        let output = child.wait_with_output().unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        assert!(output.status.success() && !said.contains("panicked"), "{said}");
    }
}

#[test]
fn new_classes_where_names_are_read() {
    let folder = tempfile::tempdir().unwrap();
    let run = trained(folder.path(), "r-amt");
    let set = pictures(folder.path()).join("test/cat");
    let asked = ["--format", "jsonl", "--classes", "cat, hammer", "--template", "an image of a {}"];
    let ended = predict(&run, &[&asked[..], &[text(&set)]].concat()).with_code(0);
    let found = probabilities(&ended);
    assert!(found.values().all(|ranked| ranked.len() == 2), "{found:?}");
    let hits = found.values().filter(|ranked| ranked[0].0 == "cat").count();
    assert!(2 * hits > found.len(), "{found:?}");
    let list = folder.path().join("classes.txt");
    write(&list, "\u{feff}cat\r\n\r\nhammer\n".as_bytes());
    let from = ["--format", "jsonl", "--classes-from", text(&list), "--template", "an image of a {}"];
    let again = predict(&run, &[&from[..], &[text(&set)]].concat()).with_code(0);
    assert_eq!(again.stdout, ended.stdout);
    predict(&run, &["--classes", "cat,cat", text(&set)]).refused().naming(&["`cat` twice"]);
    predict(&run, &["--template", "a photo", text(&set)]).refused().naming(&["a photo", "{}"]);
}

#[test]
fn trained_classes_in_any_order_and_no_others() {
    let folder = tempfile::tempdir().unwrap();
    let run = trained(folder.path(), "proreg");
    let set = pictures(folder.path()).join("test/cat");
    let outcome = json(&run.join("outcome.json"));
    let mut names: Vec<&str> =
        outcome["class_names"].as_array().unwrap().iter().map(|name| name.as_str().unwrap()).collect();
    let common = ["--format", "jsonl", "--top-k", "20", text(&set)];
    let before = predict(&run, &common).with_code(0);
    names.reverse();
    let permuted = predict(&run, &[&common[..], &["--classes", &names.join(",")]].concat()).with_code(0);
    assert_eq!(probabilities(&permuted), probabilities(&before));
    let other = predict(&run, &["--classes", "cat,hammer", text(&set)]);
    other.refused().naming(&["proreg", "cannot read the names", "ball, box", "cat, hammer"]);
    let template = predict(&run, &["--template", "an {}", text(&set)]);
    template.refused().naming(&["proreg", "template"]);
}
