//! Volumes, claims and classes.

use serde_json::Value;

use super::cell::{Row, UNSET};

pub(super) fn claim(row: &Row) -> Vec<Value> {
    let status = if row.object.is_terminating() {
        "Terminating"
    } else {
        row.text("/status/phase")
    };
    let bound = !row.text("/spec/volumeName").is_empty();
    vec![
        row.name(),
        status.into(),
        row.text("/spec/volumeName").into(),
        if bound {
            row.text("/status/capacity/storage").into()
        } else {
            "".into()
        },
        if bound {
            modes(row, "/status/accessModes")
        } else {
            "".into()
        },
        row.text("/spec/storageClassName").into(),
        row.text_or("/spec/volumeAttributesClassName", UNSET),
        row.age(),
        row.text_or("/spec/volumeMode", UNSET),
    ]
}

pub(super) fn volume(row: &Row) -> Vec<Value> {
    let status = if row.object.is_terminating() {
        "Terminating"
    } else {
        row.text("/status/phase")
    };
    let claim = match row.text("/spec/claimRef/name") {
        "" => String::new(),
        name => format!("{}/{name}", row.text("/spec/claimRef/namespace")),
    };
    vec![
        row.name(),
        row.text("/spec/capacity/storage").into(),
        modes(row, "/spec/accessModes"),
        row.text("/spec/persistentVolumeReclaimPolicy").into(),
        status.into(),
        claim.into(),
        row.text("/spec/storageClassName").into(),
        row.text_or("/spec/volumeAttributesClassName", UNSET),
        row.text("/status/reason").into(),
        row.age(),
        row.text_or("/spec/volumeMode", UNSET),
    ]
}

fn modes(row: &Row, pointer: &str) -> Value {
    let short: Vec<&str> = row
        .entries(pointer)
        .iter()
        .filter_map(Value::as_str)
        .map(|mode| match mode {
            "ReadWriteOnce" => "RWO",
            "ReadOnlyMany" => "ROX",
            "ReadWriteMany" => "RWX",
            "ReadWriteOncePod" => "RWOP",
            other => other,
        })
        .collect();
    short.join(",").into()
}

pub(super) fn class(row: &Row) -> Vec<Value> {
    let default = row.text("/metadata/annotations/storageclass.kubernetes.io~1is-default-class");
    let name = if default == "true" {
        format!("{} (default)", row.object.name())
    } else {
        row.object.name().to_owned()
    };
    let expansion = row.tree.pointer("/allowVolumeExpansion") == Some(&Value::Bool(true));
    vec![
        name.into(),
        row.text("/provisioner").into(),
        row.text("/reclaimPolicy").into(),
        row.text("/volumeBindingMode").into(),
        expansion.to_string().into(),
        row.age(),
    ]
}
