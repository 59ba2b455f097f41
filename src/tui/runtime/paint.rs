//! The bytes that turn one frame on the terminal into the next, and no more.
//!
//! Over SSH every byte counts: only changed cells are sent, attributes only where they change, and
//! the cursor is moved by the shortest sequence. Pure; [`super::terminal`] writes what comes out.

use ratatui::buffer::{Buffer, Cell};
use ratatui::style::Modifier;
use unicode_width::UnicodeWidthStr;

use crate::tui::sgr::{Look, PLAIN};

/// Where the terminal's cursor is and how it writes, as far as we know.
struct Pen {
    at: Option<(u16, u16)>,
    look: Look,
    out: String,
}

/// The bytes from `previous` to `next`. `None`: the terminal's content is unknown and is cleared.
/// Empty when nothing differs.
pub fn paint(previous: Option<&Buffer>, next: &Buffer) -> String {
    let mut pen = Pen {
        at: None,
        look: PLAIN,
        out: String::new(),
    };
    let blank = Buffer::empty(next.area);
    let known = previous.filter(|previous| previous.area == next.area);
    if known.is_none() {
        pen.out.push_str("\u{1b}[m\u{1b}[2J");
    }
    let previous = known.unwrap_or(&blank);
    for (x, y, cell) in previous.diff(next) {
        if previous
            .cell((x, y))
            .is_none_or(|old| !looks_alike(old, cell))
        {
            pen.put(x, y, cell, next);
        }
    }
    if pen.look != PLAIN {
        pen.out.push_str(&PLAIN.sequence(pen.look));
    }
    pen.out
}

/// The bytes of the shortest move within a line.
const MOVE: u16 = 3;
/// What shows on a blank cell beside its background.
const ON_BLANKS: Modifier = Modifier::REVERSED
    .union(Modifier::UNDERLINED)
    .union(Modifier::CROSSED_OUT);

fn is_plain_blank(cell: &Cell) -> bool {
    cell.symbol() == " " && !cell.modifier.intersects(ON_BLANKS)
}

/// A blank shows no foreground.
fn looks_alike(old: &Cell, new: &Cell) -> bool {
    old == new || (is_plain_blank(old) && is_plain_blank(new) && old.bg == new.bg)
}

impl Pen {
    fn put(&mut self, x: u16, y: u16, cell: &Cell, next: &Buffer) {
        self.go(x, y, next);
        let mut look = Look::of(cell);
        if is_plain_blank(cell)
            && look.background == self.look.background
            && !self.look.modifier.intersects(ON_BLANKS)
        {
            look = self.look;
        }
        self.out.push_str(&look.sequence(self.look));
        self.look = look;
        self.out.push_str(cell.symbol());
        let width = u16::try_from(cell.symbol().width()).unwrap_or(1);
        // After the last column terminals disagree about where the cursor is.
        let after = x + width;
        self.at = (after < next.area.width).then_some((after, y));
    }

    /// Whether blanks written as the pen writes now are what the frame has from here to there.
    fn may_write_blanks(&self, from: u16, until: u16, y: u16, next: &Buffer) -> bool {
        !self.look.modifier.intersects(ON_BLANKS)
            && (from..until).all(|x| {
                next.cell((x, y))
                    .is_some_and(|cell| is_plain_blank(cell) && cell.bg == self.look.background)
            })
    }

    fn go(&mut self, x: u16, y: u16, next: &Buffer) {
        if let Some((column, line)) = self.at
            && line == y
            && (1..=MOVE).contains(&x.saturating_sub(column))
            && self.may_write_blanks(column, x, y, next)
        {
            let blanks = usize::from(x - column);
            return self.out.extend(std::iter::repeat_n(' ', blanks));
        }
        let absolute = || format!("\u{1b}[{};{}H", y + 1, x + 1);
        let shortest = match self.at {
            Some((column, line)) if line == y && column == x => return,
            Some((column, line)) if line == y && column < x => match x - column {
                1 => "\u{1b}[C".to_owned(),
                distance => format!("\u{1b}[{distance}C"),
            },
            Some((_, line)) if x == 0 && line + 1 == y => "\r\n".to_owned(),
            _ => absolute(),
        };
        self.out.push_str(&shortest);
    }
}

#[cfg(test)]
mod tests {
    use ratatui::layout::Rect;
    use ratatui::style::Style;

    use super::*;

    fn frame(lines: &[(&str, Style)]) -> Buffer {
        let mut buffer = Buffer::empty(Rect::new(0, 0, 20, 4));
        for (line, (text, style)) in lines.iter().enumerate() {
            buffer.set_string(0, u16::try_from(line).unwrap(), text, *style);
        }
        buffer
    }

    /// What a terminal shows after the bytes.
    fn shown(bytes: &[String]) -> String {
        let mut terminal = vt100::Parser::new(4.try_into().unwrap(), 20.try_into().unwrap(), 0);
        for part in bytes {
            terminal.process(part.as_bytes());
        }
        let contents = terminal.screen().contents();
        contents
            .lines()
            .map(str::trim_end)
            .collect::<Vec<_>>()
            .join("\n")
    }

    #[test]
    fn equal_frames_send_nothing() {
        let one = frame(&[("same", Style::new().red())]);
        assert_eq!(paint(Some(&one), &one.clone()), "");
    }

    #[test]
    fn a_terminal_shows_the_last_frame() {
        let first = frame(&[("alpha", Style::new()), ("漢字 beta", Style::new().bold())]);
        let second = frame(&[("alpine", Style::new().red()), ("漢 beta", Style::new())]);
        let bytes = [paint(None, &first), paint(Some(&first), &second)];
        assert_eq!(shown(&bytes), "alpine\n漢 beta");
    }

    #[test]
    fn one_changed_cell_costs_a_move_and_a_character() {
        let first = frame(&[("count 1", Style::new())]);
        let second = frame(&[("count 2", Style::new())]);
        assert_eq!(paint(Some(&first), &second), "\u{1b}[1;7H2");
    }

    #[test]
    fn a_resized_frame_starts_from_a_cleared_terminal() {
        let first = frame(&[]);
        let second = Buffer::empty(Rect::new(0, 0, 10, 2));
        assert!(paint(Some(&first), &second).starts_with("\u{1b}[m\u{1b}[2J"));
    }
}
