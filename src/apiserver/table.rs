//! Server-side tables: what `kubectl get` prints.

use bytes::Bytes;
use serde_json::{Value, json};

use super::present::{ListMeta, Presentation, partial};
use super::registry::ResourceType;
use crate::k8s::Object;
use crate::stdx::humanize;

pub(super) fn render(
    resource_type: &ResourceType,
    objects: &[&Object],
    metadata: &ListMeta,
    presentation: &Presentation,
    head: bool,
) -> Bytes {
    let rows: Vec<Value> = objects
        .iter()
        .map(|object| {
            let tree = object.json();
            let cells = vec![
                Value::from(object.name()),
                Value::from(humanize::age_of(object.created, presentation.now)),
            ];
            let mut row = json!({"cells": cells});
            if let Some(row) = row.as_object_mut() {
                match presentation.include.as_str() {
                    "None" => {}
                    "Object" => {
                        row.insert("object".into(), tree);
                    }
                    _ => {
                        row.insert("object".into(), partial(&tree));
                    }
                }
            }
            row
        })
        .collect();
    let columns = if head {
        json!([
            {"name": "Name", "type": "string", "format": "name", "description": "", "priority": 0},
            {"name": "Age", "type": "string", "format": "", "description": "", "priority": 0},
        ])
    } else {
        json!([])
    };
    let _ = resource_type;
    let table = json!({
        "kind": "Table",
        "apiVersion": "meta.k8s.io/v1",
        "metadata": metadata.json(),
        "columnDefinitions": columns,
        "rows": rows,
    });
    Bytes::from(table.to_string())
}
