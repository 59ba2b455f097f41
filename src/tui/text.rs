//! Text on its way to the screen: spans with a role, lines of spans, and how they are cut.
//!
//! This is the border where text from outside becomes text on a terminal: a [`Span`] never holds a
//! control character, an escape sequence or a character that turns the direction of reading.

use unicode_segmentation::UnicodeSegmentation;
use unicode_width::UnicodeWidthStr;

pub use crate::config::theme::Role;

/// A run of text in one role.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Span {
    text: String,
    pub role: Role,
    /// A second role whose colour lies behind the text: bars, selections inside a line.
    pub behind: Option<Role>,
}

/// Spans side by side.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Line {
    pub spans: Vec<Span>,
}

impl Span {
    pub fn new(text: impl Into<String>, role: Role) -> Self {
        Self {
            text: clean(text.into()),
            role,
            behind: None,
        }
    }

    #[must_use]
    pub fn on(mut self, behind: Role) -> Self {
        self.behind = Some(behind);
        self
    }

    pub fn text(&self) -> &str {
        &self.text
    }

    pub fn width(&self) -> usize {
        width(&self.text)
    }
}

impl From<&str> for Span {
    fn from(text: &str) -> Self {
        Self::new(text, Role::Text)
    }
}

impl From<String> for Span {
    fn from(text: String) -> Self {
        Self::new(text, Role::Text)
    }
}

impl Line {
    pub fn new(spans: impl IntoIterator<Item = Span>) -> Self {
        Self {
            spans: spans.into_iter().collect(),
        }
    }

    /// A line of one span.
    pub fn of(text: impl Into<String>, role: Role) -> Self {
        Self::new([Span::new(text, role)])
    }

    #[must_use]
    pub fn with(mut self, text: impl Into<String>, role: Role) -> Self {
        self.push(text, role);
        self
    }

    pub fn push(&mut self, text: impl Into<String>, role: Role) {
        self.spans.push(Span::new(text, role));
    }

    pub fn width(&self) -> usize {
        self.spans.iter().map(Span::width).sum()
    }

    pub fn is_empty(&self) -> bool {
        self.spans.iter().all(|span| span.text.is_empty())
    }

    /// Without roles, for searching, copying and tests.
    pub fn plain(&self) -> String {
        self.spans.iter().map(Span::text).collect()
    }
}

impl From<Span> for Line {
    fn from(span: Span) -> Self {
        Self::new([span])
    }
}

impl From<&str> for Line {
    fn from(text: &str) -> Self {
        Self::of(text, Role::Text)
    }
}

impl From<String> for Line {
    fn from(text: String) -> Self {
        Self::of(text, Role::Text)
    }
}

/// Columns that a terminal gives to `text`.
pub fn width(text: &str) -> usize {
    if text.is_ascii() {
        text.len()
    } else {
        text.width()
    }
}

/// Cuts in the middle, so that beginning and end still tell names apart: `checkout-7f9…x2x4p`.
pub fn cut_middle(text: &str, columns: usize) -> String {
    if width(text) <= columns {
        return text.to_owned();
    }
    if columns <= 1 {
        return "…".repeat(columns);
    }
    let tail = take(text.graphemes(true).rev(), (columns - 1) / 2);
    // A wide character that did not fit at the end leaves its column to the beginning.
    let used: usize = tail.iter().copied().map(width).sum();
    let head = take(text.graphemes(true), columns - 1 - used);
    let mut out = head.concat();
    out.push('…');
    out.extend(tail.into_iter().rev());
    out
}

/// Cuts at the end, for sentences: their beginning says most.
pub fn cut_end(text: &str, columns: usize) -> String {
    if width(text) <= columns {
        return text.to_owned();
    }
    if columns == 0 {
        return String::new();
    }
    let mut out = take(text.graphemes(true), columns - 1).concat();
    out.push('…');
    out
}

fn take<'a>(graphemes: impl Iterator<Item = &'a str>, columns: usize) -> Vec<&'a str> {
    let mut used = 0;
    graphemes
        .take_while(|grapheme| {
            used += grapheme.width();
            used <= columns
        })
        .collect()
}

/// Makes outside text harmless. Tabs become spaces, line ends a return sign, other controls the
/// Unicode control pictures; direction overrides and invisible characters are dropped.
pub fn clean(text: String) -> String {
    let harmless = text.bytes().all(|byte| (0x20..0x7f).contains(&byte));
    if harmless || !text.chars().any(is_unsafe) {
        return text;
    }
    let mut out = String::with_capacity(text.len());
    for letter in text.chars() {
        match letter {
            '\t' => out.push_str("    "),
            '\n' => out.push('↵'),
            '\r' => {}
            '\u{7f}' => out.push('␡'),
            '\u{0}'..='\u{1f}' => {
                out.push(char::from_u32(0x2400 + u32::from(letter)).unwrap_or('␀'));
            }
            _ if is_unsafe(letter) => {}
            _ => out.push(letter),
        }
    }
    out
}

/// Control characters (C0, DEL, C1), bidirectional controls, zero-width and other characters that
/// a terminal may act on or that hide text.
fn is_unsafe(letter: char) -> bool {
    matches!(letter,
        '\u{0}'..='\u{1f}'
        | '\u{7f}'..='\u{9f}'
        | '\u{ad}'
        | '\u{61c}'
        | '\u{200b}'
        | '\u{200e}' | '\u{200f}'
        | '\u{2028}'..='\u{202e}'
        | '\u{2060}'..='\u{206f}'
        | '\u{feff}'
        | '\u{fff9}'..='\u{fffb}'
        | '\u{e0000}'..='\u{e007f}')
}

/// Lines of at most so many columns, broken between words; a word that is longer is broken in it.
pub fn wrap(text: &str, columns: usize) -> Vec<String> {
    let columns = columns.max(1);
    let mut lines = vec![String::new()];
    let mut used = 0;
    for word in text.split_whitespace() {
        let mut rest = word;
        if used > 0 && used + 1 + width(rest) > columns {
            lines.push(String::new());
            used = 0;
        }
        while let Some(line) = lines.last_mut() {
            if used > 0 {
                line.push(' ');
                used += 1;
            }
            if width(rest) <= columns {
                line.push_str(rest);
                used += width(rest);
                break;
            }
            let mut taken = 0;
            for grapheme in rest.graphemes(true) {
                if used + width(grapheme) > columns {
                    break;
                }
                used += width(grapheme);
                taken += grapheme.len();
            }
            // A letter wider than the whole line still has to go somewhere.
            let taken = taken.max(rest.graphemes(true).next().map_or(0, str::len));
            let (head, tail) = rest.split_at(taken);
            line.push_str(head);
            rest = tail;
            lines.push(String::new());
            used = 0;
        }
    }
    lines.retain(|line| !line.is_empty());
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_cut_in_the_middle() {
        assert_eq!(cut_middle("checkout-7f9c6d-x2x4p", 12), "checko…x2x4p");
        assert_eq!(cut_middle("short", 12), "short");
        assert_eq!(cut_middle("abc", 1), "…");
        assert_eq!(cut_middle("abc", 0), "");
        assert_eq!(cut_middle("データベース", 7), "デー…ス");
        assert_eq!(cut_end("a sentence", 6), "a sen…");
    }

    #[test]
    fn nothing_a_terminal_acts_on_gets_into_a_span() {
        let nasty = "a\u{1b}[31mred\u{7}\u{9b}2J\r\n\tx\u{202e}y\u{0}";
        let span = Span::new(nasty, Role::Text);
        assert_eq!(span.text(), "a␛[31mred␇2J↵    xy␀");
        for code in 0..=0x0010_ffff_u32 {
            if let Some(letter) = char::from_u32(code) {
                let text = clean(letter.to_string());
                assert!(!text.chars().any(char::is_control), "{code:x}");
            }
        }
    }

    #[test]
    fn sentences_are_broken_between_words() {
        assert_eq!(wrap("one two three", 7), ["one two", "three"]);
        assert_eq!(
            wrap("a/very/long/path x", 6),
            ["a/very", "/long/", "path x"]
        );
        assert_eq!(wrap("", 7), Vec::<String>::new());
    }
}
