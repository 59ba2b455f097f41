//! Tables: which columns fit, how wide they are, and their rows.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::{Modifier, Style};

use super::{bar, put};
use crate::tui::screen::{Align, Cell, ColumnHead, Sorted, Table, TableRow};
use crate::tui::text::{Line, Role, Span, cut_end, cut_middle};
use crate::tui::theme::Palette;

/// Blank columns between two columns.
const GAP: u16 = 2;
/// Columns before the first cell: cursor and mark.
const GUTTER: u16 = 2;

pub fn draw(table: &Table, palette: &Palette, area: Rect, buffer: &mut Buffer) {
    let whole = area;
    let area = Rect {
        width: area.width - u16::from(scrolls(table, area) && area.width > 0),
        ..area
    };
    let widths = widths(table, area.width.saturating_sub(GUTTER));
    head(table, &widths, palette, area, buffer);
    let body = Rect {
        y: area.y + 1,
        height: area.height.saturating_sub(1),
        ..area
    };
    if let Some(empty) = &table.empty {
        return super::widget::empty(empty, palette, body, buffer);
    }
    let mut y = body.y;
    for row in &table.rows {
        if y >= body.bottom() {
            break;
        }
        let line = Rect {
            y,
            height: 1,
            ..body
        };
        draw_row(row, table, &widths, palette, line, buffer);
        y += 1;
        for below in &row.below {
            if y >= body.bottom() {
                break;
            }
            let place = Rect {
                x: body.x + GUTTER + 2,
                y,
                width: body.width.saturating_sub(GUTTER + 2),
                height: 1,
            };
            put(buffer, palette, place, below, None);
            y += 1;
        }
    }
    if scrolls(table, whole) {
        let track = Rect {
            width: whole.width,
            ..body
        };
        scroll_mark(table, palette, track, buffer);
    }
}

/// Whether there is more than is in view; the last column then shows where one is.
fn scrolls(table: &Table, area: Rect) -> bool {
    table.total > table.rows.len() && area.height > 3 && area.width >= 20
}

fn scroll_mark(table: &Table, palette: &Palette, area: Rect, buffer: &mut Buffer) {
    let height = usize::from(area.height);
    let thumb = (height * height / table.total).clamp(1, height);
    let room = table.total.saturating_sub(table.rows.len()).max(1);
    let start = (height - thumb) * table.first.min(room) / room;
    for offset in 0..thumb {
        let y = area.y + u16::try_from(start + offset).unwrap_or(0);
        super::set(
            buffer,
            area.right().saturating_sub(1),
            y,
            "▐",
            palette.style(Role::Rule),
        );
    }
}

fn head(table: &Table, widths: &[u16], palette: &Palette, area: Rect, buffer: &mut Buffer) {
    let mut x = area.x + GUTTER;
    for (column, width) in table.columns.iter().zip(widths) {
        if *width == 0 {
            continue;
        }
        let mut title = column.title.clone();
        match column.sorted {
            Some(Sorted::Ascending) => title.push('↑'),
            Some(Sorted::Descending) => title.push('↓'),
            None => {}
        }
        let role = if column.sorted.is_some() {
            Role::Title
        } else {
            Role::Head
        };
        let title = cut_end(&title, usize::from(*width));
        let columns = u16::try_from(crate::tui::text::width(&title)).unwrap_or(*width);
        let shift = if column.align == Align::Right {
            width.saturating_sub(columns)
        } else {
            0
        };
        let place = Rect {
            x: x + shift,
            width: *width - shift,
            height: 1,
            ..area
        };
        put(buffer, palette, place, &Line::of(title, role), None);
        x += width + GAP;
    }
}

fn draw_row(
    row: &TableRow,
    table: &Table,
    widths: &[u16],
    palette: &Palette,
    area: Rect,
    buffer: &mut Buffer,
) {
    let gutter = Line::new([
        // In the name's own colour, which the terminal then need not be told anew.
        Span::new(if row.cursor { "▸" } else { " " }, Role::Text),
        Span::new(if row.marked { "■" } else { " " }, Role::Mark),
    ]);
    put(
        buffer,
        palette,
        Rect {
            width: GUTTER,
            ..area
        },
        &gutter,
        None,
    );
    let named = named(table, widths).filter(|_| row.cursor);
    let mut x = area.x + GUTTER;
    for (number, ((cell, column), width)) in
        row.cells.iter().zip(&table.columns).zip(widths).enumerate()
    {
        if *width == 0 {
            continue;
        }
        let place = Rect {
            x,
            width: (*width).min(area.right().saturating_sub(x)),
            ..area
        };
        draw_cell(cell, column, palette, place, named == Some(number), buffer);
        x += width + GAP;
    }
}

/// The column that the cursor lies on, of those that are shown: the name says which object is meant.
/// A bar over the whole row would say no more, and each step of the cursor would send both rows anew.
fn named(table: &Table, widths: &[u16]) -> Option<usize> {
    let shown = || table.columns.iter().zip(widths).enumerate();
    let is_name = |column: &ColumnHead| column.align == Align::Name && column.priority == 0;
    let name = shown().find(|(_, (column, width))| is_name(column) && **width > 0);
    let first = || shown().find(|(_, (_, width))| **width > 0);
    name.or_else(first).map(|(number, _)| number)
}

fn draw_cell(
    cell: &Cell,
    column: &ColumnHead,
    palette: &Palette,
    area: Rect,
    is_chosen: bool,
    buffer: &mut Buffer,
) {
    let mut area = area;
    if let Some(amount) = &cell.bar {
        let cells = amount.cells.min(area.width);
        let filled = bar(amount.share, cells);
        let used = crate::tui::text::width(&filled);
        let rest = "·".repeat(usize::from(cells).saturating_sub(used));
        let line = Line::new([Span::new(filled, amount.role), Span::new(rest, Role::Free)]);
        put(buffer, palette, area, &line, None);
        area.x += cells + 1;
        area.width = area.width.saturating_sub(cells + 1);
    }
    let line = fitted(&cell.line, column.align, usize::from(area.width));
    let columns = u16::try_from(line.width()).unwrap_or(area.width);
    let shift = if column.align == Align::Right {
        area.width.saturating_sub(columns)
    } else {
        0
    };
    let place = Rect {
        x: area.x + shift,
        width: area.width - shift,
        ..area
    };
    put(buffer, palette, place, &line, None);
    let text = Rect {
        width: columns.min(place.width),
        ..place
    };
    if cell.changed {
        let style = palette.style(Role::Changed);
        buffer.set_style(text, Style::new().add_modifier(style.add_modifier));
    }
    if is_chosen {
        // In reverse and bold: it stands out on every ground, without colours too.
        let chosen = Modifier::REVERSED | Modifier::BOLD;
        buffer.set_style(text, Style::new().add_modifier(chosen));
    }
}

/// Names lose their middle, which sits in their longest span; other text its end.
fn fitted(line: &Line, align: Align, columns: usize) -> Line {
    let excess = line.width().saturating_sub(columns);
    if excess == 0 || align != Align::Name {
        return line.clone();
    }
    let mut line = line.clone();
    if let Some(longest) = line.spans.iter_mut().max_by_key(|span| span.width()) {
        let room = longest.width().saturating_sub(excess);
        let behind = longest.behind;
        *longest = Span::new(cut_middle(longest.text(), room), longest.role);
        longest.behind = behind;
    }
    line
}

fn content_width(cell: &Cell) -> u16 {
    let bar = cell.bar.map_or(0, |bar| bar.cells + 1);
    u16::try_from(cell.line.width())
        .unwrap_or(u16::MAX)
        .saturating_add(bar)
}

/// The width of each column, 0 for those that have no room.
fn widths(table: &Table, room: u16) -> Vec<u16> {
    let wanted: Vec<u16> = table
        .columns
        .iter()
        .enumerate()
        .map(|(place, column)| {
            let title =
                u16::try_from(column.title.len()).unwrap_or(0) + u16::from(column.sorted.is_some());
            let content = table
                .rows
                .iter()
                .filter_map(|row| row.cells.get(place))
                .map(content_width)
                .max()
                .unwrap_or(0);
            content
                .max(title)
                .max(column.min)
                .min(column.max.max(title))
        })
        .collect();
    fit(&table.columns, wanted, room)
}

/// Drops columns by priority, then narrows the rest, until all fits; what is left over goes to the
/// columns that fill.
fn fit(columns: &[ColumnHead], mut widths: Vec<u16>, room: u16) -> Vec<u16> {
    // Extras go before a name loses its shape, others only before it cannot be told at all.
    drop_columns(columns, &mut widths, room, (2, comfort));
    drop_columns(columns, &mut widths, room, (1, |column| column.min));
    narrow(columns, &mut widths, room, comfort);
    narrow(columns, &mut widths, room, |column| column.min);
    let spare = u32::from(room).saturating_sub(total(&widths));
    let filling = columns.iter().filter(|column| column.fills).count();
    if filling > 0 {
        let each = u16::try_from(spare).unwrap_or(0) / u16::try_from(filling).unwrap_or(1);
        for (column, width) in columns.iter().zip(widths.iter_mut()) {
            if column.fills && *width > 0 {
                *width = width.saturating_add(each).min(column.max.max(*width));
            }
        }
    }
    widths
}

fn total(widths: &[u16]) -> u32 {
    let shown = widths.iter().filter(|width| **width > 0).count();
    let cells: u32 = widths.iter().map(|width| u32::from(*width)).sum();
    cells + u32::from(GAP) * u32::try_from(shown.saturating_sub(1)).unwrap_or(0)
}

/// Drops columns of at least this priority, the last first, while the others do not fit at the
/// width that they need.
fn drop_columns(
    columns: &[ColumnHead],
    widths: &mut [u16],
    room: u16,
    (priority, needed): (u8, fn(&ColumnHead) -> u16),
) {
    let least = |widths: &[u16]| {
        let narrowed: Vec<u16> = columns
            .iter()
            .zip(widths)
            .map(|(column, width)| {
                if can_shrink(column) {
                    (*width).min(needed(column))
                } else {
                    *width
                }
            })
            .collect();
        total(&narrowed)
    };
    while least(widths) > u32::from(room) {
        let last = columns
            .iter()
            .enumerate()
            .filter(|(place, column)| {
                column.priority >= priority && widths.get(*place).is_some_and(|width| *width > 0)
            })
            .max_by_key(|(place, column)| (column.priority, *place))
            .map(|(place, _)| place);
        match last.and_then(|place| widths.get_mut(place)) {
            Some(width) => *width = 0,
            None => return,
        }
    }
}

/// Takes columns from the widest that is above what it needs, one by one.
fn narrow(columns: &[ColumnHead], widths: &mut [u16], room: u16, needed: fn(&ColumnHead) -> u16) {
    while total(widths) > u32::from(room) {
        let widest = columns
            .iter()
            .zip(widths.iter_mut())
            .filter(|(column, width)| can_shrink(column) && **width > needed(column))
            .max_by_key(|(_, width)| **width);
        match widest {
            Some((_, width)) => *width -= 1,
            None => return,
        }
    }
}

/// What a column needs to be of use: a name that stays is worth more than one column more.
fn comfort(column: &ColumnHead) -> u16 {
    const NAME: u16 = 22;
    if column.align == Align::Name && column.priority == 0 {
        column.min.max(NAME)
    } else {
        column.min
    }
}

/// Numbers are never cut: half a number lies.
fn can_shrink(column: &ColumnHead) -> bool {
    column.align != Align::Right
}

#[cfg(test)]
mod tests {
    use super::*;

    fn column(title: &str, align: Align, priority: u8, min: u16) -> ColumnHead {
        ColumnHead {
            title: title.to_owned(),
            align,
            min,
            max: 60,
            priority,
            ..ColumnHead::default()
        }
    }

    #[test]
    fn columns_go_by_priority_then_names_shrink() {
        let columns = [
            column("NAME", Align::Name, 0, 10),
            column("CPU", Align::Right, 1, 4),
            column("IMAGE", Align::Left, 3, 8),
        ];
        assert_eq!(fit(&columns, vec![30, 6, 20], 60), [30, 6, 20]);
        assert_eq!(fit(&columns, vec![30, 6, 20], 50), [22, 6, 18]);
        assert_eq!(fit(&columns, vec![30, 6, 20], 40), [22, 6, 8]);
        assert_eq!(fit(&columns, vec![30, 6, 20], 38), [30, 6, 0]);
        assert_eq!(fit(&columns, vec![30, 6, 20], 24), [16, 6, 0]);
        assert_eq!(fit(&columns, vec![30, 6, 20], 12), [12, 0, 0]);
    }
}
