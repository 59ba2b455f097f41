//! Admission of pods: service account, priority, the tolerations that give a silent node five
//! minutes.

use serde_json::{Value, json};

use super::super::status::Status;
use super::super::tree::{self, default};
use super::super::write::Writing;
use crate::k8s::resources;

/// `DefaultTolerationSeconds`' own default.
const TOLERATION_S: i64 = 300;

const MIRROR: &str = "/metadata/annotations/kubernetes.io~1config.mirror";

pub(super) fn mutate(writing: &Writing, object: &mut Value) -> Result<(), Status> {
    let mirror = object.pointer(MIRROR).is_some();
    if !mirror && let Some(spec) = tree::object(object, "spec") {
        default(spec, "serviceAccountName", "default");
        let account = spec.get("serviceAccountName").cloned().unwrap_or_default();
        default(spec, "serviceAccount", account);
        pull_secrets(writing, object);
    }
    tolerations(object);
    priority(writing, object)
}

/// A pod that names no pull secrets has its account's.
/// Source: `ServiceAccount` of kube-apiserver's admission.
fn pull_secrets(writing: &Writing, object: &mut Value) {
    let namespace = tree::text(object, "/metadata/namespace").to_owned();
    let account = tree::text(object, "/spec/serviceAccountName").to_owned();
    let cluster = writing.store.cluster();
    let account = cluster.find(&resources::SERVICE_ACCOUNTS, &namespace, &account);
    let secrets = account.and_then(|account| account.json().get("imagePullSecrets").cloned());
    let own = object.pointer("/spec/imagePullSecrets");
    let has_own = own
        .and_then(Value::as_array)
        .is_some_and(|own| !own.is_empty());
    if let (Some(secrets), false, Some(spec)) = (secrets, has_own, tree::object(object, "spec")) {
        spec.insert("imagePullSecrets".into(), secrets);
    }
}

/// What an update that leaves it out keeps: the same plugins look at updates too.
/// Source: `DefaultTolerationSeconds` and `Priority` of kube-apiserver's admission.
pub(super) fn mutate_update(old: &Value, object: &mut Value) {
    tolerations(object);
    for field in ["priority", "preemptionPolicy"] {
        let kept = old.get("spec").and_then(|spec| spec.get(field)).cloned();
        if let (Some(kept), Some(spec)) = (kept, tree::object(object, "spec")) {
            default(spec, field, kept);
        }
    }
}

fn tolerations(object: &mut Value) {
    let Some(spec) = tree::object(object, "spec") else {
        return;
    };
    let list = spec.entry("tolerations").or_insert_with(|| json!([]));
    let Some(list) = list.as_array_mut() else {
        return;
    };
    for key in [
        "node.kubernetes.io/not-ready",
        "node.kubernetes.io/unreachable",
    ] {
        let text = |entry: &Value, field: &str| {
            entry
                .get(field)
                .and_then(Value::as_str)
                .unwrap_or_default()
                .to_owned()
        };
        let tolerated = list.iter().any(|entry| {
            let effect = text(entry, "effect");
            let own = text(entry, "key");
            (own == key || own.is_empty()) && (effect == "NoExecute" || effect.is_empty())
        });
        if !tolerated {
            list.push(json!({
                "key": key,
                "operator": "Exists",
                "effect": "NoExecute",
                "tolerationSeconds": TOLERATION_S,
            }));
        }
    }
}

/// `Priority`: the class decides; a number of the client's own must agree with it.
fn priority(writing: &Writing, object: &mut Value) -> Result<(), Status> {
    let name = tree::text(object, "/metadata/name").to_owned();
    let class = tree::text(object, "/spec/priorityClassName").to_owned();
    let stated = object.pointer("/spec/priority").and_then(Value::as_i64);
    let cluster = writing.store.cluster();
    let found = if class.is_empty() {
        cluster
            .list(&resources::PRIORITY_CLASSES)
            .filter(|class| class.json().get("globalDefault") == Some(&json!(true)))
            .min_by_key(|class| class.json().get("value").and_then(Value::as_i64))
    } else {
        match cluster.find(&resources::PRIORITY_CLASSES, "", &class) {
            Some(found) => Some(found),
            None => {
                return Err(Status::forbidden(
                    &resources::PODS,
                    &name,
                    &format!("no PriorityClass with name {class} was found"),
                ));
            }
        }
    };
    let (class, value, policy) = match found {
        Some(found) => {
            let tree = found.json();
            (
                found.name().to_owned(),
                tree.get("value").and_then(Value::as_i64).unwrap_or(0),
                tree.get("preemptionPolicy")
                    .cloned()
                    .unwrap_or_else(|| json!("PreemptLowerPriority")),
            )
        }
        None => (class, 0, json!("PreemptLowerPriority")),
    };
    if stated.is_some_and(|stated| stated != value) {
        return Err(Status::forbidden(
            &resources::PODS,
            &name,
            &format!(
                "the integer value of priority ({}) must not be provided in pod spec; priority \
                 admission controller computed {value} from the given PriorityClass name",
                stated.unwrap_or_default()
            ),
        ));
    }
    if let Some(spec) = tree::object(object, "spec") {
        if !class.is_empty() {
            spec.insert("priorityClassName".into(), class.into());
        }
        spec.insert("priority".into(), json!(value));
        default(spec, "preemptionPolicy", policy);
    }
    Ok(())
}
