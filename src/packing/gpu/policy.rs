//! Where the next pod goes: the policies compared in the FGD paper.
//!
//! A score is a whole number from 0 to 100, as kube-scheduler wants it. For the gradient the rounding
//! is no loss: on the published trace an exact gradient with a best-fit tie-break allocated less
//! (94.3 % against 95.4 %).

use super::mix::Mix;
use super::node::{Ask, Company, DEVICE_MILLI, Node};
use crate::stdx::rng::Stream;

/// The largest node of the published experiment; the scores are scaled by it.
const CPU_MILLI_MAX: f64 = 128_000.0;
const GPU_MILLI_MAX: f64 = 8_000.0;

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Policy {
    Random,
    DotProd,
    GpuClustering,
    GpuPacking,
    BestFit,
    /// Fragmentation gradient descent as published.
    Fgd,
}

impl Policy {
    pub const ALL: [Self; 6] = [
        Self::Random,
        Self::DotProd,
        Self::GpuClustering,
        Self::GpuPacking,
        Self::BestFit,
        Self::Fgd,
    ];

    pub fn name(self) -> &'static str {
        match self {
            Self::Random => "Random",
            Self::DotProd => "DotProd",
            Self::GpuClustering => "GpuClustering",
            Self::GpuPacking => "GpuPacking",
            Self::BestFit => "BestFit",
            Self::Fgd => "FGD",
        }
    }

    /// The score of a node that the pod fits, and the devices it would get there.
    pub fn place(self, mix: &Mix, node: &Node, ask: &Ask) -> Option<Place> {
        if !node.fits(ask) {
            return None;
        }
        if self == Self::Fgd {
            return descend(mix, node, ask);
        }
        let devices = node.fullest(ask)?;
        let score = match self {
            Self::BestFit => best_fit(node, ask),
            Self::DotProd => dot_product(node, ask),
            Self::GpuPacking => gpu_packing(node, ask, &devices),
            Self::GpuClustering => gpu_clustering(node, ask),
            Self::Random | Self::Fgd => 0.0,
        };
        Some(Place { score, devices })
    }
}

/// The devices whose taking lowers fragmentation most.
fn descend(mix: &Mix, node: &Node, ask: &Ask) -> Option<Place> {
    let before = mix.fragmented(node);
    let scored = |devices: Vec<usize>| {
        let mut after = node.clone();
        after.take(ask, &devices);
        let gain = (before - mix.fragmented(&after)) / DEVICE_MILLI as f64;
        let score = (100.0 / (1.0 + (-gain).exp())).trunc();
        Place { score, devices }
    };
    if !ask.is_share() {
        return node.fullest(ask).map(scored);
    }
    // Of equally good devices the fullest.
    let mut fitting: Vec<(i64, usize)> = node
        .devices
        .iter()
        .enumerate()
        .filter(|(_, free)| **free >= ask.gpu_milli)
        .map(|(place, free)| (*free, place))
        .collect();
    fitting.sort_unstable();
    // Devices with as much free are alike.
    fitting.dedup_by_key(|(free, _)| *free);
    let mut best: Option<Place> = None;
    for (_, place) in fitting {
        let place = scored(vec![place]);
        if best.as_ref().is_none_or(|best| place.score > best.score) {
            best = Some(place);
        }
    }
    best
}

/// A node's score for a pod, higher is better.
#[derive(Clone, PartialEq, Debug)]
pub struct Place {
    pub score: f64,
    pub devices: Vec<usize>,
}

fn best_fit(node: &Node, ask: &Ask) -> f64 {
    let cpu = (node.cpu_milli - ask.cpu_milli) as f64 / CPU_MILLI_MAX;
    let gpu = (node.gpu_free() - ask.gpu_total()) as f64 / GPU_MILLI_MAX;
    (100.0 * (1.0 - (0.5 * cpu + 0.5 * gpu))).trunc()
}

fn dot_product(node: &Node, ask: &Ask) -> f64 {
    let cpu = node.cpu_milli as f64 / CPU_MILLI_MAX * (ask.cpu_milli as f64 / CPU_MILLI_MAX);
    let gpu = node.gpu_free() as f64 / GPU_MILLI_MAX * (ask.gpu_total() as f64 / GPU_MILLI_MAX);
    (100.0 * (1.0 - f64::midpoint(cpu, gpu))).trunc()
}

/// Fills used devices first, then free devices of used nodes, then empty nodes.
fn gpu_packing(node: &Node, ask: &Ask, devices: &[usize]) -> f64 {
    if ask.devices == 0 {
        return 0.0;
    }
    let whole = node.whole_free();
    if whole == node.devices.len() {
        let whole = whole as f64;
        return (33.0 - whole).max(whole);
    }
    let taken = devices.iter().filter_map(|place| node.devices.get(*place));
    let free: Vec<i64> = taken.copied().collect();
    let fresh = free.iter().filter(|free| **free == DEVICE_MILLI).count();
    if fresh > 0 {
        return (50.0 - fresh as f64).max(33.0);
    }
    let percent: i64 = free.iter().map(|free| free / 10).sum();
    (100.0 - (percent / 10) as f64).max(50.0)
}

/// Keeps pods of one size together.
fn gpu_clustering(node: &Node, ask: &Ask) -> f64 {
    if ask.devices == 0 {
        return 0.0;
    }
    let company = match node.company(ask) {
        Company::Same => 75.0,
        Company::Mixed => 50.0,
        Company::Nobody => 25.0,
        Company::Others => 0.0,
    };
    let used = (GPU_MILLI_MAX - node.gpu_free() as f64) / GPU_MILLI_MAX;
    (company + 25.0 * used).trunc()
}

/// A random device that fits, for [`Policy::Random`].
pub fn random_devices(node: &Node, ask: &Ask, random: &mut Stream) -> Option<Vec<usize>> {
    if !ask.is_share() {
        return node.fullest(ask);
    }
    let fitting = node.devices.iter().enumerate();
    let fitting: Vec<usize> = fitting
        .filter(|(_, free)| **free >= ask.gpu_milli)
        .map(|(place, _)| place)
        .collect();
    random.pick(&fitting).map(|place| vec![*place])
}
