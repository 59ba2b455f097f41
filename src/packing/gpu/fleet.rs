//! Places pod after pod by one policy; scores of unchanged nodes are kept.

use rustc_hash::FxHashMap;

use super::mix::Mix;
use super::node::{Ask, Node};
use super::policy::{Place, Policy, random_devices};
use crate::stdx::rng::Stream;

/// Nodes under one policy. Among equal scores the first node wins.
#[derive(Debug)]
pub struct Fleet {
    policy: Policy,
    mix: Mix,
    nodes: Vec<Node>,
    /// By node; rises with every change.
    versions: Vec<u32>,
    /// By pod class: each node's score and the version that it was computed for.
    kept: FxHashMap<Ask, Vec<(u32, Option<f64>)>>,
}

impl Fleet {
    pub fn new(policy: Policy, mix: Mix, nodes: Vec<Node>) -> Self {
        Self {
            policy,
            mix,
            versions: vec![1; nodes.len()],
            nodes,
            kept: FxHashMap::default(),
        }
    }

    pub fn nodes(&self) -> &[Node] {
        &self.nodes
    }

    /// Puts the pod on the best node that it fits; its number and the devices taken.
    pub fn place(&mut self, ask: &Ask, random: &mut Stream) -> Option<(usize, Vec<usize>)> {
        let scores = self
            .kept
            .entry(ask.clone())
            .or_insert_with(|| vec![(0, None); self.nodes.len()]);
        let current = self.nodes.iter().zip(&self.versions);
        for ((node, version), kept) in current.zip(scores.iter_mut()) {
            if kept.0 != *version {
                let place = self.policy.place(&self.mix, node, ask);
                *kept = (*version, place.map(|place| place.score));
            }
        }
        let number = if self.policy == Policy::Random {
            let feasible = scores.iter().enumerate();
            let feasible: Vec<usize> = feasible
                .filter(|(_, (_, score))| score.is_some())
                .map(|(number, _)| number)
                .collect();
            *random.pick(&feasible)?
        } else {
            first_best(scores)?
        };
        let node = self.nodes.get_mut(number)?;
        let devices = if self.policy == Policy::Random {
            random_devices(node, ask, random)?
        } else {
            let Place { devices, .. } = self.policy.place(&self.mix, node, ask)?;
            devices
        };
        node.take(ask, &devices);
        if let Some(version) = self.versions.get_mut(number) {
            *version += 1;
        }
        Some((number, devices))
    }
}

fn first_best(scores: &[(u32, Option<f64>)]) -> Option<usize> {
    let mut best: Option<(usize, f64)> = None;
    for (number, (_, score)) in scores.iter().enumerate() {
        if let Some(score) = score
            && best.is_none_or(|(_, best)| *score > best)
        {
            best = Some((number, *score));
        }
    }
    best.map(|(number, _)| number)
}
