//! A cluster for controller tests: applies ops as the API server would, naively, lets pods run, and
//! checks the properties that every controller must have.

use std::collections::BTreeSet;
use std::sync::Arc;

use jiff::Timestamp;
use serde_json::{Value, json};

use super::{Controller, field, seconds_after, write};
use crate::k8s::build::Draft;
use crate::k8s::op::EventDraft;
use crate::k8s::{
    Change, ChangeKind, Cluster, Object, ObjectKey, Op, Patch, Preconditions, Propagation,
    Resource, Subresource, resources,
};

/// In which order waiting keys get their turn.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Order {
    First,
    Last,
}

pub struct Bench {
    pub cluster: Cluster,
    pub now: Timestamp,
    pub events: Vec<EventDraft>,
    controllers: Vec<Controller>,
    order: Order,
    queue: BTreeSet<(usize, ObjectKey)>,
    timers: BTreeSet<(Timestamp, usize, ObjectKey)>,
    revision: u64,
}

impl Bench {
    pub fn new<'a>(
        controllers: &[Controller],
        objects: impl IntoIterator<Item = &'a Draft>,
    ) -> Self {
        let mut bench = Self {
            cluster: Cluster::default(),
            now: "2026-01-01T01:00:00Z".parse().unwrap(),
            events: Vec::new(),
            controllers: controllers.to_vec(),
            order: Order::First,
            queue: BTreeSet::new(),
            timers: BTreeSet::new(),
            revision: 100,
        };
        for draft in objects {
            bench.put(draft);
        }
        bench
    }

    pub fn in_order(mut self, order: Order) -> Self {
        self.order = order;
        self
    }

    /// This bench with the objects of another one.
    pub fn resumed(mut self, other: &Self) -> Self {
        for resource in other.cluster.resources() {
            for object in other.cluster.list(resource) {
                self.store(&object.key, object.json());
            }
        }
        self.revision = self.revision.max(other.revision);
        self
    }

    /// Stores an object as it is.
    pub fn put(&mut self, draft: &Draft) {
        let object = draft.build();
        self.store(&object.key, draft.json().clone());
    }

    pub fn find(&self, resource: &Resource, name: &str) -> Value {
        let (namespace, name) = name.split_once('/').unwrap_or(("default", name));
        self.cluster
            .find(resource, namespace, name)
            .map(|object| object.json())
            .unwrap_or_default()
    }

    pub fn all(&self, resource: &Resource) -> Vec<Arc<Object>> {
        self.cluster.list(resource).cloned().collect()
    }

    pub fn names(&self, resource: &Resource) -> Vec<String> {
        self.cluster
            .list(resource)
            .map(|object| object.name().to_owned())
            .collect()
    }

    /// Pods that are not on their way out.
    pub fn pods(&self) -> Vec<Arc<Object>> {
        self.cluster
            .pods()
            .filter(|pod| !pod.is_terminating())
            .cloned()
            .collect()
    }

    pub fn reasons(&self) -> Vec<&str> {
        self.events
            .iter()
            .map(|event| event.reason.as_str())
            .collect()
    }

    /// Merges a patch into an object, as a user would.
    pub fn edit(&mut self, resource: &Resource, name: &str, patch: &Value) {
        let (namespace, name) = name.split_once('/').unwrap_or(("default", name));
        let key = ObjectKey::new(resource.clone(), namespace, name);
        let before = self.cluster.get(&key).unwrap().json();
        let mut after = before.clone();
        json_patch::merge(&mut after, patch);
        if before.get("spec") != after.get("spec") {
            let generation = field::count(&after, "/metadata/generation") + 1;
            after["metadata"]["generation"] = generation.into();
        }
        self.store(&key, after);
    }

    pub fn delete(&mut self, resource: &Resource, name: &str, propagation: Propagation) {
        let (namespace, name) = name.split_once('/').unwrap_or(("default", name));
        let key = ObjectKey::new(resource.clone(), namespace, name);
        self.delete_key(&key, propagation, None);
    }

    /// Runs until nobody wants anything, and checks that it stays so.
    pub fn settle(&mut self) {
        for _ in 0..20_000 {
            let next = match self.order {
                Order::First => self.queue.pop_first(),
                Order::Last => self.queue.pop_last(),
            };
            let Some((index, key)) = next else {
                self.check_quiet();
                return;
            };
            self.run(index, &key);
        }
        panic!("does not settle; waiting: {:?}", self.queue.first());
    }

    /// Lets time pass, waking what asked for it.
    pub fn advance(&mut self, seconds: i64) {
        let until = seconds_after(self.now, seconds);
        self.settle();
        while let Some(&(at, ..)) = self.timers.first().filter(|(at, ..)| *at <= until) {
            self.now = self.now.max(at);
            while let Some((due, index, key)) = self.timers.pop_first() {
                if due > self.now {
                    self.timers.insert((due, index, key));
                    break;
                }
                self.queue.insert((index, key));
            }
            self.settle();
        }
        self.now = until;
    }

    /// Puts pending pods on `node`, running and ready, and ends terminating ones; then settles, until
    /// nothing moves.
    pub fn run_pods(&mut self, node: &str) {
        for _ in 0..200 {
            self.settle();
            if !self.kubelet(node) {
                return;
            }
        }
        panic!("pods do not come to rest");
    }

    fn kubelet(&mut self, node: &str) -> bool {
        let mut moved = false;
        for pod in self.all(&resources::PODS) {
            let columns = pod.pod().unwrap();
            if pod.is_terminating() {
                self.remove(&pod.key);
                moved = true;
            } else if !columns.ready && !columns.is_finished() {
                self.start(&pod, node);
                moved = true;
            }
        }
        moved
    }

    pub fn start(&mut self, pod: &Object, node: &str) {
        let mut json = pod.json();
        if pod.pod().unwrap().node.is_none() {
            json["spec"]["nodeName"] = node.into();
        }
        json["status"] = json!({"phase": "Running", "podIP": "10.244.0.9", "conditions": [
            {"type": "Ready", "status": "True", "lastTransitionTime": write::time(self.now)},
        ]});
        self.store(&pod.key, json);
    }

    pub fn finish(&mut self, pod: &Object, phase: &str) {
        let mut json = pod.json();
        json["status"]["phase"] = phase.into();
        json["status"]["conditions"] = json!([]);
        self.store(&pod.key, json);
    }

    fn run(&mut self, index: usize, key: &ObjectKey) {
        let controller = self.controllers[index];
        let outcome = (controller.reconcile)(&self.cluster, key, self.now);
        let again = (controller.reconcile)(&self.cluster, key, self.now);
        assert_eq!(
            outcome, again,
            "{} is not a function of its view",
            controller.name
        );
        let creates = outcome
            .ops
            .iter()
            .filter(|op| matches!(op, Op::Create { .. }))
            .count();
        assert!(creates <= super::BURST, "{creates} creations in one run");
        if let Some(at) = outcome.again_at {
            self.timers.insert((at, index, key.clone()));
        }
        for op in outcome.ops {
            if !self.apply(op) {
                self.queue.insert((index, key.clone()));
                return;
            }
        }
    }

    /// Nobody has anything to add to a settled view.
    fn check_quiet(&self) {
        let mut keys: BTreeSet<(usize, ObjectKey)> = BTreeSet::new();
        for resource in self.cluster.resources() {
            for object in self.cluster.list(resource) {
                let change = Change {
                    kind: ChangeKind::Added,
                    object: Arc::clone(object),
                    previous: None,
                };
                self.offer(&change, &mut keys);
            }
        }
        for (index, key) in keys {
            let controller = self.controllers[index];
            let outcome = (controller.reconcile)(&self.cluster, &key, self.now);
            assert_eq!(
                outcome.ops,
                [],
                "{} on {key} is not idempotent",
                controller.name
            );
        }
    }

    fn offer(&self, change: &Change, keys: &mut BTreeSet<(usize, ObjectKey)>) {
        for (index, controller) in self.controllers.iter().enumerate() {
            let mut concerned = Vec::new();
            (controller.triggers)(&self.cluster, change, &mut concerned);
            keys.extend(concerned.into_iter().map(|key| (index, key)));
        }
    }

    fn announce(&mut self, change: &Change) {
        let mut queue = std::mem::take(&mut self.queue);
        self.offer(change, &mut queue);
        self.queue = queue;
    }

    /// False if the op is refused.
    pub fn apply(&mut self, op: Op) -> bool {
        match op {
            Op::Create {
                resource,
                namespace,
                object,
            } => self.create(resource, &namespace, object),
            Op::Update {
                key,
                subresource,
                object,
            } => self.change(&key, subresource, &Preconditions::default(), |json| {
                *json = object;
            }),
            Op::Patch {
                key,
                subresource,
                patch: Patch::Merge(patch),
                if_match,
            } => self.change(&key, subresource, &if_match, |json| {
                json_patch::merge(json, &patch);
            }),
            Op::Patch { patch, .. } => panic!("the bench applies merge patches only: {patch:?}"),
            Op::Delete {
                key,
                if_match,
                propagation,
                grace_period_s,
            } => {
                if let Some(object) = self.cluster.get(&key)
                    && holds(&if_match, object)
                {
                    self.delete_key(&key, propagation, grace_period_s);
                }
                true
            }
            Op::Bind {
                pod,
                node,
                annotations,
                ..
            } => {
                let mut patch = json!({"spec": {"nodeName": node}});
                for (name, value) in annotations {
                    patch["metadata"]["annotations"][name.as_str()] = json!(value);
                }
                self.change(&pod, None, &Preconditions::default(), |json| {
                    json_patch::merge(json, &patch);
                })
            }
            Op::Evict { pod, .. } => {
                self.delete_key(&pod, Propagation::Background, None);
                true
            }
            Op::Event(event) => {
                self.events.push(event);
                true
            }
        }
    }

    fn create(&mut self, resource: Resource, namespace: &str, mut json: Value) -> bool {
        if json["metadata"].get("name").is_none() {
            let prefix = field::text(&json, "/metadata/generateName").to_owned();
            json["metadata"]["name"] = format!("{prefix}{}", self.revision).into();
        }
        let name = field::text(&json, "/metadata/name").to_owned();
        let key = ObjectKey::new(resource, namespace, &name);
        if self.cluster.get(&key).is_some() {
            return true;
        }
        json["metadata"]["uid"] = format!("uid-{}", self.revision).into();
        json["metadata"]["creationTimestamp"] = write::time(self.now);
        json["metadata"]["generation"] = 1.into();
        if !namespace.is_empty() {
            json["metadata"]["namespace"] = namespace.into();
        }
        if key.resource == resources::PODS {
            json["status"] = json!({"phase": "Pending"});
        }
        self.store(&key, json);
        true
    }

    fn change(
        &mut self,
        key: &ObjectKey,
        subresource: Option<Subresource>,
        if_match: &Preconditions,
        edit: impl FnOnce(&mut Value),
    ) -> bool {
        let Some(object) = self.cluster.get(key) else {
            return false;
        };
        if !holds(if_match, object) {
            return false;
        }
        let before = object.json();
        let mut after = before.clone();
        edit(&mut after);
        let has_status = subresource == Some(Subresource::Status);
        if has_status {
            after["spec"] = before["spec"].clone();
        } else if before.get("spec") != after.get("spec") {
            let generation = field::count(&before, "/metadata/generation") + 1;
            after["metadata"]["generation"] = generation.into();
        }
        assert_ne!(before, after, "a write that changes nothing: {key}");
        let stripped = object.is_terminating()
            && field::list(&after, "/metadata/finalizers").is_empty()
            && field::list(&after, "/spec/finalizers").is_empty()
            && key.resource != resources::PODS;
        if stripped {
            self.remove(key);
        } else {
            self.store(key, after);
        }
        true
    }

    fn delete_key(&mut self, key: &ObjectKey, propagation: Propagation, grace: Option<i64>) {
        let Some(object) = self.cluster.get(key).cloned() else {
            return;
        };
        let mut json = object.json();
        let finalizer = match propagation {
            Propagation::Background => None,
            Propagation::Foreground => Some("foregroundDeletion"),
            Propagation::Orphan => Some("orphan"),
        };
        let mut finalizers = field::list(&json, "/metadata/finalizers").to_vec();
        finalizers.extend(finalizer.map(Value::from));
        let graceful = object
            .pod()
            .is_some_and(|pod| pod.node.is_some() && !pod.is_finished() && grace != Some(0));
        let held = !field::list(&json, "/spec/finalizers").is_empty();
        if finalizers.is_empty() && !graceful && !held {
            self.remove(key);
            return;
        }
        if object.is_terminating() {
            return;
        }
        let seconds = if graceful { 30 } else { 0 };
        json["metadata"]["deletionTimestamp"] = write::time(seconds_after(self.now, seconds));
        if !finalizers.is_empty() {
            json["metadata"]["finalizers"] = finalizers.into();
        }
        self.store(key, json);
    }

    fn store(&mut self, key: &ObjectKey, mut json: Value) {
        self.revision += 1;
        json["metadata"]["resourceVersion"] = self.revision.to_string().into();
        let object = Arc::new(Object::from_json(key.resource.clone(), &json).unwrap());
        let previous = self.cluster.insert(&object);
        let kind = if previous.is_some() {
            ChangeKind::Modified
        } else {
            ChangeKind::Added
        };
        self.announce(&Change {
            kind,
            object,
            previous,
        });
    }

    fn remove(&mut self, key: &ObjectKey) {
        self.revision += 1;
        self.cluster
            .set_revision(crate::k8s::Revision(self.revision));
        if let Some(object) = self.cluster.remove(key) {
            self.announce(&Change {
                kind: ChangeKind::Deleted,
                previous: Some(Arc::clone(&object)),
                object,
            });
        }
    }

    /// What is there, whatever its generated names, uids, revisions and times are.
    fn digest(&self) -> Vec<String> {
        let mut lines: Vec<String> = self
            .cluster
            .resources()
            .flat_map(|resource| self.cluster.list(resource))
            .map(|object| {
                let json = object.json();
                let spec = field::tree(&json, "/spec").to_string();
                let labels: Vec<_> = object.labels.iter().collect();
                let ready = json.pointer("/status/readyReplicas");
                format!("{} {labels:?} {spec} {ready:?}", object.key.resource)
            })
            .collect();
        lines.sort();
        lines
    }
}

fn holds(if_match: &Preconditions, object: &Object) -> bool {
    if_match.uid.as_ref().is_none_or(|uid| *uid == object.uid)
        && if_match
            .revision
            .is_none_or(|revision| revision == object.revision)
}

/// Plays the same story with keys taken in either order: it must end the same way, and quietly.
#[track_caller]
pub fn check_order_independent<'a>(
    controllers: &[Controller],
    objects: impl IntoIterator<Item = &'a Draft> + Copy,
    story: fn(&mut Bench),
) {
    let play = |order| {
        let mut bench = Bench::new(controllers, objects).in_order(order);
        story(&mut bench);
        bench.settle();
        bench.digest()
    };
    assert_eq!(play(Order::First), play(Order::Last));
}
