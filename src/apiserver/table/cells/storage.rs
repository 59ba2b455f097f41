//! Cells of claims, volumes and their drivers.

use serde_json::Value;

use super::super::Row;
use super::{boolean_at, capitalised, items, text, text_at};

/// A claim that is being deleted says so instead of its phase.
pub fn claim_status(row: &Row<'_>) -> Value {
    Value::from(if row.object.is_terminating() {
        "Terminating".to_owned()
    } else {
        text_at(row.json, "/status/phase")
    })
}

/// A claim has its access modes once it is bound.
pub fn claim_access_modes(row: &Row<'_>) -> Value {
    let bound = !text_at(row.json, "/spec/volumeName").is_empty();
    Value::from(if bound {
        access_modes(row.json.pointer("/status/accessModes"))
    } else {
        String::new()
    })
}

pub fn volume_access_modes(row: &Row<'_>) -> Value {
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

pub fn volume_claim(row: &Row<'_>) -> Value {
    let name = text_at(row.json, "/spec/claimRef/name");
    Value::from(if name.is_empty() {
        String::new()
    } else {
        format!("{}/{name}", text_at(row.json, "/spec/claimRef/namespace"))
    })
}

pub fn storage_class_name(row: &Row<'_>) -> Value {
    let default = row
        .json
        .pointer("/metadata/annotations/storageclass.kubernetes.io~1is-default-class")
        .and_then(Value::as_str);
    Value::from(match default {
        Some("true") => format!("{} (default)", row.object.name()),
        _ => row.object.name().to_owned(),
    })
}

pub fn allow_expansion(row: &Row<'_>) -> Value {
    capitalised(boolean_at(row.json, "/allowVolumeExpansion"))
}

pub fn attached(row: &Row<'_>) -> Value {
    capitalised(boolean_at(row.json, "/status/attached"))
}

pub fn driver_attach_required(row: &Row<'_>) -> Value {
    capitalised(
        row.json
            .pointer("/spec/attachRequired")
            .and_then(Value::as_bool)
            .unwrap_or(true),
    )
}

pub fn driver_pod_info(row: &Row<'_>) -> Value {
    capitalised(boolean_at(row.json, "/spec/podInfoOnMount"))
}

pub fn driver_storage_capacity(row: &Row<'_>) -> Value {
    capitalised(boolean_at(row.json, "/spec/storageCapacity"))
}

pub fn driver_republish(row: &Row<'_>) -> Value {
    capitalised(boolean_at(row.json, "/spec/requiresRepublish"))
}
