//! Nodes, namespaces, events, configuration, roles.

use serde_json::Value;

use super::cell::{NONE, Row, joined, or_none};
use crate::k8s::status;
use crate::stdx::humanize;

pub(super) fn node(row: &Row) -> Vec<Value> {
    let word = row.object.node().map_or("Unknown", status::node_word);
    let address = |kind: &str| {
        let found = row
            .entries("/status/addresses")
            .iter()
            .find(|address| address.get("type").and_then(Value::as_str) == Some(kind))
            .and_then(|address| address.get("address"))
            .and_then(Value::as_str);
        Value::from(found.unwrap_or(NONE))
    };
    vec![
        row.name(),
        word.into(),
        roles(row),
        row.age(),
        row.text("/status/nodeInfo/kubeletVersion").into(),
        address("InternalIP"),
        address("ExternalIP"),
        row.text_or("/status/nodeInfo/osImage", "<unknown>"),
        row.text_or("/status/nodeInfo/kernelVersion", "<unknown>"),
        row.text_or("/status/nodeInfo/containerRuntimeVersion", "<unknown>"),
    ]
}

fn roles(row: &Row) -> Value {
    let mut roles: Vec<&str> = row
        .object
        .labels
        .iter()
        .filter_map(|(key, value)| {
            if let Some(role) = key.strip_prefix("node-role.kubernetes.io/") {
                (!role.is_empty()).then_some(role)
            } else {
                (key == "kubernetes.io/role" && !value.is_empty()).then_some(value.as_str())
            }
        })
        .collect();
    roles.sort_unstable();
    or_none(roles.join(","))
}

pub(super) fn namespace(row: &Row) -> Vec<Value> {
    vec![row.name(), row.text("/status/phase").into(), row.age()]
}

pub(super) fn event(row: &Row) -> Vec<Value> {
    let event_time = row.time("/eventTime");
    let seen = |pointer: &str| match row.time(pointer).or(event_time) {
        Some(time) => Value::from(humanize::age(time, row.now)),
        None => "<unknown>".into(),
    };
    let kind = row.text("/involvedObject/kind").to_lowercase();
    let source = match (row.text("/source/component"), row.text("/source/host")) {
        ("", _) => row.text("/reportingComponent").to_owned(),
        (component, "") => component.to_owned(),
        (component, host) => format!("{component}, {host}"),
    };
    let count = row
        .tree
        .pointer("/series/count")
        .and_then(Value::as_i64)
        .unwrap_or_else(|| row.number("/count").max(1));
    vec![
        seen("/lastTimestamp"),
        row.text("/type").into(),
        row.text("/reason").into(),
        format!("{kind}/{}", row.text("/involvedObject/name")).into(),
        row.text("/involvedObject/fieldPath").into(),
        source.into(),
        row.text("/message").trim().into(),
        seen("/firstTimestamp"),
        count.to_string().into(),
        row.name(),
    ]
}

pub(super) fn config_map(row: &Row) -> Vec<Value> {
    let count = row.count("/data") + row.count("/binaryData");
    vec![row.name(), count.to_string().into(), row.age()]
}

pub(super) fn secret(row: &Row) -> Vec<Value> {
    vec![
        row.name(),
        row.text("/type").into(),
        row.count("/data").to_string().into(),
        row.age(),
    ]
}

pub(super) fn resource_quota(row: &Row) -> Vec<Value> {
    let mut requests = Vec::new();
    let mut limits = Vec::new();
    let hard = row.tree.pointer("/status/hard").and_then(Value::as_object);
    for (resource, bound) in hard.into_iter().flatten() {
        let used = row
            .tree
            .pointer("/status/used")
            .and_then(|used| used.get(resource))
            .and_then(Value::as_str)
            .unwrap_or("0");
        let entry = format!("{resource}: {used}/{}", bound.as_str().unwrap_or_default());
        if resource.starts_with("limits.") {
            limits.push(entry);
        } else {
            requests.push(entry);
        }
    }
    vec![
        row.name(),
        requests.join(", ").into(),
        limits.join(", ").into(),
        row.age(),
    ]
}

pub(super) fn priority_class(row: &Row) -> Vec<Value> {
    vec![
        row.name(),
        row.number("/value").into(),
        (row.tree.pointer("/globalDefault") == Some(&Value::Bool(true))).into(),
        row.age(),
        row.text("/preemptionPolicy").into(),
    ]
}

pub(super) fn lease(row: &Row) -> Vec<Value> {
    vec![
        row.name(),
        row.text("/spec/holderIdentity").into(),
        row.age(),
    ]
}

pub(super) fn role_binding(row: &Row) -> Vec<Value> {
    let subjects = row.entries("/subjects");
    let of_kind = |kind: &str| -> Vec<Value> {
        subjects
            .iter()
            .filter(|subject| subject.get("kind").and_then(Value::as_str) == Some(kind))
            .cloned()
            .collect()
    };
    let accounts: Vec<String> = of_kind("ServiceAccount")
        .iter()
        .map(|subject| {
            let text = |field: &str| {
                subject
                    .get(field)
                    .and_then(Value::as_str)
                    .unwrap_or_default()
            };
            format!("{}/{}", text("namespace"), text("name"))
        })
        .collect();
    vec![
        row.name(),
        format!(
            "{}/{}",
            row.text("/roleRef/kind"),
            row.text("/roleRef/name")
        )
        .into(),
        row.age(),
        joined(&of_kind("User"), "name").into(),
        joined(&of_kind("Group"), "name").into(),
        accounts.join(", ").into(),
    ]
}
