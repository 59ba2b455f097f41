//! Middle zoom: one tile a node, cpu and memory stacked by workload in the same order, so that what
//! is stranded is seen as the step between the two.

use std::collections::BTreeMap;

use super::super::arrangement::Arrangement;
use super::super::colouring::NodeState;
use super::super::state::{State, View};
use super::super::words;
use super::map;
use crate::stdx::humanize::{bytes_of, counted, milli};
use crate::topology::survey::Row;
use crate::topology::{Amounts, Stranded};
use crate::tui::screen::Canvas;
use crate::tui::text::{Line, Role, width};
use crate::tui::widgets::draw::{self, Part};
use crate::tui::widgets::ink;

const TILE_LINES: u16 = 5;
const TILE_MIN: u16 = 37;

/// Tiles side by side in a body of this width.
pub fn columns(body: u16) -> u16 {
    (body.saturating_sub(1) / TILE_MIN).clamp(1, 8)
}

/// Nodes in the order of the tiles.
pub fn order(arrangement: &Arrangement) -> Vec<Row> {
    arrangement
        .blocks
        .iter()
        .flat_map(|block| &block.rows)
        .flat_map(|row| row.nodes.iter().copied())
        .collect()
}

pub fn present(state: &State, view: View, body: u16, rows: u16) -> Canvas {
    let mut canvas = Canvas::new(body, rows);
    let arrangement = view.arrangement;
    map::head(&mut canvas, state, view, arrangement);
    let across = columns(body);
    let tile_width = body.saturating_sub(1) / across;
    let cursor = state.cursor_row(view.survey, arrangement);
    let places = places(arrangement, across);
    let top = if rows >= 24 { 2 } else { 1 };
    let height = rows.saturating_sub(top);
    let total = places.iter().map(Place::bottom).max().unwrap_or(0);
    let cursor_y = places
        .iter()
        .find(|place| place.node.is_some() && place.node == cursor)
        .map_or(0, |place| place.y);
    let scroll = aligned_scroll(&places, cursor_y, total, height);
    for place in &places {
        let Some(shown) = place.y.checked_sub(scroll) else {
            continue;
        };
        if shown + place.lines() > height + 1 {
            continue;
        }
        let x = 1 + place.column * tile_width;
        match place.node {
            Some(node) => tile(
                &mut canvas,
                (x, top + shown),
                tile_width.saturating_sub(3),
                view,
                (node, cursor == Some(node)),
            ),
            None => heading(&mut canvas, top + shown, &place.title),
        }
    }
    canvas
}

/// A tile, or the heading of a domain before its tiles.
struct Place {
    node: Option<Row>,
    title: String,
    column: u16,
    y: u16,
}

impl Place {
    fn lines(&self) -> u16 {
        if self.node.is_some() { TILE_LINES } else { 1 }
    }

    fn bottom(&self) -> u16 {
        self.y + self.lines()
    }
}

fn places(arrangement: &Arrangement, across: u16) -> Vec<Place> {
    let mut places = Vec::new();
    let mut y = 0;
    for block in &arrangement.blocks {
        for row in &block.rows {
            let title = match (block.domain.name.is_empty(), row.label.is_empty()) {
                (true, true) => String::new(),
                (false, true) => block.domain.name.to_string(),
                _ => format!("{} › {}", block.domain.name, row.label),
            };
            if !title.is_empty() {
                places.push(Place {
                    node: None,
                    title,
                    column: 0,
                    y,
                });
                y += 1;
            }
            for (place, &node) in row.nodes.iter().enumerate() {
                let column = u16::try_from(place % usize::from(across)).unwrap_or(0);
                if column == 0 && place > 0 {
                    y += TILE_LINES;
                }
                places.push(Place {
                    node: Some(node),
                    title: String::new(),
                    column,
                    y,
                });
            }
            y += TILE_LINES;
        }
    }
    places
}

/// Scrolls by whole tiles or headings.
fn aligned_scroll(places: &[Place], cursor: u16, total: u16, height: u16) -> u16 {
    let wanted = map::scroll(cursor, total, height);
    places
        .iter()
        .map(|place| place.y)
        .find(|&y| y >= wanted)
        .unwrap_or(wanted)
}

fn heading(canvas: &mut Canvas, y: u16, title: &str) {
    let x = canvas.text(1, y, Line::of(format!("{title} "), Role::Dim));
    let rest = canvas.width.saturating_sub(x + 1);
    canvas.fill((x, y, rest, 1), "─", Role::Dim);
}

fn tile(
    canvas: &mut Canvas,
    (x, y): (u16, u16),
    columns: u16,
    view: View,
    (row, is_cursor): (Row, bool),
) {
    let facts = view.survey.node(row);
    let state = NodeState::of(facts);
    let pods = format!(
        "pods {}/{}",
        view.survey.pods_on(row).len(),
        facts.allocatable.pods
    );
    let pods = format!("{}  {pods}", words::real(facts));
    let room = columns.saturating_sub(u16::try_from(width(&pods)).unwrap_or(0) + 4);
    canvas.text(
        x,
        y,
        Line::of(words::state_glyph(state), words::state_role(state)),
    );
    draw::name(canvas, (x + 2, y), room, facts.name(), Role::Strong);
    draw::right(canvas, x + columns, y, &pods, Role::Dim);
    if is_cursor {
        canvas.lay_behind(x, y, columns, Role::Cursor);
    }
    strips(canvas, (x, y + 1), columns, view, row);
}

/// Both strips and the line under them, which names what the step between them means.
pub fn strips(canvas: &mut Canvas, (x, y): (u16, u16), columns: u16, view: View, row: Row) {
    let facts = view.survey.node(row);
    let stranded = Stranded::of(facts, view.survey.typical);
    let cpu_text = words::cores_of(facts.requested.cpu_milli, facts.allocatable.cpu_milli);
    let memory_text = bytes_of(facts.requested.memory_bytes, facts.allocatable.memory_bytes);
    let text_width = width(&cpu_text).max(width(&memory_text)).max(12);
    let text_width = u16::try_from(text_width).unwrap_or(12);
    let length = columns.saturating_sub(5 + text_width).min(120);
    let stacks = stacks(view, row);
    let rows = [
        (
            "cpu",
            cpu_text,
            facts.allocatable.cpu_milli,
            stranded.cpu_milli > 0,
            (|amounts: Amounts| amounts.cpu_milli) as fn(Amounts) -> i64,
        ),
        (
            "mem",
            memory_text,
            facts.allocatable.memory_bytes,
            stranded.memory_bytes > 0,
            |amounts: Amounts| amounts.memory_bytes,
        ),
    ];
    for (offset, (title, text, total, is_stranded, amount)) in (0..).zip(rows) {
        let parts: Vec<Part> = stacks
            .iter()
            .map(|(workload, sum)| Part {
                hue: view.survey.workload(*workload).hue,
                amount: amount(*sum),
                focused: false,
            })
            .collect();
        let free = if is_stranded {
            Role::Warning
        } else {
            Role::Dim
        };
        canvas.text(x, y + offset, Line::of(title, Role::Dim));
        draw::stack(canvas, (x + 4, y + offset), length, &parts, total, free);
        let end = x + 5 + length + text_width;
        draw::right(canvas, end, y + offset, &text, Role::Text);
    }
    let (text, role) = note(view, row);
    draw::sentence(
        canvas,
        (x + 4, y + 2),
        columns.saturating_sub(4),
        &text,
        role,
    );
}

/// What the step between the strips means, or why the node takes nothing.
pub fn note(view: View, row: Row) -> (String, Role) {
    let facts = view.survey.node(row);
    let state = NodeState::of(facts);
    if state != NodeState::Ready {
        return (words::state(facts, view.now), words::state_role(state));
    }
    let stranded = words::stranded(Stranded::of(facts, view.survey.typical));
    if !stranded.is_empty() {
        return (format!("stranded {stranded}"), Role::Warning);
    }
    match usize::try_from(facts.free().fits(view.survey.typical)) {
        Ok(0) => ("full".to_owned(), Role::Dim),
        fits => {
            let fits = counted(fits.unwrap_or(usize::MAX), "typical pod", "typical pods");
            (format!("room for {fits}"), Role::Dim)
        }
    }
}

/// What each workload asks for on a node, the largest first.
pub fn stacks(view: View, row: Row) -> Vec<(Row, Amounts)> {
    let mut sums: BTreeMap<Row, Amounts> = BTreeMap::new();
    for &pod in view.survey.pods_on(row) {
        let facts = view.survey.pod(pod);
        *sums.entry(facts.workload).or_default() += facts.request;
    }
    let allocatable = view.survey.node(row).allocatable;
    let mut list: Vec<(Row, Amounts)> = sums.into_iter().collect();
    let weight = |amounts: &Amounts| amounts.fullest_of(allocatable);
    list.sort_by(|left, right| weight(&right.1).total_cmp(&weight(&left.1)));
    list
}

/// The workloads on a node with what they ask for, in columns.
pub fn shares(
    canvas: &mut Canvas,
    (x, y): (u16, u16),
    (columns, lines): (u16, u16),
    view: View,
    row: Row,
) {
    const COLUMN: u16 = 46;
    let across = (columns / COLUMN).max(1);
    let stacks = stacks(view, row);
    let room = usize::from(across) * usize::from(lines);
    for (place, (workload, sum)) in stacks.iter().take(room).enumerate() {
        let place = u16::try_from(place).unwrap_or(u16::MAX);
        let left = x + place / lines * COLUMN;
        let line = y + place % lines;
        let workload = view.survey.workload(*workload);
        canvas.text(left, line, Line::of("■ ", ink::hue(workload.hue)));
        draw::name(canvas, (left + 2, line), 20, &workload.key.name, Role::Text);
        let pods = format!("{}×", sum.pods);
        draw::right(canvas, left + 26, line, &pods, Role::Dim);
        draw::right(canvas, left + 33, line, &milli(sum.cpu_milli), Role::Text);
        let memory = crate::stdx::humanize::bytes(sum.memory_bytes);
        draw::right(canvas, left + 43, line, &memory, Role::Text);
    }
}
