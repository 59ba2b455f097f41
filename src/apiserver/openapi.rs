//! `/openapi/v2` and `/openapi/v3`: the published types, the paths with their parameters, and the
//! schemas of custom resources. `kubectl apply` reads patch strategies from here, `kubectl explain`
//! the fields.

use std::collections::BTreeSet;

use serde_json::{Map, Value, json};

use super::lab;
use super::registry::{Origin, Registry, ResourceType};
use super::response::Response;
use super::status::Status;
use crate::k8s::{Cluster, facts, resources};

const DEFINITIONS: &str = "#/definitions/";
const SCHEMAS: &str = "#/components/schemas/";

/// What Go clients get for `application/com.github.proto-openapi.spec.v2@v1.0+protobuf`: an `@` may
/// stand in an `Accept` header and not in a content type, so upstream answers with a dot as well.
const V2_PROTOBUF: &str = "application/com.github.proto-openapi.spec.v2.v1.0+protobuf";

/// The whole document in version 2: complete as JSON. In protobuf it has no types: kubectl reads it
/// there only about kinds that version 3 does not know, to learn that nobody knows them.
pub(super) fn v2(registry: &Registry, cluster: &Cluster, accept: &str) -> Response {
    if accept.contains("spec.v2@v1.0+protobuf") {
        return Response::bytes(200, V2_PROTOBUF, empty_v2());
    }
    let mut facts = facts::openapi_json();
    let mut definitions = take_map(&mut facts, "definitions");
    for resource_type in own_types(registry) {
        let (name, schema) = own_schema(resource_type, cluster);
        definitions.insert(name, schema);
    }
    let mut paths = Map::new();
    for (path, actions) in take_map(&mut facts, "paths") {
        paths.insert(path, operations(&actions, DEFINITIONS));
    }
    let body = json!({
        "swagger": "2.0",
        "info": info(),
        "paths": paths,
        "definitions": definitions,
    });
    Response::json(200, &body)
}

/// `openapi.v2.Document` of gnostic with `swagger` (1), `info` (2: `title` 1, `version` 2) and empty
/// `paths` (8).
fn empty_v2() -> Vec<u8> {
    let field = |number: u8, bytes: &[u8]| {
        // All of these are shorter than 128 bytes: one byte says how long.
        let mut message = vec![
            number << 3 | 2,
            u8::try_from(bytes.len()).unwrap_or_default(),
        ];
        message.extend_from_slice(bytes);
        message
    };
    let info = [
        field(1, b"Kubernetes"),
        field(2, facts::GIT_VERSION.as_bytes()),
    ];
    [field(1, b"2.0"), field(2, &info.concat()), field(8, b"")].concat()
}

fn take_map(value: &mut Value, key: &str) -> Map<String, Value> {
    match value.get_mut(key).map(Value::take) {
        Some(Value::Object(map)) => map,
        _ => Map::new(),
    }
}

fn info() -> Value {
    json!({"title": "Kubernetes", "version": facts::GIT_VERSION})
}

/// Which documents there are in version 3: one for each group and version.
pub(super) fn v3_index(registry: &Registry) -> Value {
    let mut paths = Map::new();
    for resource_type in registry.all() {
        let path = if resource_type.group.is_empty() {
            format!("api/{}", resource_type.version)
        } else {
            format!("apis/{}/{}", resource_type.group, resource_type.version)
        };
        // The hash lets clients cache; what can change without a restart are custom resources.
        let hash = match resource_type.origin {
            Origin::Custom => registry.fingerprint(),
            _ => facts::GIT_VERSION.replace('+', "-"),
        };
        paths.entry(path.clone()).or_insert_with(
            || json!({"serverRelativeURL": format!("/openapi/v3/{path}?hash={hash}")}),
        );
    }
    json!({"paths": paths})
}

/// The document of one group and version.
pub(super) fn v3(
    registry: &Registry,
    cluster: &Cluster,
    group: &str,
    version: &str,
) -> Result<Value, Status> {
    let types: Vec<&ResourceType> = registry
        .all()
        .map(AsRef::as_ref)
        .filter(|candidate| candidate.group == group && candidate.version == version)
        .collect();
    if types.is_empty() {
        return Err(Status::unknown_path());
    }
    let mut facts = facts::openapi_json();
    let definitions = take_map(&mut facts, "definitions");
    let all_paths = take_map(&mut facts, "paths");
    let prefix = if group.is_empty() {
        format!("/api/{version}/")
    } else {
        format!("/apis/{group}/{version}/")
    };
    let mut paths = Map::new();
    for (path, actions) in all_paths {
        if path.starts_with(&prefix) {
            paths.insert(path, operations(&actions, SCHEMAS));
        }
    }
    let mut schemas = Map::new();
    for resource_type in &types {
        if resource_type.origin == Origin::Builtin {
            continue;
        }
        for (path, actions) in own_paths(resource_type) {
            paths.insert(path, operations(&actions, SCHEMAS));
        }
        let (name, schema) = own_schema(resource_type, cluster);
        schemas.insert(name, schema);
    }
    let mut wanted: BTreeSet<String> = types
        .iter()
        .filter_map(|resource_type| {
            facts::definition_of(group, version, &resource_type.kind).map(str::to_owned)
        })
        .collect();
    wanted.extend(schemas.values().flat_map(references));
    wanted.insert("io.k8s.apimachinery.pkg.apis.meta.v1.DeleteOptions".into());
    wanted.insert("io.k8s.apimachinery.pkg.apis.meta.v1.Status".into());
    let mut open: Vec<String> = wanted.iter().cloned().collect();
    while let Some(name) = open.pop() {
        let Some(schema) = definitions.get(&name) else {
            continue;
        };
        for reference in references(schema) {
            if wanted.insert(reference.clone()) {
                open.push(reference);
            }
        }
        schemas.insert(name, schema.clone());
    }
    let mut schemas = Value::Object(schemas);
    relocate(&mut schemas);
    Ok(json!({
        "openapi": "3.0.0",
        "info": info(),
        "paths": paths,
        "components": {"schemas": schemas},
    }))
}

fn references(schema: &Value) -> Vec<String> {
    let mut found = Vec::new();
    walk(schema, &mut |reference| {
        if let Some(name) = reference.strip_prefix(DEFINITIONS) {
            found.push(name.to_owned());
        }
    });
    found
}

fn walk(value: &Value, visit: &mut dyn FnMut(&str)) {
    match value {
        Value::Object(map) => {
            if let Some(Value::String(reference)) = map.get("$ref") {
                visit(reference);
            }
            map.values().for_each(|inner| walk(inner, visit));
        }
        Value::Array(entries) => entries.iter().for_each(|inner| walk(inner, visit)),
        _ => {}
    }
}

/// Version 3 keeps its schemas elsewhere.
fn relocate(value: &mut Value) {
    match value {
        Value::Object(map) => {
            if let Some(Value::String(reference)) = map.get_mut("$ref")
                && let Some(name) = reference.strip_prefix(DEFINITIONS)
            {
                *reference = format!("{SCHEMAS}{name}");
            }
            map.values_mut().for_each(relocate);
        }
        Value::Array(entries) => entries.iter_mut().for_each(relocate),
        _ => {}
    }
}

/// `action -> group/version/kind` as operations with the parameters that clients look for.
fn operations(actions: &Value, schemas: &str) -> Value {
    let mut out = Map::new();
    for (action, kind) in actions.as_object().into_iter().flatten() {
        let Some((group, version, kind)) = split_kind(kind.as_str().unwrap_or_default()) else {
            continue;
        };
        let method = match action.as_str() {
            "list" | "get" | "watch" | "watchlist" | "connect" => "get",
            "post" => "post",
            "put" => "put",
            "patch" => "patch",
            "delete" | "deletecollection" => "delete",
            _ => continue,
        };
        let parameters: Vec<Value> = match method {
            "get" => vec!["pretty"],
            "patch" => vec![
                "pretty",
                "dryRun",
                "fieldManager",
                "fieldValidation",
                "force",
            ],
            "delete" => vec![
                "pretty",
                "dryRun",
                "gracePeriodSeconds",
                "propagationPolicy",
            ],
            _ => vec!["pretty", "dryRun", "fieldManager", "fieldValidation"],
        }
        .into_iter()
        .map(|name| parameter(name, schemas))
        .collect();
        let definition = facts::definition_of(group, version, kind).unwrap_or(kind);
        out.insert(
            method.into(),
            json!({
                "operationId": format!("{action}{version}{kind}"),
                "parameters": parameters,
                "responses": {"200": response(definition, schemas)},
                "x-kubernetes-action": action,
                "x-kubernetes-group-version-kind":
                    {"group": group, "version": version, "kind": kind},
            }),
        );
    }
    Value::Object(out)
}

fn parameter(name: &str, schemas: &str) -> Value {
    if schemas == SCHEMAS {
        json!({"name": name, "in": "query", "schema": {"type": "string", "uniqueItems": true}})
    } else {
        json!({"name": name, "in": "query", "type": "string", "uniqueItems": true})
    }
}

fn response(definition: &str, schemas: &str) -> Value {
    let schema = json!({"$ref": format!("{schemas}{definition}")});
    if schemas == SCHEMAS {
        json!({"description": "OK", "content": {"application/json": {"schema": schema}}})
    } else {
        json!({"description": "OK", "schema": schema})
    }
}

fn split_kind(text: &str) -> Option<(&str, &str, &str)> {
    let mut parts = text.splitn(3, '/');
    let group = parts.next()?;
    let group = if group == "core" { "" } else { group };
    Some((group, parts.next()?, parts.next()?))
}

fn own_types(registry: &Registry) -> impl Iterator<Item = &ResourceType> {
    registry
        .all()
        .map(AsRef::as_ref)
        .filter(|resource_type| resource_type.origin != Origin::Builtin)
}

fn own_paths(resource_type: &ResourceType) -> Vec<(String, Value)> {
    let kind = format!(
        "{}/{}/{}",
        resource_type.group, resource_type.version, resource_type.kind
    );
    let base = if resource_type.namespaced {
        format!(
            "/apis/{}/{}/namespaces/{{namespace}}/{}",
            resource_type.group, resource_type.version, resource_type.plural
        )
    } else {
        format!(
            "/apis/{}/{}/{}",
            resource_type.group, resource_type.version, resource_type.plural
        )
    };
    vec![
        (base.clone(), json!({"list": kind, "post": kind})),
        (
            format!("{base}/{{name}}"),
            json!({"get": kind, "put": kind, "patch": kind, "delete": kind}),
        ),
    ]
}

/// Name and schema of a custom resource, as its definition says it.
fn own_schema(resource_type: &ResourceType, cluster: &Cluster) -> (String, Value) {
    let mut reversed: Vec<&str> = resource_type.group.split('.').collect();
    reversed.reverse();
    let name = format!(
        "{}.{}.{}",
        reversed.join("."),
        resource_type.version,
        resource_type.kind
    );
    let definition_name = format!("{}.{}", resource_type.plural, resource_type.group);
    let definition = match resource_type.origin {
        Origin::Lab => lab::definition(&resource_type.plural),
        _ => cluster
            .find(
                &resources::CUSTOM_RESOURCE_DEFINITIONS,
                "",
                &definition_name,
            )
            .map(|object| object.json()),
    };
    let mut schema = definition
        .as_ref()
        .and_then(|definition| definition.pointer("/spec/versions"))
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
        .find(|version| {
            version.get("name").and_then(Value::as_str) == Some(resource_type.version.as_str())
        })
        .and_then(|version| version.pointer("/schema/openAPIV3Schema"))
        .cloned()
        .unwrap_or_else(|| json!({"type": "object"}));
    if let Some(map) = schema.as_object_mut() {
        map.insert(
            "x-kubernetes-group-version-kind".into(),
            json!([{
                "group": resource_type.group.as_str(),
                "version": resource_type.version.as_str(),
                "kind": resource_type.kind.as_str(),
            }]),
        );
        let properties = map.entry("properties").or_insert_with(|| json!({}));
        if let Some(properties) = properties.as_object_mut() {
            properties.insert("apiVersion".into(), json!({"type": "string"}));
            properties.insert("kind".into(), json!({"type": "string"}));
            properties.insert(
                "metadata".into(),
                json!({"$ref":
                    format!("{DEFINITIONS}io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta")}),
            );
        }
    }
    (name, schema)
}
