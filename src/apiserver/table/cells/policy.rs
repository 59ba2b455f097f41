//! Cells of what rules a cluster: bindings, quotas, policies, extensions, requests.

use serde_json::Value;

use super::super::Row;
use super::{boolean_at, entries, items, length, text, text_at};

pub fn binding_role(row: &Row<'_>) -> Value {
    let kind = text_at(row.json, "/roleRef/kind");
    Value::from(format!("{kind}/{}", text_at(row.json, "/roleRef/name")))
}

pub fn binding_users(row: &Row<'_>) -> Value {
    binding_subjects(row, "User")
}

pub fn binding_groups(row: &Row<'_>) -> Value {
    binding_subjects(row, "Group")
}

pub fn binding_service_accounts(row: &Row<'_>) -> Value {
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

pub fn priority_global_default(row: &Row<'_>) -> Value {
    Value::from(boolean_at(row.json, "/globalDefault"))
}

pub fn quota_requests(row: &Row<'_>) -> Value {
    quota(row, |name| !name.starts_with("limits."))
}

pub fn quota_limits(row: &Row<'_>) -> Value {
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
pub fn config_map_data(row: &Row<'_>) -> Value {
    Value::from(length(row.json.get("data")) + length(row.json.get("binaryData")))
}

pub fn controller(row: &Row<'_>) -> Value {
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

pub fn policy_param_kind(row: &Row<'_>) -> Value {
    let kind = text_at(row.json, "/spec/paramKind/kind");
    Value::from(if kind.is_empty() {
        "<unset>".to_owned()
    } else {
        format!("{}/{kind}", text_at(row.json, "/spec/paramKind/apiVersion"))
    })
}

pub fn api_service(row: &Row<'_>) -> Value {
    let name = text_at(row.json, "/spec/service/name");
    Value::from(if name.is_empty() {
        "Local".to_owned()
    } else {
        format!("{}/{name}", text_at(row.json, "/spec/service/namespace"))
    })
}

pub fn api_service_available(row: &Row<'_>) -> Value {
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

pub fn signing_condition(row: &Row<'_>) -> Value {
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

pub fn resource_claim_state(row: &Row<'_>) -> Value {
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
