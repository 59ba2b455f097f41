//! The scheduler: kube-scheduler's decisions as a pure function, an incremental cache around it, the
//! queue, and explanations.
//!
//! Synchronous and deterministic: time is an argument, ties are broken by a seed, nothing is read
//! but values. The same code serves the live control plane, the console's what-if questions and
//! rehearsals.
//!
//! Start with [`snapshot::Snapshot`] (the cluster as read here), [`framework`] (one cycle, plugin by
//! plugin), [`explain::Explanation`] and [`scheduler::Scheduler`] (queue and cache).

pub mod compaction;
pub mod configuration;
pub mod cycle;
pub mod explain;
pub mod fast;
pub mod framework;
pub mod gpu;
pub mod hints;
pub mod kept;
pub mod log;
pub mod nearest;
pub mod node_info;
pub mod nominations;
pub mod placement;
pub mod plugins;
pub mod preemption;
pub mod queue;
pub mod rebalance;
pub mod requests;
pub mod scheduler;
pub mod selector;
pub mod snapshot;
pub mod spec;
pub mod surroundings;
pub mod template;
pub mod verdict;
pub mod whereabouts;

pub use configuration::{Configuration, Profile};
pub use cycle::{Cycle, CycleOutcome, Nomination, Victim};
pub use explain::{Explanation, NodeVerdict, Verdict};
pub use nearest::NearMiss;
pub use placement::{PlaceOptions, PlaceOrder, Placement, Refused, Room};
pub use queue::{QueueState, QueuedPod};
pub use scheduler::Scheduler;
pub use snapshot::Snapshot;
pub use verdict::{Code, Plugin, Refusal};

#[cfg(test)]
mod tests;
