//! What can go wrong with a fetch. No message holds a token, a password or the query of an address.

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::address::Address;
use crate::bytes::in_words;

/// A fetch that did not succeed. What had been downloaded is kept, unless the message says that it was wrong.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FetchError {
    /// No built-in model has this name, and it is no repository either.
    #[error(
        "no model is called `{name}`{}; known are {}, and any repository of the hub as org/name or org/name@revision",
        nearest.as_ref().map(|name| format!(" (did you mean `{name}`?)")).unwrap_or_default(), known.join(", ")
    )]
    UnknownName {
        /// What was asked for.
        name: String,
        /// The known name that is most similar to it, where one is similar.
        nearest: Option<String>,
        /// All known names.
        known: Vec<&'static str>,
    },
    /// The name of a repository or of a revision cannot be one.
    #[error("`{text}` cannot be fetched: {reason}")]
    BadName {
        /// What was asked for.
        text: String,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// The environment or a flag says something impossible.
    #[error("{variable}: {reason}")]
    Setting {
        /// The variable or the file.
        variable: String,
        /// What is wrong with it, without its value.
        reason: String,
    },
    /// Nothing may be connected to, and something is missing.
    #[error(
        "{what}: {missing}, and HF_HUB_OFFLINE forbids to download anything; unset it and run the command again"
    )]
    Offline {
        /// The model.
        what: String,
        /// What is missing, and where it was looked for.
        missing: String,
    },
    /// The server cannot be reached, or the connection broke before an answer.
    #[error("{url}: {reason} (check the network, HF_ENDPOINT and proxies, and run the command again)")]
    Unreachable {
        /// The address.
        url: Address,
        /// What happened.
        reason: String,
        /// Whether trying again soon may help.
        passing: bool,
    },
    /// The server did nothing for too long.
    #[error(
        "{url}: no {what} within {limit:?}; what has been downloaded is kept: run the command again to go on"
    )]
    TimedOut {
        /// The address.
        url: Address,
        /// What was waited for.
        what: &'static str,
        /// How long it was waited for.
        limit: Duration,
    },
    /// The server is overloaded or out of order.
    #[error(
        "{url}: the server answers {status}, several times; run the command again later: what has been downloaded is \
         kept"
    )]
    Busy {
        /// The address.
        url: Address,
        /// The status of the answer.
        status: u16,
        /// How long the server asks to wait.
        retry_after: Option<Duration>,
    },
    /// The server does not let us have it (401, 403).
    #[error("{url}: refused with status {status}; {advice}")]
    Refused {
        /// The address.
        url: Address,
        /// The status of the answer.
        status: u16,
        /// What it means and what to do.
        advice: String,
    },
    /// There is no such thing (404).
    #[error("{url}: not found (404); {advice}")]
    NotFound {
        /// The address.
        url: Address,
        /// What it means and what to do.
        advice: String,
    },
    /// An answer that makes no sense here.
    #[error("{url}: {reason}")]
    Answer {
        /// The address.
        url: Address,
        /// What is wrong with it.
        reason: String,
    },
    /// A redirect that is not followed.
    #[error("{url}: a redirect is not followed: {reason}")]
    Redirect {
        /// The address that redirects.
        url: Address,
        /// Why not.
        reason: &'static str,
    },
    /// The hub's list of files is not one, or cannot be trusted.
    #[error("{url}: the list of files cannot be used: {reason}")]
    Listing {
        /// The address of the list.
        url: Address,
        /// What is wrong with it.
        reason: String,
    },
    /// The repository holds no weights that can be read.
    #[error("{what}: none of {} is there; is this the right repository?", looked_for.join(", "))]
    NoWeights {
        /// The repository.
        what: String,
        /// The names that were looked for.
        looked_for: Vec<&'static str>,
    },
    /// The index of sharded weights cannot be used.
    #[error("{}: {reason}", path.display())]
    Index {
        /// The index.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// The contents are not those that they should be. The bad file has been removed.
    #[error(
        "{file} from {url}: wrong contents: {kind} {expected} is expected and {found} was received; the bad file was \
         removed. Run the command again; if this stays, something between you and the publisher changes files"
    )]
    WrongHash {
        /// The file.
        file: String,
        /// Where it came from.
        url: Address,
        /// The kind of hash.
        kind: &'static str,
        /// What it should be.
        expected: String,
        /// What it is.
        found: String,
    },
    /// The hub announces other contents than those that are known to be published.
    #[error(
        "{file} from {url}: SHA-256 {pinned} is published and {announced} is announced; nothing was downloaded. Either \
         the endpoint is not to be trusted or the publisher has changed the file; name@main fetches what is there now"
    )]
    Unexpected {
        /// The file.
        file: String,
        /// The repository.
        url: Address,
        /// The hash in the built-in list.
        pinned: String,
        /// The hash that the hub announces.
        announced: String,
    },
    /// Weights whose SHA-256 is not known would take the place of those whose SHA-256 is.
    #[error(
        "{place} has the weights {file}, and the SHA-256 that is published is of {}; nothing was downloaded. A hub that \
         lists other weights is not to be trusted, and of a folder other weights have to be removed first; name@main \
         fetches what the hub has now",
        pinned.join(", ")
    )]
    Unpinned {
        /// The weights that would be read.
        file: String,
        /// The repository or the folder that has them.
        place: String,
        /// The weights whose SHA-256 is known.
        pinned: Vec<&'static str>,
    },
    /// The connection ended early, several times.
    #[error(
        "{url}: the connection ended early: {} of {} are in {}; run the command again to go on from there",
        in_words(*done), total.map_or_else(|| "an unknown size".to_owned(), in_words), path.display()
    )]
    Truncated {
        /// The address.
        url: Address,
        /// Where the first part is.
        path: PathBuf,
        /// Bytes that are there.
        done: u64,
        /// Bytes that should be there.
        total: Option<u64>,
    },
    /// The disk is full, or will be.
    #[error(
        "{}: the disk is full: {} more are needed{}; make room or set HF_HOME to another disk, and run the command \
         again: what has been downloaded is kept",
        path.display(), in_words(*needed),
        free.map(|free| format!(" and {} are free", in_words(free))).unwrap_or_default()
    )]
    NoSpace {
        /// The file that was to be written.
        path: PathBuf,
        /// Bytes that are still to be written.
        needed: u64,
        /// Bytes that are free, where that is known.
        free: Option<u64>,
    },
    /// A file of the cache cannot be read or written.
    #[error("{}: {source}", path.display())]
    Disk {
        /// The file or folder.
        path: PathBuf,
        /// What the operating system says.
        source: io::Error,
    },
    /// The caller asked to stop.
    #[error(
        "stopped; {}run the command again to go on",
        if *kept > 0 { format!("{} of the file are kept: ", in_words(*kept)) } else { String::new() }
    )]
    Stopped {
        /// Bytes of the unfinished file that are kept.
        kept: u64,
    },
}

impl FetchError {
    /// Whether the request itself is wrong: a name, a variable or a flag.
    pub fn is_of_request(&self) -> bool {
        matches!(self, Self::UnknownName { .. } | Self::BadName { .. } | Self::Setting { .. })
    }

    /// Whether the caller asked to stop.
    pub fn is_stop(&self) -> bool {
        matches!(self, Self::Stopped { .. })
    }

    /// Whether the network is to blame, so that what is in the cache may be used instead.
    pub(crate) fn is_of_network(&self) -> bool {
        matches!(
            self,
            Self::Unreachable { .. } | Self::TimedOut { .. } | Self::Busy { .. } | Self::Truncated { .. }
        )
    }

    /// Whether the same request may succeed soon.
    pub(crate) fn is_passing(&self) -> bool {
        match self {
            Self::Unreachable { passing, .. } => *passing,
            _ => self.is_of_network(),
        }
    }

    /// How long the server asks to wait.
    pub(crate) fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Busy { retry_after, .. } => *retry_after,
            _ => None,
        }
    }

    /// The error of an operation on the file at `path`, to which `needed` bytes were still to be written.
    pub(crate) fn of_disk(path: &Path, needed: u64, source: io::Error) -> Self {
        let path = path.to_owned();
        match source.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
                Self::NoSpace { path, needed, free: None }
            }
            _ => Self::Disk { path, source },
        }
    }
}

/// Gives errors of the operating system the path that they are about.
pub(crate) trait AtPath<T> {
    /// The value, or a [`FetchError`] with the path.
    fn at(self, path: &Path) -> Result<T, FetchError>;
}

impl<T> AtPath<T> for io::Result<T> {
    fn at(self, path: &Path) -> Result<T, FetchError> {
        self.map_err(|source| FetchError::of_disk(path, 0, source))
    }
}
