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

use bayplan::k8s::Name;
use bayplan::sched::{PlaceOptions, Snapshot};
use bayplan::stdx::clock;
use serde_json::{Value, json};

#[path = "losses/fleet.rs"]
mod fleet;

use fleet::{NODES_A_RACK, fleet, machine};

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
