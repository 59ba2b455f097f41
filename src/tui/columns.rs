//! What a table shows of an object, kind by kind.
//!
//! A kind has a row type, which holds what was worked out once, and a list of columns over it. Kinds
//! that have no file here are shown by name and age, or in the columns that the server prints.
//!
//! [`pod`], [`workload`] and [`service`] have rows of their own; [`of`] gives the columns of every
//! other kind over [`ObjectRow`].

use std::cmp::{Ordering, Reverse};
use std::sync::Arc;

use jiff::Timestamp;
use serde_json::Value;

use crate::k8s::object::Labels;
use crate::k8s::status::Health;
use crate::k8s::{Name, Object, Resource, Uid, resources};
use crate::stdx::humanize;
use crate::tui::page::Context;
use crate::tui::screen::{Align, Cell};
use crate::tui::table::{Column, Record, SortKey, Unit};
use crate::tui::text::{Line, Role};
use crate::tui::view::Target;

/// Beside a node that is a real machine among simulated ones, and beside what runs on it.
pub const REAL: &str = "◆";

pub mod event;
pub mod node;
pub mod pod;
pub mod pod_disruption_budget;
pub mod printed;
pub mod service;
pub mod workload;

/// A row that shows one object.
pub trait Shown {
    fn object(&self) -> &Arc<Object>;

    fn target(&self) -> Target {
        Target::of(self.object())
    }

    /// What is searched besides namespace and name.
    fn more_texts(&self, _each: &mut dyn FnMut(&str)) {}

    fn state(&self) -> Option<Health> {
        None
    }

    /// Namespace and name order rows before anybody sorts them.
    fn before(&self, other: &Self) -> Ordering {
        let (one, other) = (&self.object().key, &other.object().key);
        (&one.namespace, &one.name).cmp(&(&other.namespace, &other.name))
    }
}

/// Any object as a row.
#[derive(Clone, Debug)]
pub struct ObjectRow {
    pub object: Arc<Object>,
    /// What the server prints of it, where its kind has no columns here.
    pub cells: Option<Arc<Vec<Value>>>,
}

impl Shown for ObjectRow {
    fn object(&self) -> &Arc<Object> {
        &self.object
    }

    fn more_texts(&self, each: &mut dyn FnMut(&str)) {
        let Some(pod) = self.object.pod() else { return };
        each(pod.node.as_deref().unwrap_or_default());
        if let Some(status) = crate::k8s::status::of_pod(&self.object) {
            each(&status.word);
        }
    }
}

impl<T: Shown> Record for T {
    fn id(&self) -> Uid {
        self.object().uid.clone()
    }

    fn texts(&self, each: &mut dyn FnMut(&str)) {
        let key = &self.object().key;
        each(&key.namespace);
        each(&key.name);
        self.more_texts(each);
    }

    fn labels(&self) -> Option<&Labels> {
        Some(&self.object().labels)
    }

    fn health(&self) -> Option<Health> {
        self.state()
    }

    fn compare(&self, other: &Self) -> Ordering {
        self.before(other)
    }
}

/// Whether a kind is shown as the server prints it.
pub fn is_printed(resource: &Resource) -> bool {
    own(resource).is_none()
}

/// The columns of a kind that has no row type of its own.
pub fn of(resource: &Resource) -> &'static [Column<ObjectRow>] {
    own(resource).unwrap_or(ANY)
}

fn own(resource: &Resource) -> Option<&'static [Column<ObjectRow>]> {
    if *resource == resources::NODES {
        Some(node::COLUMNS)
    } else if resource.plural == "events" {
        Some(event::COLUMNS)
    } else if *resource == resources::POD_DISRUPTION_BUDGETS {
        Some(pod_disruption_budget::COLUMNS)
    } else {
        None
    }
}

/// Any kind: namespace, name, age.
const ANY: &[Column<ObjectRow>] = &[namespace(), name(), age()];

pub const fn namespace<T: Shown>() -> Column<T> {
    let mut column = Column::new(
        "NAMESPACE",
        |row: &T, _| Cell::new(row.object().namespace(), Role::Dim),
        |row: &T, _| SortKey::Text(row.object().key.namespace.clone()),
    )
    .width(9, 20)
    .priority(4);
    column.align = Align::Name;
    column
}

pub const fn name<T: Shown>() -> Column<T> {
    Column::new(
        "NAME",
        |row: &T, _| Cell::new(row.object().name(), Role::Text),
        |row: &T, _| SortKey::Text(row.object().key.name.clone()),
    )
    .name()
}

pub const fn age<T: Shown>() -> Column<T> {
    Column::new(
        "AGE",
        |row: &T, context: &Context| {
            let created = row.object().created;
            let text = created.map(|created| humanize::age(created, context.now));
            Cell::new(text.unwrap_or_default(), Role::Dim)
        },
        |row: &T, _| age_key(row.object().created),
    )
    .number(Unit::Seconds)
    .width(5, 8)
    .priority(3)
}

/// A text column: how it reads is how it sorts.
pub const fn words<T>(
    title: &'static str,
    cell: fn(&T, &Context) -> Cell,
    key: fn(&T, &Context) -> SortKey,
) -> Column<T> {
    Column::new(title, cell, key)
}

pub fn age_key(since: Option<Timestamp>) -> SortKey {
    since.map_or(SortKey::Nothing, |since| SortKey::Age(Reverse(since)))
}

pub fn text_key(text: impl Into<Name>) -> SortKey {
    let text = text.into();
    if text.is_empty() {
        SortKey::Nothing
    } else {
        SortKey::Text(text)
    }
}

/// The glyph of a state; its second carrier beside colour.
pub fn glyph(health: Health) -> &'static str {
    match health {
        Health::Good => "●",
        Health::Partly => "◐",
        Health::Waiting => "○",
        Health::Bad => "✕",
        Health::Terminating => "◌",
        Health::Done => "·",
        Health::Unknown => "?",
    }
}

pub fn role(health: Health) -> Role {
    match health {
        Health::Good => Role::Good,
        Health::Partly => Role::Warning,
        Health::Waiting => Role::Accent,
        Health::Bad => Role::Bad,
        Health::Terminating | Health::Done => Role::Dim,
        Health::Unknown => Role::Unknown,
    }
}

/// `● Running`.
pub fn state_cell(health: Health, word: &str) -> Cell {
    Cell::from(Line::of(glyph(health), role(health)).with(format!(" {word}"), role(health)))
}

/// `● 12/12`: the figures right-aligned, so that the slashes of a column stand in line.
pub fn share_cell(health: Health, ready: i64, desired: i64) -> Cell {
    let figures = format!(" {ready:>3}/{desired:<3}");
    Cell::from(Line::of(glyph(health), role(health)).with(figures, role(health)))
}

/// A count that is dim where it is nothing.
pub fn count_cell(count: i64) -> Cell {
    let role = if count == 0 { Role::Dim } else { Role::Text };
    Cell::new(count.to_string(), role)
}

/// Marks a cell for two seconds after its object has changed.
pub fn fresh(mut cell: Cell, object: &Object, context: &Context) -> Cell {
    cell.changed = context.cache.is_fresh(&object.uid, context.now);
    cell
}

/// The image without its registry: `cart:1.8.2`.
pub fn short_image(image: &str) -> &str {
    image.rsplit('/').next().unwrap_or(image)
}
