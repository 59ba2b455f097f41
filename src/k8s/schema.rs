//! The shape of a kind: types, list and map marks, constraints.
//!
//! One structure serves Kubernetes' own published types and the structural schemas of custom
//! resource definitions, so that pruning, validation, defaulting and patching are written once.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::Value;
use smol_str::SmolStr;

use super::facts;

/// A node of a schema.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is a mark of its own in the schema language"
)]
pub struct Schema {
    /// The full name of the definition that says more.
    #[serde(rename = "$ref", deserialize_with = "reference")]
    pub reference: Option<SmolStr>,
    #[serde(rename = "type")]
    pub kind: Type,
    pub format: SmolStr,
    pub properties: BTreeMap<SmolStr, Schema>,
    pub required: Vec<SmolStr>,
    pub items: Option<Box<Schema>>,
    #[serde(rename = "additionalProperties")]
    pub additional: Option<Additional>,
    #[serde(rename = "default")]
    pub default_value: Option<Value>,
    #[serde(rename = "enum")]
    pub allowed: Vec<Value>,
    pub pattern: Option<String>,
    pub minimum: Option<f64>,
    pub maximum: Option<f64>,
    pub exclusive_minimum: bool,
    pub exclusive_maximum: bool,
    pub multiple_of: Option<f64>,
    pub min_length: Option<usize>,
    pub max_length: Option<usize>,
    pub min_items: Option<usize>,
    pub max_items: Option<usize>,
    pub unique_items: bool,
    pub min_properties: Option<usize>,
    pub max_properties: Option<usize>,
    pub nullable: bool,
    pub one_of: Vec<Schema>,
    pub any_of: Vec<Schema>,
    pub all_of: Vec<Schema>,
    pub not: Option<Box<Schema>>,
    #[serde(rename = "x-kubernetes-list-type")]
    pub list_type: SmolStr,
    #[serde(rename = "x-kubernetes-list-map-keys")]
    pub map_keys: Vec<SmolStr>,
    #[serde(rename = "x-kubernetes-map-type")]
    pub map_type: SmolStr,
    #[serde(rename = "x-kubernetes-patch-merge-key")]
    pub merge_key: SmolStr,
    /// `merge`, `replace`, `retainKeys`, joined by commas.
    #[serde(rename = "x-kubernetes-patch-strategy")]
    pub patch_strategy: SmolStr,
    #[serde(rename = "x-kubernetes-int-or-string")]
    pub int_or_string: bool,
    #[serde(rename = "x-kubernetes-preserve-unknown-fields")]
    pub preserve_unknown: bool,
    #[serde(rename = "x-kubernetes-embedded-resource")]
    pub embedded_resource: bool,
    #[serde(rename = "x-kubernetes-group-version-kind")]
    pub kinds: Vec<GroupVersionKind>,
}

#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct GroupVersionKind {
    #[serde(default)]
    pub group: String,
    pub version: String,
    pub kind: String,
}

/// `additionalProperties`: a schema for the values, or just whether there may be any.
#[derive(Clone, Debug, Deserialize)]
#[serde(untagged)]
pub enum Additional {
    Allowed(bool),
    Values(Box<Schema>),
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Type {
    Object,
    Array,
    String,
    Integer,
    Number,
    Boolean,
    Null,
    /// Not said: anything.
    #[default]
    #[serde(other)]
    Any,
}

impl Additional {
    pub fn schema(&self) -> Option<&Schema> {
        match self {
            Self::Values(schema) => Some(schema),
            Self::Allowed(_) => None,
        }
    }
}

impl Schema {
    /// The definition that `$ref` names, or the schema itself. Marks of the referring field
    /// (merge keys, patch strategies) are on `self`, not on the result.
    pub fn resolved(&self) -> &Schema {
        self.reference
            .as_deref()
            .and_then(facts::definition)
            .unwrap_or(self)
    }

    /// The schema of a field, by its name.
    pub fn field(&self, name: &str) -> Option<&Schema> {
        let resolved = self.resolved();
        resolved
            .properties
            .get(name)
            .or_else(|| resolved.additional.as_ref().and_then(Additional::schema))
    }

    /// The last part of the definition's name: `PodSpec`.
    pub fn type_name(&self) -> &str {
        self.reference
            .as_deref()
            .and_then(|name| name.rsplit('.').next())
            .unwrap_or_default()
    }

    pub fn patch_strategies(&self) -> impl Iterator<Item = &str> {
        self.patch_strategy
            .split(',')
            .filter(|part| !part.is_empty())
    }
}

/// `#/definitions/io.k8s.api.core.v1.PodSpec` without its prefix.
fn reference<'de, D: serde::Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<SmolStr>, D::Error> {
    let text = Option::<SmolStr>::deserialize(deserializer)?;
    Ok(text.map(|text| {
        text.strip_prefix("#/definitions/")
            .map_or(text.clone(), SmolStr::new)
    }))
}
