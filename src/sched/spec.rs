//! A pod's wishes in compiled form: what plugins read instead of JSON.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::gpu::{Annotations, GpuWish};
use super::requests::Requests;
use super::selector::{NodeTerm, NodeTermWire, Selector, SelectorWire};
use crate::k8s::Name;
use crate::k8s::object::Labels;
use crate::k8s::resource_list::{ContainerResources, PodResources, Quantities, Requirements};
use crate::k8s::taint::Toleration;

/// Everything scheduling reads of a pod's specification.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct PodSpec {
    pub priority: i32,
    /// `preemptionPolicy: Never`.
    pub never_preempts: bool,
    pub requests: Requests,
    pub node_selector: Selector,
    /// `None`: no required node affinity. Empty: nothing matches.
    pub node_terms: Option<Box<[NodeTerm]>>,
    pub preferred_nodes: Box<[(i64, NodeTerm)]>,
    pub tolerations: Box<[Toleration]>,
    pub ports: Box<[HostPort]>,
    /// Normalised image names of containers and init containers, repetitions included.
    pub images: Box<[Name]>,
    /// The same of image volumes.
    pub image_volumes: Box<[Name]>,
    /// Whether the pod states topology spread constraints of its own.
    pub states_spread: bool,
    pub spread: Box<[SpreadConstraint]>,
    pub affinity: Box<[PodTerm]>,
    pub anti_affinity: Box<[PodTerm]>,
    /// Weight and term; a negative weight is a preferred anti-affinity.
    pub preferred_pods: Box<[(i64, PodTerm)]>,
    pub volumes: Box<[Volume]>,
    /// GPUs one by one; read by the plugin `GpuShare` alone.
    pub gpu: Option<Box<GpuWish>>,
}

/// A port on the node's own addresses.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct HostPort {
    pub port: i32,
    pub protocol: Name,
    /// `0.0.0.0` when not given.
    pub address: Name,
}

#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SpreadConstraint {
    pub max_skew: i64,
    pub key: Name,
    pub hard: bool,
    /// `None` matches no pod.
    pub selector: Option<Selector>,
    pub min_domains: i64,
    /// `nodeAffinityPolicy: Honor`.
    pub honors_affinity: bool,
    /// `nodeTaintsPolicy: Honor`.
    pub honors_taints: bool,
    pub match_label_keys: Box<[Name]>,
}

/// A term of pod affinity or anti-affinity.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct PodTerm {
    pub key: Name,
    /// `None` matches no pod.
    pub selector: Option<Selector>,
    pub namespaces: Box<[Name]>,
    pub namespace_selector: Option<Selector>,
}

#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Volume {
    Claim {
        name: Name,
        /// Of a generic ephemeral volume: the claim must belong to the pod.
        ephemeral: bool,
    },
    Disk(Disk),
}

/// Disks that few pods may share, from before the container storage interface.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Disk {
    Gce {
        name: Name,
        read_only: bool,
    },
    Ebs {
        id: Name,
    },
    Iscsi {
        target: Name,
        read_only: bool,
    },
    Rbd {
        monitors: Box<[Name]>,
        pool: Name,
        image: Name,
        read_only: bool,
    },
}

impl SpreadConstraint {
    /// The selector with `matchLabelKeys` added as the pod's own values; keys that the pod lacks are
    /// dropped, and a missing selector stays missing.
    pub fn selector_for(&self, labels: &Labels) -> Option<Selector> {
        let selector = self.selector.as_ref()?;
        let own = self
            .match_label_keys
            .iter()
            .filter_map(|key| labels.get(key).map(|value| (key, value)));
        Some(Selector::equal_to(own).and(selector))
    }
}

impl PodSpec {
    /// Whether other pods' places bear on where this pod may go or wants to go.
    pub fn minds_others(&self) -> bool {
        !(self.spread.is_empty()
            && self.affinity.is_empty()
            && self.anti_affinity.is_empty()
            && self.preferred_pods.is_empty())
    }

    /// Whether the pod bears on where pods that it selects may go.
    pub fn has_pod_affinity(&self) -> bool {
        !(self.affinity.is_empty()
            && self.anti_affinity.is_empty()
            && self.preferred_pods.is_empty())
    }

    /// The labels of other pods, and of this one, that its constraints and terms read.
    pub fn label_keys(&self) -> impl Iterator<Item = &Name> {
        let spread = self.spread.iter().flat_map(|constraint| {
            let selector = constraint.selector.iter().flat_map(Selector::keys);
            selector.chain(&constraint.match_label_keys)
        });
        let preferred = self.preferred_pods.iter().map(|(_, term)| term);
        let terms = self
            .affinity
            .iter()
            .chain(&self.anti_affinity)
            .chain(preferred);
        spread.chain(terms.flat_map(|term| term.selector.iter().flat_map(Selector::keys)))
    }

    pub(super) fn of(wire: SpecWire, requests: Requests, pod_name: &str) -> Self {
        let affinity = wire.affinity;
        let node = affinity.nodes.unwrap_or_default();
        let pods = affinity.near.unwrap_or_default();
        let anti = affinity.apart.unwrap_or_default();
        let node_terms = node.required.map(|required| {
            let terms = required.node_selector_terms.unwrap_or_default();
            terms.iter().map(NodeTerm::of).collect()
        });
        let preferred = node.preferred.unwrap_or_default();
        let sidecars = wire
            .init_containers
            .iter()
            .filter(|container| container.restart_policy == "Always");
        let ports = wire
            .containers
            .iter()
            .chain(sidecars)
            .flat_map(ContainerWire::host_ports)
            .collect();
        let all_containers = wire.init_containers.iter().chain(&wire.containers);
        let images = all_containers
            .map(|container| normalized(&container.image))
            .collect();
        let image_volumes = wire
            .volumes
            .iter()
            .filter_map(|volume| volume.image.as_ref())
            .map(|image| normalized(&image.reference))
            .collect();
        let preferred_pods = pods.weighted(1).chain(anti.weighted(-1)).collect();
        let spread = wire.topology_spread_constraints;
        let gpu = GpuWish::of(wire.gpu.as_deref(), &requests.wanted);
        Self {
            gpu: gpu.map(Box::new),
            priority: wire.priority,
            never_preempts: wire.preemption_policy == "Never",
            requests,
            node_selector: Selector::equal_to(&wire.node_selector),
            node_terms,
            preferred_nodes: preferred
                .into_iter()
                .map(|entry| (i64::from(entry.weight), NodeTerm::of(&entry.preference)))
                .filter(|(weight, term)| *weight != 0 && !term.is_empty())
                .collect(),
            tolerations: wire.tolerations.into(),
            ports,
            images,
            image_volumes,
            states_spread: !spread.is_empty(),
            spread: spread.into_iter().map(SpreadWire::constraint).collect(),
            affinity: pods.required_terms(),
            anti_affinity: anti.required_terms(),
            preferred_pods,
            volumes: wire
                .volumes
                .into_iter()
                .filter_map(|volume| volume.volume(pod_name))
                .collect(),
        }
    }
}

/// An image without tag or digest means its `latest` tag.
pub(super) fn normalized(image: &Name) -> Name {
    let tagged = match (image.rfind(':'), image.rfind('/')) {
        (Some(colon), Some(slash)) => colon > slash,
        (colon, _) => colon.is_some(),
    };
    if tagged {
        image.clone()
    } else {
        Name::from(format!("{image}:latest"))
    }
}

pub(super) struct SpecWire {
    pub node_selector: BTreeMap<Name, Name>,
    pub affinity: AffinityWire,
    pub tolerations: Vec<Toleration>,
    pub topology_spread_constraints: Vec<SpreadWire>,
    pub priority: i32,
    pub preemption_policy: Name,
    pub overhead: Quantities,
    pub pod_level: Requirements,
    pub containers: Vec<ContainerWire>,
    pub init_containers: Vec<ContainerWire>,
    pub volumes: Vec<VolumeWire>,
    pub gpu: Option<Box<Annotations>>,
}

impl SpecWire {
    pub fn resources(&self) -> PodResources {
        let resources = |list: &[ContainerWire]| {
            list.iter()
                .map(|container| ContainerResources {
                    name: container.name.clone(),
                    resources: container.resources.clone(),
                    restart_policy: container.restart_policy.clone(),
                })
                .collect()
        };
        PodResources {
            containers: resources(&self.containers),
            init_containers: resources(&self.init_containers),
            overhead: self.overhead.clone(),
            resources: self.pod_level.clone(),
        }
    }
}

pub(super) struct ContainerWire {
    pub name: Name,
    pub image: Name,
    pub restart_policy: Name,
    pub ports: Vec<PortWire>,
    pub resources: Requirements,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct PortWire {
    host_port: i32,
    protocol: Name,
    #[serde(rename = "hostIP")]
    host_ip: Name,
}

impl ContainerWire {
    fn host_ports(&self) -> impl Iterator<Item = HostPort> {
        let or = |name: &Name, default| {
            if name.is_empty() {
                Name::new_static(default)
            } else {
                name.clone()
            }
        };
        self.ports
            .iter()
            .filter(|port| port.host_port > 0)
            .map(move |port| HostPort {
                port: port.host_port,
                protocol: or(&port.protocol, "TCP"),
                address: or(&port.host_ip, "0.0.0.0"),
            })
    }
}

pub(super) struct VolumeWire {
    pub name: Name,
    pub persistent_volume_claim: Option<ClaimWire>,
    pub ephemeral: bool,
    pub image: Option<ImageWire>,
    pub gce_persistent_disk: Option<GceWire>,
    pub aws_elastic_block_store: Option<EbsWire>,
    pub iscsi: Option<IscsiWire>,
    pub rbd: Option<RbdWire>,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct ClaimWire {
    claim_name: Name,
}

#[derive(Deserialize, Default)]
#[serde(default)]
pub(super) struct ImageWire {
    reference: Name,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct GceWire {
    pd_name: Name,
    read_only: bool,
}

#[derive(Deserialize, Default)]
#[serde(default)]
pub(super) struct EbsWire {
    #[serde(rename = "volumeID")]
    volume_id: Name,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct IscsiWire {
    iqn: Name,
    read_only: bool,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct RbdWire {
    monitors: Vec<Name>,
    pool: Name,
    image: Name,
    read_only: bool,
}

impl VolumeWire {
    fn volume(self, pod_name: &str) -> Option<Volume> {
        if let Some(claim) = self.persistent_volume_claim {
            return Some(Volume::Claim {
                name: claim.claim_name,
                ephemeral: false,
            });
        }
        if self.ephemeral {
            return Some(Volume::Claim {
                name: Name::from(format!("{pod_name}-{}", self.name)),
                ephemeral: true,
            });
        }
        let disk = if let Some(gce) = self.gce_persistent_disk {
            Disk::Gce {
                name: gce.pd_name,
                read_only: gce.read_only,
            }
        } else if let Some(ebs) = self.aws_elastic_block_store {
            Disk::Ebs { id: ebs.volume_id }
        } else if let Some(iscsi) = self.iscsi {
            Disk::Iscsi {
                target: iscsi.iqn,
                read_only: iscsi.read_only,
            }
        } else if let Some(rbd) = self.rbd {
            Disk::Rbd {
                monitors: rbd.monitors.into(),
                pool: if rbd.pool.is_empty() {
                    Name::new_static("rbd")
                } else {
                    rbd.pool
                },
                image: rbd.image,
                read_only: rbd.read_only,
            }
        } else {
            return None;
        };
        Some(Volume::Disk(disk))
    }
}

#[derive(Deserialize, Default)]
#[serde(default)]
pub(super) struct AffinityWire {
    #[serde(rename = "nodeAffinity")]
    nodes: Option<NodeAffinityWire>,
    #[serde(rename = "podAffinity")]
    near: Option<PodAffinityWire>,
    #[serde(rename = "podAntiAffinity")]
    apart: Option<PodAffinityWire>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct NodeAffinityWire {
    #[serde(rename = "requiredDuringSchedulingIgnoredDuringExecution")]
    required: Option<NodeSelectorWire>,
    #[serde(rename = "preferredDuringSchedulingIgnoredDuringExecution")]
    preferred: Option<Vec<PreferredNodeWire>>,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct NodeSelectorWire {
    pub node_selector_terms: Option<Vec<NodeTermWire>>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct PreferredNodeWire {
    weight: i32,
    preference: NodeTermWire,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct PodAffinityWire {
    #[serde(rename = "requiredDuringSchedulingIgnoredDuringExecution")]
    required: Option<Vec<PodTermWire>>,
    #[serde(rename = "preferredDuringSchedulingIgnoredDuringExecution")]
    preferred: Option<Vec<WeightedPodTermWire>>,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct WeightedPodTermWire {
    weight: i32,
    pod_affinity_term: PodTermWire,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct PodTermWire {
    topology_key: Name,
    label_selector: Option<SelectorWire>,
    namespaces: Option<Vec<Name>>,
    namespace_selector: Option<SelectorWire>,
}

impl PodTermWire {
    /// `matchLabelKeys` and `mismatchLabelKeys` are not read: admission merges them into the selector.
    fn term(&self) -> PodTerm {
        PodTerm {
            key: self.topology_key.clone(),
            selector: self.label_selector.as_ref().map(Selector::of),
            namespaces: self.namespaces.clone().unwrap_or_default().into(),
            namespace_selector: self.namespace_selector.as_ref().map(Selector::of),
        }
    }
}

impl PodAffinityWire {
    fn required_terms(&self) -> Box<[PodTerm]> {
        let terms = self.required.iter().flatten();
        terms.map(PodTermWire::term).collect()
    }

    fn weighted(&self, sign: i64) -> impl Iterator<Item = (i64, PodTerm)> {
        let terms = self.preferred.iter().flatten();
        terms.map(move |entry| {
            (
                i64::from(entry.weight) * sign,
                entry.pod_affinity_term.term(),
            )
        })
    }
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct SpreadWire {
    max_skew: i32,
    topology_key: Name,
    when_unsatisfiable: Name,
    label_selector: Option<SelectorWire>,
    min_domains: Option<i32>,
    node_affinity_policy: Option<Name>,
    node_taints_policy: Option<Name>,
    match_label_keys: Option<Vec<Name>>,
}

impl SpreadWire {
    pub(super) fn constraint(self) -> SpreadConstraint {
        let honors = |policy: Option<Name>, default: bool| {
            policy.map_or(default, |policy| policy == "Honor")
        };
        SpreadConstraint {
            max_skew: i64::from(self.max_skew),
            key: self.topology_key,
            hard: self.when_unsatisfiable != "ScheduleAnyway",
            selector: self.label_selector.as_ref().map(Selector::of),
            min_domains: self.min_domains.map_or(1, i64::from),
            honors_affinity: honors(self.node_affinity_policy, true),
            honors_taints: honors(self.node_taints_policy, false),
            match_label_keys: self.match_label_keys.unwrap_or_default().into(),
        }
    }
}
