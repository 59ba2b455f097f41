//! Proofs that a list of pods cannot fit a fleet, and which of them cannot.
//!
//! For every set of models, the pods that may go nowhere else are held against those machines (as in
//! Hall's theorem), and the machines' cpu bounds how much of their GPU can be asked for at once. A
//! proof is a lower bound: a fleet that passes may still be too small.

use super::node::{Ask, DEVICE_MILLI, Node};

/// More models than this are not told apart: the sets of them are all looked at.
const MODELS_MAX: u32 = 16;

/// Pods that are bound to some models and do not fit them.
#[derive(Clone, PartialEq, Debug)]
pub struct Shortage {
    /// The models, one bit each.
    pub models: u32,
    pub demand_milli: i64,
    pub capacity_milli: i64,
    /// What can be placed at most, cpu considered.
    pub placeable_milli: i64,
}

impl Shortage {
    pub fn missing_milli(&self) -> i64 {
        self.demand_milli - self.placeable_milli
    }

    /// What does not fit, in words; `names` are the models by bit.
    pub fn words(&self, names: &[&str]) -> String {
        let bound = (0..)
            .zip(names)
            .filter(|(bit, _)| self.models >> bit & 1 != 0);
        let bound: Vec<&str> = bound.map(|(_, name)| *name).collect();
        let gpus = |milli: i64| milli.div_euclid(DEVICE_MILLI);
        let why = if self.placeable_milli < self.capacity_milli {
            ", and cpu for no more than that"
        } else {
            ""
        };
        format!(
            "{} GPUs short: pods that only {} can hold ask for {} GPUs, of {} there is room for {}{why}",
            gpus(self.missing_milli()),
            bound.join(", "),
            gpus(self.demand_milli),
            gpus(self.capacity_milli),
            gpus(self.placeable_milli),
        )
    }
}

/// The largest proven shortage, if any.
pub fn prove(nodes: &[Node], asks: &[Ask]) -> Option<Shortage> {
    let all = nodes.iter().fold(0, |all, node| all | node.model);
    let count = (u32::BITS - all.leading_zeros()).min(MODELS_MAX);
    let sets = 1..1_u32 << count;
    let found = sets.filter_map(|models| bound(nodes, asks, models, all));
    found
        .filter(|shortage| shortage.missing_milli() > 0)
        .max_by_key(|shortage| (shortage.missing_milli(), std::cmp::Reverse(shortage.models)))
}

fn bound(nodes: &[Node], asks: &[Ask], models: u32, all: u32) -> Option<Shortage> {
    let machines: Vec<&Node> = nodes
        .iter()
        .filter(|node| node.model & models != 0)
        .collect();
    let only_here = |ask: &&Ask| {
        let allowed = if ask.models == 0 { all } else { ask.models };
        ask.devices > 0 && allowed & !models == 0
    };
    let mut bound: Vec<&Ask> = asks.iter().filter(only_here).collect();
    if bound.is_empty() {
        return None;
    }
    let cpu: i64 = machines.iter().map(|node| node.cpu_milli).sum();
    let capacity: i64 = machines.iter().map(|node| node.gpu_free()).sum();
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
    let demand: i64 = bound.iter().map(|ask| ask.gpu_total()).sum();
    Some(Shortage {
        models,
        demand_milli: demand,
        capacity_milli: capacity,
        placeable_milli: placeable.min(capacity).min(demand),
    })
}
