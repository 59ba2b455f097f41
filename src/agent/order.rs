//! Which containers of a pod may start now, and how long one that ended waits: the rules that every
//! kubelet follows, simulated or real.
//!
//! Source: the kubelet's `computePodActions` and its back-off (10 s doubling to 5 min), Kubernetes 1.36.

use jiff::SignedDuration;

use super::pod::{Container, ContainerStatus, Pod};

const BACK_OFF_FIRST: SignedDuration = SignedDuration::from_secs(10);
const BACK_OFF_MOST: SignedDuration = SignedDuration::from_mins(5);

impl Pod {
    /// Containers that may start now: init containers one after the other, then all.
    pub fn startable(&self) -> Vec<usize> {
        let mut slots = Vec::new();
        for slot in 0..self.spec.slots() {
            let (Some(container), Some(status)) =
                (self.spec.container(slot), self.status.container(slot))
            else {
                continue;
            };
            let is_down = !status.state.is_running();
            if !self.spec.is_init(slot) {
                if is_down && self.may_start(container, status) {
                    slots.push(slot);
                }
                continue;
            }
            let is_done = if container.is_sidecar() {
                // One that ran before is restarted beside the others and holds nobody back.
                let ran_before = status.state.terminated.is_some()
                    || status.state.waiting_reason() == "CrashLoopBackOff";
                status.started || (is_down && ran_before)
            } else {
                let end = status.state.terminated.as_ref();
                end.is_some_and(|end| end.exit_code == 0)
            };
            let is_finished_init = is_done && !container.is_sidecar();
            if is_down && !is_finished_init && self.may_start(container, status) {
                slots.push(slot);
            }
            if !is_done {
                break;
            }
        }
        slots
    }

    /// Whether the restart policy lets a container start (again).
    pub fn may_start(&self, container: &Container, status: &ContainerStatus) -> bool {
        let Some(end) = &status.state.terminated else {
            return true;
        };
        if container.is_sidecar() || self.spec.restarts_always() {
            return true;
        }
        self.spec.restart_policy == "OnFailure" && end.exit_code != 0
    }

    /// Whether the last container has ended for good; sidecars are stopped then.
    pub fn is_over(&self) -> bool {
        let apps = &self.status.container_statuses;
        !apps.is_empty()
            && self
                .spec
                .containers
                .iter()
                .zip(apps)
                .all(|(container, status)| {
                    status.state.terminated.is_some() && !self.may_start(container, status)
                })
    }
}

/// How long after so many ends in a row: 0, 10 s, 20 s, … 5 min.
pub fn back_off_after(times_in_row: u32) -> SignedDuration {
    if times_in_row == 0 {
        return SignedDuration::ZERO;
    }
    let factor = 1i32 << (times_in_row - 1).min(5);
    BACK_OFF_FIRST
        .checked_mul(factor)
        .map_or(BACK_OFF_MOST, |wait| wait.min(BACK_OFF_MOST))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn back_off_doubles_from_ten_seconds_to_five_minutes() {
        let seconds: Vec<i64> = (0..8).map(|n| back_off_after(n).as_secs()).collect();
        assert_eq!(seconds, [0, 10, 20, 40, 80, 160, 300, 300]);
    }
}
