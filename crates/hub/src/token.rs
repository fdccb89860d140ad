//! The token of the hub, which is sent to one host and shown to nobody.

use std::fmt;
use std::path::PathBuf;

use crate::error::FetchError;

/// A token. Its text is nowhere but in the header of a request: `Debug` shows dots.
#[derive(Clone)]
pub struct Token(String);

/// The text cannot be a token: it holds something else than visible ASCII, or nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NoToken;

impl Token {
    /// Takes white space off both ends of `text` and checks that it can stand in a header.
    ///
    /// # Errors
    /// [`NoToken`], which does not say what the text is.
    pub fn new(text: &str) -> Result<Self, NoToken> {
        let text = text.trim();
        if text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(NoToken);
        }
        Ok(Self(text.to_owned()))
    }

    fn read(text: &str, place: impl fmt::Display) -> Result<Self, FetchError> {
        Self::new(text).map_err(|NoToken| FetchError::Setting {
            variable: place.to_string(),
            reason: "holds something that cannot be a token: white space, control characters or letters beyond ASCII"
                .into(),
        })
    }

    pub(crate) fn header(&self) -> String {
        format!("Bearer {}", self.0)
    }
}

/// Where the token is. It is looked at when the hub is to be asked, and not before: what is wrong with it disturbs
/// nobody who does not need it.
#[derive(Clone)]
pub enum TokenSource {
    /// There is none.
    Nowhere,
    /// Here.
    Given(Token),
    /// The value of `HF_TOKEN`, yet to be checked.
    Variable(String),
    /// In a file, which may be absent or empty.
    File(PathBuf),
}

impl TokenSource {
    /// The token, if there is one.
    ///
    /// # Errors
    /// [`FetchError::Setting`] if it cannot be one, [`FetchError::Disk`] if its file cannot be read.
    pub(crate) fn token(&self) -> Result<Option<Token>, FetchError> {
        match self {
            Self::Nowhere => Ok(None),
            Self::Given(token) => Ok(Some(token.clone())),
            Self::Variable(text) => Token::read(text, "HF_TOKEN").map(Some),
            Self::File(path) => match std::fs::read_to_string(path) {
                Ok(text) if text.trim().is_empty() => Ok(None),
                Ok(text) => Token::read(&text, path.display()).map(Some),
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
                Err(source) => Err(FetchError::Disk { path: path.clone(), source }),
            },
        }
    }
}

impl fmt::Debug for TokenSource {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Nowhere => formatter.write_str("Nowhere"),
            Self::Given(token) => formatter.debug_tuple("Given").field(token).finish(),
            Self::Variable(_) => formatter.write_str("Variable(...)"),
            Self::File(path) => formatter.debug_tuple("File").field(path).finish(),
        }
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Token(...)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_trimmed_and_never_shown() {
        let token = Token::new(" hf_secret\n").unwrap();
        assert_eq!(token.header(), "Bearer hf_secret");
        assert!(!format!("{token:?}").contains("secret"));
        for source in [TokenSource::Given(token), TokenSource::Variable("hf_secret".into())] {
            assert!(!format!("{source:?}").contains("secret"));
        }
    }

    #[test]
    fn what_no_header_can_hold_is_refused() {
        for text in ["", "  ", "hf_a b", "hf_a\nX-Other: 1", "hf_\u{e4}"] {
            assert_eq!(Token::new(text).unwrap_err(), NoToken, "{text:?}");
        }
    }
}
