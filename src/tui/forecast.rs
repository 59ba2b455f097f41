//! What would come of it: answers computed by the embedded scheduler over the console's own cache.
//!
//! Pure functions over clones: the console runs them on another thread and shows the answer with
//! its age. They work on any attached cluster, because they need nothing but its objects. What they
//! do not model is said by them ([`domain_loss::DomainLoss::unowned`]: pods that nobody would
//! create again) or is the scheduler's own gap.
//!
//! [`domain_loss`]: where the pods of lost nodes would go. [`replicas`]: what another number of
//! replicas would do. [`landing`]: on which nodes new pods come to stand. [`reasons`]: why pods stay
//! pending, in few words. [`need`]: how few machines the workload needs. [`moves`]: what the
//! rebalancer would move. [`fidelity`]: how often the real scheduler chose as foretold.

pub mod domain_loss;
pub mod drain;
pub mod fidelity;
pub mod landing;
pub mod moves;
pub mod need;
pub mod reasons;
pub mod replicas;
pub mod why_here;
