//! Queueing hints: whether a change may help a pod that some plugins refused.
//!
//! Source: `EventsToRegister` of kube-scheduler 1.36's default plugins and their hints, one function
//! a plugin. A hint may be too generous, never too strict: a pod that is not woken waits five
//! minutes. A change is read once and then held against the pods that it concerns.

use std::sync::Arc;

use super::node_info::NodeInfo;
use super::plugins::inter_pod_affinity::{OwnTerm, existing_term_matches};
use super::plugins::{node_affinity, node_ports, node_unschedulable, taint_toleration};
use super::queue::QueuedPod;
use super::snapshot::Snapshot;
use super::spec::{PodSpec, PodTerm, Volume};
use super::template::Template;
use super::verdict::{Plugin, PluginSet};
use crate::k8s::object::Labels;
use crate::k8s::resource_list::ResourceList;
use crate::k8s::{Change, ChangeKind, Name, Object, ObjectKey, resources};

/// A change as the plugins look at it.
#[derive(Debug)]
pub struct Hint<'a> {
    snapshot: &'a Snapshot,
    key: &'a ObjectKey,
    change: Seen,
}

#[derive(Debug)]
enum Seen {
    /// A pod that holds a place on a node came, left, or is another than before.
    Pod {
        before: Option<Arc<Template>>,
        after: Option<Arc<Template>>,
    },
    Node {
        before: Option<Box<NodeInfo>>,
        after: Option<Box<NodeInfo>>,
    },
    Claim,
    Volume,
    Class,
    /// What a node's storage drivers can hold.
    Limits,
    /// Nobody waits for it.
    Other,
}

impl<'a> Hint<'a> {
    /// The snapshot has taken in the change already.
    pub fn of(change: &'a Change, snapshot: &'a Snapshot) -> Self {
        let key = &change.object.key;
        let now = (change.kind != ChangeKind::Deleted).then_some(&*change.object);
        let then = match change.kind {
            // Upstream's watch may tell of a deletion without the state before.
            ChangeKind::Deleted => change.previous.as_deref().or(Some(&*change.object)),
            _ => change.previous.as_deref(),
        };
        let resource = &key.resource;
        let change = if *resource == resources::PODS {
            let read = |object: Option<&Object>| {
                let object = object.filter(|object| holds_place(object))?;
                snapshot.template_of(object)
            };
            Seen::Pod {
                before: read(then),
                after: read(now),
            }
        } else if *resource == resources::NODES {
            let read = |object: &Object| Box::new(NodeInfo::without_images(object));
            Seen::Node {
                before: then.map(read),
                after: now.map(read),
            }
        } else if *resource == resources::PERSISTENT_VOLUME_CLAIMS {
            Seen::Claim
        } else if *resource == resources::PERSISTENT_VOLUMES {
            Seen::Volume
        } else if *resource == resources::STORAGE_CLASSES {
            Seen::Class
        } else if *resource == resources::CSI_NODES {
            Seen::Limits
        } else {
            Seen::Other
        };
        Self {
            snapshot,
            key,
            change,
        }
    }

    /// Whether it may help any pod that these plugins refused. Where there was no node no plugin
    /// did, and whatever may help anybody counts.
    /// Source: `isPodWorthRequeuing`, a pod without `UnschedulablePlugins`.
    pub fn concerns(&self, refused_by: PluginSet) -> bool {
        let plugins = PluginSet::of(self.plugins());
        refused_by.overlaps(plugins) || refused_by.is_empty() && !plugins.is_empty()
    }

    /// The plugins that register for such a change.
    fn plugins(&self) -> &'static [Plugin] {
        match &self.change {
            Seen::Pod { before, after } => match (before, after) {
                (None, None) => &[],
                (None, Some(_)) => &[Plugin::PodTopologySpread, Plugin::InterPodAffinity],
                (Some(before), Some(after)) if Arc::ptr_eq(before, after) => &[],
                (Some(_), Some(_)) => &[
                    Plugin::NodeResourcesFit,
                    Plugin::GpuShare,
                    Plugin::PodTopologySpread,
                    Plugin::InterPodAffinity,
                ],
                (Some(_), None) => &[
                    Plugin::NodePorts,
                    Plugin::NodeResourcesFit,
                    Plugin::GpuShare,
                    Plugin::VolumeRestrictions,
                    Plugin::NodeVolumeLimits,
                    Plugin::PodTopologySpread,
                    Plugin::InterPodAffinity,
                ],
            },
            Seen::Node { before, after } => match (before, after) {
                (Some(_), None) => &[Plugin::PodTopologySpread],
                (Some(before), Some(after)) if before.offers_same(after) => &[],
                _ => &Plugin::ALL,
            },
            Seen::Claim => &[
                Plugin::VolumeRestrictions,
                Plugin::NodeVolumeLimits,
                Plugin::VolumeBinding,
                Plugin::VolumeZone,
            ],
            Seen::Volume | Seen::Class => &[Plugin::VolumeBinding, Plugin::VolumeZone],
            Seen::Limits => &[Plugin::NodeVolumeLimits, Plugin::VolumeBinding],
            Seen::Other => &[],
        }
    }

    /// Whether it may let this pod through where it was refused.
    pub fn may_help(&self, pod: &QueuedPod) -> bool {
        let Some(template) = &pod.template else {
            return true;
        };
        let plugins = PluginSet::of(self.plugins());
        let mut refused_by = pod.refused_by.iter();
        *self.key != pod.object.key
            && (pod.refused_by.is_empty() && !plugins.is_empty()
                || refused_by
                    .any(|plugin| plugins.contains(*plugin) && self.helps(*plugin, template)))
    }

    fn helps(&self, plugin: Plugin, pod: &Template) -> bool {
        match &self.change {
            Seen::Pod { before, after } => {
                self.pod_helps(plugin, pod, before.as_deref(), after.as_deref())
            }
            Seen::Node { before, after } => {
                node_helps(plugin, pod, before.as_deref(), after.as_deref())
            }
            // Claims of others cannot help, apart from those that a driver counts.
            Seen::Claim => {
                self.key.namespace == pod.namespace
                    && claims(&pod.spec).any(|name| *name == self.key.name)
            }
            Seen::Volume | Seen::Class | Seen::Limits => claims(&pod.spec).next().is_some(),
            Seen::Other => false,
        }
    }

    fn pod_helps(
        &self,
        plugin: Plugin,
        pod: &Template,
        before: Option<&Template>,
        after: Option<&Template>,
    ) -> bool {
        match (plugin, before, after) {
            (Plugin::NodePorts, Some(left), None) => left.spec.ports.iter().any(|held| {
                let mut wanted = pod.spec.ports.iter();
                wanted.any(|port| node_ports::conflicts(port, held))
            }),
            // Any place that is given up may be the one.
            (Plugin::NodeResourcesFit, Some(_), None) => true,
            (Plugin::NodeResourcesFit, Some(before), Some(after)) => has_shrunk(
                &pod.spec.requests.wanted,
                &before.spec.requests.charged,
                &after.spec.requests.charged,
            ),
            (Plugin::GpuShare, Some(before), _) => before.spec.gpu.is_some(),
            (Plugin::VolumeRestrictions, Some(left), None) => shares_storage(pod, left),
            (Plugin::NodeVolumeLimits, Some(left), None) => claims(&left.spec).next().is_some(),
            (Plugin::PodTopologySpread, before, after) => {
                let turns = |selects: &dyn Fn(&Template) -> bool| {
                    let selected = |other: Option<&Template>| {
                        other
                            .is_some_and(|other| other.namespace == pod.namespace && selects(other))
                    };
                    selected(before) != selected(after)
                };
                let mut selectors = spread_selectors(pod);
                // Profiles may have default constraints, which the template does not show.
                !pod.spec.states_spread || selectors.any(|selects| turns(&selects))
            }
            (Plugin::InterPodAffinity, before, after) => self.affinity_helps(pod, before, after),
            _ => false,
        }
    }

    /// A pod to be near came, or one to be apart from left, or one that wants to be apart.
    fn affinity_helps(
        &self,
        pod: &Template,
        before: Option<&Template>,
        after: Option<&Template>,
    ) -> bool {
        let surroundings = self.snapshot.surroundings();
        let matches = |term: &PodTerm, other: Option<&Template>| {
            other.is_some_and(|other| OwnTerm::of(term, pod, surroundings).matches(other))
        };
        let all_near = |other| {
            let terms = &pod.spec.affinity;
            !terms.is_empty() && terms.iter().all(|term| matches(term, other))
        };
        let any_far = |other| {
            pod.spec
                .anti_affinity
                .iter()
                .any(|term| matches(term, other))
        };
        let labels = surroundings.namespace_labels(&pod.namespace);
        let shuns = |other: Option<&Template>| {
            other.is_some_and(|other| {
                let mut terms = other.spec.anti_affinity.iter();
                terms.any(|term| existing_term_matches(term, other, pod, &labels))
            })
        };
        (!all_near(before) && all_near(after))
            || (any_far(before) && !any_far(after))
            || (shuns(before) && !shuns(after))
    }
}

fn holds_place(object: &Object) -> bool {
    object
        .pod()
        .is_some_and(|columns| columns.node.is_some() && !columns.is_finished())
}

fn claims(spec: &PodSpec) -> impl Iterator<Item = &Name> {
    spec.volumes.iter().filter_map(|volume| match volume {
        Volume::Claim { name, .. } => Some(name),
        Volume::Disk(_) => None,
    })
}

/// Whether the pod that left may have held a disk or a claim that this one needs alone.
fn shares_storage(pod: &Template, left: &Template) -> bool {
    let has_disk = |spec: &PodSpec| {
        let mut volumes = spec.volumes.iter();
        volumes.any(|volume| matches!(volume, Volume::Disk(_)))
    };
    let same_claim = pod.namespace == left.namespace
        && claims(&pod.spec).any(|name| claims(&left.spec).any(|other| name == other));
    same_claim || (has_disk(&pod.spec) && has_disk(&left.spec))
}

/// A pod gave back something of what the waiting one asks for.
fn has_shrunk(wanted: &ResourceList, before: &ResourceList, after: &ResourceList) -> bool {
    (wanted.cpu_milli > 0 && before.cpu_milli > after.cpu_milli)
        || (wanted.memory_bytes > 0 && before.memory_bytes > after.memory_bytes)
        || (wanted.ephemeral_storage_bytes > 0
            && before.ephemeral_storage_bytes > after.ephemeral_storage_bytes)
        || wanted
            .scalars
            .iter()
            .any(|(name, amount)| *amount > 0 && before.scalar(name) > after.scalar(name))
}

/// One predicate for each `DoNotSchedule` constraint of the pod.
fn spread_selectors(pod: &Template) -> impl Iterator<Item = impl Fn(&Template) -> bool> {
    let hard = pod.spec.spread.iter().filter(|constraint| constraint.hard);
    hard.map(|constraint| {
        let selector = constraint.selector_for(&pod.labels);
        move |other: &Template| {
            selector
                .as_ref()
                .is_some_and(|selector| selector.matches(&other.labels))
        }
    })
}

fn node_helps(
    plugin: Plugin,
    pod: &Template,
    before: Option<&NodeInfo>,
    after: Option<&NodeInfo>,
) -> bool {
    let spec = &pod.spec;
    let Some(node) = after else {
        return before.is_some_and(|node| {
            plugin == Plugin::PodTopologySpread && has_keys(pod, &node.labels)
        });
    };
    // Whether a test fails on the node as it was and passes on the node as it is.
    let turns = |passes: &dyn Fn(&NodeInfo) -> bool| passes(node) && !before.is_some_and(passes);
    match plugin {
        Plugin::NodeUnschedulable => {
            turns(&|node| node_unschedulable::filter(&spec.tolerations, node).is_none())
        }
        Plugin::TaintToleration => {
            turns(&|node| taint_toleration::filter(&spec.tolerations, &node.taints).is_none())
        }
        Plugin::NodeAffinity => turns(&|node| node_affinity::matches(spec, node)),
        Plugin::NodeResourcesFit => offers_more(&spec.requests.wanted, before, node),
        Plugin::PodTopologySpread => {
            let had = before.map(|node| has_keys(pod, &node.labels));
            let has = has_keys(pod, &node.labels);
            let same_place = before.is_some_and(|before| before.is_same_place(node));
            had != Some(has) && (has || had.is_some()) || has && !same_place
        }
        Plugin::InterPodAffinity => place_helps(spec, before, node),
        Plugin::VolumeBinding | Plugin::VolumeZone => {
            before.is_none_or(|before| before.labels != node.labels)
        }
        Plugin::NodePorts
        | Plugin::VolumeRestrictions
        | Plugin::NodeName
        | Plugin::NodeVolumeLimits => before.is_none(),
        _ => true,
    }
}

/// Whether the node carries every key of the pod's constraints; nodes without do not count.
fn has_keys(pod: &Template, labels: &Labels) -> bool {
    let mut hard = pod.spec.spread.iter().filter(|constraint| constraint.hard);
    hard.all(|constraint| labels.get(&constraint.key).is_some())
}

/// The node is large enough when empty, and is new or has more of what the pod asks for.
fn offers_more(wanted: &ResourceList, before: Option<&NodeInfo>, node: &NodeInfo) -> bool {
    let has = &node.allocatable;
    let is_large_enough = wanted.cpu_milli <= has.cpu_milli
        && wanted.memory_bytes <= has.memory_bytes
        && wanted.ephemeral_storage_bytes <= has.ephemeral_storage_bytes.max(0)
        && wanted
            .scalars
            .iter()
            .all(|(name, amount)| *amount <= has.scalar(name));
    is_large_enough
        && before.is_none_or(|before| {
            node.pod_limit > before.pod_limit || has_shrunk(wanted, has, &before.allocatable)
        })
}

fn place_helps(spec: &PodSpec, before: Option<&NodeInfo>, node: &NodeInfo) -> bool {
    let Some(before) = before else {
        return true;
    };
    let moved = |term: &PodTerm| before.labels.get(&term.key) != node.labels.get(&term.key);
    let gained = |term: &PodTerm| moved(term) && node.labels.get(&term.key).is_some();
    // Terms of others may be about any key.
    let others = spec.affinity.is_empty() && spec.anti_affinity.is_empty();
    (others && before.labels != node.labels)
        || spec.affinity.iter().any(gained)
        || spec.anti_affinity.iter().any(moved)
}
