//! One step of a rollout: `RollingUpdate` within its surge and availability, or `Recreate`.
//!
//! Source: `rolling.go` and `recreate.go` of `pkg/controller/deployment`.

use super::super::pod;
use super::super::write;
use super::sets::{Rollout, Set};

impl Rollout<'_> {
    pub fn roll(&mut self) {
        if self.new.is_none() {
            self.create_new_set();
            return;
        }
        self.find_new_set();
        let stepped = self.resize_new() || self.retire_old();
        if !stepped && self.is_complete() {
            self.clean_up();
        }
        self.write_progress();
    }

    pub fn recreate(&mut self) {
        self.find_new_set();
        let mut stepped = false;
        let mut old = std::mem::take(&mut self.old);
        for set in old.iter_mut().filter(|set| set.size > 0) {
            self.resize(set, 0);
            stepped = true;
        }
        self.old = old;
        if !stepped && !self.has_old_pods() {
            if self.new.is_none() {
                self.create_new_set();
                return;
            }
            self.with_new(|rollout, new| rollout.resize(new, rollout.spec.replicas()));
            if self.is_complete() {
                self.clean_up();
            }
        }
        self.write_progress();
    }

    /// How large the new set may be, which has `size` now. Source: `NewRSNewReplicas`.
    pub fn room_for_new(&self, size: i64) -> i64 {
        let desired = self.spec.replicas();
        if self.spec.strategy.is_recreate() {
            return desired;
        }
        let room = desired + self.spec.max_surge() - self.total_size();
        if room <= 0 {
            return size;
        }
        size + room.min(desired - size)
    }

    /// Deletes old sets beyond the history limit that hold nothing. Source: `cleanupDeployment`.
    pub fn clean_up(&mut self) {
        let Some(limit) = self
            .spec
            .revision_history_limit
            .filter(|limit| *limit != i64::from(i32::MAX))
        else {
            return;
        };
        let mut cleanable: Vec<&Set> = self
            .old
            .iter()
            .filter(|set| !set.object.is_terminating())
            .collect();
        cleanable.sort_by_key(|set| set.revision());
        let limit = usize::try_from(limit).unwrap_or_default();
        let surplus = cleanable.len().saturating_sub(limit);
        let deletions = cleanable
            .into_iter()
            .take(surplus)
            .filter(|set| {
                set.status("replicas") == 0
                    && set.size == 0
                    && set.object.generation <= set.status("observedGeneration")
            })
            .map(|set| write::delete(&set.object));
        self.outcome.ops.extend(deletions);
    }

    /// Runs `step` with the new set out of the way of the borrow, if there is one.
    fn with_new<T>(&mut self, step: impl FnOnce(&mut Self, &mut Set) -> T) -> Option<T> {
        let mut new = self.new.take()?;
        let result = step(self, &mut new);
        self.new = Some(new);
        Some(result)
    }

    /// Whether the new set changed its size. Source: `reconcileNewReplicaSet`.
    fn resize_new(&mut self) -> bool {
        let Some(size) = self.new.as_ref().map(|new| new.size) else {
            return false;
        };
        let desired = self.spec.replicas();
        let wanted = if size > desired {
            desired
        } else {
            self.room_for_new(size)
        };
        if wanted == size {
            return false;
        }
        self.with_new(|rollout, new| rollout.resize(new, wanted));
        true
    }

    /// Whether an old set shrank. Source: `reconcileOldReplicaSets`.
    fn retire_old(&mut self) -> bool {
        let old_size: i64 = self.old.iter().map(|set| set.size).sum();
        if old_size == 0 {
            return false;
        }
        let min_available = self.spec.replicas() - self.spec.max_unavailable();
        let new_unavailable = self.new.as_ref().map_or(0, |new| new.size - new.available);
        let allowance = self.total_size() - min_available - new_unavailable;
        if allowance <= 0 {
            return false;
        }
        let available: i64 = self.all().map(|set| set.available).sum();
        let mut old = std::mem::take(&mut self.old);
        let unhealthy = self.shrink_unhealthy(&mut old, allowance);
        let healthy = self.shrink_healthy(&mut old, available - min_available);
        self.old = old;
        unhealthy + healthy > 0
    }

    /// Old pods that are not available go first, whatever their age. Source:
    /// `cleanupUnhealthyReplicas`.
    fn shrink_unhealthy(&mut self, old: &mut [Set], allowance: i64) -> i64 {
        let mut removed = 0;
        for set in old.iter_mut().filter(|set| set.size > set.available) {
            if removed >= allowance {
                break;
            }
            let count = (allowance - removed).min(set.size - set.available);
            self.resize(set, set.size - count);
            removed += count;
        }
        removed
    }

    /// Source: `scaleDownOldReplicaSetsForRollingUpdate`.
    fn shrink_healthy(&mut self, old: &mut [Set], allowance: i64) -> i64 {
        let mut removed = 0;
        for set in old.iter_mut().filter(|set| set.size > 0) {
            if removed >= allowance {
                break;
            }
            let count = (allowance - removed).min(set.size);
            self.resize(set, set.size - count);
            removed += count;
        }
        removed
    }

    /// Whether a pod of an old set still runs. Source: `oldPodsRunning`.
    fn has_old_pods(&self) -> bool {
        self.old.iter().any(|set| {
            set.status("replicas") > 0
                || pod::controlled(self.cluster, &set.object.uid)
                    .any(|pod| pod.pod().is_some_and(|columns| !columns.is_finished()))
        })
    }
}
