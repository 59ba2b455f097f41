//! Garbage collection by owner references: dependents follow their owners, in the background, in
//! the foreground or not at all.
//!
//! Source: `pkg/controller/garbagecollector` of Kubernetes 1.36 and "Garbage Collection" of its
//! documentation. A key is any object: as an owner on its way out it is held by a finalizer until
//! its dependents are dealt with, as a dependent it is deleted once no owner is left.

use std::sync::Arc;

use jiff::Timestamp;
use serde_json::{Value, json};

use super::{BURST, Controller, Outcome, claim, write};
use crate::k8s::{
    Change, ChangeKind, Cluster, Object, ObjectKey, Op, OwnerRef, Preconditions, Propagation,
};

pub(super) const CONTROLLER: Controller = Controller {
    name: "generic-garbage-collector",
    triggers,
    reconcile,
};

const FOREGROUND: &str = "foregroundDeletion";
const ORPHAN: &str = "orphan";

fn triggers(cluster: &Cluster, change: &Change, keys: &mut Vec<ObjectKey>) {
    let object = &change.object;
    let previous = change.previous.as_deref();
    let is_gone = change.kind == ChangeKind::Deleted;
    if is_gone {
        let dependents = cluster.owned_by(&object.uid);
        keys.extend(dependents.map(|dependent| dependent.key.clone()));
    } else if previous.is_none_or(|old| old.owners != object.owners) && !is_owned(cluster, object)
        || object.is_terminating() && holds_policy(object)
    {
        keys.push(object.key.clone());
    }
    let began = object.is_terminating() && previous.is_none_or(|old| !old.is_terminating());
    if began && has(object, FOREGROUND) {
        let dependents = cluster.owned_by(&object.uid);
        keys.extend(dependents.map(|dependent| dependent.key.clone()));
    }
    // An owner that waits for this one.
    let left = previous.is_some_and(|old| old.owners != object.owners);
    if is_gone || left {
        let before = change.previous.iter().flat_map(|old| old.owners.iter());
        for owner in before.chain(object.owners.iter()) {
            if let Some(owner) = find(cluster, object, owner)
                && owner.is_terminating()
            {
                keys.push(owner.key.clone());
            }
        }
    }
}

fn reconcile(cluster: &Cluster, key: &ObjectKey, _now: Timestamp) -> Outcome {
    let mut outcome = Outcome::default();
    let Some(object) = cluster.get(key) else {
        return outcome;
    };
    if object.is_terminating() && has(object, ORPHAN) {
        orphan_dependents(cluster, object, &mut outcome);
    } else if object.is_terminating() && has(object, FOREGROUND) {
        wait_for_dependents(cluster, object, &mut outcome);
    } else if !object.is_terminating() && !object.owners.is_empty() {
        follow_owners(cluster, object, &mut outcome);
    }
    outcome
}

/// Whether every owner is there and stays.
fn is_owned(cluster: &Cluster, object: &Object) -> bool {
    object.owners.iter().all(|reference| {
        find(cluster, object, reference).is_some_and(|owner| !owner.is_terminating())
    })
}

fn holds_policy(object: &Object) -> bool {
    has(object, FOREGROUND) || has(object, ORPHAN)
}

fn has(object: &Object, finalizer: &str) -> bool {
    object.finalizers.iter().any(|name| name == finalizer)
}

/// The owner that a reference means: of that uid, beside the dependent or without a namespace.
///
/// References carry a kind, not a resource type, so the tables of the group are tried; a uid has
/// one object only.
fn find<'a>(cluster: &'a Cluster, dependent: &Object, owner: &OwnerRef) -> Option<&'a Arc<Object>> {
    let group = owner
        .api_version
        .split_once('/')
        .map_or("", |(group, _)| group);
    cluster
        .resources()
        .filter(|resource| resource.group == group)
        .flat_map(|resource| {
            [dependent.namespace(), ""]
                .into_iter()
                .filter_map(|namespace| cluster.find(resource, namespace, &owner.name))
        })
        .find(|found| found.uid == owner.uid)
}

/// Takes the owner out of every dependent, then lets the owner go.
fn orphan_dependents(cluster: &Cluster, owner: &Object, outcome: &mut Outcome) {
    let mut left = false;
    for dependent in cluster.owned_by(&owner.uid) {
        if outcome.ops.len() == BURST {
            left = true;
            break;
        }
        outcome.ops.push(keep_owners(dependent, |reference| {
            reference.uid != owner.uid
        }));
    }
    if !left {
        outcome.ops.push(remove_finalizer(owner, ORPHAN));
    }
}

/// Deletes the dependents, and lets the owner go once none of those that block it is left.
fn wait_for_dependents(cluster: &Cluster, owner: &Object, outcome: &mut Outcome) {
    let blocks = |dependent: &&Arc<Object>| {
        dependent
            .owners
            .iter()
            .any(|reference| reference.uid == owner.uid && reference.block_owner_deletion)
    };
    if !cluster
        .owned_by(&owner.uid)
        .any(|dependent| blocks(&dependent))
    {
        outcome.ops.push(remove_finalizer(owner, FOREGROUND));
    }
}

/// What the owners of an object mean for it. Source: `attemptToDeleteItem`.
fn follow_owners(cluster: &Cluster, object: &Object, outcome: &mut Outcome) {
    let mut keeping = false;
    let mut waiting = false;
    let mut useless = false;
    for reference in &object.owners {
        match find(cluster, object, reference) {
            None => useless = true,
            Some(owner) if owner.is_terminating() && has(owner, FOREGROUND) => {
                waiting |= reference.block_owner_deletion;
                useless = true;
            }
            Some(_) => keeping = true,
        }
    }
    if !useless {
        return;
    }
    if keeping {
        outcome.ops.push(keep_owners(object, |reference| {
            find(cluster, object, reference)
                .is_some_and(|owner| !(owner.is_terminating() && has(owner, FOREGROUND)))
        }));
        return;
    }
    let has_dependents = cluster.owned_by(&object.uid).next().is_some();
    let propagation = if has(object, ORPHAN) {
        Propagation::Orphan
    } else if has(object, FOREGROUND) || (waiting && has_dependents) {
        Propagation::Foreground
    } else {
        Propagation::Background
    };
    outcome.ops.push(Op::Delete {
        key: object.key.clone(),
        if_match: Preconditions {
            uid: Some(object.uid.clone()),
            revision: None,
        },
        propagation,
        grace_period_s: None,
    });
}

fn keep_owners(object: &Object, keep: impl Fn(&OwnerRef) -> bool) -> Op {
    let references: Vec<Value> = object
        .owners
        .iter()
        .filter(|reference| keep(reference))
        .map(claim::reference)
        .collect();
    write::merge(object, json!({"metadata": {"ownerReferences": references}}))
}

fn remove_finalizer(object: &Object, finalizer: &str) -> Op {
    write::merge(object, write::without_finalizer(object, finalizer))
}

#[cfg(test)]
mod tests {
    use super::super::harness::{Bench, check_order_independent};
    use super::*;
    use crate::k8s::build::{self, Draft};
    use crate::k8s::resources;

    const ALL: [Controller; 1] = [CONTROLLER];

    /// A deployment, its set, and two pods.
    fn family() -> [Draft; 4] {
        [
            build::deployment("web"),
            build::replica_set("web-1").owner("Deployment", "web"),
            build::pod("web-1-a").owner("ReplicaSet", "web-1"),
            build::pod("web-1-b").owner("ReplicaSet", "web-1"),
        ]
    }

    fn count(bench: &Bench) -> [usize; 3] {
        [
            resources::DEPLOYMENTS,
            resources::REPLICA_SETS,
            resources::PODS,
        ]
        .map(|resource| bench.cluster.count(&resource))
    }

    #[track_caller]
    fn check(propagation: Propagation, left: [usize; 3]) {
        let mut bench = Bench::new(&ALL, &family());
        bench.settle();
        assert_eq!(count(&bench), [1, 1, 2]);
        bench.delete(&resources::DEPLOYMENTS, "web", propagation);
        bench.settle();
        assert_eq!(count(&bench), left, "{propagation:?}");
    }

    #[test]
    fn dependents_follow_by_policy() {
        check(Propagation::Background, [0, 0, 0]);
        check(Propagation::Foreground, [0, 0, 0]);
        check(Propagation::Orphan, [0, 1, 2]);
    }

    #[test]
    fn foreground_owner_outlives_its_blocking_dependents() {
        let mut objects = family();
        objects[2] = objects[2].clone().node("n1");
        let mut bench = Bench::new(&ALL, &objects);
        bench.delete(&resources::DEPLOYMENTS, "web", Propagation::Foreground);
        bench.settle();
        assert_eq!(count(&bench), [1, 1, 1], "a pod still ends gracefully");
        bench.run_pods("n1");
        assert_eq!(count(&bench), [0, 0, 0]);
    }

    #[test]
    fn object_with_one_living_owner_stays_and_forgets_the_other() {
        let mut bench = Bench::new(&ALL, &family());
        let owners = json!({"metadata": {"ownerReferences": [
            {"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "web-1", "uid": "ReplicaSet/default/web-1"},
            {"apiVersion": "v1", "kind": "ConfigMap", "name": "gone", "uid": "x"},
        ]}});
        bench.edit(&resources::PODS, "web-1-a", &owners);
        bench.settle();
        let pod = bench.find(&resources::PODS, "web-1-a");
        assert_eq!(
            pod["metadata"]["ownerReferences"].as_array().unwrap().len(),
            1
        );
    }

    #[test]
    fn object_whose_owner_never_was_is_deleted() {
        let mut bench = Bench::new(&ALL, &[build::pod("a").owner("ReplicaSet", "nobody")]);
        bench.settle();
        assert_eq!(bench.cluster.count(&resources::PODS), 0);
    }

    #[test]
    fn ends_the_same_in_any_order() {
        check_order_independent(&ALL, &family(), |bench| {
            bench.delete(&resources::REPLICA_SETS, "web-1", Propagation::Foreground);
        });
    }
}
