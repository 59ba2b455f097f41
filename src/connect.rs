//! Sessions: embedded, joined, served, kubeconfig; and the read-only guard, where writes leave the process.
//!
//! Everything above gets a [`kube::Client`] from a [`Session`] and nothing else, so that nothing can
//! work with one kind of cluster only by accident. Start with `session.rs`.

pub mod apply;
pub mod census;
pub mod rehearsal;

mod catalogue;
mod embedded;
mod guard;
mod link;
mod notice;
mod renew;
mod session;

pub use catalogue::{AccessRule, Catalogue};
pub use embedded::{Embedded, Role};
pub use guard::{Access, GuardLayer, Hold, Refused};
pub use link::{Dial, Link, in_process, in_process_over};
pub use notice::Notice;
pub use rehearsal::Rehearsal;
pub use session::{ConnectError, Identity, Kind, Session, Target};
