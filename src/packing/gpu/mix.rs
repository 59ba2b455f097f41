//! The pods that are typical of a fleet, and how much idle GPU they could not use.
//!
//! The measure is that of "Beware of Fragmentation: Scheduling GPU-Sharing Workloads with
//! Fragmentation Gradient Descent" (USENIX ATC 2023): the idle GPU of a node that a pod drawn from
//! the mix cannot use, in expectation.

use std::collections::BTreeMap;

use super::node::{Ask, Node};

/// The most frequent classes of pods up to this share of all.
const COVERED_PERCENT: usize = 95;

/// Classes of pods with weights that sum to one.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Mix {
    classes: Vec<(Ask, f64)>,
}

impl Mix {
    /// The most frequent classes of (cpu, GPU share, devices, models); memory is left out.
    pub fn typical<'a>(asks: impl IntoIterator<Item = &'a Ask>) -> Self {
        let mut counts: BTreeMap<Ask, usize> = BTreeMap::new();
        for ask in asks {
            let class = Ask {
                memory_mib: 0,
                ..ask.clone()
            };
            *counts.entry(class).or_default() += 1;
        }
        let frequent = frequent(counts.into_iter().collect());
        let covered: usize = frequent.iter().map(|(_, count)| count).sum();
        let weight = |count: usize| count as f64 / covered as f64;
        Self {
            classes: frequent
                .into_iter()
                .map(|(ask, count)| (ask, weight(count)))
                .collect(),
        }
    }

    /// The same from counts of classes, with weights that are whole parts of so many: the nearest.
    /// Classes that are less than half of a part are left out.
    pub fn in_parts(classes: Vec<(Ask, usize)>, parts: usize) -> Self {
        let frequent = frequent(classes);
        let covered: usize = frequent.iter().map(|(_, count)| count).sum();
        let part = |count: usize| (2 * count * parts + covered) / (2 * covered).max(1);
        let counted: Vec<(Ask, usize)> = frequent
            .into_iter()
            .map(|(ask, count)| (ask, part(count)))
            .filter(|(_, part)| *part > 0)
            .collect();
        let all: usize = counted.iter().map(|(_, part)| part).sum();
        let weighted = counted
            .into_iter()
            .map(|(ask, part)| (ask, part as f64 / all as f64));
        Self {
            classes: weighted.collect(),
        }
    }

    pub fn classes(&self) -> &[(Ask, f64)] {
        &self.classes
    }

    /// F(node): the idle milli of the node's devices that a pod of the mix cannot use.
    pub fn fragmented(&self, node: &Node) -> f64 {
        let idle = node.gpu_free();
        let unusable = |ask: &Ask| {
            if ask.devices == 0 || !node.fits_shape(ask) {
                return idle;
            }
            let scraps = node.devices.iter().filter(|free| **free < ask.gpu_milli);
            scraps.sum()
        };
        let parts = self.classes.iter();
        parts
            .map(|(ask, weight)| weight * unusable(ask) as f64)
            .sum()
    }

    /// The idle milli of devices that no pod of the mix can use anything of.
    pub fn unusable(&self, node: &Node) -> i64 {
        let fitting = self.classes.iter().map(|(ask, _)| ask);
        let least = fitting
            .filter(|ask| ask.devices > 0 && node.fits_shape(ask))
            .map(|ask| ask.gpu_milli)
            .min();
        let is_useless = |free: &&i64| least.is_none_or(|least| **free < least);
        let idle = node.devices.iter().filter(|free| **free > 0);
        idle.filter(is_useless).sum()
    }

    /// How much of a fleet's idle GPU is fragmented.
    pub fn stranded<'a>(&self, nodes: impl IntoIterator<Item = &'a Node>) -> StrandedGpu {
        let mut total = StrandedGpu::default();
        for node in nodes {
            total.idle_milli += node.gpu_free() as f64;
            total.fragmented_milli += self.fragmented(node);
            if !self
                .classes
                .iter()
                .any(|(ask, _)| ask.devices > 0 && node.fits_shape(ask))
            {
                total.dead_milli += node.gpu_free() as f64;
            }
        }
        total
    }
}

/// The most frequent classes until they cover enough; equal counts in the order given.
fn frequent(mut classes: Vec<(Ask, usize)>) -> Vec<(Ask, usize)> {
    let all: usize = classes.iter().map(|(_, count)| count).sum();
    classes.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
    let mut covered = 0;
    classes.retain(|(_, count)| {
        let is_needed = covered * 100 < all * COVERED_PERCENT;
        covered += if is_needed { *count } else { 0 };
        is_needed
    });
    classes
}

/// Idle GPU of a fleet that its typical pods cannot use.
#[derive(Clone, Copy, PartialEq, Debug, Default)]
pub struct StrandedGpu {
    pub idle_milli: f64,
    /// In expectation over the mix.
    pub fragmented_milli: f64,
    /// On nodes where no typical pod with a GPU fits at all.
    pub dead_milli: f64,
}
