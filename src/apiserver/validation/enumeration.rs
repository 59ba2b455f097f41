//! Fields that take one of a few values, and required fields, for every built-in type along the
//! schema. The values are data (`enumeration.json`).

use std::collections::BTreeMap;
use std::sync::OnceLock;

use serde_json::Value;

use super::super::status::Cause;
use crate::k8s::facts;
use crate::k8s::schema::{Additional, Schema};

type Allowed = BTreeMap<String, BTreeMap<String, Vec<String>>>;

fn allowed() -> &'static Allowed {
    static ALLOWED: OnceLock<Allowed> = OnceLock::new();
    ALLOWED.get_or_init(|| {
        serde_json::from_slice(include_bytes!("enumeration.json")).unwrap_or_default()
    })
}

pub(super) fn check(definition: &str, object: &Value, causes: &mut Vec<Cause>) {
    if let Some(schema) = facts::definition(definition) {
        visit(Some(definition), schema, object, "", causes);
    }
}

fn visit(
    definition: Option<&str>,
    schema: &Schema,
    value: &Value,
    path: &str,
    causes: &mut Vec<Cause>,
) {
    match value {
        Value::Object(map) => {
            if schema.properties.is_empty() {
                if let Some(Additional::Values(values)) = schema.additional.as_ref() {
                    for (key, entry) in map {
                        descend(values, entry, &format!("{path}[{key}]"), causes);
                    }
                }
                return;
            }
            for field in &schema.required {
                let missing = map.get(field.as_str()).is_none_or(is_empty);
                if missing && is_checked(definition, field) {
                    causes.push(Cause::required(join(path, field), ""));
                }
            }
            let rules = definition.and_then(|name| allowed().get(name));
            for (key, entry) in map {
                if let Some(texts) = rules.and_then(|rules| rules.get(key))
                    && let Some(text) = entry.as_str()
                    && !texts.iter().any(|allowed| allowed == text)
                {
                    let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
                    causes.push(Cause::not_supported(join(path, key), entry, &texts));
                }
                if let Some(field) = schema.properties.get(key.as_str()) {
                    descend(field, entry, &join(path, key), causes);
                }
            }
        }
        Value::Array(entries) => {
            if let Some(items) = schema.items.as_deref() {
                for (index, entry) in entries.iter().enumerate() {
                    descend(items, entry, &format!("{path}[{index}]"), causes);
                }
            }
        }
        _ => {}
    }
}

fn descend(schema: &Schema, value: &Value, path: &str, causes: &mut Vec<Cause>) {
    if value.is_object() || value.is_array() {
        visit(
            schema.reference.as_deref(),
            schema.resolved(),
            value,
            path,
            causes,
        );
    }
}

/// Types and the fields of theirs whose absence is an error of its own.
const REQUIRED: [(&[&str], &[&str]); 17] = [
    (&["PodSpec"], &["containers"]),
    (
        &["Container", "EnvVar", "Volume", "EphemeralContainer"],
        &["name"],
    ),
    (&["VolumeMount"], &["name", "mountPath"]),
    (&["ContainerPort"], &["containerPort"]),
    (&["HTTPGetAction", "TCPSocketAction"], &["port"]),
    (&["HostPathVolumeSource"], &["path"]),
    (&["ObjectFieldSelector"], &["fieldPath"]),
    (&["ResourceFieldSelector"], &["resource"]),
    (&["ConfigMapKeySelector", "SecretKeySelector"], &["key"]),
    (
        &["TopologySpreadConstraint"],
        &["topologyKey", "whenUnsatisfiable"],
    ),
    (&["PodAffinityTerm"], &["topologyKey"]),
    (
        &["NodeSelectorRequirement", "LabelSelectorRequirement"],
        &["key", "operator"],
    ),
    (&["NodeSelector"], &["nodeSelectorTerms"]),
    (&["StorageClass"], &["provisioner"]),
    (&["CronJobSpec"], &["schedule"]),
    (
        &["RoleRef", "Subject", "CrossVersionObjectReference"],
        &["name", "kind"],
    ),
    (&["PolicyRule"], &["verbs"]),
];

/// Required in the published types means "always written", which for maps, selectors and numbers
/// is not the same as "must not be empty": those are left to the kinds.
fn is_checked(definition: Option<&str>, field: &str) -> bool {
    let kind = definition
        .and_then(|name| name.rsplit('.').next())
        .unwrap_or_default();
    REQUIRED
        .iter()
        .any(|(kinds, fields)| kinds.contains(&kind) && fields.contains(&field))
}

fn is_empty(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::String(text) => text.is_empty(),
        Value::Array(entries) => entries.is_empty(),
        _ => false,
    }
}

fn join(path: &str, field: &str) -> String {
    if path.is_empty() {
        field.to_owned()
    } else {
        format!("{path}.{field}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_names_existing_fields() {
        assert!(!allowed().is_empty());
        for (definition, fields) in allowed() {
            let schema = facts::definition(definition).unwrap_or_else(|| panic!("{definition}"));
            for field in fields.keys() {
                assert!(
                    schema.properties.contains_key(field.as_str()),
                    "{definition}.{field}"
                );
            }
        }
    }
}
