//! A cache of its own for each test, and settings that do not wait long.

use std::path::{Path, PathBuf};
use std::time::Duration;

use regulus_hub::{
    Address, Event, FetchError, Fetched, Patience, Settings, Token, TokenSource, Wanted, Watch,
};

use crate::mock::repository::{COMMIT, Repository};
use crate::mock::server::Server;

/// Settings in a temporary folder.
pub struct Home {
    folder: tempfile::TempDir,
    pub settings: Settings,
}

/// What happened during a fetch.
#[derive(Debug, Default)]
pub struct Told {
    pub notices: Vec<String>,
    pub finished: Vec<String>,
    pub most: u64,
}

impl Home {
    pub fn new(endpoint: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let patience = Patience {
            connect: Duration::from_secs(5),
            idle: Duration::from_secs(3),
            attempts: 3,
            pause: Duration::from_millis(1),
            longest_pause: Duration::from_millis(5),
        };
        let settings = Settings {
            endpoint: Address::parse(endpoint).unwrap(),
            hub: folder.path().join("hub"),
            assets: folder.path().join("assets"),
            token: TokenSource::Nowhere,
            offline: false,
            proxy: false,
            patience,
        };
        Self { folder, settings }
    }

    pub fn of(server: &Server) -> Self {
        Self::new(&server.url())
    }

    pub fn with_token(mut self) -> Self {
        self.settings.token = TokenSource::Given(Token::new(TOKEN).unwrap());
        self
    }

    pub fn offline(mut self) -> Self {
        self.settings.offline = true;
        self
    }

    pub fn once(mut self) -> Self {
        self.settings.patience.attempts = 1;
        self
    }

    pub fn path(&self) -> &Path {
        self.folder.path()
    }

    /// Fetches and gives what happened besides.
    pub fn fetch_told(&self, wanted: &Wanted) -> (Result<Fetched, FetchError>, Told) {
        let mut told = Told::default();
        let mut tell = |event: Event<'_>| match event {
            Event::Progress { done, .. } => told.most = told.most.max(done),
            Event::Finished { file, .. } => told.finished.push(file.to_owned()),
            Event::Notice(notice) => told.notices.push(notice.to_owned()),
        };
        let fetched = wanted.fetch(&self.settings, &mut Watch { stop: &|| false, tell: &mut tell });
        if let Err(error) = &fetched {
            let text = format!("{error} {error:?}");
            assert!(!text.contains(TOKEN), "the token is shown: {text}");
        }
        (fetched, told)
    }

    pub fn try_fetch(&self) -> Result<Fetched, FetchError> {
        self.fetch_told(&wanted("org/model")).0
    }

    pub fn fetch(&self) -> Fetched {
        self.try_fetch().unwrap()
    }

    /// Fetches, and gives the message of the failure.
    #[track_caller]
    pub fn failure(&self) -> String {
        self.try_fetch().unwrap_err().to_string()
    }

    /// The folder of `org/model` in the cache.
    pub fn model(&self) -> PathBuf {
        self.settings.hub.join("models--org--model")
    }

    pub fn snapshot(&self) -> PathBuf {
        self.model().join("snapshots").join(COMMIT)
    }

    pub fn blob(&self, repository: &Repository, name: &str) -> PathBuf {
        self.model().join("blobs").join(repository.blob(name))
    }

    pub fn partial(&self, repository: &Repository, name: &str) -> PathBuf {
        self.blob(repository, name).with_added_extension("incomplete")
    }
}

/// A token that must not be seen anywhere but in a header.
pub const TOKEN: &str = "hf_NeverShowThis";

/// An address at which nobody listens: the port is reserved for a service that no machine has any more.
pub const NOBODY: &str = "http://127.0.0.1:1";

pub fn wanted(text: &str) -> Wanted {
    Wanted::parse(text).unwrap()
}

/// Bytes that do not repeat soon.
pub fn bytes(count: usize) -> Vec<u8> {
    (0..count as u32).map(|at| (at.wrapping_mul(2_654_435_761) >> 24) as u8).collect()
}

/// A repository with a small and a large file.
pub fn model() -> Repository {
    Repository::default()
        .with("config.json", r#"{"model_type": "clip"}"#)
        .with("model.safetensors", bytes(300_000))
        .with("pytorch_model.bin", bytes(2000))
        .with("README.md", "read me")
}

/// A server with [`model`].
pub fn serving(repository: &Repository) -> Server {
    let repository = repository.clone();
    Server::start(move |seen| repository.answer(seen))
}
