//! The cluster's log store: lines of all containers with their labels, compressed, bounded by size
//! and age, and searched by label, time and text.
//!
//! ```text
//! lines ─► Store (one writer) ─► segment files of compressed blocks, the oldest dropped
//!                └► Reader (a snapshot, many) ─► search
//! ```
//!
//! Synchronous, and without a clock: what time it is comes in as an argument. It must never hold up
//! a reader for the writer or the other way round, never fail as a whole for a damaged file, and
//! never lose what was made durable. Who collects lines, who serves and who ships them is not known
//! here. Start with `store.rs`; the file format is told in `frame.rs` and `block.rs`.

mod block;
mod frame;
mod grep;
mod line;
mod query;
mod segment;
mod store;

#[cfg(test)]
mod tests;

pub use grep::{Grep, GrepError};
pub use line::{Labels, Line, nanos, timestamp};
pub use query::{Answer, Query, Reader};
pub use store::{Bounds, Store, StoreError};
