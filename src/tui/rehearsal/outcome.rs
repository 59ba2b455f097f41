//! What came of a rehearsal, as lines to read: the answer first, then each step, then who suffered.

use crate::rehearse::Outcome;
use crate::rehearse::report::{self, Row};
use crate::tui::rehearsal::Compared;
use crate::tui::text::{Line, Role, width};

/// The whole outcome for a panel of so many columns.
pub fn lines(outcome: &Outcome, columns: usize) -> Vec<Line> {
    let verdict = report::verdict(outcome);
    let (glyph, role) = if outcome.falls_below_target {
        ("✕ ", Role::Bad)
    } else {
        ("● ", Role::Good)
    };
    let mut lines = vec![Line::of(glyph, role).with(verdict, Role::Strong)];
    if outcome.steps.is_empty() {
        lines.push(Line::default());
        lines.push(Line::of(
            "nothing was done yet: scale, drain, cordon, stop machines, or `:step lose rack=…`",
            Role::Dim,
        ));
    }
    lines.extend(tables(report::tables(outcome), columns));
    lines
}

/// Two outcomes, table by table.
pub fn side_by_side(compared: &Compared, columns: usize) -> Vec<Line> {
    let [left, right] = &compared.outcomes;
    let pair = [(compared.name.as_str(), left), ("this rehearsal", right)];
    let head = format!("first: {}   second: this rehearsal", compared.name);
    let mut lines = vec![Line::of(head, Role::Strong)];
    lines.extend(tables(report::compare::tables(pair), columns));
    lines
}

fn tables(tables: Vec<report::Table>, columns: usize) -> Vec<Line> {
    let mut lines = Vec::new();
    for section in tables {
        lines.push(Line::default());
        lines.push(Line::of(section.title.to_lowercase(), Role::Title));
        let widths = widths(&section.head, &section.rows);
        if !section.head.is_empty() {
            lines.push(row(&section.head, &widths, columns, Role::Dim));
        }
        for cells in &section.rows {
            lines.extend(wrapped(cells, &widths, columns));
        }
        if section.more > 0 {
            let more = format!("  and {} more (`bayplan plan -o json`)", section.more);
            lines.push(Line::of(more, Role::Dim));
        }
    }
    lines
}

fn widths(head: &[String], rows: &[Row]) -> Vec<usize> {
    let column = |(place, head): (usize, &String)| {
        let cells = rows.iter().filter_map(|row| row.get(place));
        let widest = cells.map(|cell| width(cell)).max().unwrap_or_default();
        widest.max(width(head))
    };
    head.iter().enumerate().map(column).collect()
}

fn row(cells: &[String], widths: &[usize], columns: usize, role: Role) -> Line {
    let mut text = String::new();
    for (place, cell) in cells.iter().enumerate() {
        let room = widths.get(place).copied().unwrap_or_default();
        text.push_str("  ");
        text.push_str(cell);
        let is_last = place + 1 == cells.len();
        if !is_last {
            text.extend(std::iter::repeat_n(' ', room.saturating_sub(width(cell))));
        }
    }
    Line::of(crate::tui::text::cut_end(&text, columns), role)
}

/// A row whose last cell, mostly a reason, goes on below where it has no room.
fn wrapped(cells: &[String], widths: &[usize], columns: usize) -> Vec<Line> {
    const ROOM: usize = 24;
    let Some((last, first)) = cells.split_last() else {
        return Vec::new();
    };
    let before = widths
        .iter()
        .take(first.len())
        .map(|room| room + 2)
        .sum::<usize>()
        + 2;
    if before + width(last) <= columns {
        return vec![row(cells, widths, columns, Role::Text)];
    }
    let beside = columns.saturating_sub(before) >= ROOM;
    let indent = if beside { before } else { 6 };
    let mut parts = crate::tui::text::wrap(last, columns.saturating_sub(indent).max(8)).into_iter();
    let mut head = first.to_vec();
    if beside || first.is_empty() {
        head.extend(parts.next());
    }
    let first_line = row(&head, widths, columns, Role::Text);
    let rest = parts.map(|part| Line::of(format!("{}{part}", " ".repeat(indent)), Role::Text));
    std::iter::once(first_line).chain(rest).collect()
}
