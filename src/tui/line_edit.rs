//! One line of typed text: the command line, filters, names to confirm.

use unicode_segmentation::UnicodeSegmentation;

use super::key::{Chord, Key};
use super::text::{clean, width};

/// Longer input is a paste by mistake.
const LENGTH_MAX: usize = 1_000;

#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct LineEdit {
    text: String,
    /// Byte offset of the caret, on a grapheme's border.
    caret: usize,
}

impl LineEdit {
    pub fn new(text: &str) -> Self {
        let mut edit = Self::default();
        edit.set(text);
        edit
    }

    pub fn text(&self) -> &str {
        &self.text
    }

    pub fn set(&mut self, text: &str) {
        self.text = clean(text.to_owned());
        self.caret = self.text.len();
    }

    /// Columns before the caret.
    pub fn caret(&self) -> u16 {
        u16::try_from(width(self.before())).unwrap_or(u16::MAX)
    }

    pub fn is_at_end(&self) -> bool {
        self.caret == self.text.len()
    }

    fn before(&self) -> &str {
        self.text.get(..self.caret).unwrap_or_default()
    }

    fn after(&self) -> &str {
        self.text.get(self.caret..).unwrap_or_default()
    }

    pub fn insert(&mut self, text: &str) {
        let text = clean(text.lines().next().unwrap_or_default().to_owned());
        if self.text.len() + text.len() <= LENGTH_MAX {
            self.text.insert_str(self.caret, &text);
            self.caret += text.len();
        }
    }

    /// Takes keys that edit; `false` for all others.
    pub fn take(&mut self, chord: Chord) -> bool {
        if let Some(letter) = chord.typed() {
            self.insert(letter.encode_utf8(&mut [0; 4]));
            return true;
        }
        let letter = match chord.key {
            Key::Char(letter) if chord.ctrl => Some(letter),
            _ => None,
        };
        match (chord.key, letter) {
            (Key::Backspace, _) | (_, Some('h')) => self.remove_back(self.step_back()),
            (Key::Delete, _) | (_, Some('d')) => {
                let end = self.caret + self.after().graphemes(true).next().map_or(0, str::len);
                self.text.replace_range(self.caret..end, "");
            }
            (Key::Left, _) | (_, Some('b')) => self.caret -= self.step_back(),
            (Key::Right, _) | (_, Some('f')) => {
                self.caret += self.after().graphemes(true).next().map_or(0, str::len);
            }
            (Key::Home, _) | (_, Some('a')) => self.caret = 0,
            (Key::End, _) | (_, Some('e')) => self.caret = self.text.len(),
            (_, Some('u')) => self.remove_back(self.caret),
            (_, Some('w')) => {
                let kept = self.before().trim_end();
                let start = kept.rfind([' ', '/']).map_or(0, |at| at + 1);
                self.remove_back(self.caret - start);
            }
            _ => return false,
        }
        true
    }

    fn step_back(&self) -> usize {
        self.before()
            .graphemes(true)
            .next_back()
            .map_or(0, str::len)
    }

    fn remove_back(&mut self, bytes: usize) {
        let start = self.caret - bytes;
        self.text.replace_range(start..self.caret, "");
        self.caret = start;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(keys: &[&str], expected: &str) {
        let mut edit = LineEdit::new("pods shop");
        for key in keys {
            assert!(edit.take(Chord::parse(key).unwrap()), "{key}");
        }
        let (before, after) = (edit.before(), edit.after());
        assert_eq!(format!("{before}|{after}"), expected);
    }

    #[test]
    fn keys_edit_as_in_a_shell() {
        check(&["x"], "pods shopx|");
        check(&["backspace", "left", "left"], "pods s|ho");
        check(&["ctrl-w"], "pods |");
        check(&["home", "delete"], "|ods shop");
        check(&["ctrl-u"], "|");
        check(&["ü", "漢", "backspace"], "pods shopü|");
    }
}
