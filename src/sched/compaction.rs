//! Cell compaction: how few of its machines would this workload need?
//!
//! After Verma and others, "Large-scale cluster management at Google with Borg" (`EuroSys` 2015),
//! section 5.1: machines are removed in random order until the workload, packed anew from empty by
//! the real scheduler, no longer fits; a few pods may stay pending; the experiment is repeated with
//! other orders, and the 90th percentile of the sizes is reported. Where the paper removes one
//! machine after the other, a bisection over the same order finds the border: fitting is taken to be
//! monotone along one order. Orders need about as many machines, so that each after the first is
//! searched outwards from what the one before needed. Constraints of the paper's picky tasks are not
//! softened here.
//!
//! An operator does not choose machines at random: one more trial removes the least used first. What
//! it finds holds the workload too, and the smaller of both is what is needed.

use std::sync::Arc;

use super::node_info::NodeInfo;
use super::placement::{PlaceOptions, PlaceOrder};
use super::rebalance::movable::stays_with_its_node;
use super::snapshot::Snapshot;
use crate::k8s::resource_list::ResourceList;
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
    /// The same with the least used machines removed first.
    pub least_used_first: Option<usize>,
}

impl Compaction {
    /// The 90th percentile of the trials, by nearest rank: "needs 212 of your 312 machines".
    pub fn percentile_90(&self) -> Option<usize> {
        let rank = (self.needed.len() * 9).div_ceil(10);
        self.needed.get(rank.checked_sub(1)?).copied()
    }
}

impl Compaction {
    /// The fewest machines that are known to do.
    pub fn fewest(&self) -> Option<usize> {
        let found = [self.percentile_90(), self.least_used_first];
        found.into_iter().flatten().min()
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
    let options = PlaceOptions {
        seed,
        order: PlaceOrder::Priority,
    };
    let mut search = |order: &[Name], guess: Option<usize>| {
        let mut fits = |count: usize| {
            let removed = order.get(count..).unwrap_or_default();
            let (left, _) = empty.without_nodes(removed);
            go_on().then(|| left.fits(&pods, options, allowed))
        };
        border(order.len(), guess, &mut fits)
    };
    let mut last = None;
    for trial in 0..trials {
        let mut order = names.clone();
        let mut stream = Stream::new(seed.wrapping_add(u64::from(trial)), "compaction");
        shuffle(&mut order, &mut stream);
        let Some(needed) = search(&order, last) else {
            return compaction;
        };
        last = Some(needed);
        let place = compaction.needed.partition_point(|other| *other < needed);
        compaction.needed.insert(place, needed);
    }
    compaction.least_used_first = search(&most_used_first(snapshot), last);
    compaction
}

/// The least count up to `whole` that fits, searched outwards from a guess; the whole does. `None`
/// when `fits` gives up.
fn border(
    whole: usize,
    guess: Option<usize>,
    fits: &mut dyn FnMut(usize) -> Option<bool>,
) -> Option<usize> {
    // Below `lacking` none fits, `fitting` does.
    let (mut lacking, mut fitting) = (0, whole);
    let mut stride = (whole / 64).max(1);
    let mut next = guess;
    while lacking < fitting {
        let count = next
            .take()
            .map_or(usize::midpoint(lacking, fitting), |guess| {
                guess.clamp(lacking, fitting - 1)
            });
        let is_open = if fits(count)? {
            fitting = count;
            lacking == 0
        } else {
            lacking = count + 1;
            fitting == whole
        };
        if is_open && guess.is_some() {
            next = Some(if lacking == 0 {
                count.saturating_sub(stride)
            } else {
                count + stride
            });
            stride *= 2;
        }
    }
    Some(fitting)
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

/// The machines with the largest share of any resource requested first.
fn most_used_first(snapshot: &Snapshot) -> Vec<Name> {
    let share = |requested: i64, offered: i64| requested as f64 / offered.max(1) as f64;
    let used = |node: &NodeInfo| {
        let own = node
            .pods
            .iter()
            .filter(|entry| !entry.is_terminating() && !stays_with_its_node(&entry.object));
        let mut total = ResourceList::default();
        for entry in own {
            total.add(&entry.template.spec.requests.charged);
        }
        let scalars = total.scalars.iter().map(|(name, amount)| {
            let offered = node
                .allocatable
                .scalars
                .iter()
                .find(|other| other.0 == *name);
            share(*amount, offered.map_or(0, |offered| offered.1))
        });
        scalars
            .chain([
                share(total.cpu_milli, node.allocatable.cpu_milli),
                share(total.memory_bytes, node.allocatable.memory_bytes),
            ])
            .fold(0.0, f64::max)
    };
    let mut order: Vec<(f64, Name)> = snapshot
        .nodes()
        .map(|node| (used(node), node.name.clone()))
        .collect();
    order.sort_by(|one, other| other.0.total_cmp(&one.0).then_with(|| one.1.cmp(&other.1)));
    order.into_iter().map(|(_, name)| name).collect()
}

fn shuffle(names: &mut [Name], stream: &mut Stream) {
    for last in (1..names.len()).rev() {
        let place = usize::try_from(stream.below(last as u64 + 1)).unwrap_or(last);
        names.swap(last, place);
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::k8s::build::{Draft, cluster, node, pod};

    #[test]
    fn the_border_is_found_wherever_the_search_begins() {
        for whole in [0_usize, 1, 2, 7, 100, 1000] {
            for wanted in [0, 1, whole / 3, whole / 2, whole.saturating_sub(1), whole] {
                let wanted = wanted.min(whole);
                let guesses = [None, Some(0), Some(wanted), Some(whole / 2), Some(whole)];
                for guess in guesses {
                    let mut asked = 0;
                    let mut fits = |count: usize| {
                        asked += 1;
                        Some(count >= wanted)
                    };
                    assert_eq!(border(whole, guess, &mut fits), Some(wanted));
                    assert!(
                        asked <= 20,
                        "{asked} for {wanted} of {whole} from {guess:?}"
                    );
                    if guess == Some(wanted) {
                        assert!(asked <= 6, "{asked} although {wanted} was guessed");
                    }
                }
            }
        }
    }

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
        assert_eq!(found.fewest(), Some(needed), "{found:?}");
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
    fn machines_of_another_kind_are_not_needed_for_being_there() {
        // One of ten has what the only training pod asks for; at random it is removed early.
        let mut drafts: Vec<Draft> = (0..9).map(|n| node(&format!("n{n}"))).collect();
        drafts.push(node("gpu").with(&json!({"status": {"allocatable": {"nvidia.com/gpu": "4"}}})));
        let train = pod("train-0").owner("ReplicaSet", "train").cpu("1");
        let gpus = json!({"nvidia.com/gpu": "4"});
        drafts.push(train.node("gpu").with(&json!({"spec": {"containers": [
            {"name": "train", "resources": {"requests": gpus, "limits": gpus}}]}})));
        for n in 0..9 {
            let web = pod(&format!("web-{n}")).owner("ReplicaSet", "web");
            drafts.push(web.cpu("1").node(&format!("n{n}")));
        }
        let found = compact(&Snapshot::of(&cluster(&drafts)), TRIALS, 1, &mut || true);
        assert!(found.percentile_90() > Some(1), "{found:?}");
        assert_eq!((found.least_used_first, found.fewest()), (Some(1), Some(1)));
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
