//! What a lost failure domain costs: how long the scheduler takes to say where its pods would go.
//!
//! `cargo bench --bench losses` prints one JSON line a size. Every rack holds pods of nearly as many
//! services as it holds pods, as spread services do: the hard case, because no two pods share what
//! was learned about the other. Pass a size (`5000 100000`) to measure only that.

#![expect(
    clippy::unwrap_used,
    reason = "a benchmark that cannot be set up has nothing to say"
)]
#![expect(clippy::print_stdout, reason = "results go to the standard output")]

use std::sync::Arc;

use bayplan::k8s::{Cluster, Name, Object, Resource, resources};
use bayplan::sched::{PlaceOptions, Snapshot};
use bayplan::stdx::clock;
use serde_json::{Value, json};

const PODS_EACH: usize = 20;
const NODES_A_RACK: usize = 49;
const NAMESPACES: usize = 24;
/// Every so many services have a Service.
const SERVED: usize = 5;

fn main() {
    let sizes: Vec<usize> = std::env::args()
        .filter_map(|word| word.parse().ok())
        .collect();
    let sizes = match sizes.as_slice() {
        [nodes, pods] => vec![(*nodes, *pods)],
        _ => vec![(1_000, 20_000), (5_000, 100_000)],
    };
    for (nodes, pods) in sizes {
        println!("{}", measure(nodes, pods));
    }
}

fn measure(nodes: usize, pods: usize) -> Value {
    let cluster = fleet(nodes, pods);
    let (snapshot, read_ms) = timed(|| Snapshot::of(&cluster));
    let racks: Vec<Vec<Name>> = (0..nodes.div_ceil(NODES_A_RACK))
        .map(|rack| {
            let first = rack * NODES_A_RACK;
            let names = first..(first + NODES_A_RACK).min(nodes);
            names.map(|number| Name::from(machine(number))).collect()
        })
        .collect();
    let mut each: Vec<f64> = Vec::new();
    let mut placed = 0;
    for rack in &racks {
        let ((found, _), took) = timed(|| {
            let (without, displaced) = snapshot.without_nodes(rack);
            let placement = without.place(&displaced, PlaceOptions::default());
            (placement.placed.len(), placement.refused.len())
        });
        placed += found;
        each.push(took);
    }
    each.sort_by(f64::total_cmp);
    json!({
        "bench": "losses", "nodes": nodes, "pods": cluster.pods().count(), "racks": racks.len(),
        "read_ms": read_ms, "rack_ms_median": each.get(each.len() / 2), "rack_ms_most": each.last(),
        "all_racks_ms": each.iter().sum::<f64>(), "placed": placed,
    })
}

fn timed<T>(run: impl FnOnce() -> T) -> (T, f64) {
    let began = clock::instant();
    let value = run();
    (value, began.elapsed().as_secs_f64() * 1000.0)
}

/// Services of twenty pods each, dealt out over the machines so that a rack has pods of many.
fn fleet(nodes: usize, pods: usize) -> Cluster {
    let mut cluster = Cluster::default();
    for number in 0..NAMESPACES {
        put(
            &mut cluster,
            resources::NAMESPACES,
            &json!({
                "metadata": {"name": namespace(number), "labels": {"kubernetes.io/metadata.name": namespace(number)}},
            }),
        );
    }
    for number in 0..nodes {
        put(&mut cluster, resources::NODES, &node(number));
    }
    for service in 0..pods / PODS_EACH {
        put(&mut cluster, resources::REPLICA_SETS, &replica_set(service));
        if service % SERVED == 0 {
            put(
                &mut cluster,
                resources::SERVICES,
                &json!({
                    "metadata": {"name": format!("service-{service}"), "namespace": namespace(service)},
                    "spec": {"selector": {"app": format!("service-{service}")}},
                }),
            );
        }
        for replica in 0..PODS_EACH {
            // A step that is prime to the number of machines: neighbours are far apart.
            let at = (service * PODS_EACH + replica) * 1_237 % nodes;
            put(&mut cluster, resources::PODS, &pod(service, replica, at));
        }
    }
    cluster
}

fn put(cluster: &mut Cluster, resource: Resource, json: &Value) {
    let object = Object::from_json(resource, json).unwrap();
    cluster.insert(&Arc::new(object));
}

fn machine(number: usize) -> String {
    format!("m-{number:05}")
}

fn namespace(service: usize) -> String {
    format!("team-{:02}", service % NAMESPACES)
}

fn node(number: usize) -> Value {
    let name = machine(number);
    let rack = number / NODES_A_RACK;
    let room = json!({"cpu": "32", "memory": "128Gi", "pods": "110"});
    json!({
        "metadata": {"name": name, "uid": name, "labels": {
            "kubernetes.io/hostname": name,
            "topology.kubernetes.io/zone": format!("z-{}", rack % 3),
            "topology.bayplan.dev/rack": format!("r-{rack}"),
        }},
        "status": {"capacity": room, "allocatable": room},
    })
}

fn replica_set(service: usize) -> Value {
    let name = format!("service-{service}-6c9f8");
    json!({
        "metadata": {"name": name, "namespace": namespace(service), "uid": name},
        "spec": {"replicas": PODS_EACH, "selector": {"matchLabels": labels(service)}},
    })
}

fn labels(service: usize) -> Value {
    json!({"app": format!("service-{service}"), "pod-template-hash": "6c9f8"})
}

fn pod(service: usize, replica: usize, at: usize) -> Value {
    let set = format!("service-{service}-6c9f8");
    let name = format!("{set}-{replica:02}");
    let (cpu, memory) = match service % 4 {
        0 => ("250m", "512Mi"),
        1 => ("500m", "2Gi"),
        2 => ("1", "3Gi"),
        _ => ("2", "8Gi"),
    };
    json!({
        "metadata": {"name": name, "namespace": namespace(service), "uid": name, "labels": labels(service),
            "ownerReferences": [{"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": set, "uid": set, "controller": true}],
            "annotations": {"padding": "x".repeat(4_500)}},
        "spec": {"nodeName": machine(at), "schedulerName": "default-scheduler",
            "containers": [
                {"name": "app", "image": format!("registry.example.org/{service}:1"),
                    "resources": {"requests": {"cpu": cpu, "memory": memory}}},
                {"name": "proxy", "image": "registry.example.org/proxy:1",
                    "resources": {"requests": {"cpu": "100m", "memory": "128Mi"}}},
            ]},
        "status": {"phase": "Running"},
    })
}
