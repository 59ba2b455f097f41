//! Claims and how long they live: `persistentVolumeClaimRetentionPolicy`.
//!
//! Source: `updateClaimOwnerRefForSetAndPod` of Kubernetes 1.36. `Retain` means no owner. With
//! `whenDeleted: Delete` the set owns the claim, with `whenScaled: Delete` the pod of a condemned
//! ordinal does; the garbage collector does the rest.

use std::sync::Arc;

use serde_json::{Value, json};

use super::super::kind::{self, Kind};
use super::super::{claim, write};
use super::{Set, identity};
use crate::k8s::{Object, resources};

impl Set<'_> {
    /// Gives existing claims the owners that the policy wants.
    pub(super) fn keep_claims(&mut self) {
        let ordinals: Vec<(i64, &Arc<Object>)> = self
            .pods
            .iter()
            .map(|(ordinal, pod)| (*ordinal, *pod))
            .collect();
        for (ordinal, pod) in ordinals {
            for template in &self.spec.volume_claim_templates {
                let name = identity::claim_name(template, self.object, ordinal);
                let found = self.cluster.find(
                    &resources::PERSISTENT_VOLUME_CLAIMS,
                    self.object.namespace(),
                    &name,
                );
                if let Some(claim) = found {
                    let op = self.own(claim, ordinal, pod);
                    self.outcome.ops.extend(op);
                }
            }
        }
    }

    fn own(&self, object: &Object, ordinal: i64, pod: &Object) -> Option<crate::k8s::Op> {
        let policy = &self.spec.persistent_volume_claim_retention_policy;
        let condemned = !self.ordinals().contains(&ordinal);
        let by_pod = policy.when_scaled == "Delete" && condemned;
        let by_set = policy.when_deleted == "Delete" && !by_pod;
        let foreign = object
            .owners
            .iter()
            .filter(|owner| owner.uid != self.object.uid && owner.uid != pod.uid);
        let mut owners: Vec<Value> = foreign.map(claim::reference).collect();
        if by_set {
            owners.push(reference(self.object, &kind::STATEFUL_SET));
        }
        if by_pod {
            owners.push(reference(pod, &kind::POD));
        }
        let had: Vec<Value> = object.owners.iter().map(claim::reference).collect();
        if had.len() == owners.len() && owners.iter().all(|owner| has(&had, owner)) {
            return None;
        }
        Some(write::merge(
            object,
            json!({"metadata": {"ownerReferences": owners}}),
        ))
    }

    /// The claims that a pod needs and that do not exist yet.
    pub(super) fn create_claims(&mut self, ordinal: i64) {
        for index in 0..self.spec.volume_claim_templates.len() {
            let Some(template) = self.spec.volume_claim_templates.get(index) else {
                continue;
            };
            let name = identity::claim_name(template, self.object, ordinal);
            let namespace = self.object.namespace();
            let exists = self
                .cluster
                .find(&resources::PERSISTENT_VOLUME_CLAIMS, namespace, &name)
                .is_some();
            if exists {
                continue;
            }
            let mut claim = self.claim(template, ordinal);
            let policy = &self.spec.persistent_volume_claim_retention_policy;
            if policy.when_deleted == "Delete" {
                let owner = reference(self.object, &kind::STATEFUL_SET);
                let patch = json!({"metadata": {"ownerReferences": [owner]}});
                json_patch::merge(&mut claim, &patch);
            }
            let message = format!(
                "create Claim {name} Pod {} in StatefulSet {} success",
                identity::pod_name(self.object, ordinal),
                self.object.name()
            );
            let event = self.report().normal("SuccessfulCreate", message);
            self.outcome.ops.push(write::create(
                resources::PERSISTENT_VOLUME_CLAIMS,
                namespace,
                claim,
            ));
            self.outcome.ops.push(event);
        }
    }
}

fn has(owners: &[Value], wanted: &Value) -> bool {
    owners
        .iter()
        .any(|owner| owner.get("uid") == wanted.get("uid"))
}

fn reference(owner: &Object, kind: &Kind) -> Value {
    json!({
        "apiVersion": kind.api_version,
        "kind": kind.name,
        "name": owner.name(),
        "uid": owner.uid.0,
    })
}
