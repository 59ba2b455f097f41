//! The trace through the scheduler itself: nodes and pods as objects, the plugin `GpuShare` over
//! kube-scheduler's profile, ties by a seed, and nothing known but the pods that run.

use std::sync::Arc;
use std::time::Instant;

use bayplan::k8s::{Cluster, Object, resources};
use bayplan::sched::{Configuration, PlaceOptions, PlaceOrder, Profile, Snapshot};
use bayplan::stdx::rng::Stream;
use serde_json::{Value, json};

use super::trace::{Machine, Pod};
use super::{arrivals_by, rounded, shuffle, spread};

/// Each takes seconds.
const SEEDS: std::ops::RangeInclusive<u64> = 42..=44;
const PREFIX: &str = "alibabacloud.com/gpu";

/// All seeds, as one line.
pub fn measure(workload: &str, machines: &[Machine], pods: &[Pod]) {
    let mut allocated = Vec::new();
    let mut longest = 0.0_f64;
    for seed in SEEDS {
        let (percent, micros) = replay(machines, pods, seed);
        allocated.push(percent);
        longest = longest.max(micros);
    }
    let (mean, deviation) = spread(&allocated);
    println!(
        "{}",
        json!({"case": format!("openb/{workload}/GpuShare/130"), "gpu_allocated_percent": rounded(mean),
            "deviation": rounded(deviation), "us_a_pod": rounded(longest)})
    );
    println!(
        "{:<14} {:>4} %  {mean:>6.2} ± {deviation:<5.2}  {:>14}  the scheduler, {longest:.0} µs a pod",
        "GpuShare", 130, "-"
    );
}

/// GPU allocated in percent of all, and microseconds a pod.
fn replay(machines: &[Machine], pods: &[Pod], seed: u64) -> (f64, f64) {
    let mut random = Stream::new(seed, "openb");
    let mut order: Vec<&Machine> = machines.iter().collect();
    shuffle(&mut order, &mut random);
    let mut cluster = Cluster::default();
    for (number, machine) in order.into_iter().enumerate() {
        if let Ok(object) = Object::from_json(resources::NODES, &node(machine, number)) {
            cluster.insert(&Arc::new(object));
        }
    }
    let total: i64 = machines.iter().map(|machine| machine.devices * 1000).sum();
    let milli = |pod: &Pod| pod.devices * pod.gpu_milli;
    let arrivals: Vec<Arc<Object>> = arrivals_by(pods, total, milli, &mut random)
        .into_iter()
        .enumerate()
        .filter_map(|(number, source)| {
            let object = Object::from_json(resources::PODS, &pod(source, number));
            object.ok().map(Arc::new)
        })
        .collect();
    let configuration = Configuration {
        profiles: vec![Profile::with_gpu_share("default-scheduler")],
    };
    let snapshot = Snapshot::with(&cluster, configuration);
    let options = PlaceOptions {
        seed,
        order: PlaceOrder::AsGiven,
    };
    let start = Instant::now();
    let placement = snapshot.place(&arrivals, options);
    let micros = start.elapsed().as_secs_f64() * 1e6 / arrivals.len() as f64;
    let idle: i64 = placement.after.nodes().flat_map(|node| &node.gpus).sum();
    ((total - idle) as f64 * 100.0 / total as f64, micros)
}

fn node(machine: &Machine, number: usize) -> Value {
    json!({"metadata": {"name": format!("n{number:04}"),
            "labels": {format!("{PREFIX}-card-model"): machine.model}},
        "status": {"allocatable": {"cpu": format!("{}m", machine.cpu_milli),
            "memory": format!("{}Mi", machine.memory_mib), "pods": super::PODS_A_NODE.to_string(),
            format!("{PREFIX}-count"): machine.devices.to_string()}}})
}

fn pod(pod: &Pod, number: usize) -> Value {
    let mut annotations = json!({});
    if pod.devices > 0 {
        annotations[format!("{PREFIX}-milli")] = json!(pod.gpu_milli.to_string());
        annotations[format!("{PREFIX}-count")] = json!(pod.devices.to_string());
        annotations[format!("{PREFIX}-card-model")] = json!(pod.models.join("|"));
    }
    let requests = json!({"cpu": format!("{}m", pod.cpu_milli),
        "memory": format!("{}Mi", pod.memory_mib)});
    json!({"metadata": {"namespace": "openb", "name": format!("p{number}"), "annotations": annotations},
        "spec": {"containers": [{"name": "c", "resources": {"requests": requests}}]}})
}
