//! What a user may choose, from `settings.yaml`.
//!
//! ```yaml
//! theme: dark
//! refreshMs: 33                # how often the screen is drawn at most, 16 to 10000
//! mouse: false                 # the wheel scrolls; the terminal's own selection then needs shift
//! keymap: ~/keys.yaml          # in place of keymap.yaml beside this file
//! readOnly: [prod-*]           # contexts that are never written to; `*` stands for any text
//! contexts:
//!   prod-eu: {color: red}      # the header's band says where one is
//! logs:
//!   lines: 200000              # kept for each view, 100 to 1000000
//!   tail: 500                  # fetched at first for each container
//! ```
//!
//! A file that is broken never stops the program: [`Settings::load`] keeps what is right, takes the
//! default for what is wrong, and gives a [`SettingsError`] to show for each, with its position. The
//! exception is what protects: where `readOnly` is not understood, no context is written to.

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
    /// Off by default: a terminal that reports the mouse does not select text with it.
    pub mouse: bool,
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
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ContextColor {
    Red,
    Yellow,
    Green,
    Cyan,
    Blue,
    Magenta,
}

impl ContextColor {
    pub const ALL: [Self; 6] = [
        Self::Red,
        Self::Yellow,
        Self::Green,
        Self::Cyan,
        Self::Blue,
        Self::Magenta,
    ];

    pub fn name(self) -> &'static str {
        match self {
            Self::Red => "red",
            Self::Yellow => "yellow",
            Self::Green => "green",
            Self::Cyan => "cyan",
            Self::Blue => "blue",
            Self::Magenta => "magenta",
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Logs {
    pub lines: usize,
    pub tail: usize,
}

/// Why a default stands in the place of what the file says.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SettingsError {
    #[error("{path} cannot be read: {reason}; the defaults are used, and no context is written to")]
    Read { path: PathBuf, reason: String },
    #[error("{file}: `readOnly` is not understood; until it is, no context is written to")]
    Unprotected { file: String },
    #[error("{file}:{line}:{column}: {message}; the default is used")]
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
            refresh_ms: 33,
            mouse: false,
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
            lines: 200_000,
            tail: 500,
        }
    }
}

impl Settings {
    /// The settings of a file, and what is wrong with it. A file that is not there is no error.
    pub fn load(path: &Path) -> (Self, Vec<SettingsError>) {
        match fs::read_to_string(path) {
            Ok(text) => Self::parse(&text, &path.display().to_string()),
            Err(error) if error.kind() == ErrorKind::NotFound => (Self::default(), Vec::new()),
            Err(error) => {
                let error = SettingsError::Read {
                    path: path.to_owned(),
                    reason: error.to_string(),
                };
                (Self::protected(), vec![error])
            }
        }
    }

    /// Reads settings. `file` is what positions are given in.
    pub fn parse(text: &str, file: &str) -> (Self, Vec<SettingsError>) {
        let whole = match Self::read(text, file) {
            Ok(settings) => return (settings, Vec::new()),
            Err(error) => error,
        };
        // Each top-level entry by itself: what is right holds beside what is wrong.
        let mut errors = Vec::new();
        let mut right = String::new();
        for entry in entries(text) {
            match Self::read(&entry, file) {
                Ok(_) => right.push_str(entry.trim_start_matches('\n')),
                Err(error) => errors.push(error),
            }
        }
        if errors.is_empty() {
            errors.push(whole);
        }
        let settings = Self::read(&right, file);
        if names_read_only(text) && !(settings.is_ok() && names_read_only(&right)) {
            errors.push(SettingsError::Unprotected {
                file: file.to_owned(),
            });
            return (
                Self {
                    read_only: Self::protected().read_only,
                    ..settings.unwrap_or_default()
                },
                errors,
            );
        }
        (settings.unwrap_or_default(), errors)
    }

    /// The defaults where it is not known which contexts must not be written to.
    fn protected() -> Self {
        Self {
            read_only: vec!["*".to_owned()],
            ..Self::default()
        }
    }

    fn read(text: &str, file: &str) -> Result<Self, SettingsError> {
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

/// The top-level entries of a file, each as the whole file with the others' lines empty, so that
/// positions stay true.
fn entries(text: &str) -> Vec<String> {
    let begins =
        |line: &str| !line.starts_with([' ', '\t', '#', '-', '}', ']']) && !line.is_empty();
    let lines: Vec<&str> = text.lines().collect();
    let mut starts: Vec<usize> = (0..lines.len())
        .filter(|index| lines.get(*index).is_some_and(|line| begins(line)))
        .collect();
    starts.push(lines.len());
    starts
        .windows(2)
        .filter_map(|bounds| {
            let [from, to] = bounds else { return None };
            let own = lines.get(*from..*to)?.join("\n");
            Some(format!("{}{own}\n", "\n".repeat(*from)))
        })
        .collect()
}

/// Whether somebody meant to say which contexts are read-only, also in a wrong spelling.
fn names_read_only(text: &str) -> bool {
    text.lines().any(|line| {
        let said = line.split('#').next().unwrap_or_default();
        let letters: String = said.chars().filter(char::is_ascii_alphanumeric).collect();
        letters.to_ascii_lowercase().contains("readonly")
    })
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
        let (settings, errors) = Settings::parse(text, "settings.yaml");
        match errors.first() {
            None => Ok(settings),
            Some(error) => Err(error.to_string()),
        }
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
            assert!(error.ends_with("; the default is used"), "{error}");
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
        check(
            "logs: {lines: many}\n",
            "settings.yaml:1:15: logs.lines: invalid type: string \"many\", expected a whole number;",
        );
        check(
            "mouse: 3\n",
            "settings.yaml:1:8: mouse: invalid type: integer `3`, expected true or false;",
        );
        check(
            "logs: 3\n",
            "settings.yaml:1:7: logs: invalid type: integer `3`, expected a map of fields;",
        );
        check("theme: [\n", "settings.yaml:");
    }

    #[test]
    fn what_is_right_holds_beside_what_is_wrong() {
        let text = "theme: light\nrefreshMs: fast\nmouse: true\nlogs:\n  tail: 7\n  line: 9\n# end\nreadOnly: [prod-*]\n";
        let (settings, errors) = Settings::parse(text, "s.yaml");
        assert_eq!(settings.theme.as_deref(), Some("light"));
        assert!(settings.mouse && settings.is_read_only("prod-eu"));
        assert_eq!(settings.refresh_ms, Settings::default().refresh_ms);
        assert_eq!(settings.logs, Logs::default());
        let told: Vec<String> = errors.iter().map(ToString::to_string).collect();
        assert_eq!(told.len(), 2, "{told:?}");
        assert!(told[0].starts_with("s.yaml:2:12: refreshMs: "), "{told:?}");
        assert!(
            told[1].starts_with("s.yaml:6:3: logs: unknown field `line`"),
            "{told:?}"
        );
        // Not even YAML in one place.
        let (settings, errors) = Settings::parse("theme: [\nmouse: true\n", "s.yaml");
        assert!(settings.mouse);
        assert_eq!(errors.len(), 1);
        // A map in braces is one entry.
        let (settings, errors) = Settings::parse("{theme: light, mouse: 3}", "s.yaml");
        assert_eq!((settings, errors.len()), (Settings::default(), 1));
    }

    #[test]
    fn read_only_contexts_that_are_not_understood_close_all() {
        let check = |text: &str, is_closed: bool| {
            let (settings, errors) = Settings::parse(text, "s.yaml");
            assert_eq!(settings.is_read_only("any"), is_closed, "{text}");
            let told = errors.last().unwrap().to_string();
            assert_eq!(
                told.ends_with("no context is written to"),
                is_closed,
                "{told}"
            );
        };
        check("readOnly: prod-*\nmouse: true\n", true);
        check("readonly: [prod-*]\n", true);
        check("read_only:\n  - prod-*\n", true);
        check("readOnly: [prod-*\nmouse: true\n", true);
        check("readOnly: [a]\nreadOnly: [b]\n", true);
        check("{readOnly: [prod-*], mouse: 3}", true);
        check("readOnly: [prod-*]\nmouse: 3\n", false);
        check("readOnly: []\nmouse: 3\n", false);
        check("# readOnly: [prod-*]\nmouse: 3\n", false);
        let (settings, _) = Settings::parse("readOnly: prod-*\nmouse: true\n", "s.yaml");
        assert!(settings.mouse, "what is right holds");
        // A folder can be opened and not be read.
        let folder = tempfile::tempdir().unwrap();
        let (settings, errors) = Settings::load(folder.path());
        assert!(settings.is_read_only("any"));
        assert!(matches!(errors.as_slice(), [SettingsError::Read { .. }]));
    }

    #[test]
    fn a_missing_file_is_no_error() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("settings.yaml");
        assert_eq!(Settings::load(&path), (Settings::default(), Vec::new()));
        fs::write(&path, "theme: 1: 2").unwrap();
        let (settings, errors) = Settings::load(&path);
        assert_eq!(settings, Settings::default());
        assert!(matches!(
            errors.as_slice(),
            [SettingsError::Invalid { line: 1, .. }]
        ));
    }
}
