//! Status conditions: one entry a type, times that move only when something turned.

use jiff::Timestamp;
use serde_json::{Map, Value, json};

use super::{field, write};

/// A condition to be set. Fields that its kind does not have stay out.
#[derive(Clone, Copy)]
pub(super) struct Condition<'a> {
    pub kind: &'a str,
    pub status: &'a str,
    pub reason: &'a str,
    pub message: &'a str,
}

/// Which time fields the conditions of a kind carry.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Times {
    /// `lastTransitionTime` only.
    Transition,
    /// `lastUpdateTime` too (Deployment).
    Update,
    /// `lastProbeTime` too (Job).
    Probe,
}

pub(super) fn find<'a>(conditions: &'a [Value], kind: &str) -> Option<&'a Value> {
    conditions
        .iter()
        .find(|entry| field::text(entry, "/type") == kind)
}

pub(super) fn is_true(conditions: &[Value], kind: &str) -> bool {
    find(conditions, kind).is_some_and(|entry| field::text(entry, "/status") == "True")
}

pub(super) fn remove(conditions: &mut Vec<Value>, kind: &str) {
    conditions.retain(|entry| field::text(entry, "/type") != kind);
}

/// Sets a condition; the same status and reason leave the old entry as it is, the same status keeps
/// its transition time. Source: `SetDeploymentCondition`, which all controllers of apps/v1 share in
/// effect; the changed one moves to the end.
pub(super) fn set(
    conditions: &mut Vec<Value>,
    condition: Condition<'_>,
    times: Times,
    now: Timestamp,
) {
    if let Some(old) = find(conditions, condition.kind)
        && field::text(old, "/status") == condition.status
        && field::text(old, "/reason") == condition.reason
    {
        return;
    }
    replace(conditions, condition, times, now);
}

/// Sets a condition in its place, also when only the message differs. Source: `SetStatusCondition`
/// of apimachinery.
pub(super) fn set_in_place(
    conditions: &mut Vec<Value>,
    condition: Condition<'_>,
    observed_generation: Option<i64>,
    now: Timestamp,
) {
    let old = find(conditions, condition.kind);
    let mut entry = entry(old, condition, Times::Transition, now);
    if let Some(generation) = observed_generation {
        field::put(&mut entry, "observedGeneration", generation.into());
    }
    match conditions
        .iter_mut()
        .find(|old| field::text(old, "/type") == condition.kind)
    {
        Some(old) => *old = entry,
        None => conditions.push(entry),
    }
}

/// Sets a condition whatever it was, with a new update time.
pub(super) fn replace(
    conditions: &mut Vec<Value>,
    condition: Condition<'_>,
    times: Times,
    now: Timestamp,
) {
    let entry = entry(find(conditions, condition.kind), condition, times, now);
    remove(conditions, condition.kind);
    conditions.push(entry);
}

fn entry(old: Option<&Value>, condition: Condition<'_>, times: Times, now: Timestamp) -> Value {
    let now = write::time(now);
    let turned = old
        .filter(|old| field::text(old, "/status") == condition.status)
        .and_then(|old| old.get("lastTransitionTime"))
        .unwrap_or(&now);
    let mut entry = Map::new();
    let mut put = |name: &str, value: Value| entry.insert(name.to_owned(), value);
    put("type", json!(condition.kind));
    put("status", json!(condition.status));
    match times {
        Times::Transition => None,
        Times::Update => put("lastUpdateTime", now.clone()),
        Times::Probe => put("lastProbeTime", now.clone()),
    };
    put("lastTransitionTime", turned.clone());
    if !condition.reason.is_empty() {
        put("reason", json!(condition.reason));
    }
    if !condition.message.is_empty() {
        put("message", json!(condition.message));
    }
    Value::Object(entry)
}
