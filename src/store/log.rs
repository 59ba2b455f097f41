//! The recent changes of one resource type, bounded: watchers that fall behind must list again.

use std::ops::Bound;

use imbl::OrdMap;

use crate::k8s::{Change, Revision};

/// Changes kept for one resource type. kube-apiserver's watch cache grows from 100 up to 102400
/// events; 20000 lets a whole rollout of a large fleet pass without a re-list, and the objects in
/// it are mostly shared with the cluster value.
pub(super) const LIMIT: usize = 20_000;
/// What the objects of one resource type's changes may hold in memory: large objects that change
/// all the time (nodes with their images) would otherwise fill it with hundreds of megabytes.
pub(super) const LIMIT_BYTES: usize = 32 << 20;
/// An object beside its bytes: header, columns, and its place in the log.
const OVERHEAD_BYTES: usize = 800;

#[derive(Clone, Debug)]
pub(super) struct Log {
    changes: OrdMap<Revision, Change>,
    bytes: usize,
    /// Everything after this revision is in `changes`.
    oldest: Revision,
}

impl Log {
    pub(super) fn starting_at(oldest: Revision) -> Self {
        Self {
            changes: OrdMap::new(),
            bytes: 0,
            oldest,
        }
    }

    pub(super) fn oldest(&self) -> Revision {
        self.oldest
    }

    pub(super) fn push(&mut self, change: Change) {
        self.bytes += weight(&change);
        while self.changes.len() >= LIMIT || self.bytes > LIMIT_BYTES {
            let Some((dropped, _)) = self.changes.get_min().cloned() else {
                break;
            };
            if let Some(change) = self.changes.remove(&dropped) {
                self.bytes -= weight(&change);
            }
            self.oldest = dropped;
        }
        self.changes.insert(change.object.revision, change);
    }

    pub(super) fn after(&self, revision: Revision) -> impl Iterator<Item = &Change> {
        self.changes
            .range((Bound::Excluded(revision), Bound::Unbounded))
            .map(|(_, change)| change)
    }
}

/// The state before a change is the one after an earlier change, or the last one that was dropped.
fn weight(change: &Change) -> usize {
    change.object.body.size() + OVERHEAD_BYTES
}
