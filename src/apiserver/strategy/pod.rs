//! Pods: phase and quality of service of a new one, requests from limits.

use serde_json::{Value, json};

use super::super::tree::{self, default};
use crate::k8s::columns::QosClass;
use crate::k8s::{Object, resources};

pub(super) fn prepare_create(object: &mut Value) {
    if let Some(spec) = tree::object(object, "spec") {
        default(spec, "enableServiceLinks", true);
    }
    for list in ["containers", "initContainers"] {
        let containers = object
            .pointer_mut("/spec")
            .and_then(|spec| spec.get_mut(list))
            .and_then(Value::as_array_mut);
        containers
            .into_iter()
            .flatten()
            .for_each(requests_from_limits);
    }
    let qos = quality(object);
    if let Some(status) = tree::object(object, "status") {
        status.insert("phase".into(), json!("Pending"));
        status.insert("qosClass".into(), json!(qos));
    }
    gate_condition(object);
}

/// A limit without a request is the request too.
pub(in super::super) fn requests_from_limits(container: &mut Value) {
    let Some(Value::Object(limits)) = container.pointer("/resources/limits").cloned() else {
        return;
    };
    let Some(resources) = tree::object(container, "resources") else {
        return;
    };
    let requests = resources.entry("requests").or_insert_with(|| json!({}));
    if let Some(requests) = requests.as_object_mut() {
        for (resource, amount) in limits {
            default(requests, &resource, amount);
        }
    }
}

/// The quality-of-service class, by the rules that the header's columns apply.
pub(in super::super) fn quality(object: &Value) -> &'static str {
    let class = Object::from_json(resources::PODS, object)
        .ok()
        .and_then(|parsed| parsed.pod().map(|pod| pod.qos))
        .unwrap_or_default();
    match class {
        QosClass::Guaranteed => "Guaranteed",
        QosClass::Burstable => "Burstable",
        QosClass::BestEffort => "BestEffort",
    }
}

/// A gated pod says so in its status from the beginning.
fn gate_condition(object: &mut Value) {
    if tree::entries(object, "/spec/schedulingGates").is_empty() {
        return;
    }
    if let Some(status) = tree::object(object, "status") {
        status.insert(
            "conditions".into(),
            json!([{
                "type": "PodScheduled",
                "status": "False",
                "reason": "SchedulingGated",
                "message": "Scheduling is blocked due to non-empty scheduling gates",
            }]),
        );
    }
}
