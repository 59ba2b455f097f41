//! A rehearsal's steps as they can be taken in reality, each with what the rehearsal foretells.
//!
//! What only a rehearsal can do (lose a rack, let time pass) is told as such and left out, and the
//! others are foretold without it: in reality the rack stands. Nothing here sends anything; whoever
//! does so compares what is there with [`Touched::before`] first.

use serde_json::Value;

use super::fork::{Fork, Options, Taken};
use super::outcome::StepOutcome;
use crate::k8s::{Cluster, Name, ObjectKey, Patch};

/// One step.
#[derive(Clone, PartialEq, Debug)]
pub struct Stride {
    pub text: String,
    /// `Err`: why it is not taken.
    pub real: Result<Box<Real>, String>,
}

/// A step that can be taken in reality.
#[derive(Clone, PartialEq, Debug)]
pub struct Real {
    pub deed: Deed,
    pub touched: Touched,
    pub foretold: StepOutcome,
}

/// The object that a step changes, as the rehearsal had it before and after.
#[derive(Clone, PartialEq, Debug)]
pub struct Touched {
    pub key: ObjectKey,
    pub before: Option<Value>,
    pub after: Option<Value>,
}

#[derive(Clone, PartialEq, Debug)]
pub enum Deed {
    Cordon {
        node: Name,
        cordon: bool,
    },
    Drain {
        node: Name,
    },
    Evict,
    Scale {
        replicas: i64,
    },
    Patch(Patch),
    /// Server-side apply.
    Apply(Value),
    Create(Value),
    Delete,
}

/// Takes the steps once more from what was forked, each until nothing is due any more.
pub fn of(source: &Cluster, options: Options, taken: &[Taken]) -> Vec<Stride> {
    let mut fork = Fork::of(source, options, Vec::new());
    let mut strides = Vec::new();
    for one in taken {
        fork.strides(one, &mut strides);
    }
    strides
}
