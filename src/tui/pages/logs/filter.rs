//! Which lines are shown: a regular expression or its inverse, a level's lower bound, and the
//! containers that are not hidden.

use regex::{Regex, RegexBuilder};

use super::line::{Level, Line};
use super::source::Sources;

/// A text pattern as typed into `/`.
#[derive(Clone, Debug)]
pub struct Pattern {
    typed: String,
    regex: Regex,
    pub inverse: bool,
    /// Why the text is no regular expression; it is then searched for as it stands.
    pub complaint: Option<String>,
}

#[derive(Clone, Debug, Default)]
pub struct Filter {
    pub pattern: Option<Pattern>,
    pub level: Option<Level>,
}

/// A compiled pattern may take this much memory; a person's pattern needs a small part of it.
const REGEX_BYTES_MAX: usize = 1 << 20;

impl Pattern {
    /// Reads `timeout|refused`, `!healthz`. Small letters match both cases, a capital makes the
    /// whole pattern exact. Empty text is no pattern.
    pub fn parse(typed: &str) -> Option<Self> {
        let (inverse, text) = match typed.strip_prefix('!') {
            Some(rest) => (true, rest),
            None => (false, typed),
        };
        if text.is_empty() {
            return None;
        }
        let exact = text.chars().any(char::is_uppercase);
        let build = |pattern: &str| {
            RegexBuilder::new(pattern)
                .case_insensitive(!exact)
                .size_limit(REGEX_BYTES_MAX)
                .build()
        };
        let (regex, complaint) = match build(text) {
            Ok(regex) => (regex, None),
            Err(error) => (build(&regex::escape(text)).ok()?, Some(complaint(&error))),
        };
        Some(Self {
            typed: typed.to_owned(),
            regex,
            inverse,
            complaint,
        })
    }

    pub fn typed(&self) -> &str {
        &self.typed
    }

    pub fn is_match(&self, text: &str) -> bool {
        self.regex.is_match(text)
    }

    /// Byte ranges of what matches, for emphasis; none for an inverse pattern.
    pub fn ranges(&self, text: &str) -> Vec<std::ops::Range<usize>> {
        if self.inverse {
            return Vec::new();
        }
        self.regex
            .find_iter(text)
            .map(|found| found.range())
            .filter(|range| !range.is_empty())
            .collect()
    }
}

impl PartialEq for Pattern {
    fn eq(&self, other: &Self) -> bool {
        self.typed == other.typed
    }
}

/// The last line of a parse error says what is wrong, the ones before draw the place.
fn complaint(error: &regex::Error) -> String {
    let text = error.to_string();
    let last = text.lines().last().unwrap_or_default();
    last.trim_start_matches("error: ").to_owned()
}

impl Filter {
    pub fn shows(&self, line: &Line, sources: &Sources) -> bool {
        sources.is_shown(line.source)
            && self.level.is_none_or(|bound| line.level >= bound)
            && self
                .pattern
                .as_ref()
                .is_none_or(|pattern| pattern.is_match(&line.text) != pattern.inverse)
    }

    pub fn is_empty(&self) -> bool {
        self.pattern.is_none() && self.level.is_none()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(typed: &str, text: &str, shown: bool) {
        let pattern = Pattern::parse(typed).unwrap();
        assert_eq!(pattern.is_match(text) != pattern.inverse, shown);
    }

    #[test]
    fn patterns_read_as_people_type_them() {
        check("timeout|refused", "Connection REFUSED", true);
        check("!healthz", "GET /healthz", false);
        check("!healthz", "GET /cart", true);
        check("Error", "error", false);
        check("a[", "x a[0]", true);
        assert!(Pattern::parse("").is_none() && Pattern::parse("!").is_none());
        assert_eq!(
            Pattern::parse("a[").unwrap().complaint.as_deref(),
            Some("unclosed character class")
        );
    }
}
