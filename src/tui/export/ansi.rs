//! A frame with ANSI escape sequences, for `cat` and for tests.

use ratatui::buffer::Buffer;

use super::rows;
use crate::tui::sgr::{Look, PLAIN};

/// One line a row; every line begins and ends plain, so that it can be cut anywhere.
pub fn ansi(buffer: &Buffer) -> String {
    let mut out = String::new();
    for row in rows(buffer) {
        let mut current = PLAIN;
        for (_, cell) in row {
            let look = Look::of(cell);
            out.push_str(&look.sequence(current));
            out.push_str(cell.symbol());
            current = look;
        }
        out.push_str(&PLAIN.sequence(current));
        out.push('\n');
    }
    out
}
