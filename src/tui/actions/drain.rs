//! Draining a node: cordon, then ask for the eviction of one pod after another, so that disruption
//! budgets are respected, and say at every moment what is done and what holds it up.
//!
//! ```text
//! Waiting ──evict──► Asked ──accepted──► Leaving ──seen gone──► Gone
//!    ▲                 │ 429 (budget)
//!    └──── Blocked ◄───┘  asked again after a pause
//! ```
//!
//! Source: `kubectl drain` (pkg/drain): daemon set pods and mirror pods are left, finished pods
//! go, pods without a controller and pods with `emptyDir` data are refused unless the operator has
//! said so; a refused eviction is asked again every 5 seconds.

use jiff::{SignedDuration, Timestamp};
use serde::Deserialize;

use super::action::Target;
use crate::k8s::workload::owner_of;
use crate::k8s::{Cluster, Name, Object, Op, resources};

/// Between two attempts at a pod whose budget refuses.
const RETRY: SignedDuration = SignedDuration::from_secs(5);

#[derive(Clone, PartialEq, Debug)]
pub struct Drain {
    pub node: Name,
    pub pods: Vec<DrainPod>,
    pub left: Vec<LeftPod>,
    pub started: Timestamp,
    pub cancelled: bool,
}

#[derive(Clone, PartialEq, Debug)]
pub struct DrainPod {
    pub target: Target,
    pub state: DrainState,
    /// What is lost when it goes.
    pub hazard: Option<Hazard>,
}

#[derive(Clone, PartialEq, Eq, Debug)]
pub enum DrainState {
    Waiting,
    Asked,
    Leaving,
    Gone,
    Blocked { why: String, again_at: Timestamp },
    Failed { why: String },
}

/// A pod that a drain does not touch.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct LeftPod {
    pub target: Target,
    pub why: &'static str,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Hazard {
    /// No controller makes a new one.
    Bare,
    /// Data in an `emptyDir` goes with it.
    LocalData,
}

/// What came of one request for an eviction.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum EvictionAnswer {
    Accepted,
    /// Code 429: a disruption budget says no for now.
    Refused(String),
    NotFound,
    Failed(String),
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Progress {
    pub gone: usize,
    pub leaving: usize,
    pub blocked: usize,
    pub failed: usize,
    pub all: usize,
}

impl Drain {
    /// Which pods would go, which stay.
    pub fn plan(cluster: &Cluster, node: &str, now: Timestamp) -> Self {
        let mut drain = Self {
            node: Name::new(node),
            pods: Vec::new(),
            left: Vec::new(),
            started: now,
            cancelled: false,
        };
        for pod in cluster.pods_on(node) {
            let target = Target::of(pod);
            match staying(cluster, pod) {
                Some(why) => drain.left.push(LeftPod { target, why }),
                None => drain.pods.push(DrainPod {
                    target,
                    state: DrainState::Waiting,
                    hazard: hazard(pod),
                }),
            }
        }
        drain
    }

    pub fn hazards(&self) -> impl Iterator<Item = (&DrainPod, Hazard)> {
        self.pods.iter().filter_map(|pod| Some((pod, pod.hazard?)))
    }

    /// The next request, if it is time for one: one pod is asked for at a time.
    pub fn step(&mut self, cluster: &Cluster, now: Timestamp) -> Option<Op> {
        self.observe(cluster);
        let busy = self.pods.iter().any(|pod| pod.state == DrainState::Asked);
        if busy || self.cancelled {
            return None;
        }
        let due = |pod: &&mut DrainPod| match &pod.state {
            DrainState::Waiting => true,
            DrainState::Blocked { again_at, .. } => *again_at <= now,
            _ => false,
        };
        let next = self.pods.iter_mut().find(due)?;
        next.state = DrainState::Asked;
        Some(Op::Evict {
            pod: next.target.key.clone(),
            grace_period_s: None,
        })
    }

    /// Takes the answer to the request that is under way.
    pub fn answer(&mut self, answer: EvictionAnswer, now: Timestamp) {
        let asked = self
            .pods
            .iter_mut()
            .find(|pod| pod.state == DrainState::Asked);
        if let Some(pod) = asked {
            pod.state = match answer {
                EvictionAnswer::Accepted => DrainState::Leaving,
                EvictionAnswer::NotFound => DrainState::Gone,
                EvictionAnswer::Refused(why) => DrainState::Blocked {
                    why,
                    again_at: now.saturating_add(RETRY).unwrap_or(now),
                },
                EvictionAnswer::Failed(why) => DrainState::Failed { why },
            };
        }
    }

    /// When the next step is due although nothing happens.
    pub fn next_wake(&self) -> Option<Timestamp> {
        if self.cancelled {
            return None;
        }
        self.pods
            .iter()
            .filter_map(|pod| match &pod.state {
                DrainState::Blocked { again_at, .. } => Some(*again_at),
                _ => None,
            })
            .min()
    }

    pub fn progress(&self) -> Progress {
        let mut progress = Progress {
            all: self.pods.len(),
            ..Progress::default()
        };
        for pod in &self.pods {
            match pod.state {
                DrainState::Gone => progress.gone += 1,
                DrainState::Leaving => progress.leaving += 1,
                DrainState::Blocked { .. } => progress.blocked += 1,
                DrainState::Failed { .. } => progress.failed += 1,
                DrainState::Waiting | DrainState::Asked => {}
            }
        }
        progress
    }

    pub fn is_over(&self) -> bool {
        let progress = self.progress();
        self.cancelled || progress.gone + progress.failed == progress.all
    }

    /// `drain a01-h17: 12 of 38 gone, 2 leaving, 1 held by a budget`.
    pub fn sentence(&self) -> String {
        use std::fmt::Write as _;
        let progress = self.progress();
        let mut out = format!(
            "drain {}: {} of {} gone",
            self.node, progress.gone, progress.all
        );
        for (count, words) in [
            (progress.leaving, "leaving"),
            (progress.blocked, "held by a budget"),
            (progress.failed, "failed"),
        ] {
            if count > 0 {
                let _ = write!(out, ", {count} {words}");
            }
        }
        if self.cancelled {
            out.push_str(", stopped (the node stays cordoned)");
        }
        out
    }

    fn observe(&mut self, cluster: &Cluster) {
        for pod in &mut self.pods {
            let gone = cluster
                .get(&pod.target.key)
                .is_none_or(|object| object.uid != pod.target.uid);
            if gone {
                pod.state = DrainState::Gone;
            }
        }
    }
}

fn staying(cluster: &Cluster, pod: &Object) -> Option<&'static str> {
    let daemon = pod
        .controller()
        .is_some_and(|owner| owner.kind == "DaemonSet");
    let orphaned =
        daemon && owner_of(cluster, pod).is_none() && cluster.count(&resources::DAEMON_SETS) > 0;
    if daemon && !orphaned {
        Some("belongs to a daemon set")
    } else if pod.controller().is_some_and(|owner| owner.kind == "Node") {
        Some("static pod of the machine")
    } else {
        None
    }
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct PodWire {
    spec: VolumesWire,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct VolumesWire {
    volumes: Vec<VolumeWire>,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct VolumeWire {
    empty_dir: Option<serde::de::IgnoredAny>,
}

fn hazard(pod: &Object) -> Option<Hazard> {
    if pod
        .pod()
        .is_some_and(crate::k8s::columns::PodColumns::is_finished)
    {
        return None;
    }
    if pod.controller().is_none() {
        return Some(Hazard::Bare);
    }
    let wire: PodWire = serde_json::from_slice(&pod.bytes).ok()?;
    let local = wire
        .spec
        .volumes
        .iter()
        .any(|volume| volume.empty_dir.is_some());
    local.then_some(Hazard::LocalData)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::k8s::build;

    fn owned(name: &str, kind: &str) -> build::Draft {
        build::pod(name).node("n1").with(&json!({"metadata": {"ownerReferences": [
            {"apiVersion": "apps/v1", "kind": kind, "name": "x", "uid": "x", "controller": true}]}}))
    }

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    #[test]
    fn pods_go_one_by_one_and_budgets_are_asked_again() {
        let pods = [
            owned("a", "ReplicaSet"),
            owned("b", "ReplicaSet"),
            owned("log", "DaemonSet"),
            build::pod("bare").node("n1"),
        ];
        let mut cluster = build::cluster(&pods);
        let mut drain = Drain::plan(&cluster, "n1", at(0));
        assert_eq!((drain.pods.len(), drain.left.len()), (3, 1));
        let hazards: Vec<Hazard> = drain.hazards().map(|(_, hazard)| hazard).collect();
        assert_eq!(hazards, [Hazard::Bare]);

        let name = |op: Option<Op>| match op {
            Some(Op::Evict { pod, .. }) => pod.name.to_string(),
            other => format!("{other:?}"),
        };
        assert_eq!(name(drain.step(&cluster, at(1))), "a");
        assert_eq!(drain.step(&cluster, at(1)), None);
        drain.answer(EvictionAnswer::Refused("would violate".into()), at(1));
        assert_eq!(name(drain.step(&cluster, at(2))), "b");
        drain.answer(EvictionAnswer::Accepted, at(2));
        assert_eq!(
            drain.sentence(),
            "drain n1: 0 of 3 gone, 1 leaving, 1 held by a budget"
        );
        assert_eq!(drain.next_wake(), Some(at(6)));
        assert_eq!(name(drain.step(&cluster, at(6))), "a");
        drain.answer(EvictionAnswer::Accepted, at(6));
        assert_eq!(name(drain.step(&cluster, at(6))), "bare");
        drain.answer(EvictionAnswer::NotFound, at(6));
        for name in ["a", "b"] {
            cluster.remove(&build::pod(name).build().key);
        }
        assert_eq!(drain.step(&cluster, at(7)), None);
        assert!(drain.is_over());
        assert_eq!(drain.sentence(), "drain n1: 3 of 3 gone");
    }
}
