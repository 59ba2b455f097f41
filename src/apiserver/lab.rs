//! Our own API group `lab.bayplan.dev`: powers of an embedded cluster as objects.
//!
//! `NodePool`: so many simulated machines of one shape in one place. `Outage`: machines that do not
//! answer while the object exists. Both have a status subresource; the schema is data
//! (`lab/*.json`), read like that of a custom resource definition.

use std::sync::Arc;

use super::custom;
use super::registry::{Origin, ResourceType};
use crate::k8s::Object;

const DEFINITIONS: [&[u8]; 2] = [
    include_bytes!("lab/nodepools.json"),
    include_bytes!("lab/outages.json"),
];

/// The definition of one of our resource types.
pub(super) fn definition(plural: &str) -> Option<serde_json::Value> {
    DEFINITIONS
        .iter()
        .filter_map(|bytes| serde_json::from_slice::<serde_json::Value>(bytes).ok())
        .find(|tree| super::tree::text(tree, "/spec/names/plural") == plural)
}

pub(super) fn resource_types() -> Vec<ResourceType> {
    DEFINITIONS
        .iter()
        .filter_map(|bytes| {
            Object::parse(
                crate::k8s::resources::CUSTOM_RESOURCE_DEFINITIONS,
                bytes::Bytes::from_static(bytes),
            )
            .ok()
        })
        .flat_map(|definition| custom::resource_types(&Arc::new(definition)))
        .map(|mut resource_type| {
            resource_type.origin = Origin::Lab;
            resource_type
        })
        .collect()
}
