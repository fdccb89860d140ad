//! Fetches that succeed, and the layout that they leave.

use std::fs;
use std::path::Path;

use regulus_hub::Use;

use crate::home::{Home, bytes, model, serving, wanted};
use crate::mock::repository::{COMMIT, Repository};
use crate::mock::server::{Answer, Server};

#[test]
fn a_repository_is_cached_as_the_hubs_client_does() {
    let repository = model();
    let server = serving(&repository);
    let home = Home::of(&server);
    let (fetched, told) = home.fetch_told(&wanted("org/model"));
    let fetched = fetched.unwrap();
    assert_eq!(fetched.path, home.snapshot());
    assert_eq!(fetched.downloaded as usize, 300_000 + repository.contents("config.json").len());
    assert_eq!(told.finished, ["config.json", "model.safetensors"]);
    assert_eq!(told.most, 300_000);
    for name in ["config.json", "model.safetensors"] {
        assert_eq!(fs::read(home.snapshot().join(name)).unwrap(), repository.contents(name), "{name}");
        #[cfg(unix)]
        {
            let link = fs::read_link(home.snapshot().join(name)).unwrap();
            assert_eq!(link, Path::new("../../blobs").join(repository.blob(name)), "{name}");
        }
        let lock = format!(".locks/models--org--model/{}.lock", repository.blob(name));
        assert!(home.settings.hub.join(lock).exists());
    }
    assert_eq!(
        names(&home.snapshot()),
        ["config.json", "model.safetensors"],
        "one set of weights, no README"
    );
    assert_eq!(fs::read_to_string(home.model().join("refs/main")).unwrap(), COMMIT);
    assert_eq!(names(&home.model()), ["blobs", "refs", "snapshots"]);
    assert_eq!(names(&home.settings.hub), [".locks", "models--org--model"]);
    assert_eq!(names(&home.model().join("blobs")).len(), 2, "nothing unfinished is left");
    let asked: Vec<String> = server.seen().into_iter().map(|seen| seen.path).collect();
    let expected = [
        "/api/models/org/model/revision/main?blobs=true".to_owned(),
        format!("/org/model/resolve/{COMMIT}/config.json"),
        format!("/org/model/resolve/{COMMIT}/model.safetensors"),
    ];
    assert_eq!(asked, expected);
    assert!(server.seen().iter().all(|seen| seen.header("authorization").is_none()));
    assert_eq!(wanted("org/model").used_as(&fetched.path), Some(Use::Clip));
}

#[test]
fn a_revision_is_a_part_of_the_address_and_of_the_cache() {
    let server = serving(&model());
    let home = Home::of(&server);
    home.fetch_told(&wanted("org/model@refs/pr/3")).0.unwrap();
    assert_eq!(server.seen()[0].path, "/api/models/org/model/revision/refs%2Fpr%2F3?blobs=true");
    assert_eq!(fs::read_to_string(home.model().join("refs/refs/pr/3")).unwrap(), COMMIT);
}

#[test]
fn an_endpoint_may_have_a_path() {
    let repository = model();
    let server = Server::start(move |seen| match seen.path.strip_prefix("/mirror") {
        Some(path) => repository.answer(&seen.at(path)),
        None => Answer::new(500, ""),
    });
    Home::new(&format!("{}/mirror/", server.url())).fetch();
}

#[test]
fn shards_come_with_their_index() {
    let index = r#"{"weight_map": {"a": "model-1.safetensors", "b": "model-2.safetensors"}}"#;
    let repository = Repository::default()
        .with("config.json", "{}")
        .with("model.safetensors.index.json", index)
        .with("model-1.safetensors", bytes(3000))
        .with("model-2.safetensors", bytes(4000))
        .with("pytorch_model.bin", bytes(5000));
    let server = serving(&repository);
    let home = Home::of(&server);
    home.fetch();
    let all = ["config.json", "model-1.safetensors", "model-2.safetensors", "model.safetensors.index.json"];
    assert_eq!(names(&home.snapshot()), all);
    let before = server.seen().len();
    let path = home.fetch().path;
    assert_eq!(server.seen().len(), before + 1, "only the list is asked for again");
    let offline = home.offline();
    assert_eq!(offline.fetch().path, path);
    fs::remove_file(path.join("model-2.safetensors")).unwrap();
    assert!(offline.failure().contains("model-2.safetensors is missing or damaged"));
}

#[test]
fn an_index_may_not_name_what_the_repository_does_not_have() {
    for (shard, part) in
        [("model-9.safetensors", "which the repository does not have"), ("../x", "not the name")]
    {
        let index = format!(r#"{{"weight_map": {{"a": "{shard}"}}}}"#);
        let server = serving(&Repository::default().with("model.safetensors.index.json", index));
        let message = Home::of(&server).failure();
        assert!(message.contains(part), "{message}");
    }
}

#[test]
fn a_hub_may_redirect_to_itself() {
    let repository = model();
    let server = Server::start(move |seen| match seen.path.strip_prefix("/old") {
        Some(path) => Answer::to(path),
        None if seen.path.contains("/resolve/") && !seen.path.contains("?direct") => {
            Answer::to(format!("{}?direct", seen.path))
        }
        None => repository.answer(seen),
    });
    Home::new(&format!("{}/old", server.url())).fetch();
}

#[test]
fn an_empty_file_is_a_file() {
    let repository = model().with("merges.txt", "");
    let server = serving(&repository);
    let home = Home::of(&server);
    home.fetch();
    assert_eq!(fs::read(home.snapshot().join("merges.txt")).unwrap(), b"");
}

fn names(folder: &Path) -> Vec<String> {
    let mut names: Vec<String> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}
