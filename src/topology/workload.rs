//! Whose pod is it: the workload behind a pod, and its lasting identity.
//!
//! A pod's workload is its top controller: the `Deployment` behind a `ReplicaSet`, the `CronJob`
//! behind a `Job`, any other controlling owner, and the pod itself where nobody controls it.

use serde::Deserialize;

use crate::k8s::{Cluster, Name, Object, OwnerRef, Resource, resources};

/// How many hues identities are told apart by.
pub const HUES: u8 = 12;

/// The annotation that says how many ready replicas a workload needs to make progress.
pub const QUORUM_ANNOTATION: &str = "topology.bayplan.dev/quorum";

#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct WorkloadKey {
    pub namespace: Name,
    pub kind: Name,
    pub name: Name,
}

/// What losing a pod of it means.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Class {
    /// Replicas that serve together: deployments, stateful sets and what resembles them.
    Service,
    /// Jobs: a lost pod is run again.
    Batch,
    /// A pod that nobody will replace.
    Bare,
    /// One pod a node: it goes with its node and is not displaced.
    Daemon,
    /// Mirrors of a node's own manifests: they go with their node too.
    Static,
}

#[derive(Clone, Debug)]
pub struct Workload {
    pub key: WorkloadKey,
    pub class: Class,
    /// 0..[`HUES`]; the same in every view and every session.
    pub hue: u8,
    /// Live pods, pending ones included.
    pub replicas: u32,
    pub ready: u32,
    /// `spec.replicas`, where the workload's kind has it and the object is known.
    pub desired: Option<u32>,
    /// Ready replicas that it needs to make progress.
    pub quorum: Option<u32>,
}

impl Workload {
    pub fn is_displaced_with_its_node(&self) -> bool {
        !matches!(self.class, Class::Daemon | Class::Static)
    }
}

/// A stable hue from an identity: FNV-1a over `namespace/kind/name`.
pub fn hue(namespace: &str, kind: &str, name: &str) -> u8 {
    let parts = [namespace, "/", kind, "/", name];
    let hash = parts
        .iter()
        .flat_map(|part| part.bytes())
        .fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
        });
    u8::try_from((hash ^ (hash >> 32)) % u64::from(HUES)).unwrap_or_default()
}

/// The workload of a pod; see the module's text.
pub fn workload_of(cluster: &Cluster, pod: &Object) -> WorkloadKey {
    let Some(owner) = pod.controller() else {
        return key(pod, "Pod", pod.name());
    };
    let above = match owner.kind.as_str() {
        "ReplicaSet" => top_of(cluster, pod, owner, &resources::REPLICA_SETS),
        "Job" => top_of(cluster, pod, owner, &resources::JOBS),
        _ => None,
    };
    if let Some(above) = above {
        return above;
    }
    // Without the ReplicaSet at hand (a console that may not list them), its name still tells: a
    // Deployment names it after itself and the hash of the template, which the pod carries.
    if owner.kind == "ReplicaSet"
        && cluster
            .find(&resources::REPLICA_SETS, pod.namespace(), &owner.name)
            .is_none()
        && let Some(hash) = pod.labels.get("pod-template-hash")
        && let Some(name) = owner
            .name
            .strip_suffix(hash.as_str())
            .and_then(|rest| rest.strip_suffix('-'))
    {
        return key(pod, "Deployment", name);
    }
    key(pod, &owner.kind, &owner.name)
}

fn top_of(
    cluster: &Cluster,
    pod: &Object,
    owner: &OwnerRef,
    resource: &Resource,
) -> Option<WorkloadKey> {
    let object = cluster.find(resource, pod.namespace(), &owner.name)?;
    let above = object.controller()?;
    (object.uid == owner.uid).then(|| key(pod, &above.kind, &above.name))
}

fn key(pod: &Object, kind: &str, name: &str) -> WorkloadKey {
    WorkloadKey {
        namespace: pod.key.namespace.clone(),
        kind: Name::new(kind),
        name: Name::new(name),
    }
}

impl WorkloadKey {
    pub fn class(&self) -> Class {
        match self.kind.as_str() {
            "Pod" => Class::Bare,
            "DaemonSet" => Class::Daemon,
            "Node" => Class::Static,
            "Job" | "CronJob" => Class::Batch,
            _ => Class::Service,
        }
    }

    pub fn hue(&self) -> u8 {
        hue(&self.namespace, &self.kind, &self.name)
    }

    /// The built-in resource type of this kind of workload.
    pub fn resource(&self) -> Option<Resource> {
        match self.kind.as_str() {
            "Deployment" => Some(resources::DEPLOYMENTS),
            "StatefulSet" => Some(resources::STATEFUL_SETS),
            "ReplicaSet" => Some(resources::REPLICA_SETS),
            "ReplicationController" => Some(resources::REPLICATION_CONTROLLERS),
            "DaemonSet" => Some(resources::DAEMON_SETS),
            "Job" => Some(resources::JOBS),
            "CronJob" => Some(resources::CRON_JOBS),
            "Pod" => Some(resources::PODS),
            _ => None,
        }
    }
}

/// `shop/cart`.
impl std::fmt::Display for WorkloadKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}", self.namespace, self.name)
    }
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct ScaledWire {
    metadata: ScaledMetadataWire,
    spec: ScaledSpecWire,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct ScaledMetadataWire {
    annotations: Option<std::collections::BTreeMap<Name, Name>>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct ScaledSpecWire {
    replicas: Option<u32>,
}

/// Desired replicas and quorum of a workload.
///
/// The quorum is what the annotation [`QUORUM_ANNOTATION`] says; without one, a `StatefulSet` of an
/// odd number of replicas above two is taken for a voting group that needs its majority.
pub fn desired_and_quorum(cluster: &Cluster, key: &WorkloadKey) -> (Option<u32>, Option<u32>) {
    let scaled = matches!(
        key.kind.as_str(),
        "Deployment" | "StatefulSet" | "ReplicaSet" | "ReplicationController"
    );
    let object = key
        .resource()
        .filter(|_| scaled)
        .and_then(|resource| cluster.find(&resource, &key.namespace, &key.name));
    let Some(object) = object else {
        return (None, None);
    };
    let wire: ScaledWire = serde_json::from_slice(&object.bytes()).unwrap_or_default();
    let desired = wire.spec.replicas.unwrap_or(1);
    let declared = wire
        .metadata
        .annotations
        .as_ref()
        .and_then(|annotations| annotations.get(QUORUM_ANNOTATION))
        .and_then(|text| text.parse().ok());
    let majority =
        (key.kind == "StatefulSet" && desired > 2 && desired % 2 == 1).then_some(desired / 2 + 1);
    (Some(desired), declared.or(majority))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::k8s::build::{cluster, deployment, object, pod, replica_set, stateful_set};

    #[track_caller]
    fn check(pod: &crate::k8s::build::Draft, known: &[crate::k8s::build::Draft], expected: &str) {
        let key = workload_of(&cluster(known), &pod.build());
        assert_eq!(
            format!("{} {}/{}", key.kind, key.namespace, key.name),
            expected
        );
    }

    #[test]
    fn the_top_controller_is_the_workload() {
        let replicated = pod("shop/web-abc-1").owner("ReplicaSet", "web-abc");
        check(&pod("shop/one"), &[], "Pod shop/one");
        check(&replicated, &[], "ReplicaSet shop/web-abc");
        check(
            &replicated,
            &[replica_set("shop/web-abc").owner("Deployment", "web")],
            "Deployment shop/web",
        );
        check(
            &replicated,
            &[replica_set("shop/web-abc")],
            "ReplicaSet shop/web-abc",
        );
        check(
            &replicated.clone().label("pod-template-hash", "abc"),
            &[],
            "Deployment shop/web",
        );
        let job = object(resources::JOBS, "batch/v1", "Job", "shop/nightly-1");
        check(
            &pod("shop/nightly-1-x").owner("Job", "nightly-1"),
            &[job.owner("CronJob", "nightly")],
            "CronJob shop/nightly",
        );
        check(
            &pod("kube-system/etcd-n1").owner("Node", "n1"),
            &[],
            "Node kube-system/n1",
        );
    }

    #[test]
    fn hues_are_stable_and_spread() {
        assert_eq!(
            hue("shop", "Deployment", "cart"),
            hue("shop", "Deployment", "cart")
        );
        let mut seen = [0_u32; HUES as usize];
        for number in 0..1200 {
            seen[usize::from(hue("shop", "Deployment", &format!("service-{number}")))] += 1;
        }
        assert!(
            seen.iter().all(|count| (50..200).contains(count)),
            "{seen:?}"
        );
    }

    #[test]
    fn quorum_is_declared_or_the_majority_of_an_odd_stateful_set() {
        let rows = [
            (stateful_set("db").replicas(3), "StatefulSet", Some(2)),
            (stateful_set("db").replicas(5), "StatefulSet", Some(3)),
            (stateful_set("db").replicas(4), "StatefulSet", None),
            (stateful_set("db").replicas(1), "StatefulSet", None),
            (deployment("db").replicas(3), "Deployment", None),
            (
                deployment("db")
                    .replicas(4)
                    .annotation(QUORUM_ANNOTATION, "3"),
                "Deployment",
                Some(3),
            ),
        ];
        for (draft, kind, expected) in rows {
            let key = WorkloadKey {
                namespace: "default".into(),
                kind: kind.into(),
                name: "db".into(),
            };
            assert_eq!(desired_and_quorum(&cluster([&draft]), &key).1, expected);
        }
    }
}
