//! Workload by domain: where the replicas are, what the worst loss is, what is asked for and what
//! would heal it.

use super::budget::Budget;
use super::domain::Domains;
use super::level::Level;
use super::survey::{Row, Survey};
use super::workload::Class;

/// One row of the matrix.
#[derive(Clone, Debug)]
pub struct Spread {
    pub workload: Row,
    /// Domains with replicas, in the order of the domains. The others have none.
    pub cells: Vec<Cell>,
    /// Replicas in no domain of this level, pending ones included.
    pub elsewhere: u32,
    pub replicas: u32,
    pub ready: u32,
    /// `None` where no replica is ready: there is nothing left to lose.
    pub worst: Option<Worst>,
    /// Most replicas in a domain less the fewest in an open one.
    pub skew: u32,
    pub target: Option<Target>,
    pub heal: Option<Heal>,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Cell {
    pub domain: Row,
    pub replicas: u32,
    pub ready: u32,
}

/// The domain whose loss takes most ready replicas.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Worst {
    pub domain: Row,
    pub lost: u32,
    pub share: f64,
}

/// The largest share of ready replicas that one domain may take.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Target {
    pub share: f64,
    pub source: TargetSource,
    pub met: bool,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum TargetSource {
    /// What the disruption budget with this row leaves over.
    Budget(Row),
    /// Without a budget: the best spread that this many replicas can have.
    BestSpread,
}

/// What would bring the worst loss down to the target, or as far as it goes.
#[derive(Clone, Copy, PartialEq, Debug)]
pub enum Heal {
    /// The same replicas, evenly.
    Spread { skew: u32, to: u32, share: f64 },
    /// Even spread is not enough: more replicas, over so many domains.
    Replicas {
        count: u32,
        domains: u32,
        share: f64,
    },
    /// All replicas wait; a spread cannot help.
    NotReady,
    /// The budget allows no loss, so no spread can satisfy it.
    BudgetAllowsNothing,
    /// However many replicas: the target needs so many open domains.
    Domains(u32),
}

impl Spread {
    pub fn cell(&self, domain: Row) -> Cell {
        self.cells
            .iter()
            .find(|cell| cell.domain == domain)
            .copied()
            .unwrap_or(Cell {
                domain,
                ..Cell::default()
            })
    }

    pub fn is_bad(&self) -> bool {
        self.target.is_some_and(|target| !target.met)
    }
}

impl Heal {
    /// `skew 4 → 1 would give 17%`, `3 replicas on 3 racks would give 33%`.
    pub fn text(self, level: &Level) -> String {
        match self {
            // No `maxSkew` is below 1: what divides evenly needs the even spread itself.
            Self::Spread { to: 0, share, .. } => {
                format!("an even spread would give {}", percent(share))
            }
            Self::Spread { skew, to, share } => {
                format!("skew {skew} → {to} would give {}", percent(share))
            }
            Self::Replicas {
                count,
                domains,
                share,
            } => format!(
                "{count} replicas on {} would give {}",
                level.counted(domains as usize),
                percent(share)
            ),
            Self::NotReady => "no replica is ready".to_owned(),
            Self::BudgetAllowsNothing => "the budget allows no disruption at all".to_owned(),
            Self::Domains(count) => {
                format!("the target needs {}", level.counted(count as usize))
            }
        }
    }
}

/// A share as whole per cent, never 0% for something and never 100% for less than all.
pub fn percent(share: f64) -> String {
    let rounded = (share * 100.0).round();
    let shown = if share > 0.0 && rounded < 1.0 {
        1.0
    } else if share < 1.0 && rounded >= 100.0 {
        99.0
    } else {
        rounded
    };
    format!("{shown:.0}%")
}

/// The matrix at a level: services first to last by how bad their worst loss is.
pub fn spreads(survey: &Survey, domains: &Domains) -> Vec<Spread> {
    let open = u32::try_from(domains.open_count()).unwrap_or(u32::MAX);
    let mut rows: Vec<Spread> = (0..survey.workloads.len())
        .filter_map(|place| Row::try_from(place).ok())
        .filter(|&workload| survey.workload(workload).class == Class::Service)
        .map(|workload| rate(survey, domains, count(survey, domains, workload), open))
        .collect();
    rows.sort_by(|left, right| order(survey, left, right));
    rows
}

/// One workload's row, whatever its class.
pub fn spread_of(survey: &Survey, domains: &Domains, workload: Row) -> Spread {
    let open = u32::try_from(domains.open_count()).unwrap_or(u32::MAX);
    rate(survey, domains, count(survey, domains, workload), open)
}

fn order(survey: &Survey, left: &Spread, right: &Spread) -> std::cmp::Ordering {
    let share = |row: &Spread| row.worst.map_or(1.0, |worst| worst.share);
    right
        .is_bad()
        .cmp(&left.is_bad())
        .then(share(right).total_cmp(&share(left)))
        .then(right.replicas.cmp(&left.replicas))
        .then_with(|| {
            let key = |row: &Spread| &survey.workload(row.workload).key;
            key(left).cmp(key(right))
        })
}

/// Replicas by domain, not yet rated.
pub(crate) fn count(survey: &Survey, domains: &Domains, workload: Row) -> Spread {
    let mut placed: Vec<(Row, bool)> = Vec::new();
    let mut elsewhere = 0;
    let (mut replicas, mut ready) = (0, 0);
    for &row in survey.pods_of(workload) {
        let pod = survey.pod(row);
        if pod.object.is_terminating() {
            continue;
        }
        replicas += 1;
        ready += u32::from(pod.serves);
        match pod.node.and_then(|node| domains.of_node[node as usize]) {
            Some(domain) => placed.push((domain, pod.serves)),
            None => elsewhere += 1,
        }
    }
    placed.sort_unstable();
    let mut cells: Vec<Cell> = Vec::new();
    for (domain, serves) in placed {
        match cells.last_mut().filter(|cell| cell.domain == domain) {
            Some(cell) => {
                cell.replicas += 1;
                cell.ready += u32::from(serves);
            }
            None => cells.push(Cell {
                domain,
                replicas: 1,
                ready: u32::from(serves),
            }),
        }
    }
    Spread {
        workload,
        cells,
        elsewhere,
        replicas,
        ready,
        worst: None,
        skew: 0,
        target: None,
        heal: None,
    }
}

fn rate(survey: &Survey, domains: &Domains, mut row: Spread, open: u32) -> Spread {
    let worst = row
        .cells
        .iter()
        .filter(|cell| cell.ready > 0)
        .max_by_key(|cell| (cell.ready, std::cmp::Reverse(cell.domain)));
    row.worst = worst.map(|cell| Worst {
        domain: cell.domain,
        lost: cell.ready,
        share: f64::from(cell.ready) / f64::from(row.ready.max(1)),
    });
    row.skew = skew(domains, &row, open);
    let Some(worst) = row.worst else {
        row.heal = (row.replicas > 0).then_some(Heal::NotReady);
        return row;
    };
    let best = |count: u32| {
        f64::from(count.div_ceil(open.clamp(1, count.max(1)))) / f64::from(count.max(1))
    };
    let budget_row = survey
        .pods_of(row.workload)
        .iter()
        .find_map(|&pod| survey.pod(pod).budget);
    let budget = budget_row.and_then(|place| survey.budgets.get(place as usize));
    let (share, source) = match (budget, budget_row) {
        (Some(budget), Some(place)) => (allowed(budget), TargetSource::Budget(place)),
        // One replica without a budget: nobody asked for more, and no spread can give it.
        _ if row.ready < 2 => return row,
        _ => (best(row.ready), TargetSource::BestSpread),
    };
    let met = worst.share <= share + 1e-9;
    row.target = Some(Target { share, source, met });
    if !met {
        row.heal = Some(heal(&row, worst, share, open, best));
    }
    row
}

/// The share of its pods that a budget can do without.
fn allowed(budget: &Budget) -> f64 {
    let expected = budget.expected.unwrap_or(budget.covered).max(1);
    f64::from(expected.saturating_sub(budget.needs())) / f64::from(expected)
}

fn heal(row: &Spread, worst: Worst, share: f64, open: u32, best: impl Fn(u32) -> f64) -> Heal {
    /// More replicas than this are no advice.
    const MOST: u32 = 1000;
    let even = best(row.ready);
    if even + 1e-9 < worst.share {
        return Heal::Spread {
            skew: row.skew,
            to: u32::from(!row.ready.is_multiple_of(open.max(1))),
            share: even,
        };
    }
    if share <= 0.0 {
        return Heal::BudgetAllowsNothing;
    }
    let enough = (row.ready..=MOST).find(|&count| best(count) <= share + 1e-9);
    match enough {
        Some(count) => Heal::Replicas {
            count,
            domains: open.min(count),
            share: best(count),
        },
        None => Heal::Domains(
            (2..MOST)
                .find(|&n| 1.0 / f64::from(n) <= share + 1e-9)
                .unwrap_or(MOST),
        ),
    }
}

fn skew(domains: &Domains, row: &Spread, open: u32) -> u32 {
    let most = row.cells.iter().map(|cell| cell.replicas).max();
    let in_open = row
        .cells
        .iter()
        .filter(|cell| domains.list[cell.domain as usize].open > 0);
    let fewest = if in_open.clone().count() < open as usize {
        Some(0)
    } else {
        in_open.map(|cell| cell.replicas).min()
    };
    most.unwrap_or(0).saturating_sub(fewest.unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::k8s::build::{Draft, budget, cluster, node, pod};
    use crate::topology::level::RACK;

    /// `placement`: how many ready replicas on each of racks r0, r1, …
    fn fleet(placement: &[usize]) -> Vec<Draft> {
        let mut fleet = Vec::new();
        for (rack, &count) in placement.iter().enumerate() {
            fleet.push(node(&format!("n{rack}")).rack(&format!("r{rack}")));
            fleet.extend((0..count).map(|n| {
                pod(&format!("web-{rack}-{n}"))
                    .label("app", "web")
                    .owner("ReplicaSet", "web")
                    .node(&format!("n{rack}"))
            }));
        }
        fleet
    }

    #[track_caller]
    fn check(fleet: &[Draft], expected: &str) {
        let survey = Survey::of(&cluster(fleet));
        let level = Level::of(RACK);
        let domains = Domains::of(&survey, &level);
        let row = &spreads(&survey, &domains)[0];
        let target = row.target.map_or("no target".to_owned(), |target| {
            let sign = if target.met { "met" } else { "missed" };
            format!("≤ {} {sign}", percent(target.share))
        });
        let worst = row.worst.map_or("nothing".to_owned(), |worst| {
            let name = &domains.list[worst.domain as usize].name;
            format!("{name} {}", percent(worst.share))
        });
        let heal = row.heal.map_or(String::new(), |heal| heal.text(&level));
        assert_eq!(format!("{worst}, {target}, {heal}"), expected);
    }

    #[test]
    fn without_a_budget_the_best_spread_is_the_target() {
        check(&fleet(&[2, 2, 2]), "r0 33%, ≤ 33% met, ");
        check(&fleet(&[2, 1]), "r0 67%, ≤ 67% met, ");
        check(
            &fleet(&[8, 4, 4, 4, 4, 0]),
            "r0 33%, ≤ 17% missed, an even spread would give 17%",
        );
        check(
            &fleet(&[5, 2]),
            "r0 71%, ≤ 57% missed, skew 3 → 1 would give 57%",
        );
        check(&fleet(&[1, 0]), "r0 100%, no target, ");
    }

    #[test]
    fn a_budget_sets_the_target() {
        let with = |placement: &[usize], amount: &str| {
            let mut fleet = fleet(placement);
            fleet.push(budget("web").max_unavailable(amount));
            fleet
        };
        check(&with(&[1, 1, 1], "1"), "r0 33%, ≤ 33% met, ");
        check(&with(&[1, 1, 0], "34%"), "r0 50%, ≤ 50% met, ");
        check(
            &with(&[2, 1, 1, 0], "1"),
            "r0 50%, ≤ 25% missed, an even spread would give 25%",
        );
        check(
            &with(&[3, 3, 0], "2"),
            "r0 50%, ≤ 33% missed, an even spread would give 33%",
        );
        check(
            &with(&[2, 2], "0"),
            "r0 50%, ≤ 0% missed, the budget allows no disruption at all",
        );
        check(
            &with(&[2, 2], "1"),
            "r0 50%, ≤ 25% missed, the target needs 4 racks",
        );
    }

    #[test]
    fn only_ready_replicas_count_as_lost() {
        let mut fleet = fleet(&[1, 1]);
        fleet.push(
            pod("web-2")
                .label("app", "web")
                .owner("ReplicaSet", "web")
                .node("n0")
                .not_ready(),
        );
        check(&fleet, "r0 50%, ≤ 50% met, ");
        let waiting = [
            node("n0").rack("r0"),
            pod("web-0").owner("ReplicaSet", "web"),
        ];
        check(&waiting, "nothing, no target, no replica is ready");
    }
}
