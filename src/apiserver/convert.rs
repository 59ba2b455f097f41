//! Between the version an object is stored in and the one a client speaks.
//!
//! Only two built-in kinds are served in two shapes: events (`v1`, `events.k8s.io/v1`) and
//! horizontal pod autoscalers (`autoscaling/v1`, `v2`). Custom resources have the conversion
//! strategy `None`: only `apiVersion` changes.

use bytes::Bytes;
use serde_json::{Map, Value, json};

use super::registry::ResourceType;
use crate::k8s::{Object, resources};

/// The bytes of an object in the version of `resource_type`.
pub(super) fn served(resource_type: &ResourceType, object: &Object) -> Bytes {
    if !resource_type.converts() {
        return object.bytes();
    }
    let mut tree = object.json();
    to_served(resource_type, &mut tree);
    Bytes::from(tree.to_string())
}

/// From the stored shape to that of `resource_type`.
pub(super) fn to_served(resource_type: &ResourceType, tree: &mut Value) {
    if !resource_type.converts() {
        return;
    }
    if resource_type.storage == resources::EVENTS {
        event_to_new(tree);
    } else if resource_type.storage == resources::HORIZONTAL_POD_AUTOSCALERS {
        autoscaler_to_old(tree);
    }
    set_version(tree, resource_type.api_version());
}

/// From the shape of `resource_type` to the stored one.
pub(super) fn to_stored(resource_type: &ResourceType, tree: &mut Value) {
    if !resource_type.converts() {
        return;
    }
    if resource_type.storage == resources::EVENTS {
        event_to_old(tree);
    } else if resource_type.storage == resources::HORIZONTAL_POD_AUTOSCALERS {
        autoscaler_to_new(tree);
    }
    let version = if resource_type.storage.group.is_empty() {
        resource_type.storage_version.to_string()
    } else {
        format!(
            "{}/{}",
            resource_type.storage.group, resource_type.storage_version
        )
    };
    set_version(tree, version);
}

fn set_version(tree: &mut Value, version: String) {
    if let Some(root) = tree.as_object_mut() {
        root.insert("apiVersion".into(), version.into());
    }
}

/// Field of `v1` and field of `events.k8s.io/v1` with the same meaning.
const EVENT_FIELDS: [(&str, &str); 7] = [
    ("involvedObject", "regarding"),
    ("message", "note"),
    ("reportingComponent", "reportingController"),
    ("source", "deprecatedSource"),
    ("firstTimestamp", "deprecatedFirstTimestamp"),
    ("lastTimestamp", "deprecatedLastTimestamp"),
    ("count", "deprecatedCount"),
];

fn event_to_new(tree: &mut Value) {
    if let Some(root) = tree.as_object_mut() {
        for (old, new) in EVENT_FIELDS {
            rename(root, old, new);
        }
    }
}

fn event_to_old(tree: &mut Value) {
    if let Some(root) = tree.as_object_mut() {
        for (old, new) in EVENT_FIELDS {
            rename(root, new, old);
        }
    }
}

fn rename(map: &mut Map<String, Value>, from: &str, to: &str) {
    if let Some(value) = map.remove(from) {
        map.insert(to.into(), value);
    }
}

/// `targetCPUUtilizationPercentage` is the one metric that `autoscaling/v1` knows; the others ride
/// in the annotation that upstream uses.
const METRICS_ANNOTATION: &str = "autoscaling.alpha.kubernetes.io/metrics";

fn autoscaler_to_old(tree: &mut Value) {
    let metrics = tree
        .pointer_mut("/spec/metrics")
        .map(Value::take)
        .and_then(|metrics| match metrics {
            Value::Array(metrics) => Some(metrics),
            _ => None,
        })
        .unwrap_or_default();
    let (cpu, others): (Vec<Value>, Vec<Value>) = metrics
        .into_iter()
        .partition(|metric| cpu_target(metric).is_some());
    if let Some(spec) = tree.get_mut("spec").and_then(Value::as_object_mut) {
        spec.remove("metrics");
        spec.remove("behavior");
        if let Some(target) = cpu.first().and_then(cpu_target) {
            spec.insert("targetCPUUtilizationPercentage".into(), target.into());
        }
    }
    if !others.is_empty()
        && let Some(metadata) = tree.get_mut("metadata").and_then(Value::as_object_mut)
        && let Some(annotations) = metadata
            .entry("annotations")
            .or_insert_with(|| json!({}))
            .as_object_mut()
    {
        annotations.insert(
            METRICS_ANNOTATION.into(),
            Value::from(others).to_string().into(),
        );
    }
    if let Some(status) = tree.get_mut("status").and_then(Value::as_object_mut) {
        status.remove("currentMetrics");
        status.remove("conditions");
    }
}

fn autoscaler_to_new(tree: &mut Value) {
    let carried = tree
        .pointer_mut("/metadata/annotations")
        .and_then(Value::as_object_mut)
        .and_then(|annotations| annotations.remove(METRICS_ANNOTATION));
    let mut metrics: Vec<Value> = carried
        .as_ref()
        .and_then(Value::as_str)
        .and_then(|text| serde_json::from_str(text).ok())
        .unwrap_or_default();
    let Some(spec) = tree.get_mut("spec").and_then(Value::as_object_mut) else {
        return;
    };
    if let Some(target) = spec.remove("targetCPUUtilizationPercentage") {
        metrics.push(json!({
            "type": "Resource",
            "resource": {
                "name": "cpu",
                "target": {"type": "Utilization", "averageUtilization": target},
            },
        }));
    }
    if !metrics.is_empty() {
        spec.insert("metrics".into(), metrics.into());
    }
    if let Some(status) = tree.get_mut("status").and_then(Value::as_object_mut) {
        status.remove("currentCPUUtilizationPercentage");
    }
}

fn cpu_target(metric: &Value) -> Option<i64> {
    let name = metric.pointer("/resource/name")?.as_str()?;
    (name == "cpu").then_some(())?;
    metric
        .pointer("/resource/target/averageUtilization")?
        .as_i64()
}
