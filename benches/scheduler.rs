//! What a decision costs, and how that grows with the number of nodes.
//!
//! One JSON line a case. Every case but the last schedules pods of 50 templates on nodes that run
//! ten pods each; decisions are those of scoring every node. The time is that of the scheduler
//! alone: taking a pod from the queue, deciding, counting it on its node, and taking in what others
//! do to the cluster; no API server and no binding, as in the figures for the real kube-scheduler.
//! All of it runs on one thread: `threads` says so in every line.
//! `cargo bench --bench scheduler -- a 5000` runs one case at one size.

#![expect(clippy::print_stdout, reason = "the lines are the result")]
#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a benchmark")]

use std::sync::Arc;
use std::time::Duration;

use bayplan::k8s::{Change, ChangeKind, Cluster, Object, ObjectKey, resources};
use bayplan::sched::{Configuration, CycleOutcome, Scheduler, Snapshot};
use bayplan::stdx::clock::instant;
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

const TEMPLATES: usize = 50;

fn main() {
    let arguments: Vec<String> = std::env::args()
        .skip(1)
        .filter(|argument| !argument.starts_with('-'))
        .collect();
    let wanted = |case: &str, nodes: usize| {
        arguments.first().is_none_or(|name| name == case)
            && arguments
                .get(1)
                .is_none_or(|size| *size == nodes.to_string())
    };
    for nodes in [1_000, 5_000, 15_000] {
        for (case, pods) in [("a", 20_000), ("b", 10_000), ("c", 10_000), ("d", 10_000)] {
            if wanted(case, nodes) {
                schedule(case, nodes, pods.min(nodes * 5));
            }
        }
        if wanted("f", nodes) {
            explain(nodes);
        }
    }
    if wanted("e", 5_000) {
        schedule("e", 5_000, 150_000);
    }
}

fn node(number: usize) -> Object {
    let name = format!("n{number:05}");
    let zone = format!("z{}", number % 3);
    let rack = format!("r{}", number / 40);
    let mut taints = vec![];
    if number % 20 == 7 {
        taints.push(json!({"key": "dedicated", "value": "batch", "effect": "NoSchedule"}));
    }
    let disk = if number.is_multiple_of(4) {
        "hdd"
    } else {
        "ssd"
    };
    let json = json!({"metadata": {"name": name, "labels": {"kubernetes.io/hostname": name,
            "topology.kubernetes.io/zone": zone, "rack": rack, "disk": disk}},
        "spec": {"taints": taints},
        "status": {"allocatable": {"cpu": "64", "memory": "256Gi", "pods": "110"}}});
    Object::from_json(resources::NODES, &json).unwrap()
}

/// What the pods of a template look like in a case.
fn template(case: &str, number: usize) -> Value {
    let app = format!("app{number}");
    // No two alike: pods that differ in labels alone would share a template where nobody reads them.
    let cpu = format!("{}m", 100 + 10 * number);
    let memory = format!("{}Mi", 128 << (number % 4));
    let mut spec = json!({"containers": [{"name": "main", "image": "registry.local/app:1",
        "resources": {"requests": {"cpu": cpu, "memory": memory}}}]});
    let selector = json!({"matchLabels": {"app": app}});
    let zone = "topology.kubernetes.io/zone";
    let hostname = "kubernetes.io/hostname";
    let spread = json!([{"maxSkew": 5, "topologyKey": zone, "whenUnsatisfiable": "DoNotSchedule",
                         "labelSelector": selector}]);
    let apart = json!({"podAntiAffinity": {"preferredDuringSchedulingIgnoredDuringExecution":
        [{"weight": 100, "podAffinityTerm": {"topologyKey": hostname, "labelSelector": selector}}]}});
    match case {
        "b" => {
            spec["topologySpreadConstraints"] = spread;
            spec["affinity"] = apart;
        }
        "c" => {
            spec["affinity"] = json!({"podAntiAffinity":
                {"requiredDuringSchedulingIgnoredDuringExecution":
                    [{"topologyKey": hostname, "labelSelector": selector}]}});
        }
        "d" => {
            if number.is_multiple_of(3) {
                spec["tolerations"] = json!([{"key": "dedicated", "operator": "Exists"}]);
            }
            if number % 5 == 1 {
                spec["affinity"] = json!({"nodeAffinity":
                    {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms":
                        [{"matchExpressions": [{"key": "disk", "operator": "In", "values": ["ssd"]}]}]}}});
            }
            if number % 5 == 2 {
                spec["topologySpreadConstraints"] = spread;
            }
            if number % 5 == 3 {
                spec["priority"] = json!(1000);
                spec["containers"][0]["resources"]["requests"]["cpu"] = json!("10");
            }
        }
        "e" if number.is_multiple_of(10) => spec["topologySpreadConstraints"] = spread,
        "e" if number % 10 == 5 => spec["affinity"] = apart,
        _ => {}
    }
    json!({"metadata": {"namespace": "shop", "labels": {"app": app}}, "spec": spec})
}

fn named(template: &Value, name: &str, node: Option<&str>) -> Arc<Object> {
    let mut json = template.clone();
    json["metadata"]["name"] = json!(name);
    json["metadata"]["uid"] = json!(name);
    if let Some(node) = node {
        json["spec"]["nodeName"] = json!(node);
        json["status"] = json!({"phase": "Running", "startTime": "2026-01-01T00:00:00Z"});
    }
    Arc::new(Object::from_json(resources::PODS, &json).unwrap())
}

fn fleet(case: &str, nodes: usize) -> Cluster {
    let mut cluster = Cluster::default();
    // Nearly full in the mixed case, so that large pods must preempt.
    let cpu = if case == "d" { "5500m" } else { "500m" };
    let resident = json!({"metadata": {"namespace": "base", "labels": {"app": "resident"}},
        "spec": {"containers": [{"name": "main", "image": "registry.local/base:1",
                 "resources": {"requests": {"cpu": cpu, "memory": "1Gi"}}}]}});
    for number in 0..nodes {
        let node = Arc::new(node(number));
        cluster.insert(&node);
        if case == "e" {
            continue;
        }
        for pod in 0..10 {
            let name = format!("resident-{number}-{pod}");
            cluster.insert(&named(&resident, &name, Some(node.name())));
        }
    }
    cluster
}

fn schedule(case: &str, nodes: usize, pods: usize) {
    reset_peak();
    let mut cluster = fleet(case, nodes);
    let templates: Vec<Value> = (0..TEMPLATES)
        .map(|number| template(case, number))
        .collect();
    let pending: Vec<Arc<Object>> = (0..pods)
        .map(|number| {
            let name = format!("pod-{number:06}");
            named(&templates[number % TEMPLATES], &name, None)
        })
        .collect();
    let mut scheduler = Scheduler::new(Configuration::default(), 1);
    let mut now = Timestamp::from_second(1_800_000_000).unwrap();
    let started = instant();
    assert!(scheduler.next(&cluster, now).is_none());
    let built = started.elapsed();
    let mut spent = Duration::ZERO;
    for pod in &pending {
        cluster.insert(pod);
        let change = Change {
            kind: ChangeKind::Added,
            object: Arc::clone(pod),
            previous: None,
        };
        let start = instant();
        scheduler.observe(&change);
        spent += start.elapsed();
    }
    let mut times: Vec<Duration> = Vec::with_capacity(pods);
    let (mut placed, mut refused) = (0, 0);
    let mut idle = 0;
    while placed < pods && idle < 20 {
        let start = instant();
        let cycle = scheduler.next(&cluster, now);
        let time = start.elapsed();
        spent += time;
        let Some(cycle) = cycle else {
            now = now.saturating_add(SignedDuration::from_secs(1)).unwrap();
            idle += 1;
            continue;
        };
        idle = 0;
        now = now
            .saturating_add(SignedDuration::from_micros(200))
            .unwrap();
        times.push(time);
        match &cycle.outcome {
            CycleOutcome::Assigned { node, .. } => {
                placed += 1;
                spent += bound(&mut scheduler, &mut cluster, &cycle.pod, node);
            }
            CycleOutcome::Unschedulable { victims, .. } => {
                refused += 1;
                for victim in victims {
                    let object = cluster.remove(&victim.pod).unwrap();
                    let change = Change {
                        kind: ChangeKind::Deleted,
                        previous: Some(Arc::clone(&object)),
                        object,
                    };
                    let start = instant();
                    scheduler.observe(&change);
                    spent += start.elapsed();
                }
            }
        }
    }
    times.sort_unstable();
    let at = |share: usize| times[(times.len() - 1) * share / 100].as_secs_f64() * 1e6;
    println!(
        "{}",
        json!({"case": case, "nodes": nodes, "threads": 1, "pods": placed, "refused": refused,
               "pods_per_s": (placed as f64 / spent.as_secs_f64()).round(),
               "p50_us": round(at(50)), "p99_us": round(at(99)),
               "seconds": round(spent.as_secs_f64()), "snapshot_ms": round(millis(built)),
               "peak_mib": peak_mib()})
    );
}

/// The binding as the scheduler sees it come back. The object's bytes are not rewritten here: its
/// parsed header is what the scheduler reads of the node's name.
fn bound(
    scheduler: &mut Scheduler,
    cluster: &mut Cluster,
    pod: &ObjectKey,
    node: &str,
) -> Duration {
    let previous = Arc::clone(cluster.get(pod).unwrap());
    let mut object = Object::clone(&previous);
    if let bayplan::k8s::columns::Columns::Pod(columns) = &mut object.columns {
        columns.node = Some(node.into());
    }
    let object = Arc::new(object);
    cluster.insert(&object);
    let change = Change {
        kind: ChangeKind::Modified,
        object,
        previous: Some(previous),
    };
    let start = instant();
    scheduler.observe(&change);
    start.elapsed()
}

fn explain(nodes: usize) {
    reset_peak();
    let cluster = fleet("b", nodes);
    let start = instant();
    let snapshot = Snapshot::of(&cluster);
    let built = start.elapsed();
    let mut times = Vec::new();
    for number in 0..20 {
        let pod = named(&template("b", number), "pod", None);
        let start = instant();
        let explanation = snapshot.explain(&pod).unwrap();
        times.push(start.elapsed());
        assert!(explanation.is_schedulable());
    }
    times.sort_unstable();
    println!(
        "{}",
        json!({"case": "f", "nodes": nodes, "threads": 1, "p50_us": round(millis(times[10]) * 1e3),
               "p99_us": round(millis(times[19]) * 1e3), "snapshot_ms": round(millis(built)),
               "peak_mib": peak_mib()})
    );
}

fn millis(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}

fn round(value: f64) -> f64 {
    (value * 100.0).round() / 100.0
}

/// Asks Linux to forget the highest memory use so far; without it the figure is the process's.
fn reset_peak() {
    let _ = std::fs::write("/proc/self/clear_refs", "5");
}

fn peak_mib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find(|line| line.starts_with("VmHWM:"));
    line.and_then(|line| line.split_whitespace().nth(1))
        .and_then(|kib| kib.parse::<u64>().ok())
        .map_or(0, |kib| kib / 1024)
}
