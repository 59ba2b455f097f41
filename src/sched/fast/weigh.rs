//! One decision over the buckets of an index.

use super::column::Key;
use super::counter::Role;
use super::index::{Index, MISSING, SLOT_AFFINITY, SLOT_TAINTS};
use super::plan::Plan;
use super::seats::Bucket;
use crate::sched::configuration::Profile;
use crate::sched::framework::{share_down, share_up};
use crate::sched::plugins::{inter_pod_affinity, node_resources_fit, pod_topology_spread};
use crate::sched::snapshot::NodeId;
use crate::sched::verdict::{Code, Plugin, Refusal};

/// Buckets that hold all best nodes, each with its highest level.
#[derive(Debug, Default)]
pub struct Best {
    pub total: i64,
    buckets: Vec<usize>,
    pub count: usize,
}

/// Why a whole bucket is refused.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Barrier {
    MissingLabel,
    Skew,
    Affinity,
    AntiAffinity,
    Existing,
}

impl Barrier {
    pub fn refusal(self) -> Refusal {
        let spread = Plugin::PodTopologySpread;
        let pods = Plugin::InterPodAffinity;
        match self {
            Self::MissingLabel => {
                Refusal::unresolvable(spread, pod_topology_spread::REASON_MISSING_LABEL)
            }
            Self::Skew => Refusal::resolvable(spread, pod_topology_spread::REASON),
            Self::Affinity => Refusal::unresolvable(pods, inter_pod_affinity::REASON_AFFINITY),
            Self::AntiAffinity => {
                Refusal::resolvable(pods, inter_pod_affinity::REASON_ANTI_AFFINITY)
            }
            Self::Existing => Refusal::resolvable(pods, inter_pod_affinity::REASON_EXISTING),
        }
    }

    pub fn is_resolvable(self) -> bool {
        self.refusal().code == Code::Unschedulable
    }
}

/// Raw scores of a feasible bucket.
struct Raw {
    bucket: usize,
    taints: i64,
    affinity: i64,
    /// `None`: the bucket lacks a key and is left out of spreading.
    spread: Option<i64>,
    pods: i64,
    level: i64,
}

/// Weights of the plugins that are normalised.
struct Weights {
    taints: i64,
    affinity: i64,
    spread: i64,
    pods: i64,
}

impl Index {
    /// Why the bucket cannot take the pod, if it cannot.
    pub fn barrier(&self, profile: &Profile, bucket: &Bucket) -> Option<Barrier> {
        if profile.filters_with(Plugin::PodTopologySpread)
            && let Some(barrier) = self.spread_barrier(&bucket.signature)
        {
            return Some(barrier);
        }
        if profile.filters_with(Plugin::InterPodAffinity) {
            return self.pod_barrier(&bucket.signature);
        }
        None
    }

    fn spread_barrier(&self, signature: &[i64]) -> Option<Barrier> {
        // Counters of hard constraints come first, in the constraints' order.
        for (counter, (constraint, selects_itself)) in self
            .counters
            .iter()
            .zip(self.plan.hard.iter().zip(&self.selects_itself))
        {
            let Some(there) = self.sum_at(counter, signature) else {
                return Some(Barrier::MissingLabel);
            };
            let smallest = counter.min.as_ref().map_or(0, |min| {
                if min.domain_count < constraint.min_domains {
                    0
                } else {
                    min.smallest()
                }
            });
            if there + i64::from(*selects_itself) - smallest > constraint.max_skew {
                return Some(Barrier::Skew);
            }
        }
        None
    }

    fn pod_barrier(&self, signature: &[i64]) -> Option<Barrier> {
        let mut all_near = true;
        let mut near_own = false;
        let mut near_existing = false;
        for counter in &self.counters {
            match counter.role {
                Role::Affinity(_) => match self.sum_at(counter, signature) {
                    None => return Some(Barrier::Affinity),
                    Some(sum) => all_near &= sum > 0,
                },
                Role::AntiAffinity(_) => {
                    near_own |= self.sum_at(counter, signature).is_some_and(|sum| sum > 0);
                }
                Role::Existing => {
                    near_existing |= self.sum_at(counter, signature).is_some_and(|sum| sum > 0);
                }
                _ => {}
            }
        }
        if !(all_near || (self.affinity_marks == 0 && self.matches_own_affinity)) {
            Some(Barrier::Affinity)
        } else if near_own {
            Some(Barrier::AntiAffinity)
        } else if near_existing {
            Some(Barrier::Existing)
        } else {
            None
        }
    }

    /// The best nodes; `None` when no node is feasible.
    pub fn best(&self, profile: &Profile) -> Option<Best> {
        let mut raws: Vec<Raw> = Vec::with_capacity(self.seats.buckets.len());
        for (number, bucket) in self.seats.buckets.iter().enumerate() {
            let Some((level, _)) = bucket.top() else {
                continue;
            };
            if self.barrier(profile, bucket).is_some() {
                continue;
            }
            let slot = |index: usize| bucket.signature.get(index).copied().unwrap_or(0);
            raws.push(Raw {
                bucket: number,
                taints: slot(SLOT_TAINTS),
                affinity: slot(SLOT_AFFINITY),
                spread: None,
                pods: self.preference(&bucket.signature),
                level,
            });
        }
        if raws.is_empty() {
            return None;
        }
        self.spread(&mut raws);
        Some(self.select(profile, &raws))
    }

    fn preference(&self, signature: &[i64]) -> i64 {
        let preferences = |counter: &&super::counter::Counter| counter.role == Role::Preference;
        self.counters
            .iter()
            .filter(preferences)
            .filter_map(|counter| self.sum_at(counter, signature))
            .sum()
    }

    /// Fills in the raw spreading score.
    fn spread(&self, raws: &mut [Raw]) {
        let soft = &self.plan.soft;
        if soft.constraints.is_empty() {
            return;
        }
        let first = self.plan.hard.len();
        let counters = self.counters.get(first..first + soft.constraints.len());
        let counters = counters.unwrap_or_default();
        let signature = |raw: &Raw| {
            let bucket = self.seats.buckets.get(raw.bucket);
            bucket.map_or([].as_slice(), |bucket| &bucket.signature)
        };
        let is_ignored = |signature: &[i64]| {
            soft.requires_all_keys
                && counters
                    .iter()
                    .any(|counter| self.sum_at(counter, signature).is_none())
        };
        let ignored: Vec<bool> = raws.iter().map(|raw| is_ignored(signature(raw))).collect();
        let weights: Vec<f64> = counters
            .iter()
            .zip(&soft.constraints)
            .map(|(counter, constraint)| {
                let left = raws
                    .iter()
                    .zip(&ignored)
                    .filter(|(_, ignored)| !**ignored)
                    .map(|(raw, _)| raw);
                let size = if Plan::soft_key(constraint) == Key::Itself {
                    left.map(|raw| {
                        self.seats
                            .buckets
                            .get(raw.bucket)
                            .map_or(0, |bucket| bucket.len)
                    })
                    .sum()
                } else {
                    self.domain_count(counter.dimension, left)
                };
                pod_topology_spread::domain_weight(size)
            })
            .collect();
        for (raw, ignored) in raws.iter_mut().zip(ignored) {
            if ignored {
                continue;
            }
            let signature = signature(raw);
            let mut total = 0.0;
            for ((counter, constraint), weight) in
                counters.iter().zip(&soft.constraints).zip(&weights)
            {
                if let Some(count) = self.sum_at(counter, signature) {
                    total += pod_topology_spread::part(count, constraint.max_skew, *weight);
                }
            }
            raw.spread = Some(node_resources_fit::round(total));
        }
    }

    /// Distinct values among candidates. Quirk: a missing label counts as one more.
    fn domain_count<'a>(&self, dimension: usize, raws: impl Iterator<Item = &'a Raw>) -> usize {
        let Some(dimension) = self.dimensions.get(dimension) else {
            return 0;
        };
        let mut seen: Vec<bool> = Vec::new();
        let mut count = 0;
        let mut is_any_missing = false;
        for raw in raws {
            let Some(bucket) = self.seats.buckets.get(raw.bucket) else {
                continue;
            };
            let value = bucket.signature.get(dimension.slot).copied();
            match value.unwrap_or(MISSING) {
                MISSING => is_any_missing = true,
                _ if dimension.is_unique => count += bucket.len,
                value => {
                    let place = usize::try_from(value).unwrap_or(0);
                    if place >= seen.len() {
                        seen.resize(place + 1, false);
                    }
                    if let Some(seen) = seen.get_mut(place) {
                        count += usize::from(!*seen);
                        *seen = true;
                    }
                }
            }
        }
        count + usize::from(is_any_missing)
    }

    fn select(&self, profile: &Profile, raws: &[Raw]) -> Best {
        let weights = Weights::of(profile);
        let taints_max = raws.iter().map(|raw| raw.taints).max().unwrap_or(0);
        let affinity_max = raws.iter().map(|raw| raw.affinity).max().unwrap_or(0);
        let spreads = || raws.iter().filter_map(|raw| raw.spread);
        let spread_min = spreads().min().unwrap_or(0);
        let spread_max = spreads().max().unwrap_or(0);
        let pods_min = raws.iter().map(|raw| raw.pods).min().unwrap_or(0);
        let pods_max = raws.iter().map(|raw| raw.pods).max().unwrap_or(0);
        let mut best = Best {
            total: i64::MIN,
            ..Best::default()
        };
        for raw in raws {
            let spread = raw.spread.map_or(0, |spread| {
                pod_topology_spread::normalized(spread, spread_min, spread_max)
            });
            let total = raw.level
                + weights.taints * share_down(raw.taints, taints_max)
                + weights.affinity * share_up(raw.affinity, affinity_max)
                + weights.spread * spread
                + weights.pods * inter_pod_affinity::normalized(raw.pods, pods_min, pods_max);
            if total > best.total {
                best.total = total;
                best.buckets.clear();
                best.count = 0;
            }
            if total == best.total {
                best.buckets.push(raw.bucket);
                best.count += self.top(raw.bucket).len();
            }
        }
        best
    }

    fn top(&self, bucket: usize) -> &[NodeId] {
        self.seats
            .buckets
            .get(bucket)
            .and_then(Bucket::top)
            .map_or(&[], |(_, nodes)| nodes)
    }

    /// One of the best nodes by number.
    pub fn pick(&self, best: &Best, number: usize) -> Option<NodeId> {
        let mut left = number;
        for bucket in &best.buckets {
            let nodes = self.top(*bucket);
            if let Some(node) = nodes.get(left) {
                return Some(*node);
            }
            left -= nodes.len();
        }
        None
    }

    /// All of them.
    pub fn all(&self, best: &Best) -> Vec<NodeId> {
        best.buckets
            .iter()
            .flat_map(|bucket| self.top(*bucket))
            .copied()
            .collect()
    }
}

impl Weights {
    fn of(profile: &Profile) -> Self {
        Self {
            taints: profile.weight(Plugin::TaintToleration),
            affinity: profile.weight(Plugin::NodeAffinity),
            spread: profile.weight(Plugin::PodTopologySpread),
            pods: profile.weight(Plugin::InterPodAffinity),
        }
    }
}
