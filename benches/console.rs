//! The console as a person meets it: a saved cluster, a real pseudo-terminal, the clock.
//!
//! `cargo bench --bench console` prints one JSON line a size: time to the first frame, time until
//! everything is loaded, key press to painted frame, bytes for a key and bytes while nothing
//! changes, memory and idle CPU.

#![expect(
    clippy::unwrap_used,
    reason = "a benchmark that cannot be set up has nothing to say"
)]
#![expect(clippy::print_stdout, reason = "results go to the standard output")]
#![expect(
    clippy::indexing_slicing,
    reason = "positions are fixed by the kernel and by KEYS"
)]

use std::path::Path;
use std::time::Duration;

use bayplan::config::paths::Paths;
use bayplan::stdx::clock;
use serde_json::{Value, json};

#[path = "terminal/cluster.rs"]
mod cluster;
#[path = "terminal/screen.rs"]
#[expect(dead_code, reason = "the bench of an attached console asks for more")]
mod screen;

use screen::{Screen, ms, percentile};

const SIZE: screen::Size = (120, 36);
const KEYS: usize = 200;
const PODS_EACH: usize = 500;
const IDLE: Duration = Duration::from_secs(10);
/// A frame is complete when the terminal has been quiet this long.
const QUIET: Duration = Duration::from_millis(60);

fn main() {
    rustls::crypto::ring::default_provider()
        .install_default()
        .unwrap();
    for (nodes, pods) in [(100, 1_000), (1_000, 20_000)] {
        let folder = tempfile::tempdir().unwrap();
        prepare(folder.path(), nodes, pods);
        println!("{}", measure(folder.path(), nodes, pods));
    }
}

/// Makes a cluster of running pods and saves it.
fn prepare(root: &Path, nodes: usize, pods: usize) {
    let mut seed = cluster::fleet(nodes, 4);
    seed.push(cluster::namespace("bench"));
    seed.extend(
        (0..pods / PODS_EACH.min(pods)).map(|index| deployment(index, PODS_EACH.min(pods))),
    );
    let folder = Paths::below(root).data.join("clusters/default");
    cluster::grow(&folder, seed, pods);
}

fn deployment(index: usize, replicas: usize) -> Value {
    let name = format!("app-{index:03}");
    json!({
        "apiVersion": "apps/v1", "kind": "Deployment",
        "metadata": {"name": name, "namespace": "bench"},
        "spec": {
            "replicas": replicas,
            "selector": {"matchLabels": {"app": name}},
            "template": {
                "metadata": {"labels": {"app": name}},
                "spec": {"containers": [
                    {"name": "app", "image": "app:1", "resources": {"requests": {"cpu": "250m", "memory": "512Mi"}}},
                    {"name": "proxy", "image": "proxy:1", "resources": {"requests": {"cpu": "50m", "memory": "64Mi"}}},
                ]},
            },
        },
    })
}

fn measure(root: &Path, nodes: usize, pods: usize) -> Value {
    // The program finds its cluster below the XDG data directory.
    std::fs::create_dir_all(root.join("xdg/data/bayplan")).unwrap();
    std::fs::rename(
        root.join("data/clusters"),
        root.join("xdg/data/bayplan/clusters"),
    )
    .unwrap();
    let begin = clock::instant();
    let mut screen = Screen::open(root, &["bays"], SIZE);
    screen.wait_for("BAYS");
    let first_frame = begin.elapsed();
    screen.wait_for(&format!(
        "{} pods",
        bayplan::stdx::humanize::thousands(pods as u64)
    ));
    let loaded = begin.elapsed();
    screen.settle(Duration::from_secs(2));
    let ticks = screen.ticks();
    let idle_bytes = screen.listen(IDLE);
    let idle_ticks = screen.ticks() - ticks;
    screen.press(b"5");
    screen.wait_for("PODS");
    screen.settle(Duration::from_secs(1));
    let (mut latencies, mut bytes) = (Vec::new(), Vec::new());
    for _ in 0..KEYS {
        let (latency, first) = screen.answer(b"j");
        latencies.push(latency);
        bytes.push(first + screen.settle(QUIET));
    }
    let memory = screen.resident_mib();
    json!({
        "case": "console", "nodes": nodes, "pods": pods,
        "first_frame_ms": ms(first_frame), "loaded_ms": ms(loaded),
        "key_to_frame_p50_ms": ms(percentile(&mut latencies, 50)),
        "key_to_frame_p99_ms": ms(percentile(&mut latencies, 99)),
        "bytes_per_key_p50": percentile(&mut bytes, 50),
        "idle_bytes": idle_bytes, "idle_s": IDLE.as_secs(),
        "idle_cpu_percent": idle_ticks as f64 / IDLE.as_secs_f64(),
        "resident_mib": memory, "ended_well": screen.quit(),
    })
}
