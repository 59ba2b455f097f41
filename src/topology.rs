//! Failure domains, packing arithmetic, blast radius: pure functions over a [`crate::k8s::Cluster`].
//!
//! [`survey::Survey`] turns a cluster into dense rows once (nodes, live pods, workloads, budgets);
//! everything else is arithmetic over those rows and takes milliseconds for 5,000 nodes:
//! [`level`] says which failure-domain levels there are, [`domain`] sums capacity by domain,
//! [`spread`] counts workloads by domain and rates them, [`blast`] says what a lost domain takes
//! with it, [`across`] lays several clusters side by side.
//!
//! Nothing here decides where a displaced pod goes: that is the scheduler's. Pods and nodes are
//! read from their header columns only; only owners and budgets, which are few, are decoded.

pub mod across;
pub mod amounts;
pub mod blast;
pub mod budget;
#[expect(
    clippy::indexing_slicing,
    reason = "dense rows: every index was made by the survey that holds the row"
)]
pub mod domain;
pub mod level;
#[expect(
    clippy::indexing_slicing,
    reason = "dense rows: every index was made by the survey that holds the row"
)]
pub mod spread;
#[expect(
    clippy::indexing_slicing,
    reason = "dense rows: every index was made by the survey that holds the row"
)]
pub mod survey;
pub mod workload;

pub use across::{Across, Cut, Share};
pub use amounts::Amounts;
pub use blast::{Blast, BudgetImpact, Loss, QuorumImpact, blasts};
pub use domain::{Domain, Domains, Stranded};
pub use level::Level;
pub use spread::{Heal, Spread, Target, spreads};
pub use survey::{NodeFacts, PodFacts, Survey};
pub use workload::{Class, Workload, WorkloadKey, hue};
