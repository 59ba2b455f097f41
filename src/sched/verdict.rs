//! The vocabulary of decisions: plugins, codes, refusals.

use std::borrow::Cow;
use std::fmt;

/// Plugins by the names that kube-scheduler gives them, and one of our own.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Plugin {
    /// A status of the framework itself; upstream leaves the plugin's name empty.
    Framework,
    SchedulingGates,
    PrioritySort,
    NodeUnschedulable,
    NodeName,
    TaintToleration,
    NodeAffinity,
    NodePorts,
    NodeResourcesFit,
    VolumeRestrictions,
    NodeVolumeLimits,
    VolumeBinding,
    VolumeZone,
    PodTopologySpread,
    InterPodAffinity,
    DynamicResources,
    NodeDeclaredFeatures,
    DefaultPreemption,
    NodeResourcesBalancedAllocation,
    ImageLocality,
    DefaultBinder,
    /// Ours; in no profile unless enabled.
    GpuShare,
}

/// A set of plugins as bits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct PluginSet(u32);

impl PluginSet {
    pub fn of<'a>(plugins: impl IntoIterator<Item = &'a Plugin>) -> Self {
        let bits = plugins.into_iter().map(|plugin| 1 << (*plugin as u32));
        Self(bits.fold(0, |all, bit: u32| all | bit))
    }

    pub fn is_empty(self) -> bool {
        self.0 == 0
    }

    pub fn overlaps(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }

    pub fn contains(self, plugin: Plugin) -> bool {
        self.overlaps(Self::of([&plugin]))
    }
}

impl Plugin {
    pub const ALL: [Self; 21] = [
        Self::SchedulingGates,
        Self::PrioritySort,
        Self::NodeUnschedulable,
        Self::NodeName,
        Self::TaintToleration,
        Self::NodeAffinity,
        Self::NodePorts,
        Self::NodeResourcesFit,
        Self::VolumeRestrictions,
        Self::NodeVolumeLimits,
        Self::VolumeBinding,
        Self::VolumeZone,
        Self::PodTopologySpread,
        Self::InterPodAffinity,
        Self::DynamicResources,
        Self::NodeDeclaredFeatures,
        Self::DefaultPreemption,
        Self::NodeResourcesBalancedAllocation,
        Self::ImageLocality,
        Self::DefaultBinder,
        Self::GpuShare,
    ];

    pub fn name(self) -> &'static str {
        match self {
            Self::Framework => "",
            Self::SchedulingGates => "SchedulingGates",
            Self::PrioritySort => "PrioritySort",
            Self::NodeUnschedulable => "NodeUnschedulable",
            Self::NodeName => "NodeName",
            Self::TaintToleration => "TaintToleration",
            Self::NodeAffinity => "NodeAffinity",
            Self::NodePorts => "NodePorts",
            Self::NodeResourcesFit => "NodeResourcesFit",
            Self::VolumeRestrictions => "VolumeRestrictions",
            Self::NodeVolumeLimits => "NodeVolumeLimits",
            Self::VolumeBinding => "VolumeBinding",
            Self::VolumeZone => "VolumeZone",
            Self::PodTopologySpread => "PodTopologySpread",
            Self::InterPodAffinity => "InterPodAffinity",
            Self::DynamicResources => "DynamicResources",
            Self::NodeDeclaredFeatures => "NodeDeclaredFeatures",
            Self::DefaultPreemption => "DefaultPreemption",
            Self::NodeResourcesBalancedAllocation => "NodeResourcesBalancedAllocation",
            Self::ImageLocality => "ImageLocality",
            Self::DefaultBinder => "DefaultBinder",
            Self::GpuShare => "GpuShare",
        }
    }

    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|plugin| plugin.name() == name)
    }
}

impl fmt::Display for Plugin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// How final a refusal is.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Code {
    /// Removing pods may help.
    Unschedulable,
    /// It may not.
    UnschedulableAndUnresolvable,
}

impl Code {
    pub fn name(self) -> &'static str {
        match self {
            Self::Unschedulable => "Unschedulable",
            Self::UnschedulableAndUnresolvable => "UnschedulableAndUnresolvable",
        }
    }
}

/// Kubernetes' own words.
pub type Reason = Cow<'static, str>;

/// A node, or all of them, refused by a plugin.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Refusal {
    pub plugin: Plugin,
    pub code: Code,
    pub reasons: Vec<Reason>,
}

impl Refusal {
    /// Removing pods may help.
    pub fn resolvable(plugin: Plugin, reason: impl Into<Reason>) -> Self {
        Self {
            plugin,
            code: Code::Unschedulable,
            reasons: vec![reason.into()],
        }
    }

    /// Only a change of the node or the pod helps.
    pub fn unresolvable(plugin: Plugin, reason: impl Into<Reason>) -> Self {
        Self {
            plugin,
            code: Code::UnschedulableAndUnresolvable,
            reasons: vec![reason.into()],
        }
    }
}

/// The text of kube-scheduler's `FitError`: how many nodes gave each reason, sorted as text.
pub fn summary<'a>(node_count: usize, reasons: impl Iterator<Item = &'a Reason>) -> String {
    let mut counts: std::collections::BTreeMap<&str, usize> = std::collections::BTreeMap::new();
    for reason in reasons {
        *counts.entry(reason).or_default() += 1;
    }
    let mut parts: Vec<String> = counts
        .into_iter()
        .map(|(reason, count)| format!("{count} {reason}"))
        .collect();
    parts.sort_unstable();
    let parts = parts.join(", ");
    format!("0/{node_count} nodes are available: {parts}.")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_are_sorted_as_text() {
        let few = Reason::from("Too many pods");
        let many = Reason::from("Insufficient cpu");
        let reasons = std::iter::repeat_n(&few, 2).chain(std::iter::repeat_n(&many, 10));
        assert_eq!(
            summary(12, reasons),
            "0/12 nodes are available: 10 Insufficient cpu, 2 Too many pods."
        );
    }

    #[test]
    fn names_are_found_again() {
        for plugin in Plugin::ALL {
            assert_eq!(Plugin::named(plugin.name()), Some(plugin));
        }
    }
}
