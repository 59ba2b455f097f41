//! Changing the number of replicas, also in the middle of a rollout: every replica set gets its
//! share, so that a rollout that goes wrong hurts no more than before.
//!
//! Source: `scale` in `sync.go` and `GetReplicaSetProportion` of `pkg/controller/deployment`.

use std::cmp::Reverse;

use super::sets::{Rollout, Set};
use super::{DESIRED_REPLICAS, MAX_REPLICAS};

impl Rollout<'_> {
    /// Whether `spec.replicas` has changed since the sets were last sized.
    pub fn is_scaling_event(&self) -> bool {
        self.all()
            .filter(|set| set.size > 0)
            .filter_map(|set| set.annotated(DESIRED_REPLICAS))
            .any(|desired| desired != self.spec.replicas())
    }

    pub fn scale_in_proportion(&mut self) {
        let new = self.new.take();
        let has_new = new.is_some();
        let mut sets: Vec<Set> = std::mem::take(&mut self.old)
            .into_iter()
            .chain(new)
            .collect();
        let desired = self.spec.replicas();
        if let Some(only) = sole_or_latest(&sets, has_new) {
            if let Some(set) = sets.get_mut(only) {
                self.resize(set, desired);
            }
        } else if has_new && sets.last().is_some_and(|new| is_saturated(new, desired)) {
            let last = sets.len().saturating_sub(1);
            for set in sets.iter_mut().take(last).filter(|set| set.size > 0) {
                self.resize(set, 0);
            }
        } else if !self.spec.strategy.is_recreate() {
            self.spread(&mut sets);
        }
        self.new = if has_new { sets.pop() } else { None };
        self.old = sets;
    }

    fn spread(&mut self, sets: &mut [Set]) {
        let total: i64 = sets.iter().map(|set| set.size).sum();
        let allowed = if self.spec.replicas() > 0 {
            self.spec.replicas() + self.spec.max_surge()
        } else {
            0
        };
        let to_add = allowed - total;
        let mut active: Vec<&mut Set> = sets.iter_mut().filter(|set| set.size > 0).collect();
        if to_add > 0 {
            active.sort_by_key(|set| (Reverse(set.size), Reverse(set.object.created)));
        } else {
            active.sort_by_key(|set| (Reverse(set.size), set.object.created));
        }
        let mut added = 0;
        let mut sizes: Vec<i64> = Vec::with_capacity(active.len());
        for set in &active {
            let share = self.share(set, to_add, added);
            sizes.push(set.size + share);
            added += share;
        }
        // What rounding left over goes to the largest.
        if let Some(first) = sizes.first_mut() {
            *first = (*first + to_add - added).max(0);
        }
        for (set, size) in active.into_iter().zip(sizes) {
            self.resize(set, size);
        }
    }

    fn share(&self, set: &Set, to_add: i64, added: i64) -> i64 {
        if set.size == 0 || to_add == 0 || to_add == added {
            return 0;
        }
        let fraction = self.fraction(set);
        let left = to_add - added;
        if to_add > 0 {
            fraction.min(left)
        } else {
            fraction.max(left)
        }
    }

    /// By how much the set changes if it keeps its share of all replicas.
    fn fraction(&self, set: &Set) -> i64 {
        if self.spec.replicas() == 0 {
            return -set.size;
        }
        let after = self.spec.replicas() + self.spec.max_surge();
        let before = set
            .annotated(MAX_REPLICAS)
            .filter(|before| *before > 0)
            .unwrap_or_else(|| super::super::field::count(&self.status, "/replicas"));
        if before <= 0 {
            return 0;
        }
        // Rounds half away from zero, as `RoundToInt32`.
        (2 * set.size * after + before).div_euclid(2 * before) - set.size
    }
}

/// The index of the only active set, or with none active of the new or else the latest one; `None`
/// with several active. Source: `FindActiveOrLatest`.
fn sole_or_latest(sets: &[Set], has_new: bool) -> Option<usize> {
    let mut active = sets
        .iter()
        .enumerate()
        .filter(|(_, set)| set.size > 0)
        .map(|(index, _)| index);
    match (active.next(), active.next()) {
        (Some(only), None) => Some(only),
        (Some(_), Some(_)) => None,
        (None, _) if has_new => sets.len().checked_sub(1),
        (None, _) => {
            (0..sets.len()).max_by_key(|index| sets.get(*index).map(|set| set.object.created))
        }
    }
}

/// Source: `IsSaturated`.
fn is_saturated(new: &Set, desired: i64) -> bool {
    new.annotated(DESIRED_REPLICAS) == Some(desired)
        && new.size == desired
        && new.available == desired
}
