//! How long a rehearsal of a large cluster keeps somebody waiting.
//!
//! `cargo bench --bench rehearse` prints one JSON line a size: the fork itself, then steps, each
//! until nothing is due any more, and the outcome. Pods are padded to the size that they have on
//! servers. Pass a size (`5000 100000`) to measure only that, or the file of a kept cluster
//! (`…/store.redb`, whose server must not run) to fork what is in it.

#![expect(
    clippy::unwrap_used,
    reason = "a benchmark that cannot be set up has nothing to say"
)]
#![expect(clippy::print_stdout, reason = "results go to the standard output")]

use std::path::Path;
use std::sync::Arc;

use bayplan::k8s::{Cluster, Object, Resource, resources};
use bayplan::rehearse::{Fork, Options, Step};
use bayplan::serve::journal::Journal;
use bayplan::stdx::clock;
use serde_json::{Value, json};

const PODS_EACH: usize = 20;
const RACKS: usize = 100;
/// Bytes of a pod, as clusters of this size have been reported to hold.
const POD_BYTES: usize = 5_800;

fn main() {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let paths = words.iter().map(Path::new);
    if let Some(store) = paths.into_iter().find(|path| path.is_file()) {
        let (cluster, kept) = kept(store);
        println!("{}", measure(&cluster, cluster.nodes().count(), &kept));
        return;
    }
    let sizes: Vec<usize> = words.iter().filter_map(|word| word.parse().ok()).collect();
    let sizes = match sizes.as_slice() {
        [nodes, pods] => vec![(*nodes, *pods)],
        _ => vec![(1_000, 20_000), (5_000, 100_000)],
    };
    for (nodes, pods) in sizes {
        let (cluster, prepared) = prepare(nodes, pods);
        println!("{}", measure(&cluster, nodes, &prepared));
    }
}

fn measure(cluster: &Cluster, nodes: usize, prepared: &Options) -> Value {
    let (mut fork, fork_ms) = timed(|| Fork::of(cluster, prepared.clone(), Vec::new()));
    let moved = |fork: &mut Fork, text: &str| {
        let step = Step::parse(text, "default").unwrap();
        let (moved, took) = timed(|| fork.take(&step).unwrap().effects.moved.len());
        json!({"step": text, "ms": took, "moved": moved})
    };
    let deployment = cluster.list(&resources::DEPLOYMENTS).next().unwrap();
    let mut machines = cluster.nodes();
    let (drained, lost) = (machines.next().unwrap(), machines.last().unwrap());
    let rack = lost.labels.get("topology.bayplan.dev/rack").unwrap();
    let scale = format!("scale deploy/{}={}", deployment.name(), PODS_EACH + 500);
    let scale = format!("{scale} -n {}", deployment.namespace());
    let steps = [
        moved(&mut fork, &scale),
        moved(&mut fork, &format!("drain {}", drained.name())),
        moved(&mut fork, &format!("lose rack={rack}")),
    ];
    let (_, clone_ms) = timed(|| fork.clone());
    let (_, outcome_ms) = timed(|| fork.so_far(0));
    json!({
        "bench": "rehearse", "nodes": nodes, "pods": cluster.pods().count(),
        "fork_ms": fork_ms, "clone_ms": clone_ms, "outcome_ms": outcome_ms, "steps": steps,
    })
}

fn timed<T>(run: impl FnOnce() -> T) -> (T, u64) {
    let began = clock::instant();
    let value = run();
    let took = u64::try_from(began.elapsed().as_millis()).unwrap();
    (value, took)
}

/// What a server has written down.
fn kept(store: &Path) -> (Cluster, Options) {
    let (_journal, restored) = Journal::open(store).unwrap();
    let mut cluster = Cluster::default();
    for object in &restored.objects {
        cluster.insert(object);
    }
    let options = Options {
        source: "bench".to_owned(),
        seed: 1,
        now: clock::now(),
    };
    (cluster, options)
}

/// A cluster whose pods run, made by a fork of one that has none.
fn prepare(nodes: usize, pods: usize) -> (Cluster, Options) {
    let mut bare = Cluster::default();
    for number in 0..nodes {
        put(&mut bare, resources::NODES, &node(number));
    }
    for number in 0..pods / PODS_EACH {
        put(&mut bare, resources::DEPLOYMENTS, &deployment(number));
    }
    let options = |now| Options {
        source: "bench".to_owned(),
        seed: 1,
        now,
    };
    let start = "2026-03-01T00:00:00Z".parse().unwrap();
    let mut fork = Fork::of(&bare, options(start), Vec::new());
    fork.take(&Step::parse("wait 10m", "default").unwrap())
        .unwrap();
    let mut cluster = fork.cluster().clone();
    let small: Vec<Arc<Object>> = cluster.pods().cloned().collect();
    for pod in small {
        let mut json = pod.json();
        let missing = POD_BYTES.saturating_sub(pod.body.size());
        json.pointer_mut("/metadata")
            .unwrap()
            .as_object_mut()
            .unwrap()
            .insert(
                "annotations".to_owned(),
                json!({"padding": "x".repeat(missing)}),
            );
        put(&mut cluster, resources::PODS, &json);
    }
    (cluster, options(fork.now()))
}

fn put(cluster: &mut Cluster, resource: Resource, json: &Value) {
    let object = Object::from_json(resource, json).unwrap();
    cluster.insert(&Arc::new(object));
}

fn node(number: usize) -> Value {
    let name = format!("m-{number}");
    let rack = number % RACKS;
    let room = json!({"cpu": "32", "memory": "128Gi", "pods": "110"});
    json!({
        "apiVersion": "v1", "kind": "Node",
        "metadata": {"name": name, "uid": format!("node-{number}"), "resourceVersion": "1",
            "creationTimestamp": "2026-02-01T00:00:00Z",
            "labels": {
                "kubernetes.io/hostname": name,
                "topology.kubernetes.io/zone": format!("z-{}", rack % 3),
                "topology.bayplan.dev/rack": format!("r-{rack}"),
            }},
        "spec": {"podCIDR": format!("10.{}.{}.0/24", number / 256, number % 256)},
        "status": {"capacity": room, "allocatable": room,
            "conditions": [{"type": "Ready", "status": "True", "reason": "KubeletReady",
                "message": "", "lastHeartbeatTime": "2026-02-01T00:00:00Z",
                "lastTransitionTime": "2026-02-01T00:00:00Z"}]},
    })
}

fn deployment(number: usize) -> Value {
    let name = format!("service-{number}");
    let labels = json!({"app": name});
    json!({
        "apiVersion": "apps/v1", "kind": "Deployment",
        "metadata": {"name": name, "namespace": "default", "uid": format!("deploy-{number}"),
            "resourceVersion": "1", "generation": 1,
            "creationTimestamp": "2026-02-01T00:00:00Z"},
        "spec": {"replicas": PODS_EACH, "selector": {"matchLabels": labels},
            "strategy": {"type": "RollingUpdate",
                "rollingUpdate": {"maxSurge": "25%", "maxUnavailable": "25%"}},
            "revisionHistoryLimit": 10, "progressDeadlineSeconds": 600,
            "template": {"metadata": {"labels": labels}, "spec": {
                "restartPolicy": "Always", "terminationGracePeriodSeconds": 30,
                "dnsPolicy": "ClusterFirst", "schedulerName": "default-scheduler",
                "securityContext": {},
                "containers": [{"name": "app", "image": "app:1", "imagePullPolicy": "IfNotPresent",
                    "terminationMessagePath": "/dev/termination-log",
                    "terminationMessagePolicy": "File",
                    "resources": {"requests": {"cpu": "500m", "memory": "1Gi"}}}]}}},
    })
}
