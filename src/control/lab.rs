//! Controllers of our own API group `lab.bayplan.dev`: pools of simulated machines, and outages.

pub(super) mod node_pool;
pub(super) mod outage;
