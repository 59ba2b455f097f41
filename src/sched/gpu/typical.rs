//! Which GPU pods are typical: the mix that fragmentation is measured by.
//!
//! The published experiment knows the whole list of pods in advance; a scheduler knows those that
//! run. Pods without GPU call every idle GPU unusable, which adds the same to every node; where most
//! pods are such they would drown the differences. They count as a fixed part therefore, the share
//! that they have in the published list, to which the rounding of scores is tuned: replayed with the
//! pods that run so far, this allocates what the published mix does within a tenth of a percent, and
//! without that part up to half a percent less.

use std::collections::BTreeMap;
use std::sync::{Arc, OnceLock};

use super::GpuWish;
use crate::k8s::Name;
use crate::packing::gpu::{Ask, Mix, Node, StrandedGpu};
use crate::sched::node_info::NodeInfo;
use crate::sched::spec::PodSpec;

/// Models that are told apart, a bit each.
const MODELS_MAX: usize = 31;
/// Weights are whole parts of this. A pod more or less seldom changes them then, so that scores that
/// were kept stay true.
const PARTS: usize = 128;
/// One pod in so many counts as one without GPU.
const IDLERS: usize = 8;

/// Pods that the scheduler cannot tell apart by what they need beside a GPU and of it.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
struct Class {
    cpu_milli: i64,
    milli: i64,
    devices: usize,
    models: Box<[Name]>,
}

impl Class {
    fn of(spec: &PodSpec, wish: &GpuWish) -> Self {
        Self {
            cpu_milli: spec.requests.wanted.cpu_milli,
            milli: wish.milli,
            devices: wish.devices,
            models: wish.models.clone(),
        }
    }
}

/// How many pods of each class run. What is typical follows when it is asked for.
#[derive(Clone, Debug, Default)]
pub struct Workload {
    counts: BTreeMap<Class, usize>,
    typical: OnceLock<Arc<Typical>>,
}

/// The typical pods, with models as bits.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Typical {
    /// What nodes are scored by.
    mix: Mix,
    /// The same without pods that need no GPU: what idle GPU is measured by.
    users: Mix,
    /// Models that typical pods name, sorted; their place is their bit.
    models: Vec<Name>,
}

impl Workload {
    /// A pod came (+1) or left (-1).
    pub fn count(&mut self, spec: &PodSpec, delta: i8) {
        let Some(wish) = spec.gpu.as_deref().filter(|wish| wish.problem.is_none()) else {
            return;
        };
        let class = Class::of(spec, wish);
        if delta > 0 {
            *self.counts.entry(class).or_default() += 1;
        } else if let Some(count) = self.counts.get_mut(&class) {
            *count -= 1;
            if *count == 0 {
                self.counts.remove(&class);
            }
        }
        self.typical = OnceLock::new();
    }

    pub fn typical(&self) -> &Arc<Typical> {
        self.typical
            .get_or_init(|| Arc::new(Typical::of(&self.counts)))
    }
}

impl Typical {
    fn of(counts: &BTreeMap<Class, usize>) -> Self {
        let mut models: Vec<Name> = counts
            .keys()
            .flat_map(|class| class.models.iter().cloned())
            .collect();
        models.sort_unstable();
        models.dedup();
        models.truncate(MODELS_MAX);
        let mut typical = Self {
            models,
            ..Self::default()
        };
        let asks = counts.iter().map(|(class, count)| {
            let known = class.models.iter().map(|model| typical.bit(model));
            let ask = Ask {
                cpu_milli: class.cpu_milli,
                memory_mib: 0,
                devices: class.devices,
                gpu_milli: class.milli,
                models: known.fold(0, |all, bit| all | bit),
            };
            (ask, *count)
        });
        let asks: Vec<(Ask, usize)> = asks.collect();
        let all: usize = asks.iter().map(|(_, count)| count).sum();
        let scaled = asks
            .iter()
            .map(|(ask, count)| (ask.clone(), count * (IDLERS - 1)));
        let scored = scaled.chain([(Ask::default(), all)]).collect();
        typical.mix = Mix::in_parts(scored, PARTS);
        typical.users = Mix::in_parts(asks, PARTS);
        typical
    }

    /// Nobody runs that asks for a GPU.
    pub fn is_empty(&self) -> bool {
        self.users.classes().is_empty()
    }

    pub fn mix(&self) -> &Mix {
        &self.mix
    }

    /// Zero for models that nobody names: only pods that take any model may go there.
    fn bit(&self, model: &Name) -> u32 {
        self.models
            .binary_search(model)
            .map_or(0, |place| 1_u32 << place)
    }

    /// The node as the packing policies look at it. Memory and the number of pods are left to the
    /// filters.
    pub fn packed(&self, node: &NodeInfo) -> Node {
        let free = node
            .allocatable
            .cpu_milli
            .saturating_sub(node.requested.cpu_milli);
        let model = super::card_model(&node.labels).map_or(0, |model| self.bit(model));
        let mut packed = Node::empty(free, i64::MAX, i64::MAX, 0, model);
        packed.devices.clone_from(&node.gpus);
        packed
    }

    /// Milli of the node's GPUs that are idle and of no use to any typical pod: none fits the node
    /// at all, or all that do ask for more of one device. Nothing where nobody asks for a GPU.
    pub fn unusable(&self, node: &NodeInfo) -> i64 {
        if self.is_empty() {
            return 0;
        }
        self.users.unusable(&self.packed(node))
    }

    /// How much of the node's idle GPU typical pods cannot use; nothing is known of nodes without.
    pub fn stranded(&self, node: &NodeInfo) -> Option<StrandedGpu> {
        if node.gpus.is_empty() || self.is_empty() {
            return None;
        }
        Some(self.users.stranded([&self.packed(node)]))
    }
}

/// The pod as the packing policies look at it; which models suit it is the filter's business.
pub fn ask(spec: &PodSpec) -> Ask {
    let wish = spec.gpu.as_deref();
    Ask {
        cpu_milli: spec.requests.wanted.cpu_milli,
        memory_mib: 0,
        devices: wish.map_or(0, |wish| wish.devices),
        gpu_milli: wish.map_or(0, |wish| wish.milli),
        models: 0,
    }
}
