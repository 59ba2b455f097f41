//! What can be rehearsed, as values with one text form for the command line, files and the console.
//!
//! [`Step::parse`] reads what [`Step`]'s `Display` writes. Nothing here knows a cluster: whether a
//! node exists is asked when the step is taken.

mod parse;

use std::fmt;

use jiff::SignedDuration;
use serde_json::Value;

use crate::k8s::Name;

pub use parse::{GRAMMAR, StepError};

/// One thing that an operator does, or that befalls the fleet.
#[derive(Clone, PartialEq, Debug)]
pub enum Step {
    /// Cordon, then evict pod by pod as `kubectl drain` does.
    Drain {
        node: Name,
    },
    Cordon {
        node: Name,
    },
    Uncordon {
        node: Name,
    },
    /// Every machine of the domain loses its power.
    Lose(Domain),
    Restore(Domain),
    /// New machines of the same shape, in the same place.
    Add {
        count: u32,
        model: Model,
    },
    /// The Node object is deleted.
    Remove {
        node: Name,
    },
    Scale {
        workload: Reference,
        replicas: u32,
    },
    Set {
        workload: Reference,
        setting: Setting,
    },
    /// A strategic merge patch.
    Patch {
        workload: Reference,
        patch: Value,
    },
    Apply {
        /// The file, for people.
        from: String,
        objects: Vec<Value>,
        /// Of objects that name none.
        namespace: Name,
    },
    Evict {
        namespace: Name,
        pod: Name,
    },
    /// The scheduler's preference among nodes that fit.
    Pack(Packing),
    /// The rebalancer's moves, wave by wave.
    Rebalance {
        balance: Balance,
        /// Pods move although that loses their `emptyDir` volumes.
        empty_dirs: bool,
    },
    Wait(SignedDuration),
}

/// A failure domain: a level (`rack`, `zone`, `node`, or a label key) and a value.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Domain {
    pub level: Name,
    pub value: Name,
}

/// What new machines are like.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Model {
    Like(Name),
    /// Any node of this `node.kubernetes.io/instance-type`.
    Kind(Name),
}

/// A workload as people write it: `deploy/cart`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Reference {
    pub namespace: Name,
    /// The kind, its plural or a short name.
    pub kind: Name,
    pub name: Name,
}

/// What `set` changes in a workload's pod template.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Setting {
    /// The first container where none is named.
    Requests {
        container: Option<Name>,
        amounts: Vec<(Name, Name)>,
    },
    Limits {
        container: Option<Name>,
        amounts: Vec<(Name, Name)>,
    },
    Image {
        container: Option<Name>,
        image: Name,
    },
    /// A topology spread constraint over the workload's own pods.
    Spread {
        level: Name,
        max_skew: u32,
        firm: bool,
    },
    /// Anti-affinity of the workload's pods to each other.
    Apart { level: Name, firm: bool },
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Packing {
    /// Fill machines up.
    Most,
    /// Spread load; what kube-scheduler does by default.
    Least,
    /// Even shares of cpu and memory before all else.
    Balanced,
    /// Pods that share GPUs are packed device by device: `GpuShare`, in its default policy.
    Gpus,
}

/// What a rebalancing is for.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Balance {
    /// Empty as many machines as can be.
    Machines,
    /// Even out replicas over the domains of a level.
    Spread { level: Name },
}

impl Packing {
    pub fn word(self) -> &'static str {
        match self {
            Self::Most => "most",
            Self::Least => "least",
            Self::Balanced => "balanced",
            Self::Gpus => "gpus",
        }
    }
}

impl fmt::Display for Domain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}={}", self.level, self.value)
    }
}

impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.kind, self.name)
    }
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Drain { node } => write!(f, "drain {node}"),
            Self::Cordon { node } => write!(f, "cordon {node}"),
            Self::Uncordon { node } => write!(f, "uncordon {node}"),
            Self::Lose(domain) => write!(f, "lose {domain}"),
            Self::Restore(domain) => write!(f, "restore {domain}"),
            Self::Add { count, model } => match model {
                Model::Like(node) => write!(f, "add {count} like {node}"),
                Model::Kind(kind) => write!(f, "add {count} of {kind}"),
            },
            Self::Remove { node } => write!(f, "remove {node}"),
            Self::Scale { workload, replicas } => {
                write!(f, "scale {workload}={replicas} -n {}", workload.namespace)
            }
            Self::Set { workload, setting } => {
                write!(f, "set {workload} {setting} -n {}", workload.namespace)
            }
            Self::Patch { workload, patch } => {
                write!(f, "patch {workload} -n {} {patch}", workload.namespace)
            }
            Self::Apply {
                from, namespace, ..
            } => write!(f, "apply {from} -n {namespace}"),
            Self::Evict { namespace, pod } => write!(f, "evict {pod} -n {namespace}"),
            Self::Pack(packing) => write!(f, "pack {}", packing.word()),
            Self::Rebalance {
                balance,
                empty_dirs,
            } => {
                let word = if *empty_dirs { " emptydir" } else { "" };
                match balance {
                    Balance::Machines => write!(f, "rebalance machines{word}"),
                    Balance::Spread { level } => write!(f, "rebalance spread {level}{word}"),
                }
            }
            Self::Wait(length) => write!(f, "wait {}", duration_text(*length)),
        }
    }
}

impl fmt::Display for Setting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let amounts = |container: &Option<Name>, amounts: &[(Name, Name)]| {
            let list: Vec<String> = amounts
                .iter()
                .map(|(name, amount)| format!("{name}={amount}"))
                .collect();
            let of = container.as_ref().map(|name| format!("{name}:"));
            format!("{}{}", of.unwrap_or_default(), list.join(","))
        };
        let word = |firm: bool| if firm { "" } else { " soft" };
        match self {
            Self::Requests {
                container,
                amounts: list,
            } => write!(f, "requests {}", amounts(container, list)),
            Self::Limits {
                container,
                amounts: list,
            } => write!(f, "limits {}", amounts(container, list)),
            Self::Image { container, image } => match container {
                Some(container) => write!(f, "image {container}={image}"),
                None => write!(f, "image {image}"),
            },
            Self::Spread {
                level,
                max_skew,
                firm,
            } => write!(f, "spread {level}={max_skew}{}", word(*firm)),
            Self::Apart { level, firm } => write!(f, "apart {level}{}", word(*firm)),
        }
    }
}

/// `1h30m`, `10m`, `90s` as `1m30s`.
pub fn duration_text(length: SignedDuration) -> String {
    let seconds = length.as_secs();
    let parts = [
        (seconds / 3600, "h"),
        (seconds / 60 % 60, "m"),
        (seconds % 60, "s"),
    ];
    let parts: Vec<String> = parts
        .iter()
        .filter(|(count, _)| *count > 0)
        .map(|(count, unit)| format!("{count}{unit}"))
        .collect();
    if parts.is_empty() {
        return "0s".to_owned();
    }
    parts.concat()
}
