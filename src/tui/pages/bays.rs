//! Bays: how the nodes are packed, in three zooms.
//!
//! [`arrangement`] says which node stands where, [`colouring`] what its colour says, [`state`]
//! where the operator is, [`present`] draws.

pub mod arrangement;
pub mod colouring;
pub mod present;
pub mod state;
pub mod words;

#[cfg(test)]
pub(crate) mod tests;
