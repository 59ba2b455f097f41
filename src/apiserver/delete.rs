//! Delete: preconditions, grace periods, finalizers, propagation.
//!
//! Source: "Garbage collection" and "Finalizers" of the Kubernetes documentation and
//! `k8s.io/apiserver/pkg/registry/rest/delete.go`. The garbage collector itself is a controller.

use std::sync::Arc;

use jiff::SignedDuration;
use serde::Deserialize;
use serde_json::{Value, json};

use super::registry::ResourceType;
use super::request::{Options, Request, ResourceTarget};
use super::status::{Details, Status};
use super::write::{Done, Writing, second};
use super::{decode, list, strategy, tree};
use crate::k8s::{Object, ObjectKey, Preconditions, Propagation, Revision, Uid};
use crate::store::{Expect, Write};

pub(super) const FOREGROUND: &str = "foregroundDeletion";
pub(super) const ORPHAN: &str = "orphan";

/// What a deletion asks for, from the query and the body.
#[derive(Clone, Debug, Default)]
pub(super) struct DeleteOptions {
    pub if_match: Preconditions,
    /// `None`: what the kind and the object's finalizers say.
    pub propagation: Option<Propagation>,
    pub grace_period_s: Option<i64>,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct Wire {
    grace_period_seconds: Option<i64>,
    propagation_policy: Option<String>,
    orphan_dependents: Option<bool>,
    preconditions: WirePreconditions,
    dry_run: Vec<String>,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct WirePreconditions {
    uid: Option<String>,
    resource_version: Option<String>,
}

impl DeleteOptions {
    pub(super) fn of(request: &Request) -> Result<Self, Status> {
        let wire: Wire = if request.body.is_empty() {
            Wire::default()
        } else {
            serde_json::from_value(decode::body(request)?)
                .map_err(|error| Status::bad_request(error.to_string()))?
        };
        let query = &request.options;
        let policy = wire
            .propagation_policy
            .or_else(|| {
                wire.orphan_dependents
                    .map(|orphan| if orphan { "Orphan" } else { "Background" }.to_owned())
            })
            .or_else(|| {
                (!query.propagation_policy.is_empty()).then(|| query.propagation_policy.clone())
            });
        let grace_period_s = wire.grace_period_seconds.or(query.grace_period_seconds);
        if grace_period_s.is_some_and(|seconds| seconds < 0) {
            return Err(Status::bad_request(
                "gracePeriodSeconds: Invalid value: must be greater than or equal to 0",
            ));
        }
        Ok(Self {
            if_match: Preconditions {
                uid: wire.preconditions.uid.map(|uid| Uid(uid.into())),
                revision: match wire.preconditions.resource_version {
                    Some(text) => Some(list::parse_revision(&text)?),
                    None => None,
                },
            },
            propagation: policy.as_deref().map(propagation).transpose()?,
            grace_period_s,
        })
    }

    /// Whether the body asks for a dry run, which the query need not repeat.
    pub(super) fn is_dry_run(request: &Request) -> bool {
        serde_json::from_slice::<Wire>(&request.body)
            .is_ok_and(|wire| wire.dry_run.iter().any(|stage| stage == "All"))
    }
}

fn propagation(text: &str) -> Result<Propagation, Status> {
    match text {
        "Background" => Ok(Propagation::Background),
        "Foreground" => Ok(Propagation::Foreground),
        "Orphan" => Ok(Propagation::Orphan),
        other => Err(Status::bad_request(format!(
            "propagationPolicy: Unsupported value: \"{other}\": supported values: \"Background\", \
             \"Foreground\", \"Orphan\", \"nil\""
        ))),
    }
}

/// Deletes one object, or begins to.
pub(super) fn delete(
    writing: &mut Writing,
    resource_type: &ResourceType,
    target: &ResourceTarget,
    options: &DeleteOptions,
) -> Result<Done, Status> {
    let current = writing.current(resource_type, target)?;
    check(resource_type, &current, &options.if_match)?;
    strategy::may_delete(resource_type, &current)?;
    let mut object = current.json();
    add_policy_finalizer(&mut object, options.propagation);
    let grace = grace_period(&current, &object, options);
    let held = !tree::entries(&object, "/metadata/finalizers").is_empty()
        || strategy::holds_deletion(resource_type, &object);
    if current.is_terminating() {
        shorten(&current, &mut object, grace);
    } else if held || grace > 0 {
        begin(writing, &mut object, grace);
    }
    if !held && grace == 0 {
        let gone = remove(writing, &current)?;
        return Ok(answer(resource_type, &gone));
    }
    strategy::on_deletion(resource_type, &mut object);
    if object == current.json() {
        return Ok(Done::Deleting(current));
    }
    if strategy::has_generation(resource_type) && !current.is_terminating() {
        tree::set_meta(&mut object, "generation", current.generation + 1);
    }
    let change = writing.commit(Write::Put {
        resource: resource_type.storage.clone(),
        object,
        expect: Expect::Revision(current.revision),
    })?;
    Ok(Done::Deleting(change.object))
}

/// Deletes what a list with the same selectors would show.
pub(super) fn collection(
    writing: &mut Writing,
    resource_type: &ResourceType,
    target: &ResourceTarget,
    query: &Options,
    options: &DeleteOptions,
) -> Result<Done, Status> {
    let page = list::page(resource_type, writing.store.view(), target, query)?;
    for object in &page.objects {
        let target = ResourceTarget {
            namespace: object.key.namespace.clone(),
            name: object.key.name.clone(),
            ..target.clone()
        };
        match delete(writing, resource_type, &target, options) {
            Err(status) if !status.is_not_found() => return Err(status),
            _ => {}
        }
    }
    Ok(Done::Many(page.objects))
}

/// Whether an object that is being deleted has nothing left that holds it.
pub(super) fn is_released(object: &Value) -> bool {
    let metadata = object.get("metadata");
    let field = |name: &str| metadata.and_then(|metadata| metadata.get(name));
    field("deletionTimestamp").is_some_and(|value| !value.is_null())
        && field("deletionGracePeriodSeconds")
            .and_then(Value::as_i64)
            .unwrap_or_default()
            == 0
        && field("finalizers")
            .and_then(Value::as_array)
            .is_none_or(Vec::is_empty)
        && tree::entries(object, "/spec/finalizers").is_empty()
}

/// Removes an object whose last finalizer an update took away.
pub(super) fn finish(
    writing: &mut Writing,
    current: &Arc<Object>,
    _object: Value,
) -> Result<Arc<Object>, Status> {
    remove(writing, current)
}

fn remove(writing: &mut Writing, current: &Object) -> Result<Arc<Object>, Status> {
    let change = writing.commit(Write::Delete {
        key: current.key.clone(),
        expect: Expect::Revision(current.revision),
    })?;
    strategy::after_delete(writing, &change);
    Ok(change.object)
}

/// Pods answer with themselves, everything else with a success status, as upstream's
/// `ReturnDeletedObject` decides.
fn answer(resource_type: &ResourceType, gone: &Arc<Object>) -> Done {
    if matches!(
        resource_type.plural.as_str(),
        "pods"
            | "services"
            | "persistentvolumeclaims"
            | "persistentvolumes"
            | "serviceaccounts"
            | "podtemplates"
            | "resourcequotas"
    ) && resource_type.group.is_empty()
    {
        return Done::Deleting(Arc::clone(gone));
    }
    let mut status = Status::new(200, "", "");
    status.details = Some(Box::new(Details {
        name: gone.name().to_owned(),
        group: resource_type.group.to_string(),
        kind: resource_type.plural.to_string(),
        uid: gone.uid.to_string(),
        ..Details::default()
    }));
    Done::Status(status)
}

fn check(
    resource_type: &ResourceType,
    current: &Object,
    if_match: &Preconditions,
) -> Result<(), Status> {
    let conflict = |why: String| {
        Err(Status::conflict(
            &resource_type.resource(),
            current.name(),
            &why,
        ))
    };
    if let Some(uid) = &if_match.uid
        && *uid != current.uid
    {
        return conflict(format!(
            "Precondition failed: UID in precondition: {uid}, UID in object meta: {}",
            current.uid
        ));
    }
    if let Some(Revision(revision)) = if_match.revision
        && revision != current.revision.0
    {
        return conflict(format!(
            "Precondition failed: ResourceVersion in precondition: {revision}, ResourceVersion in \
             object meta: {}",
            current.revision
        ));
    }
    Ok(())
}

/// Foreground and orphan deletion wait for the garbage collector, which takes the finalizer away.
fn add_policy_finalizer(object: &mut Value, propagation: Option<Propagation>) {
    let wanted = match propagation {
        None => return,
        Some(Propagation::Background) => None,
        Some(Propagation::Foreground) => Some(FOREGROUND),
        Some(Propagation::Orphan) => Some(ORPHAN),
    };
    let mut finalizers: Vec<Value> = tree::entries(object, "/metadata/finalizers")
        .iter()
        .filter(|finalizer| !matches!(finalizer.as_str(), Some(FOREGROUND | ORPHAN)))
        .cloned()
        .collect();
    finalizers.extend(wanted.map(Value::from));
    if finalizers.is_empty() {
        tree::remove_meta(object, "finalizers");
    } else {
        tree::set_meta(object, "finalizers", finalizers);
    }
}

/// Only pods are deleted gracefully: by what is asked, else by what the pod says. A pod that no
/// node has, or that has ended, goes at once.
fn grace_period(current: &Object, object: &Value, options: &DeleteOptions) -> i64 {
    let Some(pod) = current.pod() else {
        return 0;
    };
    if pod.node.is_none() || pod.is_finished() {
        return 0;
    }
    options.grace_period_s.unwrap_or_else(|| {
        object
            .pointer("/spec/terminationGracePeriodSeconds")
            .and_then(Value::as_i64)
            .unwrap_or(DEFAULT_POD_GRACE_S)
    })
}

const DEFAULT_POD_GRACE_S: i64 = 30;

fn begin(writing: &Writing, object: &mut Value, grace: i64) {
    let until = writing
        .now
        .checked_add(SignedDuration::from_secs(grace))
        .unwrap_or(writing.now);
    tree::set_meta(object, "deletionTimestamp", second(until));
    tree::set_meta(object, "deletionGracePeriodSeconds", json!(grace));
}

/// A second deletion may only shorten the grace period of the first.
fn shorten(current: &Object, object: &mut Value, grace: i64) {
    let before = object
        .pointer("/metadata/deletionGracePeriodSeconds")
        .and_then(Value::as_i64)
        .unwrap_or_default();
    if grace >= before {
        return;
    }
    if let Some(deleted) = current.deleted {
        let until = deleted
            .checked_sub(SignedDuration::from_secs(before - grace))
            .unwrap_or(deleted);
        tree::set_meta(object, "deletionTimestamp", second(until));
    }
    tree::set_meta(object, "deletionGracePeriodSeconds", json!(grace));
}

/// The address of an object that code inside the server deletes.
pub(super) fn target_of(resource_type: &ResourceType, key: &ObjectKey) -> ResourceTarget {
    ResourceTarget {
        group: resource_type.group.clone(),
        version: resource_type.version.clone(),
        plural: resource_type.plural.clone(),
        namespace: key.namespace.clone(),
        name: key.name.clone(),
        subresource: crate::k8s::Name::default(),
    }
}
