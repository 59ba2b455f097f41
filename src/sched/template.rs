//! Pod templates: everything scheduling reads of a pod, parsed once for all pods that agree in it.
//!
//! Fleets hold hundreds of thousands of pods from a few dozen templates. A pod's JSON is scanned for
//! the handful of fields that scheduling reads; their raw text is the key of a table, and only an
//! unknown text is parsed. [`PodSpec`] is what a pod wants, [`Template`] adds what others match it
//! by: namespace, labels, controller.
//!
//! Labels that no selector reads are left out, or every pod of a stateful set, which carries its own
//! name as a label, would be a template of its own. When a selector reads a label for the first
//! time, whoever holds pods reads them again. Templates without pods are swept out from time to time.

use std::borrow::Cow;
use std::sync::Arc;

use rustc_hash::{FxHashMap, FxHashSet};
use serde::Deserialize;
use serde_json::value::RawValue;

use super::gpu::{Annotations, DeviceSet};
use super::requests::{Requests, Resize, StatusResources};
use super::spec::PodSpec;
use crate::k8s::object::Labels;
use crate::k8s::resource_list::Requirements;
use crate::k8s::{Name, Object, OwnerRef};

/// Index of a template within one snapshot's table.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct TemplateId(pub u32);

impl TemplateId {
    pub(super) fn index(self) -> usize {
        self.0 as usize
    }
}

/// Pods of one template are interchangeable for the scheduler.
#[derive(PartialEq, Eq, Debug)]
pub struct Template {
    pub namespace: Name,
    /// Those that any selector reads.
    pub labels: Labels,
    pub spec: Arc<PodSpec>,
    /// Kind and name of the controlling replica set or its like, for default spreading.
    pub controller: Option<(ControllerKind, Name)>,
}

/// Controllers whose selector takes part in default spreading.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum ControllerKind {
    ReplicationController,
    ReplicaSet,
    StatefulSet,
}

/// Which reading of a pod is meant.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Reading {
    /// With its status: what it is charged with on its node.
    Bound,
    /// As if it were created anew: the specification alone.
    Fresh,
}

/// A pod as read: its template and what is particular to it.
#[derive(Clone, Debug)]
pub struct ReadPod {
    pub id: TemplateId,
    pub template: Arc<Template>,
    /// `DisruptionTarget` is true because the scheduler preempts it.
    pub preempted: bool,
    /// GPUs that it was given.
    pub devices: DeviceSet,
}

/// All templates of a snapshot.
#[derive(Clone, Debug)]
pub struct Templates {
    list: Vec<Option<Arc<Template>>>,
    free: Vec<TemplateId>,
    specs: FxHashMap<Arc<[u8]>, Arc<PodSpec>>,
    ids: FxHashMap<TemplateKey, TemplateId>,
    /// Labels that any selector has read so far.
    label_keys: FxHashSet<Name>,
    /// The same in the order in which they were first read.
    label_keys_in_order: Vec<Name>,
    /// The count of templates at which unused ones are swept out.
    sweep_at: usize,
    sweeps: u64,
}

/// Fewer templates than this are not worth sweeping; tests sweep all the time.
const SWEEP_MIN: usize = if cfg!(test) { 4 } else { 1024 };

impl Default for Templates {
    fn default() -> Self {
        Self {
            list: Vec::new(),
            free: Vec::new(),
            specs: FxHashMap::default(),
            ids: FxHashMap::default(),
            label_keys: FxHashSet::default(),
            label_keys_in_order: Vec::new(),
            sweep_at: SWEEP_MIN,
            sweeps: 0,
        }
    }
}

/// Specifications by address: the table keeps every one of them alive.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
struct TemplateKey {
    spec: usize,
    namespace: Name,
    labels: Labels,
    controller: Option<(ControllerKind, Name)>,
}

/// Why a pod cannot be read.
#[derive(Debug, thiserror::Error)]
#[error("pod `{namespace}/{name}` is not what the scheduler requires")]
pub struct TemplateError {
    pub namespace: Name,
    pub name: Name,
    #[source]
    pub source: serde_json::Error,
}

impl Templates {
    pub fn get(&self, id: TemplateId) -> Option<&Arc<Template>> {
        self.list.get(id.index())?.as_ref()
    }

    pub fn len(&self) -> usize {
        self.ids.len()
    }

    pub fn is_empty(&self) -> bool {
        self.ids.is_empty()
    }

    /// Rises when ids are given to other templates than before.
    pub fn sweeps(&self) -> u64 {
        self.sweeps
    }

    /// The labels that selectors read, from a position on. Templates that were handed out before
    /// lack them.
    pub fn label_keys_since(&self, position: usize) -> &[Name] {
        self.label_keys_in_order.get(position..).unwrap_or_default()
    }

    /// A selector reads these labels.
    pub fn read_labels(table: &mut Arc<Self>, keys: impl IntoIterator<Item = Name>) {
        for key in keys {
            if !table.label_keys.contains(&key) {
                let table = Arc::make_mut(table);
                table.label_keys_in_order.push(key.clone());
                table.label_keys.insert(key);
            }
        }
    }

    /// Labels of a pod that matter.
    fn seen(&self, labels: &Labels) -> Labels {
        if labels.iter().all(|(key, _)| self.label_keys.contains(key)) {
            return labels.clone();
        }
        labels
            .iter()
            .filter(|(key, _)| self.label_keys.contains(*key))
            .map(|(key, value)| (key.clone(), value.clone()))
            .collect()
    }

    /// Forgets templates that nobody holds any more.
    fn sweep(&mut self) {
        let mut freed = Vec::new();
        for (place, id) in self.list.iter_mut().zip((0..).map(TemplateId)) {
            if place
                .as_ref()
                .is_some_and(|entry| Arc::strong_count(entry) == 1)
            {
                *place = None;
                freed.push(id);
            }
        }
        if !freed.is_empty() {
            let list = &self.list;
            self.ids
                .retain(|_, id| list.get(id.index()).is_some_and(Option::is_some));
            self.free.extend(freed);
            self.specs.retain(|_, spec| Arc::strong_count(spec) > 1);
            self.sweeps += 1;
        }
        self.sweep_at = SWEEP_MIN.max(2 * self.ids.len());
    }

    /// Finds or parses the template of a pod; a table shared with other snapshots is only copied
    /// when something is new.
    pub fn read(
        table: &mut Arc<Self>,
        pod: &Object,
        reading: Reading,
    ) -> Result<ReadPod, TemplateError> {
        let wrong = |source| TemplateError {
            namespace: pod.key.namespace.clone(),
            name: pod.key.name.clone(),
            source,
        };
        let bytes = pod.bytes();
        let text =
            std::str::from_utf8(&bytes).map_err(|error| wrong(serde::de::Error::custom(error)))?;
        let Light {
            metadata,
            spec,
            mut status,
        } = serde_json::from_str(text).map_err(wrong)?;
        let gpu = Annotations::read(metadata.annotations);
        let preempted = status.conditions().any(|condition| {
            condition.kind == "DisruptionTarget"
                && condition.status == "True"
                && condition.reason == "PreemptionByScheduler"
        });
        if reading == Reading::Fresh {
            status = LightStatus::default();
        }
        let text = spec.text(pod.name(), &status, gpu.as_deref());
        let devices = match reading {
            Reading::Bound => gpu.as_ref().map(|gpu| gpu.devices()).unwrap_or_default(),
            Reading::Fresh => DeviceSet::default(),
        };
        let known = table.specs.get(text.as_slice()).map(Arc::clone);
        let spec = if let Some(known) = known {
            known
        } else {
            let parsed = Arc::new(spec.parse(pod, &status, gpu).map_err(wrong)?);
            Self::read_labels(table, parsed.label_keys().cloned());
            let specs = &mut Arc::make_mut(table).specs;
            specs.insert(text.into(), Arc::clone(&parsed));
            parsed
        };
        let (id, template) = Self::intern(table, pod, spec);
        Ok(ReadPod {
            id,
            template,
            preempted,
            devices,
        })
    }

    /// A template with one more label, which no selector read before.
    pub fn with_label(
        table: &mut Arc<Self>,
        template: &Template,
        label: (&Name, &Name),
    ) -> (TemplateId, Arc<Template>) {
        let labels = template.labels.iter().chain([label]);
        let key = TemplateKey {
            spec: Arc::as_ptr(&template.spec).addr(),
            namespace: template.namespace.clone(),
            labels: labels
                .map(|(key, value)| (key.clone(), value.clone()))
                .collect(),
            controller: template.controller.clone(),
        };
        Self::intern_key(table, key, Arc::clone(&template.spec))
    }

    fn intern(
        table: &mut Arc<Self>,
        pod: &Object,
        spec: Arc<PodSpec>,
    ) -> (TemplateId, Arc<Template>) {
        let key = TemplateKey {
            spec: Arc::as_ptr(&spec).addr(),
            namespace: pod.key.namespace.clone(),
            labels: table.seen(&pod.labels),
            controller: pod.controller().and_then(spreading_controller),
        };
        Self::intern_key(table, key, spec)
    }

    fn intern_key(
        table: &mut Arc<Self>,
        key: TemplateKey,
        spec: Arc<PodSpec>,
    ) -> (TemplateId, Arc<Template>) {
        if let Some(&id) = table.ids.get(&key)
            && let Some(template) = table.get(id)
        {
            return (id, Arc::clone(template));
        }
        let template = Arc::new(Template {
            namespace: key.namespace.clone(),
            labels: key.labels.clone(),
            spec,
            controller: key.controller.clone(),
        });
        let table = Arc::make_mut(table);
        if table.ids.len() >= table.sweep_at {
            table.sweep();
        }
        let id = table.free.pop().unwrap_or_else(|| {
            table.list.push(None);
            // Four billion templates do not fit into memory; the last one would then be shared.
            TemplateId(u32::try_from(table.list.len() - 1).unwrap_or(u32::MAX))
        });
        if let Some(place) = table.list.get_mut(id.index()) {
            *place = Some(Arc::clone(&template));
        }
        table.ids.insert(key, id);
        (id, template)
    }
}

fn spreading_controller(owner: &OwnerRef) -> Option<(ControllerKind, Name)> {
    let kind = match (owner.api_version.as_str(), owner.kind.as_str()) {
        ("v1", "ReplicationController") => ControllerKind::ReplicationController,
        ("apps/v1", "ReplicaSet") => ControllerKind::ReplicaSet,
        ("apps/v1", "StatefulSet") => ControllerKind::StatefulSet,
        _ => return None,
    };
    Some((kind, owner.name.clone()))
}

#[derive(Deserialize)]
struct Light<'a> {
    #[serde(borrow, default)]
    metadata: LightMetadata<'a>,
    #[serde(borrow, default)]
    spec: LightSpec<'a>,
    #[serde(borrow, default)]
    status: LightStatus<'a>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct LightMetadata<'a> {
    #[serde(borrow)]
    annotations: Raw<'a>,
}

type Raw<'a> = Option<&'a RawValue>;

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct LightSpec<'a> {
    #[serde(borrow)]
    node_selector: Raw<'a>,
    affinity: Raw<'a>,
    tolerations: Raw<'a>,
    topology_spread_constraints: Raw<'a>,
    priority: Option<i32>,
    preemption_policy: Raw<'a>,
    overhead: Raw<'a>,
    resources: Raw<'a>,
    containers: Option<Vec<LightContainer<'a>>>,
    init_containers: Option<Vec<LightContainer<'a>>>,
    volumes: Option<Vec<LightVolume<'a>>>,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct LightContainer<'a> {
    #[serde(borrow)]
    name: Raw<'a>,
    image: Raw<'a>,
    restart_policy: Raw<'a>,
    ports: Raw<'a>,
    resources: Raw<'a>,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct LightVolume<'a> {
    #[serde(borrow)]
    name: Raw<'a>,
    persistent_volume_claim: Raw<'a>,
    ephemeral: Raw<'a>,
    image: Raw<'a>,
    gce_persistent_disk: Raw<'a>,
    aws_elastic_block_store: Raw<'a>,
    iscsi: Raw<'a>,
    rbd: Raw<'a>,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct LightStatus<'a> {
    #[serde(borrow)]
    conditions: Option<Vec<LightCondition<'a>>>,
    container_statuses: Option<Vec<LightContainerStatus<'a>>>,
    init_container_statuses: Option<Vec<LightContainerStatus<'a>>>,
    resources: Raw<'a>,
    allocated_resources: Raw<'a>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct LightCondition<'a> {
    #[serde(rename = "type", borrow)]
    kind: Cow<'a, str>,
    #[serde(borrow)]
    status: Cow<'a, str>,
    #[serde(borrow)]
    reason: Cow<'a, str>,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct LightContainerStatus<'a> {
    #[serde(borrow)]
    name: Raw<'a>,
    resources: Raw<'a>,
    allocated_resources: Raw<'a>,
}

impl<'a> LightStatus<'a> {
    fn conditions(&self) -> impl Iterator<Item = &LightCondition<'a>> {
        self.conditions.iter().flatten()
    }

    fn resize_infeasible(&self) -> bool {
        self.conditions().any(|condition| {
            condition.kind == "PodResizePending" && condition.reason == "Infeasible"
        })
    }

    fn containers(&self) -> impl Iterator<Item = &LightContainerStatus<'a>> {
        let sidecars = self.init_container_statuses.iter().flatten();
        let all = self.container_statuses.iter().flatten().chain(sidecars);
        all.filter(|status| status.resources.is_some())
    }

    fn resize(&self) -> Result<Resize, serde_json::Error> {
        let containers = self.containers().map(|status| {
            Ok(StatusResources {
                name: parsed(status.name)?,
                resources: parsed(status.resources)?,
                allocated_resources: parsed(status.allocated_resources)?,
            })
        });
        Ok(Resize {
            containers: containers.collect::<Result<_, serde_json::Error>>()?,
            pod: StatusResources {
                name: Name::default(),
                resources: parsed(self.resources)?,
                allocated_resources: parsed(self.allocated_resources)?,
            },
            infeasible: self.resize_infeasible(),
        })
    }
}

/// An absent field is the type's default, `null` too.
pub(super) fn parsed<T: serde::de::DeserializeOwned + Default>(
    raw: Raw<'_>,
) -> Result<T, serde_json::Error> {
    match raw {
        Some(raw) => {
            let value: Option<T> = serde_json::from_str(raw.get())?;
            Ok(value.unwrap_or_default())
        }
        None => Ok(T::default()),
    }
}

impl LightSpec<'_> {
    /// Everything that scheduling reads, as one text without ambiguity.
    fn text(&self, pod_name: &str, status: &LightStatus<'_>, gpu: Option<&Annotations>) -> Vec<u8> {
        let mut key = Vec::with_capacity(1024);
        let mut put = |raw: Raw<'_>| {
            key.extend_from_slice(raw.map_or("", RawValue::get).as_bytes());
            key.push(0);
        };
        for raw in [
            self.node_selector,
            self.affinity,
            self.tolerations,
            self.topology_spread_constraints,
            self.preemption_policy,
            self.overhead,
            self.resources,
        ] {
            put(raw);
        }
        let mut ephemeral = false;
        for list in [&self.containers, &self.init_containers] {
            for container in list.iter().flatten() {
                put(container.name);
                put(container.image);
                put(container.restart_policy);
                put(container.ports);
                put(container.resources);
            }
            put(None);
            put(None);
        }
        for volume in self.volumes.iter().flatten() {
            let fields = volume.fields();
            if fields.iter().any(|(_, raw)| raw.is_some()) {
                put(volume.name);
                for (_, raw) in fields {
                    put(raw);
                }
                ephemeral |= volume.ephemeral.is_some();
            }
        }
        for container in status.containers() {
            put(container.name);
            put(container.resources);
            put(container.allocated_resources);
        }
        put(status.resources);
        put(status.allocated_resources);
        if ephemeral {
            // The claim of a generic ephemeral volume is named after the pod.
            key.extend_from_slice(pod_name.as_bytes());
        }
        key.push(u8::from(status.resize_infeasible()));
        if let Some(gpu) = gpu {
            // Which devices it has is not a wish.
            for text in [&gpu.milli, &gpu.count, &gpu.models] {
                key.extend_from_slice(text.as_deref().unwrap_or_default().as_bytes());
                key.push(if text.is_some() { 2 } else { 3 });
            }
        }
        key.extend_from_slice(&self.priority.unwrap_or_default().to_le_bytes());
        key
    }

    fn parse(
        &self,
        pod: &Object,
        status: &LightStatus<'_>,
        gpu: Option<Box<Annotations>>,
    ) -> Result<PodSpec, serde_json::Error> {
        let spec = super::spec::SpecWire {
            gpu,
            ..self.to_wire()?
        };
        let requests = Requests::of(&spec.resources(), &status.resize()?);
        Ok(PodSpec::of(spec, requests, pod.name()))
    }

    fn to_wire(&self) -> Result<super::spec::SpecWire, serde_json::Error> {
        let containers = |list: &Option<Vec<LightContainer<'_>>>| {
            let parsed = list.iter().flatten().map(LightContainer::to_wire);
            parsed.collect::<Result<Vec<_>, serde_json::Error>>()
        };
        let volumes = self.volumes.iter().flatten().map(LightVolume::to_wire);
        Ok(super::spec::SpecWire {
            node_selector: parsed(self.node_selector)?,
            affinity: parsed(self.affinity)?,
            tolerations: parsed(self.tolerations)?,
            topology_spread_constraints: parsed(self.topology_spread_constraints)?,
            priority: self.priority.unwrap_or_default(),
            preemption_policy: parsed(self.preemption_policy)?,
            overhead: parsed(self.overhead)?,
            pod_level: parsed::<Requirements>(self.resources)?,
            containers: containers(&self.containers)?,
            init_containers: containers(&self.init_containers)?,
            volumes: volumes.collect::<Result<_, serde_json::Error>>()?,
            gpu: None,
        })
    }
}

impl LightContainer<'_> {
    fn to_wire(&self) -> Result<super::spec::ContainerWire, serde_json::Error> {
        Ok(super::spec::ContainerWire {
            name: parsed(self.name)?,
            image: parsed(self.image)?,
            restart_policy: parsed(self.restart_policy)?,
            ports: parsed(self.ports)?,
            resources: parsed(self.resources)?,
        })
    }
}

impl<'a> LightVolume<'a> {
    fn fields(&self) -> [(&'static str, Raw<'a>); 7] {
        [
            ("persistentVolumeClaim", self.persistent_volume_claim),
            ("ephemeral", self.ephemeral),
            ("image", self.image),
            ("gcePersistentDisk", self.gce_persistent_disk),
            ("awsElasticBlockStore", self.aws_elastic_block_store),
            ("iscsi", self.iscsi),
            ("rbd", self.rbd),
        ]
    }

    fn to_wire(&self) -> Result<super::spec::VolumeWire, serde_json::Error> {
        Ok(super::spec::VolumeWire {
            name: parsed(self.name)?,
            persistent_volume_claim: parsed(self.persistent_volume_claim)?,
            ephemeral: self.ephemeral.is_some(),
            image: parsed(self.image)?,
            gce_persistent_disk: parsed(self.gce_persistent_disk)?,
            aws_elastic_block_store: parsed(self.aws_elastic_block_store)?,
            iscsi: parsed(self.iscsi)?,
            rbd: parsed(self.rbd)?,
        })
    }
}
