//! Alibaba's GPU trace of 2023 (openb): 1,213 nodes with 6,212 GPUs, and lists of pods that share
//! them.
//!
//! Ten seeds: machines and pods in random order, pods added or removed until they ask for 130 % of
//! the GPUs; each is placed or dropped and never leaves. GPU allocation, when 100 % and 130 % have
//! arrived, stands beside the mean and spread that the authors of FGD published. Last, the same pods go
//! through the scheduler with its plugin [`gpu_share`].

use std::path::Path;

use bayplan::packing::gpu::{Ask, Fleet, Mix, Node, Policy, shortage};
use bayplan::stdx::rng::Stream;
use serde_json::json;

use self::trace::{Machine, Pod, nodes, pods, rows};

#[path = "gpu_share.rs"]
mod gpu_share;
#[path = "openb_trace.rs"]
mod trace;

const WORKLOADS: [&str; 3] = ["default", "gpushare40", "multigpu50"];
const SEEDS: std::ops::RangeInclusive<u64> = 42..=51;
const DEMANDS: [i64; 2] = [100, 130];
const PODS_A_NODE: i64 = 1001;

/// All workloads, or the one that the first argument names; the second names a policy.
pub fn run(folder: &Path, arguments: &[String]) {
    let machines = nodes(&folder.join("openb_node_list_gpu_node.csv"));
    let mut models: Vec<&str> = machines.iter().map(|entry| entry.model.as_str()).collect();
    models.sort_unstable();
    models.dedup();
    let bit = |model: &str| models.iter().position(|name| *name == model);
    let mask = |model: &str| bit(model).map_or(1 << 31, |bit| 1_u32 << bit);
    let fleet: Vec<Node> = machines
        .iter()
        .map(|entry| node(entry, mask(&entry.model)))
        .collect();
    for name in WORKLOADS {
        if arguments.first().is_some_and(|wanted| wanted != name) {
            continue;
        }
        let pods = pods(&folder.join(format!("openb_pod_list_{name}.csv")));
        let asks: Vec<Ask> = pods.iter().map(|pod| ask(pod, &mask)).collect();
        match shortage::prove(&fleet, &asks) {
            Some(shortage) => println!("{name}: {}", shortage.words(&models)),
            None => println!("{name}: no shortage is proven"),
        }
        println!(
            "{:<14} {:>6}  {:>14}  {:>14}",
            "policy", "demand", "GPU allocation", "published"
        );
        for policy in Policy::ALL {
            if arguments
                .get(1)
                .is_none_or(|wanted| wanted == policy.name())
            {
                measure(folder, name, policy, &fleet, &asks);
            }
        }
        if arguments.get(1).is_none_or(|wanted| wanted == "GpuShare") {
            gpu_share::measure(name, &machines, &pods);
        }
    }
}

fn node(machine: &Machine, model: u32) -> Node {
    let devices = usize::try_from(machine.devices).unwrap_or(0);
    Node::empty(
        machine.cpu_milli,
        machine.memory_mib,
        PODS_A_NODE,
        devices,
        model,
    )
}

fn ask(pod: &Pod, mask: &impl Fn(&str) -> u32) -> Ask {
    Ask {
        cpu_milli: pod.cpu_milli,
        memory_mib: pod.memory_mib,
        devices: usize::try_from(pod.devices).unwrap_or(0),
        gpu_milli: pod.gpu_milli,
        models: pod.models.iter().fold(0, |all, model| all | mask(model)),
    }
}

/// One policy over all seeds, as one line.
fn measure(folder: &Path, workload: &str, policy: Policy, fleet: &[Node], asks: &[Ask]) {
    let mut ours = [Vec::new(), Vec::new()];
    let mut stranded = Vec::new();
    for seed in SEEDS {
        let run = replay(policy, fleet, asks, seed);
        for (list, value) in ours.iter_mut().zip(run.allocated) {
            list.push(value);
        }
        stranded.push(run.stranded);
    }
    for (list, demand) in ours.iter().zip(DEMANDS) {
        let (mean, deviation) = spread(list);
        let published = published(folder, workload, policy, demand);
        let beside = published.map_or_else(
            || "-".to_owned(),
            |(mean, deviation)| format!("{mean:.2} ± {deviation:.2}"),
        );
        let within = published.map(|(theirs, deviation)| (mean - theirs).abs() <= 2.0 * deviation);
        let verdict = match within {
            Some(true) => "",
            Some(false) => "  beyond two deviations",
            None => "  ours",
        };
        let line = json!({"case": format!("openb/{workload}/{}/{demand}", policy.name()),
            "gpu_allocated_percent": rounded(mean), "deviation": rounded(deviation),
            "published_percent": published.map(|entry| rounded(entry.0)),
            "published_deviation": published.map(|entry| rounded(entry.1)),
            "within_two_deviations": within,
            "stranded_percent_at_130": rounded(spread(&stranded).0)});
        println!("{line}");
        println!(
            "{:<14} {demand:>4} %  {mean:>6.2} ± {deviation:<5.2}  {beside:>14}{verdict}",
            policy.name()
        );
    }
}

struct Run {
    /// GPU allocated in percent of all, at each of the demands.
    allocated: [f64; 2],
    /// Fragmented GPU at the end, in percent of all.
    stranded: f64,
}

fn replay(policy: Policy, fleet: &[Node], asks: &[Ask], seed: u64) -> Run {
    let mut random = Stream::new(seed, "openb");
    let mut nodes = fleet.to_vec();
    shuffle(&mut nodes, &mut random);
    let total: i64 = nodes.iter().map(Node::gpu_free).sum();
    let arrivals = arrivals_by(asks, total, Ask::gpu_total, &mut random);
    let mut fleet = Fleet::new(policy, Mix::typical(asks), nodes);
    let mut arrived = 0;
    let mut placed = 0;
    let mut sums = [(0.0, 0.0); 2];
    for ask in arrivals {
        arrived += ask.gpu_total();
        if fleet.place(ask, &mut random).is_some() {
            placed += ask.gpu_total();
        }
        // Rounded to whole percent.
        let demand = (arrived * 200 + total) / (2 * total);
        for (sum, wanted) in sums.iter_mut().zip(DEMANDS) {
            if demand == wanted {
                *sum = (sum.0 + placed as f64 * 100.0 / total as f64, sum.1 + 1.0);
            }
        }
    }
    let mix = Mix::typical(asks);
    let stranded = mix.stranded(fleet.nodes()).fragmented_milli;
    Run {
        allocated: sums.map(|(sum, count)| sum / count),
        stranded: stranded * 100.0 / total as f64,
    }
}

/// The pods in random order, copies added or pods left out until 130 % are asked for.
fn arrivals_by<'a, T>(
    pods: &'a [T],
    total: i64,
    gpu: impl Fn(&T) -> i64,
    random: &mut Stream,
) -> Vec<&'a T> {
    let mut list: Vec<&T> = pods.iter().collect();
    shuffle(&mut list, random);
    let limit = total * 13 / 10;
    let mut demand: i64 = list.iter().map(|pod| gpu(pod)).sum();
    while demand > limit {
        let last = list.len() as u64;
        let place = usize::try_from(random.below(last)).unwrap_or(0);
        demand -= gpu(list.remove(place));
    }
    while let Some(copy) = random.pick(pods) {
        demand += gpu(copy);
        if demand > limit {
            break;
        }
        list.push(copy);
    }
    list
}

fn shuffle<T>(list: &mut [T], random: &mut Stream) {
    for place in (1..list.len()).rev() {
        let other = usize::try_from(random.below(place as u64 + 1)).unwrap_or(0);
        list.swap(place, other);
    }
}

/// Mean and sample deviation of what was published.
fn published(folder: &Path, workload: &str, policy: Policy, demand: i64) -> Option<(f64, f64)> {
    let path = folder.join("published/analysis_allo_discrete.csv");
    let column = demand.to_string();
    let values = rows(&path, |row| {
        let is_ours = row.text("workload") == format!("openb_pod_list_{workload}")
            && row
                .text("sc_policy")
                .ends_with(&format!("-{}", policy.name()));
        is_ours
            .then(|| row.text(&column).parse::<f64>().ok())
            .flatten()
    });
    let values: Vec<f64> = values.into_iter().flatten().collect();
    (values.len() > 1).then(|| spread(&values))
}

fn spread(values: &[f64]) -> (f64, f64) {
    let n = values.len() as f64;
    let mean = values.iter().sum::<f64>() / n;
    let squares = values.iter().map(|value| (value - mean).powi(2));
    (mean, (squares.sum::<f64>() / (n - 1.0)).sqrt())
}

fn rounded(value: f64) -> f64 {
    (value * 100.0).round() / 100.0
}
