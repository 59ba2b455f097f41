//! What makes the pod of an ordinal: its name, its labels, its host name and its claims.
//!
//! Source: `stateful_set_utils.go` of Kubernetes 1.36.

use serde_json::{Map, Value, json};

use super::super::history::Revision;
use super::super::{field, kind, pod};
use super::{REVISION_LABEL, Set, Spec};
use crate::k8s::Object;

/// The ordinal in a pod's name, if it is one of this set's names.
pub(super) fn ordinal(set: &Object, pod: &Object) -> Option<i64> {
    let number = pod.name().strip_prefix(set.name())?.strip_prefix('-')?;
    let is_plain = number == "0" || !number.starts_with(['0', '+', '-']);
    number.parse().ok().filter(|_| is_plain)
}

pub(super) fn pod_name(set: &Object, ordinal: i64) -> String {
    format!("{}-{ordinal}", set.name())
}

pub(super) fn claim_name(template: &Value, set: &Object, ordinal: i64) -> String {
    let name = field::text(template, "/metadata/name");
    format!("{name}-{}", pod_name(set, ordinal))
}

impl Set<'_> {
    pub(super) fn pod(&self, ordinal: i64, revision: &Revision) -> Value {
        let name = pod_name(self.object, ordinal);
        let mut pod =
            pod::from_template(&revision.template, self.object, &kind::STATEFUL_SET, &name);
        let labels = json!({"metadata": {"labels": {
            "statefulset.kubernetes.io/pod-name": name,
            "apps.kubernetes.io/pod-index": ordinal.to_string(),
            REVISION_LABEL: revision.name,
        }}});
        json_patch::merge(&mut pod, &labels);
        if let Some(spec) = pod.get_mut("spec") {
            field::put(spec, "hostname", json!(name));
            if !self.spec.service_name.is_empty() {
                field::put(spec, "subdomain", json!(self.spec.service_name));
            }
            let volumes = volumes(&self.spec, self.object, ordinal, spec);
            if !volumes.is_empty() {
                field::put(spec, "volumes", volumes.into());
            }
        }
        pod
    }

    /// The claim of a template for an ordinal.
    pub(super) fn claim(&self, template: &Value, ordinal: i64) -> Value {
        let mut claim = template.clone();
        let name = claim_name(template, self.object, ordinal);
        field::put(&mut claim, "apiVersion", json!("v1"));
        field::put(&mut claim, "kind", json!("PersistentVolumeClaim"));
        let labels = field::tree(&self.spec.selector, "/matchLabels").clone();
        let metadata = json!({"metadata": {
            "name": name,
            "namespace": self.object.namespace(),
            "labels": labels,
        }});
        json_patch::merge(&mut claim, &metadata);
        if let Some(fields) = claim.as_object_mut() {
            fields.remove("status");
        }
        claim
    }
}

/// The template's volumes, those of claims replaced or added.
fn volumes(spec: &Spec, set: &Object, ordinal: i64, pod_spec: &Value) -> Vec<Value> {
    let claims: Map<String, Value> = spec
        .volume_claim_templates
        .iter()
        .map(|template| {
            let name = field::text(template, "/metadata/name");
            let claim = json!({"claimName": claim_name(template, set, ordinal)});
            (
                name.to_owned(),
                json!({"name": name, "persistentVolumeClaim": claim}),
            )
        })
        .collect();
    let kept = field::list(pod_spec, "/volumes")
        .iter()
        .filter(|volume| !claims.contains_key(field::text(volume, "/name")))
        .cloned();
    claims.values().cloned().chain(kept).collect()
}
