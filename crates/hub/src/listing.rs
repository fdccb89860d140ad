//! The hub's list of the files of a repository. It comes from a stranger: sizes, names and hashes are checked.

use std::collections::BTreeMap;

use serde::Deserialize;

use crate::client::{Ask, Client};
use crate::digest::{Expected, is_hexadecimal};
use crate::error::FetchError;
use crate::repository::Repository;
use crate::settings::Settings;
use crate::watch::Watch;

/// Longest list that is read. Those of large repositories have some hundred KiB.
const MOST_BYTES: usize = 16 << 20;
/// Most files of a repository.
const MOST_FILES: usize = 50_000;
/// Longest name of a file.
const LONGEST_NAME: usize = 1024;

/// The files of a repository at a commit.
#[derive(Debug)]
pub(crate) struct Listing {
    pub(crate) commit: String,
    pub(crate) files: BTreeMap<String, Remote>,
}

/// A file as the hub announces it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Remote {
    pub(crate) size: u64,
    pub(crate) contents: Expected,
}

impl Remote {
    /// The name of the file's blob in the cache.
    pub(crate) fn blob(&self) -> &str {
        self.contents.text()
    }
}

#[derive(Deserialize)]
struct RawListing {
    sha: String,
    siblings: Vec<RawFile>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct RawFile {
    rfilename: String,
    size: Option<u64>,
    blob_id: Option<String>,
    lfs: Option<RawLfs>,
}

#[derive(Deserialize)]
struct RawLfs {
    sha256: String,
    size: Option<u64>,
}

/// Asks the hub for the files of a repository.
pub(crate) fn ask(
    client: &Client<'_>,
    settings: &Settings,
    repository: &Repository,
    watch: &mut Watch<'_>,
) -> Result<Listing, FetchError> {
    let revision = repository.revision().replace('/', "%2F");
    let path = format!("api/models/{}/revision/{revision}?blobs=true", repository.id());
    let url = settings
        .endpoint
        .below(&path)
        .map_err(|reason| FetchError::Setting { variable: "HF_ENDPOINT".into(), reason: reason.into() })?;
    let bytes = client.patiently(watch, |watch| {
        watch.check(None)?;
        client.get(&Ask { url: &url, of_hub: true, from: 0, etag: None })?.contents().all(MOST_BYTES, watch)
    })?;
    let listing = read(&bytes).and_then(|listing| match repository.commit() {
        Some(commit) if commit != listing.commit => {
            Err(format!("commit {commit} was asked for, and it is of {}", listing.commit))
        }
        _ => Ok(listing),
    });
    listing.map_err(|reason| FetchError::Listing { url, reason })
}

fn read(bytes: &[u8]) -> Result<Listing, String> {
    let raw: RawListing =
        serde_json::from_slice(bytes).map_err(|error| format!("it is not as expected: {error}"))?;
    if !is_hexadecimal(&raw.sha, 40) {
        return Err("its commit is none".into());
    }
    if raw.siblings.len() > MOST_FILES {
        return Err(format!("it has {} files, more than {MOST_FILES}", raw.siblings.len()));
    }
    let mut files = BTreeMap::new();
    for file in raw.siblings {
        let name = file.rfilename.clone();
        check_name(&name)?;
        let Some(remote) = remote(file) else { continue };
        if files.insert(name.clone(), remote?).is_some() {
            return Err(format!("{name:?} is listed twice"));
        }
    }
    Ok(Listing { commit: raw.sha, files })
}

/// What is announced of a file; `None` if neither size nor hash is.
fn remote(file: RawFile) -> Option<Result<Remote, String>> {
    let (size, contents) = match file.lfs {
        Some(lfs) => (lfs.size.or(file.size)?, Expected::Sha256(lfs.sha256)),
        None => (file.size?, Expected::GitSha1(file.blob_id?)),
    };
    let digits = if matches!(contents, Expected::Sha256(_)) { 64 } else { 40 };
    if !is_hexadecimal(contents.text(), digits) {
        return Some(Err(format!("{:?} has no proper hash", file.rfilename)));
    }
    Some(Ok(Remote { size, contents }))
}

/// Names are parts joined by slashes, none of which leads elsewhere.
fn check_name(name: &str) -> Result<(), String> {
    let leads_elsewhere = |part: &str| matches!(part, "" | "." | "..");
    let odd = |character: char| character == '\\' || character.is_control();
    if name.len() > LONGEST_NAME {
        return Err(format!("a name is longer than {LONGEST_NAME} bytes"));
    }
    if name.chars().any(odd) || name.split('/').any(leads_elsewhere) {
        return Err(format!("{name:?} is no name inside the repository"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::path::{Component, Path};

    use proptest::prelude::*;

    use super::*;

    const COMMIT: &str = "0123456789abcdef0123456789abcdef01234567";

    fn with_file(file: &str) -> Result<Listing, String> {
        read(format!(r#"{{"sha": "{COMMIT}", "id": "a/b", "siblings": [{file}]}}"#).as_bytes())
    }

    #[test]
    fn large_and_small_files_have_their_own_hashes() {
        let sha256 = "a".repeat(64);
        let large = format!(
            r#"{{"rfilename": "m.bin", "size": 9, "blobId": "{COMMIT}", "lfs": {{"sha256": "{sha256}", "size": 9}}}}"#
        );
        let small = format!(r#"{{"rfilename": "sub/c.json", "size": 2, "blobId": "{COMMIT}"}}"#);
        let listing = with_file(&format!("{large}, {small}, {{\"rfilename\": \"unsized\"}}")).unwrap();
        assert_eq!(listing.commit, COMMIT);
        assert_eq!(listing.files.len(), 2);
        assert_eq!(listing.files["m.bin"], Remote { size: 9, contents: Expected::Sha256(sha256) });
        assert_eq!(listing.files["sub/c.json"].contents, Expected::GitSha1(COMMIT.into()));
    }

    #[test]
    fn what_cannot_be_trusted_is_refused() {
        let named = |name: &str| format!(r#"{{"rfilename": {name}, "size": 1, "blobId": "{COMMIT}"}}"#);
        for name in
            [r#""../x""#, r#""/etc/x""#, r#""a//b""#, r#""a/./b""#, r#""a\\b""#, r#""a\u0000""#, r#""""#]
        {
            let reason = with_file(&named(name)).unwrap_err();
            assert!(reason.contains("no name inside the repository"), "{reason}");
        }
        let long = format!("{:?}", "a".repeat(2000));
        assert!(with_file(&named(&long)).unwrap_err().contains("longer than 1024"));
        let twice = format!("{}, {}", named(r#""a""#), named(r#""a""#));
        assert!(with_file(&twice).unwrap_err().contains("twice"));
        let traversing =
            r#"{"rfilename": "a", "size": 1, "blobId": "../../../../../../../../../../etc/passwd-0123"}"#;
        assert!(with_file(traversing).unwrap_err().contains("no proper hash"));
        let lfs = r#"{"rfilename": "a", "size": 1, "lfs": {"sha256": "..", "size": 1}}"#;
        assert!(with_file(lfs).unwrap_err().contains("no proper hash"));
        assert!(read(br#"{"sha": "main", "siblings": []}"#).unwrap_err().contains("commit"));
        assert!(read(b"<html>").unwrap_err().contains("not as expected"));
        let many = vec![r#"{"rfilename": "a"}"#; MOST_FILES + 1].join(",");
        assert!(with_file(&many).unwrap_err().contains("more than 50000"));
    }

    proptest! {
        #[test]
        fn accepted_names_stay_inside_a_folder(name in "[./a\\\\]{0,8}|\\PC{0,8}") {
            if check_name(&name).is_ok() {
                let inside = |component| matches!(component, Component::Normal(_));
                prop_assert!(Path::new(&name).components().all(inside), "{name:?}");
            }
        }
    }
}
