//! Web addresses: what may be asked for, and what of an address may be shown.

use std::fmt;
use std::sync::Arc;

use ureq::http::Uri;

/// An `http` or `https` address without a user name. Shown without its query, where servers put signatures.
#[derive(Clone, PartialEq, Eq)]
pub struct Address(Arc<Parts>);

#[derive(PartialEq, Eq)]
struct Parts {
    text: String,
    origin: Origin,
    /// Where in the text the path begins.
    path: usize,
}

/// Scheme, host and port: what a token belongs to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Origin {
    secure: bool,
    host: String,
    port: u16,
}

impl Address {
    /// Reads an address.
    ///
    /// # Errors
    /// What is wrong with it, in words that do not repeat it.
    pub fn parse(text: &str) -> Result<Self, &'static str> {
        let uri: Uri = text.parse().map_err(|_| "it is no web address")?;
        let secure = match uri.scheme_str() {
            Some("https") => true,
            Some("http") => false,
            _ => return Err("it does not begin with https:// or http://"),
        };
        let authority = uri.authority().ok_or("it has no host")?.as_str();
        if authority.contains('@') {
            return Err(
                "it holds a user name or a password, which would be sent and shown; a token goes to HF_TOKEN",
            );
        }
        let host = uri.host().filter(|host| !host.is_empty()).ok_or("it has no host")?;
        let origin = Origin {
            secure,
            host: host.to_ascii_lowercase(),
            port: uri.port_u16().unwrap_or(if secure { 443 } else { 80 }),
        };
        let text = uri.to_string();
        let scheme = if secure { "https://" } else { "http://" };
        Ok(Self(Arc::new(Parts { path: scheme.len() + authority.len(), text, origin })))
    }

    /// Reads an address below which others are: it has neither a query nor a fragment.
    ///
    /// # Errors
    /// What is wrong with it, in words that do not repeat it.
    pub(crate) fn parse_base(text: &str) -> Result<Self, &'static str> {
        if text.contains(['?', '#']) {
            return Err("it holds a ? or a #, after which no path can be added");
        }
        Self::parse(text)
    }

    /// The address of `path` below this one; both are plain, `path` is made of checked names.
    pub(crate) fn below(&self, path: &str) -> Result<Self, &'static str> {
        Self::parse(&format!("{}/{path}", self.0.text.trim_end_matches('/')))
    }

    /// Where a redirect to `location` leads.
    pub(crate) fn redirected(&self, location: &str) -> Result<Self, &'static str> {
        let there = if let Some(rest) = location.strip_prefix("//") {
            let scheme = if self.0.origin.secure { "https" } else { "http" };
            Self::parse(&format!("{scheme}://{rest}"))?
        } else if location.starts_with('/') {
            Self::parse(&format!("{}{location}", &self.0.text[..self.0.path]))?
        } else if location.contains("://") {
            Self::parse(location)?
        } else {
            return Err("it leads to an address that is neither complete nor begins with a slash");
        };
        if self.0.origin.secure && !there.0.origin.secure {
            return Err("it leads from https to http");
        }
        Ok(there)
    }

    pub(crate) fn origin(&self) -> &Origin {
        &self.0.origin
    }

    /// All of the address, for the request itself.
    pub(crate) fn in_full(&self) -> &str {
        &self.0.text
    }
}

impl fmt::Display for Address {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown = self.0.text.split(['?', '#']).next().unwrap_or_default();
        formatter.write_str(shown.trim_end_matches('/'))
    }
}

impl fmt::Debug for Address {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, formatter)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(text: &str) -> Address {
        Address::parse(text).unwrap()
    }

    #[test]
    fn the_query_is_sent_and_not_shown() {
        let signed = address("https://cdn.example/file?Signature=secret");
        assert_eq!(signed.in_full(), "https://cdn.example/file?Signature=secret");
        assert_eq!(format!("{signed} {signed:?}"), "https://cdn.example/file https://cdn.example/file");
    }

    #[test]
    fn a_base_has_neither_query_nor_fragment() {
        assert!(Address::parse_base("https://hub.example/mirror/").is_ok());
        for text in ["https://hub.example?x=secret", "https://hub.example/a#secret", "https://hub.example/?"]
        {
            let reason = Address::parse_base(text).unwrap_err();
            assert!(reason.contains("? or a #") && !reason.contains("secret"), "{reason}");
        }
    }

    #[test]
    fn an_origin_is_scheme_host_and_port() {
        let origin = |text: &str| address(text).origin().clone();
        assert_eq!(origin("https://Hub.example/a"), origin("https://hub.example:443/b"));
        assert_ne!(origin("https://hub.example"), origin("http://hub.example"));
        assert_ne!(origin("https://hub.example"), origin("https://hub.example:8443"));
        assert_ne!(origin("https://hub.example"), origin("https://hub.example.org"));
    }

    #[test]
    fn redirects_are_resolved() {
        let from = address("https://hub.example/a/b?x=1");
        let to = |location: &str| from.redirected(location).map(|there| there.in_full().to_owned());
        assert_eq!(to("/c?d=1").unwrap(), "https://hub.example/c?d=1");
        assert_eq!(to("//cdn.example/c").unwrap(), "https://cdn.example/c");
        assert_eq!(to("https://cdn.example/c").unwrap(), "https://cdn.example/c");
        assert_eq!(to("/c?d=http://e/").unwrap(), "https://hub.example/c?d=http://e/");
        assert!(to("c").is_err());
    }

    #[test]
    fn a_redirect_from_https_to_http_is_refused() {
        let down = address("https://hub.example/a").redirected("http://hub.example/a");
        assert_eq!(down.unwrap_err(), "it leads from https to http");
        let up = address("http://hub.example/a").redirected("https://hub.example/a");
        assert!(up.is_ok());
    }

    #[test]
    fn other_addresses_are_refused_without_repeating_them() {
        for text in ["", "hub.example", "ftp://hub.example", "https://me:secret@hub.example", "https://"] {
            let reason = Address::parse(text).unwrap_err();
            assert!(!reason.contains("secret"), "{reason}");
        }
        let from = address("https://hub.example");
        assert!(from.redirected("https://me:secret@cdn.example/").is_err());
    }
}
