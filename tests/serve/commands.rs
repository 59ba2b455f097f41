//! kubectl 1.32 into a container of the local node: commands with their exit codes, standard input,
//! terminals, streams joined, files copied, ports forwarded, use measured, and what is refused.

#![expect(
    clippy::disallowed_methods,
    reason = "a test waits for what other processes do"
)]

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::num::NonZero;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use portable_pty::{CommandBuilder, PtySize, native_pty_system};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::containers::{IMAGE, PATIENCE, Runs, is_ready, prepare, wait};
use crate::kubectl::program;
use crate::served::{Served, command};

/// A served cluster whose pod `web` runs on this machine, and kubectl for it.
struct Stage {
    kubectl: PathBuf,
    served: Served,
    _runs: Runs,
    folder: TempDir,
}

fn pod() -> Value {
    json!({
        "apiVersion": "v1", "kind": "Pod", "metadata": {"name": "web"},
        "spec": {
            "terminationGracePeriodSeconds": 1,
            "containers": [{
                "name": "app", "image": IMAGE,
                "command": ["/bin/sh", "-c", "while true; do sleep 1; done"],
                "env": [{"name": "COLOUR", "value": "blue"}],
                "workingDir": "/bin",
                "securityContext": {"runAsUser": 1234, "runAsGroup": 5678},
                "volumeMounts": [{"name": "data", "mountPath": "/data"}],
            }, {
                "name": "chat", "image": IMAGE, "stdin": true,
                "command": ["sh", "-c", "while read line; do echo heard $line; done"],
            }, {
                "name": "screen", "image": IMAGE, "stdin": true, "tty": true, "command": ["sh"],
            }, {
                "name": "files", "image": IMAGE, "command": ["httpd", "-f", "-p", "8080", "-h", "/bin"],
            }],
            "volumes": [{"name": "data", "emptyDir": {}}],
        },
    })
}

impl Stage {
    /// Why there is none, where containers or kubectl are missing.
    fn open() -> Result<Self, &'static str> {
        let folder = tempfile::tempdir().unwrap();
        let home = folder.path().join("home");
        let kubectl = program().ok_or("no kubectl on this machine")?;
        prepare(folder.path(), &home)?;
        let data = folder.path().join("data");
        let kubeconfig = folder.path().join("kubeconfig");
        let more = [
            "--local-node",
            "--write-kubeconfig",
            kubeconfig.to_str().unwrap(),
        ];
        let mut command = command(&data, &more);
        let runs = Runs(data.clone());
        let served = Served::spawn(&data, command.env("XDG_DATA_HOME", &home));
        let mut local = served.local();
        let pods = "/api/v1/namespaces/default/pods";
        let deadline = Instant::now() + PATIENCE;
        while local.send("POST", pods, &pod().to_string()).unwrap().0 != 201 {
            assert!(Instant::now() < deadline);
            std::thread::sleep(Duration::from_millis(50));
        }
        wait(&mut local, is_ready);
        Ok(Self {
            kubectl,
            served,
            _runs: runs,
            folder,
        })
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(&self.kubectl);
        command
            .args(arguments)
            .env("KUBECONFIG", self.folder.path().join("kubeconfig"))
            .env("HOME", self.folder.path());
        command
    }

    /// The exit code, what was written to both streams.
    fn run(&self, arguments: &[&str]) -> (Option<i32>, String, String) {
        let output = self.command(arguments).output().unwrap();
        (
            output.status.code(),
            String::from_utf8_lossy(&output.stdout).into_owned(),
            String::from_utf8_lossy(&output.stderr).into_owned(),
        )
    }

    /// In the container's shell.
    fn shell(&self, script: &str) -> (Option<i32>, String, String) {
        self.run(&["exec", "web", "-c", "app", "--", "sh", "-c", script])
    }

    fn close(self) {
        let mut local = self.served.local();
        let path = "/api/v1/namespaces/default/pods/web";
        local.send("DELETE", path, "").unwrap();
        wait(&mut local, |code, _| code == 404);
    }
}

/// Processes of this machine whose command line holds a text of their own.
fn running(marker: &str) -> usize {
    let entries = fs::read_dir("/proc").unwrap().flatten();
    entries
        .filter_map(|entry| fs::read(entry.path().join("cmdline")).ok())
        .filter(|line| {
            let line = String::from_utf8_lossy(line);
            line.starts_with("sleep") && line.contains(marker)
        })
        .count()
}

fn until(wanted: impl Fn() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !wanted() {
        assert!(Instant::now() < deadline);
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn commands_run_in_containers() {
    let stage = match Stage::open() {
        Ok(stage) => stage,
        Err(why) => {
            println!("skipped: {why}");
            return;
        }
    };
    plain(&stage);
    input(&stage);
    terminal(&stage);
    hung_up(&stage);
    refused(&stage);
    older_clients(&stage);
    attached(&stage);
    from_the_console(&stage);
    copied(&stage);
    forwarded(&stage);
    used(&stage);
    stage.close();
}

fn plain(stage: &Stage) {
    let (code, out, err) = stage.shell("echo out; echo err >&2; exit 3");
    assert_eq!((code, out.as_str()), (Some(3), "out\n"), "{err}");
    assert!(
        err.contains("err\n") && err.contains("command terminated with exit code 3"),
        "{err}"
    );
    // As the container's own process: its user, folder, variables and signals.
    let (_, out, _) = stage.shell("id -u; id -g; pwd; echo $COLOUR");
    assert_eq!(out, "1234\n5678\n/bin\nblue\n");
    let (_, status, _) = stage.run(&["exec", "web", "--", "cat", "/proc/self/status"]);
    let ignored = status
        .lines()
        .find_map(|line| line.strip_prefix("SigIgn:\t"))
        .unwrap();
    let ignored = u64::from_str_radix(ignored, 16).unwrap();
    assert_eq!(ignored & (1 << 12), 0, "broken pipes are ignored");
    let (code, _, err) = stage.run(&["exec", "web", "--", "no-such-command"]);
    assert!(
        code != Some(0) && err.contains("'no-such-command' not found in $PATH"),
        "{err}"
    );
    // What a command leaves running does not hold its caller.
    let begun = Instant::now();
    let (code, out, _) = stage.shell("sleep 30 & echo left");
    assert_eq!((code, out.as_str()), (Some(0), "left\n"));
    assert!(begun.elapsed() < Duration::from_secs(20));
}

fn input(stage: &Stage) {
    let text = "two lines\nof many\n".repeat(100_000);
    let mut child = stage
        .command(&["exec", "-i", "web", "--", "cat"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let said = text.clone();
    let writer = std::thread::spawn(move || stdin.write_all(said.as_bytes()).unwrap());
    let output = child.wait_with_output().unwrap();
    writer.join().unwrap();
    assert!(output.status.success());
    assert!(
        output.stdout == text.as_bytes(),
        "{} bytes",
        output.stdout.len()
    );
}

/// kubectl in a terminal.
struct Screen {
    child: Box<dyn portable_pty::Child + Send + Sync>,
    terminal: Box<dyn portable_pty::MasterPty + Send>,
    keys: Box<dyn Write + Send>,
    told: std::sync::mpsc::Receiver<Vec<u8>>,
    shown: vt100::Parser,
}

fn cells(count: u16) -> NonZero<u16> {
    NonZero::new(count).unwrap()
}

fn size(rows: u16, cols: u16) -> PtySize {
    PtySize {
        rows,
        cols,
        pixel_width: 0,
        pixel_height: 0,
    }
}

impl Screen {
    fn open(stage: &Stage, arguments: &[&str]) -> Self {
        Self::of(stage, &stage.kubectl, arguments)
    }

    fn of(stage: &Stage, program: &Path, arguments: &[&str]) -> Self {
        let pair = native_pty_system().openpty(size(33, 99)).unwrap();
        let mut builder = CommandBuilder::new(program);
        builder.args(arguments);
        builder.env("TERM", "xterm-256color");
        builder.env("KUBECONFIG", stage.folder.path().join("kubeconfig"));
        builder.env("HOME", stage.folder.path());
        let child = pair.slave.spawn_command(builder).unwrap();
        let mut screen = pair.master.try_clone_reader().unwrap();
        let (tell, told) = std::sync::mpsc::channel();
        std::thread::spawn(move || {
            let mut buffer = [0; 4096];
            while let Ok(length @ 1..) = screen.read(&mut buffer) {
                let _test_over = tell.send(buffer[..length].to_vec());
            }
        });
        Self {
            child,
            keys: pair.master.take_writer().unwrap(),
            terminal: pair.master,
            told,
            shown: vt100::Parser::new(cells(33), cells(99), 0),
        }
    }

    fn press(&mut self, keys: &str) {
        self.keys.write_all(keys.as_bytes()).unwrap();
    }

    /// Waits for a text among what is said from now on, or on the screen.
    #[track_caller]
    fn expect(&mut self, wanted: &str) {
        let mut seen = Vec::new();
        let holds = |seen: &[u8], screen: &vt100::Parser| {
            String::from_utf8_lossy(seen).contains(wanted)
                || screen.screen().contents().contains(wanted)
        };
        while !holds(&seen, &self.shown) {
            match self.told.recv_timeout(PATIENCE) {
                Ok(more) => {
                    self.shown.process(&more);
                    seen.extend(more);
                }
                Err(error) => panic!(
                    "{error}: no {wanted:?} in {:?}\n{}",
                    String::from_utf8_lossy(&seen),
                    self.shown.screen().contents()
                ),
            }
        }
    }
}

fn attached(stage: &Stage) {
    let mut child = stage
        .command(&["attach", "-i", "web", "-c", "chat"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    child
        .stdin
        .as_mut()
        .unwrap()
        .write_all(b"one\ntwo\n")
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    assert_eq!(lines.next().unwrap().unwrap(), "heard one");
    assert_eq!(lines.next().unwrap().unwrap(), "heard two");
    // Who leaves does not end it.
    child.kill().unwrap();
    child.wait().unwrap();
    let (_, log, _) = stage.run(&["logs", "web", "-c", "chat"]);
    assert_eq!(log, "heard one\nheard two\n");

    let mut screen = Screen::open(stage, &["attach", "-it", "web", "-c", "screen"]);
    screen.press("while ! stty size | grep -q '33 99'; do :; done; echo a${TERM}z\n");
    screen.expect("axtermz\r\n");
    screen.child.kill().unwrap();
    screen.child.wait().unwrap();
}

/// The console lends its terminal to a shell, and has it back when that ends.
fn from_the_console(stage: &Stage) {
    const TAKEN: &str = "\x1b[?1049h";
    let kubeconfig = stage.folder.path().join("kubeconfig");
    let options = ["pods", "--kubeconfig", kubeconfig.to_str().unwrap()];
    let console = Path::new(env!("CARGO_BIN_EXE_bayplan"));
    let mut screen = Screen::of(stage, console, &options);
    screen.expect("web");
    // In the pod, on its container.
    screen.press("\r");
    screen.expect("chat");
    screen.press("x");
    screen.expect("shell in app of web; ctrl-] leaves");
    screen.press("while ! stty size | grep -q '33 99'; do :; done; echo a$((40 + 2))z; id -u\r");
    screen.expect("a42z\r\n1234");
    screen.terminal.resize(size(40, 120)).unwrap();
    let shown = screen.shown.screen_mut();
    shown.set_size(cells(40), cells(120));
    screen.press("while stty size | grep -q 33; do :; done; echo b$((40 + 3))z\r");
    screen.expect("b43z");
    screen.press("exit 7\r");
    screen.expect(TAKEN);
    screen.expect("exit code 7: back from container app of pod web");
    // What is typed is the console's again.
    screen.press("?");
    screen.expect("keys and words");
    screen.press("\x1b");
    screen.press("x");
    screen.expect("shell in app of web");
    screen.press("sleep 45678\r");
    until(|| running("45678") == 1);
    screen.press("\x1d");
    screen.expect(TAKEN);
    until(|| running("45678") == 0);
    screen.child.kill().unwrap();
    screen.child.wait().unwrap();

    let mut screen = Screen::of(stage, console, &[&options[..], &["--read-only"]].concat());
    screen.expect("web");
    screen.press("x");
    screen.expect("`shell` is for changes, and this session is read-only");
    screen.child.kill().unwrap();
    screen.child.wait().unwrap();
}

fn terminal(stage: &Stage) {
    let mut screen = Screen::open(stage, &["exec", "-it", "web", "-c", "app", "--", "sh"]);
    // A shell asks its terminal where the cursor is.
    screen.expect("\x1b[6n");
    screen.press("echo $TERM; while ! stty size | grep -q 33; do :; done; stty size\n");
    screen.expect("xterm\r\n33 99\r\n");
    screen.terminal.resize(size(40, 120)).unwrap();
    screen.press("while stty size | grep -q 33; do :; done; stty size\n");
    screen.expect("\n40 120\r\n");
    // ^C is the command's, not kubectl's.
    screen.press("sleep 12345\n");
    until(|| running("12345") == 1);
    screen.press("\x03");
    until(|| running("12345") == 0);
    screen.press("exit 7\n");
    assert_eq!(screen.child.wait().unwrap().exit_code(), 7);
}

/// Who hangs up takes the command along, also one that reads nothing.
fn hung_up(stage: &Stage) {
    let mut child = stage
        .command(&[
            "exec",
            "-i",
            "web",
            "--",
            "sh",
            "-c",
            "sleep 23456 & sleep 34567",
        ])
        .stdin(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let writer = std::thread::spawn(move || while stdin.write_all(&[b'y'; 4096]).is_ok() {});
    until(|| running("23456") == 1 && running("34567") == 1);
    child.kill().unwrap();
    child.wait().unwrap();
    until(|| running("23456") == 0 && running("34567") == 0);
    writer.join().unwrap();
}

fn refused(stage: &Stage) {
    let (code, _, err) = stage.run(&["exec", "web", "--as", "bob", "--", "cat", "/etc/passwd"]);
    assert!(code != Some(0) && err.contains("Forbidden"), "{err}");
    let (_, _, err) = stage.run(&["exec", "web", "-c", "other", "--", "cat"]);
    assert_eq!(
        err.trim(),
        "Error from server (BadRequest): container other is not valid for pod web"
    );
    let (_, _, err) = stage.run(&["exec", "absent", "--", "cat"]);
    assert_eq!(
        err.trim(),
        "Error from server (NotFound): pods \"absent\" not found"
    );
}

/// SPDY, which kubectl spoke before 1.31.
fn older_clients(stage: &Stage) {
    let run = |arguments: &[&str], input: &[u8]| {
        let mut child = stage
            .command(arguments)
            .env("KUBECTL_REMOTE_COMMAND_WEBSOCKETS", "false")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut stdin = child.stdin.take().unwrap();
        let input = input.to_vec();
        let writer = std::thread::spawn(move || stdin.write_all(&input));
        let output = child.wait_with_output().unwrap();
        let _command_need_not_read = writer.join().unwrap();
        output
    };
    let text = b"some lines\n".repeat(50_000);
    let output = run(&["exec", "-i", "web", "-c", "app", "--", "cat"], &text);
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && output.stdout == text, "{error}");
    let script = "echo err >&2; exit 5";
    let output = run(&["exec", "web", "-c", "app", "--", "sh", "-c", script], b"");
    let error = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(5), "{error}");
    assert!(error.starts_with("err\n"), "{error}");
}

fn copied(stage: &Stage) {
    let from = stage.folder.path().join("from");
    fs::create_dir_all(from.join("deep")).unwrap();
    fs::write(from.join("small"), "hello\n").unwrap();
    let big: Vec<u8> = (0..3_000_000u32).flat_map(u32::to_le_bytes).collect();
    fs::write(from.join("deep/big"), &big).unwrap();
    let there = from.to_str().unwrap();
    let (code, _, err) = stage.run(&["cp", "-c", "app", there, "web:/data/in"]);
    assert_eq!(code, Some(0), "{err}");
    assert_eq!(stage.shell("cat /data/in/small").1, "hello\n");
    let back = stage.folder.path().join("back");
    let (code, _, err) = stage.run(&["cp", "-c", "app", "web:/data/in", back.to_str().unwrap()]);
    assert_eq!(code, Some(0), "{err}");
    assert_eq!(fs::read(back.join("small")).unwrap(), b"hello\n");
    assert!(fs::read(back.join("deep/big")).unwrap() == big);
}

fn forwarded(stage: &Stage) {
    let served = fs::read(crate::containers::shell().unwrap()).unwrap();
    for websockets in ["true", "false"] {
        let (mut child, port) = forward(stage, "8080", websockets);
        let fetches: Vec<_> = (0..4)
            .map(|_| std::thread::spawn(move || fetch(port)))
            .collect();
        for fetched in fetches {
            assert!(
                fetched.join().unwrap() == served,
                "web sockets: {websockets}"
            );
        }
        child.kill().unwrap();
        child.wait().unwrap();
    }
    // Nobody listens there: kubectl says so and gives up.
    let (child, port) = forward(stage, "9", "true");
    let mut socket = std::net::TcpStream::connect(("127.0.0.1", port)).unwrap();
    assert_eq!(socket.read_to_end(&mut Vec::new()).unwrap_or(0), 0);
    let output = child.wait_with_output().unwrap();
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(
        error.contains("failed to connect to localhost:9 inside"),
        "{error}"
    );

    let kubeconfig = stage.folder.path().join("kubeconfig");
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let fetched = runtime.block_on(fetch_on_channels(&kubeconfig));
    assert!(fetched == served, "{} bytes", fetched.len());
}

/// `kubectl port-forward` and the port that it chose.
fn forward(stage: &Stage, port: &str, websockets: &str) -> (Child, u16) {
    let mut child = stage
        .command(&["port-forward", "pod/web", &format!(":{port}")])
        .env("KUBECTL_PORT_FORWARD_WEBSOCKETS", websockets)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.as_mut().unwrap())
        .read_line(&mut line)
        .unwrap();
    let port = line
        .strip_prefix("Forwarding from 127.0.0.1:")
        .and_then(|rest| rest.split_once(' '))
        .and_then(|(port, _)| port.parse().ok());
    (child, port.unwrap_or_else(|| panic!("{line:?}")))
}

const REQUEST: &[u8] = b"GET /sh HTTP/1.0\r\n\r\n";

fn body(answer: &[u8]) -> Vec<u8> {
    let head = answer
        .windows(4)
        .position(|four| four == b"\r\n\r\n")
        .unwrap();
    answer[head + 4..].to_vec()
}

fn fetch(port: u16) -> Vec<u8> {
    let mut socket = std::net::TcpStream::connect(("127.0.0.1", port)).unwrap();
    socket.write_all(REQUEST).unwrap();
    let mut answer = Vec::new();
    socket.read_to_end(&mut answer).unwrap();
    body(&answer)
}

/// Over `v4.channel.k8s.io`, as the clients of other languages do it.
async fn fetch_on_channels(kubeconfig: &Path) -> Vec<u8> {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let kubeconfig = kube::config::Kubeconfig::read_from(kubeconfig).unwrap();
    let options = kube::config::KubeConfigOptions::default();
    let config = kube::Config::from_custom_kubeconfig(kubeconfig, &options).await;
    let client = kube::Client::try_from(config.unwrap()).unwrap();
    let pods: kube::Api<k8s_openapi::api::core::v1::Pod> = kube::Api::default_namespaced(client);
    let mut forwarder = pods.portforward("web", &[8080]).await.unwrap();
    let mut stream = forwarder.take_stream(8080).unwrap();
    stream.write_all(REQUEST).await.unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await.unwrap();
    body(&answer)
}

fn used(stage: &Stage) {
    let measured = || {
        let (code, out, _) = stage.run(&["top", "pod", "web", "--containers", "--no-headers"]);
        (code == Some(0)).then_some(out)
    };
    until(|| measured().is_some());
    let rows = measured().unwrap();
    let names: Vec<&str> = rows
        .lines()
        .filter_map(|row| row.split_whitespace().nth(1))
        .collect();
    assert_eq!(names, ["app", "chat", "files", "screen"], "{rows}");
    let (_, out, err) = stage.run(&["top", "node", "--no-headers"]);
    assert!(out.contains('%') && out.contains("Mi"), "{out}{err}");
    let (_, out, _) = stage.run(&[
        "get",
        "--raw",
        "/apis/metrics.k8s.io/v1beta1/pods?labelSelector=a=b",
    ]);
    let list: Value = serde_json::from_str(&out).unwrap();
    assert_eq!(
        (&list["kind"], &list["items"]),
        (&json!("PodMetricsList"), &json!([]))
    );
}
