//! A deployment with its replica sets: which is the new one, what the old ones hold, and the writes
//! that change their sizes.

use std::sync::Arc;

use jiff::Timestamp;
use serde::Deserialize;
use serde_json::{Value, json};

use super::super::claim;
use super::super::condition::{self, Condition, Times};
use super::super::field::{self, Rounding};
use super::super::kind;
use super::super::naming;
use super::super::write::{self, Reporter};
use super::super::{Outcome, kind::REPLICA_SET};
use super::{DESIRED_REPLICAS, MAX_REPLICAS, NAME, REVISION, REVISION_HISTORY, TEMPLATE_HASH};
use crate::k8s::{Cluster, Object, resources};

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Spec {
    replicas: Option<i64>,
    #[serde(default)]
    pub paused: bool,
    #[serde(default)]
    pub strategy: Strategy,
    #[serde(default)]
    pub min_ready_seconds: i64,
    pub revision_history_limit: Option<i64>,
    pub progress_deadline_seconds: Option<i64>,
    pub selector: Value,
    pub template: Value,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct Strategy {
    #[serde(rename = "type")]
    kind: String,
    rolling_update: RollingUpdate,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct RollingUpdate {
    max_surge: Value,
    max_unavailable: Value,
}

impl Default for RollingUpdate {
    fn default() -> Self {
        Self {
            max_surge: json!("25%"),
            max_unavailable: json!("25%"),
        }
    }
}

#[derive(Deserialize)]
struct Wire {
    spec: Spec,
    #[serde(default = "empty")]
    status: Value,
}

/// So that fields can be put into a status that nobody has written yet.
fn empty() -> Value {
    json!({})
}

impl Strategy {
    pub fn is_recreate(&self) -> bool {
        self.kind == "Recreate"
    }
}

impl Spec {
    pub fn replicas(&self) -> i64 {
        self.replicas.unwrap_or(1)
    }

    /// Surge and unavailability as numbers of pods. Source: `ResolveFenceposts`: the surge rounds
    /// up, unavailability rounds down, and both being zero would stop every rollout.
    fn fenceposts(&self) -> (i64, i64) {
        if self.strategy.is_recreate() {
            return (0, 0);
        }
        let limits = &self.strategy.rolling_update;
        let surge = field::scaled(&limits.max_surge, self.replicas(), Rounding::Up);
        let unavailable = field::scaled(&limits.max_unavailable, self.replicas(), Rounding::Down);
        match (surge.unwrap_or_default(), unavailable.unwrap_or_default()) {
            (0, 0) => (0, 1),
            both => both,
        }
    }

    pub fn max_surge(&self) -> i64 {
        self.fenceposts().0
    }

    pub fn max_unavailable(&self) -> i64 {
        if self.replicas() == 0 {
            return 0;
        }
        self.fenceposts().1.min(self.replicas())
    }
}

/// One replica set and the size that it is to have.
#[derive(Clone)]
pub(super) struct Set {
    pub object: Arc<Object>,
    pub json: Value,
    /// `spec.replicas`, as this run has decided so far.
    pub size: i64,
    pub available: i64,
}

impl Set {
    fn read(object: &Arc<Object>) -> Self {
        let json = object.json();
        Self {
            size: field::integer(&json, "/spec/replicas").unwrap_or(1),
            available: field::count(&json, "/status/availableReplicas"),
            object: Arc::clone(object),
            json,
        }
    }

    pub fn name(&self) -> &str {
        self.object.name()
    }

    pub fn status(&self, name: &str) -> i64 {
        field::count(&self.json, &format!("/status/{name}"))
    }

    pub fn annotated(&self, name: &str) -> Option<i64> {
        field::annotation(&self.json, name)?.parse().ok()
    }

    pub fn revision(&self) -> i64 {
        self.annotated(REVISION).unwrap_or_default()
    }

    fn template(&self) -> &Value {
        field::tree(&self.json, "/spec/template")
    }
}

/// One run over one deployment.
pub(super) struct Rollout<'a> {
    pub cluster: &'a Cluster,
    pub object: &'a Arc<Object>,
    pub json: Value,
    pub spec: Spec,
    /// As the view has it.
    pub status: Value,
    /// As this run leaves them.
    pub conditions: Vec<Value>,
    pub collisions: Option<i64>,
    pub now: Timestamp,
    pub new: Option<Set>,
    /// The oldest first.
    pub old: Vec<Set>,
    pub outcome: Outcome,
}

impl<'a> Rollout<'a> {
    pub fn read(cluster: &'a Cluster, object: &'a Arc<Object>, now: Timestamp) -> Option<Self> {
        let json = object.json();
        let Wire { spec, status } = object.typed().ok()?;
        let selector = object.selector()?;
        let unowned = cluster
            .list_in(&resources::REPLICA_SETS, object.namespace())
            .filter(|set| set.controller().is_none());
        let owned = cluster
            .owned_by(&object.uid)
            .filter(|set| set.key.resource == resources::REPLICA_SETS)
            .filter(|set| set.controller().is_some());
        let claimed = claim::claim(object, &kind::DEPLOYMENT, selector, owned.chain(unowned));
        let mut sets: Vec<Set> = claimed.objects.into_iter().map(Set::read).collect();
        sets.sort_by(|one, other| {
            (one.object.created, one.name()).cmp(&(other.object.created, other.name()))
        });
        let new = sets
            .iter()
            .position(|set| equal_but_hash(set.template(), &spec.template))
            .map(|index| sets.remove(index));
        Some(Self {
            cluster,
            object,
            conditions: field::list(&status, "/conditions").to_vec(),
            collisions: field::integer(&status, "/collisionCount"),
            json,
            spec,
            status,
            now,
            new,
            old: sets,
            outcome: Outcome {
                ops: claimed.ops,
                again_at: None,
            },
        })
    }

    pub fn observed_generation(&self) -> i64 {
        field::count(&self.status, "/observedGeneration")
    }

    pub fn all(&self) -> impl Iterator<Item = &Set> {
        self.old.iter().chain(&self.new)
    }

    /// How many pods the replica sets are to hold.
    pub fn total_size(&self) -> i64 {
        self.all().map(|set| set.size).sum()
    }

    pub fn has_deadline(&self) -> bool {
        self.spec
            .progress_deadline_seconds
            .is_some_and(|seconds| seconds != i64::from(i32::MAX))
    }

    pub fn set_progressing(&mut self, status: &str, reason: &str, message: &str) {
        let condition = Condition {
            kind: "Progressing",
            status,
            reason,
            message,
        };
        condition::set(&mut self.conditions, condition, Times::Update, self.now);
    }

    /// Brings revision, annotations and `minReadySeconds` of an existing new set up to date.
    pub fn find_new_set(&mut self) {
        let Some(new) = self.new.take() else {
            return;
        };
        let revision = self.next_revision();
        let mut metadata = self.annotations_for(Some(&new), revision);
        let mut patch = json!({});
        if field::count(&new.json, "/spec/minReadySeconds") != self.spec.min_ready_seconds {
            patch = json!({"spec": {"minReadySeconds": self.spec.min_ready_seconds}});
        }
        let revision = metadata
            .get(REVISION)
            .and_then(Value::as_str)
            .map_or_else(|| new.revision().to_string(), str::to_owned);
        if metadata
            .as_object()
            .is_some_and(|fields| !fields.is_empty())
        {
            field::put(
                &mut patch,
                "metadata",
                json!({"annotations": metadata.take()}),
            );
        }
        if patch.as_object().is_some_and(|fields| !fields.is_empty()) {
            self.outcome.ops.push(write::merge(&new.object, patch));
        }
        self.set_own_revision(&revision);
        if self.has_deadline() && condition::find(&self.conditions, "Progressing").is_none() {
            let message = format!("Found new replica set \"{}\"", new.name());
            self.set_progressing("True", "FoundNewReplicaSet", &message);
        }
        self.new = Some(new);
    }

    /// Creates the new set with as many replicas as may come at once.
    pub fn create_new_set(&mut self) {
        let hash = naming::hash(&self.spec.template, self.collisions);
        let name = format!("{}-{hash}", self.object.name());
        let namespace = self.object.namespace();
        if self
            .cluster
            .find(&resources::REPLICA_SETS, namespace, &name)
            .is_some()
        {
            // Another template has this name: the next run hashes with the new count.
            self.collisions = Some(self.collisions.unwrap_or_default() + 1);
            self.write_status();
            return;
        }
        let size = self.room_for_new(0);
        let revision = self.next_revision();
        let mut annotations = self.annotations_for(None, revision);
        let limit = self.spec.replicas() + self.spec.max_surge();
        let desired = self.spec.replicas().to_string();
        field::put(&mut annotations, DESIRED_REPLICAS, desired.into());
        field::put(&mut annotations, MAX_REPLICAS, limit.to_string().into());
        let mut template = self.spec.template.clone();
        json_patch::merge(
            &mut template,
            &json!({"metadata": {"labels": {TEMPLATE_HASH: hash}}}),
        );
        let mut selector = self.spec.selector.clone();
        json_patch::merge(
            &mut selector,
            &json!({"matchLabels": {TEMPLATE_HASH: hash}}),
        );
        let set = json!({
            "apiVersion": REPLICA_SET.api_version,
            "kind": REPLICA_SET.name,
            "metadata": {
                "name": name,
                "namespace": namespace,
                "labels": field::tree(&template, "/metadata/labels"),
                "annotations": annotations,
                "ownerReferences": [write::controller_reference(self.object, &kind::DEPLOYMENT)],
            },
            "spec": {
                "replicas": size,
                "minReadySeconds": self.spec.min_ready_seconds,
                "selector": selector,
                "template": template,
            },
        });
        self.outcome
            .ops
            .push(write::create(resources::REPLICA_SETS, namespace, set));
        if size > 0 {
            self.report(format!("Scaled up replica set {name} from 0 to {size}"));
        }
        self.set_own_revision(&revision.to_string());
        if self.has_deadline() {
            let message = format!("Created new replica set \"{name}\"");
            self.set_progressing("True", "NewReplicaSetCreated", &message);
        }
        self.write_status();
    }

    /// Sets the size of a replica set and says so.
    pub fn resize(&mut self, set: &mut Set, size: i64) {
        let limit = (self.spec.replicas() + self.spec.max_surge()).to_string();
        let desired = self.spec.replicas().to_string();
        let mut annotations = json!({});
        for (name, value) in [(DESIRED_REPLICAS, desired), (MAX_REPLICAS, limit)] {
            if field::annotation(&set.json, name) != Some(value.as_str()) {
                field::put(&mut annotations, name, value.into());
            }
        }
        let annotated = annotations == json!({});
        if size == set.size && annotated {
            return;
        }
        let mut patch = json!({});
        if size != set.size {
            patch = json!({"spec": {"replicas": size}});
        }
        if !annotated {
            field::put(&mut patch, "metadata", json!({"annotations": annotations}));
        }
        self.outcome.ops.push(write::merge(&set.object, patch));
        if size != set.size {
            let direction = if size > set.size { "up" } else { "down" };
            self.report(format!(
                "Scaled {direction} replica set {} from {} to {size}",
                set.name(),
                set.size
            ));
        }
        set.size = size;
    }

    fn report(&mut self, message: String) {
        let report = Reporter {
            name: NAME,
            object: self.object,
            kind: &kind::DEPLOYMENT,
        };
        self.outcome
            .ops
            .push(report.normal("ScalingReplicaSet", message));
    }

    fn next_revision(&self) -> i64 {
        self.old.iter().map(Set::revision).max().unwrap_or_default() + 1
    }

    /// `metadata.annotations` that the new set lacks: the deployment's own and the revision.
    /// Source: `SetNewReplicaSetAnnotations`.
    fn annotations_for(&self, set: Option<&Set>, revision: i64) -> Value {
        let mut missing = json!({});
        let own = field::tree(&self.json, "/metadata/annotations");
        for (name, value) in own.as_object().into_iter().flatten() {
            let has = set.and_then(|set| field::annotation(&set.json, name));
            if !is_kept_from_sets(name) && has != value.as_str() {
                field::put(&mut missing, name, value.clone());
            }
        }
        let before = set.map_or(0, Set::revision);
        if before < revision {
            field::put(&mut missing, REVISION, revision.to_string().into());
            if let Some(set) = set.filter(|_| before > 0) {
                let history = match field::annotation(&set.json, REVISION_HISTORY) {
                    Some(history) if !history.is_empty() => format!("{history},{before}"),
                    _ => before.to_string(),
                };
                field::put(&mut missing, REVISION_HISTORY, history.into());
            }
        }
        missing
    }

    fn set_own_revision(&mut self, revision: &str) {
        if field::annotation(&self.json, REVISION) != Some(revision) {
            let patch = json!({"metadata": {"annotations": {REVISION: revision}}});
            self.outcome.ops.push(write::merge(self.object, patch));
        }
    }
}

/// Source: `annotationsToSkip`.
fn is_kept_from_sets(name: &str) -> bool {
    [
        "kubectl.kubernetes.io/last-applied-configuration",
        REVISION,
        REVISION_HISTORY,
        DESIRED_REPLICAS,
        MAX_REPLICAS,
        "deprecated.deployment.rollback.to",
    ]
    .contains(&name)
}

/// Source: `EqualIgnoreHash`.
fn equal_but_hash(one: &Value, other: &Value) -> bool {
    naming::is_same(&without_hash(one), &without_hash(other))
}

fn without_hash(template: &Value) -> Value {
    let mut template = template.clone();
    if let Some(labels) = template
        .pointer_mut("/metadata/labels")
        .and_then(Value::as_object_mut)
    {
        labels.remove(TEMPLATE_HASH);
    }
    template
}
