//! The cluster at one moment: capacity, and what the worst loss of each failure-domain level is.

use super::outcome::{Picture, WorstLoss};
use crate::k8s::columns::NodeReady;
use crate::k8s::{Cluster, Name};
use crate::topology::{Amounts, Blast, Domains, Level, Survey, blasts, level};

/// A picture, and the names of the machines that hold nothing but daemons.
pub fn of(cluster: &Cluster) -> (Picture, Vec<Name>) {
    let survey = Survey::of(cluster);
    let mut picture = Picture {
        pods: count(survey.pods.len()),
        pending: count(survey.pods.iter().filter(|pod| pod.node.is_none()).count()),
        ..Picture::default()
    };
    let mut allocatable = Amounts::default();
    let mut requested = Amounts::default();
    let mut empty = Vec::new();
    for (row, node) in (0_u32..).zip(&survey.nodes) {
        picture.nodes += 1;
        picture.cordoned += u32::from(node.cordoned);
        if node.ready != NodeReady::True {
            continue;
        }
        picture.ready += 1;
        allocatable += node.allocatable;
        requested += node.requested;
        let holds = survey.pods_on(row).iter().any(|&pod| {
            survey
                .workload(survey.pod(pod).workload)
                .is_displaced_with_its_node()
        });
        if !holds {
            empty.push(node.object.key.name.clone());
        }
    }
    picture.allocatable_cpu_milli = allocatable.cpu_milli;
    picture.allocatable_memory_bytes = allocatable.memory_bytes;
    picture.requested_cpu_milli = requested.cpu_milli;
    picture.requested_memory_bytes = requested.memory_bytes;
    picture.worst = level::levels(cluster, &[])
        .iter()
        .filter_map(|level| worst(&survey, level))
        .collect();
    (picture, empty)
}

fn worst(survey: &Survey, level: &Level) -> Option<WorstLoss> {
    let domains = Domains::of(survey, level);
    let losses = blasts(survey, &domains);
    let worst = losses.iter().map(|blast| loss(level, &domains, blast));
    worst.max_by(|left, right| {
        let badness = |loss: &WorstLoss| {
            (
                loss.quorums_broken,
                loss.budgets_broken,
                loss.services_lost,
                loss.services_halved,
                loss.pods,
            )
        };
        // Of equal ones the first by name, whatever the order.
        let by_name = || level::natural_order(&right.domain, &left.domain);
        badness(left).cmp(&badness(right)).then_with(by_name)
    })
}

fn loss(level: &Level, domains: &Domains, blast: &Blast) -> WorstLoss {
    let domain = usize::try_from(blast.domain)
        .ok()
        .and_then(|row| domains.list.get(row));
    let services = |least: f64| {
        let hit = blast
            .losses
            .iter()
            .filter(|loss| loss.ready > 1 && loss.share >= least);
        count(hit.count())
    };
    WorstLoss {
        level: level.title.clone(),
        domain: domain.map(|domain| domain.name.clone()).unwrap_or_default(),
        pods: count(blast.displaced.len()),
        services_lost: services(1.0),
        services_halved: services(0.5),
        budgets_broken: blast.budgets_broken,
        quorums_broken: blast.quorums_broken,
    }
}

fn count(number: usize) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}
