//! Pods: state first, then where, then what.

use std::sync::Arc;

use super::{REAL, Shown, age, fresh, glyph, name, namespace, role, short_image, text_key};
use crate::k8s::columns::{ContainerRole, NodeReady};
use crate::k8s::status::{self, Health, PodStatus};
use crate::k8s::{Cluster, Name, Object, lab, resources};
use crate::stdx::humanize;
use crate::tui::page::Context;
use crate::tui::screen::Cell;
use crate::tui::table::{Column, SortKey, Unit};
use crate::tui::text::{Line, Role};

/// A pod and what it is known to be.
#[derive(Clone, Debug)]
pub struct PodRow {
    pub object: Arc<Object>,
    pub status: PodStatus,
    /// The status's, except that what runs on a machine that does not answer is unknown, whatever
    /// was heard of it last.
    pub health: Health,
}

impl PodRow {
    /// `None` where the object is no pod.
    pub fn of(cluster: &Cluster, object: &Arc<Object>) -> Option<Self> {
        let status = status::of_pod(object)?;
        let dead = object
            .pod()
            .and_then(|pod| pod.node.as_ref())
            .and_then(|node| cluster.find(&resources::NODES, "", node))
            .and_then(|node| Some(node.node()?.ready != NodeReady::True))
            .unwrap_or(false);
        let health = match status.health {
            Health::Good | Health::Partly | Health::Waiting if dead => Health::Unknown,
            health => health,
        };
        Some(Self {
            object: Arc::clone(object),
            status,
            health,
        })
    }

    pub fn node(&self) -> Name {
        self.object
            .pod()
            .and_then(|pod| pod.node.clone())
            .unwrap_or_default()
    }
}

impl Shown for PodRow {
    fn object(&self) -> &Arc<Object> {
        &self.object
    }

    fn more_texts(&self, each: &mut dyn FnMut(&str)) {
        let node = self.object.pod().and_then(|pod| pod.node.as_deref());
        each(node.unwrap_or_default());
        each(&self.status.word);
    }

    fn state(&self) -> Option<Health> {
        Some(self.health)
    }
}

/// Position of the column that pods are ordered by at first: the worst state on top.
pub const STATUS: usize = 2;

pub const COLUMNS: &[Column<PodRow>] = &[
    namespace(),
    name(),
    Column::new("STATUS", status_cell, |row: &PodRow, _| {
        // The worst first, and within one state by its word.
        SortKey::Text(smol_str::format_smolstr!(
            "{} {}",
            9 - rank(row.health),
            row.status.word
        ))
    })
    .width(10, 28)
    .priority(0),
    Column::new(
        "READY",
        |row: &PodRow, _| {
            let status = &row.status;
            let full = status.ready == status.containers || row.health == Health::Done;
            let role = if full { Role::Text } else { Role::Warning };
            Cell::new(format!("{}/{}", status.ready, status.containers), role)
        },
        |row: &PodRow, _| SortKey::Number(i64::from(row.status.ready)),
    )
    .number(Unit::None)
    .width(5, 6)
    .priority(1),
    Column::new("RESTARTS", restarts, |row: &PodRow, _| {
        SortKey::Number(i64::from(row.status.restarts))
    })
    .number(Unit::None)
    .width(8, 26)
    .priority(2),
    age(),
    Column::new(
        "NODE",
        |row: &PodRow, context: &Context| {
            let node = row.node();
            let found = context.cluster.find(&resources::NODES, "", &node);
            if found.is_some_and(|node| lab::is_real(node)) {
                return Cell::new(format!("{node} {REAL}"), Role::Text);
            }
            Cell::new(node, Role::Text)
        },
        |row: &PodRow, _| text_key(row.node()),
    )
    .name()
    .width(8, 24)
    .priority(3),
    Column::new(
        "IP",
        |row: &PodRow, _| Cell::new(address(row), Role::Dim),
        |row: &PodRow, _| text_key(address(row)),
    )
    .width(10, 39)
    .priority(6),
    Column::new(
        "OWNER",
        |row: &PodRow, _| Cell::new(owner(row), Role::Dim),
        |row: &PodRow, _| text_key(owner(row)),
    )
    .name()
    .width(8, 32)
    .priority(7)
    .wide(),
    Column::new(
        "ZONE",
        |row: &PodRow, context: &Context| {
            Cell::from(place(row, context, "topology.kubernetes.io/zone").as_str())
        },
        |row: &PodRow, context: &Context| {
            text_key(place(row, context, "topology.kubernetes.io/zone"))
        },
    )
    .width(4, 16)
    .priority(6)
    .wide(),
    Column::new(
        "RACK",
        |row: &PodRow, context: &Context| {
            Cell::from(place(row, context, "topology.bayplan.dev/rack").as_str())
        },
        |row: &PodRow, context: &Context| {
            text_key(place(row, context, "topology.bayplan.dev/rack"))
        },
    )
    .width(4, 12)
    .priority(6)
    .wide(),
    Column::new(
        "IMAGE",
        |row: &PodRow, _| Cell::new(images(&row.object), Role::Dim),
        |row: &PodRow, _| text_key(images(&row.object)),
    )
    .name()
    .width(8, 40)
    .priority(7)
    .wide(),
];

fn rank(health: Health) -> u8 {
    match health {
        Health::Bad => 9,
        Health::Unknown => 8,
        Health::Partly => 7,
        Health::Waiting => 6,
        Health::Terminating => 5,
        Health::Good => 4,
        Health::Done => 3,
    }
}

fn status_cell(row: &PodRow, context: &Context) -> Cell {
    let lost = row.health == Health::Unknown && row.status.health != Health::Unknown;
    let mut line = Line::of(glyph(row.health), role(row.health))
        .with(format!(" {}", row.status.word), role(row.health));
    if lost {
        // The last that was heard of it is not what is.
        line.push(" node lost", Role::Unknown);
    }
    fresh(Cell::from(line), &row.object, context)
}

fn restarts(row: &PodRow, context: &Context) -> Cell {
    let status = &row.status;
    if status.restarts == 0 {
        return Cell::new("0", Role::Dim);
    }
    let reason = last_reason(&row.object).filter(|reason| reason != "Error");
    let ago = status
        .last_restart
        .map(|at| format!("{} ago", humanize::age(at, context.now)));
    let detail: Vec<String> = reason
        .map(|reason| reason.to_string())
        .into_iter()
        .chain(ago)
        .collect();
    let recent = status
        .last_restart
        .is_some_and(|at| context.now.duration_since(at).as_secs() < 3_600);
    let role = if recent { Role::Warning } else { Role::Text };
    let mut line = Line::default();
    if !detail.is_empty() {
        line.push(format!("{} ", detail.join(" ")), Role::Dim);
    }
    line.push(status.restarts.to_string(), role);
    Cell::from(line)
}

/// How the container that ended last ended.
fn last_reason(object: &Object) -> Option<Name> {
    object
        .pod()?
        .containers
        .iter()
        .filter_map(|container| container.last_end.as_deref())
        .max_by_key(|end| end.finished_at)
        .map(|end| end.reason.clone())
        .filter(|reason| !reason.is_empty())
}

fn address(row: &PodRow) -> Name {
    row.object
        .pod()
        .map(|pod| pod.ip.clone())
        .unwrap_or_default()
}

fn owner(row: &PodRow) -> String {
    row.object
        .controller()
        .map(|owner| format!("{}/{}", owner.kind, owner.name))
        .unwrap_or_default()
}

fn place(row: &PodRow, context: &Context, label: &str) -> Name {
    context
        .cluster
        .find(&resources::NODES, "", &row.node())
        .and_then(|node| node.labels.get(label).cloned())
        .unwrap_or_default()
}

/// The app's images first; a sidecar is marked as one.
fn images(object: &Object) -> String {
    let Some(pod) = object.pod() else {
        return String::new();
    };
    let of = |role: ContainerRole| {
        pod.containers
            .iter()
            .filter(move |container| container.role == role)
            .map(|container| short_image(&container.image))
    };
    let app = of(ContainerRole::App).map(str::to_owned);
    let sidecars = of(ContainerRole::Sidecar).map(|image| format!("↳{image}"));
    app.chain(sidecars).collect::<Vec<_>>().join(" ")
}
