//! Server-side tables: what `kubectl get` prints.
//!
//! Columns are facts (`table-columns.json`) or come from a custom resource definition; the cells of
//! built-in kinds follow the printers of Kubernetes 1.36 (`pkg/printers/internalversion`), those of
//! custom ones their definition's JSON paths.

mod cells;
mod columns;
mod json_path;

use bytes::Bytes;
use jiff::Timestamp;
use serde_json::{Value, json};

use super::convert;
use super::present::{ListMeta, Presentation, partial};
use super::registry::{PrintColumn, ResourceType};
use crate::k8s::Object;

/// What a cell may look at.
pub(super) struct Row<'a> {
    pub object: &'a Object,
    pub json: &'a Value,
    pub now: Timestamp,
}

/// A `Table` of these objects; `head` says whether the columns are described, which a watch does
/// only once.
pub(super) fn render(
    resource_type: &ResourceType,
    objects: &[&Object],
    metadata: &ListMeta,
    presentation: &Presentation,
    head: bool,
) -> Bytes {
    let rows: Vec<Value> = objects
        .iter()
        .map(|object| row(resource_type, object, presentation))
        .collect();
    let columns: Vec<Value> = if head {
        resource_type.columns.iter().map(column).collect()
    } else {
        Vec::new()
    };
    let table = json!({
        "kind": "Table",
        "apiVersion": "meta.k8s.io/v1",
        "metadata": metadata.json(),
        "columnDefinitions": columns,
        "rows": rows,
    });
    Bytes::from(table.to_string())
}

fn column(column: &PrintColumn) -> Value {
    json!({
        "name": column.column.name,
        "type": column.column.kind,
        "format": column.column.format,
        "description": "",
        "priority": column.column.priority,
    })
}

fn row(resource_type: &ResourceType, object: &Object, presentation: &Presentation) -> Value {
    let mut tree = object.json();
    let line = Row {
        object,
        json: &tree,
        now: presentation.now,
    };
    let cells: Vec<Value> = resource_type
        .columns
        .iter()
        .map(|column| cell(resource_type, &line, column))
        .collect();
    match presentation.include.as_str() {
        "None" => json!({"cells": cells}),
        "Object" => {
            convert::to_served(resource_type, &mut tree);
            json!({"cells": cells, "object": tree})
        }
        _ => json!({"cells": cells, "object": partial(&tree)}),
    }
}

/// A column that nothing is known about is filled with an empty text, never left out: clients pair
/// cells and columns by position.
fn cell(resource_type: &ResourceType, line: &Row, column: &PrintColumn) -> Value {
    match &column.json_path {
        Some(path) => json_path::cell(line, &column.column.kind, path),
        None => columns::cell(&resource_type.storage, &column.column.name, line),
    }
}
