//! Which resource types are served: Kubernetes' own from the embedded facts, the lab group, and
//! those of the custom resource definitions in the cluster.
//!
//! The built-in part is parsed once and shared; a registry is a cheap value that follows the
//! definitions in a [`Cluster`].

use std::collections::BTreeMap;
use std::sync::{Arc, OnceLock};

use jiff::Timestamp;

use crate::k8s::facts::{self, ApiResource, Column};
use crate::k8s::schema::Schema;
use crate::k8s::{Cluster, Name, Resource, Revision, resources};

use super::request::{ResourceTarget, User};
use super::subresource::log::PodLog;
use super::token::{Refused, TokenKey};
use super::{custom, lab};

/// One resource type in one version, as served.
#[derive(Clone, Debug)]
pub struct ResourceType {
    pub group: Name,
    pub version: Name,
    pub plural: Name,
    pub singular: Name,
    pub kind: Name,
    pub list_kind: Name,
    pub namespaced: bool,
    pub short_names: Vec<Name>,
    pub categories: Vec<Name>,
    pub verbs: Vec<Name>,
    pub subresources: Vec<SubresourceType>,
    /// Under which key objects are stored; differs where one kind is served by two groups.
    pub storage: Resource,
    /// The version in which objects are stored.
    pub storage_version: Name,
    pub schema: TypeSchema,
    pub columns: Vec<PrintColumn>,
    pub origin: Origin,
}

#[derive(Clone, Debug)]
pub struct SubresourceType {
    pub name: Name,
    pub kind: Name,
    /// Group and version of `kind`; empty group and version mean the parent's.
    pub group: Name,
    pub version: Name,
    pub verbs: Vec<Name>,
    /// Where a custom resource keeps its scale.
    pub scale: Option<Arc<ScalePaths>>,
}

/// JSON pointers of a custom resource's scale subresource.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ScalePaths {
    pub spec_replicas: String,
    pub status_replicas: String,
    pub selector: Option<String>,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Origin {
    Builtin,
    Lab,
    Custom,
}

#[derive(Clone, Debug)]
pub enum TypeSchema {
    Builtin(&'static Schema),
    Own(Arc<Schema>),
    /// A custom resource whose definition preserves everything.
    Free,
}

/// A column of the server-side table.
#[derive(Clone, Debug, PartialEq)]
pub struct PrintColumn {
    pub column: Column,
    /// Where a custom resource's cell comes from; built-in kinds compute theirs.
    pub json_path: Option<String>,
}

type Key = (Name, Name, Name);
type Types = BTreeMap<Key, Arc<ResourceType>>;

/// All served resource types.
#[derive(Clone, Debug)]
pub struct Registry {
    builtin: &'static Types,
    custom: Arc<Types>,
    /// The definitions that `custom` was made from.
    definitions: Arc<[(Name, Revision)]>,
    pub(super) pod_log: Option<PodLog>,
    pub(super) token_key: Option<Arc<TokenKey>>,
}

impl Default for Registry {
    fn default() -> Self {
        Self {
            builtin: builtin(),
            custom: Arc::default(),
            definitions: Arc::default(),
            pod_log: None,
            token_key: None,
        }
    }
}

impl Registry {
    /// The built-in types and those of the definitions in `cluster`.
    pub fn of(cluster: &Cluster) -> Self {
        let mut registry = Self::default();
        registry.follow(cluster);
        registry
    }

    /// Who answers `pods/log`; without one the server says that it has no logs.
    #[must_use]
    pub fn with_pod_log(mut self, source: PodLog) -> Self {
        self.pod_log = Some(source);
        self
    }

    /// With the types of `metrics.k8s.io`, for discovery where something is measured. They are not
    /// stored; whoever measures answers for them.
    #[must_use]
    pub fn with_metrics(&self) -> Self {
        let mut types = Types::clone(&self.custom);
        for (plural, kind, namespaced) in [
            ("nodes", "NodeMetrics", false),
            ("pods", "PodMetrics", true),
        ] {
            let resource_type = measured_type(plural, kind, namespaced);
            types.insert(key_of(&resource_type), Arc::new(resource_type));
        }
        Self {
            custom: Arc::new(types),
            ..self.clone()
        }
    }

    /// What service account tokens are signed and recognised with; without one there are none.
    pub fn set_token_key(&mut self, key: Arc<TokenKey>) {
        self.token_key = Some(key);
    }

    /// Whose bearer token this is.
    pub fn authenticate(
        &self,
        token: &str,
        cluster: &Cluster,
        now: Timestamp,
    ) -> Result<User, Refused> {
        let key = self.token_key.as_ref().ok_or(Refused::Malformed)?;
        key.authenticate(token, &[], cluster, now)
            .map(|(user, _)| user)
    }

    /// Takes over changed custom resource definitions and says whether there were any. Cheap when
    /// nothing changed.
    pub fn follow(&mut self, cluster: &Cluster) -> bool {
        let definitions: Vec<(Name, Revision)> = cluster
            .list(&resources::CUSTOM_RESOURCE_DEFINITIONS)
            .map(|object| (object.key.name.clone(), object.revision))
            .collect();
        if definitions == *self.definitions {
            return false;
        }
        let mut types = Types::new();
        for object in cluster.list(&resources::CUSTOM_RESOURCE_DEFINITIONS) {
            for resource_type in custom::resource_types(object) {
                let key = key_of(&resource_type);
                if !self.builtin.contains_key(&key) {
                    types.insert(key, Arc::new(resource_type));
                }
            }
        }
        self.custom = Arc::new(types);
        self.definitions = definitions.into();
        true
    }

    pub fn find(&self, group: &str, version: &str, plural: &str) -> Option<&Arc<ResourceType>> {
        let key = (Name::new(group), Name::new(version), Name::new(plural));
        self.builtin.get(&key).or_else(|| self.custom.get(&key))
    }

    pub fn target(&self, target: &ResourceTarget) -> Option<&Arc<ResourceType>> {
        let key = (
            target.group.clone(),
            target.version.clone(),
            target.plural.clone(),
        );
        self.builtin.get(&key).or_else(|| self.custom.get(&key))
    }

    /// The type in the version that it is stored in.
    pub fn stored(&self, resource: &Resource) -> Option<&Arc<ResourceType>> {
        self.versions(resource)
            .find(|candidate| candidate.version == candidate.storage_version)
            .or_else(|| self.versions(resource).next())
    }

    /// All served versions of a resource type.
    pub fn versions(&self, resource: &Resource) -> impl Iterator<Item = &Arc<ResourceType>> {
        let from = (resource.group.clone(), Name::default(), Name::default());
        let resource = resource.clone();
        let (group, plural) = (resource.group, resource.plural);
        self.builtin
            .range(from.clone()..)
            .take_while({
                let group = group.clone();
                move |((candidate, _, _), _)| *candidate == group
            })
            .chain(
                self.custom
                    .range(from..)
                    .take_while(move |((candidate, _, _), _)| *candidate == group),
            )
            .filter(move |((_, _, candidate), _)| *candidate == plural)
            .map(|(_, resource_type)| resource_type)
    }

    pub fn by_kind(&self, group: &str, version: &str, kind: &str) -> Option<&Arc<ResourceType>> {
        self.all().find(|candidate| {
            candidate.group == group && candidate.version == version && candidate.kind == kind
        })
    }

    /// Every type in every version, in the order of group, version and plural.
    pub fn all(&self) -> impl Iterator<Item = &Arc<ResourceType>> {
        self.builtin.values().chain(self.custom.values())
    }

    /// Changes whenever the custom resource definitions change.
    pub(super) fn fingerprint(&self) -> String {
        let newest = self
            .definitions
            .iter()
            .map(|(_, revision)| revision.0)
            .max()
            .unwrap_or_default();
        format!("{newest:x}-{:x}", self.definitions.len())
    }
}

impl ResourceType {
    /// `group/version`, or `version` of the core group.
    pub fn api_version(&self) -> String {
        if self.group.is_empty() {
            self.version.to_string()
        } else {
            format!("{}/{}", self.group, self.version)
        }
    }

    /// The resource as clients name it.
    pub fn resource(&self) -> Resource {
        Resource {
            group: self.group.clone(),
            plural: self.plural.clone(),
        }
    }

    pub fn subresource(&self, name: &str) -> Option<&SubresourceType> {
        self.subresources
            .iter()
            .find(|subresource| subresource.name == name)
    }

    /// Whether `status` is written through its own subresource only.
    pub fn has_status(&self) -> bool {
        self.subresource("status").is_some()
    }

    pub fn allows(&self, verb: &str) -> bool {
        self.verbs.iter().any(|own| own == verb)
    }

    /// Whether objects of it are kept, unlike reviews and bindings.
    pub fn is_stored(&self) -> bool {
        self.allows("get") || self.allows("list")
    }

    pub fn schema(&self) -> Option<&Schema> {
        match &self.schema {
            TypeSchema::Builtin(schema) => Some(schema),
            TypeSchema::Own(schema) => Some(schema),
            TypeSchema::Free => None,
        }
    }

    /// Whether stored bytes must be rewritten before they are answered in this version.
    pub fn converts(&self) -> bool {
        self.version != self.storage_version || self.group != self.storage.group
    }
}

fn key_of(resource_type: &ResourceType) -> Key {
    (
        resource_type.group.clone(),
        resource_type.version.clone(),
        resource_type.plural.clone(),
    )
}

fn builtin() -> &'static Types {
    static TYPES: OnceLock<Types> = OnceLock::new();
    TYPES.get_or_init(|| {
        let listed = facts::api_resources();
        let mut columns = facts::table_columns();
        let mut types: Types = listed
            .iter()
            .filter(|resource| !resource.name.contains('/'))
            .map(|resource| {
                let key = format!(
                    "{}/{}/{}",
                    resource.api_group, resource.api_version, resource.name
                );
                let columns = columns.remove(&key).unwrap_or_default();
                builtin_type(resource, &listed, columns)
            })
            .map(|resource_type| (key_of(&resource_type), Arc::new(resource_type)))
            .collect();
        for resource_type in lab::resource_types() {
            types.insert(key_of(&resource_type), Arc::new(resource_type));
        }
        types
    })
}

fn builtin_type(
    resource: &ApiResource,
    listed: &[ApiResource],
    columns: Vec<Column>,
) -> ResourceType {
    let definition =
        facts::definition_of(&resource.api_group, &resource.api_version, &resource.kind);
    let (storage, storage_version) = storage_of(resource);
    ResourceType {
        group: resource.api_group.as_str().into(),
        version: resource.api_version.as_str().into(),
        plural: resource.name.as_str().into(),
        singular: resource.singular_name.as_str().into(),
        kind: resource.kind.as_str().into(),
        list_kind: format!("{}List", resource.kind).into(),
        namespaced: resource.namespaced,
        short_names: resource.short_names.iter().map(Name::from).collect(),
        categories: resource.categories.iter().map(Name::from).collect(),
        verbs: resource.verbs.iter().map(Name::from).collect(),
        subresources: subresources(resource, listed),
        storage,
        storage_version,
        schema: definition
            .and_then(facts::definition)
            .map_or(TypeSchema::Free, TypeSchema::Builtin),
        columns: print_columns(columns),
        origin: Origin::Builtin,
    }
}

fn measured_type(plural: &str, kind: &str, namespaced: bool) -> ResourceType {
    const GROUP: &str = "metrics.k8s.io";
    ResourceType {
        group: GROUP.into(),
        version: "v1beta1".into(),
        plural: plural.into(),
        singular: Name::default(),
        kind: kind.into(),
        list_kind: format!("{kind}List").into(),
        namespaced,
        short_names: Vec::new(),
        categories: Vec::new(),
        verbs: ["get", "list"].map(Name::new_static).to_vec(),
        subresources: Vec::new(),
        storage: Resource::new(GROUP, plural),
        storage_version: "v1beta1".into(),
        schema: TypeSchema::Free,
        columns: Vec::new(),
        origin: Origin::Builtin,
    }
}

/// A type without columns of its own has name and age, as upstream's default printer.
fn print_columns(columns: Vec<Column>) -> Vec<PrintColumn> {
    let plain = |name: &str, format: &str| Column {
        name: name.into(),
        kind: "string".into(),
        format: format.into(),
        priority: 0,
    };
    let columns = if columns.is_empty() {
        vec![plain("Name", "name"), plain("Age", "")]
    } else {
        columns
    };
    columns
        .into_iter()
        .map(|column| PrintColumn {
            column,
            json_path: None,
        })
        .collect()
}

fn subresources(parent: &ApiResource, listed: &[ApiResource]) -> Vec<SubresourceType> {
    listed
        .iter()
        .filter(|candidate| {
            candidate.api_group == parent.api_group && candidate.api_version == parent.api_version
        })
        .filter_map(|candidate| {
            let (plural, name) = candidate.name.split_once('/')?;
            (plural == parent.name).then(|| SubresourceType {
                name: name.into(),
                kind: candidate.kind.as_str().into(),
                group: candidate.group.as_str().into(),
                version: candidate.version.as_str().into(),
                verbs: candidate.verbs.iter().map(Name::from).collect(),
                scale: None,
            })
        })
        .collect()
}

/// Events are one kind in two groups, autoscalers one kind in two versions.
fn storage_of(resource: &ApiResource) -> (Resource, Name) {
    match (resource.api_group.as_str(), resource.name.as_str()) {
        ("events.k8s.io", "events") => (resources::EVENTS, Name::new_static("v1")),
        ("autoscaling", "horizontalpodautoscalers") => (
            resources::HORIZONTAL_POD_AUTOSCALERS,
            Name::new_static("v2"),
        ),
        (group, plural) => (
            Resource::new(group, plural),
            Name::from(resource.api_version.as_str()),
        ),
    }
}
