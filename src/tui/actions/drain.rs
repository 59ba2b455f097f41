//! Draining nodes: cordon, then ask for the eviction of one pod after another, so that disruption
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
use crate::k8s::{Cluster, Object, resources};
use crate::stdx::humanize::counted;
use crate::topology::budget;

/// Between two attempts at a pod whose budget refuses.
const RETRY: SignedDuration = SignedDuration::from_secs(5);

#[derive(Clone, PartialEq, Debug)]
pub struct Drain {
    /// `a01-h17`, `rack b07`.
    pub what: String,
    pub nodes: Vec<Target>,
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
    /// Refused for now, in the server's words.
    Blocked {
        why: String,
        again_at: Timestamp,
    },
    Failed {
        why: String,
    },
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
    /// Not now: a disruption budget says no (code 429), or the server cannot be reached.
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
    pub fn plan(cluster: &Cluster, what: String, nodes: Vec<Target>) -> Self {
        let mut drain = Self {
            what,
            nodes: Vec::new(),
            pods: Vec::new(),
            left: Vec::new(),
            started: Timestamp::UNIX_EPOCH,
            cancelled: false,
        };
        let pods = nodes
            .iter()
            .flat_map(|node| cluster.pods_on(&node.key.name));
        for pod in pods {
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
        drain.nodes = nodes;
        drain
    }

    pub fn hazards(&self) -> impl Iterator<Item = (&DrainPod, Hazard)> {
        self.pods.iter().filter_map(|pod| Some((pod, pod.hazard?)))
    }

    /// The next request, if it is time for one: one pod is asked for at a time.
    pub fn step(&mut self, cluster: &Cluster, now: Timestamp) -> Option<Target> {
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
        Some(next.target.clone())
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

    /// Nothing is asked and nothing is waited for any more.
    pub fn is_over(&self) -> bool {
        let asked = self.pods.iter().any(|pod| pod.state == DrainState::Asked);
        let progress = self.progress();
        (self.cancelled && !asked) || progress.gone + progress.failed == progress.all
    }

    /// The pod that a budget holds and that is asked for next: what the drain waits for.
    fn waits_for(&self) -> Option<(&DrainPod, &str, Timestamp)> {
        self.pods
            .iter()
            .filter_map(|pod| match &pod.state {
                DrainState::Blocked { why, again_at } => Some((pod, why.as_str(), *again_at)),
                _ => None,
            })
            .min_by_key(|(_, _, again_at)| *again_at)
    }

    /// `drain a01-h17: 7 of 12 evicted, 2 leaving, waiting for pdb/cart (again in 3 s): The disruption budget cart
    /// needs 3 healthy pods and has 3 currently`.
    pub fn progress_words(&self, cluster: &Cluster, now: Timestamp) -> String {
        use std::fmt::Write as _;
        let progress = self.progress();
        let mut out = format!(
            "drain {}: {} of {} evicted",
            self.what, progress.gone, progress.all
        );
        if progress.leaving > 0 {
            let _ = write!(out, ", {} leaving", progress.leaving);
        }
        if progress.failed > 0 {
            let _ = write!(out, ", {} failed", progress.failed);
        }
        if self.cancelled {
            out.push_str(", stopping");
        } else if let Some((pod, why, again_at)) = self.waits_for() {
            let seconds = again_at.duration_since(now).as_secs().max(0);
            let _ = write!(
                out,
                ", waiting for {} (again in {seconds} s): {why}",
                holder(cluster, &pod.target)
            );
        }
        out
    }

    /// How it ended, in one plain sentence.
    pub fn outcome_words(&self, now: Timestamp) -> String {
        use std::fmt::Write as _;
        let progress = self.progress();
        let took = crate::stdx::humanize::age(self.started, now);
        let mut out = format!(
            "drain {}: {} of {} evicted in {took}",
            self.what, progress.gone, progress.all
        );
        if self.cancelled {
            out.push_str(", stopped");
        }
        let failed = self.pods.iter().find_map(|pod| match &pod.state {
            DrainState::Failed { why } => Some((pod, why)),
            _ => None,
        });
        if let Some((pod, why)) = failed {
            let _ = write!(
                out,
                ", {} failed: {}: {why}",
                progress.failed,
                pod.target.path()
            );
        }
        let stays = counted(self.nodes.len(), "node stays", "nodes stay");
        let stays = stays.strip_prefix("1 ").unwrap_or(&stays);
        let _ = write!(out, "; the {stays} cordoned");
        out
    }

    /// Whether every pod that should go has gone.
    pub fn is_done(&self) -> bool {
        let progress = self.progress();
        progress.gone == progress.all
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

/// The budget that holds a pod, as `pdb/cart`; the pod itself where none does.
fn holder(cluster: &Cluster, pod: &Target) -> String {
    let object = cluster.get(&pod.key);
    budget::budgets(cluster)
        .into_iter()
        .find(|budget| object.is_some_and(|object| budget.covers(object)))
        .map_or_else(|| pod.path(), |budget| format!("pdb/{}", budget.key.name))
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
    let wire: PodWire = serde_json::from_slice(&pod.bytes()).ok()?;
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
        let node = Target::of(&build::node("n1").build());
        let mut drain = Drain::plan(&cluster, "n1".into(), vec![node]);
        drain.started = at(0);
        assert_eq!((drain.pods.len(), drain.left.len()), (3, 1));
        let hazards: Vec<Hazard> = drain.hazards().map(|(_, hazard)| hazard).collect();
        assert_eq!(hazards, [Hazard::Bare]);

        let name = |pod: Option<Target>| pod.map(|pod| pod.key.name.to_string());
        assert_eq!(name(drain.step(&cluster, at(1))), Some("a".into()));
        assert_eq!(drain.step(&cluster, at(1)), None);
        drain.answer(EvictionAnswer::Refused("would violate".into()), at(1));
        assert_eq!(name(drain.step(&cluster, at(2))), Some("b".into()));
        drain.answer(EvictionAnswer::Accepted, at(2));
        assert_eq!(
            drain.progress_words(&cluster, at(2)),
            "drain n1: 0 of 3 evicted, 1 leaving, waiting for default/a (again in 4 s): would violate"
        );
        assert_eq!(drain.next_wake(), Some(at(6)));
        assert_eq!(name(drain.step(&cluster, at(6))), Some("a".into()));
        drain.answer(EvictionAnswer::Accepted, at(6));
        assert_eq!(name(drain.step(&cluster, at(6))), Some("bare".into()));
        drain.answer(EvictionAnswer::NotFound, at(6));
        for name in ["a", "b"] {
            cluster.remove(&build::pod(name).build().key);
        }
        assert_eq!(drain.step(&cluster, at(7)), None);
        assert!(drain.is_over() && drain.is_done());
        assert_eq!(
            drain.outcome_words(at(7)),
            "drain n1: 3 of 3 evicted in 7s; the node stays cordoned"
        );
    }

    #[test]
    fn a_stopped_drain_waits_for_the_answer_that_is_under_way() {
        let pods = [owned("a", "ReplicaSet"), owned("b", "ReplicaSet")];
        let cluster = build::cluster(&pods);
        let node = Target::of(&build::node("n1").build());
        let mut drain = Drain::plan(&cluster, "n1".into(), vec![node]);
        assert!(drain.step(&cluster, at(1)).is_some());
        drain.cancelled = true;
        assert!(!drain.is_over());
        drain.answer(EvictionAnswer::Accepted, at(2));
        assert_eq!(drain.step(&cluster, at(2)), None);
        assert!(drain.is_over() && !drain.is_done());
    }
}
