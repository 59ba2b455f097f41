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

use std::io::{Read, Write};
use std::path::Path;
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use bayplan::config::fleet::Fleet;
use bayplan::config::paths::Paths;
use bayplan::connect::{self, Access};
use bayplan::serve::{Host, HostOptions, Seed};
use bayplan::stdx::clock;
use portable_pty::{CommandBuilder, PtySize, native_pty_system};
use serde_json::{Value, json};

const COLUMNS: u16 = 120;
const LINES: u16 = 36;
const KEYS: usize = 200;
const PODS_EACH: usize = 500;
const IDLE: Duration = Duration::from_secs(10);
/// A frame is complete when the terminal has been quiet this long.
const QUIET: Duration = Duration::from_millis(60);
const PATIENCE: Duration = Duration::from_mins(3);

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
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let mut seed = fleet(nodes).objects();
        seed.push(json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "bench"}}));
        seed.extend(
            (0..pods / PODS_EACH.min(pods)).map(|index| deployment(index, PODS_EACH.min(pods))),
        );
        let host = Host::open(HostOptions {
            cluster: "default".into(),
            folder: Some(Paths::below(root).data.join("clusters/default")),
            command: "bench".into(),
            listen: None,
            seed: Seed::Objects(seed),
            scheduler: None,
            companion: None,
            logs: bayplan::serve::logs::Bounds::default(),
        })
        .await
        .unwrap();
        let client = connect::in_process(&host, Access::ReadOnly);
        let deadline = clock::instant() + PATIENCE;
        while ready(&client).await < pods {
            assert!(clock::instant() < deadline, "the pods do not become ready");
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
        host.stop().await.unwrap();
    });
}

async fn ready(client: &kube::Client) -> usize {
    let path = "/apis/apps/v1/namespaces/bench/deployments";
    let list: Value = client
        .request(http::Request::get(path).body(Vec::new()).unwrap())
        .await
        .unwrap();
    let ready = |item: &Value| {
        item.pointer("/status/readyReplicas")
            .and_then(Value::as_u64)
    };
    let total: u64 = list
        .pointer("/items")
        .unwrap()
        .as_array()
        .unwrap()
        .iter()
        .filter_map(ready)
        .sum();
    usize::try_from(total).unwrap()
}

/// Three zones of four racks.
fn fleet(nodes: usize) -> Fleet {
    let zones: Vec<String> = (0..3)
        .map(|zone| {
            let racks: Vec<String> = (0..4)
                .map(|rack| {
                    let index = zone * 4 + rack;
                    let count = nodes / 12 + usize::from(index < nodes % 12);
                    format!("    - {{name: r{index:02}, machines: {{std: {count}}}}}\n")
                })
                .collect();
            format!("  - name: zone-{zone}\n    racks:\n{}", racks.concat())
        })
        .collect();
    let text = format!(
        "machineTypes:\n  std: {{cpu: 32, memory: 128Gi}}\nregions:\n- name: bench\n  zones:\n{}",
        zones.concat()
    );
    Fleet::parse(&text, "bench.yaml", Path::new(".")).unwrap()
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

/// The console in a pseudo-terminal, with what it has written.
struct Screen {
    parser: vt100::Parser,
    output: Receiver<Vec<u8>>,
    input: Box<dyn Write + Send>,
    process: u32,
    child: Box<dyn portable_pty::Child + Send + Sync>,
    _master: Box<dyn portable_pty::MasterPty + Send>,
}

impl Screen {
    fn open(root: &Path) -> Self {
        let size = PtySize {
            rows: LINES,
            cols: COLUMNS,
            pixel_width: 0,
            pixel_height: 0,
        };
        let pair = native_pty_system().openpty(size).unwrap();
        let mut command = CommandBuilder::new(env!("CARGO_BIN_EXE_bayplan"));
        command.arg("bays");
        for (name, folder) in [
            ("XDG_DATA_HOME", "data"),
            ("XDG_CONFIG_HOME", "config"),
            ("XDG_STATE_HOME", "state"),
            ("XDG_CACHE_HOME", "cache"),
        ] {
            command.env(name, root.join("xdg").join(folder));
        }
        command.env("TERM", "xterm-256color");
        command.env("COLORTERM", "truecolor");
        command.env("LANG", "C.UTF-8");
        let child = pair.slave.spawn_command(command).unwrap();
        let mut reader = pair.master.try_clone_reader().unwrap();
        let (sender, output) = channel();
        std::thread::spawn(move || {
            let mut block = vec![0; 65_536];
            while let Ok(length) = reader.read(&mut block) {
                let Some(bytes) = block.get(..length).filter(|bytes| !bytes.is_empty()) else {
                    break;
                };
                if sender.send(bytes.to_vec()).is_err() {
                    break;
                }
            }
        });
        Self {
            parser: vt100::Parser::new(LINES.try_into().unwrap(), COLUMNS.try_into().unwrap(), 0),
            output,
            input: pair.master.take_writer().unwrap(),
            process: child.process_id().unwrap(),
            child,
            _master: pair.master,
        }
    }

    /// Reads until the screen shows `text`.
    fn wait_for(&mut self, text: &str) {
        let deadline = clock::instant() + PATIENCE;
        while !self.parser.screen().contents().contains(text) {
            let left = deadline.saturating_duration_since(clock::instant());
            let Ok(bytes) = self.output.recv_timeout(left) else {
                let shown = self.parser.screen().contents();
                assert!(
                    shown.contains(text),
                    "`{text}` does not appear in:\n{shown}"
                );
                return;
            };
            self.parser.process(&bytes);
        }
    }

    /// Reads until nothing comes for a while; answers with when the last bytes came and how many.
    fn settle(&mut self, quiet: Duration) -> (Option<Instant>, usize) {
        let (mut last, mut count) = (None, 0);
        while let Ok(bytes) = self.output.recv_timeout(quiet) {
            last = Some(clock::instant());
            count += bytes.len();
            self.parser.process(&bytes);
        }
        (last, count)
    }

    fn press(&mut self, key: &[u8]) {
        self.input.write_all(key).unwrap();
        self.input.flush().unwrap();
    }

    /// User and system time so far, in clock ticks of 10 ms.
    fn ticks(&self) -> u64 {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.process)).unwrap();
        let fields: Vec<&str> = stat
            .rsplit_once(") ")
            .unwrap()
            .1
            .split_whitespace()
            .collect();
        fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap()
    }

    fn resident_mib(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.process)).unwrap();
        let line = status
            .lines()
            .find(|line| line.starts_with("VmRSS:"))
            .unwrap();
        line.split_whitespace()
            .nth(1)
            .unwrap()
            .parse::<u64>()
            .unwrap()
            / 1024
    }
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
    let mut screen = Screen::open(root);
    screen.wait_for("BAYS");
    let first_frame = begin.elapsed();
    screen.wait_for(&format!(
        "{} pods",
        bayplan::stdx::humanize::thousands(pods as u64)
    ));
    let loaded = begin.elapsed();
    screen.settle(Duration::from_secs(2));
    let ticks = screen.ticks();
    let (_, idle_bytes) = idle(&mut screen);
    let idle_ticks = screen.ticks() - ticks;
    screen.press(b"5");
    screen.wait_for("PODS");
    screen.settle(Duration::from_secs(1));
    let (mut latencies, mut bytes) = (Vec::new(), Vec::new());
    for _ in 0..KEYS {
        let pressed = clock::instant();
        screen.press(b"j");
        let first = screen.output.recv_timeout(Duration::from_secs(5)).unwrap();
        latencies.push(pressed.elapsed());
        screen.parser.process(&first);
        bytes.push(first.len() + screen.settle(QUIET).1);
    }
    latencies.sort();
    bytes.sort_unstable();
    let ms = |time: Duration| (time.as_secs_f64() * 100_000.0).round() / 100.0;
    let memory = screen.resident_mib();
    screen.press(&[3]);
    let code = screen.child.wait().unwrap();
    json!({
        "case": "console", "nodes": nodes, "pods": pods,
        "first_frame_ms": ms(first_frame), "loaded_ms": ms(loaded),
        "key_to_frame_p50_ms": ms(latencies[KEYS / 2]),
        "key_to_frame_p99_ms": ms(latencies[KEYS * 99 / 100]),
        "bytes_per_key_p50": bytes[KEYS / 2],
        "idle_bytes": idle_bytes, "idle_s": IDLE.as_secs(),
        "idle_cpu_percent": idle_ticks as f64 / IDLE.as_secs_f64(),
        "resident_mib": memory, "ended_well": code.success(),
    })
}

/// Everything that comes within the idle time.
fn idle(screen: &mut Screen) -> (Duration, usize) {
    let begin = clock::instant();
    let mut count = 0;
    while let Some(left) = IDLE.checked_sub(begin.elapsed()) {
        match screen.output.recv_timeout(left) {
            Ok(bytes) => {
                count += bytes.len();
                screen.parser.process(&bytes);
            }
            Err(_) => break,
        }
    }
    (begin.elapsed(), count)
}
