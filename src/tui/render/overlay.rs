//! What lies over the page: help, completions, confirmations, menus.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;

use super::{blank, put};
use crate::tui::screen::{
    Choice, CommandLine, ConfirmPanel, HelpPanel, Hint, Menu, Overlay, TextPanel,
};
use crate::tui::text::{Line, Role, width};
use crate::tui::theme::Palette;

/// Draws it over `room` and says where the caret is, if text is typed in it.
pub fn draw(
    overlay: &Overlay,
    palette: &Palette,
    room: Rect,
    buffer: &mut Buffer,
) -> Option<(u16, u16)> {
    match overlay {
        Overlay::Help(panel) => {
            help(panel, palette, room, buffer);
            None
        }
        Overlay::Text(panel) => {
            text(panel, palette, room, buffer);
            None
        }
        Overlay::Command(line) => {
            completions(line, palette, room, buffer);
            None
        }
        Overlay::Palette(line) => Some(finder(line, palette, room, buffer)),
        Overlay::Confirm(panel) => confirm(panel, palette, room, buffer),
        Overlay::Menu(panel) => {
            menu(panel, palette, room, buffer);
            None
        }
    }
}

/// A raised area with a title in its upper edge; returns the room inside.
fn panel(title: &Line, palette: &Palette, area: Rect, role: Role, buffer: &mut Buffer) -> Rect {
    blank(buffer, area, palette.on(Role::Text, Some(Role::Panel)));
    let edge = palette.on(role, Some(Role::Panel));
    let (right, bottom) = (
        area.right().saturating_sub(1),
        area.bottom().saturating_sub(1),
    );
    for x in area.left()..area.right() {
        super::set(buffer, x, area.y, "─", edge);
        super::set(buffer, x, bottom, "─", edge);
    }
    for y in area.top()..area.bottom() {
        super::set(buffer, area.x, y, "│", edge);
        super::set(buffer, right, y, "│", edge);
    }
    for (x, y, corner) in [
        (area.x, area.y, "╭"),
        (right, area.y, "╮"),
        (area.x, bottom, "╰"),
        (right, bottom, "╯"),
    ] {
        super::set(buffer, x, y, corner, edge);
    }
    let mut line = Line::of(" ", Role::Text);
    line.spans.extend(title.spans.iter().cloned());
    line.push(" ", Role::Text);
    let place = Rect {
        x: area.x + 2,
        width: area.width.saturating_sub(4),
        height: 1,
        ..area
    };
    put(buffer, palette, place, &line, Some(Role::Panel));
    Rect {
        x: area.x + 2,
        y: area.y + 1,
        width: area.width.saturating_sub(4),
        height: area.height.saturating_sub(2),
    }
}

/// One line in the first row of an area.
fn row(line: &Line, palette: &Palette, area: Rect, buffer: &mut Buffer) {
    let place = Rect { height: 1, ..area };
    put(buffer, palette, place, line, Some(Role::Panel));
}

/// As many lines as there is room for.
fn rows<'a>(
    lines: impl Iterator<Item = &'a Line>,
    palette: &Palette,
    area: Rect,
    buffer: &mut Buffer,
) {
    for (line, y) in lines.zip(area.top()..area.bottom()) {
        row(line, palette, Rect { y, ..area }, buffer);
    }
}

/// Centred, no larger than the room.
fn centred(room: Rect, columns: u16, rows: u16) -> Rect {
    let columns = columns.min(room.width);
    let rows = rows.min(room.height);
    Rect {
        x: room.x + (room.width - columns) / 2,
        y: room.y + (room.height - rows) / 2,
        width: columns,
        height: rows,
    }
}

fn text(value: &TextPanel, palette: &Palette, room: Rect, buffer: &mut Buffer) {
    let height = u16::try_from(value.lines.len()).unwrap_or(u16::MAX);
    let area = centred(room, room.width, height.saturating_add(2));
    let inside = panel(&value.title, palette, area, Role::Rule, buffer);
    let lines = value.lines.iter().skip(value.scroll);
    rows(lines, palette, inside, buffer);
}

fn help(panel_value: &HelpPanel, palette: &Palette, room: Rect, buffer: &mut Buffer) {
    let inside = panel(&panel_value.title, palette, room, Role::Rule, buffer);
    let lines = panel_value.lines(inside.width);
    let deepest = lines.len().saturating_sub(usize::from(inside.height));
    let from = panel_value.scroll.min(deepest);
    rows(lines.iter().skip(from), palette, inside, buffer);
}

/// Completions stand above the message row, the best nearest to it.
fn completions(line: &CommandLine, palette: &Palette, room: Rect, buffer: &mut Buffer) {
    let shown = u16::try_from(line.choices.len().min(10))
        .unwrap_or(0)
        .min(room.height / 2);
    let rows = shown + u16::from(line.problem.is_some());
    if rows == 0 {
        return;
    }
    let area = Rect {
        y: room.bottom().saturating_sub(rows + 1),
        height: rows,
        ..room
    };
    blank(buffer, area, palette.on(Role::Text, Some(Role::Panel)));
    let mut y = area.y;
    if let Some(problem) = &line.problem {
        let text = Line::of(format!(" {problem}"), Role::Warning);
        put(
            buffer,
            palette,
            Rect {
                y,
                height: 1,
                ..area
            },
            &text,
            Some(Role::Panel),
        );
        y += 1;
    }
    let list = Rect {
        y,
        height: shown,
        ..area
    };
    choices(&line.choices, line.chosen, palette, list, buffer);
}

/// The choices that the area has rows for, scrolled so far that the chosen one is in sight.
fn choices(
    all: &[Choice],
    chosen: Option<usize>,
    palette: &Palette,
    area: Rect,
    buffer: &mut Buffer,
) {
    let shown = usize::from(area.height);
    let from = chosen.map_or(0, |chosen| (chosen + 1).saturating_sub(shown));
    let chosen = chosen.map(|chosen| chosen.saturating_sub(from));
    let list: Vec<&Choice> = all.iter().skip(from).take(shown).collect();
    let name_columns = list
        .iter()
        .map(|choice| choice.name.width())
        .max()
        .unwrap_or(0)
        .min(usize::from(area.width) / 2);
    for (place, (choice, y)) in list.iter().zip(area.top()..area.bottom()).enumerate() {
        let selected = chosen == Some(place);
        let behind = Some(if selected { Role::Cursor } else { Role::Panel });
        let row = Rect {
            y,
            height: 1,
            ..area
        };
        blank(buffer, row, palette.on(Role::Text, behind));
        let mut line = Line::of(if selected { "▸" } else { " " }, Role::Accent);
        line.spans.extend(choice.name.spans.iter().cloned());
        let pad = name_columns.saturating_sub(choice.name.width()) + 2;
        line.push(" ".repeat(pad), Role::Text);
        line.push(choice.about.clone(), Role::Dim);
        let keys = u16::try_from(width(&choice.keys)).unwrap_or(0);
        let place = Rect {
            width: row.width.saturating_sub(keys + 2),
            ..row
        };
        put(buffer, palette, place, &line, behind);
        let place = Rect {
            x: row.right().saturating_sub(keys + 1),
            width: keys,
            ..row
        };
        put(
            buffer,
            palette,
            place,
            &Line::of(choice.keys.clone(), Role::Key),
            behind,
        );
    }
}

fn finder(line: &CommandLine, palette: &Palette, room: Rect, buffer: &mut Buffer) -> (u16, u16) {
    let rows = u16::try_from(line.choices.len())
        .unwrap_or(u16::MAX)
        .clamp(3, 16);
    let area = centred(room, 84, rows + 4);
    let title = Line::of("find anything", Role::Title);
    let inside = panel(&title, palette, area, Role::Rule, buffer);
    let mut input = Line::of(line.prompt.clone(), Role::Key);
    input.push(line.input.clone(), Role::Strong);
    row(&input, palette, inside, buffer);
    let list = Rect {
        y: inside.y + 2,
        height: inside.height.saturating_sub(2),
        ..inside
    };
    if line.choices.is_empty() {
        let none = Line::of("nothing by this name", Role::Dim);
        put(buffer, palette, list, &none, Some(Role::Panel));
    }
    choices(&line.choices, line.chosen, palette, list, buffer);
    let column = u16::try_from(width(&line.prompt)).unwrap_or(0) + line.caret;
    ((inside.x + column).min(inside.right()), inside.y)
}

fn confirm(
    value: &ConfirmPanel,
    palette: &Palette,
    room: Rect,
    buffer: &mut Buffer,
) -> Option<(u16, u16)> {
    let typed = u16::from(value.typed.is_some()) * 2;
    let height = u16::try_from(value.lines.len()).unwrap_or(u16::MAX - 8) + typed + 4;
    let longest = value.lines.iter().map(Line::width).max().unwrap_or(0);
    let columns = u16::try_from(longest + 6).unwrap_or(u16::MAX).clamp(56, 96);
    let area = centred(room, columns, height);
    let role = if value.dangerous {
        Role::Bad
    } else {
        Role::Accent
    };
    let inside = panel(&value.title, palette, area, role, buffer);
    let above = Rect {
        height: inside.height.saturating_sub(2 + typed),
        ..inside
    };
    rows(value.lines.iter(), palette, above, buffer);
    let mut caret = None;
    if let Some((name, input)) = &value.typed {
        let y = inside.bottom().saturating_sub(3);
        let mut line = Line::of("type ", Role::Text)
            .with(name.clone(), Role::Strong)
            .with(" to confirm: ", Role::Text);
        let column = u16::try_from(line.width() + width(input)).unwrap_or(0);
        let good = name == input;
        line.push(input.clone(), if good { Role::Good } else { Role::Warning });
        row(&line, palette, Rect { y, ..inside }, buffer);
        caret = Some(((inside.x + column).min(inside.right()), y));
    }
    let mut line = Line::default();
    for Hint { keys, does } in &value.hints {
        line.push(keys.clone(), Role::Key);
        line.push(format!(" {does}   "), Role::Dim);
    }
    let y = inside.bottom().saturating_sub(1);
    row(&line, palette, Rect { y, ..inside }, buffer);
    caret
}

fn menu(value: &Menu, palette: &Palette, room: Rect, buffer: &mut Buffer) {
    let rows = u16::try_from(value.choices.len()).unwrap_or(u16::MAX - 4);
    let area = centred(room, 72, rows + 2);
    let inside = panel(&value.title, palette, area, Role::Rule, buffer);
    choices(&value.choices, Some(value.chosen), palette, inside, buffer);
}
