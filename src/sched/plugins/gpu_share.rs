//! `GpuShare`, a plugin of our own: pods get devices, one GPU may serve several of them, and nodes
//! are scored by how little idle GPU a placement makes unusable.
//!
//! The filter is that of the published simulator's `Open-Gpu-Share` plugin with reasons in words
//! (there it tells the node's name); the score is that of its FGD plugin or of a rival from the same
//! paper. No profile has it unless it is enabled.

use crate::packing::gpu::Policy;
use crate::packing::gpu::node::DEVICE_MILLI;
use crate::sched::gpu::{self, DeviceSet, GpuWish, Typical};
use crate::sched::node_info::NodeInfo;
use crate::sched::spec::PodSpec;
use crate::sched::verdict::{Plugin, Reason, Refusal};

pub const NO_GPU: &str = "node(s) had no GPU";
pub const OTHER_MODEL: &str = "node(s) had no GPU of a requested model";
pub const TOO_FEW: &str = "node(s) had fewer GPUs than requested";
pub const NO_SHARE: &str = "node(s) had no GPU with enough of it free";
pub const NONE_FREE: &str = "node(s) had too few free GPUs";

/// Policies that can score a live node. Random and clustering need what nodes do not tell.
pub const POLICIES: [Policy; 4] = [
    Policy::Fgd,
    Policy::BestFit,
    Policy::DotProd,
    Policy::GpuPacking,
];

/// Why a node is out.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Lack {
    Sense,
    Gpu,
    Model,
    Count,
    Share,
    Free,
}

impl Lack {
    pub const ALL: [Self; 6] = [
        Self::Sense,
        Self::Gpu,
        Self::Model,
        Self::Count,
        Self::Share,
        Self::Free,
    ];

    /// Removing pods may help.
    pub fn is_resolvable(self) -> bool {
        matches!(self, Self::Share | Self::Free)
    }

    pub fn refusal(self, spec: &PodSpec) -> Refusal {
        let reason = match self {
            Self::Sense => {
                let problem = spec.gpu.as_ref().and_then(|wish| wish.problem.clone());
                Reason::Owned(problem.unwrap_or_default().into_string())
            }
            Self::Gpu => NO_GPU.into(),
            Self::Model => OTHER_MODEL.into(),
            Self::Count => TOO_FEW.into(),
            Self::Share => NO_SHARE.into(),
            Self::Free => NONE_FREE.into(),
        };
        if self.is_resolvable() {
            Refusal::resolvable(Plugin::GpuShare, reason)
        } else {
            Refusal::unresolvable(Plugin::GpuShare, reason)
        }
    }
}

/// What the node lacks for the pod, if anything.
pub fn lack(spec: &PodSpec, node: &NodeInfo) -> Option<Lack> {
    let wish = spec.gpu.as_deref()?;
    if wish.problem.is_some() {
        return Some(Lack::Sense);
    }
    if node.gpus.is_empty() {
        return Some(Lack::Gpu);
    }
    if !suits(wish, node) {
        return Some(Lack::Model);
    }
    if node.gpus.len() < wish.devices {
        return Some(Lack::Count);
    }
    let fitting = node.gpus.iter().filter(|free| **free >= wish.milli);
    if fitting.count() >= wish.devices {
        None
    } else if wish.is_share() {
        Some(Lack::Share)
    } else {
        Some(Lack::Free)
    }
}

pub fn filter(spec: &PodSpec, node: &NodeInfo) -> Option<Refusal> {
    lack(spec, node).map(|lack| lack.refusal(spec))
}

fn suits(wish: &GpuWish, node: &NodeInfo) -> bool {
    wish.models.is_empty()
        || gpu::card_model(&node.labels).is_some_and(|model| wish.models.contains(model))
}

/// The policy's points, 0 to 100, in hundredths, and below them [`tie`].
///
/// Other plugins end at 100: a profile with this one is ruled by it, as the published one is, in which
/// nothing else scores. While nobody with a GPU runs there is nothing typical, and the fullest node is
/// best.
pub fn score(policy: Policy, typical: &Typical, spec: &PodSpec, node: &NodeInfo) -> i64 {
    100 * points(policy, typical, spec, node) + tie(node)
}

/// The highest that a node can score.
pub const SCORE_MAX: i64 = 10_099;

fn points(policy: Policy, typical: &Typical, spec: &PodSpec, node: &NodeInfo) -> i64 {
    let policy = effective(policy, typical);
    if node.gpus.is_empty() && policy == Policy::Fgd {
        // Nothing there can be made unusable: what the gradient says of no change.
        return 50;
    }
    let place = policy.place(typical.mix(), &typical.packed(node), &gpu::ask(spec));
    #[expect(
        clippy::cast_possible_truncation,
        reason = "policies score in whole numbers; outside 0 to 100 only for larger nodes than published"
    )]
    place.map_or(0, |place| place.score.clamp(0.0, 100.0) as i64)
}

/// Of equally good nodes one with fewer GPUs, then a busier one; 0 to 99. Many nodes are equally good
/// by whole points. The published experiment takes the first in a fixed order, which fills one node
/// after the other; chosen at random, as here, among all of them, the published list leaves 5 % more
/// of the GPUs idle, and chosen among the best by this rule no more than in the fixed order.
fn tie(node: &NodeInfo) -> i64 {
    let Ok(count @ 1..) = i64::try_from(node.gpus.len()) else {
        return 99;
    };
    let free: i64 = node.gpus.iter().map(|free| free.max(&0)).sum();
    let all = count * DEVICE_MILLI;
    99 - 6 * count + 5 * (all - free) / all
}

fn effective(policy: Policy, typical: &Typical) -> Policy {
    if policy == Policy::Fgd && typical.is_empty() {
        Policy::BestFit
    } else {
        policy
    }
}

/// The devices that the pod gets on a node that it fits.
pub fn choose(policy: Policy, typical: &Typical, spec: &PodSpec, node: &NodeInfo) -> DeviceSet {
    if spec.gpu.is_none() || lack(spec, node).is_some() {
        return DeviceSet::default();
    }
    let (packed, ask) = (typical.packed(node), gpu::ask(spec));
    let place = effective(policy, typical).place(typical.mix(), &packed, &ask);
    // Where cpu is not filtered by, a policy may have no opinion.
    let devices = place
        .map(|place| place.devices)
        .or_else(|| packed.fullest(&ask));
    devices.unwrap_or_default().into_iter().collect()
}
