//! A repository of a mock hub: the list of its files, and the files.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use sha1::Digest;

use super::server::{Answer, Seen};

/// The commit of every invented repository.
pub const COMMIT: &str = "00112233445566778899aabbccddeeff00112233";

/// Files by their names. Those that are larger than [`LARGE`] bytes are announced as large files.
#[derive(Debug, Clone, Default)]
pub struct Repository {
    files: BTreeMap<String, Vec<u8>>,
}

/// From here on files have a SHA-256.
const LARGE: usize = 1000;

impl Repository {
    pub fn with(mut self, name: &str, contents: impl Into<Vec<u8>>) -> Self {
        self.files.insert(name.to_owned(), contents.into());
        self
    }

    /// The name under which a file's contents are cached.
    pub fn blob(&self, name: &str) -> String {
        let contents = &self.files[name];
        if contents.len() > LARGE { hexadecimal(&sha2::Sha256::digest(contents)) } else { git_sha1(contents) }
    }

    pub fn contents(&self, name: &str) -> &[u8] {
        &self.files[name]
    }

    /// The list of files as the hub gives it.
    pub fn listing(&self) -> Value {
        let file = |(name, contents): (&String, &Vec<u8>)| {
            let mut file = json!({"rfilename": name, "size": contents.len(), "blobId": git_sha1(contents)});
            if contents.len() > LARGE {
                file["lfs"] = json!({"sha256": self.blob(name), "size": contents.len(), "pointerSize": 134});
            }
            file
        };
        let siblings: Vec<Value> = self.files.iter().map(file).collect();
        json!({"id": "org/model", "sha": COMMIT, "siblings": siblings})
    }

    /// What a hub with this repository, and no other, answers.
    pub fn answer(&self, seen: &Seen) -> Answer {
        let path = seen.path.split('?').next().unwrap();
        if path.starts_with("/api/models/org/model/revision/") {
            return Answer::new(200, self.listing().to_string());
        }
        let file = path.strip_prefix(&format!("/org/model/resolve/{COMMIT}/"));
        match file.and_then(|name| self.files.get(name)) {
            Some(contents) => Answer::file(seen, contents),
            None => Answer::new(404, "Not Found"),
        }
    }
}

fn git_sha1(contents: &[u8]) -> String {
    let head = format!("blob {}\0", contents.len());
    hexadecimal(&sha1::Sha1::digest([head.as_bytes(), contents].concat()))
}

fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
