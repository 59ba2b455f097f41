//! Rehearsals: what happens if. A cluster's objects are copied into a [`crate::plane::World`] of
//! their own in virtual time, steps are taken there, and what came of them is told as data.
//!
//! ```text
//! Cluster ─► intake: simulated machines, no secrets ─► Fork ── take(Step) ──► World runs on
//!                                                       │                       │ journal
//!                                                       └── Outcome ◄── Ledger ◄┘ until it settles
//! ```
//!
//! Pure: the time of the fork and the seed are arguments, and the same ones give the same outcome to
//! the byte. Nothing here reads a clock or a file, and nothing here ever writes to the cluster that
//! was forked: there is no way back from a [`Fork`] to its source.
//!
//! Start with [`Fork`], then [`Step`] (what can be rehearsed) and [`Outcome`] (what came of it).

pub mod archive;
pub mod clock;
pub mod dump;
mod fork;
mod intake;
mod kinds;
mod ledger;
mod nearest;
pub mod need;
pub mod outcome;
mod picture;
mod pseudonym;
pub mod report;
mod step;
pub mod walk;

pub use fork::{Fork, Options, StepRefused, Taken, short_kind};
pub use kinds::{KINDS, Kind};
pub use outcome::Outcome;
pub use step::{
    Balance, Domain, GRAMMAR, Model, Packing, Reference, Setting, Step, StepError, duration_text,
};

#[cfg(test)]
mod tests;
