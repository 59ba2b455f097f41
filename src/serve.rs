//! The async face of a World: driver task, HTTP, TLS listener, local endpoint, durable journal.
//!
//! [`Host`] runs a cluster in this process. Its [`Driver`] owns the World; everything else gets
//! durable snapshots to read and a queue to send writes to. Nothing here decides what a request
//! means: that is `apiserver`'s, and what follows from it is `plane`'s.

pub mod certificates;
pub mod journal;
pub mod kubeconfig;
#[cfg(unix)]
pub mod local;
pub mod logs;
pub mod nodes;
pub mod ship;

mod compression;
mod driver;
mod files;
mod follow;
mod holder;
mod host;
mod http;
mod identity;
mod listener;
mod metrics;
mod pages;
mod streams;
mod watch;

pub use driver::{Connector, Driver, DriverError, Engine, Round, Time};
pub use host::{Companion, Host, HostError, HostOptions, Seed};
pub use journal::JournalError;
