//! Wrong contents, and lists of files that should not be trusted.

use std::fs;

use regulus_hub::{Entry, FetchError, Source, Use, Wanted};
use serde_json::json;

use crate::home::{Home, NOBODY, bytes, model, serving, wanted};
use crate::mock::repository::{COMMIT, Repository};
use crate::mock::server::{Answer, Seen, Server};

/// A server whose file of this name has other contents than it announces.
fn lying(name: &'static str) -> Server {
    let repository = model();
    Server::start(move |seen| {
        if seen.path.ends_with(&format!("/{name}")) {
            let mut contents = repository.contents(name).to_vec();
            contents[5] ^= 1;
            return Answer::file(seen, &contents);
        }
        repository.answer(seen)
    })
}

#[test]
fn wrong_contents_are_removed_and_both_hashes_told() {
    for (name, kind) in [("model.safetensors", "SHA-256"), ("config.json", "git SHA-1")] {
        let server = lying(name);
        let home = Home::of(&server);
        let error = home.try_fetch().unwrap_err();
        let FetchError::WrongHash { expected, found, .. } = &error else { panic!("{error}") };
        assert_eq!(*expected, model().blob(name));
        assert!(found.len() == expected.len() && found != expected);
        for part in [name, kind, expected, found] {
            assert!(error.to_string().contains(part), "`{part}` is not in: {error}");
        }
        for path in [
            home.partial(&model(), name),
            home.blob(&model(), name),
            home.snapshot().join(name),
            home.model().join("refs/main"),
        ] {
            assert!(!path.exists(), "{}", path.display());
        }
    }
}

#[test]
fn a_wrong_part_is_found_out_at_the_end_and_replaced() {
    // A whole file of wrong contents needs no request to be found out.
    for (part, asked) in [(14, vec![Some(14), None]), (300_000, vec![None])] {
        let server = serving(&model());
        let home = Home::of(&server);
        let small = home.fetch_told(&wanted("org/model")).0.unwrap().downloaded - 300_000;
        fs::remove_dir_all(home.model()).unwrap();
        leave_wrong_part(&home, part);
        let before = server.seen_for("/model.safetensors").len();
        let (fetched, told) = home.fetch_told(&wanted("org/model"));
        let continued = if part < 300_000 { 300_000 - part as u64 } else { 0 };
        assert_eq!(fetched.unwrap().downloaded, small + continued + 300_000);
        assert!(told.notices[0].contains("of something else"), "{told:?}");
        let ranges: Vec<_> = server.seen_for("/model.safetensors").iter().map(Seen::from).collect();
        assert_eq!(ranges[before..], asked);
        assert_eq!(fs::read(home.snapshot().join("model.safetensors")).unwrap(), bytes(300_000));
    }
}

/// What an earlier run left, of other weights.
fn leave_wrong_part(home: &Home, bytes: usize) {
    let partial = home.partial(&model(), "model.safetensors");
    fs::create_dir_all(partial.parent().unwrap()).unwrap();
    fs::write(&partial, vec![b'x'; bytes]).unwrap();
}

#[test]
fn a_wrong_part_excuses_wrong_contents_once() {
    let server = lying("model.safetensors");
    let home = Home::of(&server);
    leave_wrong_part(&home, 14);
    assert!(matches!(home.try_fetch().unwrap_err(), FetchError::WrongHash { .. }));
    let ranges: Vec<_> = server.seen_for("/model.safetensors").iter().map(Seen::from).collect();
    assert_eq!(ranges, [Some(14), None]);
    assert!(!home.partial(&model(), "model.safetensors").exists());
}

#[test]
fn another_size_than_announced_is_refused() {
    let repository = model();
    let server = Server::start(move |seen| match seen.path.ends_with("/model.safetensors") {
        true => Answer::new(200, bytes(299_999)),
        false => repository.answer(seen),
    });
    assert!(
        Home::of(&server).failure().contains("299999 bytes of model.safetensors, and 300000 are expected")
    );
    let repository = model();
    let endless = Server::start(move |seen| match seen.path.ends_with("/model.safetensors") {
        true => {
            let chunked = format!("{:x}\r\n{}\r\n0\r\n\r\n", 400_000, "x".repeat(400_000));
            Answer::new(200, chunked).with("Transfer-Encoding", "chunked")
        }
        false => repository.answer(seen),
    });
    let home = Home::of(&endless);
    assert!(home.failure().contains("sends more of model.safetensors than it announced"));
    assert!(fs::metadata(home.partial(&model(), "model.safetensors")).unwrap().len() <= 300_000);
}

#[test]
fn lists_that_cannot_be_trusted_are_refused() {
    let hash = "0".repeat(40);
    let with =
        |name: &str| json!({"sha": COMMIT, "siblings": [{"rfilename": name, "size": 1, "blobId": hash}]});
    let cases = [
        (with("../../evil").to_string(), "no name inside the repository"),
        (with("/etc/passwd").to_string(), "no name inside the repository"),
        (with("a\\b").to_string(), "no name inside the repository"),
        ("<html>Hello</html>".to_owned(), "not as expected"),
        ("[]".to_owned(), "not as expected"),
        (json!({"sha": "../..", "siblings": []}).to_string(), "its commit is none"),
        (" ".repeat((16 << 20) + 1), "longer than 16777216 bytes"),
        (with("README.md").to_string(), "none of model.safetensors"),
    ];
    for (listing, part) in cases {
        let server = Server::start(move |_| Answer::new(200, listing.clone()));
        let home = Home::of(&server);
        let message = home.failure();
        assert!(message.contains(part), "`{part}` is not in: {message}");
        assert!(!home.model().exists(), "nothing is written");
        assert!(fs::read_dir(home.path()).unwrap().next().is_none(), "nothing is written elsewhere");
    }
}

#[test]
fn a_list_of_another_commit_is_refused() {
    let server = serving(&model());
    let home = Home::of(&server);
    let other = "f".repeat(40);
    let message = home.fetch_told(&wanted(&format!("org/model@{other}"))).0.unwrap_err().to_string();
    assert!(message.contains(&other) && message.contains(COMMIT), "{message}");
}

/// An entry of a list as the built-in one, of the mock hub's repository.
fn pinned(sha256: &'static [(&'static str, &'static str)]) -> Wanted {
    Wanted::of(Box::leak(Box::new(Entry {
        name: "mine",
        what: "a model",
        used_as: Use::Clip,
        licence: "MIT",
        megabytes: None,
        source: Source::Hub { repository: "org/model", commit: COMMIT, sha256 },
    })))
    .unwrap()
}

#[test]
fn a_published_hash_has_to_be_announced() {
    const WRONG: &str = "1111111111111111111111111111111111111111111111111111111111111111";
    let server = serving(&model());
    let home = Home::of(&server);
    let error = home.fetch_told(&pinned(&[("model.safetensors", WRONG)])).0.unwrap_err();
    assert!(matches!(error, FetchError::Unexpected { .. }), "{error}");
    assert!(
        error.to_string().contains(WRONG) && error.to_string().contains(&model().blob("model.safetensors"))
    );
    assert_eq!(server.seen().len(), 1, "nothing is downloaded");
    let right: &'static str = Box::leak(model().blob("model.safetensors").into_boxed_str());
    let right: &'static [(&str, &str)] = Box::leak(Box::new([("model.safetensors", right)]));
    home.fetch_told(&pinned(right)).0.unwrap();
    let offline = home.offline();
    assert_eq!(offline.fetch_told(&pinned(right)).0.unwrap().path, offline.snapshot());
    let message = offline.fetch_told(&pinned(&[("model.safetensors", WRONG)])).0.unwrap_err().to_string();
    assert!(message.contains("model.safetensors in the cache is not that with SHA-256 1111"), "{message}");
}

#[test]
fn a_repository_without_weights_is_told() {
    let server = serving(&Repository::default().with("config.json", "{}"));
    let message = Home::of(&server).failure();
    assert!(message.contains("org/model@main") && message.contains("pytorch_model.bin"), "{message}");
}

/// What another program left: plain files, and nothing of ours.
fn as_plain_files(home: &Home, weights: &[u8]) {
    fs::create_dir_all(home.snapshot()).unwrap();
    fs::write(home.snapshot().join("config.json"), "{}").unwrap();
    fs::write(home.snapshot().join("model.safetensors"), weights).unwrap();
}

#[test]
fn a_plain_file_with_a_published_hash_is_hashed() {
    let right: &'static str = Box::leak(model().blob("model.safetensors").into_boxed_str());
    let wanted = pinned(Box::leak(Box::new([("model.safetensors", right)])));
    let home = Home::new(NOBODY).offline();
    let mut contents = bytes(300_000);
    as_plain_files(&home, &contents);
    assert_eq!(wanted.cached(&home.settings), Some(home.snapshot()));
    assert_eq!(home.fetch_told(&wanted).0.unwrap().path, home.snapshot());
    contents[7] ^= 1;
    as_plain_files(&home, &contents);
    assert_eq!(wanted.cached(&home.settings), None);
    let message = home.fetch_told(&wanted).0.unwrap_err().to_string();
    assert!(message.contains(&format!("is not that with SHA-256 {right}")), "{message}");
}

#[cfg(unix)]
#[test]
fn only_a_link_to_the_blob_of_that_hash_is_believed() {
    let (right, wanted) = (model().blob("model.safetensors"), pinned_rightly("model.safetensors"));
    let home = Home::new(NOBODY).offline();
    as_plain_files(&home, b"");
    let linked = home.snapshot().join("model.safetensors");
    let link_to = |target: &std::path::Path| {
        fs::create_dir_all(target.parent().unwrap()).unwrap();
        fs::write(target, "not hashed").unwrap();
        fs::remove_file(&linked).unwrap();
        std::os::unix::fs::symlink(target, &linked).unwrap();
        wanted.cached(&home.settings).is_some()
    };
    assert!(!link_to(&home.path().join("elsewhere").join(&right)));
    assert!(link_to(&home.blob(&model(), "model.safetensors")));
}

/// [`pinned`], with the right hash of a file of [`model`].
fn pinned_rightly(name: &'static str) -> Wanted {
    pinned(Box::leak(Box::new([(name, &*model().blob(name).leak())])))
}

#[test]
fn pinned_weights_are_fetched_and_no_others() {
    let server = serving(&model());
    let home = Home::of(&server);
    let path = home.fetch_told(&pinned_rightly("pytorch_model.bin")).0.unwrap().path;
    assert!(path.join("pytorch_model.bin").exists() && !path.join("model.safetensors").exists());
    assert!(server.seen_for("/model.safetensors").is_empty());
}

#[test]
fn other_weights_in_the_place_of_pinned_ones_are_refused() {
    let wanted = pinned_rightly("pytorch_model.bin");
    let mirror =
        serving(&Repository::default().with("config.json", "{}").with("model.safetensors", bytes(2000)));
    let home = Home::of(&mirror);
    let error = home.fetch_told(&wanted).0.unwrap_err();
    assert!(matches!(error, FetchError::Unpinned { .. }), "{error}");
    for part in [&mirror.url(), "the weights model.safetensors", "is of pytorch_model.bin"] {
        assert!(error.to_string().contains(part), "`{part}` is not in: {error}");
    }
    assert!(mirror.seen().len() == 1 && !home.model().exists(), "nothing is downloaded");
}

#[test]
fn nor_are_they_read_from_the_cache() {
    let wanted = pinned_rightly("pytorch_model.bin");
    let server = serving(&model());
    let home = Home::of(&server);
    home.fetch();
    assert_eq!(wanted.cached(&home.settings), None);
    let error = home.fetch_told(&wanted).0.unwrap_err().to_string();
    let folder = home.snapshot().display().to_string();
    assert!(error.contains(&folder) && error.contains("have to be removed first"), "{error}");
    let message = home.offline().fetch_told(&wanted).0.unwrap_err().to_string();
    assert!(message.contains("model.safetensors in the place of pytorch_model.bin"), "{message}");
}
