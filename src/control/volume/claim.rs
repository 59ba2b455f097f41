//! One claim: unbound, it is given a volume; bound, both sides say so; deleted, it stays until no
//! pod uses it.

use std::sync::Arc;

use jiff::Timestamp;
use serde_json::{Value, json};

use super::super::kind;
use super::super::node_selector::NodeSelector;
use super::super::write::Reporter;
use super::super::{Controller, Outcome, field, trigger, write};
use super::{
    BIND_COMPLETED, BOUND_BY_CONTROLLER, PROVISIONER, SELECTED_NODE, STORAGE_PROVISIONER, claim_of,
    claims_of, class, provision,
};
use crate::k8s::columns::PodColumns;
use crate::k8s::quantity::Quantity;
use crate::k8s::{Change, ChangeKind, Cluster, LabelSelector, Object, ObjectKey, resources};

pub(in super::super) const CONTROLLER: Controller = Controller {
    name: NAME,
    triggers,
    reconcile,
};

pub(super) const NAME: &str = "persistentvolume-controller";
const PROTECTION: &str = "kubernetes.io/pvc-protection";

fn triggers(cluster: &Cluster, change: &Change, keys: &mut Vec<ObjectKey>) {
    let object = &change.object;
    trigger::itself(change, &resources::PERSISTENT_VOLUME_CLAIMS, keys);
    if object.key.resource == resources::PERSISTENT_VOLUMES {
        let json = object.json();
        if field::tree(&json, "/spec/claimRef").is_null() {
            // A free volume: any claim that waits may want it.
            let waiting = cluster.list(&resources::PERSISTENT_VOLUME_CLAIMS);
            keys.extend(waiting.map(|claim| claim.key.clone()));
        } else {
            let text = |name: &str| field::text(&json, &format!("/spec/claimRef/{name}"));
            let (namespace, name) = (text("namespace"), text("name"));
            keys.push(ObjectKey::new(
                resources::PERSISTENT_VOLUME_CLAIMS,
                namespace,
                name,
            ));
        }
    }
    if object.key.resource == resources::STORAGE_CLASSES {
        let claims = cluster.list(&resources::PERSISTENT_VOLUME_CLAIMS);
        keys.extend(claims.map(|claim| claim.key.clone()));
    }
    let ended = object.pod().is_some_and(PodColumns::is_finished) && trigger::pod_turned(change);
    if object.key.resource == resources::PODS && (change.kind == ChangeKind::Deleted || ended) {
        let claims = claims_of(object).into_iter();
        keys.extend(claims.map(|name| {
            ObjectKey::new(
                resources::PERSISTENT_VOLUME_CLAIMS,
                object.namespace(),
                &name,
            )
        }));
    }
}

fn reconcile(cluster: &Cluster, key: &ObjectKey, _now: Timestamp) -> Outcome {
    let mut outcome = Outcome::default();
    let Some(object) = cluster.get(key) else {
        return outcome;
    };
    let json = object.json();
    let claim = Claim {
        cluster,
        object,
        json: &json,
    };
    if object.is_terminating() {
        let is_protected = object.finalizers.iter().any(|name| name == PROTECTION);
        if is_protected && !claim.is_used() {
            let patch = write::without_finalizer(object, PROTECTION);
            outcome.ops.push(write::merge(object, patch));
        }
        return outcome;
    }
    if field::text(&json, "/spec/volumeName").is_empty() {
        claim.find_volume(&mut outcome);
    } else {
        claim.settle(&mut outcome);
    }
    outcome
}

pub(super) struct Claim<'a> {
    pub cluster: &'a Cluster,
    pub object: &'a Arc<Object>,
    pub json: &'a Value,
}

impl Claim<'_> {
    pub fn report(&self) -> Reporter<'_> {
        Reporter {
            name: NAME,
            object: self.object,
            kind: &kind::PERSISTENT_VOLUME_CLAIM,
        }
    }

    pub fn selected_node(&self) -> Option<&str> {
        field::annotation(self.json, SELECTED_NODE).filter(|node| !node.is_empty())
    }

    /// Whether a pod that has not finished mounts it.
    fn is_used(&self) -> bool {
        let pods = self
            .cluster
            .list_in(&resources::PODS, self.object.namespace());
        pods.filter(|pod| pod.pod().is_some_and(|columns| !columns.is_finished()))
            .any(|pod| {
                // Decoding every pod of a namespace would be slow; its text tells who may.
                std::str::from_utf8(&pod.bytes())
                    .is_ok_and(|text| text.contains("claimName") || text.contains("ephemeral"))
                    && claims_of(pod).iter().any(|name| name == self.object.name())
            })
    }

    fn find_volume(&self, outcome: &mut Outcome) {
        let volumes = self.cluster.list(&resources::PERSISTENT_VOLUMES);
        let mut reserved = None;
        let mut smallest: Option<(Quantity, &Arc<Object>)> = None;
        let delayed = self.is_delayed();
        for volume in volumes.filter(|volume| !volume.is_terminating()) {
            let json = volume.json();
            if !field::tree(&json, "/spec/claimRef").is_null() {
                let own = claim_of(self.cluster, &json);
                if own.is_some_and(|claim| claim.uid == self.object.uid) {
                    reserved = Some(volume);
                }
                continue;
            }
            if delayed || !self.accepts(volume, &json) {
                continue;
            }
            let size = capacity(&json);
            if smallest.is_none_or(|(least, _)| size < least) {
                smallest = Some((size, volume));
            }
        }
        match reserved.or(smallest.map(|(_, volume)| volume)) {
            Some(volume) => self.bind(volume, outcome),
            None if delayed => self.wait(outcome),
            None => self.provision(outcome),
        }
    }

    /// Whether binding waits until the scheduler has chosen a node.
    fn is_delayed(&self) -> bool {
        let mode = self.class().map(|class| class.json());
        let waits = mode.is_some_and(|class| {
            field::text(&class, "/volumeBindingMode") == "WaitForFirstConsumer"
        });
        waits && self.selected_node().is_none()
    }

    fn class(&self) -> Option<&Arc<Object>> {
        let name = class(self.json);
        self.cluster.find(&resources::STORAGE_CLASSES, "", name)
    }

    fn accepts(&self, volume: &Object, json: &Value) -> bool {
        let mode = |value: &Value| match field::text(value, "/spec/volumeMode") {
            "" => "Filesystem".to_owned(),
            other => other.to_owned(),
        };
        let offered = field::list(json, "/spec/accessModes");
        let wanted = field::list(self.json, "/spec/accessModes");
        let selector = field::tree(self.json, "/spec/selector");
        let selected = selector.is_null()
            || serde_json::from_value::<LabelSelector>(selector.clone())
                .is_ok_and(|selector| selector.matches(&volume.labels));
        class(json) == class(self.json)
            && mode(json) == mode(self.json)
            && wanted.iter().all(|mode| offered.contains(mode))
            && capacity(json) >= self.requested()
            && selected
            && self.reaches(json)
    }

    /// Whether the chosen node reaches the volume.
    fn reaches(&self, volume: &Value) -> bool {
        let required = field::tree(volume, "/spec/nodeAffinity/required");
        let (Some(node), false) = (self.selected_node(), required.is_null()) else {
            return true;
        };
        let node = self.cluster.find(&resources::NODES, "", node);
        let selector = serde_json::from_value::<NodeSelector>(required.clone());
        node.is_some_and(|node| selector.is_ok_and(|selector| selector.matches(node)))
    }

    fn requested(&self) -> Quantity {
        let text = field::text(self.json, "/spec/resources/requests/storage");
        Quantity::parse(text).unwrap_or_default()
    }

    /// Ties both sides to each other. The claim's status follows in the next run.
    fn bind(&self, volume: &Object, outcome: &mut Outcome) {
        let json = volume.json();
        if field::text(&json, "/spec/claimRef/uid").is_empty() {
            let reserved = !field::tree(&json, "/spec/claimRef").is_null();
            let mut patch = json!({"spec": {"claimRef": self.reference()}});
            if !reserved {
                let note = json!({"annotations": {BOUND_BY_CONTROLLER: "yes"}});
                field::put(&mut patch, "metadata", note);
            }
            outcome.ops.push(write::merge_unchanged(volume, patch));
        }
        let patch = json!({
            "metadata": {"annotations": {BIND_COMPLETED: "yes", BOUND_BY_CONTROLLER: "yes"}},
            "spec": {"volumeName": volume.name()},
        });
        outcome.ops.push(write::merge(self.object, patch));
    }

    pub fn reference(&self) -> Value {
        json!({
            "apiVersion": "v1",
            "kind": "PersistentVolumeClaim",
            "namespace": self.object.namespace(),
            "name": self.object.name(),
            "uid": self.object.uid.0,
        })
    }

    fn wait(&self, outcome: &mut Outcome) {
        self.set_phase("Pending", outcome);
    }

    fn provision(&self, outcome: &mut Outcome) {
        self.set_phase("Pending", outcome);
        let Some(class) = self.class() else {
            return;
        };
        let class = class.json();
        let provisioner = field::text(&class, "/provisioner");
        if provisioner == "kubernetes.io/no-provisioner" {
            return;
        }
        if field::annotation(self.json, STORAGE_PROVISIONER) != Some(provisioner) {
            let note = json!({"metadata": {"annotations": {STORAGE_PROVISIONER: provisioner}}});
            outcome.ops.push(write::merge(self.object, note));
            if provisioner != PROVISIONER {
                let message = format!(
                    "Waiting for a volume to be created either by the external provisioner \
                     '{provisioner}' or manually by the system administrator. If volume creation \
                     is delayed, please verify that the provisioner is running and correctly \
                     registered."
                );
                outcome
                    .ops
                    .push(self.report().normal("ExternalProvisioning", message));
            }
        }
        if provisioner == PROVISIONER {
            provision::create(self, &class, outcome);
        }
    }

    /// Both sides of a claim that names its volume.
    fn settle(&self, outcome: &mut Outcome) {
        let name = field::text(self.json, "/spec/volumeName");
        let volume = self.cluster.find(&resources::PERSISTENT_VOLUMES, "", name);
        let Some(volume) = volume else {
            let was_bound = field::annotation(self.json, BIND_COMPLETED).is_some();
            if was_bound && field::text(self.json, "/status/phase") != "Lost" {
                let message =
                    "Bound claim has lost its PersistentVolume. Data on the volume is lost!";
                outcome
                    .ops
                    .push(self.report().warning("ClaimLost", message.to_owned()));
            }
            self.set_phase(if was_bound { "Lost" } else { "Pending" }, outcome);
            return;
        };
        let json = volume.json();
        let has_reference = !field::tree(&json, "/spec/claimRef").is_null();
        let is_ours =
            claim_of(self.cluster, &json).is_some_and(|claim| claim.uid == self.object.uid);
        if has_reference && !is_ours {
            self.set_phase("Pending", outcome);
            return;
        }
        if field::text(&json, "/spec/claimRef/uid").is_empty() {
            let patch = json!({"spec": {"claimRef": self.reference()}});
            outcome.ops.push(write::merge_unchanged(volume, patch));
        }
        if field::annotation(self.json, BIND_COMPLETED).is_none() {
            let note = json!({"metadata": {"annotations": {BIND_COMPLETED: "yes"}}});
            outcome.ops.push(write::merge(self.object, note));
        }
        let wanted = json!({
            "phase": "Bound",
            "accessModes": field::list(&json, "/spec/accessModes"),
            "capacity": field::tree(&json, "/spec/capacity"),
        });
        let status = field::tree(self.json, "/status");
        outcome
            .ops
            .extend(write::status(self.object, status, &wanted));
    }

    fn set_phase(&self, phase: &str, outcome: &mut Outcome) {
        let status = field::tree(self.json, "/status");
        let wanted = json!({ "phase": phase });
        outcome
            .ops
            .extend(write::status(self.object, status, &wanted));
    }
}

fn capacity(volume: &Value) -> Quantity {
    Quantity::parse(field::text(volume, "/spec/capacity/storage")).unwrap_or_default()
}
