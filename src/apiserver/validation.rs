//! Validation of objects, with upstream's messages.
//!
//! Source: `k8s.io/kubernetes/pkg/apis/*/validation` and `k8s.io/apimachinery/pkg/util/validation`.
//! What every kind has in common is in `metadata` and `required`; `pod`, `workload`, `service` and
//! `immutable` know single kinds; custom resources are checked by their own schema.

mod custom;
mod definition;
mod enumeration;
mod immutable;
mod metadata;
mod names;
mod network;
mod pod;
mod workload;

use serde_json::Value;

use super::registry::{Origin, ResourceType};
use super::status::Cause;
use crate::k8s::facts;

/// What is wrong with a new object.
pub(super) fn of_new(resource_type: &ResourceType, object: &Value) -> Vec<Cause> {
    let mut causes = metadata::check(resource_type, object);
    causes.extend(body(resource_type, object));
    causes
}

/// What is wrong with a changed object.
pub(super) fn of_update(resource_type: &ResourceType, old: &Value, object: &Value) -> Vec<Cause> {
    let mut causes = metadata::check_update(old, object);
    // An object that is going away may always lose its finalizers, however old its rules are.
    if object.pointer("/metadata/deletionTimestamp").is_some()
        && old.get("spec") == object.get("spec")
    {
        return causes;
    }
    causes.extend(body(resource_type, object));
    causes.extend(immutable::check(resource_type, old, object));
    causes
}

/// What is wrong with a changed status.
pub(super) fn of_status(resource_type: &ResourceType, object: &Value) -> Vec<Cause> {
    match resource_type.origin {
        Origin::Builtin => Vec::new(),
        Origin::Lab | Origin::Custom => custom::check(resource_type, object),
    }
}

fn body(resource_type: &ResourceType, object: &Value) -> Vec<Cause> {
    if resource_type.origin != Origin::Builtin {
        return custom::check(resource_type, object);
    }
    let mut causes = Vec::new();
    if let Some(definition) = facts::definition_of(
        &resource_type.group,
        &resource_type.version,
        &resource_type.kind,
    ) {
        enumeration::check(definition, object, &mut causes);
    }
    match (resource_type.group.as_str(), resource_type.plural.as_str()) {
        ("", "pods") => pod::check(object, &mut causes),
        ("", "services") => network::service(object, &mut causes),
        ("networking.k8s.io", "ingresses") => network::ingress(object, &mut causes),
        ("", "configmaps" | "secrets") => workload::data_keys(object, &mut causes),
        ("apps", "deployments" | "replicasets" | "statefulsets" | "daemonsets") => {
            workload::check(resource_type, object, &mut causes);
        }
        ("", "replicationcontrollers") => workload::replication_controller(object, &mut causes),
        ("batch", "jobs") => workload::job(object, "spec", &mut causes),
        ("batch", "cronjobs") => workload::cron_job(object, &mut causes),
        ("autoscaling", "horizontalpodautoscalers") => workload::autoscaler(object, &mut causes),
        ("policy", "poddisruptionbudgets") => workload::disruption_budget(object, &mut causes),
        ("", "persistentvolumeclaims") => workload::claim(object, &mut causes),
        ("apiextensions.k8s.io", "customresourcedefinitions") => {
            definition::check(object, &mut causes);
        }
        ("rbac.authorization.k8s.io", "rolebindings" | "clusterrolebindings") => {
            workload::role_binding(object, &mut causes);
        }
        _ => {}
    }
    causes
}
