//! Cell compaction: how few of its machines would this workload need?
//!
//! After Verma and others, "Large-scale cluster management at Google with Borg" (`EuroSys` 2015),
//! section 5.1: machines are removed in random order until the workload, packed anew from empty by
//! the real scheduler, no longer fits; a few pods may stay pending; the experiment is repeated with
//! other orders, and the 90th percentile of the sizes is reported. Where the paper removes one
//! machine after the other, a bisection over the same order finds the border: fitting is taken to be
//! monotone along one order. Constraints of the paper's picky tasks are not softened here.

use std::sync::Arc;

use super::placement::{PlaceOptions, PlaceOrder};
use super::rebalance::movable::stays_with_its_node;
use super::snapshot::Snapshot;
use crate::k8s::{Name, Object};
use crate::stdx::rng::Stream;

/// The paper repeats every experiment eleven times.
pub const TRIALS: u32 = 11;
/// Of 1,000 pods so many may stay pending: 0.2 % in the paper.
const PENDING_PER_MILLE: usize = 2;

/// What the trials found.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Compaction {
    /// Machines that the cluster has.
    pub machines: usize,
    /// Pods packed in each trial; those that live and die with their node come on top.
    pub pods: usize,
    /// Pods that find no place even on all machines, packed from empty: as many may stay pending.
    pub homeless: usize,
    /// Machines that each finished trial needed, ascending.
    pub needed: Vec<usize>,
}

impl Compaction {
    /// The 90th percentile of the trials, by nearest rank: "needs 212 of your 312 machines".
    pub fn percentile_90(&self) -> Option<usize> {
        let rank = (self.needed.len() * 9).div_ceil(10);
        self.needed.get(rank.checked_sub(1)?).copied()
    }
}

/// Compacts the workload that runs now. `go_on` is asked before every packing; trials that it cuts
/// short do not count.
pub fn compact(
    snapshot: &Snapshot,
    trials: u32,
    seed: u64,
    go_on: &mut dyn FnMut() -> bool,
) -> Compaction {
    let pods: Vec<Arc<Object>> = snapshot
        .nodes()
        .flat_map(|node| &node.pods)
        .filter(|entry| !entry.is_terminating() && !stays_with_its_node(&entry.object))
        .map(|entry| Arc::clone(&entry.object))
        .collect();
    let mut names: Vec<Name> = snapshot.nodes().map(|node| node.name.clone()).collect();
    names.sort_unstable();
    let mut compaction = Compaction {
        machines: names.len(),
        pods: pods.len(),
        ..Compaction::default()
    };
    if !go_on() {
        return compaction;
    }
    let empty = snapshot.without_pods(&pods);
    compaction.homeless = pending(&empty, &pods, &[], seed);
    let allowed = compaction
        .homeless
        .max(pods.len() * PENDING_PER_MILLE / 1000);
    for trial in 0..trials {
        let mut order = names.clone();
        let mut stream = Stream::new(seed.wrapping_add(u64::from(trial)), "compaction");
        shuffle(&mut order, &mut stream);
        // The first `fitting` machines of the order hold the workload, the first `lacking` do not.
        let (mut lacking, mut fitting) = (0, order.len());
        while lacking < fitting {
            if !go_on() {
                return compaction;
            }
            let middle = usize::midpoint(lacking, fitting);
            let removed = order.get(middle..).unwrap_or_default();
            if pending(&empty, &pods, removed, seed) <= allowed {
                fitting = middle;
            } else {
                lacking = middle + 1;
            }
        }
        let place = compaction
            .needed
            .partition_point(|needed| *needed < fitting);
        compaction.needed.insert(place, fitting);
    }
    compaction
}

/// How many pods find no place without these machines.
fn pending(empty: &Snapshot, pods: &[Arc<Object>], removed: &[Name], seed: u64) -> usize {
    let (left, _) = empty.without_nodes(removed);
    let options = PlaceOptions {
        seed,
        order: PlaceOrder::Priority,
    };
    left.place(pods, options).refused.len()
}

fn shuffle(names: &mut [Name], stream: &mut Stream) {
    for last in (1..names.len()).rev() {
        let place = usize::try_from(stream.below(last as u64 + 1)).unwrap_or(last);
        names.swap(last, place);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::k8s::build::{Draft, cluster, node, pod};

    fn fleet(nodes: usize, pods: usize, cpu: &str) -> Snapshot {
        let mut drafts: Vec<Draft> = (0..nodes).map(|n| node(&format!("n{n}"))).collect();
        for n in 0..nodes {
            let daemon = pod(&format!("logs-{n}")).owner("DaemonSet", "logs");
            drafts.push(daemon.cpu("1").node(&format!("n{n}")));
        }
        for n in 0..pods {
            let replica = pod(&format!("web-{n}")).owner("ReplicaSet", "web");
            drafts.push(replica.cpu(cpu).node(&format!("n{}", n % nodes)));
        }
        Snapshot::of(&cluster(&drafts))
    }

    #[track_caller]
    fn check(nodes: usize, pods: usize, cpu: &str, needed: usize) {
        let found = compact(&fleet(nodes, pods, cpu), TRIALS, 1, &mut || true);
        assert_eq!(found.machines, nodes);
        assert_eq!(found.pods, pods);
        assert_eq!(found.needed.len(), TRIALS as usize);
        assert_eq!(found.percentile_90(), Some(needed), "{found:?}");
    }

    #[test]
    fn equal_machines_and_equal_pods_need_what_division_says() {
        // 16 cores, one of which is the daemon's.
        check(10, 30, "5", 10);
        check(20, 30, "5", 10);
        check(20, 31, "5", 11);
        check(20, 20, "8", 20);
        check(7, 0, "1", 0);
    }

    #[test]
    fn two_of_a_thousand_may_stay_pending() {
        // 3 a machine: 1,001 pods need 334 machines, 999 of them 333.
        let found = compact(&fleet(340, 1001, "5"), 1, 1, &mut || true);
        assert_eq!(found.needed, [333]);
    }

    #[test]
    fn what_is_homeless_on_all_machines_does_not_count_against_fewer() {
        let mut drafts = vec![node("one"), node("two")];
        for n in 0..3 {
            let draft = pod(&format!("web-{n}")).owner("ReplicaSet", "web");
            drafts.push(draft.cpu("16").node(["one", "two", "two"][n]));
        }
        let found = compact(&Snapshot::of(&cluster(&drafts)), 3, 1, &mut || true);
        assert_eq!((found.homeless, found.percentile_90()), (1, Some(2)));
    }

    #[test]
    fn the_percentile_is_by_nearest_rank() {
        let percentile = |needed: Vec<usize>| {
            let compaction = Compaction {
                needed,
                ..Compaction::default()
            };
            compaction.percentile_90()
        };
        assert_eq!(percentile(vec![]), None);
        assert_eq!(percentile(vec![5]), Some(5));
        assert_eq!(percentile((1..=10).collect()), Some(9));
        assert_eq!(percentile((1..=11).collect()), Some(10));
    }

    #[test]
    fn a_deadline_leaves_the_trials_that_were_finished() {
        let mut left = 10;
        let mut go_on = || {
            left -= 1;
            left > 0
        };
        let found = compact(&fleet(10, 12, "5"), TRIALS, 1, &mut go_on);
        assert!(found.needed.len() < TRIALS as usize);
    }
}
