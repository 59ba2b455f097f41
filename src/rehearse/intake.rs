//! A cluster's objects as a rehearsal takes them: machines become simulated ones, secrets stay
//! behind, and what the fork cannot know is stood in for, so that nothing changes by forking.
//!
//! | found | taken as |
//! |---|---|
//! | node | the same, labelled `bayplan.dev/runtime=simulated`, with a lease that is held |
//! | node that does not answer | the same, with an Outage: it stays as it is |
//! | pod that fails | the same, told to stay unready; its replacements are new pods and may be well |
//! | owner that is not here (a custom resource) | its name alone: controllers leave it alone |
//! | namespace or priority class that is named and not here | one of that name |
//! | secret, config map, event, lease, Endpoints | nothing |

mod gaps;
mod rewrite;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use rustc_hash::FxHashSet;
use serde::Deserialize;
use serde_json::{Value, json};

use super::kinds;
use crate::k8s::columns::NodeReady;
use crate::k8s::lab::{self, OutageSpec};
use crate::k8s::status::{self, Health};
use crate::k8s::{Cluster, Name, Object, OwnerRef, Resource, Revision, Uid, resources};
use crate::stdx::rng::Stream;

/// An unready pod younger than this is still starting.
const STARTING: SignedDuration = SignedDuration::from_mins(5);
const SIMULATE: &str = "bayplan.dev/simulate";

/// What a fork begins with.
pub struct Intake {
    pub cluster: Cluster,
    /// What the rehearsal will not take into account.
    pub not_modelled: Vec<String>,
}

/// Copies what a rehearsal needs of a cluster.
pub fn of(cluster: &Cluster, seed: u64, now: Timestamp) -> Intake {
    let mut intake = Builder {
        // What is taken as it is stays shared with the source.
        taken: cluster.clone(),
        highest: Revision::default(),
        uids: FxHashSet::default(),
        ids: Stream::new(seed, "intake"),
        now,
        failing: 0,
        ranges: 0,
    };
    for resource in cluster.resources() {
        if kinds::is_left_behind(resource) {
            intake.taken.clear(resource);
        } else {
            for object in cluster.list(resource) {
                intake.take(object);
            }
        }
    }
    intake.leases(cluster);
    intake.outage(cluster);
    intake.namespaces(cluster);
    intake.priority_classes(cluster);
    let foreign = intake.owners(cluster);
    let not_modelled = gaps::of(cluster, &foreign, intake.failing);
    // The copies' own, so that it is the same for whoever opens them from a file.
    intake.taken.set_revision(intake.highest.next());
    Intake {
        cluster: intake.taken,
        not_modelled,
    }
}

struct Builder {
    taken: Cluster,
    /// The revision of the newest object that is taken.
    highest: Revision,
    uids: FxHashSet<Uid>,
    ids: Stream,
    now: Timestamp,
    failing: usize,
    /// Ranges of pod addresses given out.
    ranges: u32,
}

impl Builder {
    fn take(&mut self, object: &Arc<Object>) {
        self.uids.insert(object.uid.clone());
        self.highest = self.highest.max(object.revision);
        let changed = if object.node().is_some() {
            let label = json!(lab::RUNTIME_SIMULATED).to_string();
            let labelled = rewrite::with_metadata(object, "labels", lab::RUNTIME_LABEL, &label);
            self.with_addresses(labelled.as_ref().unwrap_or(object))
                .or(labelled)
        } else if self.is_failing(object) {
            self.failing += 1;
            let annotation = json!("never-ready").to_string();
            rewrite::with_metadata(object, "annotations", SIMULATE, &annotation)
        } else {
            None
        };
        if let Some(changed) = changed {
            self.taken.insert(&Arc::new(changed));
        }
    }

    /// A simulated machine gives pods addresses out of `spec.podCIDR`. Many networks hand them out
    /// themselves and leave it empty, or use IPv6; such a machine gets a range of its own (of
    /// 100.64.0.0/10, RFC 6598), without which no pod would ever start there.
    fn with_addresses(&mut self, object: &Object) -> Option<Object> {
        let range = &object.node()?.pod_cidr;
        if range.contains('.') {
            return None;
        }
        let number = self.ranges;
        self.ranges = (self.ranges + 1) % (64 * 256);
        let mut json = object.json();
        let range = format!("100.{}.{}.0/24", 64 + number / 256, number % 256);
        let spec = json.as_object_mut()?.entry("spec");
        let spec = spec.or_insert_with(|| json!({})).as_object_mut()?;
        spec.insert("podCIDR".to_owned(), json!(range));
        Object::from_json(object.key.resource.clone(), &json).ok()
    }

    fn is_failing(&self, object: &Object) -> bool {
        let Some(pod) = object
            .pod()
            .filter(|pod| pod.node.is_some() && !pod.ready && !pod.is_finished())
        else {
            return false;
        };
        let since = pod.ready_since.or(pod.started).or(object.created);
        let is_old = since.is_some_and(|since| self.now.duration_since(since) > STARTING);
        let is_bad = || status::of_pod(object).is_some_and(|pod| pod.health == Health::Bad);
        !object.is_terminating() && (is_old || is_bad())
    }

    /// Adds an object that the source did not have.
    fn add(&mut self, resource: Resource, mut object: Value) {
        let uid = Uid(self.ids.uuid().into());
        if let Some(metadata) = object.get_mut("metadata").and_then(Value::as_object_mut) {
            metadata.insert("uid".into(), json!(uid));
            metadata.insert("resourceVersion".into(), json!("1"));
            let created = self.now.strftime("%Y-%m-%dT%H:%M:%SZ").to_string();
            metadata.insert("creationTimestamp".into(), created.into());
        }
        // An object of our own making; one that its kind refuses would be left out.
        if let Ok(object) = Object::from_json(resource, &object) {
            self.stand_in(object);
        }
    }

    fn stand_in(&mut self, object: Object) {
        self.highest = self.highest.max(object.revision);
        self.taken.insert(&Arc::new(object));
    }

    /// Held leases, as [`crate::agent::Agents::quiet`] keeps them.
    fn leases(&mut self, cluster: &Cluster) {
        let held = self.now + SignedDuration::from_hours(24 * 366);
        for node in cluster.nodes() {
            let lease = json!({
                "apiVersion": "coordination.k8s.io/v1", "kind": "Lease",
                "metadata": {
                    "name": node.name(), "namespace": "kube-node-lease",
                    "ownerReferences": [{
                        "apiVersion": "v1", "kind": "Node",
                        "name": node.name(), "uid": node.uid.0,
                    }],
                },
                "spec": {
                    "holderIdentity": node.name(), "leaseDurationSeconds": 40,
                    "renewTime": held.strftime("%Y-%m-%dT%H:%M:%S%.6fZ").to_string(),
                },
            });
            self.add(resources::LEASES, lease);
        }
    }

    /// Machines that do not answer go on not answering.
    fn outage(&mut self, cluster: &Cluster) {
        let known: Vec<OutageSpec> = cluster
            .list(&resources::OUTAGES)
            .map(|outage| lab::spec(outage))
            .collect();
        let silent: Vec<&str> = cluster
            .nodes()
            .filter(|node| {
                node.node()
                    .is_some_and(|node| node.ready != NodeReady::True)
            })
            .filter(|node| !known.iter().any(|outage| outage.concerns(node)))
            .map(|node| node.name())
            .collect();
        if !silent.is_empty() {
            let outage = json!({
                "apiVersion": lab::API_VERSION, "kind": lab::OUTAGE,
                "metadata": {"name": "since-before-the-fork"},
                "spec": {"nodes": silent, "mode": "Partition"},
            });
            self.add(resources::OUTAGES, outage);
        }
    }

    /// Creations are refused in namespaces that do not exist; a dump may have left them out.
    fn namespaces(&mut self, cluster: &Cluster) {
        let known: BTreeSet<&Name> = cluster
            .list(&resources::NAMESPACES)
            .map(|namespace| &namespace.key.name)
            .collect();
        let named: BTreeSet<&Name> = cluster
            .resources()
            .flat_map(|resource| cluster.list(resource))
            .map(|object| &object.key.namespace)
            .filter(|namespace| !namespace.is_empty())
            .collect();
        for name in named.difference(&known) {
            let namespace = json!({
                "apiVersion": "v1", "kind": "Namespace",
                "metadata": {"name": name, "labels": {"kubernetes.io/metadata.name": name}},
                "spec": {"finalizers": ["kubernetes"]}, "status": {"phase": "Active"},
            });
            self.add(resources::NAMESPACES, namespace);
        }
    }

    /// Where the classes themselves were not to be had, pods still say what they stand for.
    fn priority_classes(&mut self, cluster: &Cluster) {
        if cluster.count(&resources::PRIORITY_CLASSES) > 0 {
            return;
        }
        let mut classes: BTreeMap<Name, (i32, Name)> = BTreeMap::new();
        let ranked = cluster
            .pods()
            .filter(|pod| pod.pod().is_some_and(|pod| pod.priority != 0));
        for pod in ranked {
            let wire: PriorityWire = pod.typed().unwrap_or_default();
            let name = wire.spec.priority_class_name;
            if !name.is_empty() && !name.starts_with("system-") {
                classes.insert(name, (wire.spec.priority, wire.spec.preemption_policy));
            }
        }
        for (name, (value, policy)) in classes {
            let policy = if policy.is_empty() {
                Name::new_static("PreemptLowerPriority")
            } else {
                policy
            };
            let class = json!({
                "apiVersion": "scheduling.k8s.io/v1", "kind": "PriorityClass",
                "metadata": {"name": name}, "value": value, "preemptionPolicy": policy,
            });
            self.add(resources::PRIORITY_CLASSES, class);
        }
    }

    /// Stands in for owners that are not here, or the garbage collector would take what they own.
    fn owners(&mut self, cluster: &Cluster) -> BTreeMap<String, usize> {
        let mut missing: BTreeMap<(Resource, Name, Name), &OwnerRef> = BTreeMap::new();
        for resource in cluster.resources() {
            if kinds::is_left_behind(resource) {
                continue;
            }
            for object in cluster.list(resource) {
                for owner in &object.owners {
                    if !self.uids.contains(&owner.uid) {
                        let resource = stand_in(owner);
                        let namespace = object.key.namespace.clone();
                        let key = (resource, namespace, owner.name.clone());
                        missing.entry(key).or_insert(owner);
                    }
                }
            }
        }
        let mut kinds: BTreeMap<String, usize> = BTreeMap::new();
        for ((resource, namespace, name), owner) in missing {
            let group = owner.api_version.split_once('/').map(|(group, _)| group);
            let kind = match group {
                Some(group) => format!("{}.{group}", owner.kind),
                None => owner.kind.to_string(),
            };
            *kinds.entry(kind).or_default() += 1;
            let object = json!({
                "apiVersion": owner.api_version, "kind": owner.kind,
                "metadata": {"name": name, "namespace": namespace, "uid": owner.uid.0,
                             "resourceVersion": "1"},
            });
            if let Ok(object) = Object::from_json(resource, &object) {
                self.stand_in(object);
            }
        }
        kinds
    }
}

/// A resource type of the owner's group that no controller looks at: a stand-in for a
/// `ReplicaSet` must not be reconciled as one without replicas.
fn stand_in(owner: &OwnerRef) -> Resource {
    let group = owner
        .api_version
        .split_once('/')
        .map_or("", |(group, _)| group);
    Resource::new(group, &format!("{}-not-here", owner.kind.to_lowercase()))
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct PriorityWire {
    spec: PrioritySpec,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct PrioritySpec {
    priority: i32,
    priority_class_name: Name,
    preemption_policy: Name,
}
