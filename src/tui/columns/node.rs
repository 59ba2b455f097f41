//! Nodes: whether they answer, how full they are by requests, where they stand.

use super::{ObjectRow, REAL, age, fresh, glyph, name, role, text_key};
use crate::k8s::columns::PodColumns;
use crate::k8s::resource_list::ResourceList;
use crate::k8s::status::{self, Health};
use crate::k8s::{Name, Object, lab};
use crate::tui::page::Context;
use crate::tui::screen::Cell;
use crate::tui::table::{Column, SortKey, Unit};
use crate::tui::text::{Line, Role};

pub const COLUMNS: &[Column<ObjectRow>] = &[
    name(),
    Column::new(
        "STATUS",
        |row: &ObjectRow, context: &Context| {
            row.object.node().map_or_else(Cell::default, |node| {
                let health = status::node_health(node);
                let sign = if node.unschedulable && health == Health::Partly {
                    "⊘"
                } else {
                    glyph(health)
                };
                // Beside the sign, so that a narrow column keeps it.
                let real = if lab::is_real(&row.object) { REAL } else { "" };
                let line = Line::of(sign, role(health))
                    .with(real, Role::Strong)
                    .with(format!(" {}", status::node_word(node)), role(health));
                fresh(Cell::from(line), &row.object, context)
            })
        },
        |row: &ObjectRow, _| text_key(row.object.node().map_or("", status::node_word)),
    )
    .width(8, 28)
    .priority(0),
    Column::new(
        "PODS",
        |row: &ObjectRow, context: &Context| {
            let limit = row.object.node().map_or(0, |node| node.pod_limit);
            Cell::from(format!("{}/{limit}", pods(&row.object, context)))
        },
        |row: &ObjectRow, context: &Context| SortKey::Number(pods(&row.object, context)),
    )
    .number(Unit::None)
    .width(7, 9)
    .priority(2),
    Column::new(
        "CPU",
        |row: &ObjectRow, context: &Context| {
            let used = requested(&row.object, context).cpu_milli;
            let all = allocatable(&row.object, |list| list.cpu_milli);
            amount_cell(used, all, format!("{}/{}", cores(used), cores(all)))
        },
        |row: &ObjectRow, context: &Context| {
            let used = requested(&row.object, context).cpu_milli;
            SortKey::Number(permille(
                used,
                allocatable(&row.object, |list| list.cpu_milli),
            ))
        },
    )
    .number(Unit::None)
    .width(9, 22)
    .priority(1),
    Column::new(
        "MEMORY",
        |row: &ObjectRow, context: &Context| {
            let used = requested(&row.object, context).memory_bytes;
            let all = allocatable(&row.object, |list| list.memory_bytes);
            amount_cell(
                used,
                all,
                format!("{}/{} Gi", gibibytes(used), gibibytes(all)),
            )
        },
        |row: &ObjectRow, context: &Context| {
            let used = requested(&row.object, context).memory_bytes;
            SortKey::Number(permille(
                used,
                allocatable(&row.object, |list| list.memory_bytes),
            ))
        },
    )
    .number(Unit::None)
    .width(11, 24)
    .priority(1),
    Column::new(
        "ZONE",
        |row: &ObjectRow, _| Cell::from(label(&row.object, "topology.kubernetes.io/zone").as_str()),
        |row: &ObjectRow, _| text_key(label(&row.object, "topology.kubernetes.io/zone")),
    )
    .width(4, 16)
    .priority(3),
    Column::new(
        "RACK",
        |row: &ObjectRow, _| Cell::from(label(&row.object, "topology.bayplan.dev/rack").as_str()),
        |row: &ObjectRow, _| text_key(label(&row.object, "topology.bayplan.dev/rack")),
    )
    .width(4, 12)
    .priority(4),
    age(),
    Column::new(
        "VERSION",
        |row: &ObjectRow, _| Cell::new(version(&row.object), Role::Dim),
        |row: &ObjectRow, _| text_key(version(&row.object)),
    )
    .width(7, 16)
    .priority(6)
    .wide(),
];

fn label(object: &Object, key: &str) -> Name {
    object.labels.get(key).cloned().unwrap_or_default()
}

fn version(object: &Object) -> Name {
    object
        .node()
        .map(|node| node.kubelet_version.clone())
        .unwrap_or_default()
}

fn running<'a>(
    object: &'a Object,
    context: &'a Context<'a>,
) -> impl Iterator<Item = &'a PodColumns> {
    context
        .cluster
        .pods_on(object.name())
        .filter_map(|pod| pod.pod())
        .filter(|pod| !pod.is_finished())
}

fn pods(object: &Object, context: &Context) -> i64 {
    i64::try_from(running(object, context).count()).unwrap_or(i64::MAX)
}

fn requested(object: &Object, context: &Context) -> ResourceList {
    let mut total = ResourceList::default();
    for pod in running(object, context) {
        total.add(&pod.requests);
    }
    total
}

fn allocatable(object: &Object, amount: fn(&ResourceList) -> i64) -> i64 {
    object.node().map_or(0, |node| amount(&node.allocatable))
}

fn permille(used: i64, all: i64) -> i64 {
    used.saturating_mul(1_000).checked_div(all).unwrap_or(0)
}

fn amount_cell(used: i64, all: i64, text: String) -> Cell {
    let share = if all > 0 {
        used as f64 / all as f64
    } else {
        0.0
    };
    Cell::new(text, Role::Text).with_bar(share, 8, Role::amount(share))
}

/// Cores with three significant digits: `14.2`, `0.25`, `128`.
pub fn cores(milli: i64) -> String {
    figure(milli as f64 / 1_000.0)
}

/// Gibibytes likewise.
pub fn gibibytes(bytes: i64) -> String {
    figure(bytes as f64 / f64::from(1 << 30))
}

fn figure(amount: f64) -> String {
    let digits = match amount.abs() {
        size if size >= 100.0 => 0,
        size if size >= 10.0 => 1,
        _ => 2,
    };
    let text = format!("{amount:.digits$}");
    if text.contains('.') {
        text.trim_end_matches('0').trim_end_matches('.').to_owned()
    } else {
        text
    }
}
