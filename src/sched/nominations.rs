//! Pending pods that preemption made room for, by node and by pod.

use std::collections::BTreeMap;
use std::sync::Arc;

use rustc_hash::FxHashMap;

use super::node_info::PodEntry;
use super::template::{Template, TemplateId};
use crate::k8s::{Name, ObjectKey};

#[derive(Clone, Debug, Default)]
pub struct Nominations {
    by_node: FxHashMap<Name, Vec<PodEntry>>,
    /// Namespace and name to node.
    nodes: FxHashMap<(Name, Name), Name>,
    /// How many nominated pods each template has.
    templates: BTreeMap<TemplateId, (usize, Arc<Template>)>,
}

fn scoped(pod: &ObjectKey) -> (Name, Name) {
    (pod.namespace.clone(), pod.name.clone())
}

impl Nominations {
    pub fn is_empty(&self) -> bool {
        self.nodes.is_empty()
    }

    pub fn on(&self, node: &Name) -> &[PodEntry] {
        self.by_node.get(node).map_or(&[], Vec::as_slice)
    }

    /// All nominated pods with their nodes, in the order of the nodes' names.
    pub fn all(&self) -> impl Iterator<Item = (&Name, &PodEntry)> {
        let mut nodes: Vec<&Name> = self.by_node.keys().collect();
        nodes.sort_unstable();
        nodes
            .into_iter()
            .flat_map(|node| self.on(node).iter().map(move |entry| (node, entry)))
    }

    pub fn node_of(&self, pod: &ObjectKey) -> Option<&Name> {
        self.nodes.get(&scoped(pod))
    }

    /// The templates of nominated pods.
    pub fn templates(&self) -> impl Iterator<Item = (TemplateId, &Template)> {
        self.templates
            .iter()
            .map(|(id, (_, template))| (*id, &**template))
    }

    /// The pod must not be nominated already.
    pub fn insert(&mut self, entry: PodEntry, node: &Name) {
        self.nodes.insert(scoped(entry.key()), node.clone());
        let template = Arc::clone(&entry.template);
        self.templates.entry(entry.id).or_insert((0, template)).0 += 1;
        self.by_node.entry(node.clone()).or_default().push(entry);
    }

    /// Returns the node that the pod was nominated to.
    pub fn remove(&mut self, pod: &ObjectKey) -> Option<Name> {
        let node = self.nodes.remove(&scoped(pod))?;
        let entries = self.by_node.get_mut(&node)?;
        let place = entries.iter().position(|entry| entry.key() == pod)?;
        let entry = entries.remove(place);
        if entries.is_empty() {
            self.by_node.remove(&node);
        }
        if let Some((count, _)) = self.templates.get_mut(&entry.id) {
            *count -= 1;
            if *count == 0 {
                self.templates.remove(&entry.id);
            }
        }
        Some(node)
    }
}
