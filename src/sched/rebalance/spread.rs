//! How evenly the replicas of each controller stand over the values of a node label.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::super::snapshot::Snapshot;
use super::movable::stays_with_its_node;
use crate::k8s::{Name, Object, Uid};

/// How uneven one controller's replicas are.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Skew {
    pub namespace: Name,
    pub kind: Name,
    pub name: Name,
    pub replicas: usize,
    /// Replicas in the fullest domain minus those in the emptiest; 1 is as even as can be where the
    /// domains do not divide the replicas.
    pub skew: usize,
}

/// The running replicas of one controller by domain; every domain of the label is there.
#[derive(Clone, Debug)]
pub(super) struct Replicas {
    pub namespace: Name,
    pub kind: Name,
    pub name: Name,
    pub domains: BTreeMap<Name, Vec<(Arc<Object>, Name)>>,
}

impl Replicas {
    pub fn skew(&self) -> usize {
        let counts = || self.domains.values().map(Vec::len);
        counts().max().unwrap_or(0) - counts().min().unwrap_or(0)
    }

    fn count(&self) -> usize {
        self.domains.values().map(Vec::len).sum()
    }
}

/// By controller; nodes without the label and the pods on them count nowhere.
pub(super) fn replicas(snapshot: &Snapshot, key: &str) -> Vec<Replicas> {
    let domains: BTreeMap<Name, Vec<(Arc<Object>, Name)>> = snapshot
        .nodes()
        .filter_map(|node| node.labels.get(key))
        .map(|value| (value.clone(), Vec::new()))
        .collect();
    let mut controllers: BTreeMap<Uid, Replicas> = BTreeMap::new();
    for node in snapshot.nodes() {
        let Some(value) = node.labels.get(key) else {
            continue;
        };
        for entry in &node.pods {
            let pod = &entry.object;
            let Some(owner) = pod.controller() else {
                continue;
            };
            if stays_with_its_node(pod) || pod.is_terminating() {
                continue;
            }
            let replicas = controllers
                .entry(owner.uid.clone())
                .or_insert_with(|| Replicas {
                    namespace: pod.key.namespace.clone(),
                    kind: owner.kind.clone(),
                    name: owner.name.clone(),
                    domains: domains.clone(),
                });
            if let Some(there) = replicas.domains.get_mut(value) {
                there.push((Arc::clone(pod), node.name.clone()));
            }
        }
    }
    controllers.into_values().collect()
}

/// The controller of at least two replicas with the largest skew.
pub(super) fn worst(snapshot: &Snapshot, key: &str) -> Option<Skew> {
    let several = replicas(snapshot, key)
        .into_iter()
        .filter(|entry| entry.count() > 1);
    several
        .map(|entry| Skew {
            replicas: entry.count(),
            skew: entry.skew(),
            namespace: entry.namespace,
            kind: entry.kind,
            name: entry.name,
        })
        .max_by(|one, other| {
            let order = one.skew.cmp(&other.skew);
            // The first by name of equally bad ones.
            order.then_with(|| (&other.namespace, &other.name).cmp(&(&one.namespace, &one.name)))
        })
}
