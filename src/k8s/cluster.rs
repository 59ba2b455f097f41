//! All objects of a cluster as one immutable value.
//!
//! The store publishes one after every commit, the console's cache builds one from watches, a
//! rehearsal starts from a clone: the maps are persistent, so a clone costs a few pointer copies
//! and a change costs the path to one entry. Readers never lock.

use std::sync::Arc;

use imbl::ordmap::DiffItem;
use imbl::{OrdMap, OrdSet};

use super::key::{Name, ObjectKey, Resource, Revision, Uid};
use super::object::{Labels, Object};
use super::resources;
use super::selector::LabelSelector;

/// Every object, by resource type, namespace and name, with the indexes that controllers and the
/// scheduler need.
#[derive(Clone, Debug, Default)]
pub struct Cluster {
    tables: OrdMap<Resource, Table>,
    owned: OrdMap<Uid, OrdSet<ObjectKey>>,
    on_node: OrdMap<Name, OrdSet<ScopedName>>,
    uncontrolled_pods: OrdSet<ScopedName>,
    /// Pods' names by namespace and labels: those of one template have one entry.
    labelled_pods: OrdMap<(Name, Labels), OrdSet<Name>>,
    revision: Revision,
}

/// Namespace, name.
type ScopedName = (Name, Name);
type Table = OrdMap<ScopedName, Arc<Object>>;

/// One step in the life of an object.
#[derive(Clone, Debug)]
pub struct Change {
    pub kind: ChangeKind,
    /// The object after the change; for a deletion its last state.
    pub object: Arc<Object>,
    /// The object before the change, if it was there.
    pub previous: Option<Arc<Object>>,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ChangeKind {
    Added,
    Modified,
    Deleted,
}

impl Cluster {
    /// The revision of the last change that is in this value.
    pub fn revision(&self) -> Revision {
        self.revision
    }

    pub fn set_revision(&mut self, revision: Revision) {
        self.revision = revision;
    }

    pub fn get(&self, key: &ObjectKey) -> Option<&Arc<Object>> {
        self.tables
            .get(&key.resource)?
            .get(&(key.namespace.clone(), key.name.clone()))
    }

    pub fn find(&self, resource: &Resource, namespace: &str, name: &str) -> Option<&Arc<Object>> {
        self.tables
            .get(resource)?
            .get(&(Name::new(namespace), Name::new(name)))
    }

    /// All objects of a resource type in the order of namespace and name.
    pub fn list<'a>(
        &'a self,
        resource: &Resource,
    ) -> impl Iterator<Item = &'a Arc<Object>> + use<'a> {
        self.tables
            .get(resource)
            .into_iter()
            .flat_map(|table| table.values())
    }

    /// The same within one namespace.
    pub fn list_in<'a>(
        &'a self,
        resource: &Resource,
        namespace: &'a str,
    ) -> impl Iterator<Item = &'a Arc<Object>> + use<'a> {
        let from = (Name::new(namespace), Name::default());
        self.tables
            .get(resource)
            .into_iter()
            .flat_map(move |table| {
                table
                    .range(from.clone()..)
                    .take_while(move |((space, _), _)| space == namespace)
                    .map(|(_, object)| object)
            })
    }

    /// Objects after `(namespace, name)` in list order, for paging.
    pub fn list_after<'a>(
        &'a self,
        resource: &Resource,
        after: &ScopedName,
    ) -> impl Iterator<Item = &'a Arc<Object>> + use<'a> {
        use std::ops::Bound;
        let from = after.clone();
        self.tables
            .get(resource)
            .into_iter()
            .flat_map(move |table| {
                table
                    .range((Bound::Excluded(from.clone()), Bound::Unbounded))
                    .map(|(_, object)| object)
            })
    }

    pub fn count(&self, resource: &Resource) -> usize {
        self.tables.get(resource).map_or(0, OrdMap::len)
    }

    /// The resource types that have had objects.
    pub fn resources(&self) -> impl Iterator<Item = &Resource> {
        self.tables.keys()
    }

    pub fn nodes(&self) -> impl Iterator<Item = &Arc<Object>> {
        self.list(&resources::NODES)
    }

    pub fn pods(&self) -> impl Iterator<Item = &Arc<Object>> {
        self.list(&resources::PODS)
    }

    /// Everything with an owner reference to `uid`.
    pub fn owned_by<'a>(&'a self, uid: &Uid) -> impl Iterator<Item = &'a Arc<Object>> + use<'a> {
        self.owned
            .get(uid)
            .into_iter()
            .flatten()
            .filter_map(|key| self.get(key))
    }

    /// Pods whose `spec.nodeName` is `node`, finished ones included.
    pub fn pods_on<'a>(&'a self, node: &str) -> impl Iterator<Item = &'a Arc<Object>> + use<'a> {
        let table = self.tables.get(&resources::PODS);
        self.on_node
            .get(&Name::new(node))
            .into_iter()
            .flatten()
            .filter_map(move |scoped| table?.get(scoped))
    }

    /// Pods of a namespace that no controller owns: bare ones, and those waiting for adoption.
    pub fn uncontrolled_pods<'a>(
        &'a self,
        namespace: &'a str,
    ) -> impl Iterator<Item = &'a Arc<Object>> + use<'a> {
        let table = self.tables.get(&resources::PODS);
        let from = (Name::new(namespace), Name::default());
        self.uncontrolled_pods
            .range(from..)
            .take_while(move |(space, _)| space == namespace)
            .filter_map(move |scoped| table?.get(scoped))
    }

    /// Pods of a namespace that a selector matches, by name. Costs a look at every template of the
    /// namespace, not at every pod.
    pub fn pods_selected<'a>(
        &'a self,
        namespace: &'a str,
        selector: &LabelSelector,
    ) -> Vec<&'a Arc<Object>> {
        let Some(table) = self.tables.get(&resources::PODS) else {
            return Vec::new();
        };
        let from = (Name::new(namespace), Labels::default());
        let alike = self
            .labelled_pods
            .range(from..)
            .take_while(|((space, _), _)| space == namespace)
            .filter(|((_, labels), _)| selector.matches(labels));
        let mut scoped = (Name::new(namespace), Name::default());
        let mut pods: Vec<&Arc<Object>> = Vec::new();
        for (_, names) in alike {
            for name in names {
                scoped.1.clone_from(name);
                pods.extend(table.get(&scoped));
            }
        }
        pods.sort_unstable_by(|left, right| left.key.name.cmp(&right.key.name));
        pods
    }

    /// The objects of these types alone, without indexes.
    pub fn only(&self, resources: &[Resource]) -> Self {
        let tables = resources.iter().filter_map(|resource| {
            let table = self.tables.get(resource)?;
            Some((resource.clone(), table.clone()))
        });
        Self {
            tables: tables.collect(),
            revision: self.revision,
            ..Self::default()
        }
    }

    /// What leads from an earlier value to this one, each object once. What the two have in common
    /// is not looked at, so that it costs what changed.
    pub fn changes_since(&self, before: &Self) -> Vec<Change> {
        let (none, mut changes) = (Table::default(), Vec::new());
        let gone = before.tables.keys();
        let gone = gone.filter(|resource| !self.tables.contains_key(*resource));
        for resource in self.tables.keys().chain(gone) {
            let earlier = before.tables.get(resource).unwrap_or(&none);
            let now = self.tables.get(resource).unwrap_or(&none);
            changes.extend(earlier.diff(now).map(|item| match item {
                DiffItem::Add(_, object) => Change {
                    kind: ChangeKind::Added,
                    object: Arc::clone(object),
                    previous: None,
                },
                DiffItem::Update {
                    old: (_, previous),
                    new: (_, object),
                } => Change {
                    kind: ChangeKind::Modified,
                    object: Arc::clone(object),
                    previous: Some(Arc::clone(previous)),
                },
                DiffItem::Remove(_, object) => Change {
                    kind: ChangeKind::Deleted,
                    object: Arc::clone(object),
                    previous: Some(Arc::clone(object)),
                },
            }));
        }
        changes
    }

    /// Adds or replaces an object and returns what was there. The revision rises with the object's.
    pub fn insert(&mut self, object: &Arc<Object>) -> Option<Arc<Object>> {
        let scoped = (object.key.namespace.clone(), object.key.name.clone());
        self.revision = self.revision.max(object.revision);
        let table = self.tables.entry(object.key.resource.clone()).or_default();
        let previous = table.insert(scoped, Arc::clone(object));
        if let Some(previous) = &previous {
            if is_indexed_alike(previous, object) {
                return Some(Arc::clone(previous));
            }
            self.unindex(previous);
        }
        self.index(object);
        previous
    }

    /// Removes an object and returns it. The revision is the caller's to raise.
    pub fn remove(&mut self, key: &ObjectKey) -> Option<Arc<Object>> {
        let scoped = (key.namespace.clone(), key.name.clone());
        let removed = self.tables.get_mut(&key.resource)?.remove(&scoped)?;
        self.unindex(&removed);
        Some(removed)
    }

    /// Drops all objects of a resource type (a re-list begins).
    pub fn clear(&mut self, resource: &Resource) {
        let keys: Vec<ObjectKey> = self
            .list(resource)
            .map(|object| object.key.clone())
            .collect();
        for key in keys {
            self.remove(&key);
        }
    }

    fn index(&mut self, object: &Object) {
        for owner in &object.owners {
            self.owned
                .entry(owner.uid.clone())
                .or_default()
                .insert(object.key.clone());
        }
        let Some(pod) = object.pod() else {
            return;
        };
        let scoped = (object.key.namespace.clone(), object.key.name.clone());
        let alike = (object.key.namespace.clone(), object.labels.clone());
        let names = self.labelled_pods.entry(alike).or_default();
        names.insert(object.key.name.clone());
        if let Some(node) = &pod.node {
            let pods = self.on_node.entry(node.clone()).or_default();
            pods.insert(scoped.clone());
        }
        if object.controller().is_none() {
            self.uncontrolled_pods.insert(scoped);
        }
    }

    fn unindex(&mut self, object: &Object) {
        for owner in &object.owners {
            take_out(&mut self.owned, &owner.uid, &object.key);
        }
        let Some(pod) = object.pod() else {
            return;
        };
        let scoped = (object.key.namespace.clone(), object.key.name.clone());
        let alike = (object.key.namespace.clone(), object.labels.clone());
        take_out(&mut self.labelled_pods, &alike, &object.key.name);
        if let Some(node) = &pod.node {
            take_out(&mut self.on_node, node, &scoped);
        }
        self.uncontrolled_pods.remove(&scoped);
    }
}

/// Whether the indexes have the same to say of two states of an object.
fn is_indexed_alike(before: &Object, after: &Object) -> bool {
    let node = |object: &Object| object.pod().map(|pod| pod.node.clone());
    before.owners == after.owners
        && (before.pod().is_none() || before.labels == after.labels)
        && node(before) == node(after)
}

/// Removes a member, and with the last one its entry.
fn take_out<Key, Member>(index: &mut OrdMap<Key, OrdSet<Member>>, key: &Key, member: &Member)
where
    Key: Ord + Clone,
    Member: Ord + Clone,
{
    if let Some(members) = index.get_mut(key) {
        members.remove(member);
        if members.is_empty() {
            index.remove(key);
        }
    }
}

#[cfg(test)]
mod tests;
