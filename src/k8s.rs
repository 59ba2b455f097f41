//! What Kubernetes objects mean: names and keys, the parsed header that every object carries, the
//! cluster as an immutable value, and the vocabulary of writes.
//!
//! Pure values and functions. Nothing here does I/O, reads time or knows the store, the API server
//! or the console; all of them build on it.
//!
//! Start with [`object::Object`] (bytes plus a parsed header), then [`cluster::Cluster`] (all
//! objects, cheap to clone) and [`op::Op`] (what a controller, the scheduler or a node agent wants
//! written).

pub mod body;
#[expect(
    clippy::indexing_slicing,
    reason = "builders write into JSON trees that they made themselves"
)]
pub mod build;
pub mod cluster;
pub mod columns;
pub mod dropped;
pub mod facts;
pub mod key;
pub mod lab;
pub mod object;
pub mod op;
pub mod quantity;
pub mod resource_list;
pub mod resources;
pub mod scanned;
pub mod schema;
pub mod selector;
pub mod selector_text;
pub mod status;
pub mod taint;
pub mod trim;
pub mod workload;

pub use cluster::{Change, ChangeKind, Cluster};
pub use key::{Name, ObjectKey, Resource, Revision, Uid};
pub use object::{Object, ObjectError, OwnerRef};
pub use op::{Op, Patch, Preconditions, Propagation, Subresource};
pub use selector::LabelSelector;
