//! The console's only I/O: the terminal, feeds from the cluster, effects.
//!
//! Everything it learns becomes a message for `update`; it never decides anything itself.

pub mod appearance;
pub mod beside;
mod compose;
pub mod console;
pub mod discovery;
pub mod feed;
pub mod history;
pub mod input;
mod lend;
pub mod logs;
pub mod outside;
pub mod paint;
pub mod preferences;
mod rehearsals;
pub mod send;
mod siblings;
pub mod snapshot;
pub mod tables;
pub mod terminal;
