//! Names, labels, annotations, owner references, finalizers.

use serde_json::Value;

use super::super::registry::ResourceType;
use super::super::status::Cause;
use super::super::tree;
use super::names;

/// `TotalAnnotationSizeLimitB`.
const ANNOTATIONS_MAX: usize = 256 * 1024;

pub(super) fn check(resource_type: &ResourceType, object: &Value) -> Vec<Cause> {
    let mut causes = Vec::new();
    let name = tree::text(object, "/metadata/name");
    let problems = match (resource_type.group.as_str(), resource_type.plural.as_str()) {
        ("", "namespaces") => names::dns_label(name),
        ("", "services") => names::dns_1035(name),
        ("rbac.authorization.k8s.io" | "scheduling.k8s.io" | "flowcontrol.apiserver.k8s.io", _) => {
            names::path_segment(name)
        }
        _ => names::dns_subdomain(name),
    };
    for problem in problems {
        causes.push(Cause::invalid("metadata.name", &Value::from(name), problem));
    }
    common(object, &mut causes);
    causes
}

pub(super) fn check_update(old: &Value, object: &Value) -> Vec<Cause> {
    let mut causes = Vec::new();
    common(object, &mut causes);
    let deleting = old.pointer("/metadata/deletionTimestamp").is_some();
    if deleting {
        let before = tree::entries(old, "/metadata/finalizers");
        for finalizer in tree::entries(object, "/metadata/finalizers") {
            if !before.contains(finalizer) {
                causes.push(Cause::forbidden(
                    "metadata.finalizers",
                    &format!(
                        "no new finalizers can be added if the object is being deleted, found new \
                         finalizers []string{{{finalizer}}}"
                    ),
                ));
            }
        }
    }
    causes
}

fn common(object: &Value, causes: &mut Vec<Cause>) {
    labels(
        object.pointer("/metadata/labels"),
        "metadata.labels",
        causes,
    );
    annotations(object, causes);
    owners(object, causes);
    for (index, finalizer) in tree::entries(object, "/metadata/finalizers")
        .iter()
        .enumerate()
    {
        let text = finalizer.as_str().unwrap_or_default();
        for problem in names::qualified(text) {
            causes.push(Cause::invalid(
                format!("metadata.finalizers[{index}]"),
                finalizer,
                &problem,
            ));
        }
    }
}

/// The keys and values of a map of labels.
pub(super) fn labels(map: Option<&Value>, path: &str, causes: &mut Vec<Cause>) {
    for (key, value) in map.and_then(Value::as_object).into_iter().flatten() {
        for problem in names::qualified(key) {
            causes.push(Cause::invalid(path, &Value::from(key.as_str()), &problem));
        }
        for problem in names::label_value(value.as_str().unwrap_or_default()) {
            causes.push(Cause::invalid(path, value, problem));
        }
    }
}

fn annotations(object: &Value, causes: &mut Vec<Cause>) {
    let map = object
        .pointer("/metadata/annotations")
        .and_then(Value::as_object);
    let mut size = 0;
    for (key, value) in map.into_iter().flatten() {
        size += key.len() + value.as_str().map_or(0, str::len);
        for problem in names::qualified(&key.to_lowercase()) {
            causes.push(Cause::invalid(
                "metadata.annotations",
                &Value::from(key.as_str()),
                &problem,
            ));
        }
    }
    if size > ANNOTATIONS_MAX {
        causes.push(Cause::of(
            "FieldValueTooLong",
            "metadata.annotations",
            format!("Too long: may not be more than {ANNOTATIONS_MAX} bytes"),
        ));
    }
}

fn owners(object: &Value, causes: &mut Vec<Cause>) {
    let owners = tree::entries(object, "/metadata/ownerReferences");
    let mut controllers = 0;
    for (index, owner) in owners.iter().enumerate() {
        for field in ["apiVersion", "kind", "name", "uid"] {
            if owner
                .get(field)
                .and_then(Value::as_str)
                .unwrap_or_default()
                .is_empty()
            {
                let empty = Value::from("");
                let path = format!("metadata.ownerReferences[{index}].{field}");
                let detail = match field {
                    "apiVersion" => "version must not be empty",
                    _ => "must not be empty",
                };
                causes.push(Cause::invalid(path, &empty, detail));
            }
        }
        if owner.get("controller") == Some(&Value::Bool(true)) {
            controllers += 1;
        }
    }
    if controllers > 1 {
        causes.push(Cause::invalid(
            "metadata.ownerReferences",
            &Value::from(owners),
            "Only one reference can have Controller set to true.",
        ));
    }
}
