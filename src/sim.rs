//! Whole clusters in virtual time under a seed: workload, faults, invariants.
