//! One workload's ready pods against its target, over virtual time.

use jiff::{SignedDuration, Timestamp};

use super::gauge::{Broken, Gauge};
use crate::rehearse::outcome::{WorkloadEffect, WorkloadName, has_target};
use crate::topology::{Class, WorkloadKey};

#[derive(Clone, Debug)]
pub struct Track {
    pub key: WorkloadKey,
    pub class: Class,
    pub ready: u32,
    target: u32,
    /// The most that it had since the fork; more than that cannot be lost.
    attained: u32,
    /// Pods that were missing at the fork.
    missing_at_fork: u32,
    quorum: Option<Gauge>,
    quorum_needs: Option<u32>,
    at: Timestamp,
    /// How long it has been short in one piece.
    run: SignedDuration,
    step: Step,
}

/// Since the step began.
#[derive(Clone, Debug, Default)]
struct Step {
    ready_before: u32,
    lowest: Option<u32>,
    depth: u32,
    below: SignedDuration,
    longest: SignedDuration,
}

impl Track {
    pub fn new(key: WorkloadKey, now: Timestamp) -> Self {
        Self {
            class: key.class(),
            key,
            ready: 0,
            target: 0,
            attained: 0,
            missing_at_fork: 0,
            quorum: None,
            quorum_needs: None,
            at: now,
            run: SignedDuration::ZERO,
            step: Step::default(),
        }
    }

    /// The fork's own state is nobody's doing.
    pub fn take_stock(&mut self, now: Timestamp) {
        self.attained = self.ready;
        self.missing_at_fork = self.target.saturating_sub(self.ready);
        self.quorum = self
            .quorum_needs
            .map(|needs| Gauge::new(self.ready, needs, now));
        self.at = now;
        self.step = Step {
            ready_before: self.ready,
            ..Step::default()
        };
    }

    pub fn set_target(&mut self, target: u32, quorum: Option<u32>, now: Timestamp) {
        self.pass(now);
        self.target = target;
        self.quorum_needs = quorum;
        if self.quorum.is_none() || quorum.is_none() {
            self.quorum = quorum.map(|needs| Gauge::new(self.ready, needs, now));
        }
    }

    /// One more or one fewer; a quorum that is whole again.
    pub fn set_ready(&mut self, ready: u32, now: Timestamp) -> Option<Broken> {
        self.pass(now);
        self.ready = ready;
        let needs = self.quorum_needs?;
        self.quorum.as_mut()?.set(ready, needs, now)
    }

    fn shortage(&self) -> u32 {
        self.target.min(self.attained).saturating_sub(self.ready)
    }

    /// Time has passed with the counts as they are.
    fn pass(&mut self, now: Timestamp) {
        if now <= self.at {
            return;
        }
        let length = now.duration_since(self.at);
        self.at = now;
        self.attained = self.attained.max(self.ready);
        let shortage = self.shortage();
        let lowest = self.step.lowest.unwrap_or(self.ready);
        self.step.lowest = Some(lowest.min(self.ready));
        if shortage == 0 {
            self.run = SignedDuration::ZERO;
            return;
        }
        self.run += length;
        self.step.below += length;
        self.step.longest = self.step.longest.max(self.run);
        self.step.depth = self.step.depth.max(shortage);
    }

    /// Ends the step; `None` where nothing befell it.
    pub fn close(&mut self, now: Timestamp) -> (Option<WorkloadEffect>, Option<Broken>) {
        self.pass(now);
        let broken = self.quorum.as_mut().and_then(|gauge| gauge.read(now));
        let step = std::mem::take(&mut self.step);
        self.step.ready_before = self.ready;
        let missing = self.target.saturating_sub(self.ready);
        let short = missing.saturating_sub(self.missing_at_fork);
        let is_told = has_target(self.class) && (!step.below.is_zero() || short > 0);
        let effect = is_told.then(|| WorkloadEffect {
            workload: WorkloadName::of(&self.key),
            target: self.target,
            ready_before: step.ready_before,
            ready_after: self.ready,
            lowest_ready: step.lowest.unwrap_or(self.ready).min(self.ready),
            depth: step.depth,
            seconds_below: seconds(step.below),
            longest_below: seconds(step.longest),
            short,
        });
        (effect, broken)
    }
}

/// Whole seconds, begun ones counted.
fn seconds(length: SignedDuration) -> u64 {
    let whole = u64::try_from(length.as_secs()).unwrap_or_default();
    whole + u64::from(length.subsec_nanos() > 0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::k8s::Name;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    fn track(ready: u32, target: u32) -> Track {
        let key = WorkloadKey {
            namespace: Name::new("shop"),
            kind: Name::new("StatefulSet"),
            name: Name::new("db"),
        };
        let mut track = Track::new(key, at(0));
        track.set_target(target, Some(target / 2 + 1), at(0));
        track.set_ready(ready, at(0));
        track.take_stock(at(0));
        track
    }

    #[test]
    fn seconds_and_depth_below_the_target_are_counted() {
        let mut track = track(3, 3);
        track.set_ready(2, at(10));
        track.set_ready(1, at(15));
        let healed = track.set_ready(3, at(20));
        assert_eq!(healed, None, "it is told when the healed state has lasted");
        let (effect, broken) = track.close(at(30));
        let effect = effect.unwrap();
        assert_eq!(
            (
                effect.depth,
                effect.seconds_below,
                effect.lowest_ready,
                effect.short
            ),
            (2, 10, 1, 0)
        );
        let broken = broken.unwrap();
        assert_eq!((broken.from, broken.until), (at(15), Some(at(20))));
        assert_eq!(track.close(at(60)), (None, None));
    }

    #[test]
    fn what_was_never_attained_is_not_lost_but_may_be_short() {
        let mut track = track(3, 3);
        track.set_target(5, None, at(10));
        let (effect, _) = track.close(at(60));
        let effect = effect.unwrap();
        assert_eq!((effect.seconds_below, effect.short), (0, 2));
        track.set_ready(5, at(70));
        assert_eq!(track.close(at(90)).0, None);
    }
}
