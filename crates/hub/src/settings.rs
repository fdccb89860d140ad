//! Where files come from and go to, who asks for them, and how long to wait: the variables of the hub's own client.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::address::Address;
use crate::error::FetchError;
use crate::token::TokenSource;

/// Everything that a fetch depends on besides what is fetched.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The hub (`HF_ENDPOINT`).
    pub endpoint: Address,
    /// Folder of repositories (`HF_HUB_CACHE`).
    pub hub: PathBuf,
    /// Folder of everything else (`HF_ASSETS_CACHE`).
    pub assets: PathBuf,
    /// Sent to the endpoint and nowhere else (`HF_TOKEN`).
    pub token: TokenSource,
    /// Whether nothing may be connected to (`HF_HUB_OFFLINE`).
    pub offline: bool,
    /// Whether a proxy of the environment is used (`HTTPS_PROXY`, `ALL_PROXY`, `NO_PROXY`, ...).
    pub proxy: bool,
    /// How long to wait for what.
    pub patience: Patience,
}

/// How long to wait for what, and how often to try again.
#[derive(Debug, Clone, Copy)]
pub struct Patience {
    /// For a connection: the host's address, the connection itself and its encryption.
    pub connect: Duration,
    /// For the next byte. However long a download takes, it goes on as long as something comes.
    pub idle: Duration,
    /// How often a request is made before its failure is told.
    pub attempts: u32,
    /// Before the second attempt; it doubles with each further one.
    pub pause: Duration,
    /// Between two attempts at most, also if the server asks for more.
    pub longest_pause: Duration,
}

impl Default for Patience {
    /// 10 s for a connection, 30 s for a byte, four attempts after pauses of 1, 2 and 4 s, at most 60 s.
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(10),
            idle: Duration::from_secs(30),
            attempts: 4,
            pause: Duration::from_secs(1),
            longest_pause: Duration::from_secs(60),
        }
    }
}

const ENDPOINT: &str = "https://huggingface.co";

impl Settings {
    /// The settings of this process's environment. `cache` takes the place of `HF_HOME` for what is cached:
    /// `cache/hub` and `cache/assets`.
    ///
    /// # Errors
    /// [`FetchError::Setting`].
    pub fn from_environment(cache: Option<&Path>) -> Result<Self, FetchError> {
        Self::from_variables(&|name| std::env::var_os(name), cache)
    }

    /// [`Settings::from_environment`] with variables from elsewhere.
    ///
    /// # Errors
    /// [`FetchError::Setting`].
    pub fn from_variables(
        variable: &dyn Fn(&str) -> Option<OsString>,
        cache: Option<&Path>,
    ) -> Result<Self, FetchError> {
        let variables = Variables(variable);
        let below_home = |name| variables.home().map(|home| home.join(name));
        let (hub, assets) = match cache {
            Some(cache) => (cache.join("hub"), cache.join("assets")),
            None => (
                variables.path("HF_HUB_CACHE").map_or_else(|| below_home("hub"), Ok)?,
                variables.path("HF_ASSETS_CACHE").map_or_else(|| below_home("assets"), Ok)?,
            ),
        };
        let endpoint = variables.text("HF_ENDPOINT").unwrap_or_else(|| ENDPOINT.to_owned());
        let endpoint = Address::parse_base(&endpoint).map_err(|reason| FetchError::Setting {
            variable: "HF_ENDPOINT".into(),
            reason: reason.into(),
        })?;
        Ok(Self {
            endpoint,
            hub,
            assets,
            token: variables.token(),
            offline: variables.is_set("HF_HUB_OFFLINE"),
            proxy: true,
            patience: Patience::default(),
        })
    }
}

/// Variables of an environment. One that is empty counts as absent.
struct Variables<'a>(&'a dyn Fn(&str) -> Option<OsString>);

impl Variables<'_> {
    fn value(&self, name: &str) -> Option<OsString> {
        (self.0)(name).filter(|value| !value.is_empty())
    }

    fn text(&self, name: &str) -> Option<String> {
        self.value(name)
            .map(|value| value.to_string_lossy().trim().to_owned())
            .filter(|text| !text.is_empty())
    }

    fn is_set(&self, name: &str) -> bool {
        let yes = ["1", "true", "yes", "on"];
        self.text(name).is_some_and(|text| yes.contains(&text.to_ascii_lowercase().as_str()))
    }

    fn user_folder(&self) -> Option<PathBuf> {
        self.value("HOME").or_else(|| self.value("USERPROFILE")).map(PathBuf::from)
    }

    /// A path, of which a leading `~` is the user's folder.
    fn path(&self, name: &str) -> Option<PathBuf> {
        let path = PathBuf::from(self.value(name)?);
        match (path.strip_prefix("~"), self.user_folder()) {
            (Ok(rest), Some(user)) => Some(user.join(rest)),
            _ => Some(path),
        }
    }

    /// The hub client's home.
    fn home(&self) -> Result<PathBuf, FetchError> {
        let of_user = || self.user_folder().map(|user| user.join(".cache"));
        self.path("HF_HOME")
            .or_else(|| self.path("XDG_CACHE_HOME").or_else(of_user).map(|cache| cache.join("huggingface")))
            .ok_or_else(|| FetchError::Setting {
                variable: "HF_HOME".into(),
                reason: "is not set, and neither is HOME: there is no place for downloads".into(),
            })
    }

    fn token(&self) -> TokenSource {
        if self.is_set("HF_HUB_DISABLE_IMPLICIT_TOKEN") {
            return TokenSource::Nowhere;
        }
        if let Some(text) = self.text("HF_TOKEN") {
            return TokenSource::Variable(text);
        }
        let usual = || self.home().ok().map(|home| home.join("token"));
        self.path("HF_TOKEN_PATH").or_else(usual).map_or(TokenSource::Nowhere, TokenSource::File)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Variables and their values.
    type Environment = [(&'static str, &'static str)];

    fn settings(variables: &[(&str, &str)], cache: Option<&Path>) -> Result<Settings, FetchError> {
        let of = |name: &str| {
            variables.iter().find(|(known, _)| *known == name).map(|(_, value)| OsString::from(*value))
        };
        Settings::from_variables(&of, cache)
    }

    #[test]
    fn the_cache_is_where_the_hubs_client_has_it() {
        let cases: [(&Environment, &str, &str); 5] = [
            (&[("HOME", "/u")], "/u/.cache/huggingface/hub", "/u/.cache/huggingface/assets"),
            (&[("HOME", "/u"), ("XDG_CACHE_HOME", "/x")], "/x/huggingface/hub", "/x/huggingface/assets"),
            (&[("HOME", "/u"), ("XDG_CACHE_HOME", "/x"), ("HF_HOME", "/h")], "/h/hub", "/h/assets"),
            (&[("HOME", "/u"), ("HF_HOME", "~/h")], "/u/h/hub", "/u/h/assets"),
            (&[("HF_HOME", "/h"), ("HF_HUB_CACHE", "/c"), ("HF_ASSETS_CACHE", "/a")], "/c", "/a"),
        ];
        for (variables, hub, assets) in cases {
            let settings = settings(variables, None).unwrap();
            assert_eq!((settings.hub, settings.assets), (hub.into(), assets.into()), "{variables:?}");
        }
        let moved = settings(&[("HF_HOME", "/h"), ("HF_HUB_CACHE", "/c")], Some(Path::new("/m"))).unwrap();
        assert_eq!((moved.hub, moved.assets), ("/m/hub".into(), "/m/assets".into()));
        assert!(settings(&[], None).unwrap_err().to_string().contains("HF_HOME"));
    }

    #[test]
    fn a_cache_that_is_named_needs_no_home() {
        let moved = settings(&[], Some(Path::new("/m"))).unwrap();
        assert_eq!((moved.hub, moved.assets), ("/m/hub".into(), "/m/assets".into()));
        assert!(moved.token.token().unwrap().is_none());
        assert!(settings(&[("HF_HUB_CACHE", "/c"), ("HF_ASSETS_CACHE", "/a")], None).is_ok());
        assert!(settings(&[("HF_HUB_CACHE", "/c")], None).is_err());
    }

    #[test]
    fn offline_is_said_in_several_ways() {
        let offline = |value| settings(&[("HOME", "/u"), ("HF_HUB_OFFLINE", value)], None).unwrap().offline;
        assert!(["1", "true", "YES", "On"].iter().all(|value| offline(value)));
        assert!(!["", "0", "false", "no"].iter().any(|value| offline(value)));
    }

    #[test]
    fn the_token_comes_from_the_variable_or_a_file() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().to_str().unwrap();
        let header = |variables: &[(&str, &str)]| {
            let all: Vec<(&str, &str)> = [("HF_HOME", path)].iter().chain(variables).copied().collect();
            settings(&all, None).unwrap().token.token().unwrap().map(|token| token.header())
        };
        assert_eq!(header(&[]), None);
        std::fs::write(home.path().join("token"), "hf_file\n").unwrap();
        std::fs::write(home.path().join("other"), "hf_other\n").unwrap();
        let other = home.path().join("other");
        assert_eq!(header(&[]).as_deref(), Some("Bearer hf_file"));
        assert_eq!(header(&[("HF_TOKEN", " hf_variable ")]).as_deref(), Some("Bearer hf_variable"));
        assert_eq!(header(&[("HF_TOKEN_PATH", other.to_str().unwrap())]).as_deref(), Some("Bearer hf_other"));
        assert_eq!(header(&[("HF_TOKEN", "hf_a"), ("HF_HUB_DISABLE_IMPLICIT_TOKEN", "1")]), None);
    }

    #[test]
    fn wrong_values_are_told_without_being_repeated() {
        let cases = [
            ("HF_TOKEN", "hf_sec ret"),
            ("HF_ENDPOINT", "https://me:secret@hub.example"),
            ("HF_ENDPOINT", "https://hub.example/?key=secret"),
            ("HF_ENDPOINT", "https://hub.example#secret"),
        ];
        for (variable, value) in cases {
            let read = settings(&[("HOME", "/u"), (variable, value)], None);
            let error = read.and_then(|settings| settings.token.token()).unwrap_err();
            let told = format!("{error} {error:?}");
            assert!(
                told.contains(variable) && !told.contains("sec ret") && !told.contains("secret"),
                "{told}"
            );
            assert!(error.is_of_request());
        }
    }
}
