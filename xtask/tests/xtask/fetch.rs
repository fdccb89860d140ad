//! `cargo xtask fetch` against a hub on this machine.

use std::path::{Path, PathBuf};

use crate::mock::repository::{COMMIT, Repository};
use crate::mock::server::{Answer, Sending, Server};
use crate::support::{Ended, class_folders, command_with, root, text, xtask, xtask_with};

/// A token that must not be seen.
const TOKEN: &str = "hf_NeverShowThis";

/// Runs `fetch` with a cache of its own and a token.
fn fetch(endpoint: &str, home: &Path, more: &[(&str, &str)], arguments: &[&str]) -> Ended {
    let own = [("HF_ENDPOINT", endpoint), ("HF_HOME", text(home)), ("HF_TOKEN", TOKEN)];
    let ended = xtask_with(&[&own, more].concat(), &[&["fetch"], arguments].concat());
    assert!(
        !ended.stdout.contains(TOKEN) && !ended.stderr.contains(TOKEN),
        "{}{}",
        ended.stdout,
        ended.stderr
    );
    ended
}

/// The tiny CLIP of the built-in world as a repository.
fn tiny_clip() -> Repository {
    let folder = root().join("assets/world-clip");
    std::fs::read_dir(folder).unwrap().fold(Repository::default(), |repository, entry| {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap();
        repository.with(name, std::fs::read(&path).unwrap())
    })
}

fn serving(repository: Repository) -> Server {
    Server::start(move |seen| repository.answer(seen))
}

#[test]
fn a_fetched_folder_is_a_model() {
    let home = tempfile::tempdir().unwrap();
    let server = serving(tiny_clip());
    let fetched = fetch(&server.url(), home.path(), &[], &["org/model"]).with_code(0);
    let path = PathBuf::from(fetched.stdout.lines().next().unwrap());
    assert_eq!(path, home.path().join("hub/models--org--model/snapshots").join(COMMIT));
    let line = format!("cargo xtask train --method proreg --model {} --data <folder>", path.display());
    assert_eq!(fetched.stdout.lines().nth(1), Some(line.as_str()));
    assert!(fetched.stderr.contains("model.safetensors: "), "{}", fetched.stderr);
    assert!(
        server.seen().iter().all(|seen| seen.header("authorization") == Some(&format!("Bearer {TOKEN}")))
    );

    let data = home.path().join("data");
    class_folders(&data.join("train"), &["cat", "house"], 4);
    class_folders(&data.join("test"), &["cat", "house"], 2);
    let arguments = ["train", "--method", "zero-shot", "--data", text(&data), "--model", text(&path)];
    let runs = home.path().join("runs");
    let trained = xtask(&[&arguments[..], &["--runs", text(&runs)]].concat()).with_code(0);
    assert!(trained.stdout.contains("zero-shot on "), "{}", trained.stdout);

    let requests = server.seen().len();
    let again = fetch(&server.url(), home.path(), &[("HF_HUB_OFFLINE", "1")], &["org/model"]).with_code(0);
    assert_eq!(again.stdout, fetched.stdout);
    assert!(again.stderr.contains("everything was in the cache"), "{}", again.stderr);
    assert_eq!(server.seen().len(), requests);
}

#[test]
fn the_cache_may_be_elsewhere() {
    let (home, cache) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let server = serving(tiny_clip());
    let arguments = ["org/model", "--cache", text(cache.path())];
    let fetched = fetch(&server.url(), home.path(), &[], &arguments).with_code(0);
    assert!(fetched.stdout.starts_with(text(&cache.path().join("hub"))), "{}", fetched.stdout);
    assert!(std::fs::read_dir(home.path()).unwrap().next().is_none());
}

/// Puts a blob of this name into the cache and a link to it into a snapshot, as the hub's client does.
#[cfg(unix)]
fn link_to_blob(repository: &Path, commit: &str, name: &str, blob: &str) {
    crate::support::write(&repository.join("blobs").join(blob), b"{}");
    let snapshot = repository.join("snapshots").join(commit);
    std::fs::create_dir_all(&snapshot).unwrap();
    std::os::unix::fs::symlink(Path::new("../../blobs").join(blob), snapshot.join(name)).unwrap();
}

#[cfg(unix)]
#[test]
fn the_list_tells_names_and_what_is_cached() {
    let home = tempfile::tempdir().unwrap();
    for arguments in [&[][..], &["--list"]] {
        let list = fetch("http://127.0.0.1:1", home.path(), &[], arguments).with_code(0).stdout;
        for part in ["openai-vit-b32", "tinyclip-8m", "resnet50-moco-v2", "bert-base", "CC BY-NC 4.0"] {
            assert!(list.contains(part), "`{part}` is not in: {list}");
        }
        assert!(!list.contains("yes"), "{list}");
    }
    assert!(std::fs::read_dir(home.path()).unwrap().next().is_none(), "nothing is written");
    let bert = home.path().join("hub/models--google-bert--bert-base-uncased");
    let (commit, of_braces) =
        ("86b5e0934494bd15c9632b12f734a8a67f723594", "9e26dfeeb6e641a33dae4961196235bdb965b21b");
    let published = "68d45e234eb4a928074dfd868cead0219ab85354cc53d20e772753c6bb9169d3";
    for (name, blob) in
        [("config.json", of_braces), ("vocab.txt", of_braces), ("model.safetensors", published)]
    {
        link_to_blob(&bert, commit, name, blob);
    }
    let list = fetch("http://127.0.0.1:1", home.path(), &[], &["--list"]).with_code(0).stdout;
    let line = list.lines().find(|line| line.contains("bert-base")).unwrap();
    assert!(line.contains("yes") && list.matches("yes").count() == 1, "{list}");
    let offline =
        fetch("http://127.0.0.1:1", home.path(), &[("HF_HUB_OFFLINE", "1")], &["bert-base"]).with_code(0);
    assert!(offline.stdout.contains("method.text={ bert = "), "{}", offline.stdout);

    let weights = bert.join("snapshots").join(commit).join("model.safetensors");
    std::fs::remove_file(&weights).unwrap();
    crate::support::write(&weights, b"{}");
    let list = fetch("http://127.0.0.1:1", home.path(), &[], &["--list"]).with_code(0).stdout;
    assert!(!list.contains("yes"), "a plain file has other contents: {list}");
}

#[test]
fn wrong_requests() {
    let home = tempfile::tempdir().unwrap();
    let refused = |more: &[(&str, &str)], arguments: &[&str]| {
        fetch("http://127.0.0.1:1", home.path(), more, arguments).refused()
    };
    refused(&[], &["openai-vitb32"]).naming(&[
        "openai-vitb32",
        "did you mean `openai-vit-b32`?",
        "laion-vit-l14",
    ]);
    refused(&[], &["org/../model"]).naming(&["org/../model"]);
    refused(&[], &["openai-rn50@main"]).naming(&["no revisions"]);
    let odd = refused(&[("HF_TOKEN", "not a token")], &["org/model"]).naming(&["HF_TOKEN"]);
    assert!(!odd.stderr.contains("not a token"), "{}", odd.stderr);
    let odd =
        refused(&[("HF_ENDPOINT", "https://me:secret@hub.example")], &["org/model"]).naming(&["HF_ENDPOINT"]);
    assert!(!odd.stderr.contains("secret"), "{}", odd.stderr);
    assert!(std::fs::read_dir(home.path()).unwrap().next().is_none(), "nothing is written");
}

#[test]
fn failures_say_what_to_do() {
    let home = tempfile::tempdir().unwrap();
    let failed = |server: &Server, parts: &[&str]| {
        fetch(&server.url(), home.path(), &[], &["org/model"]).with_code(1).naming(parts);
    };
    failed(
        &Server::start(|_| Answer::new(404, "")),
        &["not found (404)", "/api/models/org/model/revision/main"],
    );
    failed(&Server::start(|_| Answer::new(401, "")), &["401", "the token was refused", "HF_TOKEN"]);
    let repository = tiny_clip();
    let lying = Server::start(move |seen| match seen.path.ends_with("/tokenizer_config.json") {
        true => Answer::new(200, "x".repeat(repository.contents("tokenizer_config.json").len())),
        false => repository.answer(seen),
    });
    failed(&lying, &["tokenizer_config.json", "wrong contents", "git SHA-1"]);
    let offline = [("HF_HUB_OFFLINE", "yes")];
    let missing = fetch("http://127.0.0.1:1", home.path(), &offline, &["tinyclip-8m"]).with_code(1);
    missing.naming(&["wkcn/TinyCLIP-ViT-8M-16-Text-3M-YFCC15M", "HF_HUB_OFFLINE"]);
}

#[test]
fn a_truncated_download_is_completed() {
    let home = tempfile::tempdir().unwrap();
    let repository = tiny_clip();
    let server = Server::start(move |seen| {
        let answer = repository.answer(seen);
        let breaks = seen.path.ends_with("/model.safetensors") && seen.from().is_none();
        if breaks { answer.sent(Sending::Only(5000)) } else { answer }
    });
    fetch(&server.url(), home.path(), &[], &["org/model"]).with_code(0);
    let asked: Vec<_> = server.seen_for("/model.safetensors").iter().map(|seen| seen.from()).collect();
    assert_eq!(asked, [None, Some(5000)]);
}

#[cfg(unix)]
#[test]
fn an_interrupted_download_is_kept() {
    use std::process::Stdio;

    let home = tempfile::tempdir().unwrap();
    let repository = tiny_clip();
    // Other files may be on their way, or whole, before the signal arrives.
    let blobs = home.path().join("hub/models--org--model/blobs");
    let weights = blobs.join(format!("{}.incomplete", repository.blob("model.safetensors")));
    let slow = Server::start(move |seen| {
        let answer = repository.answer(seen);
        let pause = std::time::Duration::from_millis(20);
        if seen.path.ends_with("/model.safetensors") {
            answer.sent(Sending::Slowly(4096, pause))
        } else {
            answer
        }
    });
    let endpoint = slow.url();
    let variables = [("HF_ENDPOINT", endpoint.as_str()), ("HF_HOME", text(home.path()))];
    let mut command = command_with(&variables, &["fetch", "org/model"]);
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let kept = || Some(std::fs::metadata(&weights).ok()?.len()).filter(|bytes| *bytes > 0);
    while kept().is_none() {
        assert_eq!(child.try_wait().unwrap(), None, "it ends before there is anything to interrupt");
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
    crate::resume::interrupt(&child);
    let output = child.wait_with_output().unwrap();
    let told = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(130), "{told}");
    assert!(told.contains("stopped") && told.contains("run the command again"), "{told}");
    let server = serving(tiny_clip());
    let before = kept().unwrap();
    fetch(&server.url(), home.path(), &[], &["org/model"]).with_code(0);
    assert_eq!(server.seen_for("/model.safetensors")[0].from(), Some(before as usize));
}
