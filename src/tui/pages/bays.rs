//! Bays: how the nodes are packed, in three zooms.
//!
//! [`arrangement`] says which node stands where, [`colouring`] what its colour says.

pub mod arrangement;
pub mod colouring;
