//! Bays: how the nodes are packed, in three zooms.
//!
//! [`arrangement`] says which node stands where, [`colouring`] what its colour says, [`state`]
//! where the operator is, `update` answers commands, [`present`] draws.

pub mod arrangement;
pub mod colouring;
pub mod commands;
pub mod gpus;
pub mod present;
pub mod state;
mod update;
pub mod words;

pub use update::Bays;

#[cfg(test)]
pub(crate) mod tests;
