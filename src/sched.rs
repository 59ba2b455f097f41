//! The scheduler: kube-scheduler's framework as a pure core over a cheap snapshot. No clock, no I/O, no hidden randomness.
