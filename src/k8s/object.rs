//! One object: its JSON bytes, and a small header parsed from them.
//!
//! A typed pod costs 19 KB, a JSON tree 25 KB, bytes with a header 3 KB. Fleets are therefore only
//! ever held in this form; a single object is decoded ([`Object::typed`], [`Object::json`]) while it
//! is looked at.

use std::sync::Arc;

use bytes::Bytes;
use jiff::Timestamp;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::body::Body;
use super::columns::{self, Columns, NodeColumns, PodColumns};
use super::key::{Name, ObjectKey, Resource, Revision, Uid};
use super::resources;
use super::selector::LabelSelector;

/// An immutable object. Shared as `Arc<Object>`.
#[derive(Clone, Debug)]
pub struct Object {
    pub key: ObjectKey,
    pub uid: Uid,
    /// `metadata.resourceVersion`; 0 where the server gave none or no number.
    pub revision: Revision,
    pub generation: i64,
    pub created: Option<Timestamp>,
    /// `metadata.deletionTimestamp`: the object is terminating.
    pub deleted: Option<Timestamp>,
    pub finalizers: Box<[Name]>,
    pub labels: Labels,
    pub owners: Box<[OwnerRef]>,
    pub columns: Columns,
    /// The whole object as JSON, `apiVersion` and `kind` included.
    pub body: Body,
}

/// Equal in every byte: two readings of one version are.
impl PartialEq for Object {
    fn eq(&self, other: &Self) -> bool {
        std::ptr::eq(self, other)
            || (self.key == other.key
                && self.uid == other.uid
                && self.revision == other.revision
                && self.bytes() == other.bytes())
    }
}

/// Labels, sorted by key.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct Labels(Arc<[(Name, Name)]>);

/// An entry of `metadata.ownerReferences`.
#[derive(Clone, PartialEq, Eq, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct OwnerRef {
    pub api_version: Name,
    pub kind: Name,
    pub name: Name,
    pub uid: Uid,
    #[serde(default)]
    pub controller: bool,
    #[serde(default)]
    pub block_owner_deletion: bool,
}

/// Why bytes are not an object.
#[derive(Debug, thiserror::Error)]
pub enum ObjectError {
    #[error("`{resource}` object is not what its kind requires")]
    Malformed {
        resource: Resource,
        #[source]
        source: serde_json::Error,
    },
}

#[derive(Deserialize)]
struct Wire {
    #[serde(default)]
    metadata: MetadataWire,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct MetadataWire {
    name: Name,
    namespace: Name,
    uid: Uid,
    resource_version: Name,
    generation: i64,
    creation_timestamp: Option<Timestamp>,
    deletion_timestamp: Option<Timestamp>,
    finalizers: Vec<Name>,
    labels: Labels,
    owner_references: Vec<OwnerRef>,
}

impl Object {
    /// Parses the header and the columns of this resource's kind.
    pub fn parse(resource: Resource, bytes: Bytes) -> Result<Self, ObjectError> {
        let malformed = |source| ObjectError::Malformed {
            resource: resource.clone(),
            source,
        };
        let Wire { metadata } = serde_json::from_slice(&bytes).map_err(malformed)?;
        let columns = if resource == resources::PODS {
            Columns::Pod(Box::new(columns::pod(&bytes).map_err(malformed)?))
        } else if resource == resources::NODES {
            Columns::Node(Box::new(columns::node(&bytes).map_err(malformed)?))
        } else if let Some(selector) = columns::selector(&resource, &bytes) {
            Columns::Selector(Box::new(selector))
        } else {
            Columns::None
        };
        Ok(Self {
            key: ObjectKey {
                resource,
                namespace: metadata.namespace,
                name: metadata.name,
            },
            uid: metadata.uid,
            revision: Revision(metadata.resource_version.parse().unwrap_or_default()),
            generation: metadata.generation,
            created: metadata.creation_timestamp,
            deleted: metadata.deletion_timestamp,
            finalizers: metadata.finalizers.into(),
            labels: metadata.labels,
            owners: metadata.owner_references.into(),
            columns,
            body: Body::from(bytes),
        })
    }

    /// Serialises and parses a JSON tree.
    pub fn from_json(resource: Resource, json: &Value) -> Result<Self, ObjectError> {
        match serde_json::to_vec(json) {
            // Boxed: what the serialiser reserved in excess would be held as long as the object.
            Ok(bytes) => Self::parse(resource, Bytes::from(bytes.into_boxed_slice())),
            Err(source) => Err(ObjectError::Malformed { resource, source }),
        }
    }

    /// The whole object as JSON. Where it is kept as its difference from a sibling it is made anew.
    pub fn bytes(&self) -> Bytes {
        self.body.bytes()
    }

    /// The whole object as a JSON tree; `Null` never occurs, the bytes were parsed on entry.
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.bytes()).unwrap_or_default()
    }

    /// The whole object, typed. Only for one object at a time.
    pub fn typed<T: DeserializeOwned>(&self) -> Result<T, ObjectError> {
        serde_json::from_slice(&self.bytes()).map_err(|source| ObjectError::Malformed {
            resource: self.key.resource.clone(),
            source,
        })
    }

    pub fn name(&self) -> &str {
        &self.key.name
    }

    pub fn namespace(&self) -> &str {
        &self.key.namespace
    }

    pub fn pod(&self) -> Option<&PodColumns> {
        match &self.columns {
            Columns::Pod(pod) => Some(pod),
            _ => None,
        }
    }

    pub fn node(&self) -> Option<&NodeColumns> {
        match &self.columns {
            Columns::Node(node) => Some(node),
            _ => None,
        }
    }

    /// What a service, a disruption budget or a workload selects pods by.
    pub fn selector(&self) -> Option<&LabelSelector> {
        match &self.columns {
            Columns::Selector(selector) => Some(selector),
            _ => None,
        }
    }

    /// The owner that controls this object, if any.
    pub fn controller(&self) -> Option<&OwnerRef> {
        self.owners.iter().find(|owner| owner.controller)
    }

    pub fn is_terminating(&self) -> bool {
        self.deleted.is_some()
    }
}

impl Labels {
    pub fn get(&self, key: &str) -> Option<&Name> {
        self.0
            .binary_search_by(|(name, _)| name.as_str().cmp(key))
            .ok()
            .and_then(|index| self.0.get(index))
            .map(|(_, value)| value)
    }

    pub fn iter(&self) -> impl Iterator<Item = (&Name, &Name)> {
        self.0.iter().map(|(key, value)| (key, value))
    }

    pub fn len(&self) -> usize {
        self.0.len()
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl FromIterator<(Name, Name)> for Labels {
    /// The last of equal keys wins, as in a JSON object.
    fn from_iter<I: IntoIterator<Item = (Name, Name)>>(entries: I) -> Self {
        let map: std::collections::BTreeMap<Name, Name> = entries.into_iter().collect();
        if map.is_empty() {
            // All share one allocation.
            return Self::default();
        }
        Self(map.into_iter().collect())
    }
}

impl<'de> Deserialize<'de> for Labels {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let map = Option::<std::collections::BTreeMap<Name, Name>>::deserialize(deserializer)?;
        Ok(map.unwrap_or_default().into_iter().collect())
    }
}
