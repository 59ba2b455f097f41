//! The part of a decision that depends on one node alone: its verdict as a number, and its score.

use super::index::NodeFacts;
use crate::k8s::resource_list::ResourceList;
use crate::sched::configuration::Profile;
use crate::sched::framework::Subject;
use crate::sched::gpu::Typical;
use crate::sched::node_info::{NodeInfo, PodEntry};
use crate::sched::plugins::gpu_share::{self, Lack};
use crate::sched::plugins::node_ports::conflicts;
use crate::sched::plugins::{
    node_affinity, node_ports, node_resources_balanced_allocation, node_resources_fit,
    node_unschedulable, taint_toleration,
};
use crate::sched::spec::PodSpec;
use crate::sched::verdict::{Code, Plugin, Reason, Refusal};

/// Why a node is out: a plugin and, for missing resources, one bit each.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Out(u64);

const CORDONED: u64 = 1;
const TAINTED: u64 = 2;
const ELSEWHERE: u64 = 3;
const PORTS: u64 = 4;
const FIT: u64 = 5;
/// What the node lacks follows in the next byte.
const GPU: u64 = 6;
/// The lowest bits hold the plugin, then: unresolvable, pods, cpu, memory, ephemeral storage,
/// scalars in the order of the request.
const KIND: u64 = 0xff;
const UNRESOLVABLE: u64 = 1 << 8;
const PODS: u64 = 1 << 9;
const FIRST_RESOURCE: u32 = 10;
/// More scalars than this in one pod need the reference path.
pub const SCALARS_MAX: usize = 48;

impl Out {
    pub fn is_resolvable(self) -> bool {
        match self.0 & KIND {
            PORTS => true,
            FIT => self.0 & UNRESOLVABLE == 0,
            GPU => self.lack().is_some_and(Lack::is_resolvable),
            _ => false,
        }
    }

    fn lacking(lack: Lack) -> Self {
        Self(GPU | (lack as u64) << 8)
    }

    fn lack(self) -> Option<Lack> {
        let number = usize::try_from(self.0 >> 8).ok()?;
        Lack::ALL.get(number).copied()
    }

    pub fn refusal(self, spec: &PodSpec) -> Refusal {
        let node = |plugin, reason: &'static str| Refusal::unresolvable(plugin, reason);
        match self.0 & KIND {
            CORDONED => node(Plugin::NodeUnschedulable, node_unschedulable::REASON),
            TAINTED => node(Plugin::TaintToleration, taint_toleration::REASON),
            ELSEWHERE => node(Plugin::NodeAffinity, node_affinity::REASON),
            PORTS => Refusal::resolvable(Plugin::NodePorts, node_ports::REASON),
            GPU => match self.lack() {
                Some(lack) => lack.refusal(spec),
                None => Lack::Gpu.refusal(spec),
            },
            _ => self.fit(&spec.requests.wanted),
        }
    }

    fn fit(self, wanted: &ResourceList) -> Refusal {
        let names = ["cpu", "memory", "ephemeral-storage"]
            .into_iter()
            .chain(wanted.scalars.iter().map(|(name, _)| name.as_str()));
        let mut reasons: Vec<Reason> = Vec::new();
        if self.0 & PODS != 0 {
            reasons.push(node_resources_fit::TOO_MANY_PODS.into());
        }
        for (bit, name) in (FIRST_RESOURCE..).zip(names) {
            if self.0 & (1 << bit) != 0 {
                reasons.push(format!("Insufficient {name}").into());
            }
        }
        Refusal {
            plugin: Plugin::NodeResourcesFit,
            code: if self.0 & UNRESOLVABLE == 0 {
                Code::Unschedulable
            } else {
                Code::UnschedulableAndUnresolvable
            },
            reasons,
        }
    }
}

/// What depends on the node's place alone: verdicts of labels, taints and cordon, and raw scores.
pub fn facts(profile: &Profile, spec: &PodSpec, node: &NodeInfo, image_score: i64) -> NodeFacts {
    let has = |plugin| profile.filters_with(plugin);
    let out = if has(Plugin::NodeUnschedulable)
        && node_unschedulable::filter(&spec.tolerations, node).is_some()
    {
        Some(Out(CORDONED))
    } else if has(Plugin::TaintToleration)
        && taint_toleration::filter(&spec.tolerations, &node.taints).is_some()
    {
        Some(Out(TAINTED))
    } else if has(Plugin::NodeAffinity) && !node_affinity::matches(spec, node) {
        Some(Out(ELSEWHERE))
    } else {
        None
    };
    NodeFacts {
        out,
        taints: taint_toleration::score(&spec.tolerations, &node.taints),
        affinity: node_affinity::score(spec, node),
        images: image_score,
    }
}

/// Weights of the plugins whose scores depend on one node alone and need no normalisation.
#[derive(Clone, Copy, Debug, Default)]
pub struct LocalWeights {
    pub fit: i64,
    pub balanced: i64,
    pub images: i64,
    pub gpus: i64,
}

/// What a profile makes of one template on one node, looked up once.
#[derive(Clone, Copy, Debug)]
pub struct Local {
    checks_ports: bool,
    checks_fit: bool,
    checks_gpus: bool,
    pub weights: LocalWeights,
}

impl Local {
    pub fn of(profile: &Profile, subject: &Subject) -> Self {
        let spec = &subject.template.spec;
        let wanted = &spec.requests.wanted;
        let balanced = node_resources_balanced_allocation::applies(&profile.balanced, wanted);
        Self {
            checks_ports: !spec.ports.is_empty() && profile.filters_with(Plugin::NodePorts),
            checks_fit: profile.filters_with(Plugin::NodeResourcesFit),
            checks_gpus: spec.gpu.is_some() && profile.filters_with(Plugin::GpuShare),
            weights: LocalWeights {
                fit: profile.weight(Plugin::NodeResourcesFit),
                balanced: i64::from(balanced)
                    * profile.weight(Plugin::NodeResourcesBalancedAllocation),
                images: profile.weight(Plugin::ImageLocality),
                gpus: profile.weight(Plugin::GpuShare),
            },
        }
    }

    /// Ports and resources, with more pods on the node than there are.
    pub fn out(self, spec: &PodSpec, node: &NodeInfo, extra: &[&PodEntry]) -> Option<Out> {
        if self.checks_ports && holds_port(spec, node, extra) {
            return Some(Out(PORTS));
        }
        let out = if self.checks_fit {
            fit(spec, node, extra)
        } else {
            None
        };
        if out.is_some() || !self.checks_gpus {
            return out;
        }
        gpu_share::lack(spec, node).map(Out::lacking)
    }

    /// Points of all local plugins, weighted. Profiles with weights that do not fit are not covered.
    pub fn score(
        self,
        profile: &Profile,
        spec: &PodSpec,
        node: &NodeInfo,
        facts: &NodeFacts,
    ) -> i32 {
        let requests = &spec.requests;
        let mut total = self.weights.images * facts.images;
        if self.weights.fit != 0 {
            total += self.weights.fit * node_resources_fit::score(&profile.fit, requests, node);
        }
        if self.weights.balanced != 0 {
            total += self.weights.balanced
                * node_resources_balanced_allocation::score(
                    &profile.balanced,
                    &requests.wanted,
                    node,
                );
        }
        i32::try_from(total).unwrap_or(i32::MAX)
    }

    /// Points for GPUs, weighted.
    pub fn gpu_score(
        self,
        profile: &Profile,
        typical: &Typical,
        spec: &PodSpec,
        node: &NodeInfo,
    ) -> i32 {
        let score = gpu_share::score(profile.gpu_policy, typical, spec, node);
        i32::try_from(self.weights.gpus * score).unwrap_or(i32::MAX)
    }

    /// Whether every score fits its place in an index.
    pub fn is_small(profile: &Profile) -> bool {
        let plugins = [
            Plugin::NodeResourcesFit,
            Plugin::NodeResourcesBalancedAllocation,
            Plugin::ImageLocality,
            Plugin::GpuShare,
        ];
        let weights = plugins.map(|plugin| profile.weight(plugin));
        weights.iter().all(|weight| (0..1_000_000).contains(weight))
            && profile.weight(Plugin::GpuShare) * gpu_share::SCORE_MAX < 1_000_000_000
    }
}

fn holds_port(spec: &PodSpec, node: &NodeInfo, extra: &[&PodEntry]) -> bool {
    let mut more = extra.iter().flat_map(|entry| &entry.template.spec.ports);
    node_ports::filter(&spec.ports, node).is_some()
        || more.any(|used| spec.ports.iter().any(|port| conflicts(port, used)))
}

fn fit(spec: &PodSpec, node: &NodeInfo, extra: &[&PodEntry]) -> Option<Out> {
    let mut bits = 0;
    if i64::try_from(node.pods.len() + extra.len()).unwrap_or(i64::MAX) >= node.pod_limit {
        bits |= PODS;
    }
    let wanted = &spec.requests.wanted;
    let has = &node.allocatable;
    let used = &node.requested;
    let more = |amount: fn(&ResourceList) -> i64| -> i64 {
        let charged = extra
            .iter()
            .map(|entry| &entry.template.spec.requests.charged);
        charged.map(amount).fold(0, i64::saturating_add)
    };
    let mut check = |bit: u32, request: i64, used: i64, has: i64| {
        if request > 0 && request > has.saturating_sub(used) {
            bits |= 1 << bit;
            if request > has {
                bits |= UNRESOLVABLE;
            }
        }
    };
    check(
        FIRST_RESOURCE,
        wanted.cpu_milli,
        used.cpu_milli.saturating_add(more(|list| list.cpu_milli)),
        has.cpu_milli,
    );
    check(
        FIRST_RESOURCE + 1,
        wanted.memory_bytes,
        used.memory_bytes
            .saturating_add(more(|list| list.memory_bytes)),
        has.memory_bytes,
    );
    check(
        FIRST_RESOURCE + 2,
        wanted.ephemeral_storage_bytes,
        used.ephemeral_storage_bytes
            .saturating_add(more(|list| list.ephemeral_storage_bytes)),
        has.ephemeral_storage_bytes,
    );
    for (bit, (name, request)) in (FIRST_RESOURCE + 3..).zip(&wanted.scalars) {
        let charged = extra
            .iter()
            .map(|entry| &entry.template.spec.requests.charged);
        let used = charged.fold(used.scalar(name), |sum, list| {
            sum.saturating_add(list.scalar(name))
        });
        check(bit, *request, used, has.scalar(name));
    }
    (bits != 0).then_some(Out(bits | FIT))
}
