//! What is due when: one deadline a key, earliest first.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;

/// Deadlines by key. Ties go in key order, so that a run can be repeated.
#[derive(Clone, Debug)]
pub struct DelayQueue<Key> {
    by_time: BTreeSet<(Timestamp, Key)>,
    by_key: BTreeMap<Key, Timestamp>,
}

impl<Key> Default for DelayQueue<Key> {
    fn default() -> Self {
        Self {
            by_time: BTreeSet::new(),
            by_key: BTreeMap::new(),
        }
    }
}

impl<Key: Ord + Clone> DelayQueue<Key> {
    /// Sets the deadline of a key; an earlier or later one is replaced.
    pub fn set(&mut self, key: Key, at: Timestamp) {
        self.cancel(&key);
        self.by_key.insert(key.clone(), at);
        self.by_time.insert((at, key));
    }

    /// Sets the deadline unless an earlier one stands.
    pub fn advance(&mut self, key: Key, at: Timestamp) {
        if self.by_key.get(&key).is_none_or(|set| at < *set) {
            self.set(key, at);
        }
    }

    pub fn cancel(&mut self, key: &Key) {
        if let Some((key, at)) = self.by_key.remove_entry(key) {
            self.by_time.remove(&(at, key));
        }
    }

    pub fn next(&self) -> Option<Timestamp> {
        self.by_time.first().map(|(at, _)| *at)
    }

    /// Takes the earliest key whose deadline has come.
    pub fn pop_due(&mut self, now: Timestamp) -> Option<Key> {
        if self.next()? > now {
            return None;
        }
        let (_, key) = self.by_time.pop_first()?;
        self.by_key.remove(&key);
        Some(key)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_has_one_deadline_and_the_earliest_goes_first() {
        let at = |second| Timestamp::from_second(second).unwrap();
        let mut queue = DelayQueue::default();
        queue.set("late", at(9));
        queue.set("early", at(5));
        queue.set("late", at(3));
        queue.advance("late", at(7));
        assert_eq!(queue.next(), Some(at(3)));
        assert_eq!(queue.pop_due(at(2)), None);
        assert_eq!(queue.pop_due(at(10)), Some("late"));
        assert_eq!(queue.pop_due(at(10)), Some("early"));
        assert_eq!(queue.pop_due(at(10)), None);
    }
}
