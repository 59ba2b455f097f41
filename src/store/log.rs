//! The recent changes of one resource type, bounded: watchers that fall behind must list again.

use std::ops::Bound;

use imbl::OrdMap;

use crate::k8s::{Change, Revision};

/// Changes kept for one resource type. kube-apiserver's watch cache grows from 100 up to 102400
/// events; 20000 lets a whole rollout of a large fleet pass without a re-list, and the objects in
/// it are mostly shared with the cluster value.
pub(super) const LIMIT: usize = 20_000;

#[derive(Clone, Debug)]
pub(super) struct Log {
    changes: OrdMap<Revision, Change>,
    /// Everything after this revision is in `changes`.
    oldest: Revision,
}

impl Log {
    pub(super) fn starting_at(oldest: Revision) -> Self {
        Self {
            changes: OrdMap::new(),
            oldest,
        }
    }

    pub(super) fn oldest(&self) -> Revision {
        self.oldest
    }

    pub(super) fn push(&mut self, change: Change) {
        if self.changes.len() >= LIMIT
            && let Some((dropped, _)) = self.changes.get_min().cloned()
        {
            self.changes.remove(&dropped);
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
