//! What controllers write, as [`Op`]s: creations, merge patches that say only what differs,
//! deletions, events.
//!
//! Every write to an existing object carries its uid as a precondition, so that it never hits a
//! later object of the same name.

use jiff::Timestamp;
use serde_json::{Map, Value, json};

use super::kind::Kind;
use crate::k8s::op::{EventDraft, EventSeverity};
use crate::k8s::{
    Name, Object, ObjectKey, Op, Patch, Preconditions, Propagation, Resource, Subresource,
};

pub(super) fn create(resource: Resource, namespace: &str, object: Value) -> Op {
    Op::Create {
        resource,
        namespace: Name::new(namespace),
        object,
    }
}

/// A merge patch (RFC 7386) of the object itself.
pub(super) fn merge(object: &Object, patch: Value) -> Op {
    Op::Patch {
        key: object.key.clone(),
        subresource: None,
        patch: Patch::Merge(patch),
        if_match: same(object),
    }
}

/// The same, refused if the object has changed since the view.
pub(super) fn merge_unchanged(object: &Object, patch: Value) -> Op {
    Op::Patch {
        key: object.key.clone(),
        subresource: None,
        patch: Patch::Merge(patch),
        if_match: Preconditions {
            uid: Some(object.uid.clone()),
            revision: Some(object.revision),
        },
    }
}

/// Turns `status` from what it is into what it should be; `None` if it is that already.
pub(super) fn status(object: &Object, current: &Value, wanted: &Value) -> Option<Op> {
    let patch = difference(current, wanted)?;
    Some(Op::Patch {
        key: object.key.clone(),
        subresource: Some(Subresource::Status),
        patch: Patch::Merge(json!({ "status": patch })),
        if_match: same(object),
    })
}

pub(super) fn delete(object: &Object) -> Op {
    Op::Delete {
        key: object.key.clone(),
        if_match: same(object),
        propagation: Propagation::Background,
        grace_period_s: None,
    }
}

/// Deletion without waiting for a node agent that will not answer.
pub(super) fn delete_now(object: &Object) -> Op {
    Op::Delete {
        key: object.key.clone(),
        if_match: same(object),
        propagation: Propagation::Background,
        grace_period_s: Some(0),
    }
}

fn same(object: &Object) -> Preconditions {
    Preconditions {
        uid: Some(object.uid.clone()),
        revision: None,
    }
}

/// The merge patch that turns `current` into `wanted`; `None` where they are equal. Numbers, texts
/// and lists are replaced whole, fields that `wanted` lacks are removed.
pub(super) fn difference(current: &Value, wanted: &Value) -> Option<Value> {
    if current == wanted {
        return None;
    }
    let (Value::Object(old), Value::Object(new)) = (current, wanted) else {
        return Some(wanted.clone());
    };
    let mut patch = Map::new();
    for (field, value) in new {
        match old.get(field) {
            Some(before) => {
                if let Some(inner) = difference(before, value) {
                    patch.insert(field.clone(), inner);
                }
            }
            None if value.is_null() => {}
            None => {
                patch.insert(field.clone(), value.clone());
            }
        }
    }
    for field in old.keys().filter(|field| !new.contains_key(*field)) {
        patch.insert(field.clone(), Value::Null);
    }
    (!patch.is_empty()).then_some(Value::Object(patch))
}

/// The merge patch that takes a finalizer away.
pub(super) fn without_finalizer(object: &Object, finalizer: &str) -> Value {
    let left: Vec<&str> = object
        .finalizers
        .iter()
        .map(Name::as_str)
        .filter(|name| *name != finalizer)
        .collect();
    json!({"metadata": {"finalizers": left}})
}

/// Who reports events, about what.
#[derive(Clone, Copy)]
pub(super) struct Reporter<'a> {
    pub name: &'static str,
    pub object: &'a Object,
    pub kind: &'a Kind,
}

impl Reporter<'_> {
    pub fn normal(self, reason: &'static str, message: String) -> Op {
        self.event(EventSeverity::Normal, reason, message)
    }

    pub fn warning(self, reason: &'static str, message: String) -> Op {
        self.event(EventSeverity::Warning, reason, message)
    }

    fn event(self, severity: EventSeverity, reason: &'static str, message: String) -> Op {
        Op::Event(EventDraft {
            regarding: self.object.key.clone(),
            uid: self.object.uid.clone(),
            api_version: Name::new_static(self.kind.api_version),
            kind: Name::new_static(self.kind.name),
            field_path: Name::default(),
            severity,
            reason: Name::new_static(reason),
            message,
            reporter: Name::new_static(self.name),
            host: Name::default(),
        })
    }
}

/// The reference by which `owner` controls what it creates.
pub(super) fn controller_reference(owner: &Object, kind: &Kind) -> Value {
    json!({
        "apiVersion": kind.api_version,
        "kind": kind.name,
        "name": owner.name(),
        "uid": owner.uid.0,
        "controller": true,
        "blockOwnerDeletion": true,
    })
}

/// The key of an object of this resource type beside `object`.
pub(super) fn beside(object: &Object, resource: Resource, name: &str) -> ObjectKey {
    ObjectKey::new(resource, object.namespace(), name)
}

/// A time as the API writes it: whole seconds, UTC.
pub(super) fn time(time: Timestamp) -> Value {
    let whole = Timestamp::from_second(time.as_second()).unwrap_or(time);
    Value::String(whole.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn difference_names_only_what_changes() {
        let old = json!({"replicas": 1, "ready": 1, "gone": true, "deep": {"same": 1, "new": 1}});
        let new = json!({"replicas": 2, "ready": 1, "deep": {"same": 1, "new": 2}});
        assert_eq!(
            difference(&old, &new),
            Some(json!({"replicas": 2, "gone": null, "deep": {"new": 2}}))
        );
        assert_eq!(difference(&new, &new), None);
    }

    #[test]
    fn times_are_written_in_whole_seconds() {
        let moment: Timestamp = "2026-01-01T00:00:00.75Z".parse().unwrap();
        assert_eq!(time(moment), json!("2026-01-01T00:00:00Z"));
    }
}
