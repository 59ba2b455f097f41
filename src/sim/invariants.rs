//! What must hold after every step, whatever has happened.
//!
//! Checked from the changes of the step, so that a step costs what it changed. Only what must hold
//! between controllers too (replica counts, owners) waits until the world has come to rest.

use std::collections::{BTreeMap, BTreeSet};

use jiff::{SignedDuration, Timestamp};
use serde_json::Value;

use crate::k8s::resource_list::ResourceList;
use crate::k8s::{Change, ChangeKind, Cluster, Name, Object, Resource, Revision, Uid, resources};

/// How long an object may outlive its owner: the garbage collector's time.
const ORPHAN_FOR: SignedDuration = SignedDuration::from_secs(60);

/// How often all owners are looked up.
const OWNERS_EVERY: SignedDuration = SignedDuration::from_secs(20);
/// What replica counts and addresses depend on.
const WORKLOADS: [Resource; 3] = [
    resources::PODS,
    resources::REPLICA_SETS,
    resources::DEPLOYMENTS,
];

/// What was seen so far.
#[derive(Clone, Debug, Default)]
pub struct Invariants {
    revision: Revision,
    /// Which node a pod is on: for ever the same.
    placed: BTreeMap<Uid, Name>,
    /// Since when an object's owner is missing.
    orphans: BTreeMap<Uid, Timestamp>,
    owners_checked_at: Option<Timestamp>,
    /// Pods, replica sets or deployments changed since the world was last at rest.
    is_stale: bool,
}

impl Invariants {
    /// The first thing that is not as it must be.
    pub fn check(
        &mut self,
        journal: &[Change],
        cluster: &Cluster,
        now: Timestamp,
        at_rest: bool,
    ) -> Option<String> {
        let mut nodes = BTreeSet::new();
        for change in journal {
            if let Some(broken) = self.revisions(change).or_else(|| self.place(change)) {
                return Some(broken);
            }
            if let Some(node) = change.object.pod().and_then(|pod| pod.node.clone()) {
                nodes.insert(node);
            }
            self.is_stale |= WORKLOADS.contains(&change.object.key.resource);
        }
        for node in &nodes {
            if let Some(broken) = room(cluster, node) {
                return Some(broken);
            }
        }
        if !at_rest {
            return None;
        }
        let broken = if std::mem::take(&mut self.is_stale) {
            addresses(cluster)
                .or_else(|| replica_sets(cluster))
                .or_else(|| deployments(cluster))
        } else {
            None
        };
        let is_due = self
            .owners_checked_at
            .is_none_or(|at| now.duration_since(at) >= OWNERS_EVERY);
        if broken.is_none() && is_due {
            self.owners_checked_at = Some(now);
            return self.owners(cluster, now);
        }
        broken
    }

    fn revisions(&mut self, change: &Change) -> Option<String> {
        let revision = change.object.revision;
        if revision <= self.revision {
            let key = &change.object.key;
            return Some(format!(
                "revision {revision} of {key} after {}",
                self.revision
            ));
        }
        self.revision = revision;
        None
    }

    /// A pod is on one node, and stays there.
    fn place(&mut self, change: &Change) -> Option<String> {
        let object = &change.object;
        let node = object.pod()?.node.clone()?;
        if change.kind == ChangeKind::Deleted {
            self.placed.remove(&object.uid);
            return None;
        }
        let first = self
            .placed
            .entry(object.uid.clone())
            .or_insert_with(|| node.clone());
        (*first != node).then(|| format!("{} moved from {first} to {node}", object.key))
    }

    /// Nothing is left behind for long by an owner that is gone.
    fn owners(&mut self, cluster: &Cluster, now: Timestamp) -> Option<String> {
        let mut uids: BTreeSet<&Uid> = BTreeSet::new();
        for resource in cluster.resources() {
            uids.extend(cluster.list(resource).map(|object| &object.uid));
        }
        let mut orphans = BTreeMap::new();
        let mut broken = None;
        for resource in [
            &resources::PODS,
            &resources::REPLICA_SETS,
            &resources::NODES,
        ] {
            for object in cluster.list(resource) {
                let Some(owner) = object
                    .controller()
                    .filter(|owner| !uids.contains(&owner.uid))
                else {
                    continue;
                };
                let since = *self.orphans.get(&object.uid).unwrap_or(&now);
                orphans.insert(object.uid.clone(), since);
                // One that is being deleted waits for its machine, not for its owner.
                if !object.is_terminating() && now.duration_since(since) > ORPHAN_FOR {
                    broken = broken.or_else(|| {
                        Some(format!(
                            "{} outlives {} {} since {since}",
                            object.key, owner.kind, owner.name
                        ))
                    });
                }
            }
        }
        self.orphans = orphans;
        broken
    }
}

/// Requests of the pods on a node never exceed what it has.
fn room(cluster: &Cluster, node: &Name) -> Option<String> {
    let columns = cluster.find(&resources::NODES, "", node)?.node()?;
    let mut sum = ResourceList::default();
    let mut pods = 0;
    for pod in cluster.pods_on(node) {
        if let Some(pod) = pod.pod().filter(|pod| !pod.is_finished()) {
            sum.add(&pod.requests);
            pods += 1;
        }
    }
    let room = &columns.allocatable;
    let is_over = sum.cpu_milli > room.cpu_milli
        || sum.memory_bytes > room.memory_bytes
        || pods > columns.pod_limit;
    is_over.then(|| {
        format!(
            "{node} is over-committed: {}m of {}m cpu, {} of {} memory, {pods} of {} pods",
            sum.cpu_milli, room.cpu_milli, sum.memory_bytes, room.memory_bytes, columns.pod_limit
        )
    })
}

/// Two pods that both may run never have one address.
fn addresses(cluster: &Cluster) -> Option<String> {
    let mut holders: BTreeMap<&Name, &Object> = BTreeMap::new();
    for object in cluster.pods() {
        let Some(pod) = object
            .pod()
            .filter(|pod| !pod.is_finished() && !pod.host_network && !pod.ip.is_empty())
        else {
            continue;
        };
        // A machine that was taken away took its pods' network with it.
        let node = pod.node.as_ref()?;
        if cluster.find(&resources::NODES, "", node).is_none() {
            continue;
        }
        if let Some(other) = holders.insert(&pod.ip, object) {
            return Some(format!(
                "{} and {} both have {}",
                other.key, object.key, pod.ip
            ));
        }
    }
    None
}

/// No replica set has more live pods than it asks for.
fn replica_sets(cluster: &Cluster) -> Option<String> {
    cluster.list(&resources::REPLICA_SETS).find_map(|set| {
        let wanted = number(&set.json(), "/spec/replicas", 1);
        let live = cluster
            .owned_by(&set.uid)
            .filter(|object| !object.is_terminating())
            .filter_map(|object| object.pod())
            .filter(|pod| !pod.is_finished())
            .count();
        (live > wanted && !set.is_terminating())
            .then(|| format!("{} has {live} pods and wants {wanted}", set.key))
    })
}

/// The replica sets of a deployment never ask for more than its replicas and its surge.
fn deployments(cluster: &Cluster) -> Option<String> {
    cluster
        .list(&resources::DEPLOYMENTS)
        .find_map(|deployment| {
            let json = deployment.json();
            let replicas = number(&json, "/spec/replicas", 1);
            // The simulation's deployments have the default surge of 25%, rounded up.
            let most = replicas + replicas.div_ceil(4);
            let asked: usize = cluster
                .owned_by(&deployment.uid)
                .filter(|object| object.key.resource == resources::REPLICA_SETS)
                .map(|set| number(&set.json(), "/spec/replicas", 1))
                .sum();
            (asked > most).then(|| {
                format!(
                    "{} asks for {asked} pods, allowed are {most}",
                    deployment.key
                )
            })
        })
}

fn number(json: &Value, pointer: &str, default: usize) -> usize {
    json.pointer(pointer)
        .and_then(Value::as_u64)
        .and_then(|value| usize::try_from(value).ok())
        .unwrap_or(default)
}
