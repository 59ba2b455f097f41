//! `pods/binding`: the scheduler's decision.

use serde_json::{Value, json};

use super::super::request::{Request, ResourceTarget};
use super::super::status::Status;
use super::super::write::{Done, Writing};
use super::super::{decode, tree};
use crate::k8s::{ObjectKey, Uid, resources};
use crate::store::{Expect, Write};

pub(in super::super) fn request(
    writing: &mut Writing,
    target: &ResourceTarget,
    request: &Request,
) -> Result<Done, Status> {
    let body = decode::body(request)?;
    let kind = tree::text(&body, "/target/kind");
    if !matches!(kind, "" | "Node") {
        return Err(Status::bad_request(format!(
            "target.kind: Unsupported value: \"{kind}\": supported values: \"Node\", \"<empty>\""
        )));
    }
    let node = tree::text(&body, "/target/name");
    if node.is_empty() {
        return Err(Status::bad_request("target.name: Required value"));
    }
    let uid = tree::text(&body, "/metadata/uid");
    let uid = (!uid.is_empty()).then(|| Uid(uid.into()));
    let pod = ObjectKey {
        resource: resources::PODS,
        namespace: target.namespace.clone(),
        name: target.name.clone(),
    };
    let annotations = body.pointer("/metadata/annotations").cloned();
    bind(writing, &pod, uid.as_ref(), node, annotations)?;
    Ok(Done::Status(Status::new(201, "", "")))
}

/// Sets the node and the `PodScheduled` condition in one write.
pub(in super::super) fn bind(
    writing: &mut Writing,
    pod: &ObjectKey,
    uid: Option<&Uid>,
    node: &str,
    annotations: Option<Value>,
) -> Result<(), Status> {
    let current = writing
        .store
        .cluster()
        .get(pod)
        .cloned()
        .ok_or_else(|| Status::not_found(&resources::PODS, &pod.name))?;
    let conflict = |why: String| Status::conflict(&resources::PODS, &pod.name, &why);
    if let Some(uid) = uid
        && *uid != current.uid
    {
        return Err(conflict(format!(
            "Precondition failed: UID in precondition: {uid}, UID in object meta: {}",
            current.uid
        )));
    }
    if current.is_terminating() {
        return Err(conflict(format!(
            "pod {} is being deleted, cannot be assigned to a host",
            pod.name
        )));
    }
    let columns = current.pod();
    if let Some(assigned) = columns.and_then(|pod| pod.node.as_ref()) {
        return Err(conflict(format!(
            "pod {} is already assigned to node \"{assigned}\"",
            pod.name
        )));
    }
    if columns.is_some_and(|pod| pod.scheduling_gated) {
        return Err(conflict(format!(
            "pod {} has non-empty .spec.schedulingGates",
            pod.name
        )));
    }
    let mut object = current.json();
    if let Some(spec) = tree::object(&mut object, "spec") {
        spec.insert("nodeName".into(), node.into());
    }
    if let Some(Value::Object(added)) = annotations
        && !added.is_empty()
        && let Some(metadata) = tree::object(&mut object, "metadata")
        && let Some(own) = metadata
            .entry("annotations")
            .or_insert_with(|| json!({}))
            .as_object_mut()
    {
        own.extend(added);
    }
    let now = writing.timestamp();
    set_scheduled(&mut object, &now);
    writing.commit(Write::Put {
        resource: resources::PODS,
        object,
        expect: Expect::Revision(current.revision),
    })?;
    Ok(())
}

fn set_scheduled(object: &mut Value, now: &Value) {
    let Some(status) = tree::object(object, "status") else {
        return;
    };
    status.remove("nominatedNodeName");
    let conditions = status.entry("conditions").or_insert_with(|| json!([]));
    let Some(conditions) = conditions.as_array_mut() else {
        return;
    };
    conditions
        .retain(|condition| condition.get("type").and_then(Value::as_str) != Some("PodScheduled"));
    conditions.push(json!({
        "type": "PodScheduled",
        "status": "True",
        "lastProbeTime": null,
        "lastTransitionTime": now,
    }));
}
