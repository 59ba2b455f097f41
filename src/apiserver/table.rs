//! The server-side table: what `kubectl get` prints, one row an object.
//!
//! Columns come from the embedded facts (`table-columns.json`); this module fills their cells.
//! Source: the printers of Kubernetes 1.36 (`pkg/printers/internalversion`), checked against kubectl.

mod cells;
mod columns;

use jiff::Timestamp;
use serde_json::Value;

use crate::k8s::{Object, Resource};

/// What a cell may look at.
pub struct Row<'a> {
    pub object: &'a Object,
    pub json: &'a Value,
    pub now: Timestamp,
}

/// The cells of one object under `columns` (their names as the facts spell them), in that order.
///
/// A column that nothing is known about is filled with an empty text, never left out: clients pair
/// cells and columns by position.
pub fn cells<'a>(
    resource: &Resource,
    columns: impl IntoIterator<Item = &'a str>,
    object: &Object,
    now: Timestamp,
) -> Vec<Value> {
    let json = object.json();
    let row = Row {
        object,
        json: &json,
        now,
    };
    columns
        .into_iter()
        .map(|column| columns::cell(resource, column, &row))
        .collect()
}
