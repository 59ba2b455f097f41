//! Names: of resources, of objects, of revisions.

use std::fmt;

use serde::{Deserialize, Serialize};
use smol_str::SmolStr;

/// A short string, cheap to clone: inline up to 23 bytes, shared above.
pub type Name = SmolStr;

/// A resource type as the API names it: `deployments` in group `apps`, `pods` in the empty group.
///
/// The version is left out on purpose: an object is the same object in every version.
#[derive(Clone, Eq, PartialOrd, Ord, Hash, Debug)]
#[expect(
    clippy::derived_hash_with_manual_eq,
    reason = "equality is of the same two texts, only asked in another order"
)]
pub struct Resource {
    pub group: Name,
    pub plural: Name,
}

impl Resource {
    pub const fn of(group: &'static str, plural: &'static str) -> Self {
        Self {
            group: Name::new_static(group),
            plural: Name::new_static(plural),
        }
    }

    pub fn new(group: &str, plural: &str) -> Self {
        Self {
            group: Name::new(group),
            plural: Name::new(plural),
        }
    }
}

/// Every change is compared with some hundred resource types by those whom it may concern: most
/// differ in the plural's length.
impl PartialEq for Resource {
    fn eq(&self, other: &Self) -> bool {
        self.plural.len() == other.plural.len()
            && self.plural.as_str() == other.plural.as_str()
            && self.group.as_str() == other.group.as_str()
    }
}

/// `deployments.apps`, `pods`.
impl fmt::Display for Resource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.group.is_empty() {
            f.write_str(&self.plural)
        } else {
            write!(f, "{}.{}", self.plural, self.group)
        }
    }
}

/// Which object: its resource type, namespace (empty for cluster-scoped ones) and name.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct ObjectKey {
    pub resource: Resource,
    pub namespace: Name,
    pub name: Name,
}

impl ObjectKey {
    pub fn new(resource: Resource, namespace: &str, name: &str) -> Self {
        Self {
            resource,
            namespace: Name::new(namespace),
            name: Name::new(name),
        }
    }

    pub fn cluster_scoped(resource: Resource, name: &str) -> Self {
        Self::new(resource, "", name)
    }
}

/// `pods shop/cart-0`, `nodes a01-h01`.
impl fmt::Display for ObjectKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.namespace.is_empty() {
            write!(f, "{} {}", self.resource, self.name)
        } else {
            write!(f, "{} {}/{}", self.resource, self.namespace, self.name)
        }
    }
}

/// The identity of one life of an object: a name may be used again, a uid never.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Uid(pub Name);

impl fmt::Display for Uid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A point in the store's total order of writes; `metadata.resourceVersion` as a number.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct Revision(pub u64);

impl Revision {
    #[must_use]
    pub fn next(self) -> Self {
        Self(self.0 + 1)
    }
}

impl fmt::Display for Revision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}
