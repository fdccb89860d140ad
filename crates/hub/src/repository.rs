//! Names of repositories and revisions. They become parts of addresses and folders, and come from users.

use std::fmt;

use crate::digest::is_hexadecimal;
use crate::error::FetchError;

/// `org/name` at a revision: a branch, a tag or a commit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Repository {
    org: String,
    name: String,
    revision: String,
}

/// The revision of those that name none.
const MAIN: &str = "main";

impl Repository {
    /// Reads `org/name` or `org/name@revision`.
    ///
    /// # Errors
    /// [`FetchError::BadName`].
    pub fn parse(text: &str) -> Result<Self, FetchError> {
        let bad = |reason| FetchError::BadName { text: text.to_owned(), reason };
        let (repository, revision) = text.split_once('@').unwrap_or((text, MAIN));
        let Some((org, name)) = repository.split_once('/') else {
            return Err(bad("a repository is written org/name"));
        };
        if !is_part(org) || !is_part(name) {
            return Err(bad(
                "the parts of org/name hold letters, digits and . _ - (not .. or --, and neither . nor - at an end)",
            ));
        }
        if !is_revision(revision) {
            return Err(bad("a revision is a branch, a tag or a commit of letters, digits and . _ - /"));
        }
        Ok(Self { org: org.into(), name: name.into(), revision: revision.into() })
    }

    /// The same repository at another revision.
    ///
    /// # Errors
    /// [`FetchError::BadName`].
    pub fn at(&self, revision: &str) -> Result<Self, FetchError> {
        Self::parse(&format!("{}@{revision}", self.id()))
    }

    /// `org/name`.
    pub fn id(&self) -> String {
        format!("{}/{}", self.org, self.name)
    }

    /// The revision as it was asked for.
    pub fn revision(&self) -> &str {
        &self.revision
    }

    /// The revision, if it is a commit: then contents never change.
    pub(crate) fn commit(&self) -> Option<&str> {
        is_hexadecimal(&self.revision, 40).then_some(&self.revision)
    }

    /// Name of the repository's folder in the cache.
    pub(crate) fn folder(&self) -> String {
        format!("models--{}--{}", self.org, self.name)
    }
}

impl fmt::Display for Repository {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}@{}", self.id(), self.revision)
    }
}

fn is_part(text: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
    let outer = |byte: Option<&u8>| byte.is_some_and(|byte| !matches!(byte, b'.' | b'-'));
    let bytes = text.as_bytes();
    (1..=96).contains(&bytes.len())
        && bytes.iter().copied().all(plain)
        && outer(bytes.first())
        && outer(bytes.last())
        && !text.contains("..")
        && !text.contains("--")
}

fn is_revision(text: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
    let part = |part: &str| !part.is_empty() && !part.starts_with('.') && part.bytes().all(plain);
    text.len() <= 200 && text.split('/').all(part) && !text.contains("..")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use std::path::{Component, Path};

    use super::*;

    #[test]
    fn repositories_are_read() {
        let plain = Repository::parse("openai/clip-vit-base-patch32").unwrap();
        assert_eq!((plain.id(), plain.revision()), ("openai/clip-vit-base-patch32".into(), "main"));
        assert_eq!(plain.folder(), "models--openai--clip-vit-base-patch32");
        assert_eq!(plain.commit(), None);
        let commit = "3d74acf9a28c67741b2f4f2ea7635f0aaf6f0268";
        assert_eq!(plain.at(commit).unwrap().commit(), Some(commit));
        assert_eq!(Repository::parse("a/b@refs/pr/3").unwrap().revision(), "refs/pr/3");
    }

    #[test]
    fn what_could_leave_the_cache_is_refused() {
        let names =
            ["a", "a/", "/a", "a/b/c", "../b", "a/..", "a/b--c", "a/b c", "a\\b/c", "a/.b", "a/b-", "a/b?c"];
        let revisions = ["a/b@", "a/b@../x", "a/b@/x", "a/b@x//y", "a/b@x y", "a/b@x?y", "a/b@.x", "a/b@x@y"];
        for text in names.iter().chain(&revisions) {
            let error = Repository::parse(text).unwrap_err();
            assert!(error.is_of_request() && error.to_string().contains(text), "{error}");
        }
    }

    proptest! {
        #[test]
        fn whatever_is_accepted_stays_inside_the_cache(text in "[a-z./@\\\\:%?-]{0,12}|\\PC{0,12}") {
            if let Ok(repository) = Repository::parse(&text) {
                for part in [repository.folder().as_str(), repository.revision()] {
                    let inside = |component| matches!(component, Component::Normal(_));
                    prop_assert!(Path::new(part).components().all(inside), "{part}");
                    let of_address = |byte: u8| byte.is_ascii_alphanumeric() || b"._-/".contains(&byte);
                    prop_assert!(part.bytes().all(of_address), "{part}");
                }
            }
        }
    }
}
