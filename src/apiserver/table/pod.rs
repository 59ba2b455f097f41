//! Pods.

use serde_json::Value;

use super::cell::{NONE, Row};
use crate::k8s::status;
use crate::stdx::humanize;

pub(super) fn pod(row: &Row) -> Vec<Value> {
    let Some(status) = status::of_pod(row.object) else {
        return vec![row.name()];
    };
    let restarts = match status.last_restart {
        Some(last) if status.restarts > 0 => {
            format!("{} ({} ago)", status.restarts, humanize::age(last, row.now))
        }
        _ => status.restarts.to_string(),
    };
    vec![
        row.name(),
        format!("{}/{}", status.ready, status.containers).into(),
        status.word.as_str().into(),
        restarts.into(),
        row.age(),
        row.text_or("/status/podIP", NONE),
        row.text_or("/spec/nodeName", NONE),
        row.text_or("/status/nominatedNodeName", NONE),
        readiness_gates(row),
    ]
}

fn readiness_gates(row: &Row) -> Value {
    let gates = row.entries("/spec/readinessGates");
    if gates.is_empty() {
        return NONE.into();
    }
    let met = gates
        .iter()
        .filter(|gate| {
            row.entries("/status/conditions").iter().any(|condition| {
                condition.get("type") == gate.get("conditionType")
                    && condition.get("status").and_then(Value::as_str) == Some("True")
            })
        })
        .count();
    format!("{met}/{}", gates.len()).into()
}
