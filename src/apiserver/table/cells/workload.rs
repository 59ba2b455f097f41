//! Cells of pods, of what makes them, and of jobs.

use serde_json::Value;

use super::super::Row;
use super::{boolean_at, items, label_text, number_at, selector, text_at, time_at};
use crate::k8s::status;
use crate::stdx::humanize;

pub fn pod_ready(row: &Row<'_>) -> Value {
    match status::of_pod(row.object) {
        Some(pod) => Value::from(format!("{}/{}", pod.ready, pod.containers)),
        None => Value::from(""),
    }
}

pub fn pod_status(row: &Row<'_>) -> Value {
    Value::from(
        status::of_pod(row.object)
            .map(|pod| pod.word.to_string())
            .unwrap_or_default(),
    )
}

/// `3 (2m ago)`; just the number when no container has ended yet.
pub fn pod_restarts(row: &Row<'_>) -> Value {
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

pub fn pod_readiness_gates(row: &Row<'_>) -> Value {
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

pub fn template_containers(row: &Row<'_>) -> Value {
    Value::from(template_field(row, "/name"))
}

pub fn template_images(row: &Row<'_>) -> Value {
    Value::from(template_field(row, "/image"))
}

pub fn template_labels(row: &Row<'_>) -> Value {
    Value::from(label_text(row.json.pointer("/template/metadata/labels")))
}

pub fn template_node_selector(row: &Row<'_>) -> Value {
    Value::from(label_text(
        row.json.pointer("/spec/template/spec/nodeSelector"),
    ))
}

/// A workload's selector: `LabelSelector` in the newer groups, a plain map in the oldest.
pub fn template_selector(row: &Row<'_>) -> Value {
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

/// `3/5`.
pub fn ready_of_desired(row: &Row<'_>) -> Value {
    let ready = number_at(row.json, "/status/readyReplicas");
    let desired = row
        .json
        .pointer("/spec/replicas")
        .and_then(Value::as_i64)
        .unwrap_or(1);
    Value::from(format!("{ready}/{desired}"))
}

pub fn job_status(row: &Row<'_>) -> Value {
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

pub fn job_completions(row: &Row<'_>) -> Value {
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

pub fn job_duration(row: &Row<'_>) -> Value {
    let Some(start) = time_at(row.json, "/status/startTime") else {
        return Value::from("");
    };
    let end = time_at(row.json, "/status/completionTime").unwrap_or(row.now);
    Value::from(humanize::age(start, end))
}

pub fn cron_job_suspend(row: &Row<'_>) -> Value {
    Value::from(if boolean_at(row.json, "/spec/suspend") {
        "True"
    } else {
        "False"
    })
}

pub fn cron_job_last_schedule(row: &Row<'_>) -> Value {
    Value::from(match time_at(row.json, "/status/lastScheduleTime") {
        Some(last) => humanize::age(last, row.now),
        None => "<none>".to_owned(),
    })
}
