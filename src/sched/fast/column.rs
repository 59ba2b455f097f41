//! One topology key over all nodes: which value each node has, as small numbers.
//!
//! Numbers are given out once and never change their meaning, so that an index may keep its own copy
//! of the nodes' numbers and follow changes at its own pace.

use rustc_hash::FxHashMap;

use crate::k8s::Name;
use crate::sched::node_info::NodeInfo;
use crate::sched::plugins::pod_topology_spread::HOSTNAME;
use crate::sched::snapshot::{NodeId, Snapshot};

/// What tells places apart.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Key {
    /// The value of a label.
    Label(Name),
    /// The node itself, if it has a hostname label: upstream counts hostnames of wishes there.
    Itself,
}

/// The number of a missing label.
pub const NO_VALUE: u32 = u32::MAX;

#[derive(Debug, Default)]
pub struct Column {
    /// By node; [`NO_VALUE`] where the label is missing.
    pub values: Vec<u32>,
    numbers: FxHashMap<Name, u32>,
    /// How many nodes have each value.
    holders: Vec<u32>,
    /// Values that more than one node has.
    shared: usize,
}

impl Column {
    pub fn of(snapshot: &Snapshot, key: &Key) -> Self {
        let mut column = Self::default();
        for (id, node) in snapshot.numbered_nodes() {
            column.set(key, id, Some(node));
        }
        column
    }

    /// Takes in what the node's label is now; `None`: the node is gone.
    pub fn set(&mut self, key: &Key, id: NodeId, node: Option<&NodeInfo>) {
        let value = node.map_or(NO_VALUE, |node| self.number(key, id, node));
        if self.values.len() <= id.index() {
            self.values.resize(id.index() + 1, NO_VALUE);
        }
        let Some(place) = self.values.get_mut(id.index()) else {
            return;
        };
        let before = std::mem::replace(place, value);
        if before == value {
            return;
        }
        if let Some(count) = self.holders.get_mut(before as usize) {
            *count -= 1;
            self.shared -= usize::from(*count == 1);
        }
        if value == NO_VALUE {
            return;
        }
        if self.holders.len() <= value as usize {
            self.holders.resize(value as usize + 1, 0);
        }
        if let Some(count) = self.holders.get_mut(value as usize) {
            *count += 1;
            self.shared += usize::from(*count == 2);
        }
    }

    fn number(&mut self, key: &Key, id: NodeId, node: &NodeInfo) -> u32 {
        match key {
            Key::Itself if node.labels.get(HOSTNAME).is_some() => id.0,
            Key::Itself => NO_VALUE,
            Key::Label(key) => node.labels.get(key).map_or(NO_VALUE, |value| {
                let next = u32::try_from(self.numbers.len()).unwrap_or(NO_VALUE);
                *self.numbers.entry(value.clone()).or_insert(next)
            }),
        }
    }

    /// No value belongs to more than one node.
    pub fn is_unique(&self) -> bool {
        self.shared == 0
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::k8s::{Object, resources};

    #[test]
    fn numbers_keep_their_meaning_while_labels_change() {
        let key = Key::Label("zone".into());
        let node = |zone: &str| {
            let json = json!({"metadata": {"name": "n", "labels": {"zone": zone}}});
            NodeInfo::of(&Object::from_json(resources::NODES, &json).unwrap())
        };
        let mut column = Column::default();
        column.set(&key, NodeId(0), Some(&node("a")));
        column.set(&key, NodeId(1), Some(&node("b")));
        assert!(column.is_unique());
        column.set(&key, NodeId(0), Some(&node("b")));
        assert!(!column.is_unique());
        assert_eq!(column.values, [1, 1]);
        column.set(&key, NodeId(1), Some(&node("a")));
        assert!(column.is_unique());
        assert_eq!(column.values, [1, 0]);
    }
}
