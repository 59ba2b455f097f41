//! Workloads of every kind: how many should be, how many are, what holds the rest up.

use std::cmp::Ordering;
use std::fmt::Write as _;
use std::sync::Arc;

use super::{
    Shown, age, count_cell, fresh, glyph, name, namespace, role, share_cell, short_image, text_key,
};
use crate::k8s::columns::ContainerRole;
use crate::k8s::status::Health;
use crate::k8s::workload::Workload;
use crate::k8s::{Name, Object, resources};
use crate::tui::page::Context;
use crate::tui::screen::Cell;
use crate::tui::table::{Column, SortKey, Unit};
use crate::tui::text::{Line, Role};

#[derive(Clone, Debug)]
pub struct WorkloadRow {
    pub object: Arc<Object>,
    pub workload: Workload,
    pub health: Health,
    /// The domain whose loss costs most, and the share of replicas it takes, where it is known.
    pub worst_loss: Option<(Name, f64)>,
}

impl Shown for WorkloadRow {
    fn object(&self) -> &Arc<Object> {
        &self.object
    }

    fn state(&self) -> Option<Health> {
        Some(self.health)
    }

    /// Trouble first, then by name.
    fn before(&self, other: &Self) -> Ordering {
        let place = |row: &Self| !row.health.is_trouble();
        let (one, two) = (&self.object.key, &other.object.key);
        place(self)
            .cmp(&place(other))
            .then_with(|| (&one.namespace, &one.name).cmp(&(&two.namespace, &two.name)))
    }
}

pub const COLUMNS: &[Column<WorkloadRow>] = &[
    namespace(),
    name(),
    Column::new(
        "KIND",
        |row: &WorkloadRow, _| Cell::new(short_kind(&row.object), Role::Dim),
        |row: &WorkloadRow, _| text_key(short_kind(&row.object)),
    )
    .width(4, 6)
    .priority(5),
    Column::new(
        "READY",
        |row: &WorkloadRow, context: &Context| {
            let workload = &row.workload;
            if workload.desired == 0 && workload.ready == 0 {
                let sign = Line::of(glyph(row.health), role(row.health));
                return Cell::from(sign.with("   -", Role::Dim));
            }
            let cell = share_cell(row.health, workload.ready, workload.desired);
            fresh(cell, &row.object, context)
        },
        |row: &WorkloadRow, _| SortKey::Number(row.workload.ready),
    )
    .width(9, 13)
    .priority(0),
    Column::new(
        "DESIRED",
        |row: &WorkloadRow, _| count_cell(row.workload.desired),
        |row: &WorkloadRow, _| SortKey::Number(row.workload.desired),
    )
    .number(Unit::None)
    .width(7, 7)
    .priority(8)
    .wide(),
    Column::new(
        "UPDATED",
        |row: &WorkloadRow, _| count_cell(row.workload.updated),
        |row: &WorkloadRow, _| SortKey::Number(row.workload.updated),
    )
    .number(Unit::None)
    .width(7, 7)
    .priority(6),
    Column::new(
        "AVAILABLE",
        |row: &WorkloadRow, _| count_cell(row.workload.available),
        |row: &WorkloadRow, _| SortKey::Number(row.workload.available),
    )
    .number(Unit::None)
    .width(9, 9)
    .priority(8)
    .wide(),
    age(),
    Column::new(
        "IMAGE",
        |row: &WorkloadRow, _| Cell::new(images(&row.workload), Role::Dim),
        |row: &WorkloadRow, _| text_key(images(&row.workload)),
    )
    .name()
    .width(8, 32)
    .priority(5),
    Column::new("WORST LOSS", worst_loss, |row: &WorkloadRow, _| {
        row.worst_loss
            .as_ref()
            .map_or(SortKey::Nothing, |(_, share)| {
                SortKey::Number(percent(*share))
            })
    })
    .number(Unit::None)
    .width(10, 20)
    .priority(3),
    Column::new(
        "RESTARTS",
        |row: &WorkloadRow, _| count_cell(i64::from(row.workload.restarts)),
        |row: &WorkloadRow, _| SortKey::Number(i64::from(row.workload.restarts)),
    )
    .number(Unit::None)
    .width(8, 8)
    .priority(8)
    .wide(),
    Column::new("STATE", state_cell, |row: &WorkloadRow, _| {
        text_key(state(&row.workload))
    })
    .width(24, 400)
    .priority(1)
    .fills(),
];

/// Cells of a rollout's bar.
const BAR: u16 = 10;

/// How far a rollout is as a bar, then what it suffers from.
fn state_cell(row: &WorkloadRow, _: &Context) -> Cell {
    let cell = Cell::new(state(&row.workload), role(row.health));
    match row.workload.rollout.progress() {
        Some((done, of)) if of > 0 => cell.with_bar(done as f64 / of as f64, BAR, role(row.health)),
        _ => cell,
    }
}

#[expect(clippy::cast_possible_truncation, reason = "a share of at most 1")]
fn percent(share: f64) -> i64 {
    (share * 100.0).round() as i64
}

fn worst_loss(row: &WorkloadRow, _: &Context) -> Cell {
    row.worst_loss
        .as_ref()
        .map_or_else(Cell::default, |(domain, share)| {
            let role = match percent(*share) {
                50.. => Role::Bad,
                34.. => Role::Warning,
                _ => Role::Text,
            };
            Cell::new(format!("{domain} {:>3}%", percent(*share)), role)
        })
}

/// What it suffers from; what the kind says beside counts where nothing is wrong.
pub fn state(workload: &Workload) -> String {
    let words = workload.words();
    if words.is_empty() {
        workload.detail.to_string()
    } else {
        words
    }
}

/// kubectl's short names.
pub fn short_kind(object: &Object) -> &'static str {
    let resource = &object.key.resource;
    let known = [
        (resources::DEPLOYMENTS, "deploy"),
        (resources::STATEFUL_SETS, "sts"),
        (resources::DAEMON_SETS, "ds"),
        (resources::JOBS, "job"),
        (resources::CRON_JOBS, "cj"),
        (resources::REPLICA_SETS, "rs"),
        (resources::REPLICATION_CONTROLLERS, "rc"),
    ];
    known
        .into_iter()
        .find(|(known, _)| known == resource)
        .map_or("", |(_, short)| short)
}

/// The app's images; how many sidecars beside them.
pub fn images(workload: &Workload) -> String {
    let of = |role: ContainerRole| {
        workload
            .images
            .iter()
            .filter(move |image| image.role == role)
    };
    let app: Vec<&str> = of(ContainerRole::App)
        .map(|image| short_image(&image.image))
        .collect();
    let sidecars = of(ContainerRole::Sidecar).count();
    let mut out = app.join(" ");
    if sidecars > 0 {
        // Writing into a string cannot fail.
        let _ = write!(out, " ↳{sidecars}");
    }
    out
}
