//! Service by domain: how many replicas are where, the worst loss, the target, what would heal it.

use crate::topology::spread::percent;
use crate::topology::survey::Row;
use crate::topology::{Domains, Spread};
use crate::tui::screen::Canvas;
use crate::tui::text::{Line, Role, width};
use crate::tui::widgets::{draw, ink};

use super::super::state::{Cursor, State};
use super::{hidden, window};

/// Where the columns of the matrix are.
struct Columns {
    name: u16,
    cell: u16,
    /// The domains that are shown: the first, and how many.
    first: usize,
    count: usize,
    /// The columns after the cells end here: replicas, worst loss, target.
    replicas: u16,
    worst: u16,
    target: u16,
    /// Where the hint begins, if there is room for one.
    heal: Option<u16>,
}

impl Columns {
    fn of(canvas: &Canvas, domains: &Domains, focus: usize) -> Self {
        let body = canvas.width;
        let name = if body >= 120 { 26 } else { 16 };
        let longest = domains.list.iter().map(|domain| width(&domain.name)).max();
        let cell = u16::try_from(longest.unwrap_or(3))
            .unwrap_or(8)
            .clamp(3, 12)
            + 1;
        let figures = 9 + 8 + 8;
        let room = body.saturating_sub(2 + name + 2 + figures + 1);
        let total = domains.list.len();
        let count = usize::from(room / cell).min(total);
        let first = window(focus, total, count.max(1));
        let used = u16::try_from(count).unwrap_or(0) * cell;
        let after = 2 + name + 1 + used + u16::from(count < total) * 2;
        let heal = after + figures + 2;
        Self {
            name,
            cell,
            first,
            count,
            replicas: after + 9,
            worst: after + 17,
            target: after + 25,
            heal: (heal + 20 <= body).then_some(heal),
        }
    }
}

pub fn present(canvas: &mut Canvas, (top, rows): (u16, u16), state: &State) {
    let Some(domains) = &state.domains else {
        return;
    };
    if rows < 2 {
        return;
    }
    let focus = state.domain_at_cursor().unwrap_or(0);
    let columns = Columns::of(canvas, domains, focus);
    heads(canvas, top, state, domains, &columns);
    let cursor = match &state.cursor {
        Some(Cursor::Workload(_)) => {
            Some(state.place_of_cursor().saturating_sub(state.order.len()))
        }
        _ => None,
    };
    let height = rows - 1;
    let first = window(cursor.unwrap_or(0), state.shown.len(), usize::from(height));
    for (offset, (index, &place)) in (0..height).zip(state.shown.iter().enumerate().skip(first)) {
        let Some(spread) = state.spreads.get(place) else {
            continue;
        };
        let y = top + 1 + offset;
        row(canvas, y, state, (domains, spread), (&columns, focus));
        if cursor == Some(index) {
            canvas.lay_behind(0, y, canvas.width, Role::Cursor);
        }
    }
    let below = state
        .shown
        .len()
        .saturating_sub(first + usize::from(height));
    hidden(canvas, (top, top + rows - 1), first, below);
}

fn heads(canvas: &mut Canvas, y: u16, state: &State, domains: &Domains, columns: &Columns) {
    let title = format!("SERVICE × {}", domains.level.title.to_uppercase());
    draw::sentence(canvas, (3, y), columns.name, &title, Role::Head);
    let focus = state.domain_at_cursor();
    let mut x = 2 + columns.name + 1;
    for (place, domain) in domains
        .list
        .iter()
        .enumerate()
        .skip(columns.first)
        .take(columns.count)
    {
        x += columns.cell;
        let role = if focus == Some(place) {
            Role::Strong
        } else {
            Role::Head
        };
        let room = usize::from(columns.cell.saturating_sub(1));
        let text = crate::tui::text::cut_middle(&domain.name, room);
        draw::right(canvas, x, y, &text, role);
        if focus == Some(place) {
            let length = u16::try_from(width(&text)).unwrap_or(0);
            canvas.lay_behind(x - length, y, length, Role::Cursor);
        }
    }
    if columns.count < domains.list.len() {
        canvas.text(x, y, Line::of(" …", Role::Dim));
    }
    draw::right(canvas, columns.replicas, y, "REPLICAS", Role::Head);
    draw::right(canvas, columns.worst, y, "WORST", Role::Head);
    draw::right(canvas, columns.target, y, "AT MOST", Role::Head);
    if let Some(x) = columns.heal {
        canvas.text(x, y, Line::of("WHAT WOULD HEAL IT", Role::Head));
    }
}

fn row(
    canvas: &mut Canvas,
    y: u16,
    state: &State,
    (domains, spread): (&Domains, &Spread),
    (columns, focus): (&Columns, usize),
) {
    let workload = state.survey.workload(spread.workload);
    canvas.set(1, y, "■", ink::hue(workload.hue));
    let name = if columns.name >= 24 {
        workload.key.to_string()
    } else {
        workload.key.name.to_string()
    };
    draw::name(
        canvas,
        (3, y),
        columns.name.saturating_sub(2),
        &name,
        Role::Text,
    );
    let mut x = 2 + columns.name + 1;
    for place in columns.first..columns.first + columns.count {
        x += columns.cell;
        let domain = Row::try_from(place).unwrap_or(Row::MAX);
        let cell = spread.cell(domain);
        let is_worst = spread.worst.is_some_and(|worst| worst.domain == domain);
        let (text, role) = if cell.replicas == 0 {
            (".".to_owned(), Role::Dim)
        } else {
            let role = if is_worst && spread.is_bad() {
                Role::Bad
            } else if cell.ready < cell.replicas {
                Role::Warning
            } else if place == focus || is_worst {
                Role::Strong
            } else {
                Role::Text
            };
            if cell.ready < cell.replicas && columns.cell >= 4 {
                (format!("{}/{}", cell.ready, cell.replicas), role)
            } else {
                (cell.replicas.to_string(), role)
            }
        };
        draw::right(canvas, x, y, &text, role);
    }
    let replicas = if spread.ready < spread.replicas {
        (
            format!("{}/{}", spread.ready, spread.replicas),
            Role::Warning,
        )
    } else {
        (spread.replicas.to_string(), Role::Text)
    };
    draw::right(canvas, columns.replicas, y, &replicas.0, replicas.1);
    let worst = spread.worst.map(|worst| percent(worst.share));
    let (text, role) = match (worst, spread.target) {
        (Some(worst), Some(target)) if !target.met => (format!("{worst} ✕"), Role::Bad),
        (Some(worst), _) => (format!("{worst}  "), Role::Text),
        (None, _) => ("-  ".to_owned(), Role::Dim),
    };
    draw::right(canvas, columns.worst, y, &text, role);
    if let Some(target) = spread.target {
        let text = percent(target.share);
        draw::right(canvas, columns.target, y, &text, Role::Dim);
    }
    if let (Some(x), Some(heal)) = (columns.heal, spread.heal) {
        let room = canvas.width.saturating_sub(x + 1);
        draw::sentence(canvas, (x, y), room, &heal.text(&domains.level), Role::Dim);
    }
}
