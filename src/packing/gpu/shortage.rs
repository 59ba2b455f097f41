//! Proofs that a list of pods cannot fit a fleet, and which of them cannot.
//!
//! For every set of models, the pods that may go nowhere else are held against those machines (as in
//! Hall's theorem), in two ways: how many devices their shares need ([`devices`]), and how much GPU
//! the machines' cpu lets them ask for at once. A proof is a lower bound: a fleet that passes may
//! still be too small.

use std::collections::BTreeMap;

use super::devices::{self, Price};
use super::node::{Ask, DEVICE_MILLI, Node};

/// More models than this are not told apart: the sets of them are all looked at.
const MODELS_MAX: u32 = 16;
/// Prices closer than this are one group in words.
const SAME_PRICE: f64 = 0.001;

/// Pods that are bound to some models and do not fit them.
#[derive(Clone, PartialEq, Debug)]
pub struct Shortage {
    /// The models, one bit each.
    pub models: u32,
    pub demand_milli: i64,
    pub devices: i64,
    pub reason: Reason,
}

#[derive(Clone, PartialEq, Debug)]
pub enum Reason {
    /// The shares cannot be put together on fewer devices than this; with the prices that prove it.
    Devices { needed: i64, prices: Vec<Price> },
    /// The machines' cpu suffices for no more GPU than this.
    Cpu { placeable_milli: i64 },
}

impl Shortage {
    pub fn missing_milli(&self) -> i64 {
        match &self.reason {
            Reason::Devices { needed, .. } => (needed - self.devices) * DEVICE_MILLI,
            Reason::Cpu { placeable_milli } => self.demand_milli - placeable_milli,
        }
    }

    /// What does not fit, in words; `names` are the models by bit.
    pub fn words(&self, names: &[&str]) -> String {
        let bound = (0..)
            .zip(names)
            .filter(|(bit, _)| self.models >> bit & 1 != 0);
        let bound: Vec<&str> = bound.map(|(_, name)| *name).collect();
        let gpus = |milli: i64| milli.div_euclid(DEVICE_MILLI);
        let head = format!(
            "{} GPUs short: pods that only {} can hold ask for {} GPUs",
            gpus(self.missing_milli()),
            bound.join(", "),
            gpus(self.demand_milli),
        );
        match &self.reason {
            Reason::Devices { needed, prices } => format!(
                "{head}, whose shares need {needed} devices of {}: {}",
                self.devices,
                groups(prices).join(", "),
            ),
            Reason::Cpu { placeable_milli } => format!(
                "{head}, the cpu of {} devices' machines is enough for {}",
                self.devices,
                gpus(*placeable_milli),
            ),
        }
    }
}

/// Shares that cost the same, the dearest first: `1 of a device for each of 5433 of 810 to 1000 milli`.
fn groups(prices: &[Price]) -> Vec<String> {
    let mut groups: Vec<Vec<Price>> = Vec::new();
    let mut sorted = prices.to_vec();
    sorted.sort_by(|one, other| {
        let sizes = other.gpu_milli.cmp(&one.gpu_milli);
        other.price.total_cmp(&one.price).then(sizes)
    });
    for price in sorted.into_iter().filter(|price| price.price > SAME_PRICE) {
        match groups.last_mut() {
            Some(group)
                if group
                    .last()
                    .is_some_and(|last| (last.price - price.price).abs() < SAME_PRICE) =>
            {
                group.push(price);
            }
            _ => groups.push(vec![price]),
        }
    }
    let words = |group: Vec<Price>| {
        let count: i64 = group.iter().map(|price| price.count).sum();
        let sizes = || group.iter().map(|price| price.gpu_milli);
        let (low, high) = (sizes().min().unwrap_or(0), sizes().max().unwrap_or(0));
        let sizes = if low == high {
            format!("{low}")
        } else {
            format!("{low} to {high}")
        };
        let price = group.first().map_or(0.0, |price| price.price);
        let price = (price * 1000.0).round() / 1000.0;
        format!("{price} of a device for each of {count} of {sizes} milli")
    };
    groups.into_iter().map(words).collect()
}

/// The largest proven shortage, if any.
pub fn prove(nodes: &[Node], asks: &[Ask]) -> Option<Shortage> {
    let all = nodes.iter().fold(0, |all, node| all | node.model);
    let count = (u32::BITS - all.leading_zeros()).min(MODELS_MAX);
    let sets = 1..1_u32 << count;
    let found = sets.flat_map(|models| {
        let (machines, bound) = only_on(nodes, asks, models, all);
        [
            short_of_devices(&machines, &bound, models),
            short_of_cpu(&machines, &bound, models),
        ]
    });
    found
        .filter(|shortage| shortage.missing_milli() > 0)
        .max_by_key(|shortage| {
            let is_devices = matches!(shortage.reason, Reason::Devices { .. });
            let models = std::cmp::Reverse(shortage.models);
            (shortage.missing_milli(), is_devices, models)
        })
}

/// The machines of some models, and the pods that may go nowhere else.
fn only_on<'a>(
    nodes: &'a [Node],
    asks: &'a [Ask],
    models: u32,
    all: u32,
) -> (Vec<&'a Node>, Vec<&'a Ask>) {
    let machines = nodes.iter().filter(|node| node.model & models != 0);
    let only_here = |ask: &&Ask| {
        let allowed = if ask.models == 0 { all } else { ask.models };
        ask.devices > 0 && allowed & !models == 0
    };
    (machines.collect(), asks.iter().filter(only_here).collect())
}

fn shortage(machines: &[&Node], bound: &[&Ask], models: u32, reason: Reason) -> Shortage {
    let devices: usize = machines.iter().map(|node| node.devices.len()).sum();
    Shortage {
        models,
        demand_milli: bound.iter().map(|ask| ask.gpu_total()).sum(),
        devices: i64::try_from(devices).unwrap_or(i64::MAX),
        reason,
    }
}

fn short_of_devices(machines: &[&Node], bound: &[&Ask], models: u32) -> Shortage {
    let mut counts: BTreeMap<i64, i64> = BTreeMap::new();
    for ask in bound {
        let devices = i64::try_from(ask.devices).unwrap_or(i64::MAX);
        let count = counts.entry(ask.gpu_milli).or_default();
        *count = count.saturating_add(devices);
    }
    // What is taken already takes part as shares that are there.
    for free in machines.iter().flat_map(|node| &node.devices) {
        if *free < DEVICE_MILLI {
            *counts.entry(DEVICE_MILLI - free).or_default() += 1;
        }
    }
    let devices::Devices { needed, prices } = devices::needed(&counts);
    shortage(machines, bound, models, Reason::Devices { needed, prices })
}

fn short_of_cpu(machines: &[&Node], bound: &[&Ask], models: u32) -> Shortage {
    let mut bound = bound.to_vec();
    let cpu: i64 = machines.iter().map(|node| node.cpu_milli).sum();
    let free: i64 = machines.iter().map(|node| node.gpu_free()).sum();
    // The most GPU for the cpu first; a fraction of the last pod only raises what can be placed.
    bound.sort_by(|one, other| {
        let ratio = |ask: &Ask| i128::from(ask.gpu_total());
        let cpu = |ask: &Ask| i128::from(ask.cpu_milli);
        (ratio(other) * cpu(one)).cmp(&(ratio(one) * cpu(other)))
    });
    let mut left = cpu;
    let mut placeable = 0;
    for ask in &bound {
        if ask.cpu_milli <= left {
            left -= ask.cpu_milli;
            placeable += ask.gpu_total();
        } else {
            let part = i128::from(ask.gpu_total()) * i128::from(left) / i128::from(ask.cpu_milli);
            placeable += i64::try_from(part).unwrap_or(0) + 1;
            break;
        }
    }
    let placeable_milli = placeable.min(free);
    shortage(machines, &bound, models, Reason::Cpu { placeable_milli })
}
