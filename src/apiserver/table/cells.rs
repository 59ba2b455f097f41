//! The cells that are more than a look at one field, kind by kind, and what they read with.

pub(super) mod autoscaler;
pub(super) mod event;
pub(super) mod network;
pub(super) mod node;
pub(super) mod policy;
pub(super) mod storage;
pub(super) mod workload;

use jiff::Timestamp;
use serde_json::{Map, Value};

use super::Row;
use crate::stdx::humanize;

/// The text, number or boolean at `path`; empty when absent.
pub(super) fn text_at(json: &Value, path: &str) -> String {
    json.pointer(path).map(text).unwrap_or_default()
}

pub(super) fn length(value: Option<&Value>) -> usize {
    match value {
        Some(Value::Array(items)) => items.len(),
        Some(Value::Object(entries)) => entries.len(),
        _ => 0,
    }
}

pub(super) fn joined(value: Option<&Value>) -> String {
    items(value).map(text).collect::<Vec<_>>().join(",")
}

/// The age of the time stamp at `path`, `<unknown>` when absent.
pub(super) fn age(row: &Row<'_>, path: &str) -> String {
    humanize::age_of(time_at(row.json, path), row.now)
}

/// A `LabelSelector` as `kubectl` prints it: `a=b,c in (d,e),f,!g`; `<none>` when absent or empty.
pub(super) fn selector(value: Option<&Value>) -> String {
    let Some(value) = value else {
        return "<none>".to_owned();
    };
    let mut parts: Vec<String> = entries(value.get("matchLabels"))
        .map(|(key, value)| format!("{key}={}", text(value)))
        .collect();
    for requirement in items(value.get("matchExpressions")) {
        let key = text_at(requirement, "/key");
        let values = joined(requirement.get("values"));
        parts.push(match text_at(requirement, "/operator").as_str() {
            "In" => format!("{key} in ({values})"),
            "NotIn" => format!("{key} notin ({values})"),
            "Exists" => key,
            _ => format!("!{key}"),
        });
    }
    none_if_empty(parts.join(","))
}

fn text(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Null => String::new(),
        other => other.to_string(),
    }
}

fn items(value: Option<&Value>) -> impl Iterator<Item = &Value> {
    value.and_then(Value::as_array).into_iter().flatten()
}

fn entries(value: Option<&Value>) -> impl Iterator<Item = (&String, &Value)> {
    value
        .and_then(Value::as_object)
        .into_iter()
        .flat_map(Map::iter)
}

fn time_at(json: &Value, path: &str) -> Option<Timestamp> {
    json.pointer(path)?.as_str()?.parse().ok()
}

fn number_at(json: &Value, path: &str) -> i64 {
    json.pointer(path)
        .and_then(Value::as_i64)
        .unwrap_or_default()
}

fn boolean_at(json: &Value, path: &str) -> bool {
    json.pointer(path)
        .and_then(Value::as_bool)
        .unwrap_or_default()
}

fn none_if_empty(text: String) -> String {
    if text.is_empty() {
        "<none>".to_owned()
    } else {
        text
    }
}

fn capitalised(flag: bool) -> Value {
    Value::from(if flag { "true" } else { "false" })
}

fn label_text(labels: Option<&Value>) -> String {
    let parts: Vec<String> = entries(labels)
        .map(|(key, value)| format!("{key}={}", text(value)))
        .collect();
    none_if_empty(parts.join(","))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::{Row, columns};
    use crate::k8s::{Object, Resource};

    #[track_caller]
    fn check(resource: &Resource, object: &serde_json::Value, columns: &[&str], expected: &[&str]) {
        let object = Object::from_json(resource.clone(), object).unwrap();
        let now = "2026-01-01T01:00:00Z".parse().unwrap();
        let tree = object.json();
        let row = Row {
            object: &object,
            json: &tree,
            now,
        };
        let found: Vec<String> = columns
            .iter()
            .map(|column| super::text(&columns::cell(resource, column, &row)))
            .collect();
        assert_eq!(found, expected);
    }

    #[test]
    fn a_deployment_shows_ready_of_desired_and_its_images() {
        check(
            &crate::k8s::resources::DEPLOYMENTS,
            &json!({
                "metadata": {"name": "cart", "creationTimestamp": "2026-01-01T00:00:00Z"},
                "spec": {
                    "replicas": 3,
                    "selector": {"matchLabels": {"app": "cart"}},
                    "template": {"spec": {"containers": [{"name": "a", "image": "x:1"}, {"name": "b", "image": "y:2"}]}}
                },
                "status": {"readyReplicas": 2, "updatedReplicas": 3}
            }),
            &[
                "Name",
                "Ready",
                "Up-to-date",
                "Available",
                "Age",
                "Containers",
                "Images",
                "Selector",
            ],
            &["cart", "2/3", "3", "0", "60m", "a,b", "x:1,y:2", "app=cart"],
        );
    }

    #[test]
    fn a_service_shows_node_ports() {
        check(
            &crate::k8s::resources::SERVICES,
            &json!({
                "metadata": {"name": "web"},
                "spec": {"type": "NodePort", "clusterIP": "10.96.0.7",
                         "ports": [{"port": 80, "nodePort": 30080, "protocol": "TCP"}]}
            }),
            &[
                "Name",
                "Type",
                "Cluster-IP",
                "External-IP",
                "Port(s)",
                "Selector",
            ],
            &[
                "web",
                "NodePort",
                "10.96.0.7",
                "<none>",
                "80:30080/TCP",
                "<none>",
            ],
        );
    }

    #[test]
    fn selectors_print_all_operators() {
        check(
            &Resource::of("networking.k8s.io", "networkpolicies"),
            &json!({"spec": {"podSelector": {
                "matchLabels": {"a": "b"},
                "matchExpressions": [
                    {"key": "c", "operator": "In", "values": ["d", "e"]},
                    {"key": "f", "operator": "Exists"},
                    {"key": "g", "operator": "DoesNotExist"}]}}}),
            &["Pod-Selector"],
            &["a=b,c in (d,e),f,!g"],
        );
    }

    #[test]
    fn an_unknown_column_is_empty_but_there() {
        check(
            &Resource::of("x.example", "things"),
            &json!({"metadata": {"name": "t"}}),
            &["Name", "Nope"],
            &["t", ""],
        );
    }
}
