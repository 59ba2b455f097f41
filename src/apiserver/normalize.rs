//! A decoded body against the schema of its kind: unknown fields are dropped (or refused), nulls
//! vanish, types are checked, quantities take their canonical form.
//!
//! Messages are those of `encoding/json` and of strict decoding in `k8s.io/apimachinery`.

use serde_json::{Map, Value};

use super::defaults;
use super::registry::{Origin, Registry, ResourceType};
use super::status::Status;
use crate::k8s::facts;
use crate::k8s::quantity::Quantity;
use crate::k8s::schema::{Schema, Type};

const QUANTITY: &str = "io.k8s.apimachinery.pkg.api.resource.Quantity";
const INT_OR_STRING: &str = "io.k8s.apimachinery.pkg.util.intstr.IntOrString";
const OBJECT_META: &str = "io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta";

/// `fieldValidation`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Strictness {
    Strict,
    Warn,
    Ignore,
}

impl Strictness {
    pub(super) fn parse(text: &str) -> Result<Self, Status> {
        match text {
            "Strict" => Ok(Self::Strict),
            "" | "Warn" => Ok(Self::Warn),
            "Ignore" => Ok(Self::Ignore),
            other => Err(Status::bad_request(format!(
                "fieldValidation: Unsupported value: \"{other}\": supported values: \"Ignore\", \
                 \"Strict\", \"Warn\""
            ))),
        }
    }
}

/// Brings an object into the shape of its kind and says what was dropped.
pub(super) fn normalize(
    resource_type: &ResourceType,
    tree: &mut Value,
    strictness: Strictness,
) -> Result<Vec<String>, Status> {
    let mut walk = Walk::default();
    match resource_type.origin {
        Origin::Builtin => {
            if let Some(schema) = resource_type.schema() {
                walk.value(schema, &resource_type.kind, tree);
            }
        }
        Origin::Lab | Origin::Custom => custom(resource_type, &mut walk, tree),
    }
    let unreadable = |why: &str| {
        Status::bad_request(format!(
            "{} in version \"{}\" cannot be handled as a {}: {why}",
            resource_type.kind, resource_type.version, resource_type.kind
        ))
    };
    if let Some(error) = walk.errors.first() {
        return Err(unreadable(error));
    }
    let unknown: Vec<String> = walk
        .unknown
        .iter()
        .map(|path| format!("unknown field \"{path}\""))
        .collect();
    match strictness {
        Strictness::Strict if !unknown.is_empty() => Err(unreadable(&format!(
            "strict decoding error: {}",
            unknown.join(", ")
        ))),
        Strictness::Warn => Ok(unknown),
        _ => Ok(Vec::new()),
    }
}

/// Custom resources: metadata is Kubernetes' own, the rest is pruned by the structural schema. Its
/// types are checked by validation, whose errors have another form.
fn custom(resource_type: &ResourceType, walk: &mut Walk, tree: &mut Value) {
    if let (Some(metadata), Some(schema)) =
        (tree.get_mut("metadata"), facts::definition(OBJECT_META))
    {
        walk.path.push(Step::Field("metadata".into()));
        walk.value(schema, "ObjectMeta", metadata);
        walk.path.pop();
    }
    let Some(schema) = resource_type.schema() else {
        return;
    };
    walk.structural(schema, tree, true);
}

#[derive(Clone)]
enum Step {
    Field(String),
    Index(usize),
}

#[derive(Default)]
struct Walk {
    path: Vec<Step>,
    unknown: Vec<String>,
    errors: Vec<String>,
}

impl Walk {
    fn value(&mut self, schema: &Schema, parent: &str, value: &mut Value) {
        match schema.reference.as_deref() {
            Some(QUANTITY) => return self.quantity(value),
            Some(INT_OR_STRING) => {
                if !(value.is_string() || value.is_i64() || value.is_u64()) {
                    self.mismatch(parent, value, "intstr.IntOrString");
                }
                return;
            }
            _ => {}
        }
        let name = schema.type_name().to_owned();
        let parent = if name.is_empty() { parent } else { &name };
        let resolved = schema.resolved();
        match resolved.kind {
            Type::Object => self.object(resolved, parent, value),
            Type::Array => self.array(resolved, parent, value),
            Type::String => {
                if !value.is_string() {
                    self.mismatch(parent, value, "string");
                }
            }
            Type::Boolean => {
                if !value.is_boolean() {
                    self.mismatch(parent, value, "bool");
                }
            }
            Type::Integer => {
                let go = if resolved.format == "int32" {
                    "int32"
                } else {
                    "int64"
                };
                let fits = value.as_i64().is_some_and(|number| {
                    resolved.format != "int32" || i32::try_from(number).is_ok()
                });
                if !fits {
                    self.mismatch(parent, value, go);
                }
            }
            Type::Number => {
                if !value.is_number() {
                    self.mismatch(parent, value, "float64");
                }
            }
            Type::Any | Type::Null => {}
        }
    }

    fn object(&mut self, schema: &Schema, parent: &str, value: &mut Value) {
        let Some(map) = value.as_object_mut() else {
            return self.mismatch(parent, value, parent);
        };
        if schema.properties.is_empty() && schema.additional.is_none() {
            // RawExtension, FieldsV1, JSON: anything goes.
            return;
        }
        let mut dropped = Vec::new();
        for (key, entry) in map.iter_mut() {
            self.path.push(Step::Field(key.clone()));
            match schema.field(key) {
                Some(_) if entry.is_null() => dropped.push(key.clone()),
                Some(field) => self.value(field, parent, entry),
                None => {
                    if !schema.preserve_unknown {
                        self.unknown.push(self.shown());
                        dropped.push(key.clone());
                    }
                }
            }
            self.path.pop();
        }
        for key in dropped {
            map.remove(&key);
        }
    }

    fn array(&mut self, schema: &Schema, parent: &str, value: &mut Value) {
        let Some(entries) = value.as_array_mut() else {
            let go = format!(
                "[]{}",
                schema.items.as_deref().map_or("", Schema::type_name)
            );
            return self.mismatch(parent, value, &go);
        };
        let Some(items) = schema.items.as_deref() else {
            return;
        };
        for (index, entry) in entries.iter_mut().enumerate() {
            self.path.push(Step::Index(index));
            self.value(items, parent, entry);
            self.path.pop();
        }
    }

    fn quantity(&mut self, value: &mut Value) {
        let text = match &*value {
            Value::String(text) => text.clone(),
            Value::Number(number) => number.to_string(),
            _ => return self.mismatch("", value, "resource.Quantity"),
        };
        match Quantity::parse(&text) {
            Ok(quantity) => *value = quantity.to_string().into(),
            Err(error) => self.errors.push(error.to_string()),
        }
    }

    /// Drops what a structural schema does not name.
    fn structural(&mut self, schema: &Schema, value: &mut Value, is_root: bool) {
        match value {
            Value::Object(map) => self.structural_object(schema, map, is_root),
            Value::Array(entries) => {
                if let Some(items) = schema.items.as_deref() {
                    for (index, entry) in entries.iter_mut().enumerate() {
                        self.path.push(Step::Index(index));
                        self.structural(items, entry, false);
                        self.path.pop();
                    }
                }
            }
            _ => {}
        }
    }

    fn structural_object(&mut self, schema: &Schema, map: &mut Map<String, Value>, is_root: bool) {
        let mut dropped = Vec::new();
        for (key, entry) in map.iter_mut() {
            let own = matches!(key.as_str(), "apiVersion" | "kind" | "metadata");
            if own && (is_root || schema.embedded_resource) {
                continue;
            }
            self.path.push(Step::Field(key.clone()));
            match schema.field(key) {
                Some(field) if entry.is_null() && !field.nullable => dropped.push(key.clone()),
                Some(field) => self.structural(field, entry, false),
                None if schema.preserve_unknown || schema.additional.is_some() => {}
                None => {
                    self.unknown.push(self.shown());
                    dropped.push(key.clone());
                }
            }
            self.path.pop();
        }
        for key in dropped {
            map.remove(&key);
        }
    }

    fn mismatch(&mut self, parent: &str, value: &Value, go: &str) {
        let path: Vec<&str> = self
            .path
            .iter()
            .filter_map(|step| match step {
                Step::Field(name) => Some(name.as_str()),
                Step::Index(_) => None,
            })
            .collect();
        self.errors.push(format!(
            "json: cannot unmarshal {} into Go struct field {parent}.{} of type {go}",
            go_type(value),
            path.join(".")
        ));
    }

    fn shown(&self) -> String {
        let mut out = String::new();
        for step in &self.path {
            match step {
                Step::Field(name) if out.is_empty() => out.push_str(name),
                Step::Field(name) => {
                    out.push('.');
                    out.push_str(name);
                }
                Step::Index(index) => {
                    out.push('[');
                    out.push_str(&index.to_string());
                    out.push(']');
                }
            }
        }
        out
    }
}

/// Defaults: Kubernetes' own, or those of a custom resource's schema.
pub(super) fn fill(registry: &Registry, resource_type: &ResourceType, tree: &mut Value) {
    match resource_type.origin {
        Origin::Builtin => {
            let stored = registry
                .stored(&resource_type.storage)
                .map_or(resource_type, AsRef::as_ref);
            if let Some(definition) =
                facts::definition_of(&stored.group, &stored.version, &stored.kind)
            {
                defaults::apply(definition, tree);
            }
        }
        Origin::Lab | Origin::Custom => {
            if let Some(schema) = resource_type.schema() {
                fill_structural(schema, tree);
            }
        }
    }
}

fn fill_structural(schema: &Schema, tree: &mut Value) {
    match tree {
        Value::Object(map) => {
            for (key, field) in &schema.properties {
                if let Some(value) = &field.default_value
                    && !map.contains_key(key.as_str())
                {
                    map.insert(key.to_string(), value.clone());
                }
            }
            for (key, entry) in map.iter_mut() {
                if let Some(field) = schema.field(key) {
                    fill_structural(field, entry);
                }
            }
        }
        Value::Array(entries) => {
            if let Some(items) = schema.items.as_deref() {
                for entry in entries {
                    fill_structural(items, entry);
                }
            }
        }
        _ => {}
    }
}

/// What `encoding/json` calls a value.
pub(super) fn go_type(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "bool",
        Value::Number(_) => "number",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    }
}
