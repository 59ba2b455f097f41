//! Cells of nodes.

use serde_json::Value;

use super::super::Row;
use super::{items, none_if_empty, text_at};
use crate::k8s::status;

pub fn node_status(row: &Row<'_>) -> Value {
    Value::from(row.object.node().map_or("Unknown", status::node_word))
}

/// Roles are told by labels: `node-role.kubernetes.io/<role>`, or the older `kubernetes.io/role`.
pub fn node_roles(row: &Row<'_>) -> Value {
    let mut roles: Vec<&str> = row
        .object
        .labels
        .iter()
        .filter_map(|(key, value)| {
            let role = key.strip_prefix("node-role.kubernetes.io/");
            role.or_else(|| (key == "kubernetes.io/role").then_some(value.as_str()))
        })
        .filter(|role| !role.is_empty())
        .collect();
    roles.sort_unstable();
    Value::from(none_if_empty(roles.join(",")))
}

pub fn node_internal_ip(row: &Row<'_>) -> Value {
    node_address(row, "InternalIP")
}

pub fn node_external_ip(row: &Row<'_>) -> Value {
    node_address(row, "ExternalIP")
}

fn node_address(row: &Row<'_>, kind: &str) -> Value {
    let found = items(row.json.pointer("/status/addresses"))
        .find(|address| text_at(address, "/type") == kind)
        .map(|address| text_at(address, "/address"));
    Value::from(none_if_empty(found.unwrap_or_default()))
}
