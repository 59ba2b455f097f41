//! Aggregated discovery (`apidiscovery.k8s.io/v2`): every group in one answer.

use serde_json::{Value, json};

use super::super::registry::{Registry, ResourceType};
use super::super::response::Response;
use super::{by_group, types_of};

const CONTENT_TYPE: &str = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList";

pub(super) fn is_asked(accept: &str) -> bool {
    accept.split(',').any(|offer| {
        let has = |part: &str| offer.split(';').any(|own| own.trim() == part);
        has("application/json")
            && has("g=apidiscovery.k8s.io")
            && has("v=v2")
            && has("as=APIGroupDiscoveryList")
    })
}

pub(super) fn core(registry: &Registry) -> Response {
    answer(&[group(registry, "", &["v1"])])
}

pub(super) fn groups(registry: &Registry) -> Response {
    let groups: Vec<Value> = by_group(registry)
        .iter()
        .filter(|(name, _)| !name.is_empty())
        .map(|(name, versions)| group(registry, name, versions))
        .collect();
    answer(&groups)
}

fn answer(groups: &[Value]) -> Response {
    let body = json!({
        "kind": "APIGroupDiscoveryList",
        "apiVersion": "apidiscovery.k8s.io/v2",
        "metadata": {},
        "items": groups,
    });
    Response::bytes(200, CONTENT_TYPE, body.to_string())
}

fn group(registry: &Registry, name: &str, versions: &[&str]) -> Value {
    let versions: Vec<Value> = versions
        .iter()
        .map(|version| {
            let resources: Vec<Value> = types_of(registry, name, version).map(resource).collect();
            json!({"version": version, "resources": resources, "freshness": "Current"})
        })
        .collect();
    let mut metadata = json!({"creationTimestamp": null});
    if !name.is_empty()
        && let Some(map) = metadata.as_object_mut()
    {
        map.insert("name".into(), name.into());
    }
    json!({"metadata": metadata, "versions": versions})
}

fn resource(resource_type: &ResourceType) -> Value {
    let kind = |group: &str, version: &str, kind: &str| json!({"group": group, "version": version, "kind": kind});
    let own = (&resource_type.group, &resource_type.version);
    let subresources: Vec<Value> = resource_type
        .subresources
        .iter()
        .map(|subresource| {
            let (group, version) = if subresource.version.is_empty() {
                own
            } else {
                (&subresource.group, &subresource.version)
            };
            json!({
                "subresource": subresource.name.as_str(),
                "responseKind": kind(group, version, &subresource.kind),
                "verbs": subresource.verbs,
            })
        })
        .collect();
    let mut entry = json!({
        "resource": resource_type.plural.as_str(),
        "responseKind": kind(own.0, own.1, &resource_type.kind),
        "scope": if resource_type.namespaced { "Namespaced" } else { "Cluster" },
        "singularResource": resource_type.singular.as_str(),
        "verbs": resource_type.verbs,
    });
    if let Some(map) = entry.as_object_mut() {
        if !resource_type.short_names.is_empty() {
            map.insert("shortNames".into(), json!(resource_type.short_names));
        }
        if !resource_type.categories.is_empty() {
            map.insert("categories".into(), json!(resource_type.categories));
        }
        if !subresources.is_empty() {
            map.insert("subresources".into(), subresources.into());
        }
    }
    entry
}
