//! `ResourceQuota`: what a namespace may hold.
//!
//! Usage is counted from the cluster itself at the time of the write, so it cannot drift; the
//! quota's status is its controller's. Counted are pods (`pods`, `requests.*`, `limits.*`, `cpu`,
//! `memory`), objects (`count/<resource>.<group>` and the old names), and requested storage.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::Value;

use super::super::registry::ResourceType;
use super::super::status::Status;
use super::super::tree;
use super::super::write::Writing;
use crate::k8s::quantity::Quantity;
use crate::k8s::{Object, resources};

#[derive(Deserialize, Default)]
#[serde(default)]
struct Wire {
    spec: SpecWire,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct SpecWire {
    hard: BTreeMap<String, String>,
    scopes: Vec<String>,
    scope_selector: Option<Value>,
}

pub(super) fn check(
    writing: &Writing,
    resource_type: &ResourceType,
    object: &Value,
) -> Result<(), Status> {
    if !resource_type.namespaced || resource_type.storage == resources::EVENTS {
        return Ok(());
    }
    let namespace = tree::text(object, "/metadata/namespace");
    for quota in writing
        .store
        .cluster()
        .list_in(&resources::RESOURCE_QUOTAS, namespace)
    {
        let Ok(Wire { spec }) = quota.typed::<Wire>() else {
            continue;
        };
        // Scoped quotas concern some pods only; they are not enforced.
        if spec.scopes.is_empty() && spec.scope_selector.is_none() {
            check_one(writing, resource_type, object, quota, &spec)?;
        }
    }
    Ok(())
}

fn check_one(
    writing: &Writing,
    resource_type: &ResourceType,
    object: &Value,
    quota: &Object,
    spec: &SpecWire,
) -> Result<(), Status> {
    let mut requested = Vec::new();
    let mut used = Vec::new();
    let mut limited = Vec::new();
    let namespace = tree::text(object, "/metadata/namespace");
    for (name, hard) in &spec.hard {
        let Some(added) = usage(resource_type, object, name) else {
            continue;
        };
        if added.is_zero() {
            continue;
        }
        let Ok(bound) = Quantity::parse(hard) else {
            continue;
        };
        let present = writing
            .store
            .cluster()
            .list_in(&resource_type.storage, namespace)
            .filter(|other| other.pod().is_none_or(|pod| !pod.is_finished()))
            .filter_map(|other| usage(resource_type, &other.json(), name))
            .fold(Quantity::ZERO, Quantity::plus);
        if present.plus(added).nano() > bound.nano() {
            requested.push(format!("{name}={added}"));
            used.push(format!("{name}={present}"));
            limited.push(format!("{name}={hard}"));
        }
    }
    if requested.is_empty() {
        return Ok(());
    }
    Err(Status::forbidden(
        &resource_type.resource(),
        tree::text(object, "/metadata/name"),
        &format!(
            "exceeded quota: {}, requested: {}, used: {}, limited: {}",
            quota.name(),
            requested.join(","),
            used.join(","),
            limited.join(",")
        ),
    ))
}

/// How much of a quota's resource one object takes; `None` when the quota is about other things.
fn usage(resource_type: &ResourceType, object: &Value, name: &str) -> Option<Quantity> {
    let one = Quantity::from_units(1);
    if let Some(counted) = name.strip_prefix("count/") {
        return (counted == resource_type.storage.to_string()).then_some(one);
    }
    match resource_type.storage.plural.as_str() {
        "pods" => match name {
            "pods" => Some(one),
            "cpu" | "memory" | "ephemeral-storage" => Some(of_containers(object, "requests", name)),
            other => {
                if let Some(resource) = other.strip_prefix("requests.") {
                    Some(of_containers(object, "requests", resource))
                } else {
                    other
                        .strip_prefix("limits.")
                        .map(|resource| of_containers(object, "limits", resource))
                }
            }
        },
        "persistentvolumeclaims" if name == "requests.storage" => {
            Quantity::parse(tree::text(object, "/spec/resources/requests/storage")).ok()
        }
        "services" if name == "services.nodeports" => {
            (tree::text(object, "/spec/type") == "NodePort").then_some(one)
        }
        "services" if name == "services.loadbalancers" => {
            (tree::text(object, "/spec/type") == "LoadBalancer").then_some(one)
        }
        plural @ ("services"
        | "secrets"
        | "configmaps"
        | "persistentvolumeclaims"
        | "replicationcontrollers"
        | "resourcequotas") => (plural == name).then_some(one),
        _ => None,
    }
}

fn of_containers(object: &Value, field: &str, resource: &str) -> Quantity {
    tree::entries(object, "/spec/containers")
        .iter()
        .filter_map(|container| container.pointer("/resources")?.get(field)?.get(resource))
        .filter_map(Value::as_str)
        .filter_map(|text| Quantity::parse(text).ok())
        .fold(Quantity::ZERO, Quantity::plus)
}
