//! Versioned objects: commit, snapshot, watch log. One totally ordered revision counter, optimistic
//! concurrency.
//!
//! Synchronous and in memory; durability is the journal port behind the plane
//! ([`Store::take_journal`], [`Store::restore`]). It never validates, defaults or converts: that is
//! the API server's part, and only the API server writes here.
//!
//! A [`Snapshot`] is what readers get: the cluster value and the recent changes of every resource
//! type, all in persistent structures, so that taking one costs a few pointer copies.

mod log;

use std::sync::Arc;

use bytes::Bytes;
use imbl::OrdMap;
use rustc_hash::FxHashMap;
use serde_json::Value;

use crate::k8s::{Change, ChangeKind, Cluster, Object, ObjectError, ObjectKey, Resource, Revision};
use log::Log;

/// All objects, their recent history, and what is not yet durable.
///
/// A clone is a fork: it shares everything until one of the two is written to.
#[derive(Clone, Debug, Default)]
pub struct Store {
    published: Snapshot,
    journal: Vec<Change>,
}

/// An immutable view: the cluster at one revision and the changes that led there.
#[derive(Clone, Debug, Default)]
pub struct Snapshot {
    pub cluster: Cluster,
    logs: OrdMap<Resource, Log>,
    /// Changes up to here are not in the logs: the state was restored, or is new.
    floor: Revision,
}

/// What a durable log still knows of the past.
#[derive(Clone, Debug)]
pub struct History {
    /// Every change after `since`, oldest first: what happened, and the object's state after it (of
    /// a deleted one the last, with the revision of its deletion).
    pub records: Vec<(ChangeKind, Arc<Object>)>,
    pub since: Revision,
    /// Resource types whose changes are never among them.
    pub volatile: Vec<Resource>,
}

/// One write to one object.
#[derive(Clone, Debug)]
pub enum Write {
    /// Creates or replaces. `metadata.resourceVersion` is overwritten.
    Put {
        resource: Resource,
        object: Value,
        expect: Expect,
    },
    Delete {
        key: ObjectKey,
        expect: Expect,
    },
}

/// What must be there for a write to happen.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Expect {
    Absent,
    Revision(Revision),
    Present,
    Anything,
}

/// Why a write did not happen.
#[derive(Debug, thiserror::Error)]
pub enum CommitError {
    #[error("`{0}` exists already")]
    Exists(ObjectKey),
    #[error("`{0}` does not exist")]
    Missing(ObjectKey),
    #[error("`{key}` is at revision {found}, not {expected}")]
    Conflict {
        key: ObjectKey,
        expected: Revision,
        found: Revision,
    },
    #[error("object cannot be stored")]
    Malformed(#[from] ObjectError),
}

/// The asked-for revision is older than the log reaches: the reader must list again.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("too old resource version: {asked} ({oldest})")]
pub struct Expired {
    pub asked: Revision,
    /// The oldest revision that changes can be asked after.
    pub oldest: Revision,
}

impl Store {
    /// A store that continues a durable one: `revision` is at least the highest ever handed out.
    pub fn restore(objects: impl IntoIterator<Item = Arc<Object>>, revision: Revision) -> Self {
        let mut cluster = Cluster::default();
        for object in objects {
            cluster.insert(&object);
        }
        cluster.set_revision(cluster.revision().max(revision));
        Self::of(cluster)
    }

    /// A store that begins with a cluster, at its revision.
    pub fn of(cluster: Cluster) -> Self {
        Self {
            published: Snapshot::of(cluster),
            journal: Vec::new(),
        }
    }

    /// The same with the history that led there, so that watchers of the store's last life resume
    /// where they were.
    pub fn resume(
        objects: impl IntoIterator<Item = Arc<Object>>,
        revision: Revision,
        history: History,
    ) -> Self {
        let mut store = Self::restore(objects, revision);
        let published = &mut store.published;
        for resource in history.volatile {
            let log = Log::starting_at(published.floor);
            published.logs.insert(resource, log);
        }
        published.floor = history.since;
        let mut states: FxHashMap<ObjectKey, Arc<Object>> = FxHashMap::default();
        for (kind, object) in history.records {
            let known = states.remove(&object.key);
            // A deleted object's last state says the same as the one before, but for its revision.
            let previous = match kind {
                ChangeKind::Deleted => known.or_else(|| Some(Arc::clone(&object))),
                ChangeKind::Added | ChangeKind::Modified => known,
            };
            if kind != ChangeKind::Deleted {
                states.insert(object.key.clone(), Arc::clone(&object));
            }
            let resource = object.key.resource.clone();
            let log = published.logs.entry(resource);
            if kind == ChangeKind::Modified && previous.is_none() {
                // Nobody knows whether the state before it matched a watcher's selector.
                let log = log.or_insert_with(|| Log::starting_at(object.revision));
                *log = Log::starting_at(object.revision);
                continue;
            }
            let log = log.or_insert_with(|| Log::starting_at(history.since));
            log.push(Change {
                kind,
                object,
                previous,
            });
        }
        store
    }

    pub fn cluster(&self) -> &Cluster {
        &self.published.cluster
    }

    pub fn revision(&self) -> Revision {
        self.published.cluster.revision()
    }

    /// What readers see from now on; later commits do not touch it.
    pub fn snapshot(&self) -> Snapshot {
        self.published.clone()
    }

    /// The snapshot in place, for reads inside the owner.
    pub fn view(&self) -> &Snapshot {
        &self.published
    }

    /// Takes the next revision, writes it into the object and makes the write visible.
    pub fn commit(&mut self, write: Write) -> Result<Change, CommitError> {
        let change = match write {
            Write::Put {
                resource,
                object,
                expect,
            } => self.put(resource, object, expect)?,
            Write::Delete { key, expect } => self.delete(&key, expect)?,
        };
        self.published
            .logs
            .entry(change.object.key.resource.clone())
            .or_insert_with(|| Log::starting_at(self.published.floor))
            .push(change.clone());
        self.journal.push(change.clone());
        Ok(change)
    }

    /// What must become durable since the last call, in the order of commits.
    pub fn take_journal(&mut self) -> Vec<Change> {
        std::mem::take(&mut self.journal)
    }

    fn put(
        &mut self,
        resource: Resource,
        mut object: Value,
        expect: Expect,
    ) -> Result<Change, CommitError> {
        let revision = self.revision().next();
        stamp(&mut object, revision);
        let object = Object::from_json(resource, &object)?;
        let previous = self.published.cluster.get(&object.key).cloned();
        check(&object.key, previous.as_deref(), expect)?;
        let object = Arc::new(object);
        assert!(
            object.revision == revision,
            "a stored object carries the revision of its write, not {}",
            object.revision
        );
        self.published.cluster.insert(&object);
        Ok(Change {
            kind: if previous.is_some() {
                ChangeKind::Modified
            } else {
                ChangeKind::Added
            },
            object,
            previous,
        })
    }

    /// The deleted object's last state carries the revision of the deletion, as watchers of
    /// Kubernetes see it.
    fn delete(&mut self, key: &ObjectKey, expect: Expect) -> Result<Change, CommitError> {
        let previous = self.published.cluster.get(key).cloned();
        check(key, previous.as_deref(), expect)?;
        let Some(previous) = previous else {
            return Err(CommitError::Missing(key.clone()));
        };
        let revision = self.revision().next();
        let mut last = previous.json();
        stamp(&mut last, revision);
        let last = Arc::new(Object::from_json(key.resource.clone(), &last)?);
        self.published.cluster.remove(key);
        self.published.cluster.set_revision(revision);
        Ok(Change {
            kind: ChangeKind::Deleted,
            object: last,
            previous: Some(previous),
        })
    }
}

impl Snapshot {
    /// A view without history, of a cluster that some other source keeps.
    pub fn of(cluster: Cluster) -> Self {
        let floor = cluster.revision();
        Self {
            cluster,
            logs: OrdMap::new(),
            floor,
        }
    }

    pub fn revision(&self) -> Revision {
        self.cluster.revision()
    }

    /// The changes of one resource type after `revision`, oldest first.
    pub fn changes_after<'a>(
        &'a self,
        resource: &Resource,
        revision: Revision,
    ) -> Result<impl Iterator<Item = &'a Change> + use<'a>, Expired> {
        let log = self.logs.get(resource);
        let oldest = log.map_or(self.floor, Log::oldest);
        if revision < oldest {
            return Err(Expired {
                asked: revision,
                oldest,
            });
        }
        Ok(log
            .into_iter()
            .flat_map(move |entries| entries.after(revision)))
    }
}

fn check(key: &ObjectKey, found: Option<&Object>, expect: Expect) -> Result<(), CommitError> {
    match (expect, found) {
        (Expect::Absent, Some(_)) => Err(CommitError::Exists(key.clone())),
        (Expect::Present | Expect::Revision(_), None) => Err(CommitError::Missing(key.clone())),
        (Expect::Revision(expected), Some(object)) if object.revision != expected => {
            Err(CommitError::Conflict {
                key: key.clone(),
                expected,
                found: object.revision,
            })
        }
        _ => Ok(()),
    }
}

fn stamp(object: &mut Value, revision: Revision) {
    let Some(root) = object.as_object_mut() else {
        return;
    };
    let metadata = root
        .entry("metadata")
        .or_insert_with(|| Value::Object(serde_json::Map::new()));
    if let Some(metadata) = metadata.as_object_mut() {
        metadata.insert("resourceVersion".into(), revision.to_string().into());
    }
}

/// Bytes of an object as the journal keeps them, back into an object.
pub fn revive(resource: Resource, bytes: Bytes) -> Result<Arc<Object>, ObjectError> {
    Object::parse(resource, bytes).map(Arc::new)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::k8s::resources;
    use serde_json::json;

    fn put(store: &mut Store, name: &str, expect: Expect) -> Result<Change, CommitError> {
        store.commit(Write::Put {
            resource: resources::CONFIG_MAPS,
            object: json!({"metadata": {"name": name, "namespace": "shop"}}),
            expect,
        })
    }

    #[test]
    fn revisions_rise_by_one_and_are_in_the_bytes() {
        let mut store = Store::default();
        for expected in 1..=3 {
            let change = put(&mut store, &format!("object-{expected}"), Expect::Absent).unwrap();
            assert_eq!(change.object.revision, Revision(expected));
            assert_eq!(
                change.object.json()["metadata"]["resourceVersion"],
                json!(expected.to_string())
            );
        }
        assert_eq!(store.revision(), Revision(3));
    }

    #[test]
    fn a_write_that_expects_something_else_changes_nothing() {
        let mut store = Store::default();
        put(&mut store, "web", Expect::Absent).unwrap();
        let exists = put(&mut store, "web", Expect::Absent);
        assert!(matches!(exists, Err(CommitError::Exists(_))));
        let conflict = put(&mut store, "web", Expect::Revision(Revision(7)));
        assert!(matches!(
            conflict,
            Err(CommitError::Conflict {
                found: Revision(1),
                ..
            })
        ));
        let missing = put(&mut store, "db", Expect::Present);
        assert!(matches!(missing, Err(CommitError::Missing(_))));
        assert_eq!(store.revision(), Revision(1));
    }

    #[test]
    fn the_log_yields_what_came_after_a_revision() {
        let mut store = Store::default();
        for name in ["one", "two", "three"] {
            put(&mut store, name, Expect::Absent).unwrap();
        }
        let key = ObjectKey::new(resources::CONFIG_MAPS, "shop", "one");
        store
            .commit(Write::Delete {
                key,
                expect: Expect::Present,
            })
            .unwrap();
        let snapshot = store.snapshot();
        let seen: Vec<(ChangeKind, &str)> = snapshot
            .changes_after(&resources::CONFIG_MAPS, Revision(1))
            .unwrap()
            .map(|change| (change.kind, change.object.name()))
            .collect();
        assert_eq!(
            seen,
            [
                (ChangeKind::Added, "two"),
                (ChangeKind::Added, "three"),
                (ChangeKind::Deleted, "one")
            ]
        );
        assert_eq!(snapshot.revision(), Revision(4));
    }

    #[test]
    fn a_full_log_forgets_its_oldest_changes_and_says_so() {
        let mut store = Store::default();
        for index in 0..=log::LIMIT {
            put(&mut store, &format!("object-{index}"), Expect::Absent).unwrap();
        }
        let snapshot = store.snapshot();
        let gone = snapshot.changes_after(&resources::CONFIG_MAPS, Revision(0));
        assert!(matches!(gone, Err(Expired { oldest, .. }) if oldest > Revision(0)));
        let quiet = snapshot.changes_after(&resources::PODS, Revision(0));
        assert_eq!(quiet.unwrap().count(), 0);
    }

    #[test]
    fn a_log_of_large_objects_is_short() {
        let mut store = Store::default();
        let text = "x".repeat(1 << 20);
        for _ in 0..64 {
            let object =
                json!({"metadata": {"name": "large", "namespace": "shop"}, "data": {"text": text}});
            let resource = resources::CONFIG_MAPS;
            let expect = Expect::Anything;
            store
                .commit(Write::Put {
                    resource,
                    object,
                    expect,
                })
                .unwrap();
        }
        let snapshot = store.snapshot();
        let kept = |revision| snapshot.changes_after(&resources::CONFIG_MAPS, Revision(revision));
        assert!(kept(32).is_err());
        assert_eq!(kept(34).unwrap().count(), 30);
    }

    #[test]
    fn a_restored_store_continues_above_everything_handed_out() {
        let mut store = Store::default();
        let change = put(&mut store, "web", Expect::Absent).unwrap();
        let mut restored = Store::restore([change.object], Revision(1000));
        assert!(
            restored
                .view()
                .changes_after(&resources::CONFIG_MAPS, Revision(1))
                .is_err()
        );
        let next = put(&mut restored, "web", Expect::Revision(Revision(1))).unwrap();
        assert_eq!(next.object.revision, Revision(1001));
    }

    #[test]
    fn a_resumed_store_still_tells_what_happened_before() {
        let mut store = Store::default();
        let mut records = Vec::new();
        for name in ["old", "one", "two"] {
            let change = put(&mut store, name, Expect::Absent).unwrap();
            records.push((change.kind, change.object));
        }
        let change = put(&mut store, "one", Expect::Present).unwrap();
        records.push((change.kind, change.object));
        let key = ObjectKey::new(resources::CONFIG_MAPS, "shop", "two");
        let expect = Expect::Present;
        let change = store.commit(Write::Delete { key, expect }).unwrap();
        records.push((change.kind, change.object));

        let objects: Vec<Arc<Object>> = store
            .cluster()
            .list(&resources::CONFIG_MAPS)
            .cloned()
            .collect();
        let resume = |records: &[(ChangeKind, Arc<Object>)], since| {
            let history = History {
                records: records.to_vec(),
                since: Revision(since),
                volatile: vec![resources::LEASES],
            };
            Store::resume(objects.clone(), Revision(1000), history)
        };
        let told = |store: &Store, after| -> Option<Vec<String>> {
            let view = store.view();
            let changes = view.changes_after(&resources::CONFIG_MAPS, Revision(after));
            let told = |change: &Change| {
                let previous = change
                    .previous
                    .as_ref()
                    .map_or(0, |object| object.revision.0);
                let object = &change.object;
                format!(
                    "{:?} {}@{} {previous}",
                    change.kind,
                    object.name(),
                    object.revision
                )
            };
            Some(changes.ok()?.map(told).collect())
        };
        let whole = resume(&records, 0);
        let last = ["Modified one@4 2", "Deleted two@5 3"].map(str::to_owned);
        assert_eq!(told(&whole, 3).unwrap(), last);
        assert_eq!(told(&whole, 0).unwrap().len(), 5);
        let quiet = |resource: Resource, after| {
            let changes = whole.view().changes_after(&resource, Revision(after));
            changes.is_ok()
        };
        assert!(quiet(resources::PODS, 0), "nothing happened to pods");
        assert!(!quiet(resources::LEASES, 999), "nobody knows about leases");

        // Without the state before a change, nobody can be told of it.
        let part = resume(&records[2..], 2);
        assert_eq!(told(&part, 3), None);
        assert_eq!(told(&part, 4).unwrap(), last[1..]);
    }

    #[test]
    fn a_fork_is_independent() {
        let mut store = Store::default();
        put(&mut store, "web", Expect::Absent).unwrap();
        let mut fork = store.clone();
        put(&mut fork, "db", Expect::Absent).unwrap();
        assert_eq!(store.cluster().count(&resources::CONFIG_MAPS), 1);
        assert_eq!(fork.cluster().count(&resources::CONFIG_MAPS), 2);
    }
}
