//! How few machines the cluster's workload needs, for the bays view's heading.
//!
//! The figure is made anew only when something changed that scheduling reads, and never so often
//! that it takes more than a small part of a core: [`Pace`] says when. The question itself is
//! [`crate::sched::compaction`]; it runs away from the screen's thread.

use std::hash::{Hash, Hasher};

use jiff::{SignedDuration, Timestamp};
use rustc_hash::FxHasher;

use crate::k8s::Cluster;
use crate::sched::compaction::{Compaction, TRIALS, compact};
use crate::sched::kept::Kept;
use crate::stdx::clock;

/// Above this many pods a figure takes so long that the command line is the place to ask for it.
pub const PODS_MAX: usize = 30_000;
/// A figure is made anew at most this often,
const EVERY: SignedDuration = SignedDuration::from_secs(15);
/// and so that computing it takes at most one part in so many of the time.
const REST: f64 = 30.0;

/// The figure, and what it was made of.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Needed {
    pub compaction: Compaction,
    pub fingerprint: u64,
    /// How long it took.
    pub seconds: f64,
}

/// What the heading says.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Figure {
    /// Nothing is known yet, or never will be.
    #[default]
    None,
    Computing,
    Known {
        needs: usize,
        machines: usize,
    },
    TooLarge,
}

/// When the figure is made, and the last one.
#[derive(Clone, Debug, Default)]
pub struct Pace {
    known: Option<Needed>,
    asked: Option<(u64, Timestamp)>,
    working: bool,
    too_large: bool,
}

impl Pace {
    /// Whether to ask now, with the data at this version; the answer goes to [`Self::take`].
    pub fn ask(&mut self, version: u64, pods: usize, now: Timestamp) -> bool {
        self.too_large = pods > PODS_MAX;
        let is_due = match self.asked {
            None => true,
            Some((seen, _)) if seen == version => false,
            Some(_) => self.due().is_none_or(|due| now >= due),
        };
        if self.too_large || self.working || !is_due {
            return false;
        }
        self.asked = Some((version, now));
        self.working = true;
        true
    }

    pub fn take(&mut self, needed: Needed) {
        self.working = false;
        self.known = Some(needed);
    }

    /// What the last figure was made of; it is not made again of the same.
    pub fn known(&self) -> Option<&Needed> {
        self.known.as_ref()
    }

    fn due(&self) -> Option<Timestamp> {
        let (_, at) = self.asked?;
        let took = self.known.as_ref().map_or(0.0, |known| known.seconds);
        #[expect(clippy::cast_possible_truncation, reason = "seconds are few")]
        let rest = SignedDuration::from_millis((took * 1000.0 * REST) as i64);
        Some(at + rest.max(EVERY))
    }

    /// When to look again because the data has changed.
    pub fn next_wake(&self, version: u64) -> Option<Timestamp> {
        let (seen, _) = self.asked?;
        let is_old = seen != version && !self.working && !self.too_large;
        is_old.then(|| self.due()).flatten()
    }

    pub fn figure(&self) -> Figure {
        if self.too_large {
            return Figure::TooLarge;
        }
        match &self.known {
            None if self.working => Figure::Computing,
            None => Figure::None,
            Some(known) => known
                .compaction
                .fewest()
                .map_or(Figure::None, |needs| Figure::Known {
                    needs,
                    machines: known.compaction.machines,
                }),
        }
    }
}

/// The figure of this cluster, unless it would be the known one.
pub fn needed(cluster: &Cluster, scheduler: &Kept, known: Option<Needed>) -> Needed {
    let fingerprint = fingerprint(cluster);
    if let Some(known) = known
        && known.fingerprint == fingerprint
    {
        return known;
    }
    let start = clock::instant();
    let compaction = compact(&scheduler.snapshot(cluster), TRIALS, 0, &mut || true);
    Needed {
        compaction,
        fingerprint,
        seconds: start.elapsed().as_secs_f64(),
    }
}

/// What the question depends on: which pods run where, and what machines offer. Heartbeats and other
/// changes of state leave it as it is.
fn fingerprint(cluster: &Cluster) -> u64 {
    let mut hasher = FxHasher::default();
    for object in cluster.nodes() {
        let Some(node) = object.node() else { continue };
        object.uid.hash(&mut hasher);
        node.unschedulable.hash(&mut hasher);
        format!("{:?}{:?}{:?}", node.allocatable, node.taints, object.labels).hash(&mut hasher);
    }
    for object in cluster.pods() {
        let Some(pod) = object.pod() else { continue };
        if pod.node.is_some() && !pod.is_finished() && !object.is_terminating() {
            object.uid.hash(&mut hasher);
            pod.node.hash(&mut hasher);
        }
    }
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::k8s::build::{cluster, node, pod};

    fn web(name: &str) -> crate::k8s::build::Draft {
        pod(name).owner("ReplicaSet", "web").cpu("1")
    }

    #[test]
    fn the_figure_is_made_again_only_of_something_else() {
        let start = cluster(&[node("a"), node("b"), web("x").node("a"), web("y").node("b")]);
        let scheduler = Kept::default();
        let first = needed(&start, &scheduler, None);
        assert_eq!(first.compaction.fewest(), Some(1));
        let marked = Needed {
            compaction: Compaction {
                needed: vec![77],
                ..Compaction::default()
            },
            ..first.clone()
        };
        let same = needed(&start, &scheduler, Some(marked.clone()));
        assert_eq!(same.compaction.needed, [77]);
        for changed in [
            vec![node("a"), node("b"), web("x").node("a")],
            vec![node("a"), node("b"), web("x").node("a"), web("y").node("a")],
            vec![node("a"), web("x").node("a"), web("y").node("a")],
            vec![
                node("a"),
                node("b").cordoned(),
                web("x").node("a"),
                web("y").node("b"),
            ],
        ] {
            let anew = needed(&cluster(&changed), &scheduler, Some(marked.clone()));
            assert_ne!(anew.compaction.needed, [77]);
        }
    }

    #[test]
    fn it_is_asked_for_rarely_and_never_of_too_much() {
        let at = |second: i64| Timestamp::from_second(1_000_000 + second).unwrap();
        let mut pace = Pace::default();
        assert!(pace.ask(1, 100, at(0)));
        assert_eq!(pace.figure(), Figure::Computing);
        assert!(!pace.ask(2, 100, at(60)), "one is under way");
        pace.take(Needed {
            seconds: 4.0,
            ..Needed::default()
        });
        assert_eq!(pace.next_wake(1), None, "nothing has changed");
        assert_eq!(pace.next_wake(2), Some(at(120)));
        assert!(!pace.ask(2, 100, at(119)));
        assert!(!pace.ask(1, 100, at(500)));
        assert!(pace.ask(2, 100, at(120)));
        pace.take(Needed::default());
        assert!(!pace.ask(3, PODS_MAX + 1, at(900)));
        assert_eq!(pace.figure(), Figure::TooLarge);
    }
}
