//! Optimisers over plain numbers: the fewest equal machines that hold a set of demands, and the
//! cheapest reassignment of processes to machines, and places for pods that share GPUs.
//!
//! Synchronous and deterministic: randomness is a seed, effort is a number of steps, and whoever has
//! a deadline passes a closure that says when to stop. Nothing here knows of Kubernetes; what is
//! found here is verified by the scheduler core before anybody acts on it (`sched::rebalance`).

pub mod gpu;
pub mod reassignment;
pub mod vectors;
