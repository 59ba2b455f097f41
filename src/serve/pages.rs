//! The snapshots that lists under way are read from, page by page.
//!
//! A snapshot is persistent maps: keeping one costs what has changed since. What is let go of is
//! no error yet, the API server can undo changes as far as its watch log reaches.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::k8s::Revision;
use crate::plane::Published;
use crate::stdx::clock;

/// Lists under way at once, at different revisions: those of two consoles that start together.
const KEPT_MAX: usize = 64;
/// kube-apiserver lets etcd forget old revisions every five minutes, which is what ends lists there.
const KEPT_FOR: Duration = Duration::from_mins(5);

/// Shared by all connections. The lock protects a short queue and is held for one look at it; a
/// message to its owner and back would cost every page a turn of the driver.
#[derive(Clone, Default)]
pub struct Pages(Arc<Mutex<VecDeque<Kept>>>);

struct Kept {
    since: Instant,
    published: Arc<Published>,
}

impl Pages {
    /// The rest of a list will be asked for.
    pub fn keep(&self, published: &Arc<Published>) {
        let revision = published.snapshot.revision();
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        kept.retain(|entry| entry.published.snapshot.revision() != revision);
        kept.push_back(Kept {
            since: clock::instant(),
            published: Arc::clone(published),
        });
        if kept.len() > KEPT_MAX {
            kept.pop_front();
        }
    }

    pub fn at(&self, revision: Revision) -> Option<Arc<Published>> {
        let kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        kept.iter()
            .find(|entry| entry.published.snapshot.revision() == revision)
            .map(|entry| Arc::clone(&entry.published))
    }

    /// Lets go of lists that nobody has continued for long.
    pub fn forget_old(&self) {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        while kept
            .front()
            .is_some_and(|oldest| oldest.since.elapsed() > KEPT_FOR)
        {
            kept.pop_front();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::apiserver::Registry;
    use crate::k8s::Cluster;
    use crate::store::Snapshot;

    fn published(revision: u64) -> Arc<Published> {
        let mut cluster = Cluster::default();
        cluster.set_revision(Revision(revision));
        Arc::new(Published {
            registry: Arc::new(Registry::of(&cluster)),
            snapshot: Snapshot::of(cluster),
        })
    }

    #[test]
    fn the_latest_lists_are_kept() {
        let pages = Pages::default();
        for revision in 0..=KEPT_MAX as u64 {
            pages.keep(&published(revision));
            pages.keep(&published(1));
        }
        let found = |revision| pages.at(Revision(revision)).is_some();
        assert!(!found(0), "as many newer ones are kept");
        assert!(found(1), "it was continued again and again");
        assert!(found(KEPT_MAX as u64));
        pages.forget_old();
        assert!(found(1));
    }
}
