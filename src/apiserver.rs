//! Kubernetes' API verbs over the store, for all kinds through one generic registry.
//!
//! Reads ([`mod@read`], [`watch::Cursor`]) are pure over a [`crate::store::Snapshot`]; writes ([`mod@write`]
//! for requests, [`mod@execute`] for what controllers and agents want) decode, default, admit,
//! validate and commit. Time and ids come in with [`WriteContext`]. Nothing here knows HTTP, waits,
//! or writes anywhere but into the [`crate::store::Store`] it is given.
//!
//! Start with [`request::Request`], then [`registry::Registry`], then [`write`](mod@write).

mod accept;
mod apply;
mod authorize;
mod convert;
mod custom;
mod decode;
mod discovery;
mod filter;
mod lab;
mod list;
mod openapi;
mod present;
mod protobuf;
mod review;
mod subresource;
mod table;

mod admission;
mod create;
mod defaults;
mod delete;
mod execute;
mod normalize;
mod patch;
mod strategy;
mod tree;
mod update;
mod validation;

pub mod bootstrap;
pub mod events;
pub mod impersonate;
pub mod managed;
pub mod rbac;
pub mod read;
pub mod registry;
pub mod request;
pub mod response;
pub mod status;
pub mod token;
pub mod watch;
pub mod write;

#[cfg(test)]
mod contract;

pub use authorize::authorize;
pub use execute::execute;
pub use impersonate::{Impersonation, impersonate};
pub use list::continued_at;
pub use read::read;
pub use registry::{Registry, ResourceType};
pub use request::{Options, Request, ResourceTarget, Target, User, Verb};
pub use response::Response;
pub use status::{Cause, Details, Status};
pub use subresource::log::{LogQuery, PodLog, choose as choose_container, pod_log};
pub use write::{WriteContext, write};
