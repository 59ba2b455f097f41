//! What a controller has to look at: keys, each at most once, some of them later.
//!
//! Level-triggered: the queue carries keys, never reasons. Everything is ordered, so that the same
//! history gives the same order of work.
//!
//! Back-off after failures follows client-go's default rate limiter: 5 ms doubled with each
//! failure, at most 1000 s.

use std::collections::{BTreeSet, VecDeque};

use jiff::{SignedDuration, Timestamp};
use rustc_hash::{FxHashMap, FxHashSet};

use crate::k8s::ObjectKey;

const RETRY_FIRST_MS: i64 = 5;
const RETRY_MAX_MS: i64 = 1_000_000;

/// ```text
///            add                    pop
///   absent ───────► ready (once) ────────► being reconciled ──► forget │ retry ─► delayed
///      └─ add_at ─► delayed ── time ──► ready
/// ```
#[derive(Clone, Debug, Default)]
pub struct WorkQueue {
    ready: VecDeque<ObjectKey>,
    /// The keys in `ready`; asked about and never gone through, as the maps below.
    is_ready: FxHashSet<ObjectKey>,
    delayed: BTreeSet<(Timestamp, ObjectKey)>,
    due: FxHashMap<ObjectKey, Timestamp>,
    failures: FxHashMap<ObjectKey, u32>,
}

impl WorkQueue {
    /// To be looked at as soon as its turn comes. A later date that was set before stays.
    pub fn add(&mut self, key: ObjectKey) {
        if self.is_ready.insert(key.clone()) {
            self.ready.push_back(key);
        }
    }

    /// To be looked at no later than `at`.
    pub fn add_at(&mut self, key: ObjectKey, at: Timestamp) {
        match self.due.get(&key) {
            Some(earlier) if *earlier <= at => return,
            Some(later) => {
                self.delayed.remove(&(*later, key.clone()));
            }
            None => {}
        }
        self.due.insert(key.clone(), at);
        self.delayed.insert((at, key));
    }

    /// After a failure: again, later each time.
    pub fn retry(&mut self, key: ObjectKey, now: Timestamp) {
        let failures = self.failures.entry(key.clone()).or_default();
        let factor = 1_i64.checked_shl(*failures).unwrap_or(i64::MAX);
        *failures = failures.saturating_add(1).min(30);
        let delay_ms = RETRY_FIRST_MS.saturating_mul(factor).min(RETRY_MAX_MS);
        let delay = SignedDuration::from_millis(delay_ms);
        self.add_at(key, now.saturating_add(delay).unwrap_or(now));
    }

    /// After a success: the next failure starts from the shortest delay.
    pub fn forget(&mut self, key: &ObjectKey) {
        self.failures.remove(key);
    }

    /// The next key to look at.
    pub fn pop(&mut self, now: Timestamp) -> Option<ObjectKey> {
        self.promote(now);
        let key = self.ready.pop_front()?;
        assert!(
            self.is_ready.remove(&key),
            "`{key}` was queued without being in the set of queued keys"
        );
        Some(key)
    }

    pub fn has_ready(&self, now: Timestamp) -> bool {
        !self.ready.is_empty() || self.delayed.first().is_some_and(|(at, _)| *at <= now)
    }

    /// When something that is delayed becomes ready.
    pub fn next_wake(&self) -> Option<Timestamp> {
        self.delayed.first().map(|(at, _)| *at)
    }

    pub fn len(&self) -> usize {
        self.ready.len()
    }

    pub fn is_empty(&self) -> bool {
        self.ready.is_empty()
    }

    fn promote(&mut self, now: Timestamp) {
        while let Some((at, _)) = self.delayed.first()
            && *at <= now
            && let Some((_, key)) = self.delayed.pop_first()
        {
            self.due.remove(&key);
            self.add(key);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::k8s::resources;

    fn key(name: &str) -> ObjectKey {
        ObjectKey::new(resources::DEPLOYMENTS, "shop", name)
    }

    fn at(ms: i64) -> Timestamp {
        Timestamp::from_millisecond(ms).unwrap()
    }

    #[test]
    fn a_key_is_queued_once_and_in_order() {
        let mut queue = WorkQueue::default();
        for name in ["b", "a", "b"] {
            queue.add(key(name));
        }
        assert_eq!(queue.pop(at(0)), Some(key("b")));
        assert_eq!(queue.pop(at(0)), Some(key("a")));
        assert_eq!(queue.pop(at(0)), None);
    }

    #[test]
    fn the_earlier_date_counts() {
        let mut queue = WorkQueue::default();
        queue.add_at(key("a"), at(50));
        queue.add_at(key("a"), at(20));
        queue.add_at(key("a"), at(80));
        assert_eq!(queue.next_wake(), Some(at(20)));
        assert_eq!(queue.pop(at(19)), None);
        assert_eq!(queue.pop(at(20)), Some(key("a")));
        assert_eq!(queue.pop(at(100)), None);
    }

    #[test]
    fn delays_double_until_a_success() {
        let mut queue = WorkQueue::default();
        let mut delays = Vec::new();
        for _ in 0..40 {
            queue.retry(key("a"), at(0));
            let wake = queue.next_wake().unwrap();
            delays.push(wake.as_millisecond());
            queue.pop(wake);
        }
        assert_eq!(delays[..3], [5, 10, 20]);
        assert_eq!(delays[39], RETRY_MAX_MS);
        queue.forget(&key("a"));
        queue.retry(key("a"), at(0));
        assert_eq!(queue.next_wake(), Some(at(5)));
    }
}
