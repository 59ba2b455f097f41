//! `autoscaling/v1` Scale: the replica count of a workload, whatever its kind.

use serde_json::{Value, json};

use super::super::registry::ResourceType;
use super::super::request::{Request, ResourceTarget};
use super::super::status::{Cause, Status};
use super::super::write::{Done, Writing};
use super::super::{create, decode, patch as patches, tree, update};
use crate::k8s::selector::{LabelOperator, LabelSelector};
use crate::k8s::{Name, Object, Patch};

struct Paths {
    spec: String,
    status: String,
    selector: Option<String>,
}

fn paths(resource_type: &ResourceType) -> Paths {
    match resource_type
        .subresource("scale")
        .and_then(|scale| scale.scale.as_ref())
    {
        Some(custom) => Paths {
            spec: custom.spec_replicas.clone(),
            status: custom.status_replicas.clone(),
            selector: custom.selector.clone(),
        },
        None => Paths {
            spec: "/spec/replicas".into(),
            status: "/status/replicas".into(),
            selector: Some("/spec/selector".into()),
        },
    }
}

/// The scale of an object.
pub(in super::super) fn of(resource_type: &ResourceType, object: &Object) -> Value {
    let tree = object.json();
    let paths = paths(resource_type);
    let count = |path: &str| tree.pointer(path).and_then(Value::as_i64).unwrap_or(0);
    let selector = paths
        .selector
        .as_deref()
        .and_then(|path| tree.pointer(path))
        .map(selector_text)
        .unwrap_or_default();
    let mut metadata = serde_json::Map::new();
    for field in [
        "name",
        "namespace",
        "uid",
        "resourceVersion",
        "creationTimestamp",
    ] {
        if let Some(value) = tree.pointer("/metadata").and_then(|meta| meta.get(field)) {
            metadata.insert(field.into(), value.clone());
        }
    }
    let mut status = json!({"replicas": count(&paths.status)});
    if !selector.is_empty()
        && let Some(status) = status.as_object_mut()
    {
        status.insert("selector".into(), selector.into());
    }
    json!({
        "kind": "Scale",
        "apiVersion": "autoscaling/v1",
        "metadata": metadata,
        "spec": {"replicas": count(&paths.spec)},
        "status": status,
    })
}

pub(in super::super) fn write(
    writing: &mut Writing,
    resource_type: &ResourceType,
    target: &ResourceTarget,
    request: &Request,
) -> Result<Done, Status> {
    let scale = decode::body(request)?;
    store(writing, resource_type, target, &scale)
}

pub(in super::super) fn patch(
    writing: &mut Writing,
    resource_type: &ResourceType,
    target: &ResourceTarget,
    patch: &Patch,
) -> Result<Done, Status> {
    let current = writing.current(resource_type, target)?;
    let mut scale = of(resource_type, &current);
    match patch {
        // A scale has no lists: both kinds of merge are the same.
        Patch::Merge(patch) | Patch::Strategic(patch) => json_patch::merge(&mut scale, patch),
        Patch::Json(_) => patches::patched(resource_type, &mut scale, patch, &target.name)?,
    }
    store(writing, resource_type, target, &scale)
}

fn store(
    writing: &mut Writing,
    resource_type: &ResourceType,
    target: &ResourceTarget,
    scale: &Value,
) -> Result<Done, Status> {
    let current = writing.current(resource_type, target)?;
    let replicas = scale.pointer("/spec/replicas").cloned().unwrap_or(json!(0));
    if replicas.as_i64().is_none_or(|count| count < 0) {
        let cause = Cause::invalid(
            "spec.replicas",
            &replicas,
            "must be greater than or equal to 0",
        );
        return Err(Status::invalid(
            "autoscaling",
            "Scale",
            current.name(),
            vec![cause],
        ));
    }
    let mut object = current.json();
    set(&mut object, &paths(resource_type).spec, replicas);
    for field in ["resourceVersion", "uid"] {
        let stated = tree::text(scale, &format!("/metadata/{field}")).to_owned();
        if !stated.is_empty() {
            tree::set_meta(&mut object, field, stated);
        }
    }
    create::stamp_type(resource_type, &mut object);
    let main = ResourceTarget {
        subresource: Name::default(),
        ..target.clone()
    };
    let stored = update::store(writing, resource_type, &main, &current, object)?;
    Ok(Done::Other(200, of(resource_type, &stored)))
}

fn set(tree: &mut Value, pointer: &str, value: Value) {
    let mut node = tree;
    let mut steps = pointer
        .split('/')
        .filter(|step| !step.is_empty())
        .peekable();
    while let Some(step) = steps.next() {
        let Some(map) = node.as_object_mut() else {
            return;
        };
        if steps.peek().is_none() {
            map.insert(step.into(), value);
            return;
        }
        node = map.entry(step).or_insert_with(|| json!({}));
    }
}

/// A selector in the text form of list requests.
fn selector_text(selector: &Value) -> String {
    if let Some(text) = selector.as_str() {
        return text.to_owned();
    }
    if let Some(map) = selector.as_object()
        && map.values().all(Value::is_string)
    {
        // A replication controller's selector is a plain map.
        let terms: Vec<String> = map
            .iter()
            .map(|(key, value)| format!("{key}={}", value.as_str().unwrap_or_default()))
            .collect();
        return terms.join(",");
    }
    serde_json::from_value::<LabelSelector>(selector.clone())
        .map(|selector| shown(&selector))
        .unwrap_or_default()
}

/// `app=web,tier in (a,b)`, as `metav1.FormatLabelSelector` writes it.
pub(in super::super) fn shown(selector: &LabelSelector) -> String {
    let mut terms: Vec<String> = selector
        .match_labels
        .iter()
        .map(|(key, value)| format!("{key}={value}"))
        .collect();
    for requirement in &selector.match_expressions {
        let key = &requirement.key;
        let values = requirement.values.join(",");
        terms.push(match requirement.operator {
            LabelOperator::In => format!("{key} in ({values})"),
            LabelOperator::NotIn => format!("{key} notin ({values})"),
            LabelOperator::Exists => key.to_string(),
            LabelOperator::DoesNotExist => format!("!{key}"),
        });
    }
    terms.join(",")
}
