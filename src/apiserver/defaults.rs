//! Kubernetes' own defaults, applied type by type along the schema, so that a pod template gets the
//! same ones in every kind that has one.
//!
//! Constant defaults are data (`defaults.json`, from the `SetDefaults_*` functions of
//! `k8s.io/kubernetes/pkg/apis/*/v1/defaults.go`); what depends on other fields is below.

use std::collections::BTreeMap;
use std::sync::OnceLock;

use serde_json::{Map, Value, json};

use super::tree::default;
use crate::k8s::facts;
use crate::k8s::schema::{Additional, Schema};

type Constants = BTreeMap<String, Map<String, Value>>;

fn constants() -> &'static Constants {
    static CONSTANTS: OnceLock<Constants> = OnceLock::new();
    CONSTANTS
        .get_or_init(|| serde_json::from_slice(include_bytes!("defaults.json")).unwrap_or_default())
}

/// Fills in what is missing in an object of a built-in kind.
pub(super) fn apply(definition: &str, value: &mut Value) {
    if let Some(schema) = facts::definition(definition) {
        visit(Some(definition), schema, value);
    }
}

fn visit(definition: Option<&str>, schema: &Schema, value: &mut Value) {
    match value {
        Value::Object(map) => {
            if let Some(definition) = definition {
                if let Some(constants) = constants().get(definition) {
                    for (key, constant) in constants {
                        default(map, key, constant.clone());
                    }
                }
                conditional(definition, map);
            }
            if schema.properties.is_empty() {
                if let Some(Additional::Values(values)) = schema.additional.as_ref() {
                    map.values_mut().for_each(|entry| descend(values, entry));
                }
                return;
            }
            for (key, entry) in map.iter_mut() {
                if let Some(field) = schema.properties.get(key.as_str()) {
                    descend(field, entry);
                }
            }
        }
        Value::Array(entries) => {
            if let Some(items) = schema.items.as_deref() {
                for entry in entries {
                    descend(items, entry);
                }
            }
        }
        _ => {}
    }
}

fn descend(schema: &Schema, value: &mut Value) {
    if value.is_object() || value.is_array() {
        visit(schema.reference.as_deref(), schema.resolved(), value);
    }
}

/// Defaults that depend on other fields of the same type.
fn conditional(definition: &str, map: &mut Map<String, Value>) {
    let Some((package, name)) = definition.rsplit_once('.') else {
        return;
    };
    match name {
        "Container" | "EphemeralContainer" => image_pull_policy(map),
        "PodSpec" => pod_spec(map),
        "Volume" if map.len() <= 1 => {
            map.insert("emptyDir".into(), json!({}));
        }
        "DeploymentStrategy" if is(map, "type", "RollingUpdate") => {
            let rolling = child(map, "rollingUpdate");
            default(rolling, "maxUnavailable", "25%");
            default(rolling, "maxSurge", "25%");
        }
        "StatefulSetUpdateStrategy" if is(map, "type", "RollingUpdate") => {
            default(child(map, "rollingUpdate"), "partition", 0);
        }
        "DaemonSetUpdateStrategy" if is(map, "type", "RollingUpdate") => {
            let rolling = child(map, "rollingUpdate");
            default(rolling, "maxUnavailable", 1);
            default(rolling, "maxSurge", 0);
        }
        "StatefulSetSpec" => claim_templates(map),
        "JobSpec" => job(map),
        "ServiceSpec" => service(map),
        "ServicePort" => {
            if let Some(port) = map.get("port").cloned() {
                default(map, "targetPort", port);
            }
        }
        "ReplicationControllerSpec" => selector_of_template(map),
        "Subject"
            if package.ends_with("rbac.v1")
                && (is(map, "kind", "User") || is(map, "kind", "Group")) =>
        {
            default(map, "apiGroup", "rbac.authorization.k8s.io");
        }
        "NetworkPolicySpec" if !map.contains_key("policyTypes") => {
            let mut types = vec!["Ingress"];
            if map.contains_key("egress") {
                types.push("Egress");
            }
            map.insert("policyTypes".into(), json!(types));
        }
        "PersistentVolumeClaim" | "PersistentVolume" => {
            default(child(map, "status"), "phase", "Pending");
        }
        "Namespace" => {
            default(child(map, "status"), "phase", "Active");
        }
        "LimitRangeItem" if is(map, "type", "Container") => limit_range_item(map),
        "HorizontalPodAutoscalerSpec" if package.ends_with("v2") => autoscaler(map),
        "CustomResourceDefinitionNames" => {
            if let Some(kind) = map.get("kind").and_then(Value::as_str).map(str::to_owned) {
                default(map, "singular", kind.to_lowercase());
                default(map, "listKind", format!("{kind}List"));
            }
        }
        _ => {}
    }
}

fn is(map: &Map<String, Value>, key: &str, expected: &str) -> bool {
    map.get(key).and_then(Value::as_str) == Some(expected)
}

/// The map at a key, made where there is none.
fn child<'a>(map: &'a mut Map<String, Value>, key: &str) -> &'a mut Map<String, Value> {
    let entry = map.entry(key).or_insert_with(|| json!({}));
    if !entry.is_object() {
        *entry = json!({});
    }
    match entry {
        Value::Object(inner) => inner,
        _ => unreachable!("it was made an object above"),
    }
}

/// `Always` for `:latest` and untagged images, `IfNotPresent` for the rest.
fn image_pull_policy(map: &mut Map<String, Value>) {
    let image = map.get("image").and_then(Value::as_str).unwrap_or_default();
    let file = image.rsplit('/').next().unwrap_or_default();
    let latest =
        !image.contains('@') && file.rsplit_once(':').is_none_or(|(_, tag)| tag == "latest");
    let policy = if latest { "Always" } else { "IfNotPresent" };
    default(map, "imagePullPolicy", policy);
}

fn pod_spec(map: &mut Map<String, Value>) {
    if let Some(account) = map.get("serviceAccountName").cloned() {
        default(map, "serviceAccount", account);
    } else if let Some(account) = map.get("serviceAccount").cloned() {
        map.insert("serviceAccountName".into(), account);
    }
    if map.get("hostNetwork") == Some(&json!(true)) {
        for list in ["containers", "initContainers"] {
            let Some(containers) = map.get_mut(list).and_then(Value::as_array_mut) else {
                continue;
            };
            let ports = containers
                .iter_mut()
                .filter_map(|container| container.get_mut("ports"))
                .filter_map(Value::as_array_mut)
                .flatten()
                .filter_map(Value::as_object_mut);
            for port in ports {
                if let Some(number) = port.get("containerPort").cloned() {
                    default(port, "hostPort", number);
                }
            }
        }
    }
}

fn claim_templates(map: &mut Map<String, Value>) {
    let templates = map
        .get_mut("volumeClaimTemplates")
        .and_then(Value::as_array_mut);
    for template in templates.into_iter().flatten() {
        if let Some(template) = template.as_object_mut() {
            default(template, "apiVersion", "v1");
            default(template, "kind", "PersistentVolumeClaim");
        }
    }
}

fn job(map: &mut Map<String, Value>) {
    let unset = |map: &Map<String, Value>, key: &str| map.get(key).is_none_or(Value::is_null);
    if unset(map, "completions") && unset(map, "parallelism") {
        map.insert("completions".into(), json!(1));
    }
    default(map, "parallelism", 1);
    if unset(map, "backoffLimit") {
        let limit = if unset(map, "backoffLimitPerIndex") {
            6
        } else {
            i32::MAX
        };
        map.insert("backoffLimit".into(), json!(limit));
    }
    let replacement = if unset(map, "podFailurePolicy") {
        "TerminatingOrFailed"
    } else {
        "Failed"
    };
    default(map, "podReplacementPolicy", replacement);
}

fn service(map: &mut Map<String, Value>) {
    let kind = map
        .get("type")
        .and_then(Value::as_str)
        .unwrap_or("ClusterIP")
        .to_owned();
    if is(map, "sessionAffinity", "ClientIP") {
        let config = child(map, "sessionAffinityConfig");
        default(child(config, "clientIP"), "timeoutSeconds", 10_800);
    }
    if matches!(kind.as_str(), "NodePort" | "LoadBalancer") {
        default(map, "externalTrafficPolicy", "Cluster");
    }
    if kind != "ExternalName" {
        default(map, "internalTrafficPolicy", "Cluster");
    }
    if kind == "LoadBalancer" {
        default(map, "allocateLoadBalancerNodePorts", true);
    }
}

fn selector_of_template(map: &mut Map<String, Value>) {
    let labels = map
        .get("template")
        .and_then(|template| template.pointer("/metadata/labels"))
        .cloned();
    if let Some(labels) = labels {
        default(map, "selector", labels);
    }
}

/// `default` falls back to `max`, `defaultRequest` to `default`, then `min`.
fn limit_range_item(map: &mut Map<String, Value>) {
    for (target, sources) in [
        ("default", ["max", ""]),
        ("defaultRequest", ["default", "min"]),
    ] {
        for source in sources {
            let Some(Value::Object(from)) = map.get(source).cloned() else {
                continue;
            };
            let into = child(map, target);
            for (resource, amount) in from {
                default(into, &resource, amount);
            }
        }
    }
}

fn autoscaler(map: &mut Map<String, Value>) {
    let empty = map
        .get("metrics")
        .and_then(Value::as_array)
        .is_none_or(Vec::is_empty);
    if empty {
        map.insert(
            "metrics".into(),
            json!([{
                "type": "Resource",
                "resource": {
                    "name": "cpu",
                    "target": {"type": "Utilization", "averageUtilization": 80},
                },
            }]),
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_names_existing_types_and_fields() {
        assert!(!constants().is_empty());
        for (definition, fields) in constants() {
            let schema = facts::definition(definition).unwrap_or_else(|| panic!("{definition}"));
            for field in fields.keys() {
                assert!(
                    schema.properties.contains_key(field.as_str()),
                    "{definition}.{field}"
                );
            }
        }
    }

    #[track_caller]
    fn check(definition: &str, mut value: Value, expected: &[(&str, Value)]) {
        apply(definition, &mut value);
        for (pointer, expected) in expected {
            assert_eq!(
                value.pointer(pointer),
                Some(expected),
                "{pointer} of {value:#}"
            );
        }
    }

    #[test]
    fn defaults_reach_into_templates() {
        check(
            "io.k8s.api.apps.v1.Deployment",
            json!({"spec": {"template": {"spec": {"containers": [
                {"name": "a", "image": "web"},
                {"name": "b", "image": "reg:5000/web:1.2",
                 "ports": [{"containerPort": 80}], "livenessProbe": {"httpGet": {"port": 80}}},
            ], "volumes": [{"name": "scratch"}]}}}}),
            &[
                ("/spec/replicas", json!(1)),
                ("/spec/strategy/rollingUpdate/maxSurge", json!("25%")),
                ("/spec/template/spec/restartPolicy", json!("Always")),
                (
                    "/spec/template/spec/containers/0/imagePullPolicy",
                    json!("Always"),
                ),
                (
                    "/spec/template/spec/containers/1/imagePullPolicy",
                    json!("IfNotPresent"),
                ),
                (
                    "/spec/template/spec/containers/1/ports/0/protocol",
                    json!("TCP"),
                ),
                (
                    "/spec/template/spec/containers/1/livenessProbe/periodSeconds",
                    json!(10),
                ),
                (
                    "/spec/template/spec/containers/1/livenessProbe/httpGet/path",
                    json!("/"),
                ),
                ("/spec/template/spec/volumes/0/emptyDir", json!({})),
            ],
        );
        check(
            "io.k8s.api.batch.v1.Job",
            json!({"spec": {"parallelism": 3}}),
            &[
                ("/spec/parallelism", json!(3)),
                ("/spec/backoffLimit", json!(6)),
            ],
        );
        check(
            "io.k8s.api.core.v1.Service",
            json!({"spec": {"type": "NodePort", "ports": [{"port": 80}]}}),
            &[
                ("/spec/ports/0/targetPort", json!(80)),
                ("/spec/externalTrafficPolicy", json!("Cluster")),
            ],
        );
    }
}
