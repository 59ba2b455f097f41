//! The console in a real pseudo-terminal: it starts, follows the size, and gives the terminal back
//! however it ends.

#![cfg(unix)]
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod attached;
mod proxy;

use std::io::{Read, Write};
use std::num::NonZero;
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::Duration;

use bayplan::stdx::clock;
use portable_pty::{Child, CommandBuilder, MasterPty, PtySize, native_pty_system};

/// Longer than the slowest machine needs to open a new cluster in a debug build.
const PATIENCE: Duration = Duration::from_mins(1);

struct Console {
    master: Box<dyn MasterPty + Send>,
    child: Box<dyn Child + Send + Sync>,
    writer: Box<dyn Write + Send>,
    output: Receiver<Vec<u8>>,
    screen: vt100::Parser,
    raw: Vec<u8>,
    _home: tempfile::TempDir,
}

fn size(columns: u16, rows: u16) -> PtySize {
    PtySize {
        rows,
        cols: columns,
        pixel_width: 0,
        pixel_height: 0,
    }
}

fn cells(count: u16) -> NonZero<u16> {
    NonZero::new(count).unwrap()
}

impl Console {
    fn start(arguments: &[&str], environment: &[(&str, &str)]) -> Self {
        let mut command = CommandBuilder::new(env!("CARGO_BIN_EXE_bayplan"));
        // No test of the console runs containers on this machine.
        command.args(arguments);
        command.arg("--no-local-node");
        Self::run(command, environment)
    }

    fn run(mut command: CommandBuilder, environment: &[(&str, &str)]) -> Self {
        let home = tempfile::tempdir().unwrap();
        command.env_clear();
        for (name, value) in [
            ("TERM", "xterm-256color"),
            ("LANG", "C.UTF-8"),
            ("USER", "ops"),
        ] {
            command.env(name, value);
        }
        command.env("HOME", home.path());
        for name in ["DATA", "CONFIG", "STATE", "CACHE"] {
            command.env(format!("XDG_{name}_HOME"), home.path().join(name));
        }
        for (name, value) in environment {
            command.env(name, value);
        }
        let pair = native_pty_system().openpty(size(100, 32)).unwrap();
        let child = pair.slave.spawn_command(command).unwrap();
        drop(pair.slave);
        let mut reader = pair.master.try_clone_reader().unwrap();
        let writer = pair.master.take_writer().unwrap();
        let (sender, output) = channel();
        std::thread::spawn(move || {
            let mut chunk = [0; 8192];
            while let Ok(count @ 1..) = reader.read(&mut chunk) {
                if sender.send(chunk.get(..count).unwrap().to_vec()).is_err() {
                    break;
                }
            }
        });
        Self {
            master: pair.master,
            child,
            writer,
            output,
            screen: vt100::Parser::new(cells(32), cells(100), 0),
            raw: Vec::new(),
            _home: home,
        }
    }

    fn text(&self) -> String {
        self.screen.screen().contents()
    }

    /// Takes output in for `wait` at most; `false` when there was none.
    fn take(&mut self, wait: Duration) -> bool {
        match self.output.recv_timeout(wait) {
            Ok(bytes) => {
                self.screen.process(&bytes);
                self.raw.extend(bytes);
                true
            }
            Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => false,
        }
    }

    #[track_caller]
    fn wait_until(&mut self, what: &str, holds: impl Fn(&Self) -> bool) {
        let deadline = clock::instant() + PATIENCE;
        while !holds(self) {
            assert!(
                clock::instant() < deadline,
                "waited in vain until {what}:\n{}\n{}",
                self.text(),
                String::from_utf8_lossy(&self.raw)
            );
            self.take(Duration::from_millis(100));
        }
    }

    fn keys(&mut self, keys: &str) {
        self.writer.write_all(keys.as_bytes()).unwrap();
        self.writer.flush().unwrap();
    }

    fn signal(&self, name: rustix::process::Signal) {
        let id = self.child.process_id().unwrap();
        let pid = rustix::process::Pid::from_raw(i32::try_from(id).unwrap()).unwrap();
        rustix::process::kill_process(pid, name).unwrap();
    }

    #[track_caller]
    fn wait_for_end(&mut self) -> u32 {
        let deadline = clock::instant() + PATIENCE;
        loop {
            while self.take(Duration::from_millis(50)) {}
            if let Some(status) = self.child.try_wait().unwrap() {
                while self.take(Duration::from_millis(50)) {}
                return status.exit_code();
            }
            assert!(
                clock::instant() < deadline,
                "it does not end:\n{}",
                self.text()
            );
        }
    }

    #[track_caller]
    fn is_restored(&self) {
        let screen = self.screen.screen();
        assert!(!screen.alternate_screen(), "still on the alternate screen");
        assert!(!screen.hide_cursor(), "the cursor is still hidden");
        assert!(!screen.bracketed_paste(), "bracketed paste is still on");
        assert_eq!(
            screen.mouse_protocol_mode(),
            vt100::MouseProtocolMode::None,
            "the mouse is still reported"
        );
    }

    #[track_caller]
    fn wait_for_data(&mut self) {
        self.wait_until("data is there", |console| console.text().contains("live"));
    }
}

impl Drop for Console {
    fn drop(&mut self) {
        // It has ended in all tests that pass; in others nobody else would end it.
        let _already_ended = self.child.kill();
    }
}

#[test]
fn it_starts_follows_the_size_and_quits() {
    let mut console = Console::start(&["pods"], &[]);
    console.wait_for_data();
    assert!(console.screen.screen().alternate_screen());
    assert!(
        console.text().starts_with(" bayplan  default"),
        "{}",
        console.text()
    );
    console.master.resize(size(120, 40)).unwrap();
    console.screen.screen_mut().set_size(cells(40), cells(120));
    console.wait_until("the frame is as large as the terminal", |console| {
        let text = console.text();
        text.lines().count() == 40
            && text
                .lines()
                .last()
                .is_some_and(|line| line.contains("? help"))
    });
    console.keys("?");
    console.wait_until("help is open", |console| {
        console.text().contains("keys and words")
    });
    console.keys("\u{1b}");
    console.wait_until("help is closed", |console| {
        !console.text().contains("keys and words")
    });
    console.keys("q");
    console.wait_until("it asks", |console| {
        console.text().contains("quit bayplan?")
    });
    console.keys("\r");
    assert_eq!(console.wait_for_end(), 0);
    console.is_restored();
}

#[test]
fn an_escape_and_a_key_at_once_are_both_keys() {
    let mut console = Console::start(&["pods"], &[]);
    console.wait_for_data();
    console.keys("?");
    console.wait_until("help is open", |console| {
        console.text().contains("keys and words")
    });
    console.keys("\u{1b}:bays\r");
    console.wait_until("help is closed and the line was typed", |console| {
        let text = console.text();
        !text.contains("keys and words") && text.contains("2 BAYS")
    });
    console.keys("\u{1b}?");
    console.wait_until("help is open again", |console| {
        console.text().contains("keys and words")
    });
    console.keys("\u{3}");
    console.wait_for_end();
}

#[test]
fn nothing_is_written_while_nothing_changes() {
    let mut console = Console::start(&["objects"], &[]);
    console.wait_for_data();
    // Settling: readiness, first figures, marks of what has just changed.
    let deadline = clock::instant() + PATIENCE;
    let quiet = loop {
        if !console.take(Duration::from_secs(3)) {
            break true;
        }
        if clock::instant() > deadline {
            break false;
        }
    };
    assert!(
        quiet,
        "three seconds without a byte never came:\n{}",
        console.text()
    );
    console.keys("\u{3}");
    console.wait_for_end();
    console.is_restored();
}

#[test]
fn signals_end_it_and_give_the_terminal_back() {
    for signal in [
        rustix::process::Signal::TERM,
        rustix::process::Signal::HUP,
        rustix::process::Signal::INT,
    ] {
        let mut console = Console::start(&["bays"], &[]);
        console.wait_for_data();
        console.signal(signal);
        console.wait_for_end();
        console.is_restored();
    }
}

#[test]
fn no_colour_and_ascii_are_kept_to_the_last_byte() {
    let mut console = Console::start(&["pods"], &[("NO_COLOR", "1"), ("LANG", "C")]);
    console.wait_for_data();
    console.keys("?");
    console.wait_until("help is open", |console| {
        console.text().contains("keys and words")
    });
    console.keys("\u{3}");
    console.wait_for_end();
    assert!(console.raw.is_ascii(), "something beyond ASCII was sent");
    let text = String::from_utf8_lossy(&console.raw).into_owned();
    for sequence in text.split("\u{1b}[").skip(1) {
        let Some((parameters, _)) = sequence.split_once('m') else {
            continue;
        };
        let colour = parameters
            .split(';')
            .filter_map(|number| number.parse::<u32>().ok())
            .any(|number| (30..=48).contains(&number) || (90..=107).contains(&number));
        let numbers_only = parameters
            .chars()
            .all(|letter| letter.is_ascii_digit() || letter == ';');
        assert!(
            !(numbers_only && colour),
            "a colour was sent: {parameters:?}"
        );
    }
}

#[test]
fn without_a_terminal_it_says_so() {
    let home = tempfile::tempdir().unwrap();
    let output = std::process::Command::new(env!("CARGO_BIN_EXE_bayplan"))
        .env("HOME", home.path())
        .env("XDG_DATA_HOME", home.path())
        .env("XDG_STATE_HOME", home.path())
        .env("XDG_CONFIG_HOME", home.path())
        .stdin(std::process::Stdio::null())
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(1));
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(error.contains("needs a terminal"), "{error}");
}

/// Run by [`a_panic_gives_the_terminal_back_before_it_prints`] inside a pseudo-terminal.
#[test]
#[ignore = "the other half of a test: it panics with the terminal taken"]
fn child_that_panics() {
    let _terminal = bayplan::tui::runtime::terminal::Terminal::enter().unwrap();
    panic!("the panic's own words");
}

#[test]
fn a_panic_gives_the_terminal_back_before_it_prints() {
    let mut command = CommandBuilder::new(std::env::current_exe().unwrap());
    command.args(["--exact", "child_that_panics", "--ignored", "--nocapture"]);
    let mut console = Console::run(command, &[]);
    assert_ne!(console.wait_for_end(), 0);
    console.is_restored();
    let raw = String::from_utf8_lossy(&console.raw).into_owned();
    let left = raw.find("[?1049l").unwrap();
    let words = raw.find("the panic's own words").unwrap();
    assert!(left < words, "the message went to the alternate screen");
}

#[test]
fn a_rehearsal_is_walked_through_and_leaves_the_cluster_as_it_was() {
    let mut console = Console::start(&["workloads"], &[]);
    console.wait_for_data();
    console.keys("/cart\r");
    let is_whole = |console: &Console, text: &str| console.text().contains(text);
    console.wait_until("cart runs", |console| is_whole(console, "24/24"));
    console.keys("w");
    console.wait_until("the fork is there", |console| {
        is_whole(console, "REHEARSAL of default")
            && is_whole(console, "REHEARSAL ● live")
            && is_whole(console, "24/24")
    });
    // The cursor is where it was.
    console.keys("s");
    console.wait_until("the editor is open", |console| {
        is_whole(console, "replicas 24")
    });
    console.keys("\u{8}\u{8}26\r");
    console.wait_until("the change is a step or asks", |console| {
        is_whole(console, "1: scale deploy/cart=26") || is_whole(console, "nothing is sent")
    });
    if !is_whole(&console, "1: scale deploy/cart=26") {
        console.keys("\r");
    }
    console.wait_until("the change is a step", |console| {
        is_whole(console, "1: scale deploy/cart=26")
    });
    console.keys(">>");
    console.wait_until("its pods are ready in no time", |console| {
        is_whole(console, "26/26")
    });
    console.keys(":step lose rack=a01\r");
    console.wait_until("the rack is lost", |console| {
        is_whole(console, "2: lose rack=a01")
    });
    console.keys(":+10m\r");
    console.keys(":outcome\r");
    console.wait_until("the outcome is told", |console| {
        is_whole(console, "below target") && is_whole(console, "pods moved")
    });
    console.keys("q");
    console.wait_until("it is closed", |console| {
        !is_whole(console, "outcome of the rehearsal")
    });
    console.keys(":discard\r");
    console.wait_until("the real cluster is as it was", |console| {
        !is_whole(console, "REHEARSAL") && is_whole(console, "24/24")
    });
    console.signal(rustix::process::Signal::TERM);
    console.wait_for_end();
    console.is_restored();
}

/// A cluster that another process serves, as a real one is attached to.
struct Served {
    process: std::process::Child,
    kubeconfig: String,
    _folder: tempfile::TempDir,
}

impl Served {
    fn start(fleet: &str, manifests: &str) -> Self {
        Self::named("default", fleet, manifests)
    }

    fn named(cluster: &str, fleet: &str, manifests: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
        std::fs::write(path("fleet.yaml"), fleet).unwrap();
        std::fs::write(path("app.yaml"), manifests).unwrap();
        let mut process = std::process::Command::new(env!("CARGO_BIN_EXE_bayplan"))
            .args(["serve", "--no-local-node", "--data", ":memory:"])
            .args(["--cluster", cluster, "--listen", "127.0.0.1:0"])
            .args(["--fleet", &path("fleet.yaml"), "--apply", &path("app.yaml")])
            .args(["--write-kubeconfig", &path("kubeconfig")])
            .env("HOME", folder.path())
            .stdout(std::process::Stdio::piped())
            .spawn()
            .unwrap();
        let mut told = String::new();
        let mut out = std::io::BufReader::new(process.stdout.take().unwrap());
        std::io::BufRead::read_line(&mut out, &mut told).unwrap();
        assert!(told.starts_with("ready "), "{told}");
        Self {
            process,
            kubeconfig: path("kubeconfig"),
            _folder: folder,
        }
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        let _already_ended = self.process.kill();
        let _status = self.process.wait();
    }
}

const FLEET: &str = "machineTypes:
  std: {cpu: 8, memory: 32Gi}
regions:
- name: here
  zones:
  - name: za
    racks:
    - {name: a01, machines: {std: 2}}
    - {name: a02, machines: {std: 2}}
  - name: zb
    racks:
    - {name: b01, machines: {std: 2}}
";

const SHOP: &str = "apiVersion: apps/v1
kind: Deployment
metadata: {name: cart}
spec:
  replicas: 6
  selector: {matchLabels: {app: cart}}
  template:
    metadata: {labels: {app: cart}}
    spec:
      terminationGracePeriodSeconds: 1
      containers:
      - {name: app, image: 'cart:1', resources: {requests: {cpu: 500m, memory: 256Mi}}}
---
apiVersion: policy/v1
kind: PodDisruptionBudget
metadata: {name: cart}
spec: {minAvailable: 5, selector: {matchLabels: {app: cart}}}
";

#[test]
fn a_rehearsal_is_applied_and_reality_goes_as_foretold() {
    let served = Served::start(FLEET, SHOP);
    let mut console = Console::start(&["workloads", "--kubeconfig", &served.kubeconfig], &[]);
    let shows = |console: &Console, text: &str| console.text().contains(text);
    console.wait_until("cart runs", |console| {
        shows(console, "live") && shows(console, "6/6")
    });
    console.keys("w");
    console.wait_until("the fork is there", |console| {
        shows(console, "REHEARSAL ● live") && shows(console, "6/6")
    });
    for (place, step) in ["lose rack=a02", "scale deploy/cart=8", "drain a01-h01"]
        .into_iter()
        .enumerate()
    {
        console.keys(&format!(":step {step}\r"));
        // The band has no room for all of it.
        let verb = step.split(' ').next().unwrap_or_default();
        let told = format!("{}: {verb}", place + 1);
        console.wait_until("the step is taken", |console| shows(console, &told));
    }
    console.keys(":apply\r");
    console.wait_until("what would be done is told", |console| {
        shows(console, "1  lose rack=a02") && shows(console, "only rehearsed")
    });
    console.keys("\r");
    console.wait_until("the first real step is asked about", |console| {
        !shows(console, "REHEARSAL") && shows(console, "apply: scale deploy/cart=8")
    });
    assert!(
        shows(&console, "foretold: 2 pods created"),
        "{}",
        console.text()
    );
    console.keys("\r");
    console.wait_until("the drain is asked about", |console| {
        shows(console, "apply: drain a01-h01")
    });
    console.keys("\r");
    console.wait_until("all is as foretold", |console| {
        shows(console, "applied: 2 as foretold, 1 only rehearsed")
    });
    console.wait_until("reality has what was rehearsed", |console| {
        shows(console, "8/8")
    });
    console.keys(":nodes\r");
    console.wait_until("the node is cordoned", |console| {
        console
            .text()
            .lines()
            .any(|line| line.contains("a01-h01") && line.contains("⊘"))
    });
    console.signal(rustix::process::Signal::TERM);
    console.wait_for_end();
    console.is_restored();
}

#[test]
fn bindings_of_an_attached_cluster_are_compared_with_what_is_foretold() {
    let served = Served::start(FLEET, SHOP);
    let mut console = Console::start(&["workloads", "--kubeconfig", &served.kubeconfig], &[]);
    let shows = |console: &Console, text: &str| console.text().contains(text);
    console.wait_until("cart runs", |console| {
        shows(console, "live") && shows(console, "6/6")
    });
    console.keys("s");
    console.wait_until("the editor is open", |console| shows(console, "replicas 6"));
    console.keys("\u{8}12\r");
    console.wait_until("it is scaled or asks", |console| {
        shows(console, "12/12") || shows(console, "nothing is sent")
    });
    if !shows(&console, "12/12") {
        console.keys("\r");
    }
    console.wait_until("it is scaled", |console| shows(console, "12/12"));
    console.keys(":pulse\r");
    console.wait_until("bindings are compared", |console| {
        shows(console, "bindings as foretold")
    });
    // The same scheduler decides there, on the same objects: each time as foretold.
    let text = console.text();
    let said = text.split("bindings as foretold").next().unwrap();
    let words: Vec<&str> = said.split_whitespace().rev().take(5).collect();
    assert_eq!(words[1..4], ["last", "the", "of"], "{text}");
    assert_eq!(words[0], words[4], "{text}");
    console.keys(":fidelity\r");
    let full = format!(
        "Of the last {0} bindings, {0} went to one of the nodes",
        words[0]
    );
    console.wait_until("it is told in full", |console| {
        shows(console, &full) && shows(console, "scheduler extenders")
    });
    console.signal(rustix::process::Signal::TERM);
    console.wait_for_end();
    console.is_restored();
}

#[test]
fn what_was_changed_since_the_fork_stops_the_walk() {
    let served = Served::start(FLEET, SHOP);
    let mut console = Console::start(&["workloads", "--kubeconfig", &served.kubeconfig], &[]);
    let shows = |console: &Console, text: &str| console.text().contains(text);
    console.wait_until("cart runs", |console| {
        shows(console, "live") && shows(console, "6/6")
    });
    console.keys("w");
    console.wait_until("the fork is there", |console| {
        shows(console, "REHEARSAL ● live") && shows(console, "6/6")
    });
    console.keys(":step scale deploy/cart=8\r");
    console.wait_until("the step is taken", |console| shows(console, "1: scale"));
    // Somebody else scales it in reality.
    let mut other = Console::start(&["workloads", "--kubeconfig", &served.kubeconfig], &[]);
    other.wait_until("cart is there", |console| shows(console, "6/6"));
    other.keys("s");
    other.wait_until("the editor is open", |console| shows(console, "replicas 6"));
    other.keys("\u{8}7\r");
    other.wait_until("it is scaled or asks", |console| {
        shows(console, "7/7") || shows(console, "nothing is sent")
    });
    if !shows(&other, "7/7") {
        other.keys("\r");
    }
    other.wait_until("it is scaled", |console| shows(console, "7/7"));

    console.keys(":apply\r");
    console.wait_until("what would be done is told", |console| {
        shows(console, "foretold: 2 pods created")
    });
    console.keys("\r");
    console.wait_until("it stops before anything is sent", |console| {
        shows(console, "stopped before scale deploy/cart=8")
    });
    assert!(shows(&console, "7/7"), "{}", console.text());
    console.keys(":apply\r");
    console.wait_until("whoever goes on types the name", |console| {
        shows(console, "apply: scale deploy/cart=8") && shows(console, "spec.replicas 6 → 7")
    });
    console.keys("\r");
    console.wait_until("enter alone sends nothing", |console| {
        shows(console, "nothing was sent")
    });
    console.keys("cart\r");
    console.wait_until("it is sent", |console| shows(console, "8/8"));
}

#[test]
fn two_clusters_stand_side_by_side_and_one_that_dies_keeps_its_picture() {
    let one = Served::named("one", FLEET, SHOP);
    let mut two = Served::named("two", FLEET, SHOP);
    let kubeconfig = format!("{}:{}", one.kubeconfig, two.kubeconfig);
    let mut console = Console::start(
        &["domains", "--context", "bayplan-one,bayplan-two"],
        &[("KUBECONFIG", &kubeconfig)],
    );
    let shows = |console: &Console, text: &str| console.text().contains(text);
    console.wait_until("the service over both is told", |console| {
        shows(console, "if cluster bayplan-one is lost") && shows(console, "cart 6 of 12")
    });
    // Both fleets are in the same region.
    console.keys("l");
    console.wait_until("their region is one domain", |console| {
        shows(console, "SHARED-REGION") && shows(console, "machines of bayplan-one, bayplan-two")
    });
    console.keys("hj\r");
    console.wait_until("it works in the other one", |console| {
        shows(console, "now on bayplan-two") && shows(console, "cart 6 of 12")
    });
    let header = console.text().lines().next().unwrap_or_default().to_owned();
    assert!(
        header.starts_with(" bayplan  bayplan-two") && header.contains("+ bayplan-one"),
        "{header}"
    );
    console.keys(":ctx bayplan-one\r");
    console.wait_until("it is back", |console| {
        shows(console, "now on bayplan-one") && shows(console, "cart 6 of 12")
    });
    console.keys("1");
    console.wait_until("both are well", |console| {
        console.text().matches("nothing is broken").count() == 2
    });
    two.process.kill().unwrap();
    console.wait_until(
        "the other one is gone, and its picture is dated",
        |console| shows(console, "not reached: as of "),
    );
    console.keys("4");
    console.wait_until("the rest works", |console| {
        shows(console, "6/6") && shows(console, "bayplan-two ✕")
    });
    console.signal(rustix::process::Signal::TERM);
    console.wait_for_end();
    console.is_restored();
}
