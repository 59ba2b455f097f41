//! Jobs: the selector and labels that tie pods to exactly one job.

use serde_json::{Value, json};

use super::super::tree;

pub(super) fn prepare_create(object: &mut Value) {
    let manual = object.pointer("/spec/manualSelector") == Some(&json!(true));
    if manual {
        return;
    }
    let name = tree::text(object, "/metadata/name").to_owned();
    let uid = tree::text(object, "/metadata/uid").to_owned();
    let labels = [
        ("controller-uid", uid.as_str()),
        ("batch.kubernetes.io/controller-uid", uid.as_str()),
        ("job-name", name.as_str()),
        ("batch.kubernetes.io/job-name", name.as_str()),
    ];
    let Some(spec) = tree::object(object, "spec") else {
        return;
    };
    spec.insert(
        "selector".into(),
        json!({"matchLabels": {"batch.kubernetes.io/controller-uid": uid}}),
    );
    let template = spec.entry("template").or_insert_with(|| json!({}));
    let Some(metadata) = tree::object(template, "metadata") else {
        return;
    };
    let own = metadata.entry("labels").or_insert_with(|| json!({}));
    if let Some(own) = own.as_object_mut() {
        for (key, value) in labels {
            own.insert(key.into(), value.into());
        }
    }
}
