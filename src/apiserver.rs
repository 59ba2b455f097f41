//! Kubernetes' API verbs over the store, for all kinds through one generic registry.

pub mod rbac;
pub mod table;
