//! Workloads: selectors, templates, counts.

use serde_json::{Value, json};

use super::super::registry::ResourceType;
use super::super::status::Cause;
use super::super::tree;
use super::{metadata, names, pod};
use crate::k8s::object::Labels;
use crate::k8s::selector::LabelSelector;

/// Deployments, replica sets, stateful sets, daemon sets.
pub(super) fn check(resource_type: &ResourceType, object: &Value, causes: &mut Vec<Cause>) {
    for field in ["replicas", "minReadySeconds", "revisionHistoryLimit"] {
        not_negative(object, field, causes);
    }
    let claims: Vec<&str> = tree::entries(object, "/spec/volumeClaimTemplates")
        .iter()
        .map(|claim| tree::text(claim, "/metadata/name"))
        .collect();
    selector_and_template(object, &claims, causes);
    let policy = tree::text(object, "/spec/template/spec/restartPolicy");
    if !matches!(policy, "" | "Always") {
        causes.push(Cause::not_supported(
            "spec.template.spec.restartPolicy",
            &Value::from(policy),
            &["Always"],
        ));
    }
    if resource_type.plural == "deployments" {
        rolling_update(object, causes);
    }
}

fn not_negative(object: &Value, field: &str, causes: &mut Vec<Cause>) {
    let Some(count) = object.pointer(&format!("/spec/{field}")) else {
        return;
    };
    if count.as_i64().is_some_and(|count| count < 0) {
        causes.push(Cause::invalid(
            format!("spec.{field}"),
            count,
            "must be greater than or equal to 0",
        ));
    }
}

fn selector_and_template(object: &Value, claims: &[&str], causes: &mut Vec<Cause>) {
    let selector = object
        .pointer("/spec/selector")
        .and_then(|selector| serde_json::from_value::<LabelSelector>(selector.clone()).ok());
    match &selector {
        None => causes.push(Cause::required("spec.selector", "")),
        Some(selector) if selector.is_empty() => causes.push(Cause::invalid(
            "spec.selector",
            &object
                .pointer("/spec/selector")
                .cloned()
                .unwrap_or_default(),
            "empty selector is invalid for deployment",
        )),
        Some(_) => {}
    }
    let Some(template) = object.pointer("/spec/template") else {
        causes.push(Cause::required("spec.template", ""));
        return;
    };
    let labels: Labels = template
        .pointer("/metadata/labels")
        .and_then(|labels| serde_json::from_value(labels.clone()).ok())
        .unwrap_or_default();
    if let Some(selector) = selector
        && !selector.is_empty()
        && !selector.matches(&labels)
    {
        causes.push(Cause::invalid(
            "spec.template.metadata.labels",
            &template
                .pointer("/metadata/labels")
                .cloned()
                .unwrap_or_else(|| json!({})),
            "`selector` does not match template `labels`",
        ));
    }
    self::template(template, "spec.template", claims, causes);
}

fn template(template: &Value, path: &str, claims: &[&str], causes: &mut Vec<Cause>) {
    metadata::labels(
        template.pointer("/metadata/labels"),
        &format!("{path}.metadata.labels"),
        causes,
    );
    let mut spec = template.get("spec").cloned().unwrap_or_else(|| json!({}));
    if !claims.is_empty()
        && let Some(map) = spec.as_object_mut()
    {
        let volumes = map.entry("volumes").or_insert_with(|| json!([]));
        if let Some(volumes) = volumes.as_array_mut() {
            let known: Vec<String> = volumes
                .iter()
                .map(|volume| tree::text(volume, "/name").to_owned())
                .collect();
            volumes.extend(
                claims
                    .iter()
                    .filter(|claim| !known.iter().any(|name| name == *claim))
                    .map(|claim| json!({"name": claim})),
            );
        }
    }
    pod::spec_of(&spec, &format!("{path}.spec"), causes);
}

fn rolling_update(object: &Value, causes: &mut Vec<Cause>) {
    let zero = |field: &str| {
        matches!(
            object.pointer(&format!("/spec/strategy/rollingUpdate/{field}")),
            Some(value) if *value == json!(0) || *value == json!("0%")
        )
    };
    if zero("maxUnavailable") && zero("maxSurge") {
        let value = object
            .pointer("/spec/strategy/rollingUpdate/maxUnavailable")
            .cloned()
            .unwrap_or_default();
        causes.push(Cause::invalid(
            "spec.strategy.rollingUpdate.maxUnavailable",
            &value,
            "may not be 0 when `maxSurge` is 0",
        ));
    }
    if tree::text(object, "/spec/strategy/type") == "Recreate"
        && object.pointer("/spec/strategy/rollingUpdate").is_some()
    {
        causes.push(Cause::forbidden(
            "spec.strategy.rollingUpdate",
            "may not be specified when strategy `type` is 'Recreate'",
        ));
    }
}

pub(super) fn replication_controller(object: &Value, causes: &mut Vec<Cause>) {
    not_negative(object, "replicas", causes);
    match object.pointer("/spec/template") {
        Some(found) => template(found, "spec.template", &[], causes),
        None => causes.push(Cause::required("spec.template", "")),
    }
}

/// A job, or the job template of a cron job.
pub(super) fn job(object: &Value, path: &str, causes: &mut Vec<Cause>) {
    for field in ["parallelism", "completions", "backoffLimit"] {
        let count = object.pointer(&format!("/spec/{field}"));
        if let Some(count) = count
            && count.as_i64().is_some_and(|count| count < 0)
        {
            causes.push(Cause::invalid(
                format!("{path}.{field}"),
                count,
                "must be greater than or equal to 0",
            ));
        }
    }
    let path = format!("{path}.template");
    match object.pointer("/spec/template") {
        Some(found) => {
            template(found, &path, &[], causes);
            let policy = tree::text(found, "/spec/restartPolicy");
            if !matches!(policy, "OnFailure" | "Never") {
                let value = Value::from(policy);
                let field = format!("{path}.spec.restartPolicy");
                causes.push(if policy.is_empty() || policy == "Always" {
                    Cause::of(
                        "FieldValueRequired",
                        field,
                        "Required value: valid values: \"OnFailure\", \"Never\"".into(),
                    )
                } else {
                    Cause::not_supported(field, &value, &["OnFailure", "Never"])
                });
            }
        }
        None => causes.push(Cause::required(path, "")),
    }
}

pub(super) fn cron_job(object: &Value, causes: &mut Vec<Cause>) {
    if let Some(spec) = object.pointer("/spec/jobTemplate") {
        job(spec, "spec.jobTemplate.spec", causes);
    }
    let name = tree::text(object, "/metadata/name");
    if name.len() > 52 {
        causes.push(Cause::invalid(
            "metadata.name",
            &Value::from(name),
            "must be no more than 52 characters",
        ));
    }
    let schedule = tree::text(object, "/spec/schedule");
    if !schedule.is_empty() && !schedule.starts_with('@') {
        let fields = schedule.split_whitespace().count();
        if fields != 5 {
            causes.push(Cause::invalid(
                "spec.schedule",
                &Value::from(schedule),
                &format!("expected exactly 5 fields, found {fields}: [{schedule}]"),
            ));
        }
    }
}

pub(super) fn autoscaler(object: &Value, causes: &mut Vec<Cause>) {
    let number = |field: &str| {
        object
            .pointer(&format!("/spec/{field}"))
            .and_then(Value::as_i64)
    };
    let maximum = number("maxReplicas").unwrap_or_default();
    if maximum < 1 {
        causes.push(Cause::invalid(
            "spec.maxReplicas",
            &Value::from(maximum),
            "must be greater than 0",
        ));
    } else if let Some(minimum) = number("minReplicas")
        && maximum < minimum
    {
        causes.push(Cause::invalid(
            "spec.maxReplicas",
            &Value::from(maximum),
            "must be greater than or equal to `minReplicas`",
        ));
    }
}

pub(super) fn disruption_budget(object: &Value, causes: &mut Vec<Cause>) {
    if object.pointer("/spec/minAvailable").is_some()
        && object.pointer("/spec/maxUnavailable").is_some()
    {
        causes.push(Cause::invalid(
            "spec",
            &object.get("spec").cloned().unwrap_or_default(),
            "minAvailable and maxUnavailable cannot be both set",
        ));
    }
}

pub(super) fn claim(object: &Value, causes: &mut Vec<Cause>) {
    if tree::entries(object, "/spec/accessModes").is_empty() {
        causes.push(Cause::required(
            "spec.accessModes",
            "at least 1 access mode is required",
        ));
    }
    if object.pointer("/spec/resources/requests/storage").is_none() {
        causes.push(Cause::required("spec.resources[storage]", ""));
    }
}

pub(super) fn role_binding(object: &Value, causes: &mut Vec<Cause>) {
    let cluster = tree::text(object, "/metadata/namespace").is_empty();
    let kind = tree::text(object, "/roleRef/kind");
    let allowed: &[&str] = if cluster {
        &["ClusterRole"]
    } else {
        &["ClusterRole", "Role"]
    };
    if !kind.is_empty() && !allowed.contains(&kind) {
        causes.push(Cause::not_supported(
            "roleRef.kind",
            &Value::from(kind),
            allowed,
        ));
    }
    for (index, subject) in tree::entries(object, "/subjects").iter().enumerate() {
        if tree::text(subject, "/kind") == "ServiceAccount"
            && tree::text(subject, "/namespace").is_empty()
            && cluster
        {
            causes.push(Cause::required(format!("subjects[{index}].namespace"), ""));
        }
    }
}

/// Keys of config maps and secrets.
pub(super) fn data_keys(object: &Value, causes: &mut Vec<Cause>) {
    for field in ["data", "binaryData"] {
        let map = object.get(field).and_then(Value::as_object);
        for (key, _) in map.into_iter().flatten() {
            for problem in names::config_key(key) {
                causes.push(Cause::invalid(
                    format!("{field}[{key}]"),
                    &Value::from(key.as_str()),
                    problem,
                ));
            }
        }
    }
}
