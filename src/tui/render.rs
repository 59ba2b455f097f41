//! A [`Screen`] into cells. Pure: same screen, palette and size, same cells.
//!
//! Everything that does not fit is cut, never wrapped over something else; nothing here decides
//! what is shown.

mod ascii;
mod edges;
mod overlay;
mod table;
mod widget;

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use unicode_segmentation::UnicodeSegmentation;

use super::screen::Screen;
use super::text::{Line, Role, cut_end, width};
use super::theme::{Characters, Palette};

/// Where the frame's rows are.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Rows {
    pub band: bool,
    pub tabs: bool,
    pub hints: bool,
}

impl Rows {
    /// Rows of the frame at this height: the body comes first, then messages, then comfort.
    pub fn of(height: u16, band: bool, zoomed: bool) -> Self {
        Self {
            band,
            tabs: height >= 30 && !zoomed,
            hints: height >= 8 && !zoomed,
        }
    }

    /// The body's area.
    pub fn body(self, whole: Rect) -> Rect {
        let top = 1 + u16::from(self.band) + u16::from(self.tabs);
        let bottom = 1 + u16::from(self.hints);
        Rect {
            y: whole.y + top.min(whole.height),
            height: whole.height.saturating_sub(top + bottom),
            ..whole
        }
    }
}

/// Draws the screen. `None` or where the terminal's cursor belongs.
pub fn render(
    screen: &Screen,
    palette: &Palette,
    area: Rect,
    buffer: &mut Buffer,
) -> Option<(u16, u16)> {
    if area.width < 20 || area.height < 4 {
        let text = cut_end("too small", usize::from(area.width));
        put(buffer, palette, area, &Line::of(text, Role::Text), None);
        return None;
    }
    buffer.set_style(area, palette.style(Role::Text));
    let rows = Rows {
        band: screen.band.is_some(),
        tabs: !screen.tabs.is_empty(),
        hints: !screen.hints.is_empty(),
    };
    let body = rows.body(area);
    edges::header(&screen.header, palette, row(area, 0), buffer);
    let mut next = 1;
    if let Some(band) = &screen.band {
        edges::band(band, palette, row(area, next), buffer);
        next += 1;
    }
    if rows.tabs {
        edges::tabs(&screen.tabs, palette, row(area, next), buffer);
    }
    widget::draw(&screen.body, palette, body, buffer);
    let message = row(area, area.height - 1 - u16::from(rows.hints));
    put(buffer, palette, message, &screen.message, None);
    if rows.hints {
        edges::hints(&screen.hints, palette, row(area, area.height - 1), buffer);
    }
    let mut caret = screen.caret.map(|column| {
        (
            (message.x + column).min(message.right().saturating_sub(1)),
            message.y,
        )
    });
    if let Some(over) = &screen.overlay {
        // The header and the band say which cluster this is, and whether it is real, whatever lies
        // over the rest.
        let above = 1 + u16::from(rows.band);
        let room = Rect {
            y: area.y + above,
            height: area.height - 1 - above - u16::from(rows.hints),
            ..area
        };
        caret = overlay::draw(over, palette, room, buffer).or(caret);
    }
    if palette.characters == Characters::Ascii {
        ascii::reduce(buffer, area);
    }
    caret.or_else(|| editor_caret(screen, body))
}

fn editor_caret(screen: &Screen, body: Rect) -> Option<(u16, u16)> {
    match &screen.body {
        super::screen::Widget::Editor(editor) if screen.overlay.is_none() => {
            widget::caret(editor, body)
        }
        _ => None,
    }
}

fn row(area: Rect, offset: u16) -> Rect {
    Rect {
        y: area.y + offset.min(area.height.saturating_sub(1)),
        height: 1.min(area.height),
        ..area
    }
}

/// Writes a line at the area's top left, cut at its right edge with an ellipsis. Returns the column
/// after it.
fn put(
    buffer: &mut Buffer,
    palette: &Palette,
    area: Rect,
    line: &Line,
    behind: Option<Role>,
) -> u16 {
    let mut x = area.x;
    if area.height == 0 {
        return x;
    }
    let too_long = line.width() > usize::from(area.width);
    let edge = area.right().saturating_sub(u16::from(too_long));
    for span in &line.spans {
        let style = palette.on(span.role, span.behind.or(behind));
        for grapheme in span.text().graphemes(true) {
            let columns = u16::try_from(width(grapheme)).unwrap_or(1);
            if columns == 0 {
                continue;
            }
            if x + columns > edge {
                if too_long && x < area.right() {
                    set(buffer, x, area.y, "…", style);
                }
                return area.right();
            }
            set(buffer, x, area.y, grapheme, style);
            for covered in x + 1..x + columns {
                set(buffer, covered, area.y, "", style);
            }
            x += columns;
        }
    }
    x
}

fn set(buffer: &mut Buffer, x: u16, y: u16, symbol: &str, style: ratatui::style::Style) {
    if let Some(cell) = buffer.cell_mut((x, y)) {
        if symbol.is_empty() {
            cell.reset();
            cell.set_style(style);
        } else {
            cell.set_symbol(symbol).set_style(style);
        }
    }
}

/// Fills an area with blanks in a style.
fn blank(buffer: &mut Buffer, area: Rect, style: ratatui::style::Style) {
    for y in area.top()..area.bottom() {
        for x in area.left()..area.right() {
            if let Some(cell) = buffer.cell_mut((x, y)) {
                cell.reset();
                cell.set_style(style);
            }
        }
    }
}

/// How full a bar is in eighths of a cell, as the block characters show it.
fn bar(share: f64, cells: u16) -> String {
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a float cast saturates, and the share is between 0 and 1"
    )]
    let eighths = (share.clamp(0.0, 1.0) * f64::from(cells) * 8.0).round() as usize;
    // Something never looks like nothing.
    let eighths = if share > 0.0 { eighths.max(1) } else { 0 };
    let mut out = "█".repeat(eighths / 8);
    if !eighths.is_multiple_of(8) {
        out.push_str(super::widgets::strip::left_block(
            u8::try_from(eighths % 8).unwrap_or(0),
        ));
    }
    out
}
