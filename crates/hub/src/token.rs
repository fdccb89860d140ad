//! The token of the hub, which is sent to one host and shown to nobody.

use std::fmt;

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

    pub(crate) fn header(&self) -> String {
        format!("Bearer {}", self.0)
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
    }

    #[test]
    fn what_no_header_can_hold_is_refused() {
        for text in ["", "  ", "hf_a b", "hf_a\nX-Other: 1", "hf_\u{e4}"] {
            assert_eq!(Token::new(text).unwrap_err(), NoToken, "{text:?}");
        }
    }
}
