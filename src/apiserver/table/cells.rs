//! The cells that are more than a look at one field.

use jiff::Timestamp;
use serde_json::{Map, Value};

use super::Row;
use crate::k8s::status;
use crate::stdx::humanize;

/// The text, number or boolean at `path`; empty when absent.
pub(super) fn text_at(json: &Value, path: &str) -> String {
    json.pointer(path).map(text).unwrap_or_default()
}

pub(super) fn length(value: Option<&Value>) -> usize {
    match value {
        Some(Value::Array(items)) => items.len(),
        Some(Value::Object(entries)) => entries.len(),
        _ => 0,
    }
}

pub(super) fn joined(value: Option<&Value>) -> String {
    items(value).map(text).collect::<Vec<_>>().join(",")
}

/// The age of the time stamp at `path`, `<unknown>` when absent.
pub(super) fn age(row: &Row<'_>, path: &str) -> String {
    humanize::age_of(time_at(row.json, path), row.now)
}

/// A `LabelSelector` as `kubectl` prints it: `a=b,c in (d,e),f,!g`; `<none>` when absent or empty.
pub(super) fn selector(value: Option<&Value>) -> String {
    let Some(value) = value else {
        return "<none>".to_owned();
    };
    let mut parts: Vec<String> = entries(value.get("matchLabels"))
        .map(|(key, value)| format!("{key}={}", text(value)))
        .collect();
    for requirement in items(value.get("matchExpressions")) {
        let key = text_at(requirement, "/key");
        let values = joined(requirement.get("values"));
        parts.push(match text_at(requirement, "/operator").as_str() {
            "In" => format!("{key} in ({values})"),
            "NotIn" => format!("{key} notin ({values})"),
            "Exists" => key,
            _ => format!("!{key}"),
        });
    }
    none_if_empty(parts.join(","))
}

fn text(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Null => String::new(),
        other => other.to_string(),
    }
}

fn items(value: Option<&Value>) -> impl Iterator<Item = &Value> {
    value.and_then(Value::as_array).into_iter().flatten()
}

fn entries(value: Option<&Value>) -> impl Iterator<Item = (&String, &Value)> {
    value
        .and_then(Value::as_object)
        .into_iter()
        .flat_map(Map::iter)
}

fn time_at(json: &Value, path: &str) -> Option<Timestamp> {
    json.pointer(path)?.as_str()?.parse().ok()
}

fn number_at(json: &Value, path: &str) -> i64 {
    json.pointer(path)
        .and_then(Value::as_i64)
        .unwrap_or_default()
}

fn boolean_at(json: &Value, path: &str) -> bool {
    json.pointer(path)
        .and_then(Value::as_bool)
        .unwrap_or_default()
}

fn none_if_empty(text: String) -> String {
    if text.is_empty() {
        "<none>".to_owned()
    } else {
        text
    }
}

fn capitalised(flag: bool) -> Value {
    Value::from(if flag { "true" } else { "false" })
}

// Pods.

pub(super) fn pod_ready(row: &Row<'_>) -> Value {
    match status::of_pod(row.object) {
        Some(pod) => Value::from(format!("{}/{}", pod.ready, pod.containers)),
        None => Value::from(""),
    }
}

pub(super) fn pod_status(row: &Row<'_>) -> Value {
    Value::from(
        status::of_pod(row.object)
            .map(|pod| pod.word.to_string())
            .unwrap_or_default(),
    )
}

/// `3 (2m ago)`; just the number when no container has ended yet.
pub(super) fn pod_restarts(row: &Row<'_>) -> Value {
    let Some(pod) = status::of_pod(row.object) else {
        return Value::from("");
    };
    match pod.last_restart.filter(|_| pod.restarts > 0) {
        Some(last) => Value::from(format!(
            "{} ({} ago)",
            pod.restarts,
            humanize::age(last, row.now)
        )),
        None => Value::from(pod.restarts.to_string()),
    }
}

pub(super) fn pod_readiness_gates(row: &Row<'_>) -> Value {
    let gates: Vec<String> = items(row.json.pointer("/spec/readinessGates"))
        .map(|gate| text_at(gate, "/conditionType"))
        .collect();
    if gates.is_empty() {
        return Value::from("<none>");
    }
    let met = gates
        .iter()
        .filter(|gate| condition_status(row.json, gate) == "True")
        .count();
    Value::from(format!("{met}/{}", gates.len()))
}

fn condition_status(json: &Value, kind: &str) -> String {
    items(json.pointer("/status/conditions"))
        .find(|condition| text_at(condition, "/type") == kind)
        .map(|condition| text_at(condition, "/status"))
        .unwrap_or_default()
}

// Pod templates of workloads.

pub(super) fn template_containers(row: &Row<'_>) -> Value {
    Value::from(template_field(row, "/name"))
}

pub(super) fn template_images(row: &Row<'_>) -> Value {
    Value::from(template_field(row, "/image"))
}

pub(super) fn template_labels(row: &Row<'_>) -> Value {
    Value::from(label_text(row.json.pointer("/template/metadata/labels")))
}

pub(super) fn template_node_selector(row: &Row<'_>) -> Value {
    Value::from(label_text(
        row.json.pointer("/spec/template/spec/nodeSelector"),
    ))
}

/// A workload's selector: `LabelSelector` in the newer groups, a plain map in the oldest.
pub(super) fn template_selector(row: &Row<'_>) -> Value {
    let path = if row.object.key.resource.plural == "cronjobs" {
        "/spec/jobTemplate/spec/selector"
    } else {
        "/spec/selector"
    };
    let found = row.json.pointer(path);
    let plain = found.is_some_and(|value| {
        value.get("matchLabels").is_none() && value.get("matchExpressions").is_none()
    });
    Value::from(if plain {
        label_text(found)
    } else {
        selector(found)
    })
}

fn template_field(row: &Row<'_>, field: &str) -> String {
    let paths = [
        "/spec/template/spec/containers",
        "/spec/jobTemplate/spec/template/spec/containers",
        "/template/spec/containers",
    ];
    let found = paths.iter().find_map(|path| row.json.pointer(path));
    items(found)
        .map(|container| text_at(container, field))
        .collect::<Vec<_>>()
        .join(",")
}

fn label_text(labels: Option<&Value>) -> String {
    let parts: Vec<String> = entries(labels)
        .map(|(key, value)| format!("{key}={}", text(value)))
        .collect();
    none_if_empty(parts.join(","))
}

/// `3/5`.
pub(super) fn ready_of_desired(row: &Row<'_>) -> Value {
    let ready = number_at(row.json, "/status/readyReplicas");
    let desired = row
        .json
        .pointer("/spec/replicas")
        .and_then(Value::as_i64)
        .unwrap_or(1);
    Value::from(format!("{ready}/{desired}"))
}

// Jobs.

pub(super) fn job_status(row: &Row<'_>) -> Value {
    let is = |kind| condition_status(row.json, kind) == "True";
    Value::from(if is("Complete") {
        "Complete"
    } else if is("Failed") {
        "Failed"
    } else if row.object.is_terminating() {
        "Terminating"
    } else if is("Suspended") {
        "Suspended"
    } else if is("FailureTarget") {
        "FailureTarget"
    } else if is("SuccessCriteriaMet") {
        "SuccessCriteriaMet"
    } else {
        "Running"
    })
}

pub(super) fn job_completions(row: &Row<'_>) -> Value {
    let succeeded = number_at(row.json, "/status/succeeded");
    let parallelism = number_at(row.json, "/spec/parallelism");
    Value::from(
        match row
            .json
            .pointer("/spec/completions")
            .and_then(Value::as_i64)
        {
            Some(completions) => format!("{succeeded}/{completions}"),
            None if parallelism > 1 => format!("{succeeded}/1 of {parallelism}"),
            None => format!("{succeeded}/1"),
        },
    )
}

pub(super) fn job_duration(row: &Row<'_>) -> Value {
    let Some(start) = time_at(row.json, "/status/startTime") else {
        return Value::from("");
    };
    let end = time_at(row.json, "/status/completionTime").unwrap_or(row.now);
    Value::from(humanize::age(start, end))
}

pub(super) fn cron_job_suspend(row: &Row<'_>) -> Value {
    Value::from(if boolean_at(row.json, "/spec/suspend") {
        "True"
    } else {
        "False"
    })
}

pub(super) fn cron_job_last_schedule(row: &Row<'_>) -> Value {
    Value::from(match time_at(row.json, "/status/lastScheduleTime") {
        Some(last) => humanize::age(last, row.now),
        None => "<none>".to_owned(),
    })
}

// Nodes.

pub(super) fn node_status(row: &Row<'_>) -> Value {
    Value::from(row.object.node().map_or("Unknown", status::node_word))
}

/// Roles are told by labels: `node-role.kubernetes.io/<role>`, or the older `kubernetes.io/role`.
pub(super) fn node_roles(row: &Row<'_>) -> Value {
    let mut roles: Vec<&str> = row
        .object
        .labels
        .iter()
        .filter_map(|(key, value)| {
            let role = key.strip_prefix("node-role.kubernetes.io/");
            role.or_else(|| (key == "kubernetes.io/role").then_some(value.as_str()))
        })
        .filter(|role| !role.is_empty())
        .collect();
    roles.sort_unstable();
    Value::from(none_if_empty(roles.join(",")))
}

pub(super) fn node_internal_ip(row: &Row<'_>) -> Value {
    node_address(row, "InternalIP")
}

pub(super) fn node_external_ip(row: &Row<'_>) -> Value {
    node_address(row, "ExternalIP")
}

fn node_address(row: &Row<'_>, kind: &str) -> Value {
    let found = items(row.json.pointer("/status/addresses"))
        .find(|address| text_at(address, "/type") == kind)
        .map(|address| text_at(address, "/address"));
    Value::from(none_if_empty(found.unwrap_or_default()))
}

// Services and endpoints.

pub(super) fn service_external_ip(row: &Row<'_>) -> Value {
    let external = joined(row.json.pointer("/spec/externalIPs"));
    let balancers: Vec<String> = items(row.json.pointer("/status/loadBalancer/ingress"))
        .map(|ingress| {
            let ip = text_at(ingress, "/ip");
            if ip.is_empty() {
                text_at(ingress, "/hostname")
            } else {
                ip
            }
        })
        .collect();
    Value::from(match text_at(row.json, "/spec/type").as_str() {
        "ExternalName" => text_at(row.json, "/spec/externalName"),
        "LoadBalancer" if !balancers.is_empty() || !external.is_empty() => {
            let both = [balancers.join(","), external];
            both.iter()
                .filter(|part| !part.is_empty())
                .cloned()
                .collect::<Vec<_>>()
                .join(",")
        }
        "LoadBalancer" => "<pending>".to_owned(),
        _ => none_if_empty(external),
    })
}

pub(super) fn service_ports(row: &Row<'_>) -> Value {
    let ports: Vec<String> = items(row.json.pointer("/spec/ports"))
        .map(|port| {
            let number = text_at(port, "/port");
            let protocol = text_at(port, "/protocol");
            match number_at(port, "/nodePort") {
                0 => format!("{number}/{protocol}"),
                node_port => format!("{number}:{node_port}/{protocol}"),
            }
        })
        .collect();
    Value::from(none_if_empty(ports.join(",")))
}

pub(super) fn service_selector(row: &Row<'_>) -> Value {
    Value::from(label_text(row.json.pointer("/spec/selector")))
}

/// The first three `address:port` pairs, and how many more there are.
pub(super) fn endpoints(row: &Row<'_>) -> Value {
    let mut pairs = Vec::new();
    for subset in items(row.json.pointer("/subsets")) {
        let addresses = || items(subset.get("addresses")).map(|entry| text_at(entry, "/ip"));
        if length(subset.get("ports")) == 0 {
            pairs.extend(addresses());
        }
        for port in items(subset.get("ports")) {
            let number = text_at(port, "/port");
            pairs.extend(addresses().map(|address| format!("{address}:{number}")));
        }
    }
    Value::from(first_few(&pairs, ","))
}

fn first_few(parts: &[String], separator: &str) -> String {
    const SHOWN: usize = 3;
    let shown = parts
        .iter()
        .take(SHOWN)
        .cloned()
        .collect::<Vec<_>>()
        .join(separator);
    match parts.len() {
        0 => "<none>".to_owned(),
        total if total > SHOWN => format!("{shown} + {} more...", total - SHOWN),
        _ => shown,
    }
}

pub(super) fn slice_ports(row: &Row<'_>) -> Value {
    let ports: Vec<String> = items(row.json.pointer("/ports"))
        .map(|port| text_at(port, "/port"))
        .collect();
    Value::from(if ports.is_empty() {
        "<unset>".to_owned()
    } else {
        few(&ports)
    })
}

pub(super) fn slice_endpoints(row: &Row<'_>) -> Value {
    let addresses: Vec<String> = items(row.json.pointer("/endpoints"))
        .flat_map(|endpoint| {
            items(endpoint.get("addresses"))
                .map(text)
                .collect::<Vec<_>>()
        })
        .collect();
    Value::from(if addresses.is_empty() {
        "<unset>".to_owned()
    } else {
        few(&addresses)
    })
}

fn few(parts: &[String]) -> String {
    first_few(parts, ",")
}

// Storage.

/// A claim that is being deleted says so instead of its phase.
pub(super) fn claim_status(row: &Row<'_>) -> Value {
    Value::from(if row.object.is_terminating() {
        "Terminating".to_owned()
    } else {
        text_at(row.json, "/status/phase")
    })
}

/// A claim has its access modes once it is bound.
pub(super) fn claim_access_modes(row: &Row<'_>) -> Value {
    let bound = !text_at(row.json, "/spec/volumeName").is_empty();
    Value::from(if bound {
        access_modes(row.json.pointer("/status/accessModes"))
    } else {
        String::new()
    })
}

pub(super) fn volume_access_modes(row: &Row<'_>) -> Value {
    Value::from(access_modes(row.json.pointer("/spec/accessModes")))
}

fn access_modes(modes: Option<&Value>) -> String {
    const SHORT: [(&str, &str); 4] = [
        ("ReadWriteOnce", "RWO"),
        ("ReadOnlyMany", "ROX"),
        ("ReadWriteMany", "RWX"),
        ("ReadWriteOncePod", "RWOP"),
    ];
    let present: Vec<String> = items(modes).map(text).collect();
    let short = SHORT
        .iter()
        .filter(|(mode, _)| present.iter().any(|entry| entry == mode));
    short.map(|(_, short)| *short).collect::<Vec<_>>().join(",")
}

pub(super) fn volume_claim(row: &Row<'_>) -> Value {
    let name = text_at(row.json, "/spec/claimRef/name");
    Value::from(if name.is_empty() {
        String::new()
    } else {
        format!("{}/{name}", text_at(row.json, "/spec/claimRef/namespace"))
    })
}

pub(super) fn storage_class_name(row: &Row<'_>) -> Value {
    let default = row
        .json
        .pointer("/metadata/annotations/storageclass.kubernetes.io~1is-default-class")
        .and_then(Value::as_str);
    Value::from(match default {
        Some("true") => format!("{} (default)", row.object.name()),
        _ => row.object.name().to_owned(),
    })
}

pub(super) fn allow_expansion(row: &Row<'_>) -> Value {
    capitalised(boolean_at(row.json, "/allowVolumeExpansion"))
}

pub(super) fn attached(row: &Row<'_>) -> Value {
    capitalised(boolean_at(row.json, "/status/attached"))
}

pub(super) fn driver_attach_required(row: &Row<'_>) -> Value {
    capitalised(
        row.json
            .pointer("/spec/attachRequired")
            .and_then(Value::as_bool)
            .unwrap_or(true),
    )
}

pub(super) fn driver_pod_info(row: &Row<'_>) -> Value {
    capitalised(boolean_at(row.json, "/spec/podInfoOnMount"))
}

pub(super) fn driver_storage_capacity(row: &Row<'_>) -> Value {
    capitalised(boolean_at(row.json, "/spec/storageCapacity"))
}

pub(super) fn driver_republish(row: &Row<'_>) -> Value {
    capitalised(boolean_at(row.json, "/spec/requiresRepublish"))
}

// Events.

pub(super) fn event_last_seen(row: &Row<'_>) -> Value {
    let paths = [
        "/series/lastObservedTime",
        "/lastTimestamp",
        "/deprecatedLastTimestamp",
        "/eventTime",
        "/firstTimestamp",
    ];
    event_age(row, &paths)
}

pub(super) fn event_first_seen(row: &Row<'_>) -> Value {
    event_age(
        row,
        &["/firstTimestamp", "/deprecatedFirstTimestamp", "/eventTime"],
    )
}

fn event_age(row: &Row<'_>, paths: &[&str]) -> Value {
    let found = paths.iter().find_map(|path| time_at(row.json, path));
    Value::from(humanize::age_of(found, row.now))
}

fn event_subject(row: &Row<'_>) -> Value {
    let found = row
        .json
        .get("involvedObject")
        .or_else(|| row.json.get("regarding"));
    found.cloned().unwrap_or_default()
}

pub(super) fn event_object(row: &Row<'_>) -> Value {
    let subject = event_subject(row);
    let kind = text_at(&subject, "/kind").to_lowercase();
    Value::from(format!("{kind}/{}", text_at(&subject, "/name")))
}

pub(super) fn event_subobject(row: &Row<'_>) -> Value {
    Value::from(text_at(&event_subject(row), "/fieldPath"))
}

pub(super) fn event_source(row: &Row<'_>) -> Value {
    let first = |paths: &[&str]| {
        paths
            .iter()
            .map(|path| text_at(row.json, path))
            .find(|found| !found.is_empty())
    };
    let component = first(&[
        "/source/component",
        "/reportingComponent",
        "/reportingController",
    ])
    .unwrap_or_default();
    Value::from(match first(&["/source/host", "/reportingInstance"]) {
        Some(host) if host != component => format!("{component}, {host}"),
        _ => component,
    })
}

pub(super) fn event_message(row: &Row<'_>) -> Value {
    let message = text_at(row.json, "/message");
    let message = if message.is_empty() {
        text_at(row.json, "/note")
    } else {
        message
    };
    Value::from(message.trim())
}

pub(super) fn event_count(row: &Row<'_>) -> Value {
    let paths = ["/series/count", "/count", "/deprecatedCount"];
    let found = paths
        .iter()
        .map(|path| number_at(row.json, path))
        .find(|count| *count > 0);
    Value::from(found.unwrap_or(1))
}

// Policies, roles, quotas.

pub(super) fn binding_role(row: &Row<'_>) -> Value {
    let kind = text_at(row.json, "/roleRef/kind");
    Value::from(format!("{kind}/{}", text_at(row.json, "/roleRef/name")))
}

pub(super) fn binding_users(row: &Row<'_>) -> Value {
    binding_subjects(row, "User")
}

pub(super) fn binding_groups(row: &Row<'_>) -> Value {
    binding_subjects(row, "Group")
}

pub(super) fn binding_service_accounts(row: &Row<'_>) -> Value {
    binding_subjects(row, "ServiceAccount")
}

fn binding_subjects(row: &Row<'_>, kind: &str) -> Value {
    let names: Vec<String> = items(row.json.get("subjects"))
        .filter(|subject| text_at(subject, "/kind") == kind)
        .map(|subject| {
            let name = text_at(subject, "/name");
            if kind == "ServiceAccount" {
                format!("{}/{name}", text_at(subject, "/namespace"))
            } else {
                name
            }
        })
        .collect();
    Value::from(names.join(", "))
}

pub(super) fn priority_global_default(row: &Row<'_>) -> Value {
    Value::from(boolean_at(row.json, "/globalDefault"))
}

pub(super) fn quota_requests(row: &Row<'_>) -> Value {
    quota(row, |name| !name.starts_with("limits."))
}

pub(super) fn quota_limits(row: &Row<'_>) -> Value {
    quota(row, |name| name.starts_with("limits."))
}

/// `cpu: 2/10, pods: 3/20`, sorted by name.
fn quota(row: &Row<'_>, wanted: fn(&str) -> bool) -> Value {
    let parts: Vec<String> = entries(row.json.pointer("/status/hard"))
        .filter(|(name, _)| wanted(name))
        .map(|(name, hard)| {
            let used = row
                .json
                .pointer("/status/used")
                .and_then(|used| used.get(name));
            let used = used.map_or_else(|| "0".to_owned(), text);
            format!("{name}: {used}/{}", text(hard))
        })
        .collect();
    Value::from(parts.join(", "))
}

/// Data and binary data together.
pub(super) fn config_map_data(row: &Row<'_>) -> Value {
    Value::from(length(row.json.get("data")) + length(row.json.get("binaryData")))
}

pub(super) fn controller(row: &Row<'_>) -> Value {
    let Some(owner) = row.object.controller() else {
        return Value::from("<none>");
    };
    let group = owner
        .api_version
        .split_once('/')
        .map(|(group, _)| format!(".{group}"));
    let kind = owner.kind.to_lowercase();
    Value::from(format!(
        "{kind}{}/{}",
        group.unwrap_or_default(),
        owner.name
    ))
}

pub(super) fn policy_param_kind(row: &Row<'_>) -> Value {
    let kind = text_at(row.json, "/spec/paramKind/kind");
    Value::from(if kind.is_empty() {
        "<unset>".to_owned()
    } else {
        format!("{}/{kind}", text_at(row.json, "/spec/paramKind/apiVersion"))
    })
}

pub(super) fn api_service(row: &Row<'_>) -> Value {
    let name = text_at(row.json, "/spec/service/name");
    Value::from(if name.is_empty() {
        "Local".to_owned()
    } else {
        format!("{}/{name}", text_at(row.json, "/spec/service/namespace"))
    })
}

pub(super) fn api_service_available(row: &Row<'_>) -> Value {
    let condition = items(row.json.pointer("/status/conditions"))
        .find(|condition| text_at(condition, "/type") == "Available");
    Value::from(match condition {
        Some(condition) if text_at(condition, "/status") == "True" => "True".to_owned(),
        Some(condition) => {
            format!(
                "{} ({})",
                text_at(condition, "/status"),
                text_at(condition, "/reason")
            )
        }
        None => "Unknown".to_owned(),
    })
}

pub(super) fn signing_condition(row: &Row<'_>) -> Value {
    let conditions: Vec<String> = items(row.json.pointer("/status/conditions"))
        .map(|condition| text_at(condition, "/type"))
        .collect();
    let mut words = Vec::new();
    for word in ["Approved", "Denied", "Failed"] {
        if conditions.iter().any(|condition| condition == word) {
            words.push(word.to_owned());
        }
    }
    if words.is_empty() {
        words.push("Pending".to_owned());
    }
    if !text_at(row.json, "/status/certificate").is_empty() {
        words.push("Issued".to_owned());
    }
    Value::from(words.join(","))
}

pub(super) fn resource_claim_state(row: &Row<'_>) -> Value {
    let mut words = Vec::new();
    if row.object.is_terminating() {
        words.push("deleted");
    }
    if row.json.pointer("/status/allocation").is_some() {
        words.push("allocated");
    }
    if length(row.json.pointer("/status/reservedFor")) > 0 {
        words.push("reserved");
    }
    Value::from(if words.is_empty() {
        "pending".to_owned()
    } else {
        words.join(",")
    })
}

// Autoscaling.

pub(super) fn autoscaler_reference(row: &Row<'_>) -> Value {
    let kind = text_at(row.json, "/spec/scaleTargetRef/kind");
    Value::from(format!(
        "{kind}/{}",
        text_at(row.json, "/spec/scaleTargetRef/name")
    ))
}

/// `cpu: <unknown>/80%` for resource metrics in both API versions.
pub(super) fn autoscaler_targets(row: &Row<'_>) -> Value {
    let mut parts: Vec<String> = items(row.json.pointer("/spec/metrics"))
        .enumerate()
        .map(|(index, metric)| autoscaler_target(row.json, index, metric))
        .collect();
    if let Some(target) = row.json.pointer("/spec/targetCPUUtilizationPercentage") {
        let current = text_at(row.json, "/status/currentCPUUtilizationPercentage");
        let current = if current.is_empty() {
            "<unknown>".to_owned()
        } else {
            format!("{current}%")
        };
        parts.push(format!("cpu: {current}/{}%", text(target)));
    }
    Value::from(first_few_metrics(&parts))
}

fn autoscaler_target(json: &Value, index: usize, metric: &Value) -> String {
    let kind = text_at(metric, "/type");
    let mut field = kind.clone();
    if let Some(first) = field.get_mut(0..1) {
        first.make_ascii_lowercase();
    }
    let source = metric.get(&field).cloned().unwrap_or_default();
    let name = [text_at(&source, "/name"), text_at(&source, "/metric/name")].concat();
    let current = format!("/status/currentMetrics/{index}/{field}/current");
    let utilization = text_at(&source, "/target/averageUtilization");
    if utilization.is_empty() {
        let target = ["/target/averageValue", "/target/value"]
            .iter()
            .map(|path| text_at(&source, path))
            .find(|found| !found.is_empty());
        let now = text_at(json, &format!("{current}/averageValue"));
        let now = if now.is_empty() {
            "<unknown>".to_owned()
        } else {
            now
        };
        let prefix = if kind == "Resource" {
            format!("{name}: ")
        } else {
            String::new()
        };
        format!("{prefix}{now}/{}", target.unwrap_or_default())
    } else {
        let now = text_at(json, &format!("{current}/averageUtilization"));
        let now = if now.is_empty() {
            "<unknown>".to_owned()
        } else {
            format!("{now}%")
        };
        format!("{name}: {now}/{utilization}%")
    }
}

fn first_few_metrics(parts: &[String]) -> String {
    const SHOWN: usize = 2;
    let shown = parts
        .iter()
        .take(SHOWN)
        .cloned()
        .collect::<Vec<_>>()
        .join(", ");
    match parts.len() {
        0 => "<none>".to_owned(),
        total if total > SHOWN => format!("{shown} + {} more...", total - SHOWN),
        _ => shown,
    }
}

// Networking.

pub(super) fn ingress_hosts(row: &Row<'_>) -> Value {
    let mut hosts: Vec<String> = items(row.json.pointer("/spec/rules"))
        .map(|rule| text_at(rule, "/host"))
        .filter(|host| !host.is_empty())
        .collect();
    hosts.dedup();
    Value::from(if hosts.is_empty() {
        "*".to_owned()
    } else {
        first_few(&hosts, ",")
    })
}

pub(super) fn ingress_address(row: &Row<'_>) -> Value {
    let addresses: Vec<String> = items(row.json.pointer("/status/loadBalancer/ingress"))
        .map(|ingress| {
            let ip = text_at(ingress, "/ip");
            if ip.is_empty() {
                text_at(ingress, "/hostname")
            } else {
                ip
            }
        })
        .collect();
    Value::from(addresses.join(","))
}

pub(super) fn ingress_ports(row: &Row<'_>) -> Value {
    let secure = length(row.json.pointer("/spec/tls")) > 0;
    Value::from(if secure { "80, 443" } else { "80" })
}

pub(super) fn address_parent(row: &Row<'_>) -> Value {
    let part = |field: &str| text_at(row.json, &format!("/spec/parentRef/{field}"));
    let parts = [
        part("resource"),
        part("group"),
        part("namespace"),
        part("name"),
    ];
    let [resource, group, namespace, name] = parts;
    let resource = if group.is_empty() {
        resource
    } else {
        format!("{resource}.{group}")
    };
    let parts = [resource, namespace, name];
    let filled: Vec<String> = parts.into_iter().filter(|part| !part.is_empty()).collect();
    Value::from(filled.join("/"))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::{Row, columns};
    use crate::k8s::{Object, Resource};

    #[track_caller]
    fn check(resource: &Resource, object: &serde_json::Value, columns: &[&str], expected: &[&str]) {
        let object = Object::from_json(resource.clone(), object).unwrap();
        let now = "2026-01-01T01:00:00Z".parse().unwrap();
        let tree = object.json();
        let row = Row {
            object: &object,
            json: &tree,
            now,
        };
        let found: Vec<String> = columns
            .iter()
            .map(|column| super::text(&columns::cell(resource, column, &row)))
            .collect();
        assert_eq!(found, expected);
    }

    #[test]
    fn a_deployment_shows_ready_of_desired_and_its_images() {
        check(
            &crate::k8s::resources::DEPLOYMENTS,
            &json!({
                "metadata": {"name": "cart", "creationTimestamp": "2026-01-01T00:00:00Z"},
                "spec": {
                    "replicas": 3,
                    "selector": {"matchLabels": {"app": "cart"}},
                    "template": {"spec": {"containers": [{"name": "a", "image": "x:1"}, {"name": "b", "image": "y:2"}]}}
                },
                "status": {"readyReplicas": 2, "updatedReplicas": 3}
            }),
            &[
                "Name",
                "Ready",
                "Up-to-date",
                "Available",
                "Age",
                "Containers",
                "Images",
                "Selector",
            ],
            &["cart", "2/3", "3", "0", "60m", "a,b", "x:1,y:2", "app=cart"],
        );
    }

    #[test]
    fn a_service_shows_node_ports() {
        check(
            &crate::k8s::resources::SERVICES,
            &json!({
                "metadata": {"name": "web"},
                "spec": {"type": "NodePort", "clusterIP": "10.96.0.7",
                         "ports": [{"port": 80, "nodePort": 30080, "protocol": "TCP"}]}
            }),
            &[
                "Name",
                "Type",
                "Cluster-IP",
                "External-IP",
                "Port(s)",
                "Selector",
            ],
            &[
                "web",
                "NodePort",
                "10.96.0.7",
                "<none>",
                "80:30080/TCP",
                "<none>",
            ],
        );
    }

    #[test]
    fn selectors_print_all_operators() {
        check(
            &Resource::of("networking.k8s.io", "networkpolicies"),
            &json!({"spec": {"podSelector": {
                "matchLabels": {"a": "b"},
                "matchExpressions": [
                    {"key": "c", "operator": "In", "values": ["d", "e"]},
                    {"key": "f", "operator": "Exists"},
                    {"key": "g", "operator": "DoesNotExist"}]}}}),
            &["Pod-Selector"],
            &["a=b,c in (d,e),f,!g"],
        );
    }

    #[test]
    fn an_unknown_column_is_empty_but_there() {
        check(
            &Resource::of("x.example", "things"),
            &json!({"metadata": {"name": "t"}}),
            &["Name", "Nope"],
            &["t", ""],
        );
    }
}
