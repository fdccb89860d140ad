//! What is in the cache is not downloaded again, and is there without a network.

use std::fs;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Barrier};

use regulus_hub::{Address, Event, Watch};

use crate::home::{Home, NOBODY, bytes, model, serving, wanted};
use crate::mock::repository::{COMMIT, Repository};
use crate::mock::server::{Answer, Server};

#[test]
fn a_cached_commit_needs_no_request() {
    let server = serving(&model());
    let home = Home::of(&server);
    let pinned = wanted(&format!("org/model@{COMMIT}"));
    assert_eq!(pinned.cached(&home.settings), None);
    let first = home.fetch_told(&pinned).0.unwrap();
    let requests = server.seen().len();
    let second = home.fetch_told(&pinned).0.unwrap();
    assert_eq!((second.path.clone(), second.downloaded), (first.path, 0));
    assert_eq!(server.seen().len(), requests);
    assert_eq!(pinned.cached(&home.settings), Some(second.path));
    assert!(!home.model().join("refs").exists(), "a commit needs no reference");
}

#[test]
fn a_cached_branch_costs_one_request() {
    let server = serving(&model());
    let home = Home::of(&server);
    home.fetch();
    let requests = server.seen().len();
    assert_eq!(home.fetch().downloaded, 0);
    assert_eq!(server.seen().len(), requests + 1);
}

#[test]
fn a_damaged_snapshot_is_repaired() {
    let repository = model();
    let server = serving(&repository);
    let home = Home::of(&server);
    let pinned = wanted(&format!("org/model@{COMMIT}"));
    home.fetch_told(&pinned).0.unwrap();
    fs::write(home.blob(&repository, "model.safetensors"), "damaged").unwrap();
    assert_eq!(pinned.cached(&home.settings), None);
    assert_eq!(home.fetch_told(&pinned).0.unwrap().downloaded, 300_000);
    fs::remove_file(home.snapshot().join("config.json")).unwrap();
    assert_eq!(home.fetch_told(&pinned).0.unwrap().downloaded, 0, "the blob is still there");
    let path = home.snapshot().join("model.safetensors");
    assert_eq!(fs::read(path).unwrap(), repository.contents("model.safetensors"));
}

/// What Python's client leaves: blobs, a snapshot of links, a reference, and nothing of ours.
#[cfg(unix)]
fn as_python_leaves_it(home: &Home, repository: &Repository, names: &[&str]) {
    fs::create_dir_all(home.model().join("blobs")).unwrap();
    fs::create_dir_all(home.snapshot()).unwrap();
    fs::create_dir_all(home.model().join("refs")).unwrap();
    fs::write(home.model().join("refs/main"), COMMIT).unwrap();
    for name in names {
        fs::write(home.blob(repository, name), repository.contents(name)).unwrap();
        let target = format!("../../blobs/{}", repository.blob(name));
        std::os::unix::fs::symlink(target, home.snapshot().join(name)).unwrap();
    }
}

#[cfg(unix)]
#[test]
fn what_python_downloaded_counts() {
    let repository = model();
    let server = serving(&repository);
    let home = Home::of(&server);
    as_python_leaves_it(&home, &repository, &["config.json", "model.safetensors", "README.md"]);
    assert_eq!(home.fetch().downloaded, 0);
    assert_eq!(server.seen().len(), 1, "only the list is asked for");
}

#[cfg(unix)]
#[test]
fn what_python_downloaded_is_there_offline() {
    let repository = model();
    let home = Home::new(NOBODY).offline();
    as_python_leaves_it(&home, &repository, &["config.json"]);
    assert!(home.failure().contains("weights are missing"));
    as_python_leaves_it(
        &home,
        &repository.clone().with("model.safetensors", bytes(9)),
        &["model.safetensors"],
    );
    assert_eq!(home.fetch().path, home.snapshot());
    fs::remove_file(home.snapshot().join("config.json")).unwrap();
    assert!(home.failure().contains("config.json is missing"));
}

#[cfg(unix)]
#[test]
fn shards_that_are_missing_are_missed_offline() {
    let index = r#"{"weight_map": {"a": "model-1.safetensors"}}"#;
    let repository = Repository::default()
        .with("config.json", "{}")
        .with("model.safetensors.index.json", index)
        .with("model-1.safetensors", bytes(2000));
    let home = Home::new(NOBODY).offline();
    as_python_leaves_it(&home, &repository, &["config.json", "model.safetensors.index.json"]);
    assert!(home.failure().contains("model-1.safetensors is missing"));
    fs::remove_dir_all(home.model()).unwrap();
    as_python_leaves_it(
        &home,
        &repository,
        &["config.json", "model.safetensors.index.json", "model-1.safetensors"],
    );
    assert_eq!(home.fetch().path, home.snapshot());
}

#[test]
fn a_file_that_another_revision_has_too_is_not_downloaded_again() {
    let repository = model();
    let server = serving(&repository);
    let home = Home::of(&server);
    home.fetch();
    fs::remove_dir_all(home.model().join("snapshots")).unwrap();
    assert_eq!(home.fetch().downloaded, 0);
    assert_eq!(server.seen_for("model.safetensors").len(), 1);
}

#[test]
fn offline_nothing_is_connected_to() {
    let server = serving(&model());
    let home = Home::of(&server).offline();
    let message = home.failure();
    for part in ["org/model@main", "revision main is not in", "models--org--model", "HF_HUB_OFFLINE"] {
        assert!(message.contains(part), "`{part}` is not in: {message}");
    }
    let file = home.fetch_told(&wanted("openai-rn50")).0.unwrap_err().to_string();
    assert!(file.contains("RN50.pt is not there") && file.contains("HF_HUB_OFFLINE"), "{file}");
    assert!(server.seen().is_empty());
}

#[test]
fn offline_a_cached_model_is_there() {
    let server = serving(&model());
    let home = Home::of(&server);
    let path = home.fetch().path;
    let requests = server.seen().len();
    let offline = home.offline();
    let (fetched, told) = offline.fetch_told(&wanted("org/model"));
    assert_eq!(fetched.unwrap().path, path);
    assert!(told.notices[0].contains("HF_HUB_OFFLINE"));
    assert_eq!(server.seen().len(), requests);
}

#[test]
fn without_a_network_the_cache_is_used_with_a_notice() {
    let server = serving(&model());
    let mut home = Home::of(&server).once();
    let path = home.fetch().path;
    drop(server);
    home.settings.endpoint = Address::parse(NOBODY).unwrap();
    let (fetched, told) = home.fetch_told(&wanted("org/model"));
    assert_eq!(fetched.unwrap().path, path);
    assert!(told.notices[0].contains("What is in the cache is used"), "{told:?}");
    fs::remove_file(path.join("config.json")).unwrap();
    assert!(home.failure().contains("no connection"), "what is incomplete is not used");
}

#[test]
fn a_refusal_is_no_reason_to_use_the_cache() {
    let repository = model();
    let asked = AtomicUsize::new(0);
    let server = Server::start(move |seen| {
        let first = asked.fetch_add(1, Ordering::Relaxed) < 3;
        if first { repository.answer(seen) } else { Answer::new(404, "") }
    });
    let home = Home::of(&server);
    home.fetch();
    assert!(home.failure().contains("not found (404)"));
}

#[test]
fn two_fetches_at_once_download_once() {
    let repository = model();
    let server = Server::start(move |seen| {
        let answer = repository.answer(seen);
        let pause = std::time::Duration::from_millis(2);
        answer.sent(crate::mock::server::Sending::Slowly(30_000, pause))
    });
    let home = Arc::new(Home::of(&server));
    let barrier = Arc::new(Barrier::new(4));
    let threads: Vec<_> = (0..4)
        .map(|_| {
            let (home, barrier) = (Arc::clone(&home), Arc::clone(&barrier));
            std::thread::spawn(move || {
                barrier.wait();
                home.fetch()
            })
        })
        .collect();
    let fetched: Vec<_> = threads.into_iter().map(|thread| thread.join().unwrap()).collect();
    assert!(fetched.iter().all(|each| each.path == home.snapshot()));
    assert_eq!(server.seen_for("/model.safetensors").len(), 1);
    assert_eq!(fs::read(home.snapshot().join("model.safetensors")).unwrap(), bytes(300_000));
}

#[test]
fn a_lock_of_another_process_is_waited_for() {
    let repository = model();
    let server = serving(&repository);
    let home = Home::of(&server);
    let lock = format!(".locks/models--org--model/{}.lock", repository.blob("model.safetensors"));
    let path = home.settings.hub.join(lock);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    let held = fs::File::create(&path).unwrap();
    held.lock().unwrap();
    let waits = std::cell::Cell::new(false);
    let mut tell = |event: Event<'_>| {
        if let Event::Notice(notice) = event {
            waits.set(notice.contains("another process"));
        }
    };
    let stopped =
        wanted("org/model").fetch(&home.settings, &mut Watch { stop: &|| waits.get(), tell: &mut tell });
    assert!(stopped.unwrap_err().is_stop());
    drop(held);
    assert_eq!(home.fetch().downloaded, 300_000);
}
