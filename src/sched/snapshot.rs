//! The cluster as the scheduler reads it: nodes with running totals, templates, surroundings.
//!
//! A snapshot is a value: a clone copies one pointer a node and shares everything else until one of
//! the two changes it, so that what-if questions work on a clone of the live one. It is built from a
//! [`Cluster`] or kept up to date with [`Snapshot::observe`].

use std::collections::BTreeMap;
use std::sync::{Arc, LazyLock};

use rustc_hash::FxHashMap;

use super::configuration::{Configuration, Profile};
use super::framework::Subject;
use super::gpu::{DeviceSet, Typical, Workload};
use super::log::{Event, Log};
use super::node_info::{NodeInfo, PodEntry};
use super::nominations::Nominations;
use super::plugins::gpu_share;
use super::plugins::image_locality::Images;
use super::surroundings::{Surroundings, WATCHED};
use super::template::{ReadPod, Reading, Template, TemplateError, TemplateId, Templates};
use super::verdict::Plugin;
use super::whereabouts::Whereabouts;
use crate::k8s::{Change, ChangeKind, Cluster, Name, Object, ObjectKey, Resource, resources};

/// For configurations without profiles.
static DEFAULT: LazyLock<Profile> = LazyLock::new(|| Profile::named("default-scheduler"));

/// Index of a node within one snapshot; given to another node once this one is gone.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct NodeId(pub u32);

impl NodeId {
    pub(super) fn index(self) -> usize {
        self.0 as usize
    }

    pub(super) fn of(index: usize) -> Self {
        Self(u32::try_from(index).unwrap_or(u32::MAX))
    }
}

#[derive(Clone, Debug)]
pub struct Snapshot {
    configuration: Arc<Configuration>,
    /// `None`: the node is gone and its place is free.
    nodes: Vec<Option<Arc<NodeInfo>>>,
    free: Vec<NodeId>,
    /// Rises with every node that comes, so that no two have the same version.
    births: u64,
    ids: Arc<FxHashMap<Name, NodeId>>,
    templates: Arc<Templates>,
    surroundings: Arc<Surroundings>,
    images: Arc<Images>,
    whereabouts: Arc<Whereabouts>,
    /// Pods that name a node which is not (yet, or no longer) there.
    orphans: Arc<BTreeMap<Name, Vec<PodEntry>>>,
    /// Pending pods by the node that preemption promised them.
    nominations: Arc<Nominations>,
    /// Pods on nodes that ask for GPUs.
    gpu_workload: Arc<Workload>,
    log: Log,
    generations: Generations,
}

/// Counters of changes that are not in the log; equal numbers mean nothing changed.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Generations {
    /// Pods have other templates, or templates' numbers were given to others.
    pub ids: u64,
    /// How many labels selectors read; templates read earlier may lack one.
    pub labels: usize,
    /// Nodes hold other images, or there are more or fewer nodes among which they are spread.
    pub images: u64,
    /// Namespaces, services or controllers changed.
    pub selectors: u64,
    /// Disruption budgets changed.
    pub budgets: u64,
}

impl Default for Snapshot {
    fn default() -> Self {
        Self::new(Configuration::default())
    }
}

impl Snapshot {
    /// An empty cluster.
    pub fn new(configuration: Configuration) -> Self {
        Self {
            configuration: Arc::new(configuration),
            nodes: Vec::new(),
            free: Vec::new(),
            births: 0,
            ids: Arc::default(),
            templates: Arc::default(),
            surroundings: Arc::default(),
            images: Arc::default(),
            whereabouts: Arc::default(),
            orphans: Arc::default(),
            nominations: Arc::default(),
            gpu_workload: Arc::default(),
            log: Log::default(),
            generations: Generations::default(),
        }
    }

    /// A cluster as it is, under kube-scheduler's default configuration.
    pub fn of(cluster: &Cluster) -> Self {
        Self::with(cluster, Configuration::default())
    }

    pub fn with(cluster: &Cluster, configuration: Configuration) -> Self {
        let mut snapshot = Self::new(configuration);
        let surroundings = Arc::make_mut(&mut snapshot.surroundings);
        for resource in &WATCHED {
            for object in cluster.list(resource) {
                surroundings.insert(object);
                let keys = surroundings.label_keys(object);
                Templates::read_labels(&mut snapshot.templates, keys);
            }
        }
        for node in cluster.nodes() {
            snapshot.insert_node(node);
        }
        for pod in cluster.pods() {
            snapshot.insert_pod(pod);
        }
        snapshot
    }

    /// Takes in one step of an object's life. The order of changes must be the cluster's.
    pub fn observe(&mut self, change: &Change) {
        let object = &change.object;
        let resource = &object.key.resource;
        let deleted = change.kind == ChangeKind::Deleted;
        if *resource == resources::PODS {
            if !deleted && self.replace_in_place(object) {
                return;
            }
            if let Some(previous) = &change.previous {
                self.remove_pod(previous);
            }
            if deleted {
                self.remove_pod(object);
            } else {
                self.insert_pod(object);
            }
        } else if *resource == resources::NODES {
            if deleted {
                self.remove_node(&object.key.name);
            } else {
                self.insert_node(object);
            }
        } else if WATCHED.contains(resource) {
            if *resource == resources::POD_DISRUPTION_BUDGETS {
                self.generations.budgets += 1;
            } else if is_selecting(resource) {
                self.generations.selectors += 1;
            }
            let surroundings = Arc::make_mut(&mut self.surroundings);
            if deleted {
                surroundings.remove(object);
            } else {
                surroundings.insert(object);
                let keys = surroundings.label_keys(object);
                Templates::read_labels(&mut self.templates, keys);
                self.follow_labels();
            }
        }
    }

    pub fn log(&self) -> &Log {
        &self.log
    }

    pub fn generations(&self) -> Generations {
        Generations {
            ids: self.templates.sweeps() + self.generations.labels as u64,
            ..self.generations
        }
    }

    pub fn configuration(&self) -> &Configuration {
        &self.configuration
    }

    pub fn nodes(&self) -> impl Iterator<Item = &NodeInfo> {
        self.nodes.iter().flatten().map(|node| &**node)
    }

    /// Nodes with their ids, in the order of [`Self::nodes`].
    pub fn numbered_nodes(&self) -> impl Iterator<Item = (NodeId, &NodeInfo)> {
        (0..)
            .map(NodeId)
            .zip(&self.nodes)
            .filter_map(|(id, node)| Some((id, &**node.as_ref()?)))
    }

    pub fn node_count(&self) -> usize {
        self.ids.len()
    }

    /// One more than the highest id that a node has.
    pub fn slot_count(&self) -> usize {
        self.nodes.len()
    }

    pub fn node(&self, id: NodeId) -> Option<&NodeInfo> {
        self.nodes.get(id.index())?.as_deref()
    }

    fn node_mut(&mut self, id: NodeId) -> Option<&mut NodeInfo> {
        self.nodes.get_mut(id.index())?.as_mut().map(Arc::make_mut)
    }

    pub fn node_id(&self, name: &str) -> Option<NodeId> {
        self.ids.get(name).copied()
    }

    pub fn node_name(&self, id: NodeId) -> Name {
        self.node(id)
            .map(|node| node.name.clone())
            .unwrap_or_default()
    }

    pub fn surroundings(&self) -> &Surroundings {
        &self.surroundings
    }

    pub fn images(&self) -> &Images {
        &self.images
    }

    /// Where the pods on nodes are, by template.
    pub fn whereabouts(&self) -> &Whereabouts {
        &self.whereabouts
    }

    pub fn templates(&self) -> &Templates {
        &self.templates
    }

    /// The GPU pods that are typical of those that run.
    pub fn typical_gpu_pods(&self) -> &Arc<Typical> {
        self.gpu_workload.typical()
    }

    /// Pending pods that preemption made room for on this node.
    pub fn nominated_to(&self, node: &Name) -> impl Iterator<Item = &PodEntry> {
        self.nominations.on(node).iter()
    }

    pub fn nominations(&self) -> &Nominations {
        &self.nominations
    }

    /// The profile that a pod's `schedulerName` asks for; the first one for names of others, so that
    /// pods of other schedulers can be explained too.
    pub fn profile(&self, pod: &Object) -> &Profile {
        let name = pod.pod().map_or("", |columns| columns.scheduler.as_str());
        let profiles = &self.configuration.profiles;
        self.configuration
            .profile(name)
            .or(profiles.first())
            .unwrap_or(&DEFAULT)
    }

    /// Reads a pending pod: its own `spec.nodeName`, if any, is a wish.
    pub fn subject(&mut self, pod: &Arc<Object>) -> Result<Subject, TemplateError> {
        let read = self.read_as(pod, Reading::Bound)?;
        let columns = pod.pod();
        Ok(Subject {
            object: Arc::clone(pod),
            id: read.id,
            template: read.template,
            node_name: columns.and_then(|pod| pod.node.clone()),
            nominated_node: columns.and_then(|pod| pod.nominated_node.clone()),
        })
    }

    /// Reads any pod as if it were created anew: without node, nomination and status.
    pub fn fresh_subject(&mut self, pod: &Arc<Object>) -> Result<Subject, TemplateError> {
        let read = self.read_as(pod, Reading::Fresh)?;
        Ok(Subject {
            object: Arc::clone(pod),
            id: read.id,
            template: read.template,
            node_name: None,
            nominated_node: None,
        })
    }

    /// Puts a pending pod on a node in thought, and gives it its GPUs there if its profile does.
    pub fn seat(&mut self, subject: &Subject, node: NodeId) -> DeviceSet {
        let profile = self.profile(&subject.object);
        let mut entry = subject.entry();
        if let Some(info) = self.node(node)
            && profile.filters_with(Plugin::GpuShare)
        {
            let spec = &subject.template.spec;
            let typical = self.typical_gpu_pods();
            entry.devices = gpu_share::choose(profile.gpu_policy, typical, spec, info);
        }
        let devices = entry.devices;
        self.assume(entry, node);
        devices
    }

    /// Puts a pod on a node in thought.
    pub fn assume(&mut self, entry: PodEntry, node: NodeId) {
        self.forget(&entry.object.key, node);
        if self.node(node).is_some() {
            self.books().record(&entry, (node, 1));
        }
        if let Some(info) = self.node_mut(node) {
            info.add(entry);
        }
    }

    /// Takes a pod off a node.
    pub fn forget(&mut self, pod: &ObjectKey, node: NodeId) -> Option<PodEntry> {
        let place = self.node(node)?.find(pod)?;
        let entry = self.node_mut(node)?.remove_at(place);
        self.books().record(&entry, (node, -1));
        Some(entry)
    }

    /// Records that preemption made room for a pod, before the API server says so.
    pub fn nominate(&mut self, entry: PodEntry, node: &Name) {
        self.withdraw_nomination(&entry.object.key);
        Arc::make_mut(&mut self.nominations).insert(entry, node);
        self.touch(node);
    }

    pub fn withdraw_nomination(&mut self, pod: &ObjectKey) {
        if self.nominations.node_of(pod).is_some()
            && let Some(node) = Arc::make_mut(&mut self.nominations).remove(pod)
        {
            self.touch(&node);
        }
    }

    /// What is free on the node for pods of lower priority has changed.
    fn touch(&mut self, node: &Name) {
        if let Some(id) = self.node_id(node) {
            self.log.push(Event::Node(id));
        }
    }

    fn insert_node(&mut self, object: &Object) {
        let mut node = NodeInfo::of(object);
        let Some(id) = self.node_id(object.name()) else {
            if let Some(waiting) = Arc::make_mut(&mut self.orphans).remove(object.name()) {
                for entry in waiting {
                    node.add(entry);
                }
            }
            self.insert_info(node);
            return;
        };
        let Some(known) = self.node(id).filter(|known| !known.offers_same(&node)) else {
            return;
        };
        let moves = !known.is_same_place(&node);
        if known.images != node.images {
            let images = Arc::clone(&known.images);
            self.generations.images += 1;
            Images::replace(&mut self.images, id, &images, &node.images);
        }
        if moves {
            self.log_pods(id, -1);
        }
        let Some(known) = self.node_mut(id) else {
            return;
        };
        std::mem::swap(&mut known.pods, &mut node.pods);
        node.requested = std::mem::take(&mut known.requested);
        node.scored = known.scored;
        node.pods_with_affinity = known.pods_with_affinity;
        node.version = known.version + 1;
        node.settle_gpus();
        *known = node;
        if moves {
            self.log.push(Event::Place(id));
            self.log_pods(id, 1);
        } else {
            self.log.push(Event::Node(id));
        }
    }

    fn books(&mut self) -> Books<'_> {
        Books {
            log: &mut self.log,
            gpu_workload: &mut self.gpu_workload,
            whereabouts: &mut self.whereabouts,
        }
    }

    /// All pods of a node leave it or come to it, for those who read the log.
    fn log_pods(&mut self, id: NodeId, delta: i8) {
        let Some(node) = self.nodes.get(id.index()).and_then(Option::clone) else {
            return;
        };
        let mut books = self.books();
        for entry in &node.pods {
            books.record(entry, (id, delta));
        }
    }

    /// Adds a node of a new name.
    pub(super) fn insert_info(&mut self, mut node: NodeInfo) {
        self.births += 1;
        node.version = self.births << 32;
        self.generations.images += u64::from(!self.images.is_empty() || !node.images.is_empty());
        let id = self.free.pop().unwrap_or(NodeId::of(self.nodes.len()));
        Images::replace(&mut self.images, id, &[], &node.images);
        Arc::make_mut(&mut self.ids).insert(node.name.clone(), id);
        let node = Some(Arc::new(node));
        match self.nodes.get_mut(id.index()) {
            Some(place) => *place = node,
            None => self.nodes.push(node),
        }
        self.log.push(Event::Place(id));
        self.log_pods(id, 1);
    }

    /// Removes a node; its pods wait for it to come back.
    pub fn remove_node(&mut self, name: &str) -> Vec<PodEntry> {
        let Some(id) = Arc::make_mut(&mut self.ids).remove(name) else {
            return Vec::new();
        };
        self.log_pods(id, -1);
        let Some(node) = self.nodes.get_mut(id.index()).and_then(Option::take) else {
            return Vec::new();
        };
        self.free.push(id);
        self.log.push(Event::Place(id));
        self.generations.images += u64::from(!self.images.is_empty());
        Images::replace(&mut self.images, id, &node.images, &[]);
        if !node.pods.is_empty() {
            Arc::make_mut(&mut self.orphans).insert(node.name.clone(), node.pods.clone());
        }
        node.pods.clone()
    }

    fn insert_pod(&mut self, object: &Arc<Object>) {
        let Some(columns) = object.pod().filter(|pod| !pod.is_finished()) else {
            return;
        };
        let place = columns.node.as_ref().or(columns.nominated_node.as_ref());
        let Some(place) = place else {
            return;
        };
        let Ok(read) = self.read(object) else {
            return;
        };
        let entry = PodEntry::new(object, read);
        if columns.node.is_none() {
            self.nominate(entry, place);
            return;
        }
        if let Some(node) = self.node_id(place) {
            self.assume(entry, node);
        } else {
            let orphans = Arc::make_mut(&mut self.orphans);
            let pods = orphans.entry(place.clone()).or_default();
            pods.retain(|known| known.key() != &object.key);
            pods.push(entry);
        }
    }

    /// A bound pod whose new version the scheduler cannot tell from the old one, as most status
    /// updates are.
    fn replace_in_place(&mut self, object: &Arc<Object>) -> bool {
        let Some(columns) = object.pod().filter(|pod| !pod.is_finished()) else {
            return false;
        };
        let node = columns.node.as_ref().and_then(|name| self.node_id(name));
        let Some(id) = node else {
            return false;
        };
        let place = self.node(id).and_then(|info| info.find(&object.key));
        let Some(place) = place else {
            return false;
        };
        let Ok(read) = self.read(object) else {
            return false;
        };
        let Some(info) = self.node(id) else {
            return false;
        };
        let same = info.pods.get(place).is_some_and(|known| {
            known.id == read.id
                && known.preempted == read.preempted
                && known.devices == read.devices
                && known.is_terminating() == object.is_terminating()
        });
        if same && let Some(info) = self.node_mut(id) {
            info.version += 1;
            if let Some(known) = info.pods.get_mut(place) {
                known.object = Arc::clone(object);
            }
        }
        same
    }

    fn remove_pod(&mut self, object: &Object) {
        let Some(columns) = object.pod() else {
            return;
        };
        match &columns.node {
            Some(node) => match self.node_id(node) {
                Some(id) => {
                    self.forget(&object.key, id);
                }
                None => {
                    if let Some(pods) = Arc::make_mut(&mut self.orphans).get_mut(node) {
                        pods.retain(|known| known.key() != &object.key);
                    }
                }
            },
            None => self.withdraw_nomination(&object.key),
        }
    }

    /// The template of a pod, parsed for this question alone if it is not known.
    pub fn template_of(&self, pod: &Object) -> Option<Arc<Template>> {
        let mut table = Arc::clone(&self.templates);
        let read = Templates::read(&mut table, pod, Reading::Bound).ok()?;
        Some(read.template)
    }

    fn read(&mut self, pod: &Object) -> Result<ReadPod, TemplateError> {
        self.read_as(pod, Reading::Bound)
    }

    fn read_as(&mut self, pod: &Object, reading: Reading) -> Result<ReadPod, TemplateError> {
        let mut read = Templates::read(&mut self.templates, pod, reading)?;
        if self.follow_labels() {
            read = Templates::read(&mut self.templates, pod, reading)?;
        }
        Ok(read)
    }

    /// Gives pods other templates when selectors read more of their labels than before.
    fn follow_labels(&mut self) -> bool {
        let position = self.generations.labels;
        let keys = self.templates.label_keys_since(position).to_vec();
        self.generations.labels += keys.len();
        let mut is_widened = false;
        for key in &keys {
            let mut known: FxHashMap<(TemplateId, Name), (TemplateId, Arc<Template>)> =
                FxHashMap::default();
            let templates = &mut self.templates;
            let has_label = |entry: &PodEntry| entry.object.labels.get(key).is_some();
            let mut widen = |entry: &mut PodEntry| {
                let Some(value) = entry.object.labels.get(key) else {
                    return;
                };
                let (id, template) = known.entry((entry.id, value.clone())).or_insert_with(|| {
                    Templates::with_label(templates, &entry.template, (key, value))
                });
                entry.id = *id;
                entry.template = Arc::clone(template);
            };
            for node in self.nodes.iter_mut().flatten() {
                if node.pods.iter().any(has_label) {
                    Arc::make_mut(node).pods.iter_mut().for_each(&mut widen);
                    is_widened = true;
                }
            }
            for pods in Arc::make_mut(&mut self.orphans).values_mut() {
                pods.iter_mut().for_each(&mut widen);
            }
            let nominated: Vec<(Name, PodEntry)> = self
                .nominations
                .all()
                .map(|(node, entry)| (node.clone(), entry.clone()))
                .collect();
            for (node, mut entry) in nominated {
                let nominations = Arc::make_mut(&mut self.nominations);
                nominations.remove(entry.key());
                widen(&mut entry);
                nominations.insert(entry, &node);
            }
        }
        if is_widened {
            self.find_all();
        }
        !keys.is_empty()
    }

    /// Looks every pod up anew: they have other templates than before.
    fn find_all(&mut self) {
        let mut known = Whereabouts::default();
        for (id, node) in self.numbered_nodes() {
            for entry in &node.pods {
                let is_live = !entry.is_terminating();
                known.count((entry.id, &entry.template), id, 1, is_live);
            }
        }
        self.whereabouts = Arc::new(known);
    }
}

/// What is written down of every pod that comes or goes.
struct Books<'a> {
    log: &'a mut Log,
    gpu_workload: &'a mut Arc<Workload>,
    whereabouts: &'a mut Arc<Whereabouts>,
}

impl Books<'_> {
    /// A pod came to a node (+1) or left it (-1).
    fn record(&mut self, entry: &PodEntry, (node, delta): (NodeId, i8)) {
        let spec = &entry.template.spec;
        if spec.gpu.is_some() {
            Arc::make_mut(self.gpu_workload).count(spec, delta);
        }
        let is_live = !entry.is_terminating();
        let known = Arc::make_mut(self.whereabouts);
        known.count((entry.id, &entry.template), node, delta, is_live);
        self.log.push(Event::Pod {
            node,
            template: entry.id,
            delta,
            live: is_live,
        });
    }
}

/// Whether objects of this type decide which pods select which.
fn is_selecting(resource: &Resource) -> bool {
    [
        resources::NAMESPACES,
        resources::SERVICES,
        resources::REPLICATION_CONTROLLERS,
        resources::REPLICA_SETS,
        resources::STATEFUL_SETS,
    ]
    .contains(resource)
}
