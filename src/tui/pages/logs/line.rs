//! One line of a log: made harmless for a terminal, its level recognised, its JSON readable.
//!
//! What a container writes is a stranger's text. It must never reach the terminal as it is: escape
//! sequences and control characters are taken out here, before anything else looks at the line.

use std::borrow::Cow;

use jiff::Timestamp;
use serde_json::Value;

/// How serious a line says it is.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub enum Level {
    Trace,
    Debug,
    /// Lines that do not say count as information: a filter on warnings leaves them out.
    #[default]
    Unknown,
    Info,
    Warn,
    Error,
    Fatal,
}

/// A line as the buffer keeps it.
#[derive(Clone, PartialEq, Debug)]
pub struct Line {
    /// When the container wrote it, by its node's clock.
    pub at: Timestamp,
    /// Index into the page's sources.
    pub source: u16,
    pub level: Level,
    pub text: Box<str>,
}

/// Longer lines are cut: nobody reads a megabyte in one line, and one line must not push all
/// others out of the buffer.
pub const LINE_BYTES_MAX: usize = 16 * 1024;

impl Level {
    pub fn word(self) -> &'static str {
        match self {
            Self::Trace => "trace",
            Self::Debug => "debug",
            Self::Unknown => "",
            Self::Info => "info",
            Self::Warn => "warn",
            Self::Error => "error",
            Self::Fatal => "fatal",
        }
    }

    /// Reads a level's name in any of the spellings that loggers use.
    pub fn parse(word: &str) -> Option<Self> {
        const NAMES: &[(&str, Level)] = &[
            ("trace", Level::Trace),
            ("trc", Level::Trace),
            ("finest", Level::Trace),
            ("debug", Level::Debug),
            ("dbg", Level::Debug),
            ("debu", Level::Debug),
            ("fine", Level::Debug),
            ("info", Level::Info),
            ("inf", Level::Info),
            ("information", Level::Info),
            ("notice", Level::Info),
            ("log", Level::Info),
            ("warn", Level::Warn),
            ("wrn", Level::Warn),
            ("warning", Level::Warn),
            ("error", Level::Error),
            ("err", Level::Error),
            ("erro", Level::Error),
            ("severe", Level::Error),
            ("fatal", Level::Fatal),
            ("ftl", Level::Fatal),
            ("fata", Level::Fatal),
            ("critical", Level::Fatal),
            ("crit", Level::Fatal),
            ("panic", Level::Fatal),
            ("alert", Level::Fatal),
            ("emerg", Level::Fatal),
        ];
        NAMES
            .iter()
            .find(|(name, _)| name.eq_ignore_ascii_case(word))
            .map(|(_, level)| *level)
    }

    /// Bunyan's and pino's numbers.
    fn from_number(number: i64) -> Option<Self> {
        Some(match number {
            10 => Self::Trace,
            20 => Self::Debug,
            30 => Self::Info,
            40 => Self::Warn,
            50 => Self::Error,
            60 => Self::Fatal,
            _ => return None,
        })
    }

    /// The next stricter bound of the filter; after the strictest, none again.
    pub fn next_bound(bound: Option<Self>) -> Option<Self> {
        match bound {
            None => Some(Self::Info),
            Some(Self::Info) => Some(Self::Warn),
            Some(Self::Warn) => Some(Self::Error),
            _ => None,
        }
    }
}

impl Line {
    /// Takes a line as the log API sends it with `timestamps=true`: a time stamp, a space, text.
    /// A line without one is given `arrived`.
    pub fn parse(raw: &str, source: u16, arrived: Timestamp) -> Self {
        let stamped = raw
            .split_once(' ')
            .and_then(|(stamp, rest)| Some((stamp.parse::<Timestamp>().ok()?, rest)));
        let (at, text) = match stamped {
            Some((at, text)) => (at, text),
            // An empty line still has its stamp, without the space.
            None => match raw.parse::<Timestamp>() {
                Ok(at) => (at, ""),
                Err(_) => (arrived, raw),
            },
        };
        let text = sanitise(text);
        Self {
            at,
            source,
            level: level_of(&text),
            text: text.into(),
        }
    }
}

/// The text without escape sequences; other control characters as visible pictures, tabs as
/// spaces.
pub fn sanitise(text: &str) -> Cow<'_, str> {
    let text = cut(text.trim_end_matches(['\n', '\r']));
    if !text.contains(is_unsafe) {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len());
    let mut letters = text.chars().peekable();
    while let Some(letter) = letters.next() {
        match letter {
            '\u{1b}' => skip_escape(&mut letters),
            // CSI as one character (C1).
            '\u{9b}' => skip_csi(&mut letters),
            '\t' => {
                let column = out.chars().count();
                out.extend(std::iter::repeat_n(' ', 8 - column % 8));
            }
            letter if is_unsafe(letter) => out.push(picture(letter)),
            letter => out.push(letter),
        }
    }
    Cow::Owned(out)
}

fn cut(text: &str) -> &str {
    if text.len() <= LINE_BYTES_MAX {
        return text;
    }
    let end = (0..=LINE_BYTES_MAX)
        .rev()
        .find(|&index| text.is_char_boundary(index))
        .unwrap_or(0);
    text.get(..end).unwrap_or_default()
}

/// Control characters, and the marks that turn the direction of text round (they can make a line
/// read as something it is not).
fn is_unsafe(letter: char) -> bool {
    letter.is_control()
        || matches!(letter, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

fn picture(letter: char) -> char {
    match u32::from(letter) {
        code @ 0..=0x1f => char::from_u32(0x2400 + code).unwrap_or('\u{fffd}'),
        0x7f => '\u{2421}',
        _ => '\u{fffd}',
    }
}

type Letters<'a> = std::iter::Peekable<std::str::Chars<'a>>;

/// Source: ECMA-48. A control sequence ends with a byte in `@..~`; a string (OSC, DCS, APC, PM, SOS)
/// with BEL or ST.
fn skip_escape(letters: &mut Letters<'_>) {
    match letters.next() {
        Some('[') => skip_csi(letters),
        Some(']' | 'P' | '_' | '^' | 'X') => {
            while let Some(letter) = letters.next() {
                if letter == '\u{7}' || letter == '\u{9c}' {
                    break;
                }
                if letter == '\u{1b}' {
                    letters.next_if_eq(&'\\');
                    break;
                }
            }
        }
        // Two-character sequences with an intermediate: `ESC ( B`.
        Some('(' | ')' | '#' | '%' | ' ') => {
            letters.next();
        }
        _ => {}
    }
}

fn skip_csi(letters: &mut Letters<'_>) {
    for letter in letters.by_ref() {
        if ('@'..='~').contains(&letter) {
            break;
        }
    }
}

/// Looks for a level in JSON, logfmt, klog and the plain forms, in this order.
pub fn level_of(text: &str) -> Level {
    let trimmed = text.trim_start();
    json_level(trimmed)
        .or_else(|| logfmt_level(trimmed))
        .or_else(|| klog_level(trimmed))
        .or_else(|| plain_level(trimmed))
        .unwrap_or_default()
}

fn json_level(text: &str) -> Option<Level> {
    if !text.starts_with('{') {
        return None;
    }
    let Value::Object(fields) = serde_json::from_str(text).ok()? else {
        return None;
    };
    [
        "level",
        "severity",
        "lvl",
        "log.level",
        "loglevel",
        "levelname",
    ]
    .iter()
    .find_map(|name| match fields.get(*name)? {
        Value::String(word) => Level::parse(word),
        Value::Number(number) => Level::from_number(number.as_i64()?),
        _ => None,
    })
}

fn logfmt_level(text: &str) -> Option<Level> {
    ["level=", "lvl=", "severity="].iter().find_map(|key| {
        let at = text.find(key)?;
        let before = text.get(..at)?;
        if !before.is_empty() && !before.ends_with(' ') {
            return None;
        }
        let value = text.get(at + key.len()..)?.trim_start_matches('"');
        let end = value
            .find(|letter: char| !letter.is_ascii_alphabetic())
            .unwrap_or(value.len());
        Level::parse(value.get(..end)?)
    })
}

/// `W0612 14:03:21.482 1 file.go:12] …`
fn klog_level(text: &str) -> Option<Level> {
    let mut bytes = text.bytes();
    let level = match bytes.next()? {
        b'I' => Level::Info,
        b'W' => Level::Warn,
        b'E' => Level::Error,
        b'F' => Level::Fatal,
        _ => return None,
    };
    let date = bytes.by_ref().take(4).all(|byte| byte.is_ascii_digit());
    (date && bytes.next() == Some(b' ')).then_some(level)
}

/// A level's name among the first words, in capitals or set apart (`[warn]`, `error:`).
fn plain_level(text: &str) -> Option<Level> {
    text.split_whitespace().take(6).find_map(|word| {
        let bare = word.trim_matches(|letter: char| !letter.is_ascii_alphanumeric());
        let set_apart = bare.len() < word.len();
        let capitals = bare.len() > 2 && bare.bytes().all(|byte| byte.is_ascii_uppercase());
        if set_apart || capitals {
            Level::parse(bare)
        } else {
            None
        }
    })
}

/// A JSON line with its message first and every field on a line of its own; `None` where the text
/// is no JSON object.
pub fn unfold(text: &str) -> Option<Vec<String>> {
    let start = text.find('{')?;
    let (before, json) = text.split_at(start);
    let Value::Object(fields) = serde_json::from_str(json).ok()? else {
        return None;
    };
    let message = ["message", "msg", "event", "error"]
        .iter()
        .find_map(|name| fields.get(*name)?.as_str());
    let mut lines = vec![format!("{before}{}", sanitise(message.unwrap_or("{…}")))];
    for (name, value) in &fields {
        if value.as_str() != message || value.is_null() {
            flatten(name, value, &mut lines);
        }
    }
    Some(lines)
}

fn flatten(name: &str, value: &Value, lines: &mut Vec<String>) {
    match value {
        Value::Object(fields) if !fields.is_empty() => {
            for (inner, value) in fields {
                flatten(&format!("{name}.{inner}"), value, lines);
            }
        }
        // A stack trace keeps its lines.
        Value::String(text) if text.contains('\n') => {
            lines.push(format!("  {}:", sanitise(name)));
            lines.extend(text.lines().map(|line| format!("    {}", sanitise(line))));
        }
        Value::String(text) => lines.push(format!("  {}: {}", sanitise(name), sanitise(text))),
        other => lines.push(format!("  {}: {other}", sanitise(name))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check_level(text: &str, level: Level) {
        assert_eq!(level_of(text), level, "{text}");
    }

    #[test]
    fn levels_are_recognised_in_the_usual_forms() {
        check_level(r#"{"level":"warn","msg":"x"}"#, Level::Warn);
        check_level(r#"{"severity":"ERROR","message":"x"}"#, Level::Error);
        check_level(r#"{"level":50,"msg":"x"}"#, Level::Error);
        check_level("ts=1 level=error msg=boom", Level::Error);
        check_level("sublevel=error", Level::Unknown);
        check_level("W0612 14:03:21.482 1 file.go:12] slow", Level::Warn);
        check_level("Warehouse is full", Level::Unknown);
        check_level("2026-01-01 10:00:00 ERROR boom", Level::Error);
        check_level("[warn] disk", Level::Warn);
        check_level("panic: runtime error", Level::Fatal);
        check_level("no error here", Level::Unknown);
        check_level("GET /info 200", Level::Info);
    }

    #[track_caller]
    fn check_clean(text: &str, expected: &str) {
        assert_eq!(sanitise(text), expected);
    }

    #[test]
    fn nothing_that_a_terminal_obeys_is_left() {
        check_clean("\u{1b}[31mred\u{1b}[0m", "red");
        check_clean("\u{1b}]0;title\u{7}after", "after");
        check_clean("\u{1b}]52;c;AAAA\u{1b}\\after", "after");
        check_clean("\u{9b}2Jx", "x");
        check_clean("\u{1b}(Bx", "x");
        check_clean("bell\u{7} cr\r end\n", "bell\u{2407} cr\u{240d} end");
        check_clean("a\tb", "a       b");
        check_clean("evil\u{202e}txt", "evil\u{fffd}txt");
        check_clean("\u{1b}[31", "");
        check_clean("\u{1b}", "");
    }

    #[test]
    fn line_takes_its_time_from_the_stamp() {
        let arrived = Timestamp::UNIX_EPOCH;
        let line = Line::parse("2026-01-02T03:04:05.123456789Z level=warn slow", 2, arrived);
        assert_eq!(line.at.to_string(), "2026-01-02T03:04:05.123456789Z");
        assert_eq!((&*line.text, line.level), ("level=warn slow", Level::Warn));
        let line = Line::parse("no stamp", 0, arrived);
        assert_eq!((line.at, &*line.text), (arrived, "no stamp"));
        assert_eq!(&*Line::parse("2026-01-02T03:04:05Z", 0, arrived).text, "");
    }

    #[test]
    fn long_line_is_cut_at_a_character() {
        let long = "ä".repeat(LINE_BYTES_MAX);
        assert!(sanitise(&long).len() <= LINE_BYTES_MAX);
    }

    #[test]
    fn json_is_unfolded_with_its_message_first() {
        let lines = unfold(r#"{"level":"error","msg":"boom","http":{"code":503},"stack":"a\nb"}"#);
        let expected = [
            "boom",
            "  http.code: 503",
            "  level: error",
            "  stack:",
            "    a",
            "    b",
        ];
        assert_eq!(lines.unwrap(), expected);
        assert_eq!(unfold("plain {text"), None);
    }
}
