//! Fields that cannot be changed once they are set.

use serde_json::Value;

use super::super::registry::ResourceType;
use super::super::status::Cause;
use super::super::tree;

const IMMUTABLE: &str = "field is immutable";

pub(super) fn check(resource_type: &ResourceType, old: &Value, object: &Value) -> Vec<Cause> {
    let mut causes = Vec::new();
    let mut fixed = |pointer: &str| {
        if old.pointer(pointer) != object.pointer(pointer) {
            let field = pointer.trim_start_matches('/').replace('/', ".");
            let value = object.pointer(pointer).cloned().unwrap_or_default();
            causes.push(Cause::invalid(field, &value, IMMUTABLE));
        }
    };
    match (resource_type.group.as_str(), resource_type.plural.as_str()) {
        ("apps", "deployments" | "replicasets" | "daemonsets") => fixed("/spec/selector"),
        ("batch", "jobs") => {
            fixed("/spec/selector");
            if old.pointer("/spec/suspend") != Some(&Value::Bool(true)) {
                fixed("/spec/template");
            }
            fixed("/spec/completionMode");
        }
        ("rbac.authorization.k8s.io", "rolebindings" | "clusterrolebindings")
            if old.get("roleRef") != object.get("roleRef") =>
        {
            let value = object.get("roleRef").cloned().unwrap_or_default();
            causes.push(Cause::invalid("roleRef", &value, "cannot change roleRef"));
        }
        ("storage.k8s.io", "storageclasses") => {
            for field in [
                "/provisioner",
                "/parameters",
                "/reclaimPolicy",
                "/volumeBindingMode",
            ] {
                if old.pointer(field) != object.pointer(field) {
                    causes.push(Cause::forbidden(
                        field.trim_start_matches('/'),
                        "updates to this field are forbidden.",
                    ));
                }
            }
        }
        ("scheduling.k8s.io", "priorityclasses") if old.get("value") != object.get("value") => {
            causes.push(Cause::forbidden(
                "value",
                "may not be changed in an update.",
            ));
        }
        ("apps", "statefulsets") => stateful_set(old, object, &mut causes),
        ("", "pods") => pod(old, object, &mut causes),
        ("", "services") => service(old, object, &mut causes),
        ("", "configmaps" | "secrets") => data(old, object, &mut causes),
        ("", "persistentvolumeclaims") => claim(old, object, &mut causes),
        ("apiextensions.k8s.io", "customresourcedefinitions") => {
            fixed("/spec/group");
            fixed("/spec/scope");
            fixed("/spec/names/plural");
            fixed("/spec/names/kind");
        }
        _ => {}
    }
    causes
}

const STATEFUL_SET_MUTABLE: [&str; 8] = [
    "replicas",
    "ordinals",
    "template",
    "updateStrategy",
    "revisionHistoryLimit",
    "persistentVolumeClaimRetentionPolicy",
    "minReadySeconds",
    "status",
];

fn stateful_set(old: &Value, object: &Value, causes: &mut Vec<Cause>) {
    let rest = |tree: &Value| {
        let mut spec = tree
            .get("spec")
            .and_then(Value::as_object)
            .cloned()
            .unwrap_or_default();
        spec.retain(|key, _| !STATEFUL_SET_MUTABLE.contains(&key.as_str()));
        // Claims of a template are pending for ever; their status is no wish.
        if let Some(claims) = spec
            .get_mut("volumeClaimTemplates")
            .and_then(Value::as_array_mut)
        {
            for claim in claims.iter_mut().filter_map(Value::as_object_mut) {
                claim.remove("status");
            }
        }
        spec
    };
    if rest(old) != rest(object) {
        causes.push(Cause::forbidden(
            "spec",
            "updates to statefulset spec for fields other than 'replicas', 'ordinals', \
             'template', 'updateStrategy', 'revisionHistoryLimit', \
             'persistentVolumeClaimRetentionPolicy' and 'minReadySeconds' are forbidden",
        ));
    }
}

/// A pod's specification is fixed but for images, deadlines, added tolerations, shortened grace,
/// and what schedulers and gates change.
fn pod(old: &Value, object: &Value, causes: &mut Vec<Cause>) {
    let gated = !tree::entries(old, "/spec/schedulingGates").is_empty();
    let rest = |tree: &Value| {
        let mut spec = tree.get("spec").cloned().unwrap_or_default();
        if let Some(map) = spec.as_object_mut() {
            for field in [
                "activeDeadlineSeconds",
                "tolerations",
                "terminationGracePeriodSeconds",
                "schedulingGates",
                "ephemeralContainers",
            ] {
                map.remove(field);
            }
            if gated {
                map.remove("nodeSelector");
                map.remove("affinity");
            }
            for list in ["containers", "initContainers"] {
                let containers = map.get_mut(list).and_then(Value::as_array_mut);
                for container in containers.into_iter().flatten() {
                    if let Some(container) = container.as_object_mut() {
                        container.remove("image");
                        // The default follows the image's tag.
                        container.remove("imagePullPolicy");
                    }
                }
            }
        }
        spec
    };
    if rest(old) != rest(object) {
        causes.push(Cause::forbidden(
            "spec",
            "pod updates may not change fields other than \
             `spec.containers[*].image`,`spec.initContainers[*].image`,\
             `spec.activeDeadlineSeconds`,`spec.tolerations` (only additions to existing \
             tolerations),`spec.terminationGracePeriodSeconds` (allow it to be set to 1 if it was \
             previously negative)",
        ));
    }
    let before = tree::entries(old, "/spec/tolerations");
    let after = tree::entries(object, "/spec/tolerations");
    // Source: `validateOnlyAddedTolerations`, which compares all fields but the seconds.
    let terms = |toleration: &Value| {
        let mut terms = toleration.clone();
        if let Some(fields) = terms.as_object_mut() {
            fields.remove("tolerationSeconds");
        }
        terms
    };
    let after: Vec<Value> = after.iter().map(terms).collect();
    if before
        .iter()
        .any(|toleration| !after.contains(&terms(toleration)))
    {
        causes.push(Cause::forbidden(
            "spec.tolerations",
            "existing toleration can not be modified except its tolerationSeconds",
        ));
    }
}

fn service(old: &Value, object: &Value, causes: &mut Vec<Cause>) {
    let before = tree::text(old, "/spec/clusterIP");
    let after = tree::text(object, "/spec/clusterIP");
    let external = |tree: &Value| tree::text(tree, "/spec/type") == "ExternalName";
    if !before.is_empty() && before != after && !external(object) && !external(old) {
        causes.push(Cause::invalid(
            "spec.clusterIPs[0]",
            &Value::from(vec![after]),
            "may not change once set",
        ));
    }
}

fn data(old: &Value, object: &Value, causes: &mut Vec<Cause>) {
    if old.get("immutable") != Some(&Value::Bool(true)) {
        if old.get("type") != object.get("type") {
            let value = object.get("type").cloned().unwrap_or_default();
            causes.push(Cause::invalid("type", &value, IMMUTABLE));
        }
        return;
    }
    if object.get("immutable") != Some(&Value::Bool(true)) {
        causes.push(Cause::forbidden(
            "immutable",
            "field is immutable when `immutable` is set",
        ));
    }
    for field in ["data", "binaryData"] {
        if old.get(field) != object.get(field) {
            causes.push(Cause::forbidden(
                field,
                "field is immutable when `immutable` is set",
            ));
        }
    }
}

fn claim(old: &Value, object: &Value, causes: &mut Vec<Cause>) {
    let rest = |tree: &Value| {
        let mut spec = tree.get("spec").cloned().unwrap_or_default();
        if let Some(map) = spec.as_object_mut() {
            map.remove("resources");
            map.remove("volumeAttributesClassName");
            if tree::text(old, "/spec/volumeName").is_empty() {
                map.remove("volumeName");
            }
            if tree::text(old, "/spec/storageClassName").is_empty() {
                map.remove("storageClassName");
            }
        }
        spec
    };
    if rest(old) != rest(object) {
        causes.push(Cause::forbidden(
            "spec",
            "spec is immutable after creation except resources.requests and \
             volumeAttributesClassName for bound claims",
        ));
    }
}
