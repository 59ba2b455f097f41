//! A key press, apart from any terminal library.

use std::fmt;

/// A key with its modifiers. Shift is in the character itself (`G`), or in the key's own name.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Chord {
    pub key: Key,
    pub ctrl: bool,
    pub alt: bool,
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Key {
    Char(char),
    Enter,
    Esc,
    Tab,
    BackTab,
    Backspace,
    Delete,
    Up,
    Down,
    Left,
    Right,
    Home,
    End,
    PageUp,
    PageDown,
    Function(u8),
}

const NAMED: &[(&str, Key)] = &[
    ("enter", Key::Enter),
    ("esc", Key::Esc),
    ("tab", Key::Tab),
    ("backtab", Key::BackTab),
    ("backspace", Key::Backspace),
    ("delete", Key::Delete),
    ("up", Key::Up),
    ("down", Key::Down),
    ("left", Key::Left),
    ("right", Key::Right),
    ("home", Key::Home),
    ("end", Key::End),
    ("pageup", Key::PageUp),
    ("pagedown", Key::PageDown),
    ("space", Key::Char(' ')),
];

impl Chord {
    pub fn plain(key: Key) -> Self {
        Self {
            key,
            ctrl: false,
            alt: false,
        }
    }

    pub fn char(letter: char) -> Self {
        Self::plain(Key::Char(letter))
    }

    /// The letter, where the chord types one.
    pub fn typed(self) -> Option<char> {
        match self.key {
            Key::Char(letter) if !self.ctrl && !self.alt => Some(letter),
            _ => None,
        }
    }

    /// One or several keys in a row: `ctrl-d`, `!d`, `space`, `G`.
    pub fn parse_sequence(text: &str) -> Option<Vec<Self>> {
        if let Some(chord) = Self::parse(text) {
            return Some(vec![chord]);
        }
        let separate: Option<Vec<Self>> = if text.contains(' ') {
            text.split_whitespace().map(Self::parse).collect()
        } else {
            (text.chars().count() == 2).then(|| text.chars().map(Self::char).collect())
        };
        separate.filter(|keys| !keys.is_empty())
    }

    pub fn parse(text: &str) -> Option<Self> {
        if let Some(rest) = text.strip_prefix("ctrl-") {
            return Self::parse(rest).map(|chord| Self {
                ctrl: true,
                ..chord
            });
        }
        if let Some(rest) = text.strip_prefix("alt-") {
            return Self::parse(rest).map(|chord| Self { alt: true, ..chord });
        }
        if let Some((_, key)) = NAMED.iter().find(|(name, _)| *name == text) {
            return Some(Self::plain(*key));
        }
        if let Some(number) = text.strip_prefix('f').and_then(|rest| rest.parse().ok()) {
            return Some(Self::plain(Key::Function(number)));
        }
        let mut letters = text.chars();
        match (letters.next(), letters.next()) {
            (Some(letter), None) => Some(Self::char(letter)),
            _ => None,
        }
    }
}

impl fmt::Display for Chord {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.ctrl {
            f.write_str("ctrl-")?;
        }
        if self.alt {
            f.write_str("alt-")?;
        }
        match self.key {
            Key::Function(number) => write!(f, "f{number}"),
            key => match (NAMED.iter().find(|(_, named)| *named == key), key) {
                (Some((name, _)), _) => f.write_str(name),
                (None, Key::Char(letter)) => write!(f, "{letter}"),
                (None, _) => Ok(()),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_read_as_they_are_written() {
        for text in [
            "j",
            "ctrl-d",
            "space",
            "enter",
            "f5",
            "alt-x",
            "ctrl-space",
            "-",
            "!",
        ] {
            assert_eq!(Chord::parse(text).unwrap().to_string(), text);
        }
        assert_eq!(
            Chord::parse_sequence("!d"),
            Some(vec![Chord::char('!'), Chord::char('d')])
        );
        assert_eq!(Chord::parse_sequence("hello"), None);
    }
}
