//! One machine as the scheduler sees it: what it offers and what runs on it.

use std::sync::Arc;

use jiff::Timestamp;
use serde::Deserialize;

use super::gpu::{self, DeviceSet};
use super::requests::CpuMemory;
use super::template::{ReadPod, Template, TemplateId};
use crate::k8s::object::Labels;
use crate::k8s::resource_list::ResourceList;
use crate::k8s::taint::Taint;
use crate::k8s::{Name, Object, ObjectKey};

/// A pod that runs on a node, or is thought to.
#[derive(Clone, Debug)]
pub struct PodEntry {
    pub object: Arc<Object>,
    pub id: TemplateId,
    pub template: Arc<Template>,
    /// Being removed by preemption.
    pub preempted: bool,
    /// GPUs that it was given; none before it has a node, or if another scheduler found it one.
    pub devices: DeviceSet,
}

impl PodEntry {
    pub fn new(object: &Arc<Object>, read: ReadPod) -> Self {
        Self {
            object: Arc::clone(object),
            id: read.id,
            template: read.template,
            preempted: read.preempted,
            devices: read.devices,
        }
    }

    pub fn key(&self) -> &ObjectKey {
        &self.object.key
    }

    pub fn is_terminating(&self) -> bool {
        self.object.deleted.is_some()
    }

    pub fn priority(&self) -> i32 {
        self.template.spec.priority
    }

    /// Pods that have not started count as started last.
    pub fn started(&self) -> Timestamp {
        self.object
            .pod()
            .and_then(|pod| pod.started)
            .unwrap_or(Timestamp::MAX)
    }
}

/// A node with running totals of its pods.
#[derive(Clone, Debug)]
pub struct NodeInfo {
    pub name: Name,
    pub labels: Labels,
    pub taints: Arc<[Taint]>,
    pub unschedulable: bool,
    pub allocatable: ResourceList,
    pub pod_limit: i64,
    /// Image name and size.
    pub images: Arc<[(Name, i64)]>,
    pub requested: ResourceList,
    /// Cpu and memory requested, with the scoring defaults.
    pub scored: CpuMemory,
    pub pods: Vec<PodEntry>,
    /// How many of the pods have terms about other pods.
    pub pods_with_affinity: usize,
    /// Free milli of each GPU; see [`gpu::settle`].
    pub gpus: Vec<i64>,
    /// Rises with every change of the pods or of what the node offers.
    pub version: u64,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct NodeWire {
    status: StatusWire,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct StatusWire {
    images: Option<Vec<ImageWire>>,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct ImageWire {
    names: Option<Vec<Name>>,
    size_bytes: i64,
}

impl NodeInfo {
    /// An empty node; an object without node columns offers nothing.
    pub fn of(object: &Object) -> Self {
        let wire: NodeWire = serde_json::from_slice(&object.bytes()).unwrap_or_default();
        let images = wire.status.images.into_iter().flatten().flat_map(|image| {
            let size = image.size_bytes;
            let names = image.names.into_iter().flatten();
            names.map(move |name| (name, size))
        });
        Self {
            images: images.collect(),
            ..Self::without_images(object)
        }
    }

    /// The same from the object's header alone.
    pub fn without_images(object: &Object) -> Self {
        let columns = object.node();
        Self {
            name: object.key.name.clone(),
            labels: object.labels.clone(),
            taints: columns.map_or_else(|| Arc::from([]), |node| Arc::clone(&node.taints)),
            unschedulable: columns.is_some_and(|node| node.unschedulable),
            allocatable: columns
                .map_or_else(ResourceList::default, |node| node.allocatable.clone()),
            pod_limit: columns.map_or(0, |node| node.pod_limit),
            images: Arc::from([]),
            requested: ResourceList::default(),
            scored: CpuMemory::default(),
            pods: Vec::new(),
            pods_with_affinity: 0,
            gpus: columns.map_or_else(Vec::new, |node| {
                gpu::settle(gpu::device_count(&node.allocatable), &[])
            }),
            version: 0,
        }
    }

    pub fn add(&mut self, entry: PodEntry) {
        let spec = &entry.template.spec;
        self.requested.add(&spec.requests.charged);
        let scored = spec.requests.charged_scored;
        self.scored.cpu_milli = self.scored.cpu_milli.saturating_add(scored.cpu_milli);
        self.scored.memory_bytes = self.scored.memory_bytes.saturating_add(scored.memory_bytes);
        self.pods_with_affinity += usize::from(spec.has_pod_affinity());
        self.version += 1;
        let has_gpu = spec.gpu.is_some();
        self.pods.push(entry);
        if has_gpu {
            self.settle_gpus();
        }
    }

    /// After a change of the pods that ask for GPUs, or of what the node offers.
    pub fn settle_gpus(&mut self) {
        self.gpus = gpu::settle(gpu::device_count(&self.allocatable), &self.pods);
    }

    pub fn remove(&mut self, key: &ObjectKey) -> Option<PodEntry> {
        let place = self.find(key)?;
        Some(self.remove_at(place))
    }

    /// Removes the pod at a place that [`Self::find`] told.
    pub fn remove_at(&mut self, place: usize) -> PodEntry {
        let entry = self.pods.remove(place);
        self.version += 1;
        let spec = &entry.template.spec;
        self.requested.subtract(&spec.requests.charged);
        let scored = spec.requests.charged_scored;
        self.scored.cpu_milli = self.scored.cpu_milli.saturating_sub(scored.cpu_milli);
        self.scored.memory_bytes = self.scored.memory_bytes.saturating_sub(scored.memory_bytes);
        self.pods_with_affinity -= usize::from(spec.has_pod_affinity());
        if spec.gpu.is_some() {
            self.settle_gpus();
        }
        entry
    }

    pub fn find(&self, key: &ObjectKey) -> Option<usize> {
        // The pods asked for are mostly the latest.
        self.pods.iter().rposition(|entry| {
            entry.object.key.name == key.name && entry.object.key.namespace == key.namespace
        })
    }

    /// What the node offers, apart from what runs on it, is the same.
    pub fn offers_same(&self, other: &Self) -> bool {
        self.is_same_place(other)
            && self.allocatable == other.allocatable
            && self.pod_limit == other.pod_limit
            && self.images == other.images
    }

    /// Labels, taints and cordon are the same.
    pub fn is_same_place(&self, other: &Self) -> bool {
        self.labels == other.labels
            && self.taints == other.taints
            && self.unschedulable == other.unschedulable
    }
}
