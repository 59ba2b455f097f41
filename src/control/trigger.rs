//! Which keys a change concerns: the object itself, its controller, those that may adopt it.

use std::sync::Arc;

use super::kind::Kind;
use crate::k8s::{Change, ChangeKind, Cluster, Object, ObjectKey, Resource, resources};

/// The changed object itself, if it is of this type.
pub(super) fn itself(change: &Change, resource: &Resource, keys: &mut Vec<ObjectKey>) {
    if change.object.key.resource == *resource {
        keys.push(change.object.key.clone());
    }
}

/// The controller of the changed object before and after the change, if it is of this kind.
pub(super) fn controller(change: &Change, kind: &Kind, keys: &mut Vec<ObjectKey>) {
    let states = change.previous.iter().chain([&change.object]);
    for object in states {
        if let Some(owner) = object.controller().filter(|owner| owner.kind == kind.name) {
            let key = ObjectKey::new(kind.resource.clone(), object.namespace(), &owner.name);
            if !keys.contains(&key) {
                keys.push(key);
            }
        }
    }
}

/// For a kind that owns pods: itself, the controller of a pod, and for a pod without one whoever
/// selects it.
pub(super) fn pod_owner(
    cluster: &Cluster,
    change: &Change,
    kind: &Kind,
    keys: &mut Vec<ObjectKey>,
) {
    itself(change, &kind.resource, keys);
    if change.object.key.resource == resources::PODS {
        controller(change, kind, keys);
        adopters(cluster, change, kind, keys);
    }
}

/// Objects of this kind whose selector matches a changed object that no controller has. Looks only
/// when its labels or owners are new, so that the life of a bare pod costs nothing.
pub(super) fn adopters(cluster: &Cluster, change: &Change, kind: &Kind, keys: &mut Vec<ObjectKey>) {
    let object = &change.object;
    let is_news = change
        .previous
        .as_ref()
        .is_none_or(|old| old.labels != object.labels || old.owners != object.owners);
    if object.controller().is_none() && is_news {
        keys.extend(
            selecting(cluster, &kind.resource, object)
                .filter(|owner| owner.uid != object.uid)
                .map(|owner| owner.key.clone()),
        );
    }
}

/// Objects of this type in the namespace of `object` whose selector matches its labels.
pub(super) fn selecting<'a>(
    cluster: &'a Cluster,
    resource: &Resource,
    object: &'a Object,
) -> impl Iterator<Item = &'a Arc<Object>> + use<'a> {
    cluster
        .list_in(resource, object.namespace())
        .filter(|owner| {
            owner
                .selector()
                .is_some_and(|selector| selector.matches(&object.labels))
        })
}

/// Whether something that the columns show has changed, beside time stamps and messages.
pub(super) fn pod_turned(change: &Change) -> bool {
    let (ChangeKind::Modified, Some(previous)) = (change.kind, &change.previous) else {
        return true;
    };
    let (Some(old), Some(new)) = (previous.pod(), change.object.pod()) else {
        return true;
    };
    previous.deleted != change.object.deleted
        || previous.labels != change.object.labels
        || (old.phase, old.ready, &old.node, &old.ip) != (new.phase, new.ready, &new.node, &new.ip)
}
