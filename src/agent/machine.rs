//! One simulated machine: its lease, its node status, its images and its pod addresses.
//!
//! Sources: the kubelet's defaults (a lease of 40 s renewed every 10 s, status reported every 5 min
//! when unchanged, at most 50 images in the status) and its reasons and messages.

mod addresses;

use std::collections::{BTreeMap, BTreeSet};

use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use super::delay::{self, draw};
use crate::k8s::op::{EventDraft, EventSeverity};
use crate::k8s::{
    Cluster, Name, Object, ObjectKey, Op, Patch, Preconditions, Propagation, Subresource, Uid,
    resources,
};
use addresses::Addresses;

/// How often a lease is renewed: a quarter of its 40 s.
pub const LEASE_INTERVAL: SignedDuration = SignedDuration::from_secs(10);
/// How far ahead a rehearsal's machine holds its lease: further than anybody rehearses.
pub const LEASE_HELD: SignedDuration = SignedDuration::from_hours(24 * 366);
const LEASE_SECONDS: u32 = 40;
const LEASE_NAMESPACE: &str = "kube-node-lease";
/// An unchanged status is reported again after this long (`nodeStatusReportFrequency`).
const HEARTBEAT: SignedDuration = SignedDuration::from_mins(5);
/// A changed one at most this often (`nodeStatusUpdateFrequency`).
const STATUS_INTERVAL: SignedDuration = SignedDuration::from_secs(10);
/// `nodeStatusMaxImages`.
const IMAGES_MAX: usize = 50;
const KUBELET_VERSION: &str = "v1.36.2";

/// How a machine is connected.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Link {
    Up,
    /// Partitioned: pods run on, nobody hears of it.
    Cut,
    /// Without power.
    Off,
}

#[derive(Clone, Debug)]
pub struct Machine {
    pub uid: Uid,
    pub name: Name,
    pub seed: u64,
    pub link: Link,
    pub down_since: Option<Timestamp>,
    pub addresses: Addresses,
    /// Pods that were taken, also those whose status does not say so yet.
    pub taken: BTreeSet<Uid>,
    /// From when on the kubelet posts.
    pub up_at: Timestamp,
    pub first_lease_at: Timestamp,
    pub heartbeat_at: Timestamp,
    posted_at: Option<Timestamp>,
    boots: u32,
    /// Image name to when it is (or will be) there.
    images: BTreeMap<Name, Timestamp>,
    images_changed: bool,
}

impl Machine {
    /// A machine as its Node object shows it.
    pub fn new(node: &Object, seed: u64, now: Timestamp) -> Self {
        let name = node.key.name.clone();
        let spread =
            |what: &str, most: u64| draw(seed, &format!("{name}/{what}"), delay::Between(0, most));
        let images = node.json().pointer("/status/images").map(image_names);
        let mut machine = Self {
            uid: node.uid.clone(),
            seed,
            link: Link::Up,
            down_since: None,
            addresses: Addresses::default(),
            taken: BTreeSet::new(),
            up_at: now + draw(seed, &format!("{name}/register"), delay::REGISTER),
            first_lease_at: whole_second(now + spread("lease", 9_999)),
            heartbeat_at: whole_second(now + spread("heartbeat", 299_999)),
            posted_at: None,
            boots: 0,
            images: images
                .unwrap_or_default()
                .into_iter()
                .map(|image| (image, Timestamp::MIN))
                .collect(),
            images_changed: false,
            name,
        };
        machine.set_pod_range(node);
        machine
    }

    /// A pod has ended or is gone: its address and its room are free.
    pub fn release(&mut self, uid: &Uid) {
        self.addresses.release(uid);
        self.taken.remove(uid);
    }

    pub fn set_pod_range(&mut self, node: &Object) {
        if let Some(columns) = node.node() {
            self.addresses.set_range(&columns.pod_cidr);
        }
    }

    /// Power is back: what was being pulled is lost, what was there is there.
    pub fn restart(&mut self, now: Timestamp) {
        self.boots += 1;
        self.images.retain(|_, at| *at <= now);
        let name = format!("{}/boot/{}", self.name, self.boots);
        self.up_at = now + draw(self.seed, &name, delay::BOOT);
    }

    /// When an image is or will be on this machine.
    pub fn image_at(&self, image: &str) -> Option<Timestamp> {
        self.images.get(image).copied()
    }

    pub fn add_image(&mut self, image: &Name, at: Timestamp) {
        self.images.insert(image.clone(), at);
        self.images_changed = true;
    }

    /// When the next status is due earlier than by heartbeat.
    pub fn status_due(&self, now: Timestamp) -> Option<Timestamp> {
        self.images_changed.then(|| {
            let earliest = self.posted_at.map_or(now, |at| at + STATUS_INTERVAL);
            earliest.max(now + SignedDuration::from_secs(2))
        })
    }

    /// Renews the lease, or creates it where there is none.
    pub fn lease(&self, cluster: &Cluster, name: &Name, now: Timestamp) -> Op {
        let renewed = micro(now);
        let key = lease_key(name);
        if cluster.get(&key).is_some() {
            return Op::Patch {
                key,
                subresource: None,
                patch: Patch::Merge(
                    json!({"spec": {"renewTime": renewed, "holderIdentity": name}}),
                ),
                if_match: Preconditions::default(),
            };
        }
        Op::Create {
            resource: resources::LEASES,
            namespace: Name::new_static(LEASE_NAMESPACE),
            object: json!({
                "apiVersion": "coordination.k8s.io/v1",
                "kind": "Lease",
                "metadata": {
                    "name": name,
                    "namespace": LEASE_NAMESPACE,
                    "ownerReferences": [{
                        "apiVersion": "v1", "kind": "Node", "name": name, "uid": self.uid,
                    }],
                },
                "spec": {
                    "holderIdentity": name,
                    "leaseDurationSeconds": LEASE_SECONDS,
                    "renewTime": renewed,
                },
            }),
        }
    }

    /// The whole node status as the kubelet would report it now, as a patch of what it owns.
    pub fn post_status(&mut self, node: &Object, now: Timestamp, ops: &mut Vec<Op>) {
        let json = node.json();
        let status = json.get("status").unwrap_or(&Value::Null);
        let mut conditions = conditions_of(status);
        let mut became_ready = false;
        for (kind, state, reason, message) in CONDITIONS {
            let turned = put_condition(&mut conditions, kind, state, reason, message, now);
            became_ready |= turned && kind == "Ready";
        }
        let mut own = json!({"conditions": conditions, "images": self.image_list(now)});
        self.add_identity(status, &mut own);
        ops.push(Op::Patch {
            key: node.key.clone(),
            subresource: Some(Subresource::Status),
            patch: Patch::Merge(json!({"status": own})),
            if_match: Preconditions {
                uid: Some(node.uid.clone()),
                revision: Some(node.revision),
            },
        });
        if became_ready {
            let message = format!("Node {} status is now: NodeReady", self.name);
            ops.push(self.event(node, EventSeverity::Normal, "NodeReady", message));
        }
        self.posted_at = Some(now);
        // A pull that is still running will be reported when it has ended.
        self.images_changed = self.images.values().any(|at| *at > now);
        self.heartbeat_at = whole_second(now + HEARTBEAT);
    }

    /// What the kubelet says about itself, where nobody has said it yet.
    fn add_identity(&self, status: &Value, own: &mut Value) {
        let Some(own) = own.as_object_mut() else {
            return;
        };
        let info = status.get("nodeInfo").unwrap_or(&Value::Null);
        let id = |what: &str| {
            crate::stdx::rng::Stream::new(self.seed, &format!("{}/{what}", self.name)).uuid()
        };
        let defaults = [
            ("architecture", "amd64".to_owned()),
            ("bootID", id(&format!("boot/{}", self.boots))),
            ("containerRuntimeVersion", "simulated://1".to_owned()),
            ("kernelVersion", "simulated".to_owned()),
            ("kubeProxyVersion", String::new()),
            ("kubeletVersion", KUBELET_VERSION.to_owned()),
            ("machineID", id("machine").replace('-', "")),
            ("operatingSystem", "linux".to_owned()),
            ("osImage", "simulated".to_owned()),
            ("systemUUID", id("system")),
        ];
        let mut missing: serde_json::Map<String, Value> = defaults
            .into_iter()
            .filter(|(field, _)| {
                info.get(field)
                    .and_then(Value::as_str)
                    .is_none_or(str::is_empty)
            })
            .map(|(field, value)| (field.to_owned(), Value::from(value)))
            .collect();
        if self.boots > 0 {
            let boot = id(&format!("boot/{}", self.boots));
            missing.insert("bootID".to_owned(), boot.into());
        }
        own.insert("nodeInfo".to_owned(), Value::Object(missing));
        if status
            .get("addresses")
            .and_then(Value::as_array)
            .is_none_or(Vec::is_empty)
        {
            let mut addresses = vec![json!({"type": "Hostname", "address": self.name})];
            if let Some(address) = self.addresses.machine() {
                addresses.insert(0, json!({"type": "InternalIP", "address": address}));
            }
            own.insert("addresses".to_owned(), Value::from(addresses));
        }
        if status
            .pointer("/daemonEndpoints/kubeletEndpoint/Port")
            .is_none()
        {
            own.insert(
                "daemonEndpoints".to_owned(),
                json!({"kubeletEndpoint": {"Port": 10250}}),
            );
        }
    }

    /// The images that are there, the largest first, as the kubelet reports them.
    fn image_list(&self, now: Timestamp) -> Vec<Value> {
        let mut images: Vec<(u64, &Name)> = self
            .images
            .iter()
            .filter(|(_, at)| **at <= now)
            .map(|(name, _)| (delay::image_bytes(name), name))
            .collect();
        images.sort_by(|(left, one), (right, other)| right.cmp(left).then(one.cmp(other)));
        images
            .into_iter()
            .take(IMAGES_MAX)
            .map(|(bytes, name)| json!({"names": [name], "sizeBytes": bytes}))
            .collect()
    }

    pub fn event_rebooted(&self, node: &Object) -> Op {
        let boot = format!("{}/boot/{}", self.name, self.boots);
        let id = crate::stdx::rng::Stream::new(self.seed, &boot).uuid();
        let message = format!("Node {} has been rebooted, boot id: {id}", self.name);
        self.event(node, EventSeverity::Warning, "Rebooted", message)
    }

    fn event(&self, node: &Object, severity: EventSeverity, reason: &str, message: String) -> Op {
        Op::Event(EventDraft {
            regarding: node.key.clone(),
            uid: node.uid.clone(),
            api_version: "v1".into(),
            kind: "Node".into(),
            field_path: Name::default(),
            severity,
            reason: reason.into(),
            message,
            reporter: "kubelet".into(),
            host: self.name.clone(),
        })
    }
}

fn lease_key(name: &str) -> ObjectKey {
    ObjectKey::new(resources::LEASES, LEASE_NAMESPACE, name)
}

pub fn has_lease(cluster: &Cluster, name: &str) -> bool {
    cluster.get(&lease_key(name)).is_some()
}

/// A held lease ends with its machine.
pub fn drop_lease(name: &str) -> Op {
    Op::Delete {
        key: lease_key(name),
        if_match: Preconditions::default(),
        propagation: Propagation::Background,
        grace_period_s: None,
    }
}

const CONDITIONS: [(&str, &str, &str, &str); 4] = [
    (
        "MemoryPressure",
        "False",
        "KubeletHasSufficientMemory",
        "kubelet has sufficient memory available",
    ),
    (
        "DiskPressure",
        "False",
        "KubeletHasNoDiskPressure",
        "kubelet has no disk pressure",
    ),
    (
        "PIDPressure",
        "False",
        "KubeletHasSufficientPID",
        "kubelet has sufficient PID available",
    ),
    (
        "Ready",
        "True",
        "KubeletReady",
        "kubelet is posting ready status",
    ),
];

fn conditions_of(status: &Value) -> Vec<Value> {
    status
        .get("conditions")
        .and_then(Value::as_array)
        .cloned()
        .unwrap_or_default()
}

/// Sets a node condition with its heartbeat; says whether its status turned.
fn put_condition(
    conditions: &mut Vec<Value>,
    kind: &str,
    state: &str,
    reason: &str,
    message: &str,
    now: Timestamp,
) -> bool {
    let found = conditions
        .iter_mut()
        .find(|entry| entry.get("type").and_then(Value::as_str) == Some(kind));
    let since = found
        .as_ref()
        .filter(|entry| entry.get("status").and_then(Value::as_str) == Some(state))
        .and_then(|entry| entry.get("lastTransitionTime").cloned());
    let turned = since.is_none();
    let entry = json!({
        "type": kind,
        "status": state,
        "lastHeartbeatTime": seconds(now),
        "lastTransitionTime": since.unwrap_or_else(|| seconds(now).into()),
        "reason": reason,
        "message": message,
    });
    match found {
        Some(place) => *place = entry,
        None => conditions.push(entry),
    }
    turned
}

fn image_names(images: &Value) -> Vec<Name> {
    let entries = images.as_array().map(Vec::as_slice).unwrap_or_default();
    entries
        .iter()
        .filter_map(|entry| entry.pointer("/names/0").and_then(Value::as_str))
        .map(Name::new)
        .collect()
}

/// What machines do regularly they do at whole seconds: the control plane then takes in a fleet's
/// renewals in one round a second rather than in as many rounds as there are machines.
pub fn whole_second(at: Timestamp) -> Timestamp {
    Timestamp::from_second(at.as_second()).unwrap_or(at)
}

/// `metav1.Time`: whole seconds.
pub fn seconds(at: Timestamp) -> String {
    at.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

/// `metav1.MicroTime`.
fn micro(at: Timestamp) -> String {
    at.strftime("%Y-%m-%dT%H:%M:%S%.6fZ").to_string()
}
