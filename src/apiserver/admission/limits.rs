//! `LimitRanger`: defaults and bounds for containers and pods from the namespace's limit ranges.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::Deserialize;
use serde_json::{Value, json};

use super::super::status::Status;
use super::super::strategy;
use super::super::tree::{self, default};
use super::super::write::Writing;
use crate::k8s::quantity::Quantity;
use crate::k8s::{Object, resources};

#[derive(Deserialize, Default)]
#[serde(default)]
struct Wire {
    spec: SpecWire,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct SpecWire {
    limits: Vec<Item>,
}

type Amounts = BTreeMap<String, String>;

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct Item {
    #[serde(rename = "type")]
    kind: String,
    default: Amounts,
    default_request: Amounts,
    min: Amounts,
    max: Amounts,
}

fn items(writing: &Writing, object: &Value) -> Vec<Item> {
    let namespace = tree::text(object, "/metadata/namespace");
    let ranges: Vec<Arc<Object>> = writing
        .store
        .cluster()
        .list_in(&resources::LIMIT_RANGES, namespace)
        .cloned()
        .collect();
    ranges
        .iter()
        .filter_map(|range| range.typed::<Wire>().ok())
        .flat_map(|wire| wire.spec.limits)
        .collect()
}

/// Fills in requests and limits that a container does not state.
pub(super) fn apply(writing: &Writing, object: &mut Value) {
    let items = items(writing, object);
    let containers: Vec<&Item> = items
        .iter()
        .filter(|item| item.kind == "Container")
        .collect();
    if containers.is_empty() {
        return;
    }
    for list in ["containers", "initContainers"] {
        let entries = object
            .pointer_mut("/spec")
            .and_then(|spec| spec.get_mut(list))
            .and_then(Value::as_array_mut);
        for container in entries.into_iter().flatten() {
            for item in &containers {
                fill(container, "limits", &item.default);
                fill(container, "requests", &item.default_request);
            }
        }
    }
    let quality = strategy::pod_quality(object);
    if let Some(status) = tree::object(object, "status") {
        status.insert("qosClass".into(), json!(quality));
    }
}

fn fill(container: &mut Value, field: &str, amounts: &Amounts) {
    if amounts.is_empty() {
        return;
    }
    if let Some(resources) = tree::object(container, "resources") {
        let entry = resources.entry(field).or_insert_with(|| json!({}));
        if let Some(map) = entry.as_object_mut() {
            for (resource, amount) in amounts {
                default(map, resource, amount.as_str());
            }
        }
    }
}

/// Refuses containers outside of the bounds.
pub(super) fn check(writing: &Writing, object: &Value) -> Result<(), Status> {
    let mut problems = Vec::new();
    for item in items(writing, object)
        .iter()
        .filter(|item| item.kind == "Container")
    {
        for container in tree::entries(object, "/spec/containers") {
            bounds(container, item, &mut problems);
        }
    }
    match problems.as_slice() {
        [] => Ok(()),
        [only] => Err(forbidden(object, only)),
        many => Err(forbidden(object, &format!("[{}]", many.join(", ")))),
    }
}

fn bounds(container: &Value, item: &Item, problems: &mut Vec<String>) {
    let amount = |field: &str, resource: &str| {
        container
            .pointer("/resources")
            .and_then(|all| all.get(field))
            .and_then(|map| map.get(resource))
            .and_then(Value::as_str)
            .and_then(|text| Quantity::parse(text).ok().map(|parsed| (text, parsed)))
    };
    for (resource, minimum) in &item.min {
        let Ok(bound) = Quantity::parse(minimum) else {
            continue;
        };
        match amount("requests", resource) {
            None => problems.push(format!(
                "minimum {resource} usage per Container is {minimum}.  No request is specified"
            )),
            Some((text, request)) if request.nano() < bound.nano() => problems.push(format!(
                "minimum {resource} usage per Container is {minimum}, but request is {text}"
            )),
            Some(_) => {}
        }
    }
    for (resource, maximum) in &item.max {
        let Ok(bound) = Quantity::parse(maximum) else {
            continue;
        };
        match amount("limits", resource) {
            None => problems.push(format!(
                "maximum {resource} usage per Container is {maximum}.  No limit is specified"
            )),
            Some((text, limit)) if limit.nano() > bound.nano() => problems.push(format!(
                "maximum {resource} usage per Container is {maximum}, but limit is {text}"
            )),
            Some(_) => {}
        }
    }
}

fn forbidden(object: &Value, why: &str) -> Status {
    Status::forbidden(&resources::PODS, tree::text(object, "/metadata/name"), why)
}
