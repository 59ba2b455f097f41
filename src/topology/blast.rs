//! What a lost domain takes with it: pods, shares of services, budgets, quorums.
//!
//! It says what is lost at the moment of the loss. Where the displaced pods would go is the
//! scheduler's answer, and not given here.

use rustc_hash::FxHashMap;

use super::amounts::Amounts;
use super::domain::Domains;
use super::spread;
use super::survey::{Row, Survey};
use super::workload::Class;
use crate::k8s::Object;

/// The loss of one domain.
#[derive(Clone, Debug, Default)]
pub struct Blast {
    pub domain: Row,
    /// Pods that somebody would want elsewhere: neither daemons nor static pods, not terminating.
    pub displaced: Vec<Row>,
    /// What those ask for.
    pub displaced_requests: Amounts,
    /// Worst first.
    pub losses: Vec<Loss>,
    pub budgets_broken: u32,
    pub quorums_broken: u32,
}

/// What one workload loses.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Loss {
    pub workload: Row,
    pub lost: u32,
    pub replicas: u32,
    pub lost_ready: u32,
    pub ready: u32,
    /// Of the ready replicas.
    pub share: f64,
    pub budget: BudgetImpact,
    pub quorum: QuorumImpact,
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum BudgetImpact {
    /// No budget covers it.
    None,
    Kept {
        left: u32,
        needs: u32,
    },
    /// It was below its budget before.
    BelowAlready {
        left: u32,
        needs: u32,
    },
    Broken {
        left: u32,
        needs: u32,
    },
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum QuorumImpact {
    None,
    Kept { left: u32, needs: u32 },
    MissingAlready { left: u32, needs: u32 },
    Broken { left: u32, needs: u32 },
}

impl Loss {
    fn badness(&self) -> (bool, bool, f64, u32) {
        (
            matches!(self.quorum, QuorumImpact::Broken { .. }),
            matches!(self.budget, BudgetImpact::Broken { .. }),
            self.share,
            self.lost,
        )
    }
}

/// The blast radius of every domain of a level, in the order of the domains.
pub fn blasts(survey: &Survey, domains: &Domains) -> Vec<Blast> {
    let mut blasts: Vec<Blast> = (0..domains.list.len())
        .filter_map(|place| Row::try_from(place).ok())
        .map(|domain| Blast {
            domain,
            ..Blast::default()
        })
        .collect();
    let lost_by_budget = displace(survey, domains, &mut blasts);
    let workloads = (0..survey.workloads.len()).filter_map(|place| Row::try_from(place).ok());
    for workload in workloads {
        if !survey.workload(workload).is_displaced_with_its_node() {
            continue;
        }
        let row = spread::count(survey, domains, workload);
        let budget = survey
            .pods_of(workload)
            .iter()
            .find_map(|&pod| survey.pod(pod).budget);
        for cell in &row.cells {
            let Some(blast) = blasts.get_mut(cell.domain as usize) else {
                continue;
            };
            blast.losses.push(Loss {
                workload,
                lost: cell.replicas,
                replicas: row.replicas,
                lost_ready: cell.ready,
                ready: row.ready,
                share: if row.ready > 0 {
                    f64::from(cell.ready) / f64::from(row.ready)
                } else {
                    0.0
                },
                budget: budget_impact(survey, budget, cell.domain, &lost_by_budget),
                quorum: quorum_impact(survey, workload, row.ready, cell.ready),
            });
        }
    }
    for blast in &mut blasts {
        finish(survey, blast);
    }
    blasts
}

/// The blast radius of any set of nodes.
pub fn blast_of(survey: &Survey, is_lost: impl Fn(&Object) -> bool) -> Blast {
    let domains = Domains::chosen(survey, is_lost);
    blasts(survey, &domains)
        .into_iter()
        .next()
        .unwrap_or_default()
}

type LostByBudget = FxHashMap<(Row, Row), u32>;

/// Fills the displaced pods; returns the ready pods lost by domain and budget.
fn displace(survey: &Survey, domains: &Domains, blasts: &mut [Blast]) -> LostByBudget {
    let mut lost_by_budget = LostByBudget::default();
    for (place, pod) in survey.pods.iter().enumerate() {
        let node = pod.node.and_then(|node| domains.of_node.get(node as usize));
        let Some(domain) = node.copied().flatten() else {
            continue;
        };
        if let Some(budget) = pod.budget.filter(|_| pod.serves) {
            *lost_by_budget.entry((domain, budget)).or_default() += 1;
        }
        if survey.is_displaced(pod)
            && let Some(blast) = blasts.get_mut(domain as usize)
        {
            blast
                .displaced
                .push(Row::try_from(place).unwrap_or(Row::MAX));
            blast.displaced_requests += pod.request;
        }
    }
    lost_by_budget
}

fn budget_impact(
    survey: &Survey,
    budget: Option<Row>,
    domain: Row,
    lost: &LostByBudget,
) -> BudgetImpact {
    let Some((row, budget)) = budget.and_then(|row| Some((row, survey.budgets.get(row as usize)?)))
    else {
        return BudgetImpact::None;
    };
    let gone = lost.get(&(domain, row)).copied().unwrap_or_default();
    let left = budget.healthy.saturating_sub(gone);
    let needs = budget.needs();
    if left >= needs {
        BudgetImpact::Kept { left, needs }
    } else if budget.healthy < needs {
        BudgetImpact::BelowAlready { left, needs }
    } else {
        BudgetImpact::Broken { left, needs }
    }
}

fn quorum_impact(survey: &Survey, workload: Row, ready: u32, lost: u32) -> QuorumImpact {
    let Some(needs) = survey.workload(workload).quorum else {
        return QuorumImpact::None;
    };
    let left = ready.saturating_sub(lost);
    if left >= needs {
        QuorumImpact::Kept { left, needs }
    } else if ready < needs {
        QuorumImpact::MissingAlready { left, needs }
    } else {
        QuorumImpact::Broken { left, needs }
    }
}

fn finish(survey: &Survey, blast: &mut Blast) {
    blast.losses.sort_by(|left, right| {
        let (quorum_left, budget_left, share_left, lost_left) = left.badness();
        let (quorum_right, budget_right, share_right, lost_right) = right.badness();
        let rank = |loss: &Loss| survey.workload(loss.workload).class != Class::Service;
        rank(left)
            .cmp(&rank(right))
            .then(quorum_right.cmp(&quorum_left))
            .then(budget_right.cmp(&budget_left))
            .then(share_right.total_cmp(&share_left))
            .then(lost_right.cmp(&lost_left))
            .then_with(|| {
                let key = |loss: &Loss| &survey.workload(loss.workload).key;
                key(left).cmp(key(right))
            })
    });
    let mut broken: Vec<Row> = blast
        .losses
        .iter()
        .filter(|loss| matches!(loss.budget, BudgetImpact::Broken { .. }))
        .filter_map(|loss| {
            let pods = survey.pods_of(loss.workload);
            pods.iter().find_map(|&pod| survey.pod(pod).budget)
        })
        .collect();
    broken.sort_unstable();
    broken.dedup();
    blast.budgets_broken = u32::try_from(broken.len()).unwrap_or(u32::MAX);
    let quorums = blast
        .losses
        .iter()
        .filter(|loss| matches!(loss.quorum, QuorumImpact::Broken { .. }))
        .count();
    blast.quorums_broken = u32::try_from(quorums).unwrap_or(u32::MAX);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::k8s::build::{Draft, budget, cluster, node, pod, stateful_set};
    use crate::topology::level::{Level, RACK};

    fn fleet() -> Vec<Draft> {
        let member = |name: &str, app: &str, kind: &str, node: &str| {
            pod(name)
                .label("app", app)
                .owner(kind, app)
                .cpu("1")
                .node(node)
        };
        vec![
            node("n1").rack("r1"),
            node("n2").rack("r2"),
            stateful_set("db").replicas(3),
            member("db-0", "db", "StatefulSet", "n1"),
            member("db-1", "db", "StatefulSet", "n1"),
            member("db-2", "db", "StatefulSet", "n2"),
            budget("web").min_available("2"),
            member("web-0", "web", "ReplicaSet", "n1"),
            member("web-1", "web", "ReplicaSet", "n2"),
            member("big-0", "big", "ReplicaSet", "n1"),
            member("big-1", "big", "ReplicaSet", "n1"),
            member("log-1", "log", "DaemonSet", "n1"),
            member("log-2", "log", "DaemonSet", "n2"),
            pod("etcd").owner("Node", "n1").node("n1"),
            pod("going")
                .owner("ReplicaSet", "big")
                .node("n2")
                .terminating("2026-01-01T00:00:00Z"),
        ]
    }

    #[test]
    fn a_lost_rack_takes_replicas_budgets_and_quorums_but_no_daemons() {
        let survey = Survey::of(&cluster(&fleet()));
        let domains = Domains::of(&survey, &Level::of(RACK));
        let blasts = blasts(&survey, &domains);
        let describe = |blast: &Blast| -> Vec<String> {
            blast
                .losses
                .iter()
                .map(|loss| {
                    let name = &survey.workload(loss.workload).key.name;
                    format!(
                        "{name} {}/{} {:?} {:?}",
                        loss.lost_ready, loss.ready, loss.budget, loss.quorum
                    )
                })
                .collect()
        };
        assert_eq!(blasts[0].displaced.len(), 5);
        assert_eq!(blasts[0].displaced_requests.cpu_milli, 5000);
        assert_eq!(
            describe(&blasts[0]),
            [
                "db 2/3 None Broken { left: 1, needs: 2 }",
                "web 1/2 Broken { left: 1, needs: 2 } None",
                "big 2/2 None None",
            ]
        );
        assert_eq!((blasts[0].budgets_broken, blasts[0].quorums_broken), (1, 1));
        assert_eq!(blasts[1].displaced.len(), 2);
        assert_eq!((blasts[1].budgets_broken, blasts[1].quorums_broken), (1, 0));
        assert_eq!(
            describe(&blasts[1])[1],
            "db 1/3 None Kept { left: 2, needs: 2 }"
        );
    }
}
