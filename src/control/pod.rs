//! What controllers ask about pods, from the header alone, and how a template becomes a pod.

use std::sync::Arc;

use jiff::Timestamp;
use serde_json::{Value, json};

use super::kind::Kind;
use super::{field, seconds_after, write};
use crate::k8s::{Cluster, Object, Uid, resources};

/// Neither finished nor on its way out. Source: `IsPodActive`.
pub(super) fn is_active(pod: &Object) -> bool {
    !pod.is_terminating() && pod.pod().is_some_and(|columns| !columns.is_finished())
}

/// On its way out and not finished. Source: `IsPodTerminating`.
pub(super) fn is_terminating(pod: &Object) -> bool {
    pod.is_terminating() && pod.pod().is_some_and(|columns| !columns.is_finished())
}

pub(super) fn is_ready(pod: &Object) -> bool {
    pod.pod().is_some_and(|columns| columns.ready)
}

/// Whether a pod has been ready for long enough.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Availability {
    NotReady,
    /// Ready, and available at this time if it stays so.
    From(Timestamp),
    Available,
}

/// Source: `IsPodAvailable`.
pub(super) fn availability(pod: &Object, min_ready_s: i64, now: Timestamp) -> Availability {
    let Some(columns) = pod.pod().filter(|columns| columns.ready) else {
        return Availability::NotReady;
    };
    if min_ready_s == 0 {
        return Availability::Available;
    }
    let Some(since) = columns.ready_since else {
        return Availability::NotReady;
    };
    let from = seconds_after(since, min_ready_s);
    if from <= now {
        Availability::Available
    } else {
        Availability::From(from)
    }
}

/// Pods that a controller owns or might adopt.
pub(super) fn candidates<'a>(
    cluster: &'a Cluster,
    owner: &'a Object,
) -> impl Iterator<Item = &'a Arc<Object>> {
    controlled(cluster, &owner.uid).chain(cluster.uncontrolled_pods(owner.namespace()))
}

/// Pods that the object with this uid controls.
pub(super) fn controlled<'a>(
    cluster: &'a Cluster,
    uid: &'a Uid,
) -> impl Iterator<Item = &'a Arc<Object>> {
    cluster.owned_by(uid).filter(move |object| {
        object.key.resource == resources::PODS
            && object.controller().is_some_and(|owner| owner.uid == *uid)
    })
}

/// A pod of the template, controlled by `owner`. Source: `GetPodFromTemplate`.
pub(super) fn from_template(template: &Value, owner: &Object, kind: &Kind, name: &str) -> Value {
    let mut metadata = json!({
        "name": name,
        "generateName": format!("{}-", owner.name()),
        "namespace": owner.namespace(),
        "ownerReferences": [write::controller_reference(owner, kind)],
    });
    for part in ["labels", "annotations", "finalizers"] {
        let value = field::tree(template, &format!("/metadata/{part}"));
        if !value.is_null() {
            field::put(&mut metadata, part, value.clone());
        }
    }
    json!({
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": metadata,
        "spec": template.get("spec").cloned().unwrap_or_else(|| json!({})),
    })
}
