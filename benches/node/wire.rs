//! The pods' wire: throughput from pod to pod beside a bare veth pair, and answers of the name server.

use std::io::ErrorKind;
use std::net::{SocketAddr, UdpSocket};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};
use serde_json::{Value, json};

/// Runs of each, turn by turn: what disturbs one disturbs the other.
const TURNS: usize = 3;
const TURN_S: &str = "4";
const PATIENCE: Duration = Duration::from_secs(10);
const ASKERS: usize = 4;
const ASKED_FOR: Duration = Duration::from_secs(4);

/// A command in the network namespace of a file.
fn inside(namespace: &Path, program: &str) -> Command {
    let mut command = Command::new("nsenter");
    command.arg(format!("--net={}", namespace.display()));
    command.arg(program);
    command
}

fn is_there(program: &str) -> bool {
    let found = Command::new(program)
        .arg("--version")
        .stdout(Stdio::null())
        .status();
    found.is_ok_and(|status| status.success())
}

/// Gigabits a second by iperf3 from one namespace to an address where it listens.
fn throughput(from: &Path, address: &str) -> f64 {
    let mut command = inside(from, "iperf3");
    command.args(["--client", address, "--time", TURN_S, "--json"]);
    let output = command.output().unwrap();
    let ran: Value = serde_json::from_slice(&output.stdout).unwrap_or_default();
    let bits = ran.pointer("/end/sum_received/bits_per_second");
    let bits = bits.and_then(Value::as_f64);
    bits.unwrap_or_else(|| panic!("iperf3 to {address}: {ran}")) / 1e9
}

/// An iperf3 that listens in a namespace until this is dropped.
struct Listener(Child);

impl Listener {
    const PORT: &str = ":1451 ";
    const LISTENS: &str = " 0A ";

    fn start(namespace: &Path) -> Self {
        let mut command = inside(namespace, "iperf3");
        command
            .arg("--server")
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        let listener = Self(command.spawn().unwrap());
        let begun = Instant::now();
        while !listener.listens() {
            assert!(begun.elapsed() < PATIENCE, "iperf3 does not listen");
            std::thread::sleep(Duration::from_millis(20));
        }
        listener
    }

    /// Whether its namespace has a socket that listens on iperf3's port (5201, in hexadecimal).
    fn listens(&self) -> bool {
        let sockets = format!("/proc/{}/net/tcp6", self.0.id());
        let sockets = std::fs::read_to_string(sockets).unwrap_or_default();
        let mut lines = sockets.lines();
        lines.any(|line| line.contains(Self::PORT) && line.contains(Self::LISTENS))
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        let _ended = self.0.kill();
        let _reaped = self.0.wait();
    }
}

/// A bare veth pair between two namespaces of its own, gone when this is dropped.
struct Pair;

impl Pair {
    const NAMES: [&str; 2] = ["bayplan-bench-a", "bayplan-bench-b"];

    fn lay() -> Self {
        let run = |line: &str| {
            let ran = Command::new("ip").args(line.split(' ')).status();
            assert!(ran.unwrap().success(), "ip {line}");
        };
        let [one, other] = Self::NAMES;
        run(&format!("netns add {one}"));
        run(&format!("netns add {other}"));
        run(&format!(
            "link add eth0 netns {one} type veth peer name eth0 netns {other}"
        ));
        for (name, address) in [(one, "198.18.0.1/24"), (other, "198.18.0.2/24")] {
            run(&format!("-n {name} address add {address} dev eth0"));
            run(&format!("-n {name} link set eth0 up"));
        }
        Self
    }

    fn file(place: usize) -> std::path::PathBuf {
        Path::new("/run/netns").join(Self::NAMES[place])
    }
}

impl Drop for Pair {
    fn drop(&mut self) {
        for name in Self::NAMES {
            let _gone = Command::new("ip").args(["netns", "delete", name]).status();
        }
    }
}

/// From pod to pod, beside a bare veth pair in the same run.
pub fn tcp(pods: [&Path; 2], address: &str) {
    if !is_there("iperf3") {
        println!(
            "{}",
            json!({"what": "tcp", "skipped": "iperf3 is not installed"})
        );
        return;
    }
    let _pair = Pair::lay();
    let _listeners = [Listener::start(&Pair::file(1)), Listener::start(pods[1])];
    let mut ours = Vec::new();
    let mut bare = Vec::new();
    for _ in 0..TURNS {
        bare.push(throughput(&Pair::file(0), "198.18.0.2"));
        ours.push(throughput(pods[0], address));
    }
    let median = |all: &mut Vec<f64>| {
        all.sort_by(f64::total_cmp);
        (all[all.len() / 2] * 10.0).round() / 10.0
    };
    let (ours, bare) = (median(&mut ours), median(&mut bare));
    println!(
        "{}",
        json!({
            "what": "tcp from pod to pod, one stream", "with": "bayplan", "gbit_per_s": ours,
            "bare_veth_gbit_per_s": bare, "ratio": (ours / bare * 1e3).round() / 1e3,
        })
    );
}

/// Answers a second of the cluster's name server, asked from a pod by several sockets that each wait
/// for their answer.
pub fn names(pod: &Path, name: &str) {
    let server = name_server(pod);
    let answers = AtomicU64::new(0);
    let question = question(name);
    std::thread::scope(|scope| {
        for _ in 0..ASKERS {
            scope.spawn(|| ask(pod, server, &question, &answers));
        }
    });
    let rate = answers.load(Ordering::Relaxed) as f64 / ASKED_FOR.as_secs_f64();
    println!(
        "{}",
        json!({"what": "names answered, asked from a pod", "with": "bayplan", "per_s": rate.round(),
            "askers": ASKERS})
    );
}

fn name_server(pod: &Path) -> SocketAddr {
    // The pod's folder stands beside its namespace's.
    let uid = pod.file_name().unwrap();
    let node = pod.parent().unwrap().parent().unwrap();
    let text = std::fs::read_to_string(node.join("pods").join(uid).join("resolv.conf")).unwrap();
    let line = text
        .lines()
        .find_map(|line| line.strip_prefix("nameserver "));
    SocketAddr::new(line.unwrap().trim().parse().unwrap(), 53)
}

fn ask(pod: &Path, server: SocketAddr, question: &[u8], answers: &AtomicU64) {
    let namespace = std::fs::File::open(pod).unwrap();
    move_into_link_name_space(
        std::os::fd::AsFd::as_fd(&namespace),
        Some(LinkNameSpaceType::Network),
    )
    .unwrap();
    let socket = UdpSocket::bind("0.0.0.0:0").unwrap();
    socket.connect(server).unwrap();
    socket
        .set_read_timeout(Some(Duration::from_secs(1)))
        .unwrap();
    let begun = Instant::now();
    let mut buffer = [0; 512];
    while begun.elapsed() < ASKED_FOR {
        socket.send(question).unwrap();
        match socket.recv(&mut buffer) {
            Ok(length) => {
                // No error, at least one answer.
                assert!(length > 12 && buffer[3] % 16 == 0 && buffer[7] > 0);
                answers.fetch_add(1, Ordering::Relaxed);
            }
            Err(error) => assert!(matches!(
                error.kind(),
                ErrorKind::WouldBlock | ErrorKind::TimedOut
            )),
        }
    }
}

/// An A question by RFC 1035, section 4.
fn question(name: &str) -> Vec<u8> {
    let mut bytes = vec![7, 7, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0];
    for label in name.split('.') {
        bytes.push(u8::try_from(label.len()).unwrap());
        bytes.extend(label.as_bytes());
    }
    bytes.extend([0, 0, 1, 0, 1]);
    bytes
}
