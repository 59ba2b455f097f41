//! Packing pods onto machines with GPUs that pods may share.
//!
//! [`node`] keeps free capacity device by device, [`mix`] measures fragmentation, [`policy`] scores
//! nodes, [`fleet`] places pod after pod, [`devices`] bounds what shares need from below, [`shortage`]
//! proves what cannot fit whatever one does.
//! Nobody here looks at pods that are still to come; the mix of typical pods may be known.

pub mod devices;
pub mod fleet;
pub mod mix;
pub mod node;
pub mod policy;
pub mod shortage;

pub use fleet::Fleet;
pub use mix::{Mix, StrandedGpu};
pub use node::{Ask, Node};
pub use policy::Policy;

#[cfg(test)]
mod tests;
