//! Requests: redirects by hand, so that the token goes to the hub alone, and answers as typed errors.

use std::io::{self, Read};
use std::time::Duration;

use ureq::http::{HeaderMap, StatusCode, header};
use ureq::{Agent, Body, Timeout};

use crate::address::Address;
use crate::error::FetchError;
use crate::settings::Settings;
use crate::token::Token;
use crate::watch::Watch;

/// Redirects that are followed for one request.
const MOST_REDIRECTS: usize = 8;

/// Makes requests.
pub(crate) struct Client<'a> {
    agent: Agent,
    settings: &'a Settings,
    token: Option<Token>,
}

/// What is asked for.
pub(crate) struct Ask<'a> {
    pub(crate) url: &'a Address,
    /// Whether this is a request to the hub, which may see the token.
    pub(crate) of_hub: bool,
    /// The first byte that is wanted, if not the very first.
    pub(crate) from: u64,
    /// The ETag of the part that is here already: the rest is wanted only if it still belongs to that.
    pub(crate) etag: Option<&'a str>,
}

/// An answer with status 200, 206 or 416.
pub(crate) struct Reply {
    pub(crate) status: StatusCode,
    headers: HeaderMap,
    body: Body,
    url: Address,
    idle: Duration,
}

impl<'a> Client<'a> {
    /// A client of the hub.
    ///
    /// # Errors
    /// Those of a token that cannot be one or be read.
    pub(crate) fn of_hub(settings: &'a Settings) -> Result<Self, FetchError> {
        Ok(Self::new(settings, settings.token.token()?))
    }

    /// A client of others, who see no token.
    pub(crate) fn of_others(settings: &'a Settings) -> Self {
        Self::new(settings, None)
    }

    fn new(settings: &'a Settings, token: Option<Token>) -> Self {
        let patience = settings.patience;
        let mut config = Agent::config_builder()
            .http_status_as_error(false)
            .max_redirects(0)
            .max_redirects_will_error(false)
            .accept_encoding("identity")
            .user_agent(concat!("regulus-hub/", env!("CARGO_PKG_VERSION")))
            .timeout_resolve(Some(patience.connect))
            .timeout_connect(Some(patience.connect))
            .timeout_per_read(Some(patience.idle))
            .timeout_per_write(Some(patience.idle));
        if !settings.proxy {
            config = config.proxy(None);
        }
        Self { agent: config.build().new_agent(), settings, token }
    }

    /// One request, with its redirects.
    pub(crate) fn get(&self, ask: &Ask<'_>) -> Result<Reply, FetchError> {
        let mut url = ask.url.clone();
        for _ in 0..=MOST_REDIRECTS {
            let reply = self.hop(ask, url)?;
            if !reply.status.is_redirection() {
                return self.judged(ask, reply);
            }
            let location = reply.text(header::LOCATION.as_str());
            let refused = |reason| FetchError::Redirect { url: reply.url.clone(), reason };
            let location = location.ok_or_else(|| refused("the answer does not say where to"))?;
            url = reply.url.redirected(location).map_err(refused)?;
        }
        Err(FetchError::Redirect { url: ask.url.clone(), reason: "there are too many, one after the other" })
    }

    /// Does `work` until it succeeds, fails for good, or has been tried often enough.
    pub(crate) fn patiently<'w, T>(
        &self,
        watch: &mut Watch<'w>,
        mut work: impl FnMut(&mut Watch<'w>) -> Result<T, FetchError>,
    ) -> Result<T, FetchError> {
        let patience = self.settings.patience;
        let mut pause = patience.pause;
        for _ in 1..patience.attempts {
            match work(watch) {
                Err(error) if error.is_passing() => {
                    let pause_now = error.retry_after().unwrap_or(pause).min(patience.longest_pause);
                    watch.pause(pause_now)?;
                }
                settled => return settled,
            }
            pause *= 2;
        }
        work(watch)
    }

    fn hop(&self, ask: &Ask<'_>, url: Address) -> Result<Reply, FetchError> {
        let mut request = self.agent.get(url.in_full());
        let token = self.token.as_ref().filter(|_| self.may_see_token(ask, &url));
        if let Some(token) = token {
            request = request.header(header::AUTHORIZATION, token.header());
        }
        if ask.from > 0 {
            request = request.header(header::RANGE, format!("bytes={}-", ask.from));
            if let Some(etag) = ask.etag {
                request = request.header(header::IF_RANGE, etag);
            }
        }
        match request.call() {
            Ok(response) => {
                let (parts, body) = response.into_parts();
                let idle = self.settings.patience.idle;
                Ok(Reply { status: parts.status, headers: parts.headers, body, url, idle })
            }
            Err(error) => Err(self.unanswered(url, &error)),
        }
    }

    fn may_see_token(&self, ask: &Ask<'_>, url: &Address) -> bool {
        ask.of_hub && url.origin() == self.settings.endpoint.origin()
    }

    fn unanswered(&self, url: Address, error: &ureq::Error) -> FetchError {
        let patience = self.settings.patience;
        match error {
            ureq::Error::Timeout(Timeout::Connect | Timeout::Resolve) => {
                FetchError::TimedOut { url, what: "connection", limit: patience.connect }
            }
            ureq::Error::Timeout(_) => FetchError::TimedOut { url, what: "answer", limit: patience.idle },
            ureq::Error::HostNotFound => FetchError::Unreachable {
                url,
                reason: "there is no host of this name, or no network".into(),
                passing: false,
            },
            ureq::Error::Io(error) => {
                FetchError::Unreachable { url, reason: format!("no connection: {error}"), passing: true }
            }
            ureq::Error::ConnectionFailed | ureq::Error::ConnectProxyFailed(_) => {
                FetchError::Unreachable { url, reason: format!("no connection: {error}"), passing: true }
            }
            ureq::Error::Rustls(_) | ureq::Error::Tls(_) => FetchError::Unreachable {
                url,
                reason: format!("no encrypted connection: {error}"),
                passing: false,
            },
            error => FetchError::Answer { url, reason: format!("no answer that can be read: {error}") },
        }
    }

    /// The reply if it brings what was asked for, else its status as an error.
    fn judged(&self, ask: &Ask<'_>, reply: Reply) -> Result<Reply, FetchError> {
        let (status, url) = (reply.status.as_u16(), reply.url.clone());
        match status {
            200 | 206 | 416 => Ok(reply),
            401 | 403 => Err(FetchError::Refused { advice: self.advice(ask, &url), url, status }),
            404 => {
                let advice = if ask.of_hub {
                    "the hub has no such repository, revision or file: check the name"
                } else {
                    "the publisher has moved or removed the file"
                };
                Err(FetchError::NotFound { url, advice: advice.into() })
            }
            408 | 429 | 500.. => {
                let seconds = reply.text(header::RETRY_AFTER.as_str()).and_then(|text| text.parse().ok());
                Err(FetchError::Busy { url, status, retry_after: seconds.map(Duration::from_secs) })
            }
            _ => Err(FetchError::Answer { url, reason: format!("the server answers {status}") }),
        }
    }

    fn advice(&self, ask: &Ask<'_>, url: &Address) -> String {
        if !self.may_see_token(ask, url) {
            return "the server, to which no token is sent, does not let anybody have it, or not any more"
                .into();
        }
        let place = format!("{} while logged in", self.settings.endpoint);
        match self.token {
            None => format!(
                "the repository is gated or private, or there is none of this name, and no token was sent: accept its \
                 terms on {place}, and set HF_TOKEN to a token of that account"
            ),
            Some(_) => format!(
                "the token was refused or has no access to this repository: accept its terms on {place}, and check \
                 that HF_TOKEN, or the token file of the hub's client, holds a valid token of that account"
            ),
        }
    }
}

impl Reply {
    /// The length of the body as announced.
    pub(crate) fn length(&self) -> Option<u64> {
        self.text(header::CONTENT_LENGTH.as_str())?.parse().ok()
    }

    /// First byte and full size of a partial answer.
    pub(crate) fn range(&self) -> Option<(u64, Option<u64>)> {
        let (range, size) =
            self.text(header::CONTENT_RANGE.as_str())?.strip_prefix("bytes ")?.split_once('/')?;
        Some((range.split_once('-')?.0.parse().ok()?, size.parse().ok()))
    }

    /// The ETag, if equal ones mean equal bytes.
    pub(crate) fn strong_etag(&self) -> Option<&str> {
        self.text(header::ETAG.as_str()).filter(|etag| etag.starts_with('"'))
    }

    fn text(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    /// The body, to be read with [`Contents::next`].
    pub(crate) fn contents(self) -> Contents {
        Contents { body: Box::new(self.body.into_reader()), url: self.url, idle: self.idle }
    }
}

/// The body of an answer.
pub(crate) struct Contents {
    body: Box<dyn Read>,
    url: Address,
    idle: Duration,
}

impl Contents {
    /// Reads some bytes; 0 at the end.
    pub(crate) fn next(&mut self, buffer: &mut [u8]) -> Result<usize, FetchError> {
        match self.body.read(buffer) {
            Ok(amount) => Ok(amount),
            Err(error) if timed_out(&error) => {
                Err(FetchError::TimedOut { url: self.url.clone(), what: "further byte", limit: self.idle })
            }
            Err(error) => Err(FetchError::Unreachable {
                url: self.url.clone(),
                reason: format!("the connection broke: {error}"),
                passing: true,
            }),
        }
    }

    /// Reads all of a body that has at most `most` bytes.
    pub(crate) fn all(mut self, most: usize, watch: &Watch<'_>) -> Result<Vec<u8>, FetchError> {
        let mut all = Vec::new();
        let mut buffer = vec![0; 1 << 14];
        loop {
            watch.check(None)?;
            let amount = self.next(&mut buffer)?;
            if amount == 0 {
                return Ok(all);
            }
            if all.len() + amount > most {
                let reason = format!("the answer is longer than {most} bytes");
                return Err(FetchError::Answer { url: self.url, reason });
            }
            all.extend_from_slice(&buffer[..amount]);
        }
    }
}

fn timed_out(error: &io::Error) -> bool {
    let inner = error.get_ref().and_then(|inner| inner.downcast_ref::<ureq::Error>());
    error.kind() == io::ErrorKind::TimedOut || matches!(inner, Some(ureq::Error::Timeout(_)))
}
