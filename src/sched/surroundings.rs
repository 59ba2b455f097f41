//! Everything besides nodes and pods that decisions read: namespaces' labels, selectors of services
//! and controllers, disruption budgets, volumes.

use std::collections::BTreeMap;
use std::sync::Arc;

use imbl::OrdMap;
use serde::Deserialize;

use super::selector::{NodeTerm, Selector, SelectorWire};
use super::spec::NodeSelectorWire;
use super::template::ControllerKind;
use crate::k8s::object::Labels;
use crate::k8s::quantity::Quantity;
use crate::k8s::resource_list::Requirements;
use crate::k8s::{Name, Object, Resource, resources};

/// Namespace and name.
type Scoped = (Name, Name);

#[derive(Clone, Debug, Default)]
pub struct Surroundings {
    pub namespaces: OrdMap<Name, Labels>,
    /// Selectors of services that have one.
    pub services: OrdMap<Scoped, Labels>,
    pub controllers: OrdMap<(ControllerKind, Name, Name), Arc<ControllerSelector>>,
    pub budgets: OrdMap<Scoped, Arc<Budget>>,
    pub claims: OrdMap<Scoped, Arc<Claim>>,
    pub volumes: OrdMap<Name, Arc<PersistentVolume>>,
    pub classes: OrdMap<Name, Arc<StorageClass>>,
    /// Per node: volume limit by driver.
    pub volume_limits: OrdMap<Name, Arc<[(Name, i64)]>>,
}

#[derive(Debug, Default)]
pub enum ControllerSelector {
    #[default]
    Missing,
    /// A replication controller's plain map.
    Equal(Labels),
    Selector(Selector),
}

/// A disruption budget.
#[derive(Debug)]
pub struct Budget {
    /// `None` when missing or empty: upstream's preemption ignores such budgets.
    pub selector: Option<Selector>,
    pub disruptions_allowed: i64,
    pub disrupted_pods: Vec<Name>,
}

#[derive(Debug, Default)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "independent facts of a claim"
)]
pub struct Claim {
    pub uid: Name,
    /// `volumeAttributesClassName`.
    pub attributes_class: Name,
    pub volume: Name,
    pub class: Name,
    pub bound: bool,
    pub lost: bool,
    pub terminating: bool,
    pub selected_node: Option<Name>,
    pub access_modes: Vec<Name>,
    pub requested: Quantity,
    pub selector: Option<Selector>,
    pub block: bool,
    /// Uids of its owners, for generic ephemeral volumes.
    pub owners: Vec<Name>,
}

#[derive(Debug, Default)]
pub struct PersistentVolume {
    pub name: Name,
    pub labels: Labels,
    pub class: Name,
    /// `volumeAttributesClassName`.
    pub attributes_class: Name,
    pub capacity: Quantity,
    pub access_modes: Vec<Name>,
    /// Namespace, name and uid of the claim it is reserved for.
    pub claim: Option<(Name, Name, Name)>,
    pub available: bool,
    pub terminating: bool,
    pub block: bool,
    /// Required node affinity.
    pub nodes: Option<Vec<NodeTerm>>,
    /// Driver and handle of the container storage interface.
    pub csi: Option<(Name, Name)>,
}

#[derive(Debug, Default)]
pub struct StorageClass {
    pub provisioner: Name,
    /// `WaitForFirstConsumer`.
    pub waits: bool,
    /// Alternatives of allowed label values.
    pub topologies: Vec<Vec<(Name, Vec<Name>)>>,
}

/// The resource types kept here.
pub const WATCHED: [Resource; 10] = [
    resources::NAMESPACES,
    resources::SERVICES,
    resources::REPLICATION_CONTROLLERS,
    resources::REPLICA_SETS,
    resources::STATEFUL_SETS,
    resources::POD_DISRUPTION_BUDGETS,
    resources::PERSISTENT_VOLUME_CLAIMS,
    resources::PERSISTENT_VOLUMES,
    resources::STORAGE_CLASSES,
    resources::CSI_NODES,
];

impl Surroundings {
    /// Adds or replaces what the object tells. A malformed one is kept with what could be read.
    pub fn insert(&mut self, object: &Object) {
        let name = object.key.name.clone();
        let scoped = || (object.key.namespace.clone(), object.key.name.clone());
        let resource = &object.key.resource;
        if *resource == resources::NAMESPACES {
            self.namespaces.insert(name, object.labels.clone());
        } else if *resource == resources::SERVICES {
            let spec: Spec<ServiceWire> = read(object);
            match spec.spec.selector {
                Some(selector) => self.services.insert(scoped(), selector),
                None => self.services.remove(&scoped()),
            };
        } else if let Some(kind) = controller_kind(resource) {
            let key = (kind, object.key.namespace.clone(), name);
            self.controllers
                .insert(key, Arc::new(controller_selector(kind, object)));
        } else if *resource == resources::POD_DISRUPTION_BUDGETS {
            self.budgets.insert(scoped(), Arc::new(budget(object)));
        } else if *resource == resources::PERSISTENT_VOLUME_CLAIMS {
            self.claims.insert(scoped(), Arc::new(claim(object)));
        } else if *resource == resources::PERSISTENT_VOLUMES {
            self.volumes.insert(name, Arc::new(volume(object)));
        } else if *resource == resources::STORAGE_CLASSES {
            self.classes.insert(name, Arc::new(class(object)));
        } else if *resource == resources::CSI_NODES {
            self.volume_limits.insert(name, volume_limits(object));
        }
    }

    pub fn remove(&mut self, object: &Object) {
        let name = object.key.name.clone();
        let scoped = (object.key.namespace.clone(), object.key.name.clone());
        let resource = &object.key.resource;
        if *resource == resources::NAMESPACES {
            self.namespaces.remove(&name);
        } else if *resource == resources::SERVICES {
            self.services.remove(&scoped);
        } else if let Some(kind) = controller_kind(resource) {
            self.controllers.remove(&(kind, scoped.0, scoped.1));
        } else if *resource == resources::POD_DISRUPTION_BUDGETS {
            self.budgets.remove(&scoped);
        } else if *resource == resources::PERSISTENT_VOLUME_CLAIMS {
            self.claims.remove(&scoped);
        } else if *resource == resources::PERSISTENT_VOLUMES {
            self.volumes.remove(&name);
        } else if *resource == resources::STORAGE_CLASSES {
            self.classes.remove(&name);
        } else if *resource == resources::CSI_NODES {
            self.volume_limits.remove(&name);
        }
    }

    /// The labels of pods that this service or controller reads.
    pub fn label_keys(&self, object: &Object) -> Vec<Name> {
        let scoped = (object.key.namespace.clone(), object.key.name.clone());
        let of = |labels: &Labels| labels.iter().map(|(key, _)| key.clone()).collect();
        if object.key.resource == resources::SERVICES {
            return self.services.get(&scoped).map(of).unwrap_or_default();
        }
        let selector = controller_kind(&object.key.resource)
            .and_then(|kind| self.controllers.get(&(kind, scoped.0, scoped.1)));
        match selector.map(|selector| &**selector) {
            Some(ControllerSelector::Equal(labels)) => of(labels),
            Some(ControllerSelector::Selector(selector)) => selector.keys().cloned().collect(),
            Some(ControllerSelector::Missing) | None => Vec::new(),
        }
    }

    pub fn namespace_labels(&self, namespace: &Name) -> Labels {
        self.namespaces.get(namespace).cloned().unwrap_or_default()
    }

    /// The budgets of a namespace.
    pub fn budgets_in<'a>(
        &'a self,
        namespace: &'a Name,
    ) -> impl Iterator<Item = (&'a Scoped, &'a Arc<Budget>)> {
        self.budgets
            .range((namespace.clone(), Name::default())..)
            .take_while(move |((space, _), _)| space == namespace)
    }

    /// The service selectors of a namespace.
    pub fn services_in<'a>(&'a self, namespace: &'a Name) -> impl Iterator<Item = &'a Labels> {
        self.services
            .range((namespace.clone(), Name::default())..)
            .take_while(move |((space, _), _)| space == namespace)
            .map(|(_, selector)| selector)
    }
}

fn controller_kind(resource: &Resource) -> Option<ControllerKind> {
    if *resource == resources::REPLICATION_CONTROLLERS {
        Some(ControllerKind::ReplicationController)
    } else if *resource == resources::REPLICA_SETS {
        Some(ControllerKind::ReplicaSet)
    } else if *resource == resources::STATEFUL_SETS {
        Some(ControllerKind::StatefulSet)
    } else {
        None
    }
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Spec<T: Default> {
    spec: T,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Whole<S: Default, Status: Default> {
    metadata: MetadataWire,
    spec: S,
    status: Status,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct MetadataWire {
    annotations: Option<BTreeMap<Name, Name>>,
}

fn read<T: serde::de::DeserializeOwned + Default>(object: &Object) -> T {
    serde_json::from_slice(&object.bytes()).unwrap_or_default()
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct ServiceWire {
    selector: Option<Labels>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct SetWire {
    selector: Option<SelectorWire>,
}

fn controller_selector(kind: ControllerKind, object: &Object) -> ControllerSelector {
    if kind == ControllerKind::ReplicationController {
        let wire: Spec<ServiceWire> = read(object);
        let labels = wire.spec.selector;
        return labels.map_or(ControllerSelector::Missing, ControllerSelector::Equal);
    }
    let wire: Spec<SetWire> = read(object);
    let selector = wire.spec.selector.as_ref().map(Selector::of);
    selector.map_or(ControllerSelector::Missing, ControllerSelector::Selector)
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct BudgetStatusWire {
    disruptions_allowed: i64,
    /// Name to time of the eviction.
    disrupted_pods: Option<BTreeMap<Name, Name>>,
}

fn budget(object: &Object) -> Budget {
    let wire: Whole<SetWire, BudgetStatusWire> = read(object);
    let selector = wire.spec.selector.as_ref().map(Selector::of);
    Budget {
        selector: selector.filter(|selector| !selector.is_empty()),
        disruptions_allowed: wire.status.disruptions_allowed,
        disrupted_pods: wire
            .status
            .disrupted_pods
            .unwrap_or_default()
            .into_keys()
            .collect(),
    }
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct ClaimSpecWire {
    volume_name: Name,
    volume_attributes_class_name: Option<Name>,
    storage_class_name: Option<Name>,
    access_modes: Option<Vec<Name>>,
    resources: Requirements,
    selector: Option<SelectorWire>,
    volume_mode: Option<Name>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct PhaseWire {
    phase: Name,
}

/// Annotation of a claim or volume that names its class in place of the field.
const BETA_CLASS: &str = "volume.beta.kubernetes.io/storage-class";

fn claim(object: &Object) -> Claim {
    let wire: Whole<ClaimSpecWire, PhaseWire> = read(object);
    let annotations = wire.metadata.annotations.unwrap_or_default();
    let class = annotations.get(BETA_CLASS).cloned();
    Claim {
        uid: object.uid.0.clone(),
        attributes_class: wire.spec.volume_attributes_class_name.unwrap_or_default(),
        class: class.or(wire.spec.storage_class_name).unwrap_or_default(),
        bound: !wire.spec.volume_name.is_empty()
            && annotations.contains_key("pv.kubernetes.io/bind-completed"),
        lost: wire.status.phase == "Lost",
        terminating: object.is_terminating(),
        selected_node: annotations
            .get("volume.kubernetes.io/selected-node")
            .cloned(),
        access_modes: wire.spec.access_modes.unwrap_or_default(),
        requested: wire
            .spec
            .resources
            .requests
            .get("storage")
            .copied()
            .unwrap_or_default(),
        selector: wire.spec.selector.as_ref().map(Selector::of),
        block: wire.spec.volume_mode.is_some_and(|mode| mode == "Block"),
        owners: object
            .owners
            .iter()
            .filter(|owner| owner.controller)
            .map(|owner| owner.uid.0.clone())
            .collect(),
        volume: wire.spec.volume_name,
    }
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct VolumeSpecWire {
    storage_class_name: Name,
    volume_attributes_class_name: Option<Name>,
    capacity: BTreeMap<Name, Quantity>,
    access_modes: Option<Vec<Name>>,
    claim_ref: Option<ClaimRefWire>,
    volume_mode: Option<Name>,
    node_affinity: Option<VolumeAffinityWire>,
    csi: Option<CsiWire>,
    aws_elastic_block_store: Option<DiskWire>,
    gce_persistent_disk: Option<DiskWire>,
    azure_disk: Option<DiskWire>,
    cinder: Option<DiskWire>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct DiskWire {
    #[serde(rename = "volumeID")]
    volume_id: Name,
    #[serde(rename = "pdName")]
    pd_name: Name,
    #[serde(rename = "diskURI")]
    disk_uri: Name,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct ClaimRefWire {
    namespace: Name,
    name: Name,
    uid: Name,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct VolumeAffinityWire {
    required: Option<NodeSelectorWire>,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct CsiWire {
    driver: Name,
    volume_handle: Name,
}

fn volume(object: &Object) -> PersistentVolume {
    let wire: Whole<VolumeSpecWire, PhaseWire> = read(object);
    let annotations = wire.metadata.annotations.unwrap_or_default();
    let spec = wire.spec;
    let csi = in_tree_or_csi(&spec);
    let required = spec.node_affinity.and_then(|affinity| affinity.required);
    PersistentVolume {
        name: object.key.name.clone(),
        labels: object.labels.clone(),
        class: annotations
            .get(BETA_CLASS)
            .cloned()
            .unwrap_or(spec.storage_class_name),
        csi,
        attributes_class: spec.volume_attributes_class_name.unwrap_or_default(),
        capacity: spec.capacity.get("storage").copied().unwrap_or_default(),
        access_modes: spec.access_modes.unwrap_or_default(),
        claim: spec
            .claim_ref
            .map(|claim| (claim.namespace, claim.name, claim.uid)),
        available: wire.status.phase == "Available",
        terminating: object.is_terminating(),
        block: spec.volume_mode.is_some_and(|mode| mode == "Block"),
        nodes: required.map(|selector| {
            let terms = selector.node_selector_terms.unwrap_or_default();
            terms.iter().map(NodeTerm::of).collect()
        }),
    }
}

/// Volumes of the old in-tree kinds belong to the drivers that took them over.
fn in_tree_or_csi(spec: &VolumeSpecWire) -> Option<(Name, Name)> {
    let in_tree = |kind: &str, id: &Name| {
        let driver = migrated_driver(kind)?;
        // `aws://zone/vol-1` is `vol-1`.
        let id = id.rsplit('/').next().unwrap_or_default();
        Some((Name::new_static(driver), Name::new(id)))
    };
    if let Some(csi) = &spec.csi {
        Some((csi.driver.clone(), csi.volume_handle.clone()))
    } else if let Some(disk) = &spec.aws_elastic_block_store {
        in_tree("kubernetes.io/aws-ebs", &disk.volume_id)
    } else if let Some(disk) = &spec.gce_persistent_disk {
        in_tree("kubernetes.io/gce-pd", &disk.pd_name)
    } else if let Some(disk) = &spec.azure_disk {
        in_tree("kubernetes.io/azure-disk", &disk.disk_uri)
    } else if let Some(disk) = &spec.cinder {
        in_tree("kubernetes.io/cinder", &disk.volume_id)
    } else {
        None
    }
}

/// The driver that took over an in-tree plugin, for plugins whose migration is always on.
pub fn migrated_driver(plugin: &str) -> Option<&'static str> {
    match plugin {
        "kubernetes.io/aws-ebs" => Some("ebs.csi.aws.com"),
        "kubernetes.io/gce-pd" => Some("pd.csi.storage.gke.io"),
        "kubernetes.io/azure-disk" => Some("disk.csi.azure.com"),
        "kubernetes.io/cinder" => Some("cinder.csi.openstack.org"),
        _ => None,
    }
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct ClassWire {
    provisioner: Name,
    volume_binding_mode: Name,
    allowed_topologies: Option<Vec<TopologyTermWire>>,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct TopologyTermWire {
    match_label_expressions: Option<Vec<TopologyExpressionWire>>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct TopologyExpressionWire {
    key: Name,
    values: Option<Vec<Name>>,
}

fn class(object: &Object) -> StorageClass {
    let wire: ClassWire = read(object);
    let terms = wire.allowed_topologies.unwrap_or_default();
    StorageClass {
        provisioner: wire.provisioner,
        waits: wire.volume_binding_mode == "WaitForFirstConsumer",
        topologies: terms
            .into_iter()
            .map(|term| {
                let expressions = term.match_label_expressions.unwrap_or_default();
                expressions
                    .into_iter()
                    .map(|entry| (entry.key, entry.values.unwrap_or_default()))
                    .collect()
            })
            .collect(),
    }
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct CsiNodeWire {
    drivers: Option<Vec<DriverWire>>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct DriverWire {
    name: Name,
    allocatable: Option<AllocatableWire>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct AllocatableWire {
    count: Option<i64>,
}

fn volume_limits(object: &Object) -> Arc<[(Name, i64)]> {
    let wire: Spec<CsiNodeWire> = read(object);
    let drivers = wire.spec.drivers.unwrap_or_default();
    drivers
        .into_iter()
        .filter_map(|driver| Some((driver.name, driver.allocatable?.count?)))
        .collect()
}
