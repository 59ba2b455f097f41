//! The console attached to a cluster of full size, as a person meets it: a server of its own, its
//! TLS endpoint and kubeconfig, a real pseudo-terminal, the clock.
//!
//! `cargo bench --bench attach` prints one JSON line a measurement. `-- 5000 100000 DIR` says how
//! many nodes and pods, and where the cluster is kept for the next run: making it takes minutes. The
//! server's memory is not counted.

#![expect(
    clippy::unwrap_used,
    reason = "a benchmark that cannot be set up has nothing to say"
)]
#![expect(clippy::print_stdout, reason = "results go to the standard output")]
#![expect(
    clippy::indexing_slicing,
    reason = "positions are fixed by the kernel and by KEYS"
)]

use std::path::{Path, PathBuf};
use std::time::Duration;

use bayplan::stdx::clock;
use bayplan::stdx::humanize::thousands;
use serde_json::{Value, json};

#[path = "terminal/cluster.rs"]
mod cluster;
#[path = "terminal/screen.rs"]
mod screen;
#[path = "attach/seed.rs"]
mod seed;
#[path = "attach/server.rs"]
mod server;

use screen::{Screen, ms, percentile, since};
use server::{Changes, Server};

const SIZE: screen::Size = (180, 50);
const KEYS: usize = 200;
/// The last one is where the keys are measured.
const VIEWS: [(&[u8], &str); 7] = [
    (b"1", "PULSE"),
    (b"2", "BAYS"),
    (b"3", "DOMAINS"),
    (b"4", "WORKLOADS"),
    (b"8", "QUEUE"),
    (b"9", "SERVICES"),
    (b"5", "PODS"),
];
/// Work in the background that follows the loading is over after this time without output.
const CALM: Duration = Duration::from_secs(4);
const IDLE: Duration = Duration::from_secs(20);
const BUSY: Duration = Duration::from_secs(15);
/// A frame is complete when the terminal has been quiet this long.
const QUIET: Duration = Duration::from_millis(60);

fn main() {
    rustls::crypto::ring::default_provider()
        .install_default()
        .unwrap();
    let words: Vec<String> = std::env::args()
        .skip(1)
        .filter(|word| !word.starts_with('-'))
        .collect();
    let numbers: Vec<usize> = words.iter().filter_map(|word| word.parse().ok()).collect();
    let (nodes, pods) = match numbers.as_slice() {
        [nodes, pods] => (*nodes, *pods),
        _ => (5_000, 100_000),
    };
    let scratch = tempfile::tempdir().unwrap();
    let kept = words.iter().find(|word| word.parse::<usize>().is_err());
    let folder = kept.map_or_else(|| scratch.path().join("cluster"), PathBuf::from);
    let folder = folder.join(format!("{nodes}-{pods}"));
    seed::make(&folder, nodes, pods);
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .unwrap();
    let server = Server::start(&folder, scratch.path());
    Bench {
        runtime,
        server,
        root: scratch.path().to_owned(),
        nodes,
        pods,
    }
    .run();
}

struct Bench {
    runtime: tokio::runtime::Runtime,
    server: Server,
    root: PathBuf,
    nodes: usize,
    pods: usize,
}

impl Bench {
    fn say(&self, case: &str, mut figures: Value) {
        figures["bench"] = "attach".into();
        figures["case"] = case.into();
        figures["nodes"] = self.nodes.into();
        figures["pods"] = self.pods.into();
        println!("{figures}");
    }

    fn run(&self) {
        // The server's own start is over when it rests.
        self.runtime.block_on(async {
            tokio::time::sleep(CALM).await;
        });
        let mut screen = self.attach();
        self.idle(&mut screen);
        self.keys(&mut screen);
        self.views(&mut screen);
        self.changes(&mut screen);
        self.fork(&mut screen);
        self.say(
            "end",
            json!({
                "resident_mib": screen.resident_mib(), "peak_mib": screen.peak_mib(),
                "ended_well": screen.quit(),
            }),
        );
    }

    fn open(&self, view: &str) -> Screen {
        let kubeconfig = self.server.kubeconfig.to_str().unwrap().to_owned();
        Screen::open(
            Path::new(&self.root),
            &[view, "--kubeconfig", &kubeconfig],
            SIZE,
        )
    }

    fn attach(&self) -> Screen {
        let begin = clock::instant();
        let mut screen = self.open("pods");
        screen.wait_for("PODS");
        let frame = since(begin);
        screen.wait_for("service-");
        let rows = since(begin);
        let said = screen.await_within(Duration::from_secs(5), |shown| {
            shown
                .lines()
                .any(|line| line.contains("loading") && line.contains(" of "))
        });
        let total = format!("{} pods", thousands(self.pods as u64));
        screen.wait_until(&total, |shown| {
            shown.contains(&total) && !shown.contains("loading")
        });
        let complete = since(begin);
        let ticks = screen.ticks();
        screen.settle(CALM);
        self.say(
            "load",
            json!({
                "first_frame_ms": frame, "first_rows_ms": rows, "said_loading_n_of_n": said,
                "complete_ms": complete, "cpu_s": ticks as f64 / 100.0,
                "cpu_after_s": (screen.ticks() - ticks) as f64 / 100.0,
                "resident_mib": screen.resident_mib(), "peak_mib": screen.peak_mib(),
            }),
        );
        screen
    }

    fn idle(&self, screen: &mut Screen) {
        let ticks = screen.ticks();
        let before = self.server.asked();
        let bytes = screen.listen(IDLE);
        let after = self.server.asked();
        self.say(
            "idle",
            json!({
                "seconds": IDLE.as_secs(), "terminal_bytes": bytes,
                "cpu_percent": (screen.ticks() - ticks) as f64 / IDLE.as_secs_f64(),
                "connections": after.0, "bytes_sent_to_server": after.1.saturating_sub(before.1),
            }),
        );
    }

    fn keys(&self, screen: &mut Screen) {
        let (mut latencies, mut bytes) = (Vec::new(), Vec::new());
        for _ in 0..KEYS {
            let (latency, first) = screen.answer(b"j");
            latencies.push(latency);
            bytes.push(first + screen.settle(QUIET));
        }
        // The first keys reach the last line; all others scroll the table.
        let moves = usize::from(SIZE.1) / 2;
        self.say("keys", json!({
            "p50_ms": ms(percentile(&mut latencies, 50)), "p99_ms": ms(percentile(&mut latencies, 99)),
            "bytes_per_move_p50": percentile(&mut bytes[..moves], 50),
            "bytes_per_scroll_p50": percentile(&mut bytes[moves * 2..], 50),
        }));
        screen.press(b"g");
        screen.settle(QUIET);
    }

    /// From the key to the view, and to what the scheduler says of lost domains.
    fn views(&self, screen: &mut Screen) {
        for (key, title) in VIEWS {
            let begin = clock::instant();
            screen.press(key);
            screen.wait_until(title, |shown| {
                shown.contains(title) && !shown.contains("loading")
            });
            let shown = since(begin);
            if title == "DOMAINS" {
                screen.wait_for("answers by the scheduler");
            }
            self.say(
                "view",
                json!({"view": title, "shown_ms": shown, "answered_ms": since(begin)}),
            );
            screen.settle(CALM);
        }
    }

    fn changes(&self, screen: &mut Screen) {
        let (client, pods) = self.runtime.block_on(async {
            let client = self.server.client().await;
            let pods = server::pods(&client).await;
            (client, pods)
        });
        screen.settle(CALM);
        for a_second in [100, 500] {
            let changes = self
                .runtime
                .block_on(async { Changes::begin(&client, &pods, a_second) });
            screen.listen(Duration::from_secs(2));
            let (ticks, made, begin) = (screen.ticks(), changes.made(), clock::instant());
            let bytes = screen.listen(BUSY);
            let cpu = (screen.ticks() - ticks) as f64 / begin.elapsed().as_secs_f64();
            let rate = (changes.made() - made) as f64 / begin.elapsed().as_secs_f64();
            let mut latencies = Vec::new();
            for _ in 0..KEYS / 2 {
                latencies.extend([screen.moves(b"j"), screen.moves(b"k")]);
                screen.listen(Duration::from_millis(20));
            }
            drop(changes);
            self.say("changes", json!({
                "wanted_a_second": a_second, "changes_a_second": rate.round(), "cpu_percent": cpu.round(),
                "terminal_bytes_a_second": (bytes as f64 / BUSY.as_secs_f64()).round(),
                "key_p50_ms": ms(percentile(&mut latencies, 50)),
                "key_p99_ms": ms(percentile(&mut latencies, 99)),
                "resident_mib": screen.resident_mib(),
            }));
            screen.settle(CALM);
        }
    }

    fn fork(&self, screen: &mut Screen) {
        let begin = clock::instant();
        screen.press(b"w");
        screen.wait_for("this is a fork");
        let said = since(begin);
        let total = format!("{} pods", thousands(self.pods as u64));
        screen.wait_until(&total, |shown| {
            shown.contains(&total) && !shown.contains("loading")
        });
        self.say("fork", json!({"shown_ms": said, "complete_ms": since(begin), "resident_mib": screen.resident_mib()}));
    }
}
