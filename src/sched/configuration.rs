//! What a scheduler is told: profiles, plugins, weights and arguments.

mod file;

pub use file::ConfigurationError;

use super::verdict::Plugin;
use crate::k8s::Name;
use crate::k8s::resource_list::ResourceList;
use crate::packing::gpu::Policy;

/// All profiles of one scheduler process.
#[derive(Clone, PartialEq, Debug)]
pub struct Configuration {
    pub profiles: Vec<Profile>,
}

/// What pods of one `schedulerName` are scheduled by.
#[derive(Clone, PartialEq, Debug)]
pub struct Profile {
    pub scheduler: Name,
    /// In the order of evaluation.
    pub filters: Vec<Plugin>,
    /// In the order of recording, with weights.
    pub scores: Vec<(Plugin, i64)>,
    pub preempts: bool,
    pub fit: FitArguments,
    /// Resources that the balanced allocation looks at.
    pub balanced: Vec<Counted>,
    pub hard_pod_affinity_weight: i64,
    pub ignores_preferred_terms_of_existing_pods: bool,
    pub spread: DefaultSpread,
    pub preemption: PreemptionArguments,
    /// How `GpuShare` scores.
    pub gpu_policy: Policy,
    /// Read and kept, but every node is always scored: the cache makes sampling pointless.
    pub percentage_of_nodes_to_score: Option<i64>,
}

#[derive(Clone, PartialEq, Debug)]
pub struct FitArguments {
    pub strategy: Strategy,
    /// Resource and weight.
    pub resources: Vec<(Counted, i64)>,
    pub ignored_resources: Vec<Name>,
    pub ignored_resource_groups: Vec<Name>,
}

/// A resource as scores look at it: the frequent ones without comparing names.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Counted {
    Cpu,
    Memory,
    EphemeralStorage,
    Scalar(Name),
}

impl Counted {
    pub fn named(name: Name) -> Self {
        match name.as_str() {
            "cpu" => Self::Cpu,
            "memory" => Self::Memory,
            "ephemeral-storage" => Self::EphemeralStorage,
            _ => Self::Scalar(name),
        }
    }

    pub fn amount(&self, list: &ResourceList) -> i64 {
        match self {
            Self::Cpu => list.cpu_milli,
            Self::Memory => list.memory_bytes,
            Self::EphemeralStorage => list.ephemeral_storage_bytes,
            Self::Scalar(name) => list.scalar(name),
        }
    }
}

/// How used and free capacity become a score.
#[derive(Clone, PartialEq, Debug)]
pub enum Strategy {
    LeastAllocated,
    MostAllocated,
    /// Points of utilisation (0 to 100) and score (0 to 10), by utilisation.
    RequestedToCapacityRatio(Vec<(i64, i64)>),
}

/// Constraints of pods that state none.
#[derive(Clone, PartialEq, Debug)]
pub enum DefaultSpread {
    /// Hostname with a skew of 3 and zone with 5, both as wishes.
    System,
    List(Vec<super::spec::SpreadConstraint>),
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct PreemptionArguments {
    pub candidate_nodes_percentage_min: usize,
    pub candidate_nodes_min: usize,
}

impl Default for Configuration {
    fn default() -> Self {
        Self {
            profiles: vec![Profile::named("default-scheduler")],
        }
    }
}

impl Configuration {
    pub fn profile(&self, scheduler: &str) -> Option<&Profile> {
        self.profiles
            .iter()
            .find(|profile| profile.scheduler == scheduler)
    }
}

impl Profile {
    /// kube-scheduler 1.36's default profile under this name.
    pub fn named(scheduler: &str) -> Self {
        Self {
            scheduler: Name::new(scheduler),
            filters: vec![
                Plugin::NodeUnschedulable,
                Plugin::NodeName,
                Plugin::TaintToleration,
                Plugin::NodeAffinity,
                Plugin::NodePorts,
                Plugin::NodeResourcesFit,
                Plugin::VolumeRestrictions,
                Plugin::NodeVolumeLimits,
                Plugin::VolumeBinding,
                Plugin::VolumeZone,
                Plugin::PodTopologySpread,
                Plugin::InterPodAffinity,
                Plugin::DynamicResources,
                Plugin::NodeDeclaredFeatures,
            ],
            scores: vec![
                (Plugin::TaintToleration, 3),
                (Plugin::NodeAffinity, 2),
                (Plugin::NodeResourcesFit, 1),
                (Plugin::VolumeBinding, 1),
                (Plugin::PodTopologySpread, 2),
                (Plugin::InterPodAffinity, 2),
                (Plugin::DynamicResources, 2),
                (Plugin::NodeResourcesBalancedAllocation, 1),
                (Plugin::ImageLocality, 1),
            ],
            preempts: true,
            fit: FitArguments::default(),
            balanced: vec![Counted::Cpu, Counted::Memory],
            hard_pod_affinity_weight: 1,
            ignores_preferred_terms_of_existing_pods: false,
            spread: DefaultSpread::System,
            preemption: PreemptionArguments {
                candidate_nodes_percentage_min: 10,
                candidate_nodes_min: 100,
            },
            gpu_policy: Policy::Fgd,
            percentage_of_nodes_to_score: None,
        }
    }

    /// A score plugin's weight; 0 when the profile does not score with it.
    pub fn weight(&self, wanted: Plugin) -> i64 {
        let entry = self.scores.iter().find(|(plugin, _)| *plugin == wanted);
        entry.map_or(0, |(_, weight)| *weight)
    }

    /// Takes a filter in. `GpuShare` goes behind the resources, as it asks for more of the same;
    /// every other plugin goes to the end.
    fn add_filter(&mut self, plugin: Plugin) {
        let fit = |entry: &Plugin| *entry == Plugin::NodeResourcesFit;
        match self.filters.iter().position(fit) {
            Some(place) if plugin == Plugin::GpuShare => self.filters.insert(place + 1, plugin),
            _ => self.filters.push(plugin),
        }
    }

    /// The default profile with `GpuShare`, which no profile has unless it is enabled.
    pub fn with_gpu_share(scheduler: &str) -> Self {
        let mut profile = Self::named(scheduler);
        profile.add_filter(Plugin::GpuShare);
        profile.scores.push((Plugin::GpuShare, 1));
        profile
    }

    pub fn filters_with(&self, plugin: Plugin) -> bool {
        self.filters.contains(&plugin)
    }
}

impl Default for FitArguments {
    fn default() -> Self {
        Self {
            strategy: Strategy::LeastAllocated,
            resources: cpu_and_memory(),
            ignored_resources: Vec::new(),
            ignored_resource_groups: Vec::new(),
        }
    }
}

/// What a missing list of resources means.
pub(super) fn cpu_and_memory() -> Vec<(Counted, i64)> {
    vec![(Counted::Cpu, 1), (Counted::Memory, 1)]
}
