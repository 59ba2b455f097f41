//! A frame with ANSI escape sequences, for `cat` and for tests.

use std::fmt::Write;

use ratatui::buffer::Buffer;
use ratatui::style::{Color, Modifier};

use super::rows;

/// One line a row; every line ends with a reset, so that it can be cut anywhere.
pub fn ansi(buffer: &Buffer) -> String {
    let mut out = String::new();
    for row in rows(buffer) {
        let mut current = None;
        for (_, cell) in row {
            let style = (cell.fg, cell.bg, cell.modifier);
            if current != Some(style) {
                begin(&mut out, style);
                current = Some(style);
            }
            out.push_str(cell.symbol());
        }
        out.push_str("\u{1b}[0m\n");
    }
    out
}

fn begin(out: &mut String, (foreground, background, modifier): (Color, Color, Modifier)) {
    const MODIFIERS: [(Modifier, u8); 7] = [
        (Modifier::BOLD, 1),
        (Modifier::DIM, 2),
        (Modifier::ITALIC, 3),
        (Modifier::UNDERLINED, 4),
        (Modifier::SLOW_BLINK, 5),
        (Modifier::REVERSED, 7),
        (Modifier::CROSSED_OUT, 9),
    ];
    out.push_str("\u{1b}[0");
    for (flag, code) in MODIFIERS {
        if modifier.contains(flag) {
            push(out, format_args!(";{code}"));
        }
    }
    colour(out, foreground, 0);
    colour(out, background, 10);
    out.push('m');
}

/// `offset` is 0 for the foreground and 10 for the background.
fn colour(out: &mut String, colour: Color, offset: u8) {
    let named = match colour {
        Color::Reset => return,
        Color::Rgb(red, green, blue) => {
            return push(out, format_args!(";{};2;{red};{green};{blue}", 38 + offset));
        }
        Color::Indexed(index) => return push(out, format_args!(";{};5;{index}", 38 + offset)),
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
    push(out, format_args!(";{}", named + offset));
}

fn push(out: &mut String, text: std::fmt::Arguments<'_>) {
    // Writing to a String cannot fail.
    let _infallible = out.write_fmt(text);
}
