//! What a user may choose, from `settings.yaml`.
//!
//! ```yaml
//! theme: dark
//! refreshMs: 250               # how often the screen is drawn at most, 16 to 10000
//! keymap: ~/keys.yaml          # in place of keymap.yaml beside this file
//! readOnly: [prod-*]           # contexts that are never written to; `*` stands for any text
//! contexts:
//!   prod-eu: {color: red}      # the header's band says where one is
//! logs:
//!   lines: 20000               # kept for each view, 100 to 1000000
//!   tail: 200                  # fetched at first for each container
//! ```
//!
//! A file that is broken never stops the program: [`Settings::load`] gives the defaults and a
//! [`SettingsError`] to show, with its position.

use std::collections::BTreeMap;
use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use super::position::{self, Position, Step, field};

#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Settings {
    /// A theme's name; `None`: the program's choice for the terminal.
    pub theme: Option<String>,
    pub refresh_ms: u64,
    pub keymap: Option<PathBuf>,
    /// Patterns of kubeconfig contexts that are never written to.
    pub read_only: Vec<String>,
    pub contexts: BTreeMap<String, Context>,
    pub logs: Logs,
}

/// How one context is shown.
#[derive(Clone, Debug, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Context {
    pub color: Option<ContextColor>,
}

/// Colours that every terminal has and that tell contexts apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ContextColor {
    Red,
    Yellow,
    Green,
    Cyan,
    Blue,
    Magenta,
}

#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Logs {
    pub lines: usize,
    pub tail: usize,
}

/// Why the settings are the defaults.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SettingsError {
    #[error("cannot read `{path}`: {reason}; defaults are used")]
    Read { path: PathBuf, reason: String },
    #[error("{file}:{line}:{column}: {message}; defaults are used")]
    Invalid {
        file: String,
        line: usize,
        column: usize,
        message: String,
    },
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            theme: None,
            refresh_ms: 250,
            keymap: None,
            read_only: Vec::new(),
            contexts: BTreeMap::new(),
            logs: Logs::default(),
        }
    }
}

impl Default for Logs {
    fn default() -> Self {
        Self {
            lines: 20_000,
            tail: 200,
        }
    }
}

impl Settings {
    /// The settings of a file, and what is wrong with it. A file that is not there is no error.
    pub fn load(path: &Path) -> (Self, Option<SettingsError>) {
        match fs::read_to_string(path) {
            Ok(text) => match Self::parse(&text, &path.display().to_string()) {
                Ok(settings) => (settings, None),
                Err(error) => (Self::default(), Some(error)),
            },
            Err(error) if error.kind() == ErrorKind::NotFound => (Self::default(), None),
            Err(error) => {
                let error = SettingsError::Read {
                    path: path.to_owned(),
                    reason: error.to_string(),
                };
                (Self::default(), Some(error))
            }
        }
    }

    /// Reads settings. `file` is what positions are given in.
    pub fn parse(text: &str, file: &str) -> Result<Self, SettingsError> {
        let invalid = |at: Position, message: String| SettingsError::Invalid {
            file: file.to_owned(),
            line: at.line,
            column: at.column,
            message,
        };
        // A file of comments alone is an empty one.
        let read: Option<Self> = serde_yaml::from_str(text).map_err(|error| {
            let (at, message) = position::message(&error);
            invalid(at, message)
        })?;
        let settings = read.unwrap_or_default();
        match settings.out_of_range() {
            None => Ok(settings),
            Some((path, message)) => {
                let at = position::locate(text, &path);
                let path = position::path_text(&path);
                Err(invalid(at, format!("{path}: {message}")))
            }
        }
    }

    fn out_of_range(&self) -> Option<(Vec<Step>, &'static str)> {
        let logs = field(&[], "logs");
        if !(16..=10_000).contains(&self.refresh_ms) {
            return Some((field(&[], "refreshMs"), "must be from 16 to 10000"));
        }
        if !(100..=1_000_000).contains(&self.logs.lines) {
            return Some((field(&logs, "lines"), "must be from 100 to 1000000"));
        }
        if self.logs.tail > self.logs.lines {
            return Some((field(&logs, "tail"), "must not be more than `logs.lines`"));
        }
        None
    }

    /// Whether a context is never written to.
    pub fn is_read_only(&self, context: &str) -> bool {
        self.read_only
            .iter()
            .any(|pattern| matches(pattern, context))
    }

    pub fn color(&self, context: &str) -> Option<ContextColor> {
        self.contexts.get(context)?.color
    }
}

/// `*` stands for any text.
fn matches(pattern: &str, text: &str) -> bool {
    let Some((head, rest)) = pattern.split_once('*') else {
        return pattern == text;
    };
    let Some(text) = text.strip_prefix(head) else {
        return false;
    };
    let mut ends = text
        .char_indices()
        .map(|(index, _)| index)
        .chain([text.len()]);
    ends.any(|end| matches(rest, text.get(end..).unwrap_or_default()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Settings, String> {
        Settings::parse(text, "settings.yaml").map_err(|error| error.to_string())
    }

    #[test]
    fn what_is_not_said_is_the_default() {
        assert_eq!(parse("").unwrap(), Settings::default());
        assert_eq!(parse("# nothing yet\n").unwrap(), Settings::default());
        let settings = parse("theme: light\nlogs: {tail: 5}\n").unwrap();
        assert_eq!(settings.theme.as_deref(), Some("light"));
        assert_eq!(settings.logs.tail, 5);
        assert_eq!(settings.logs.lines, Logs::default().lines);
    }

    #[test]
    fn read_only_contexts_are_patterns() {
        let settings =
            parse("readOnly: ['prod-*', staging]\ncontexts: {prod-eu: {color: red}}").unwrap();
        let check =
            |context, wanted| assert_eq!(settings.is_read_only(context), wanted, "{context}");
        check("prod-eu", true);
        check("staging", true);
        check("staging-2", false);
        check("preprod-eu", false);
        assert_eq!(settings.color("prod-eu"), Some(ContextColor::Red));
        assert!(matches("*-eu-*", "prod-eu-1") && !matches("*-eu-*", "prod-us-1"));
    }

    #[test]
    fn errors_say_where_and_what_is_allowed() {
        let check = |text, wanted: &str| {
            let error = parse(text).unwrap_err();
            assert!(error.starts_with(wanted), "{error}");
            assert!(error.ends_with("; defaults are used"), "{error}");
        };
        check(
            "theme: dark\nrefresh: 5\n",
            "settings.yaml:2:1: unknown field `refresh`, expected one of `theme`, `refreshMs`",
        );
        check(
            "refreshMs: 1\n",
            "settings.yaml:1:12: refreshMs: must be from 16 to 10000",
        );
        check(
            "contexts:\n  a: {color: pink}\n",
            "settings.yaml:2:14: contexts.a.color: unknown variant `pink`, expected one of `red`",
        );
        check("logs: {lines: many}\n", "settings.yaml:1:15: logs.lines: ");
        check("theme: [\n", "settings.yaml:");
    }

    #[test]
    fn a_missing_file_is_no_error() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("settings.yaml");
        assert_eq!(Settings::load(&path), (Settings::default(), None));
        fs::write(&path, "theme: 1: 2").unwrap();
        let (settings, error) = Settings::load(&path);
        assert_eq!(settings, Settings::default());
        assert!(matches!(
            error,
            Some(SettingsError::Invalid { line: 1, .. })
        ));
    }
}
