//! What the map has room to say beside its cells: the fullest nodes, what is stranded, the largest
//! holes, and how many pods of common shapes still fit.

use super::super::arrangement::Arrangement;
use super::super::state::View;
use super::super::words;
use super::tiles;
use crate::stdx::humanize::{bytes, milli, thousands};
use crate::topology::domain::fits;
use crate::topology::survey::Row;
use crate::topology::{Amounts, Stranded};
use crate::tui::screen::Canvas;
use crate::tui::text::{Line, Role};
use crate::tui::widgets::{draw, ink};

const COLUMN: u16 = 39;

/// Shapes that holes are counted in: cores and Gi.
const SHAPES: [(i64, i64); 5] = [(1, 2), (2, 8), (4, 16), (8, 32), (16, 64)];

/// A row of a list: node or workload, figures.
type Entry = (Line, String, Role);
type List = fn(View, &[Row], usize) -> Vec<Entry>;

pub fn present(
    canvas: &mut Canvas,
    (top, lines): (u16, u16),
    view: View,
    arrangement: &Arrangement,
) {
    let nodes = tiles::order(arrangement);
    let rows = usize::from(lines.saturating_sub(1)).min(12);
    let lists: [(&str, List); 5] = [
        ("ROOM FOR MORE PODS OF", room),
        ("MOST STRANDED", stranded),
        ("FULLEST", fullest),
        ("LARGEST HOLES", holes),
        ("ASKING FOR MOST", largest),
    ];
    let across = (canvas.width.saturating_sub(2) / COLUMN).clamp(1, 5);
    let width = canvas.width.saturating_sub(2) / across;
    for (place, (title, list)) in (0..across).zip(lists) {
        let x = 1 + place * width;
        let room = width.saturating_sub(3);
        canvas.text(x, top, Line::of(title, Role::Head));
        let entries = list(view, &nodes, rows);
        if entries.is_empty() {
            canvas.text(x, top + 1, Line::of("none", Role::Dim));
        }
        for (y, (name, figures, role)) in (top + 1..top + lines).zip(entries) {
            let end = x + room;
            canvas.text(x, y, name);
            draw::right(canvas, end, y, &format!("  {figures}"), role);
        }
    }
}

/// A node's name, short enough to leave room for figures.
fn name(view: View, node: Row) -> Line {
    let name = view.survey.node(node).name();
    Line::of(crate::tui::text::cut_middle(name, 18), Role::Text)
}

fn room(view: View, nodes: &[Row], _rows: usize) -> Vec<Entry> {
    let typical = view.survey.typical;
    let mut shapes = vec![(format!("{} (typical)", words::shape(typical)), typical)];
    shapes.extend(SHAPES.map(|(cores, gi)| {
        let shape = Amounts {
            cpu_milli: cores * 1000,
            memory_bytes: gi << 30,
            pods: 1,
        };
        (words::shape(shape), shape)
    }));
    shapes
        .into_iter()
        .map(|(text, shape)| {
            let count = fits(view.survey, nodes, shape);
            let role = if count == 0 { Role::Bad } else { Role::Strong };
            (Line::of(text, Role::Text), thousands(count), role)
        })
        .collect()
}

/// The `rows` nodes with the largest value above zero.
fn top(nodes: &[Row], rows: usize, value: impl Fn(Row) -> f64) -> Vec<Row> {
    let mut rated: Vec<(f64, Row)> = nodes
        .iter()
        .map(|&row| (value(row), row))
        .filter(|(value, _)| *value > 0.0)
        .collect();
    rated.sort_by(|left, right| right.0.total_cmp(&left.0).then(left.1.cmp(&right.1)));
    rated.into_iter().take(rows).map(|(_, row)| row).collect()
}

fn stranded(view: View, nodes: &[Row], rows: usize) -> Vec<Entry> {
    let of = |row: Row| Stranded::of(view.survey.node(row), view.survey.typical);
    let value = |row: Row| {
        let stranded = of(row);
        let amounts = Amounts {
            cpu_milli: stranded.cpu_milli,
            memory_bytes: stranded.memory_bytes,
            pods: 0,
        };
        amounts.fullest_of(view.survey.node(row).allocatable)
    };
    top(nodes, rows, value)
        .into_iter()
        .map(|row| (name(view, row), words::stranded(of(row)), Role::Warning))
        .collect()
}

fn fullest(view: View, nodes: &[Row], rows: usize) -> Vec<Entry> {
    top(nodes, rows, |row| view.survey.node(row).fullest())
        .into_iter()
        .map(|row| {
            let node = view.survey.node(row);
            let (cpu, memory) = node.requested.shares_of(node.allocatable);
            let figures = format!("cpu {:3.0}%  mem {:3.0}%", cpu * 100.0, memory * 100.0);
            let step = super::super::colouring::step(node.fullest());
            (name(view, row), figures, ink::amount(step))
        })
        .collect()
}

fn holes(view: View, nodes: &[Row], rows: usize) -> Vec<Entry> {
    let typical = view.survey.typical;
    let value = |row: Row| {
        let node = view.survey.node(row);
        if node.is_open() {
            node.free().fits(typical) as f64
        } else {
            0.0
        }
    };
    top(nodes, rows, value)
        .into_iter()
        .map(|row| {
            let free = view.survey.node(row).free();
            let figures = format!("{} × {}", milli(free.cpu_milli), bytes(free.memory_bytes));
            (name(view, row), figures, Role::Text)
        })
        .collect()
}

/// Workloads by what they ask for, with their hue.
fn largest(view: View, _nodes: &[Row], rows: usize) -> Vec<Entry> {
    let mut list: Vec<(Amounts, Row)> = (0..view.survey.workloads.len())
        .filter_map(|place| Row::try_from(place).ok())
        .map(|row| {
            let pods = view.survey.pods_of(row).iter();
            let sum = pods.fold(Amounts::default(), |sum, &pod| {
                sum + view.survey.pod(pod).request
            });
            (sum, row)
        })
        .collect();
    list.sort_by_key(|(sum, row)| (std::cmp::Reverse(sum.cpu_milli), *row));
    list.into_iter()
        .take(rows)
        .map(|(sum, row)| {
            let workload = view.survey.workload(row);
            let shown = crate::tui::text::cut_middle(&workload.key.name, 15);
            let line = Line::of("■ ", ink::hue(workload.hue)).with(shown, Role::Text);
            let memory = bytes(sum.memory_bytes);
            (
                line,
                format!("{} cores  {memory}", milli(sum.cpu_milli)),
                Role::Text,
            )
        })
        .collect()
}
