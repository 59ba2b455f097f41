//! The local node beside `runc` and `crun` by hand: start of a pod, a hundred pods, what an idle pod
//! costs, a log at full speed, the pods' wire and names. One JSON line a measurement.
//!
//! Needs root, a static busybox and a machine on which root may make namespaces; says why it skips.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    clippy::disallowed_methods,
    reason = "a measurement that cannot go on has failed, and it waits for other processes"
)]

#[cfg(target_os = "linux")]
#[expect(
    dead_code,
    unused_imports,
    reason = "the tests of the local node use the rest"
)]
#[path = "../../tests/serve/containers.rs"]
mod containers;
#[cfg(target_os = "linux")]
#[expect(dead_code, reason = "the tests of a served cluster use the rest")]
#[path = "../../tests/serve/served.rs"]
mod served;

#[cfg(target_os = "linux")]
mod wire;

#[cfg(target_os = "linux")]
fn main() {
    node::main();
}

#[cfg(not(target_os = "linux"))]
fn main() {}

#[cfg(target_os = "linux")]
mod node {
    use std::fs;
    use std::path::{Path, PathBuf};
    use std::process::{Command, Stdio};
    use std::time::{Duration, Instant};

    use rustix::process::{Pid, Signal, kill_process};
    use serde_json::{Value, json};
    use tokio::signal::unix::{SignalKind, signal};

    use crate::containers::{IMAGE, Runs, prepare, shell};
    use crate::served::{Local, Served, command};

    const PODS: &str = "/api/v1/namespaces/default/pods";
    const STARTS: usize = 20;
    const MANY: usize = 100;
    const LOG_BYTES: u64 = 2_560_000_000;
    const FOLLOWED_BYTES: u64 = 512_000_000;
    const BLOCK_BYTES: u64 = 12_800_000;
    const PATIENCE: Duration = Duration::from_mins(3);

    pub fn main() {
        let folder = tempfile::tempdir().unwrap();
        let home = folder.path().join("home");
        if let Err(why) = prepare(folder.path(), &home) {
            println!("{}", json!({"skipped": why}));
            return;
        }
        let data = folder.path().join("data");
        let mut command = command(&data, &["--local-node"]);
        let _runs = Runs(data.clone());
        let served = Served::spawn(&data, command.env("XDG_DATA_HOME", &home));
        end_when_interrupted(served.pid());
        let mut local = served.local();
        begin(&mut local);
        let wanted: Vec<String> = std::env::args().skip(1).collect();
        let wants = |part: &str| {
            let mut named = wanted
                .iter()
                .filter(|word| !word.starts_with('-'))
                .peekable();
            named.peek().is_none() || named.any(|word| word == part)
        };
        if wants("start") {
            starts(&mut local);
            by_hand(folder.path());
        }
        if wants("many") {
            many(&mut local, &data);
        }
        if wants("log") {
            log(&mut local, &data);
            follow(&served, &mut local);
        }
        if wants("wire") {
            wire(&mut local, &data);
        }
    }

    /// Whoever breaks a measurement off ends its server: what is asked of it next fails then, and takes
    /// away what runs as any failure does.
    fn end_when_interrupted(server: Pid) {
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_io()
                .build()
                .unwrap();
            runtime.block_on(async {
                let mut terminated = signal(SignalKind::terminate()).unwrap();
                let mut interrupted = signal(SignalKind::interrupt()).unwrap();
                tokio::select! {
                    biased;
                    _ = terminated.recv() => {}
                    _ = interrupted.recv() => {}
                }
            });
            let _ended_already = kill_process(server, Signal::KILL);
        });
    }

    fn pod(name: &str, containers: &[(&str, &str)]) -> String {
        let containers: Vec<Value> = containers
            .iter()
            .map(|(name, script)| {
                json!({"name": name, "image": IMAGE, "command": ["/bin/sh", "-c", script]})
            })
            .collect();
        json!({
            "apiVersion": "v1", "kind": "Pod", "metadata": {"name": name},
            "spec": {
                "restartPolicy": "Never", "terminationGracePeriodSeconds": 0,
                "automountServiceAccountToken": false, "containers": containers,
            },
        })
        .to_string()
    }

    fn get(local: &mut Local, name: &str) -> (u16, Value) {
        local.send("GET", &format!("{PODS}/{name}"), "").unwrap()
    }

    fn until(pause: Duration, mut holds: impl FnMut() -> bool) -> Duration {
        let begun = Instant::now();
        while !holds() {
            assert!(begun.elapsed() < PATIENCE);
            std::thread::sleep(pause);
        }
        begun.elapsed()
    }

    fn runs(pod: &Value) -> bool {
        let statuses = pod["status"]["containerStatuses"].as_array();
        statuses.is_some_and(|all| all.iter().all(|one| one["state"]["running"].is_object()))
    }

    /// The first pod waits for the service account and warms what is read.
    fn begin(local: &mut Local) {
        until(Duration::from_millis(50), || {
            let (_, nodes) = local.send("GET", "/api/v1/nodes", "").unwrap();
            nodes["items"].as_array().is_some_and(|all| !all.is_empty())
        });
        let first = pod("first", &[("app", "sleep 1000")]);
        until(Duration::from_millis(50), || {
            local.send("POST", PODS, &first).unwrap().0 == 201
        });
        until(Duration::from_millis(5), || runs(&get(local, "first").1));
        delete(local, "first");
    }

    fn delete(local: &mut Local, name: &str) {
        local.send("DELETE", &format!("{PODS}/{name}"), "").unwrap();
        until(Duration::from_millis(5), || get(local, name).0 == 404);
    }

    /// From the request to both containers running, as the API tells it.
    fn starts(local: &mut Local) {
        let object = pod("two", &[("app", "sleep 1000"), ("side", "sleep 1000")]);
        let mut all = Vec::new();
        for _ in 0..STARTS {
            let begun = Instant::now();
            assert_eq!(local.send("POST", PODS, &object).unwrap().0, 201);
            until(Duration::from_millis(1), || runs(&get(local, "two").1));
            all.push(begun.elapsed());
            delete(local, "two");
        }
        tell("start a pod of two containers", "bayplan", all);
    }

    fn tell(what: &str, with: &str, mut all: Vec<Duration>) {
        all.sort_unstable();
        let ms = |time: &Duration| (time.as_secs_f64() * 1e4).round() / 10.0;
        println!(
            "{}",
            json!({
                "what": what, "with": with, "runs": all.len(), "median_ms": ms(&all[all.len() / 2]),
                "least_ms": ms(&all[0]), "most_ms": ms(&all[all.len() - 1]),
            })
        );
    }

    /// Two containers of a low-level runtime in one network namespace, one after the other: no API,
    /// no network to anywhere, no log, no images.
    fn by_hand(folder: &Path) {
        for runtime in ["runc", "crun"] {
            let found = Command::new(runtime)
                .arg("--version")
                .stdout(Stdio::null())
                .status();
            if !found.is_ok_and(|status| status.success()) {
                println!("{}", json!({"with": runtime, "skipped": "not installed"}));
                continue;
            }
            let bundle = bundle(folder, runtime);
            let run = |arguments: &[&str]| {
                let mut command = Command::new(runtime);
                command.args(arguments).current_dir(&bundle);
                command
                    .stdin(Stdio::null())
                    .stdout(Stdio::null())
                    .stderr(Stdio::null());
                command.status().unwrap().success()
            };
            if !run(&["run", "--detach", "bayplan-bench-try"]) {
                println!(
                    "{}",
                    json!({"with": runtime, "skipped": "runs no container here"})
                );
                continue;
            }
            run(&["delete", "--force", "bayplan-bench-try"]);
            let names = ["bayplan-bench-a", "bayplan-bench-b"];
            let mut all = Vec::new();
            for _ in 0..STARTS {
                let begun = Instant::now();
                for name in names {
                    assert!(run(&["run", "--detach", name]), "{runtime} {name}");
                }
                all.push(begun.elapsed());
                for name in names {
                    run(&["delete", "--force", name]);
                }
            }
            tell("start two containers by hand", runtime, all);
        }
    }

    fn bundle(folder: &Path, runtime: &str) -> PathBuf {
        let bundle = folder.join(format!("bundle-{runtime}"));
        let binaries = bundle.join("rootfs/bin");
        fs::create_dir_all(&binaries).unwrap();
        fs::copy(shell().unwrap(), binaries.join("sh")).unwrap();
        let made = Command::new(runtime)
            .arg("spec")
            .current_dir(&bundle)
            .status();
        assert!(made.unwrap().success());
        let path = bundle.join("config.json");
        let mut spec: Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
        spec["process"]["terminal"] = json!(false);
        spec["process"]["args"] = json!(["/bin/sh", "-c", "sleep 1000"]);
        fs::write(path, spec.to_string()).unwrap();
        bundle
    }

    /// What these processes hold, in KiB.
    #[derive(Clone, Copy, Default)]
    struct Memory {
        /// Proportional set size: a shared page counts once in all.
        all: u64,
        /// What no other process has.
        private: u64,
    }

    fn memory(wanted: impl Fn(&str) -> bool) -> Memory {
        let processes = fs::read_dir("/proc").unwrap().flatten().filter(|process| {
            fs::read(process.path().join("cmdline"))
                .is_ok_and(|line| wanted(&String::from_utf8_lossy(&line)))
        });
        let mut memory = Memory::default();
        for process in processes {
            let Ok(text) = fs::read_to_string(process.path().join("smaps_rollup")) else {
                continue;
            };
            for line in text.lines() {
                let mut words = line.split_whitespace();
                let (name, kib) = (words.next().unwrap(), words.next());
                let kib = || kib.unwrap().parse::<u64>().unwrap();
                match name {
                    "Pss:" => memory.all += kib(),
                    "Private_Dirty:" | "Private_Clean:" => memory.private += kib(),
                    _ => {}
                }
            }
        }
        memory
    }

    fn many(local: &mut Local, data: &Path) {
        for containers in [&["app"][..], &["app", "side"]] {
            idle(local, data, containers);
        }
    }

    /// A hundred pods of these containers: how soon they run, and what of our own they cost. Whatever
    /// the server or the shims take more than before counts, pages of files, too.
    fn idle(local: &mut Local, data: &Path, containers: &[&str]) {
        let own = data.to_string_lossy().into_owned();
        let is_server = |line: &str| line.contains("\0serve\0") && line.contains(&own);
        let is_shim = |line: &str| line.contains("container-shim") && line.contains(&own);
        let before = memory(is_server);
        let scripts: Vec<_> = containers
            .iter()
            .map(|name| (*name, "sleep 1000"))
            .collect();
        let begun = Instant::now();
        for n in 0..MANY {
            let object = pod(&format!("many-{n}"), &scripts);
            assert_eq!(local.send("POST", PODS, &object).unwrap().0, 201);
        }
        until(Duration::from_millis(20), || {
            let (_, list) = local.send("GET", PODS, "").unwrap();
            list["items"].as_array().unwrap().iter().all(runs)
        });
        let ms = begun.elapsed().as_millis();
        println!(
            "{}",
            json!({
                "what": "100 pods to running", "with": "bayplan",
                "containers": containers.len(), "ms": ms,
            })
        );
        std::thread::sleep(Duration::from_secs(5));
        let (shims, server) = (memory(is_shim), memory(is_server));
        let each = |kib: u64| kib / MANY as u64;
        println!(
            "{}",
            json!({
                "what": "memory of our own for an idle pod", "with": "bayplan",
                "containers": containers.len(),
                "kib": each((shims.all + server.all).saturating_sub(before.all)),
                "shims_kib": each(shims.all), "shims_private_kib": each(shims.private),
                "server_kib": each(server.all.saturating_sub(before.all)),
            })
        );
        let begun = Instant::now();
        local.send("DELETE", PODS, "").unwrap();
        until(Duration::from_millis(20), || {
            let (_, list) = local.send("GET", PODS, "").unwrap();
            list["items"].as_array().unwrap().is_empty()
        });
        let ms = begun.elapsed().as_millis();
        println!(
            "{}",
            json!({
                "what": "100 pods away", "with": "bayplan",
                "containers": containers.len(), "ms": ms,
            })
        );
    }

    /// Lines of 128 bytes, so many bytes in all, as fast as a shell can: a block of them that is made
    /// once, over and over.
    fn says(bytes: u64) -> String {
        let blocks = bytes / BLOCK_BYTES;
        format!(
            "yes \"$(printf %0127d 7)\" | head -c {BLOCK_BYTES} > /dev/shm/block; n=0; \
             while [ $n -lt {blocks} ]; do cat /dev/shm/block; n=$((n+1)); done"
        )
    }

    /// From the container's start to the last line on disk.
    fn log(local: &mut Local, data: &Path) {
        let script = says(LOG_BYTES);
        let object = pod("loud", &[("app", &script)]);
        assert_eq!(local.send("POST", PODS, &object).unwrap().0, 201);
        until(Duration::from_millis(20), || {
            get(local, "loud").1["status"]["phase"] == "Succeeded"
        });
        let uid = get(local, "loud").1["metadata"]["uid"].clone();
        let run = data.join(format!(
            "node/pods/{}/containers/app-0",
            uid.as_str().unwrap()
        ));
        let at = |file: &str| fs::metadata(run.join(file)).unwrap().modified().unwrap();
        let took = at("exit.json").duration_since(at("started.json")).unwrap();
        let rate = LOG_BYTES as f64 / took.as_secs_f64() / 1e6;
        println!(
            "{}",
            json!({
                "what": "log of one container to disk, lines of 128 bytes", "with": "bayplan",
                "bytes": LOG_BYTES, "mb_per_s": rate.round(),
            })
        );
        delete(local, "loud");
    }

    /// A log at full speed, followed over the API meanwhile.
    fn follow(served: &Served, local: &mut Local) {
        let script = says(FOLLOWED_BYTES);
        let object = pod("followed", &[("app", &script)]);
        assert_eq!(local.send("POST", PODS, &object).unwrap().0, 201);
        until(Duration::from_millis(5), || {
            let (_, pod) = get(local, "followed");
            let state = &pod["status"]["containerStatuses"][0]["state"];
            state["running"].is_object() || state["terminated"].is_object()
        });
        let begun = Instant::now();
        let mut stream = served.local();
        let text = stream.stream(&format!("{PODS}/followed/log?follow=true"));
        let took = begun.elapsed();
        // Sizes of chunks stand between the lines.
        let lines = text
            .unwrap()
            .lines()
            .filter(|line| line.len() == 127)
            .count();
        let rate = lines as f64 * 128.0 / took.as_secs_f64() / 1e6;
        println!(
            "{}",
            json!({
                "what": "log of one container followed over the API", "with": "bayplan",
                "lines_written": FOLLOWED_BYTES / 128, "lines_received": lines, "mb_per_s": rate.round(),
            })
        );
        delete(local, "followed");
    }

    fn wire(local: &mut Local, data: &Path) {
        let mut pods = Vec::new();
        for name in ["near", "far"] {
            let object = pod(name, &[("app", "sleep 1000")]);
            assert_eq!(local.send("POST", PODS, &object).unwrap().0, 201);
            until(Duration::from_millis(20), || runs(&get(local, name).1));
            let (_, pod) = get(local, name);
            let text = |pointer: &str| pod.pointer(pointer).unwrap().as_str().unwrap().to_owned();
            let namespace = data.join("node/netns").join(text("/metadata/uid"));
            pods.push((namespace, text("/status/podIP")));
        }
        super::wire::tcp([&pods[0].0, &pods[1].0], &pods[1].1);
        super::wire::names(&pods[0].0, "kubernetes.default.svc.cluster.local");
        for name in ["near", "far"] {
            delete(local, name);
        }
    }
}
