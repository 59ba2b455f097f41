//! Cells of events.

use serde_json::Value;

use super::super::Row;
use super::{number_at, text_at, time_at};
use crate::stdx::humanize;

pub fn event_last_seen(row: &Row<'_>) -> Value {
    let paths = [
        "/series/lastObservedTime",
        "/lastTimestamp",
        "/deprecatedLastTimestamp",
        "/eventTime",
        "/firstTimestamp",
    ];
    event_age(row, &paths)
}

pub fn event_first_seen(row: &Row<'_>) -> Value {
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

pub fn event_object(row: &Row<'_>) -> Value {
    let subject = event_subject(row);
    let kind = text_at(&subject, "/kind").to_lowercase();
    Value::from(format!("{kind}/{}", text_at(&subject, "/name")))
}

pub fn event_subobject(row: &Row<'_>) -> Value {
    Value::from(text_at(&event_subject(row), "/fieldPath"))
}

pub fn event_source(row: &Row<'_>) -> Value {
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

pub fn event_message(row: &Row<'_>) -> Value {
    let message = text_at(row.json, "/message");
    let message = if message.is_empty() {
        text_at(row.json, "/note")
    } else {
        message
    };
    Value::from(message.trim())
}

pub fn event_count(row: &Row<'_>) -> Value {
    let paths = ["/series/count", "/count", "/deprecatedCount"];
    let found = paths
        .iter()
        .map(|path| number_at(row.json, path))
        .find(|count| *count > 0);
    Value::from(found.unwrap_or(1))
}
