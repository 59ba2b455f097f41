//! Strokes that several pictures share: bars, stacked strips, fields of text with a fixed width.

use super::ink;
use super::strip::{left_block, strip};
use crate::tui::screen::Canvas;
use crate::tui::text::{Line, Role, cut_end, cut_middle};

/// A bar of `width` cells, to an eighth of a cell; what is left is dotted.
pub fn bar(canvas: &mut Canvas, (x, y): (u16, u16), width: u16, share: f64, role: Role) {
    const WHOLE: i64 = 1_000_000;
    #[expect(clippy::cast_possible_truncation, reason = "a share is small")]
    let part = (share.clamp(0.0, 1.0) * WHOLE as f64) as i64;
    for (offset, cell) in (0..).zip(strip(&[part], WHOLE, width)) {
        match cell.left {
            Some(_) => canvas.set(x + offset, y, left_block(cell.eighths), role),
            None => canvas.set(x + offset, y, "·", Role::Dim),
        }
    }
}

/// One part of a stack: what it is and how much.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Part {
    pub hue: u8,
    pub amount: i64,
    pub focused: bool,
}

/// Parts of a whole side by side. Neighbours differ in height as well as in colour, and a part has
/// the same height in every stack of one node, so that it can be found again without colour.
pub fn stack(
    canvas: &mut Canvas,
    (x, y): (u16, u16),
    width: u16,
    parts: &[Part],
    total: i64,
    free: Role,
) {
    const HEIGHTS: [&str; 3] = ["▇", "▅", "▆"];
    let amounts: Vec<i64> = parts.iter().map(|part| part.amount).collect();
    for (offset, cell) in (0..).zip(strip(&amounts, total, width)) {
        let shown = cell.left.and_then(|place| Some((place, parts.get(place)?)));
        match shown {
            Some((place, part)) => {
                let glyph = HEIGHTS.get(place % HEIGHTS.len()).copied().unwrap_or("▇");
                let behind = part.focused.then_some(Role::Cursor);
                canvas.put(x + offset, y, glyph, ink::hue(part.hue), behind);
            }
            None => canvas.set(x + offset, y, "·", free),
        }
    }
}

/// Text in a field: cut in the middle, because names end in what tells them apart.
pub fn name(canvas: &mut Canvas, (x, y): (u16, u16), width: u16, text: &str, role: Role) {
    canvas.text(x, y, Line::of(cut_middle(text, usize::from(width)), role));
}

/// Text in a field, cut at its end.
pub fn sentence(canvas: &mut Canvas, (x, y): (u16, u16), width: u16, text: &str, role: Role) {
    canvas.text(x, y, Line::of(cut_end(text, usize::from(width)), role));
}

/// Right-aligned text before column `end`.
pub fn right(canvas: &mut Canvas, end: u16, y: u16, text: &str, role: Role) {
    canvas.text_right(end, y, Line::of(text, role));
}
