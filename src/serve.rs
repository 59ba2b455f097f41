//! The async face of a World: driver task, HTTP, TLS listener, local endpoint, durable journal.

pub mod certificates;
pub mod holder;
pub mod journal;
pub mod kubeconfig;

mod files;
