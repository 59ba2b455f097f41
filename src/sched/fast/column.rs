//! One topology key over all nodes: which value each node has, as small numbers.

use rustc_hash::FxHashMap;

use crate::k8s::Name;
use crate::sched::plugins::pod_topology_spread::HOSTNAME;
use crate::sched::snapshot::Snapshot;

/// What tells places apart.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Key {
    /// The value of a label.
    Label(Name),
    /// The node itself, if it has a hostname label: upstream counts hostnames of wishes there.
    Itself,
}

#[derive(Debug)]
pub struct Column {
    /// By node; `None` where the label is missing.
    pub values: Vec<Option<u32>>,
    pub value_count: usize,
    /// No value belongs to more than one node.
    pub is_unique: bool,
}

impl Column {
    pub fn of(snapshot: &Snapshot, key: &Key) -> Self {
        match key {
            Key::Itself => Self {
                values: (0..)
                    .zip(snapshot.nodes())
                    .map(|(index, node)| node.labels.get(HOSTNAME).map(|_| index))
                    .collect(),
                value_count: snapshot.node_count(),
                is_unique: true,
            },
            Key::Label(key) => Self::of_label(snapshot, key),
        }
    }

    fn of_label(snapshot: &Snapshot, key: &Name) -> Self {
        let mut numbers: FxHashMap<&Name, u32> = FxHashMap::default();
        let mut is_unique = true;
        let mut next = 0;
        let values = snapshot
            .nodes()
            .map(|node| {
                let value = node.labels.get(key)?;
                let number = *numbers.entry(value).or_insert(next);
                if number == next {
                    next += 1;
                } else {
                    is_unique = false;
                }
                Some(number)
            })
            .collect();
        Self {
            values,
            value_count: numbers.len(),
            is_unique,
        }
    }
}
