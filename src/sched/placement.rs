//! What-if questions on a snapshot: nodes gone, pods placed, how many more would fit.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::fast::{Fast, Fate, Preempting};
use super::framework::Subject;
use super::node_info::PodEntry;
use super::snapshot::{NodeId, Snapshot};
use crate::k8s::{Name, Object, ObjectKey};

/// How a placement goes about it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct PlaceOptions {
    /// Breaks ties between equally good nodes.
    pub seed: u64,
    pub order: PlaceOrder,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum PlaceOrder {
    /// As the scheduler's queue would: by priority, then as given.
    #[default]
    Priority,
    AsGiven,
}

impl Default for PlaceOptions {
    fn default() -> Self {
        Self {
            seed: 0,
            order: PlaceOrder::Priority,
        }
    }
}

/// What became of the pods.
#[derive(Clone, Debug)]
pub struct Placement {
    pub placed: Vec<(ObjectKey, Name)>,
    pub refused: Vec<Refused>,
    /// The cluster with the placed pods in place.
    pub after: Snapshot,
}

#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Refused {
    pub pod: ObjectKey,
    /// kube-scheduler's text, preemption aside.
    pub message: String,
}

/// How many more pods of a template fit.
#[derive(Clone, Debug)]
pub struct Room {
    pub count: usize,
    /// By node, for nodes that take any.
    pub nodes: BTreeMap<Name, usize>,
    /// Why the next one does not fit; `None` when the limit was reached first.
    pub full: Option<String>,
}

impl Placement {
    /// Pods that cannot be read are refused.
    fn read_all(&mut self, pods: &[Arc<Object>]) -> Vec<Subject> {
        self.refused.clear();
        let mut subjects = Vec::with_capacity(pods.len());
        for pod in pods {
            match self.after.fresh_subject(pod) {
                Ok(subject) => subjects.push(subject),
                Err(error) => self.refused.push(Refused {
                    pod: pod.key.clone(),
                    message: error.to_string(),
                }),
            }
        }
        subjects
    }
}

impl Snapshot {
    /// The cluster without these nodes, and the pods that ran on them.
    pub fn without_nodes(&self, names: &[Name]) -> (Self, Vec<Arc<Object>>) {
        let mut after = self.clone();
        let mut displaced = Vec::new();
        for name in names {
            let pods = after.remove_node(name);
            displaced.extend(pods.into_iter().map(|entry| entry.object));
        }
        (after, displaced)
    }

    /// The cluster without these pods.
    pub fn without_pods<'a>(&self, pods: impl IntoIterator<Item = &'a Arc<Object>>) -> Self {
        let mut after = self.clone();
        for pod in pods {
            let node = pod.pod().and_then(|columns| columns.node.as_ref());
            if let Some(id) = node.and_then(|node| after.node_id(node)) {
                after.forget(&pod.key, id);
            }
        }
        after
    }

    /// Places the pods one after the other as if they were created anew, without preemption.
    pub fn place(&self, pods: &[Arc<Object>], options: PlaceOptions) -> Placement {
        self.place_until(pods, options, usize::MAX)
    }

    /// Whether at most `pending_max` of the pods find no place; known as soon as one more finds none.
    pub fn fits(&self, pods: &[Arc<Object>], options: PlaceOptions, pending_max: usize) -> bool {
        let placement = self.place_until(pods, options, pending_max);
        placement.refused.len() <= pending_max
    }

    /// Places pods until more than `refused_max` were refused.
    fn place_until(
        &self,
        pods: &[Arc<Object>],
        options: PlaceOptions,
        refused_max: usize,
    ) -> Placement {
        let mut placement = Placement {
            placed: Vec::with_capacity(pods.len()),
            refused: Vec::new(),
            after: self.clone(),
        };
        let mut fast = Fast::default();
        let labels = placement.after.generations().labels;
        let mut subjects = placement.read_all(pods);
        if placement.after.generations().labels != labels {
            // A selector of one of them reads labels that others were read without.
            subjects = placement.read_all(pods);
        }
        if options.order == PlaceOrder::Priority {
            subjects.sort_by_key(|subject| std::cmp::Reverse(subject.priority()));
        }
        for subject in subjects {
            if placement.refused.len() > refused_max {
                break;
            }
            match placement.after.place_one(&mut fast, &subject, options.seed) {
                Ok(node) => placement
                    .placed
                    .push((subject.object.key.clone(), placement.after.node_name(node))),
                Err(message) => placement.refused.push(Refused {
                    pod: subject.object.key.clone(),
                    message,
                }),
            }
        }
        placement
    }

    /// Puts one pod where the scheduler would, or says why it cannot.
    fn place_one(
        &mut self,
        fast: &mut Fast,
        subject: &Subject,
        seed: u64,
    ) -> Result<NodeId, String> {
        match fast.decide(self, subject, seed, Preempting::No) {
            Fate::Node(node) => {
                self.seat(subject, node);
                Ok(node)
            }
            Fate::Refused(refused) => Err(refused.fit_message),
        }
    }

    /// How many more pods like this one fit, up to `limit`, and where they would go.
    pub fn room_for(&self, pod: &Arc<Object>, limit: usize) -> Room {
        let mut room = Room {
            count: 0,
            nodes: BTreeMap::new(),
            full: None,
        };
        let mut after = self.clone();
        let mut fast = Fast::default();
        let mut subject = match after.fresh_subject(pod) {
            Ok(subject) => subject,
            Err(error) => {
                room.full = Some(error.to_string());
                return room;
            }
        };
        while room.count < limit {
            let mut copy = Object::clone(pod);
            copy.key.name = Name::from(format!("{}+{}", pod.name(), room.count + 1));
            subject.object = Arc::new(copy);
            match after.place_one(&mut fast, &subject, 0) {
                Ok(node) => {
                    *room.nodes.entry(after.node_name(node)).or_default() += 1;
                    room.count += 1;
                }
                Err(message) => {
                    room.full = Some(message);
                    break;
                }
            }
        }
        room
    }

    /// The pods of a node as they are known here.
    pub fn pods_on(&self, node: &str) -> impl Iterator<Item = &PodEntry> {
        self.node_id(node)
            .and_then(|id| self.node(id))
            .into_iter()
            .flat_map(|node| &node.pods)
    }
}

/// One of equally good nodes. The same seed and set give the same node.
pub fn pick(best: &[NodeId], seed: u64) -> Option<NodeId> {
    let count = best.len() as u64;
    let index = seed.checked_rem(count)?;
    usize::try_from(index)
        .ok()
        .and_then(|index| best.get(index))
        .copied()
}
