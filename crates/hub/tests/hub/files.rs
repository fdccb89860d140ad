//! Single files from their publishers' addresses.

use std::fs;
use std::sync::Mutex;

use regulus_hub::{Entry, FetchError, Published, Source, TokenSource, Use, Wanted};
use serde_json::Value;

use crate::home::{Home, bytes};
use crate::mock::server::{Answer, Seen, Sending, Server};

/// Of the bytes that are served: by other programs.
const SHA256_OF_BYTES: &str = "6426d0fddfcca24c2b11c994469cfe60a8b532e21f5d67d004696bf2c6516993";
const MD5_OF_BYTES: &str = "ed759993";

fn file(server: &Server, published: Published) -> Wanted {
    let url: &'static str = Box::leak(format!("{}/models/weights.pt", server.url()).into_boxed_str());
    Wanted::of(Box::leak(Box::new(Entry {
        name: "mine",
        what: "a file",
        used_as: Use::Backbone,
        licence: "MIT",
        megabytes: None,
        source: Source::File { url, file: "weights.pt", published },
    })))
    .unwrap()
}

fn serving() -> Server {
    Server::start(|seen| Answer::file(seen, &bytes(50_000)))
}

#[test]
fn a_file_is_verified_and_cached_and_sees_no_token() {
    let server = serving();
    let home = Home::of(&server).with_token();
    let wanted = file(&server, Published::Sha256(SHA256_OF_BYTES));
    assert_eq!(wanted.cached(&home.settings), None);
    let fetched = home.fetch_told(&wanted).0.unwrap();
    assert_eq!(fetched.path, home.settings.assets.join("regulus/mine/weights.pt"));
    assert_eq!((fs::read(&fetched.path).unwrap(), fetched.downloaded), (bytes(50_000), 50_000));
    assert!(server.seen().iter().all(|seen| seen.header("authorization").is_none()));
    let again = home.fetch_told(&wanted).0.unwrap();
    assert_eq!((again.path, again.downloaded), (fetched.path.clone(), 0));
    assert_eq!(server.seen().len(), 1);
    let offline = home.offline();
    assert_eq!(offline.fetch_told(&wanted).0.unwrap().path, fetched.path);
    assert_eq!(wanted.cached(&offline.settings), Some(fetched.path));
}

#[test]
fn a_file_needs_no_token() {
    let server = serving();
    let mut home = Home::of(&server);
    home.settings.token = TokenSource::Variable("not a token".into());
    let wanted = file(&server, Published::Sha256(SHA256_OF_BYTES));
    assert_eq!(home.fetch_told(&wanted).0.unwrap().downloaded, 50_000);
}

#[test]
fn a_file_with_other_contents_is_removed() {
    for published in [Published::Sha256("0000"), Published::Md5Prefix("0000")] {
        let server = serving();
        let home = Home::of(&server);
        let error = home.fetch_told(&file(&server, published)).0.unwrap_err();
        assert!(
            matches!(error, FetchError::WrongHash { .. }) && error.to_string().contains("0000"),
            "{error}"
        );
        let names: Vec<_> = fs::read_dir(home.settings.assets.join("regulus/mine")).unwrap().collect();
        assert_eq!(names.len(), 1, "only the lock is left: {names:?}");
    }
}

#[test]
fn a_file_of_which_little_is_published_is_compared_with_its_first_download() {
    let contents = std::sync::Arc::new(Mutex::new(bytes(50_000)));
    let served = std::sync::Arc::clone(&contents);
    let server = Server::start(move |seen| Answer::file(seen, &served.lock().unwrap()));
    let home = Home::of(&server);
    for published in [Published::Nothing, Published::Md5Prefix(MD5_OF_BYTES)] {
        let wanted = file(&server, published);
        let (fetched, told) = home.fetch_told(&wanted);
        let path = fetched.unwrap().path;
        assert!(told.notices[0].contains("no SHA-256 of weights.pt is published"), "{told:?}");
        assert!(told.notices[0].contains(SHA256_OF_BYTES), "{told:?}");
        let record: Value =
            serde_json::from_slice(&fs::read(path.with_extension("pt.json")).unwrap()).unwrap();
        assert_eq!(record["sha256"], SHA256_OF_BYTES);
        fs::remove_file(&path).unwrap();
        fs::remove_file(path.with_extension("pt.json")).unwrap();
    }
    let wanted = file(&server, Published::Nothing);
    let path = home.fetch_told(&wanted).0.unwrap().path;
    fs::remove_file(&path).unwrap();
    assert!(home.fetch_told(&wanted).1.notices.is_empty(), "the same again is nothing to tell");
    fs::remove_file(&path).unwrap();
    contents.lock().unwrap()[0] ^= 1;
    let error = home.fetch_told(&wanted).0.unwrap_err();
    assert!(error.to_string().contains(SHA256_OF_BYTES), "{error}");
    assert!(!path.exists());
}

#[test]
fn a_file_that_somebody_put_there_is_verified_once() {
    let server = serving();
    let home = Home::of(&server).offline();
    let wanted = file(&server, Published::Sha256(SHA256_OF_BYTES));
    let path = home.settings.assets.join("regulus/mine/weights.pt");
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(&path, bytes(50_000)).unwrap();
    assert_eq!(home.fetch_told(&wanted).0.unwrap().path, path);
    assert_eq!(wanted.cached(&home.settings), Some(path.clone()));
    fs::write(&path, bytes(50_001)).unwrap();
    assert_eq!(wanted.cached(&home.settings), None);
    assert!(matches!(home.fetch_told(&wanted).0.unwrap_err(), FetchError::WrongHash { .. }));
    assert!(server.seen().is_empty());
}

/// Answers with this ETag; a part of something else is not continued.
fn tagged(seen: &Seen, etag: &str, contents: &[u8]) -> Answer {
    let same = seen.header("if-range").is_none_or(|wanted| wanted == etag);
    let answer = if same { Answer::file(seen, contents) } else { Answer::new(200, contents) };
    answer.with("ETag", etag)
}

#[test]
fn a_file_goes_on_only_if_it_is_still_the_same() {
    for (second, from) in [("\"one\"", 1000), ("\"two\"", 1000)] {
        let asked = Mutex::new(0);
        let server = Server::start(move |seen| {
            let mut asked = asked.lock().unwrap();
            *asked += 1;
            match *asked {
                1 => tagged(seen, "\"one\"", &bytes(60_000)).sent(Sending::Only(1000)),
                _ if second == "\"one\"" => tagged(seen, second, &bytes(60_000)),
                _ => tagged(seen, second, &bytes(50_000)),
            }
        });
        let home = Home::of(&server);
        let path = home.fetch_told(&file(&server, Published::Nothing)).0.unwrap().path;
        let expected = if second == "\"one\"" { bytes(60_000) } else { bytes(50_000) };
        assert_eq!(fs::read(path).unwrap(), expected);
        assert_eq!(server.seen()[1].from(), Some(from));
        assert_eq!(server.seen()[1].header("if-range"), Some("\"one\""));
    }
}

#[test]
fn a_file_without_an_etag_begins_again() {
    let asked = Mutex::new(0);
    let server = Server::start(move |seen| {
        let mut asked = asked.lock().unwrap();
        *asked += 1;
        let answer = Answer::file(seen, &bytes(50_000)).with("ETag", "W/\"weak\"");
        if *asked == 1 { answer.sent(Sending::Only(1000)) } else { answer }
    });
    let home = Home::of(&server);
    home.fetch_told(&file(&server, Published::Sha256(SHA256_OF_BYTES))).0.unwrap();
    assert_eq!(server.seen()[1].from(), None);
}

#[cfg(unix)]
#[test]
fn a_file_that_no_disk_holds_is_not_begun() {
    let length = (1_u64 << 60).to_string();
    let server = Server::start(move |_| Answer::new(200, bytes(1000)).with("Content-Length", &length));
    let home = Home::of(&server);
    let error = home.fetch_told(&file(&server, Published::Nothing)).0.unwrap_err();
    assert!(matches!(error, FetchError::NoSpace { free: Some(_), .. }), "{error:?}");
    let partial = home.settings.assets.join("regulus/mine/weights.pt.incomplete");
    assert_eq!(fs::metadata(partial).unwrap().len(), 0);
}

#[test]
fn a_file_that_is_gone_is_told() {
    let server = Server::start(|_| Answer::new(404, ""));
    let home = Home::of(&server);
    let message = home.fetch_told(&file(&server, Published::Nothing)).0.unwrap_err().to_string();
    assert!(message.contains("/models/weights.pt: not found (404); the publisher has moved"), "{message}");
}
