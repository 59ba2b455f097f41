//! Colours and attributes as the numbers of a `CSI … m` sequence (ECMA-48, ISO 8613-6).

use std::fmt::Write;

use ratatui::buffer::Cell;
use ratatui::style::{Color, Modifier};

/// How a cell looks, apart from its character.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Look {
    pub foreground: Color,
    pub background: Color,
    pub modifier: Modifier,
}

/// What a terminal shows after `CSI 0 m`.
pub const PLAIN: Look = Look {
    foreground: Color::Reset,
    background: Color::Reset,
    modifier: Modifier::empty(),
};

const MODIFIERS: [(Modifier, u8); 7] = [
    (Modifier::BOLD, 1),
    (Modifier::DIM, 2),
    (Modifier::ITALIC, 3),
    (Modifier::UNDERLINED, 4),
    (Modifier::SLOW_BLINK, 5),
    (Modifier::REVERSED, 7),
    (Modifier::CROSSED_OUT, 9),
];

impl Look {
    pub fn of(cell: &Cell) -> Self {
        Self {
            foreground: cell.fg,
            background: cell.bg,
            modifier: cell.modifier,
        }
    }

    /// The shortest sequence that turns `from` into this look; empty when they are equal.
    pub fn sequence(self, from: Self) -> String {
        if self == from {
            return String::new();
        }
        if self == PLAIN {
            return "\u{1b}[m".to_owned();
        }
        let mut codes = String::new();
        let mut from = from;
        // Attributes have no portable codes that end one of them alone.
        if !self.modifier.contains(from.modifier) {
            codes.push_str(";0");
            from = PLAIN;
        }
        for (flag, code) in MODIFIERS {
            if self.modifier.contains(flag) && !from.modifier.contains(flag) {
                push(&mut codes, format_args!(";{code}"));
            }
        }
        if self.foreground != from.foreground {
            colour(&mut codes, self.foreground, 0);
        }
        if self.background != from.background {
            colour(&mut codes, self.background, 10);
        }
        format!("\u{1b}[{}m", codes.trim_start_matches(';'))
    }
}

/// `offset` is 0 for the foreground and 10 for the background.
fn colour(codes: &mut String, colour: Color, offset: u8) {
    let named = match colour {
        Color::Rgb(red, green, blue) => {
            return push(
                codes,
                format_args!(";{};2;{red};{green};{blue}", 38 + offset),
            );
        }
        Color::Indexed(index) => return push(codes, format_args!(";{};5;{index}", 38 + offset)),
        Color::Reset => 39,
        Color::Black => 30,
        Color::Red => 31,
        Color::Green => 32,
        Color::Yellow => 33,
        Color::Blue => 34,
        Color::Magenta => 35,
        Color::Cyan => 36,
        Color::Gray => 37,
        Color::DarkGray => 90,
        Color::LightRed => 91,
        Color::LightGreen => 92,
        Color::LightYellow => 93,
        Color::LightBlue => 94,
        Color::LightMagenta => 95,
        Color::LightCyan => 96,
        Color::White => 97,
    };
    push(codes, format_args!(";{}", named + offset));
}

fn push(codes: &mut String, text: std::fmt::Arguments<'_>) {
    // Writing to a String cannot fail.
    let _infallible = codes.write_fmt(text);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(from: Look, to: Look, expected: &str) {
        assert_eq!(to.sequence(from), expected);
    }

    #[test]
    fn only_what_differs_is_sent() {
        let red = Look {
            foreground: Color::Red,
            ..PLAIN
        };
        let bold = Look {
            modifier: Modifier::BOLD,
            ..red
        };
        check(PLAIN, red, "\u{1b}[31m");
        check(red, bold, "\u{1b}[1m");
        check(bold, red, "\u{1b}[0;31m");
        check(bold, PLAIN, "\u{1b}[m");
        check(red, red, "");
        check(
            red,
            Look {
                background: Color::Indexed(8),
                ..red
            },
            "\u{1b}[48;5;8m",
        );
        check(
            red,
            Look {
                foreground: Color::Reset,
                background: Color::Blue,
                ..red
            },
            "\u{1b}[39;44m",
        );
    }
}
