//! The console without a terminal: facts and keys in, screens out.
//!
//! `UPDATE=1 cargo test --test tui` writes the golden frames anew; review them like code.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test that cannot go on has failed"
)]

mod clusters;
mod console;
mod drains;
mod frames;
mod keys;
mod moves;
mod objects;
mod pages;
mod questions;
mod rehearsals;
