//! Pods, and the containers inside one.
//!
//! Objects stay in the cache; the page keeps what is shown of them in the order of the table.

mod present;
mod state;

pub use state::PodsPage;
