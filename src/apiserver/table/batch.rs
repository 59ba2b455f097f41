//! Jobs and cron jobs.

use jiff::Timestamp;
use serde_json::Value;

use super::cell::{NONE, Row};
use crate::stdx::humanize;

pub(super) fn job(row: &Row) -> Vec<Value> {
    let (containers, images) = row.containers("/spec/template/spec/containers");
    let succeeded = row.number("/status/succeeded");
    let completions = match row
        .tree
        .pointer("/spec/completions")
        .and_then(Value::as_i64)
    {
        Some(completions) => format!("{succeeded}/{completions}"),
        None => match row.number("/spec/parallelism") {
            parallelism if parallelism > 1 => format!("{succeeded}/1 of {parallelism}"),
            _ => format!("{succeeded}/1"),
        },
    };
    vec![
        row.name(),
        status(row).into(),
        completions.into(),
        duration(row),
        row.age(),
        containers,
        images,
        row.selector("/spec/selector"),
    ]
}

fn status(row: &Row) -> &'static str {
    let holds = |kind: &str| {
        row.entries("/status/conditions").iter().any(|condition| {
            condition.get("type").and_then(Value::as_str) == Some(kind)
                && condition.get("status").and_then(Value::as_str) == Some("True")
        })
    };
    if holds("Complete") {
        "Complete"
    } else if holds("Failed") {
        "Failed"
    } else if row.object.is_terminating() {
        "Terminating"
    } else if holds("Suspended") {
        "Suspended"
    } else if holds("FailureTarget") {
        "FailureTarget"
    } else if holds("SuccessCriteriaMet") {
        "SuccessCriteriaMet"
    } else {
        "Running"
    }
}

fn duration(row: &Row) -> Value {
    let Some(started) = row.time("/status/startTime") else {
        return "".into();
    };
    let until: Timestamp = row.time("/status/completionTime").unwrap_or(row.now);
    humanize::duration(until.duration_since(started)).into()
}

pub(super) fn cron_job(row: &Row) -> Vec<Value> {
    let (containers, images) = row.containers("/spec/jobTemplate/spec/template/spec/containers");
    vec![
        row.name(),
        row.text("/spec/schedule").into(),
        row.text_or("/spec/timeZone", NONE),
        (row.tree.pointer("/spec/suspend") == Some(&Value::Bool(true))).into(),
        row.count("/status/active").into(),
        row.since("/status/lastScheduleTime", NONE),
        row.age(),
        containers,
        images,
        row.selector("/spec/jobTemplate/spec/selector"),
    ]
}
