//! The write vocabulary: what a controller, the scheduler or a node agent wants done.
//!
//! An `Op` is carried out by the API server with the author's identity, exactly as if it had come
//! over HTTP: defaulted, admitted, checked for conflicts. Its author sees the outcome in the next
//! view, never as a return value; a conflict simply means that the key is looked at again.

use serde_json::Value;

use super::key::{Name, ObjectKey, Resource, Revision, Uid};

#[derive(Clone, Debug, PartialEq)]
pub enum Op {
    /// `generateName` is honoured. An existing object of that name makes the op a no-op.
    Create {
        resource: Resource,
        namespace: Name,
        object: Value,
    },
    /// Replaces the object (or its subresource). A `metadata.resourceVersion` inside is a
    /// precondition.
    Update {
        key: ObjectKey,
        subresource: Option<Subresource>,
        object: Value,
    },
    Patch {
        key: ObjectKey,
        subresource: Option<Subresource>,
        patch: Patch,
        if_match: Preconditions,
    },
    Delete {
        key: ObjectKey,
        if_match: Preconditions,
        propagation: Propagation,
        /// `None`: what the object says, 30 s for pods.
        grace_period_s: Option<i64>,
    },
    /// Assigns a pod to a node.
    Bind {
        pod: ObjectKey,
        uid: Uid,
        node: Name,
        /// Given to the pod in the same write, as those of a `Binding` are.
        annotations: Vec<(Name, Name)>,
    },
    /// Deletes a pod if its disruption budgets allow it.
    Evict {
        pod: ObjectKey,
        grace_period_s: Option<i64>,
    },
    Event(EventDraft),
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Subresource {
    Status,
    Scale,
}

#[derive(Clone, Debug, PartialEq)]
pub enum Patch {
    /// RFC 7386.
    Merge(Value),
    /// RFC 6902.
    Json(Value),
    /// Kubernetes' strategic merge patch.
    Strategic(Value),
}

/// What must hold for the write to happen; empty means always.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Preconditions {
    pub uid: Option<Uid>,
    pub revision: Option<Revision>,
}

/// `propagationPolicy` of a deletion.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Propagation {
    #[default]
    Background,
    Foreground,
    Orphan,
}

/// An event to record; equal ones are counted up on one Event object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EventDraft {
    pub regarding: ObjectKey,
    pub uid: Uid,
    /// `apiVersion` and `kind` of what it is about.
    pub api_version: Name,
    pub kind: Name,
    /// The part it is about, `spec.containers{web}`; empty: the whole object.
    pub field_path: Name,
    pub severity: EventSeverity,
    /// CamelCase: `Scheduled`, `FailedScheduling`, `SuccessfulCreate`.
    pub reason: Name,
    pub message: String,
    /// `default-scheduler`, `deployment-controller`, `kubelet`.
    pub reporter: Name,
    /// The node, for a node agent's events.
    pub host: Name,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum EventSeverity {
    Normal,
    Warning,
}
