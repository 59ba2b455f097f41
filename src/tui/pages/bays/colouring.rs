//! What the colour of a node says: how full it is, whose pods it carries, how they are.

use std::collections::BTreeMap;

use jiff::Timestamp;

use crate::k8s::columns::{NodeReady, QosClass};
use crate::topology::survey::Row;
use crate::topology::{Amounts, NodeFacts, Survey, amounts, workload};

use super::arrangement::next_of;

#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Colouring {
    #[default]
    Utilisation,
    Workload,
    Namespace,
    Qos,
    Age,
    Readiness,
}

/// What a cell's colour and texture stand for; the theme knows how that looks.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Tint {
    /// A step of the ramp, 0 (nothing) to 4 (full).
    Amount(u8),
    /// An identity.
    Hue(u8),
    /// Share of pods that serve: all, some, none.
    Good,
    Warning,
    Bad,
    /// Nothing to say: no pods.
    Empty,
}

/// What takes a node out of service, whatever the colouring.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum NodeState {
    Ready,
    Cordoned,
    NotReady,
    /// Its agent does not answer.
    Unknown,
}

impl NodeState {
    pub fn of(node: &NodeFacts) -> Self {
        match (node.ready, node.cordoned) {
            (NodeReady::True, false) => Self::Ready,
            (NodeReady::True, true) => Self::Cordoned,
            (NodeReady::False, _) => Self::NotReady,
            (NodeReady::Unknown, _) => Self::Unknown,
        }
    }

    /// The words of `kubectl get nodes`.
    pub fn title(self) -> &'static str {
        match self {
            Self::Ready => "Ready",
            Self::Cordoned => "Ready,SchedulingDisabled",
            Self::NotReady => "NotReady",
            Self::Unknown => "NotReady (unknown)",
        }
    }
}

impl Colouring {
    pub const ALL: [Self; 6] = [
        Self::Utilisation,
        Self::Workload,
        Self::Namespace,
        Self::Qos,
        Self::Age,
        Self::Readiness,
    ];

    pub fn title(self) -> &'static str {
        match self {
            Self::Utilisation => "fullest of cpu, mem (requested)",
            Self::Workload => "workload that asks for most",
            Self::Namespace => "namespace that asks for most",
            Self::Qos => "quality of service",
            Self::Age => "age of the youngest pod",
            Self::Readiness => "pods that serve",
        }
    }

    pub fn next(self) -> Self {
        next_of(&Self::ALL, self)
    }

    pub fn tint(self, survey: &Survey, node: Row, now: Timestamp) -> Tint {
        let facts = survey.node(node);
        let pods = survey.pods_on(node);
        if pods.is_empty() && self != Self::Utilisation {
            return Tint::Empty;
        }
        match self {
            Self::Utilisation => Tint::Amount(step(facts.fullest())),
            Self::Workload => dominant(survey, node, |pod| survey.pod(pod).workload)
                .map_or(Tint::Empty, |row| Tint::Hue(survey.workload(row).hue)),
            Self::Namespace => {
                let namespace = dominant(survey, node, |pod| {
                    survey.pod(pod).object.key.namespace.clone()
                });
                namespace.map_or(Tint::Empty, |name| Tint::Hue(namespace_hue(&name)))
            }
            Self::Qos => qos(survey, pods),
            Self::Age => age(survey, pods, now),
            Self::Readiness => readiness(survey, pods),
        }
    }
}

/// Hues of namespaces are another identity than those of workloads in them.
pub fn namespace_hue(namespace: &str) -> u8 {
    workload::hue("", "Namespace", namespace)
}

/// The ramp's step of a share: up to 20, 50, 75, 90 and over 90 per cent. The upper steps are
/// narrower because that is where it gets tight.
pub fn step(share: f64) -> u8 {
    const LIMITS: [f64; 4] = [0.2, 0.5, 0.75, 0.9];
    let passed = LIMITS.iter().filter(|limit| share > **limit).count();
    u8::try_from(passed).unwrap_or(4)
}

/// How large a pod is on this node: the larger of its shares of cpu and memory.
pub fn weight(request: Amounts, allocatable: Amounts) -> f64 {
    let (cpu, memory) = request.shares_of(allocatable);
    cpu.max(memory)
}

fn dominant<K: Ord>(survey: &Survey, node: Row, key: impl Fn(Row) -> K) -> Option<K> {
    let allocatable = survey.node(node).allocatable;
    let mut sums: BTreeMap<K, f64> = BTreeMap::new();
    for &pod in survey.pods_on(node) {
        let facts = survey.pod(pod);
        // Daemons are everywhere and would tell nothing.
        if survey.workload(facts.workload).is_displaced_with_its_node() {
            *sums.entry(key(pod)).or_default() += weight(facts.request, allocatable) + 1e-6;
        }
    }
    sums.into_iter()
        .max_by(|(_, left), (_, right)| left.total_cmp(right))
        .map(|(key, _)| key)
}

/// The more of the requests are guaranteed, the higher the step.
fn qos(survey: &Survey, pods: &[Row]) -> Tint {
    let classes = pods.iter().filter_map(|&pod| survey.pod(pod).columns());
    let (mut guaranteed, mut burstable, mut total) = (0_i64, 0_i64, 0_i64);
    for pod in classes {
        total += 2;
        match pod.qos {
            QosClass::Guaranteed => guaranteed += 2,
            QosClass::Burstable => burstable += 1,
            QosClass::BestEffort => {}
        }
    }
    Tint::Amount(step(amounts::share(guaranteed + burstable, total)))
}

/// Fresh pods stand out: under an hour, a day, a week, a month, older.
fn age(survey: &Survey, pods: &[Row], now: Timestamp) -> Tint {
    const HOURS: [i64; 4] = [1, 24, 7 * 24, 30 * 24];
    let youngest = pods
        .iter()
        .filter_map(|&pod| survey.pod(pod).object.created)
        .max();
    let Some(youngest) = youngest else {
        return Tint::Empty;
    };
    let hours = now.duration_since(youngest).as_hours();
    let passed = HOURS.iter().filter(|limit| hours >= **limit).count();
    Tint::Amount(4 - u8::try_from(passed).unwrap_or(4))
}

fn readiness(survey: &Survey, pods: &[Row]) -> Tint {
    let serving = pods.iter().filter(|&&pod| survey.pod(pod).serves).count();
    if serving == pods.len() {
        Tint::Good
    } else if serving > 0 {
        Tint::Warning
    } else {
        Tint::Bad
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::k8s::build::{cluster, node, pod};

    #[track_caller]
    fn check(pods: &[crate::k8s::build::Draft], colouring: Colouring, expected: Tint) {
        let mut drafts = vec![node("n").cpu("10").memory("10Gi")];
        drafts.extend(pods.iter().cloned());
        let survey = Survey::of(&cluster(&drafts));
        let now = "2026-01-01T02:00:00Z".parse().unwrap();
        assert_eq!(colouring.tint(&survey, 0, now), expected);
    }

    #[test]
    fn colours_say_what_they_are_called() {
        let web = || pod("a").cpu("6").owner("ReplicaSet", "web").node("n");
        let daemon = pod("d").cpu("7").owner("DaemonSet", "logs").node("n");
        check(&[], Colouring::Utilisation, Tint::Amount(0));
        check(&[web()], Colouring::Utilisation, Tint::Amount(2));
        check(
            &[web(), daemon.clone()],
            Colouring::Utilisation,
            Tint::Amount(4),
        );
        let hue = workload::hue("default", "ReplicaSet", "web");
        check(
            &[web(), daemon.clone()],
            Colouring::Workload,
            Tint::Hue(hue),
        );
        check(
            std::slice::from_ref(&daemon),
            Colouring::Workload,
            Tint::Empty,
        );
        check(&[web()], Colouring::Age, Tint::Amount(3));
        check(&[web()], Colouring::Readiness, Tint::Good);
        check(
            &[web(), daemon.not_ready()],
            Colouring::Readiness,
            Tint::Warning,
        );
        check(&[], Colouring::Readiness, Tint::Empty);
        check(&[web().limit("cpu", "6")], Colouring::Qos, Tint::Amount(1));
    }
}
