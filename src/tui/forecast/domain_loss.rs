//! A domain is lost: where do its pods go?

use std::sync::Arc;

use super::landing;
use super::reasons::{Reason, grouped};
use crate::k8s::{Name, Object};
use crate::sched::{PlaceOptions, Snapshot};
use crate::topology::survey::Row;
use crate::topology::{Amounts, Survey};

/// Nodes that an answer names: views have room for fewer, and one asks for no more of a large fleet.
const LANDING_MAX: usize = 8;

/// The scheduler's answer for one domain.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct DomainLoss {
    pub displaced: usize,
    /// Find a node among the rest.
    pub placed: usize,
    pub pending: usize,
    /// Pods without an owner: lost for good, nobody creates them again.
    pub unowned: usize,
    pub reasons: Vec<Reason>,
    /// Requested of allocatable over what is open for pods, before and after.
    pub before: Load,
    pub after: Load,
    /// Where most of them would go: nodes with how many, the most first.
    pub landing: Vec<(Name, usize)>,
}

/// What is asked for and what there is.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Load {
    pub requested: Amounts,
    pub allocatable: Amounts,
}

impl Load {
    /// Percent of cpu and memory.
    pub fn percents(self) -> (f64, f64) {
        let (cpu, memory) = self.requested.shares_of(self.allocatable);
        (cpu * 100.0, memory * 100.0)
    }
}

/// Takes the nodes away and places their pods again, the most important first, one after the
/// other, as the scheduler's queue would. Preemption is left out: it would only choose other pods
/// to stay pending.
pub fn lose(snapshot: &Snapshot, survey: &Survey, nodes: &[Row]) -> DomainLoss {
    let names: Vec<Name> = nodes
        .iter()
        .map(|&row| Name::new(survey.node(row).name()))
        .collect();
    let mut answer = DomainLoss {
        before: load(survey, |_| true),
        after: load(survey, |row| !nodes.contains(&row)),
        ..DomainLoss::default()
    };
    let mut wanted: Vec<Arc<Object>> = Vec::new();
    for &pod in nodes.iter().flat_map(|&node| survey.pods_on(node)) {
        let facts = survey.pod(pod);
        if !survey.is_displaced(facts) {
            continue;
        }
        answer.displaced += 1;
        if facts.object.controller().is_none() {
            answer.unowned += 1;
        } else {
            wanted.push(Arc::clone(&facts.object));
        }
    }
    let (without, _) = snapshot.without_nodes(&names);
    let placement = without.place(&wanted, PlaceOptions::default());
    answer.placed = placement.placed.len();
    answer.pending = placement.refused.len();
    answer.reasons = grouped(
        placement
            .refused
            .iter()
            .map(|refused| refused.message.as_str()),
    );
    let requests: rustc_hash::FxHashMap<_, Amounts> = wanted
        .iter()
        .filter_map(|pod| Some((&pod.key, Amounts::of(&pod.pod()?.requests, 1))))
        .collect();
    for (pod, _) in &placement.placed {
        if let Some(request) = requests.get(pod) {
            answer.after.requested += *request;
        }
    }
    answer.landing = landing::of(&placement);
    answer.landing.truncate(LANDING_MAX);
    answer
}

/// Sums over open nodes that `keep` accepts.
fn load(survey: &Survey, keep: impl Fn(Row) -> bool) -> Load {
    let mut load = Load::default();
    for (place, node) in survey.nodes.iter().enumerate() {
        let row = Row::try_from(place).unwrap_or(Row::MAX);
        if node.is_open() && keep(row) {
            load.requested += node.requested;
            load.allocatable += node.allocatable;
        }
    }
    load
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::k8s::build::{Draft, cluster, node, pod};

    fn fleet() -> Vec<Draft> {
        let member = |name: &str, memory: &str| {
            pod(name)
                .owner("ReplicaSet", "web")
                .cpu("1")
                .memory(memory)
                .node("n1")
        };
        vec![
            node("n1").rack("r1").cpu("8").memory("32Gi"),
            node("n2").rack("r2").cpu("8").memory("8Gi"),
            member("web-1", "2Gi"),
            member("web-2", "2Gi"),
            member("big", "20Gi"),
            pod("lonely").cpu("1").memory("1Gi").node("n1"),
            pod("logs")
                .owner("DaemonSet", "logs")
                .cpu("1")
                .memory("1Gi")
                .node("n1"),
        ]
    }

    #[test]
    fn displaced_pods_find_a_place_or_a_reason() {
        let cluster = cluster(&fleet());
        let survey = Survey::of(&cluster);
        let found = lose(&Snapshot::of(&cluster), &survey, &[0]);
        assert_eq!(
            (found.displaced, found.placed, found.pending, found.unowned),
            (4, 2, 1, 1)
        );
        assert_eq!(
            super::super::reasons::sentence(&found.reasons),
            "1 too little memory"
        );
        assert_eq!(found.landing, [("n2".into(), 2)]);
        assert_eq!(found.after.requested.cpu_milli, 2000);
        assert_eq!(found.after.allocatable.cpu_milli, 8000);
    }
}
