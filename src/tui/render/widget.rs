//! The body's widgets.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use unicode_segmentation::UnicodeSegmentation;

use super::{blank, put, set};
use crate::tui::screen::{
    Canvas, Direction, Document, EditorPanel, Empty, Extent, LogStream, Split, Widget,
};
use crate::tui::text::{Line, Role, Span, width};
use crate::tui::theme::Palette;

pub fn draw(widget: &Widget, palette: &Palette, area: Rect, buffer: &mut Buffer) {
    if area.width == 0 || area.height == 0 {
        return;
    }
    match widget {
        Widget::Empty(why) => empty(why, palette, area, buffer),
        Widget::Lines(lines) => draw_lines(lines, palette, area, buffer),
        Widget::Table(table) => super::table::draw(table, palette, area, buffer),
        Widget::Document(document) => draw_document(document, palette, area, buffer),
        Widget::Log(log) => draw_log(log, palette, area, buffer),
        Widget::KeyValue(pairs) => key_values(pairs, palette, area, buffer),
        Widget::Canvas(canvas) => draw_canvas(canvas, palette, area, buffer),
        Widget::Rule(caption) => rule(caption, palette, area, buffer),
        Widget::Split(split) => draw_split(split, palette, area, buffer),
        Widget::Editor(editor) => draw_editor(editor, palette, area, buffer),
    }
}

/// Two lines in the upper third: why nothing is shown and what to press.
pub fn empty(why: &Empty, palette: &Palette, area: Rect, buffer: &mut Buffer) {
    let y = area.y + area.height / 3;
    for (offset, line) in [&why.why, &why.press].into_iter().enumerate() {
        let y = y + u16::try_from(offset).unwrap_or(0) * 2;
        if y >= area.bottom() {
            return;
        }
        let columns = u16::try_from(line.width())
            .unwrap_or(area.width)
            .min(area.width);
        let place = Rect {
            x: area.x + (area.width - columns) / 2,
            y,
            width: columns,
            height: 1,
        };
        put(buffer, palette, place, line, None);
    }
}

fn draw_lines(lines: &[Line], palette: &Palette, area: Rect, buffer: &mut Buffer) {
    for (line, y) in lines.iter().zip(area.top()..area.bottom()) {
        put(
            buffer,
            palette,
            Rect {
                y,
                height: 1,
                ..area
            },
            line,
            None,
        );
    }
}

/// `── caption ─────`.
pub fn rule(caption: &Line, palette: &Palette, area: Rect, buffer: &mut Buffer) {
    let style = palette.style(Role::Rule);
    for x in area.left()..area.right() {
        set(buffer, x, area.y, "─", style);
    }
    if caption.is_empty() {
        return;
    }
    let mut line = Line::of(" ", Role::Text);
    line.spans.extend(caption.spans.iter().cloned());
    line.push(" ", Role::Text);
    let place = Rect {
        x: area.x + 2.min(area.width),
        width: area.width.saturating_sub(4),
        height: 1,
        ..area
    };
    put(buffer, palette, place, &line, None);
}

fn draw_split(split: &Split, palette: &Palette, area: Rect, buffer: &mut Buffer) {
    let across = split.direction == Direction::Across;
    let gap = u16::from(across);
    let gaps = gap * u16::try_from(split.parts.len().saturating_sub(1)).unwrap_or(0);
    let room = if across { area.width } else { area.height }.saturating_sub(gaps);
    let sizes = extents(split.parts.iter().map(|(extent, _)| *extent), room);
    let mut at = if across { area.x } else { area.y };
    for (place, ((_, part), size)) in split.parts.iter().zip(sizes).enumerate() {
        if across && place > 0 {
            if split.ruled {
                for y in area.top()..area.bottom() {
                    set(buffer, at, y, "│", palette.style(Role::Rule));
                }
            }
            at += gap;
        }
        let part_area = if across {
            Rect {
                x: at,
                width: size.min(area.right().saturating_sub(at)),
                ..area
            }
        } else {
            Rect {
                y: at,
                height: size.min(area.bottom().saturating_sub(at)),
                ..area
            }
        };
        draw(part, palette, part_area, buffer);
        at = at.saturating_add(size);
    }
}

/// Sizes of a split's parts within `room`.
pub fn extents(extents: impl Iterator<Item = Extent> + Clone, room: u16) -> Vec<u16> {
    let fixed = |extent: Extent| match extent {
        Extent::Cells(cells) => Some(cells),
        Extent::Percent(share) => {
            u16::try_from(u32::from(room) * u32::from(share.min(100)) / 100).ok()
        }
        Extent::Rest => None,
    };
    let taken: u32 = extents.clone().filter_map(fixed).map(u32::from).sum();
    let mut rest = u16::try_from(u32::from(room).saturating_sub(taken)).unwrap_or(0);
    let mut sharing = u16::try_from(
        extents
            .clone()
            .filter(|extent| fixed(*extent).is_none())
            .count(),
    )
    .unwrap_or(1);
    extents
        .map(|extent| {
            fixed(extent).unwrap_or_else(|| {
                let share = rest / sharing.max(1);
                rest -= share;
                sharing = sharing.saturating_sub(1);
                share
            })
        })
        .collect()
}

fn draw_canvas(canvas: &Canvas, palette: &Palette, area: Rect, buffer: &mut Buffer) {
    for y in 0..canvas.height.min(area.height) {
        for x in 0..canvas.width.min(area.width) {
            if let Some(cell) = canvas.cell(x, y) {
                let style = palette.on(cell.role, cell.behind);
                set(buffer, area.x + x, area.y + y, &cell.glyph, style);
            }
        }
    }
}

fn key_values(pairs: &[(String, Line)], palette: &Palette, area: Rect, buffer: &mut Buffer) {
    let label = pairs
        .iter()
        .map(|(name, _)| width(name))
        .max()
        .unwrap_or(0)
        .min(usize::from(area.width) / 3);
    for ((name, value), y) in pairs.iter().zip(area.top()..area.bottom()) {
        let line = Rect {
            y,
            height: 1,
            ..area
        };
        let columns = u16::try_from(label).unwrap_or(0);
        let place = Rect {
            width: columns,
            ..line
        };
        put(
            buffer,
            palette,
            place,
            &Line::of(name.clone(), Role::Dim),
            None,
        );
        let place = Rect {
            x: line.x + columns + 2,
            width: line.width.saturating_sub(columns + 2),
            ..line
        };
        put(buffer, palette, place, value, None);
    }
}

fn draw_document(document: &Document, palette: &Palette, area: Rect, buffer: &mut Buffer) {
    let mut area = area;
    if !document.title.is_empty() {
        rule(&document.title, palette, Rect { height: 1, ..area }, buffer);
        area.y += 1;
        area.height = area.height.saturating_sub(1);
    }
    let mut y = area.y;
    for (offset, line) in document.lines.iter().enumerate() {
        let behind = (document.cursor == Some(document.first + offset)).then_some(Role::Cursor);
        let parts = if document.wrap {
            wrapped(line, usize::from(area.width))
        } else {
            vec![shifted(line, document.shift)]
        };
        for part in parts {
            if y >= area.bottom() {
                return;
            }
            let place = Rect {
                y,
                height: 1,
                ..area
            };
            if behind.is_some() {
                blank(buffer, place, palette.on(Role::Text, behind));
            }
            put(buffer, palette, place, &part, behind);
            y += 1;
        }
    }
}

fn draw_log(log: &LogStream, palette: &Palette, area: Rect, buffer: &mut Buffer) {
    draw_lines(&log.heading, palette, area, buffer);
    let top = area.y + u16::try_from(log.heading.len()).unwrap_or(area.height);
    let room = usize::from(area.bottom().saturating_sub(top));
    // The newest line is at the bottom: where wrapped lines need more room, the oldest go.
    let mut rows: Vec<(Line, Option<Role>)> = Vec::new();
    for line in &log.lines {
        let lead = line.prefix.width();
        if !log.wrap {
            let mut whole = line.prefix.clone();
            whole.spans.extend(shifted(&line.text, log.shift).spans);
            rows.push((whole, line.behind));
            continue;
        }
        let columns = usize::from(area.width).saturating_sub(lead).max(20);
        for (place, part) in wrapped(&line.text, columns).into_iter().enumerate() {
            let mut whole = if place == 0 {
                line.prefix.clone()
            } else {
                Line::of(" ".repeat(lead), Role::Text)
            };
            whole.spans.extend(part.spans);
            rows.push((whole, line.behind));
        }
    }
    let skip = rows.len().saturating_sub(room);
    for ((line, behind), y) in rows.iter().skip(skip).zip(top..area.bottom()) {
        let place = Rect {
            y,
            height: 1,
            ..area
        };
        if behind.is_some() {
            blank(buffer, place, palette.on(Role::Text, *behind));
        }
        put(buffer, palette, place, line, *behind);
    }
}

fn draw_editor(editor: &EditorPanel, palette: &Palette, area: Rect, buffer: &mut Buffer) {
    rule(&editor.title, palette, Rect { height: 1, ..area }, buffer);
    let digits = (editor.first + editor.lines.len()).to_string().len();
    let numbers = area.top() + 1..area.bottom();
    for (offset, (line, y)) in editor.lines.iter().zip(numbers).enumerate() {
        let number = editor.first + offset + 1;
        let mut whole = Line::of(format!("{number:>digits$} "), Role::Dim);
        whole.spans.extend(line.spans.iter().cloned());
        put(
            buffer,
            palette,
            Rect {
                y,
                height: 1,
                ..area
            },
            &whole,
            None,
        );
    }
}

/// Where the editor's caret is on the screen.
pub fn caret(editor: &EditorPanel, area: Rect) -> Option<(u16, u16)> {
    let digits = (editor.first + editor.lines.len()).to_string().len();
    let x = area.x + u16::try_from(digits).unwrap_or(0) + 1 + editor.caret.0;
    let y = area.y + 1 + editor.caret.1;
    (x < area.right() && y < area.bottom()).then_some((x, y))
}

/// The line without its first `shift` columns.
fn shifted(line: &Line, shift: usize) -> Line {
    if shift == 0 {
        return line.clone();
    }
    let mut left = shift;
    let mut out = Line::default();
    for span in &line.spans {
        let mut text = String::new();
        for grapheme in span.text().graphemes(true) {
            if left == 0 {
                text.push_str(grapheme);
            } else {
                left = left.saturating_sub(width(grapheme));
            }
        }
        if !text.is_empty() {
            let mut rest = Span::new(text, span.role);
            rest.behind = span.behind;
            out.spans.push(rest);
        }
    }
    out
}

/// The line broken at the column, roles kept.
fn wrapped(line: &Line, columns: usize) -> Vec<Line> {
    let mut out = vec![Line::default()];
    let mut used = 0;
    for span in &line.spans {
        let mut text = String::new();
        for grapheme in span.text().graphemes(true) {
            let size = width(grapheme);
            if used + size > columns && used > 0 {
                push_part(&mut out, std::mem::take(&mut text), span);
                out.push(Line::default());
                used = 0;
            }
            text.push_str(grapheme);
            used += size;
        }
        push_part(&mut out, text, span);
    }
    out
}

fn push_part(lines: &mut [Line], text: String, span: &Span) {
    if let Some(line) = lines.last_mut().filter(|_| !text.is_empty()) {
        let mut part = Span::new(text, span.role);
        part.behind = span.behind;
        line.spans.push(part);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_split_gives_the_rest_to_those_who_ask_for_it() {
        let parts = [
            Extent::Cells(10),
            Extent::Rest,
            Extent::Percent(25),
            Extent::Rest,
        ];
        assert_eq!(extents(parts.into_iter(), 100), [10, 32, 25, 33]);
        assert_eq!(extents([Extent::Cells(10)].into_iter(), 4), [10]);
    }

    #[test]
    fn lines_wrap_and_shift_by_columns() {
        let line = Line::of("abc漢字de", Role::Text).with("fg", Role::Bad);
        let parts: Vec<String> = wrapped(&line, 4).iter().map(Line::plain).collect();
        assert_eq!(parts, ["abc", "漢字", "defg"]);
        assert_eq!(shifted(&line, 5).plain(), "字defg");
    }
}
