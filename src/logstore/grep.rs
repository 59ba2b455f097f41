//! What a line must say to be found.

use regex::bytes::{Regex, RegexBuilder};

/// A text, or a regular expression between slashes: `refused`, `/timeout|refused/`.
#[derive(Clone, Debug)]
pub struct Grep {
    pattern: Regex,
    is_literal: bool,
}

#[derive(Clone, Debug, thiserror::Error)]
#[error("`{text}` is no regular expression")]
pub struct GrepError {
    text: String,
    #[source]
    source: regex::Error,
}

/// A pattern that compiles to more than this is an attack or a mistake.
const PROGRAM_BYTES_MAX: usize = 4 << 20;

impl Grep {
    pub fn parse(text: &str) -> Result<Self, GrepError> {
        let inner = text
            .strip_prefix('/')
            .and_then(|rest| rest.strip_suffix('/'))
            .filter(|inner| !inner.is_empty());
        let pattern = inner.map_or_else(|| regex::escape(text), str::to_owned);
        let built = RegexBuilder::new(&pattern)
            .size_limit(PROGRAM_BYTES_MAX)
            .build();
        Ok(Self {
            pattern: built.map_err(|source| GrepError {
                text: text.to_owned(),
                source,
            })?,
            is_literal: inner.is_none(),
        })
    }

    pub fn is_match(&self, text: &[u8]) -> bool {
        self.pattern.is_match(text)
    }

    /// Whether some line of these may match. Only a plain text can be ruled out at once: an
    /// expression may ask for a line's beginning or end.
    pub fn may_match(&self, texts: &[u8]) -> bool {
        !self.is_literal || self.pattern.is_match(texts)
    }
}
