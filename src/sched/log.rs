//! What changed in a snapshot since somebody last looked.
//!
//! Bounded: a reader that fell too far behind starts anew. A cloned snapshot starts with an empty
//! log at the same position.

use std::collections::VecDeque;

use super::snapshot::NodeId;
use super::template::TemplateId;

/// Readers further behind than this rebuild faster than they catch up.
const LENGTH_MAX: usize = 1 << 15;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Event {
    /// A pod came to (+1) or left (-1) a node.
    Pod {
        node: NodeId,
        template: TemplateId,
        delta: i8,
        /// The pod is not terminating.
        live: bool,
    },
    /// The node offers more or less than before.
    Node(NodeId),
    /// A node came, went, or has other labels, taints or another cordon. Its pods are taken off
    /// before, at the old place, and put back after, at the new one.
    Place(NodeId),
}

impl Event {
    pub fn node(self) -> NodeId {
        match self {
            Self::Pod { node, .. } | Self::Node(node) | Self::Place(node) => node,
        }
    }
}

#[derive(Debug, Default)]
pub struct Log {
    end: u64,
    events: VecDeque<Event>,
}

impl Clone for Log {
    fn clone(&self) -> Self {
        Self {
            end: self.end,
            events: VecDeque::new(),
        }
    }
}

impl Log {
    pub fn push(&mut self, event: Event) {
        if self.events.len() == LENGTH_MAX {
            self.events.pop_front();
        }
        self.events.push_back(event);
        self.end += 1;
    }

    /// The position after the last event.
    pub fn end(&self) -> u64 {
        self.end
    }

    /// Events from a position on; `None` if some of them are gone.
    pub fn since(&self, position: u64) -> Option<impl Iterator<Item = Event> + '_> {
        let behind = usize::try_from(self.end.checked_sub(position)?).ok()?;
        let skipped = self.events.len().checked_sub(behind)?;
        Some(self.events.range(skipped..).copied())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reader_too_far_behind_is_told() {
        let mut log = Log::default();
        for node in 0..3 {
            log.push(Event::Node(NodeId(node)));
        }
        assert_eq!(log.since(1).unwrap().count(), 2);
        assert_eq!(log.since(3).unwrap().count(), 0);
        let clone = log.clone();
        assert!(clone.since(1).is_none());
        assert_eq!(clone.since(3).unwrap().count(), 0);
        for node in 0..40_000 {
            log.push(Event::Node(NodeId(node)));
        }
        assert!(log.since(3).is_none());
    }
}
