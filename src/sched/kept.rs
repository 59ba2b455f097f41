//! A snapshot that goes from one question to the next.
//!
//! To read a hundred thousand pods takes seconds; what changed between two questions takes
//! milliseconds. It is shared by all who ask, on whatever threads, and let go of when nobody asks.

use std::sync::{Mutex, MutexGuard, PoisonError, TryLockError};

use super::snapshot::Snapshot;
use super::surroundings::WATCHED;
use crate::k8s::{Cluster, Resource, resources};

/// Reading this share of a cluster's pods anew is no faster than reading all of them.
const CHANGED_SHARE: usize = 2;

#[derive(Debug, Default)]
pub struct Kept(Mutex<Option<Known>>);

#[derive(Debug)]
struct Known {
    cluster: Cluster,
    snapshot: Snapshot,
    /// Somebody asked since the last [`Kept::rest`].
    is_asked: bool,
}

impl Kept {
    /// The cluster as kube-scheduler's default configuration reads it.
    pub fn snapshot(&self, cluster: &Cluster) -> Snapshot {
        let mut place = self.known();
        if let Some(known) = place.as_mut()
            && known.follow(cluster)
        {
            return known.snapshot.clone();
        }
        // The old one goes before the new one comes: there is no room for both.
        *place = None;
        let snapshot = Snapshot::of(cluster);
        *place = Some(Known {
            cluster: cluster.only(&reads()),
            snapshot: snapshot.clone(),
            is_asked: true,
        });
        snapshot
    }

    /// Lets go of a snapshot that nobody asked for since the last call.
    pub fn rest(&self) {
        let mut place = match self.0.try_lock() {
            Ok(place) => place,
            Err(TryLockError::Poisoned(error)) => error.into_inner(),
            // Somebody asks just now.
            Err(TryLockError::WouldBlock) => return,
        };
        let is_asked = place
            .as_mut()
            .is_some_and(|known| std::mem::take(&mut known.is_asked));
        if !is_asked {
            *place = None;
        }
    }

    /// A snapshot that broke off while it followed is still only a value: the next one is made anew.
    fn known(&self) -> MutexGuard<'_, Option<Known>> {
        self.0.lock().unwrap_or_else(|error: PoisonError<_>| {
            let mut place = error.into_inner();
            *place = None;
            self.0.clear_poison();
            place
        })
    }
}

impl Known {
    /// Takes in what changed; refuses when that is as much as reading all of it.
    fn follow(&mut self, cluster: &Cluster) -> bool {
        let now = cluster.only(&reads());
        let changes = now.changes_since(&self.cluster);
        if changes.len() > 100 + cluster.count(&resources::PODS) / CHANGED_SHARE {
            return false;
        }
        for change in &changes {
            self.snapshot.observe(change);
        }
        self.cluster = now;
        self.is_asked = true;
        true
    }
}

/// What a snapshot reads, in the order in which it is read best.
fn reads() -> Vec<Resource> {
    let mut reads: Vec<Resource> = WATCHED.to_vec();
    reads.extend([resources::NODES, resources::PODS]);
    reads
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::k8s::build::{cluster, node, pod};

    #[test]
    fn it_follows_a_cluster_as_if_it_were_read_anew() {
        let kept = Kept::default();
        let web = |on: &str| pod("web").cpu("1").node(on);
        let first = cluster(&[node("n1").cpu("4"), node("n2").cpu("4"), web("n1")]);
        let used = |cluster: &Cluster| -> Vec<(String, i64)> {
            let snapshot = kept.snapshot(cluster);
            let nodes = snapshot.nodes();
            let mut used: Vec<_> = nodes
                .map(|node| (node.name.to_string(), node.requested.cpu_milli))
                .collect();
            used.sort();
            used
        };
        let expected = |list: &[(&str, i64)]| -> Vec<(String, i64)> {
            list.iter()
                .map(|(name, cpu)| ((*name).to_owned(), *cpu))
                .collect()
        };
        assert_eq!(used(&first), expected(&[("n1", 1000), ("n2", 0)]));
        let moved = cluster(&[node("n1").cpu("4"), node("n2").cpu("4"), web("n2")]);
        assert_eq!(used(&moved), expected(&[("n1", 0), ("n2", 1000)]));
        let fewer = cluster(&[node("n2").cpu("4")]);
        assert_eq!(used(&fewer), expected(&[("n2", 0)]));
        kept.rest();
        assert!(kept.known().is_some());
        kept.rest();
        assert!(kept.known().is_none());
        assert_eq!(used(&first), expected(&[("n1", 1000), ("n2", 0)]));
    }
}
