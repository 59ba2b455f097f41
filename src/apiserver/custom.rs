//! Custom resource definitions: the resource types they declare.

use std::sync::Arc;

use serde::Deserialize;
use serde_json::Value;

use super::registry::{Origin, PrintColumn, ResourceType, ScalePaths, SubresourceType, TypeSchema};
use crate::k8s::facts::Column;
use crate::k8s::schema::Schema;
use crate::k8s::{Name, Object, Resource};

#[derive(Deserialize)]
struct Definition {
    spec: DefinitionSpec,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct DefinitionSpec {
    group: Name,
    scope: Name,
    names: Names,
    #[serde(default)]
    versions: Vec<Version>,
    #[serde(default)]
    preserve_unknown_fields: bool,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
#[expect(
    clippy::struct_field_names,
    reason = "fields are called as on the wire"
)]
struct Names {
    plural: Name,
    singular: Name,
    kind: Name,
    list_kind: Name,
    short_names: Vec<Name>,
    categories: Vec<Name>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Version {
    name: Name,
    served: bool,
    storage: bool,
    #[serde(default)]
    schema: VersionSchema,
    #[serde(default)]
    subresources: Subresources,
    #[serde(default)]
    additional_printer_columns: Vec<PrinterColumn>,
}

#[derive(Deserialize, Default)]
struct VersionSchema {
    #[serde(rename = "openAPIV3Schema", default)]
    schema: Option<Schema>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Subresources {
    status: Option<Value>,
    scale: Option<ScaleWire>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
#[expect(
    clippy::struct_field_names,
    reason = "fields are called as on the wire"
)]
struct ScaleWire {
    spec_replicas_path: String,
    status_replicas_path: String,
    #[serde(default)]
    label_selector_path: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct PrinterColumn {
    name: String,
    #[serde(rename = "type")]
    kind: String,
    #[serde(default)]
    format: String,
    #[serde(default)]
    priority: i32,
    json_path: String,
}

/// The served versions of a definition; nothing of one that cannot be read.
pub(super) fn resource_types(definition: &Arc<Object>) -> Vec<ResourceType> {
    let Ok(Definition { spec }) = definition.typed::<Definition>() else {
        return Vec::new();
    };
    let storage_version = spec
        .versions
        .iter()
        .find(|version| version.storage)
        .map(|version| version.name.clone())
        .unwrap_or_default();
    let DefinitionSpec {
        group,
        scope,
        names,
        versions,
        preserve_unknown_fields,
    } = spec;
    versions
        .into_iter()
        .filter(|version| version.served)
        .map(|version| ResourceType {
            group: group.clone(),
            version: version.name,
            plural: names.plural.clone(),
            singular: if names.singular.is_empty() {
                names.kind.to_lowercase().into()
            } else {
                names.singular.clone()
            },
            kind: names.kind.clone(),
            list_kind: if names.list_kind.is_empty() {
                format!("{}List", names.kind).into()
            } else {
                names.list_kind.clone()
            },
            namespaced: scope == "Namespaced",
            short_names: names.short_names.clone(),
            categories: names.categories.clone(),
            verbs: VERBS.iter().map(|verb| Name::new_static(verb)).collect(),
            subresources: subresources(&version.subresources, &names.kind),
            storage: Resource {
                group: group.clone(),
                plural: names.plural.clone(),
            },
            storage_version: storage_version.clone(),
            schema: match version.schema.schema {
                Some(schema) if !preserve_unknown_fields => TypeSchema::Own(Arc::new(schema)),
                _ => TypeSchema::Free,
            },
            columns: columns(version.additional_printer_columns),
            origin: Origin::Custom,
        })
        .collect()
}

const VERBS: [&str; 8] = [
    "delete",
    "deletecollection",
    "get",
    "list",
    "patch",
    "create",
    "update",
    "watch",
];

fn subresources(declared: &Subresources, kind: &Name) -> Vec<SubresourceType> {
    let verbs = || ["get", "patch", "update"].map(Name::new_static).to_vec();
    let mut subresources = Vec::new();
    if declared.status.is_some() {
        subresources.push(SubresourceType {
            name: Name::new_static("status"),
            kind: kind.clone(),
            group: Name::default(),
            version: Name::default(),
            verbs: verbs(),
            scale: None,
        });
    }
    if let Some(scale) = &declared.scale {
        subresources.push(SubresourceType {
            name: Name::new_static("scale"),
            kind: Name::new_static("Scale"),
            group: Name::new_static("autoscaling"),
            version: Name::new_static("v1"),
            verbs: verbs(),
            scale: Some(Arc::new(ScalePaths {
                spec_replicas: pointer(&scale.spec_replicas_path),
                status_replicas: pointer(&scale.status_replicas_path),
                selector: scale.label_selector_path.as_deref().map(pointer),
            })),
        });
    }
    subresources
}

/// `.spec.replicas` as `/spec/replicas`: scale paths are plain dotted names.
fn pointer(path: &str) -> String {
    path.replace('.', "/")
}

/// Name first, then what the definition says; without columns the age, as upstream.
fn columns(declared: Vec<PrinterColumn>) -> Vec<PrintColumn> {
    let column = |name: &str, kind: &str, format: &str, priority, json_path: &str| PrintColumn {
        column: Column {
            name: name.into(),
            kind: kind.into(),
            format: format.into(),
            priority,
        },
        json_path: Some(json_path.into()),
    };
    let mut columns = vec![column("Name", "string", "name", 0, ".metadata.name")];
    if declared.is_empty() {
        columns.push(column("Age", "date", "", 0, ".metadata.creationTimestamp"));
    }
    columns.extend(declared.into_iter().map(|entry| {
        column(
            &entry.name,
            &entry.kind,
            &entry.format,
            entry.priority,
            &entry.json_path,
        )
    }));
    columns
}
