//! Facts about Kubernetes 1.36, embedded: the types of its published OpenAPI document, its resource
//! types, its table columns and the objects a new server creates (`facts/SOURCES.md`).
//!
//! Parsed once, on first use; immutable from then on.

use std::collections::BTreeMap;
use std::io::Read;
use std::sync::OnceLock;

use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::schema::Schema;

/// The version the embedded server says it is.
pub const GIT_VERSION: &str = "v1.36.2+bayplan";

#[derive(Deserialize)]
struct OpenApi {
    definitions: BTreeMap<String, Schema>,
}

/// A resource or subresource as discovery lists it.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ApiResource {
    pub api_group: String,
    pub api_version: String,
    pub kind: String,
    /// `deployments` or `deployments/scale`.
    pub name: String,
    pub namespaced: bool,
    #[serde(default)]
    pub singular_name: String,
    #[serde(default)]
    pub short_names: Vec<String>,
    #[serde(default)]
    pub categories: Vec<String>,
    pub verbs: Vec<String>,
    /// The group of `kind`, where it differs (`Scale` is in `autoscaling`).
    #[serde(default)]
    pub group: String,
    #[serde(default)]
    pub version: String,
}

/// A column of a server-side table.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub struct Column {
    pub name: String,
    #[serde(rename = "type")]
    pub kind: String,
    #[serde(default)]
    pub format: String,
    /// 0 in `kubectl get`, 1 in `-o wide`.
    #[serde(default)]
    pub priority: i32,
}

/// All definitions by their full name (`io.k8s.api.core.v1.Pod`).
pub fn definitions() -> &'static BTreeMap<String, Schema> {
    static DEFINITIONS: OnceLock<BTreeMap<String, Schema>> = OnceLock::new();
    DEFINITIONS.get_or_init(|| {
        let facts: OpenApi = read(include_bytes!("facts/openapi-types.json.gz"));
        facts.definitions
    })
}

pub fn definition(name: &str) -> Option<&'static Schema> {
    definitions().get(name)
}

/// The full definition name of a group, version and kind.
pub fn definition_of(group: &str, version: &str, kind: &str) -> Option<&'static str> {
    type ByKind = BTreeMap<(String, String, String), &'static str>;
    static BY_KIND: OnceLock<ByKind> = OnceLock::new();
    BY_KIND
        .get_or_init(|| {
            let mut map = ByKind::new();
            for (name, schema) in definitions() {
                for kind in &schema.kinds {
                    map.insert(
                        (kind.group.clone(), kind.version.clone(), kind.kind.clone()),
                        name.as_str(),
                    );
                }
            }
            map
        })
        .get(&(group.to_owned(), version.to_owned(), kind.to_owned()))
        .copied()
}

/// Fields of a message by number (as text: JSON keys inside of untagged values stay texts).
pub type ProtobufFields = BTreeMap<String, ProtobufField>;

/// What a field number of a message stands for.
#[derive(Clone, Debug, Deserialize)]
#[serde(untagged)]
pub enum ProtobufField {
    /// A property of the same definition.
    Named(String),
    /// An embedded message, whose fields are properties of the same definition in JSON.
    Inline(ProtobufFields),
}

/// The protobuf field numbers of definitions.
pub fn protobuf_fields() -> &'static BTreeMap<String, ProtobufFields> {
    static FIELDS: OnceLock<BTreeMap<String, ProtobufFields>> = OnceLock::new();
    FIELDS.get_or_init(|| read(include_bytes!("facts/protobuf-fields.json.gz")))
}

/// The published types as JSON, for the OpenAPI endpoints.
pub fn openapi_json() -> Value {
    read(include_bytes!("facts/openapi-types.json.gz"))
}

pub fn api_resources() -> Vec<ApiResource> {
    read(include_bytes!("facts/resources.json.gz"))
}

/// Columns by `group/version/plural`; the core group's keys begin with `/`.
pub fn table_columns() -> BTreeMap<String, Vec<Column>> {
    read(include_bytes!("facts/table-columns.json.gz"))
}

/// `ClusterRoles`, `ClusterRoleBindings` and `PriorityClasses` that a new server creates by itself.
pub fn bootstrap_objects() -> Vec<Value> {
    read(include_bytes!("facts/bootstrap-objects.json.gz"))
}

#[expect(
    clippy::expect_used,
    reason = "the files are embedded at compile time and a test reads every one of them"
)]
fn read<T: DeserializeOwned>(compressed: &[u8]) -> T {
    let mut text = Vec::with_capacity(compressed.len() * 16);
    flate2::read::GzDecoder::new(compressed)
        .read_to_end(&mut text)
        .expect("embedded facts are valid gzip");
    serde_json::from_slice(&text).expect("embedded facts are valid JSON")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_embedded_file_is_readable() {
        assert_eq!(definitions().len(), 771);
        assert_eq!(api_resources().len(), 113);
        assert!(table_columns().contains_key("/v1/pods"));
        assert_eq!(bootstrap_objects().len(), 125);
        assert!(openapi_json()["paths"].is_object());
        assert!(protobuf_fields().contains_key("io.k8s.api.core.v1.Pod"));
    }

    #[test]
    fn a_kind_finds_its_definition() {
        assert_eq!(
            definition_of("apps", "v1", "Deployment"),
            Some("io.k8s.api.apps.v1.Deployment")
        );
        assert_eq!(definition_of("apps", "v1beta1", "Deployment"), None);
    }

    #[test]
    fn every_reference_resolves() {
        fn walk(schema: &Schema) {
            if let Some(reference) = &schema.reference {
                assert!(definition(reference.as_str()).is_some(), "{reference}");
            }
            schema.properties.values().for_each(walk);
            schema.items.iter().for_each(|items| walk(items));
            schema
                .additional
                .iter()
                .filter_map(|more| more.schema())
                .for_each(walk);
        }
        definitions().values().for_each(walk);
    }
}
