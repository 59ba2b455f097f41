//! Lives of pods on the local node: as whom they run, what they may, how they end, what outlives
//! them, and bad input.

#![expect(
    clippy::disallowed_methods,
    reason = "a test waits for what other processes do"
)]

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::containers::{IMAGE, PATIENCE, Runs, prepare};
use crate::names::unchunked;
use crate::served::{Local, Served, command};

pub const PODS: &str = "/api/v1/namespaces/default/pods";
const CLAIMS: &str = "/api/v1/namespaces/default/persistentvolumeclaims";

pub struct Stage {
    local: Local,
    served: Served,
    pub data: PathBuf,
    _runs: Runs,
    folder: tempfile::TempDir,
}

impl Stage {
    pub fn open() -> Result<Self, &'static str> {
        let folder = tempfile::tempdir().unwrap();
        let home = folder.path().join("home");
        prepare(folder.path(), &home)?;
        let data = folder.path().join("data");
        let mut command = command(&data, &["--local-node"]);
        let served = Served::spawn(&data, command.env("XDG_DATA_HOME", &home));
        let mut stage = Self {
            local: served.local(),
            served,
            _runs: Runs(data.clone()),
            data,
            folder,
        };
        stage.wait("/api/v1/nodes", |_, nodes| {
            let node = &nodes["items"][0];
            let is_tainted = node["spec"]["taints"]
                .as_array()
                .is_some_and(|it| !it.is_empty());
            !node["status"]["addresses"].is_null() && !is_tainted
        });
        Ok(stage)
    }

    pub fn restart(&mut self) {
        self.restart_after(|| ());
    }

    /// Does something else while nobody serves.
    pub fn restart_after(&mut self, meanwhile: impl FnOnce()) {
        self.served.kill();
        meanwhile();
        let mut command = command(&self.data, &["--local-node"]);
        let home = self.folder.path().join("home");
        self.served = Served::spawn(&self.data, command.env("XDG_DATA_HOME", home));
        self.local = self.served.local();
    }

    /// A pod of one container that says so in a shell; its restart policy is `Never`.
    pub fn create(&mut self, name: &str, script: &str, container: Value, spec: Value) {
        let mut pod = json!({
            "apiVersion": "v1", "kind": "Pod", "metadata": {"name": name},
            "spec": {
                "restartPolicy": "Never", "terminationGracePeriodSeconds": 1,
                "containers": [{
                    "name": "app", "image": IMAGE, "command": ["/bin/sh", "-c", script],
                }],
            },
        });
        for (part, more) in [("/spec/containers/0", container), ("/spec", spec)] {
            if let (Some(Value::Object(part)), Value::Object(more)) = (pod.pointer_mut(part), more)
            {
                part.extend(more);
            }
        }
        self.post(PODS, &pod);
    }

    #[track_caller]
    pub fn post(&mut self, path: &str, object: &Value) {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let (code, answer) = self.local.send("POST", path, &object.to_string()).unwrap();
            if code == 201 {
                return;
            }
            // The service account that admission asks for is made by a controller.
            assert!(Instant::now() < deadline, "{answer:#}");
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    #[track_caller]
    pub fn wait(&mut self, path: &str, wanted: impl Fn(u16, &Value) -> bool) -> Value {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let (code, object) = self.local.send("GET", path, "").unwrap();
            if wanted(code, &object) {
                return object;
            }
            assert!(Instant::now() < deadline, "{code} {object:#}");
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// How its container ended.
    #[track_caller]
    pub fn ended(&mut self, name: &str) -> Value {
        let path = format!("{PODS}/{name}");
        let pod = self.wait(&path, |_, pod| {
            matches!(
                pod["status"]["phase"].as_str(),
                Some("Failed" | "Succeeded")
            )
        });
        pod["status"]["containerStatuses"][0]["state"]["terminated"].clone()
    }

    pub fn log(&self, name: &str) -> String {
        self.log_of(name, "app")
    }

    pub fn log_of(&self, name: &str, container: &str) -> String {
        let mut local = self.served.local();
        let path = format!("{PODS}/{name}/log?container={container}");
        unchunked(&local.stream(&path).unwrap())
    }

    /// The log until the container's end, read as it is written.
    pub fn followed(&self, name: &str) -> String {
        let path = format!("{PODS}/{name}/log?follow=true");
        unchunked(&self.served.local().stream(&path).unwrap())
    }

    /// The log, once it has so many lines.
    #[track_caller]
    pub fn log_until(&self, name: &str, lines: usize) -> String {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let log = self.log(name);
            if log.lines().count() >= lines {
                return log;
            }
            assert!(Instant::now() < deadline, "{log}");
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    pub fn events(&mut self, name: &str) -> Vec<(String, String)> {
        let path = "/api/v1/namespaces/default/events";
        let (_, list) = self.local.send("GET", path, "").unwrap();
        let events = list["items"].as_array().unwrap().iter();
        let own = events.filter(|event| event["involvedObject"]["name"] == name);
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        own.map(|event| (text(&event["reason"]), text(&event["message"])))
            .collect()
    }

    #[track_caller]
    pub fn delete(&mut self, path: &str) -> Duration {
        let begun = Instant::now();
        self.local.send("DELETE", path, "").unwrap();
        self.wait(path, |code, _| code == 404);
        begun.elapsed()
    }

    pub fn close(mut self) {
        let (_, list) = self.local.send("GET", PODS, "").unwrap();
        for pod in list["items"].as_array().unwrap() {
            self.delete(&format!(
                "{PODS}/{}",
                pod["metadata"]["name"].as_str().unwrap()
            ));
        }
        // A pod that has ended is gone from the cluster before it is from the machine.
        until(|| fs::read_dir(self.data.join("node/pods")).unwrap().count() == 0);
        let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap();
        let volumes = self.data.join("node/pods");
        assert!(!mounts.contains(volumes.to_str().unwrap()), "{mounts}");
    }
}

/// Commands of this machine that sleep so long.
pub fn sleepers(seconds: &str) -> usize {
    let entries = fs::read_dir("/proc").unwrap().flatten();
    let lines = entries.filter_map(|entry| fs::read(entry.path().join("cmdline")).ok());
    lines
        .filter(|line| {
            let line = String::from_utf8_lossy(line);
            line.starts_with("sleep") && line.contains(seconds)
        })
        .count()
}

#[test]
fn pods_live_and_end_as_they_are_told() {
    let mut stage = match Stage::open() {
        Ok(stage) => stage,
        Err(why) => {
            println!("skipped: {why}");
            return;
        }
    };
    confined(&mut stage);
    refused(&mut stage);
    hooks(&mut stage);
    probed(&mut stage);
    last_words(&mut stage);
    kept(&mut stage);
    one_port(&mut stage);
    stage.close();
}

fn confined(stage: &mut Stage) {
    let script = "id -u; id -g; id -G; pwd; grep -E 'CapBnd|NoNewPrivs' /proc/self/status
        touch /x 2>/dev/null || echo read-only
        touch /data/x; stat -c %g /data/x
        head -c 2000000 /dev/zero > /memory/x 2>/dev/null || echo full; stat -c %s /memory/x
        echo words > /last-words; exit 3";
    stage.create(
        "confined",
        script,
        json!({
            "workingDir": "/made/by/order",
            "terminationMessagePath": "/last-words",
            "securityContext": {
                "readOnlyRootFilesystem": true, "allowPrivilegeEscalation": false,
                "capabilities": {"drop": ["ALL"], "add": ["NET_BIND_SERVICE"]},
            },
            "volumeMounts": [
                {"name": "data", "mountPath": "/data"}, {"name": "memory", "mountPath": "/memory"},
            ],
        }),
        json!({
            "securityContext": {
                "runAsUser": 1234, "runAsGroup": 5678, "fsGroup": 2000, "runAsNonRoot": true,
                "supplementalGroups": [3000],
            },
            "volumes": [
                {"name": "data", "emptyDir": {}},
                {"name": "memory", "emptyDir": {"medium": "Memory", "sizeLimit": "1Mi"}},
            ],
        }),
    );
    let end = stage.ended("confined");
    let log = stage.log("confined");
    assert_eq!(end["exitCode"], 3, "{end} {log}");
    assert_eq!(end["message"], "words\n");
    let said: Vec<&str> = log.lines().collect();
    assert_eq!(said[..3], ["1234", "5678", "5678 2000 3000"], "{log}");
    assert_eq!(said[3], "/made/by/order", "{log}");
    assert_eq!(
        said[4..6],
        ["CapBnd:\t0000000000000400", "NoNewPrivs:\t1"],
        "{log}"
    );
    assert_eq!(said[6..8], ["read-only", "2000"], "{log}");
    assert!(said.contains(&"full"), "{log}");
    assert_eq!(said.last(), Some(&"1048576"), "{log}");
}

fn refused(stage: &mut Stage) {
    stage.create(
        "as-root",
        "true",
        json!({"securityContext": {"runAsNonRoot": true}}),
        json!({}),
    );
    stage.create(
        "absent",
        "",
        json!({"command": ["no-such-command"]}),
        json!({}),
    );
    stage.create(
        "deaf",
        "trap '' TERM; while true; do sleep 1; done",
        json!({}),
        json!({}),
    );
    let pod = stage.wait(&format!("{PODS}/as-root"), |_, pod| {
        let waiting = &pod["status"]["containerStatuses"][0]["state"]["waiting"];
        waiting["reason"] == "CreateContainerConfigError"
    });
    let uid = pod["metadata"]["uid"].as_str().unwrap();
    assert_eq!(
        pod["status"]["containerStatuses"][0]["state"]["waiting"]["message"],
        format!(
            "container has runAsNonRoot and image will run as root (pod: \"as-root_default({uid})\", \
             container: app)"
        )
    );
    let end = stage.ended("absent");
    assert_eq!(
        (&end["reason"], &end["exitCode"]),
        (&json!("StartError"), &json!(128)),
        "{end}"
    );
    assert!(
        end["message"].as_str().unwrap().contains("no-such-command"),
        "{end}"
    );
    stage.wait(&format!("{PODS}/deaf"), |_, pod| {
        pod["status"]["phase"] == "Running"
    });
    let took = stage.delete(&format!("{PODS}/deaf"));
    assert!(
        took >= Duration::from_secs(1) && took < Duration::from_secs(20),
        "{took:?}"
    );
}

fn hooks(stage: &mut Stage) {
    let folder = stage.folder.path().join("hooked");
    fs::create_dir(&folder).unwrap();
    let volumes = json!([{"name": "data", "hostPath": {"path": folder}}]);
    let mounts = json!([{"name": "data", "mountPath": "/data"}]);
    let says = |script: &str| json!({"exec": {"command": ["/bin/sh", "-c", script]}});
    stage.create(
        "hooked",
        "trap 'echo ended >> /data/log; exit' TERM; while true; do sleep 0.1; done",
        json!({
            "volumeMounts": mounts,
            "lifecycle": {
                "postStart": says("sleep 1; echo begun >> /data/log"),
                "preStop": says("echo ending >> /data/log"),
            },
        }),
        json!({"volumes": volumes, "terminationGracePeriodSeconds": 20}),
    );
    let spoilt = json!({"lifecycle": {"postStart": says("exit 1")}});
    stage.create("spoilt", "while true; do sleep 1; done", spoilt, json!({}));
    // It counts as running only when its hook is done.
    stage.wait(&format!("{PODS}/hooked"), |_, pod| {
        pod["status"]["phase"] == "Running"
    });
    let log = || fs::read_to_string(folder.join("log")).unwrap_or_default();
    assert_eq!(log(), "begun\n");
    stage.delete(&format!("{PODS}/hooked"));
    assert_eq!(log(), "begun\nending\nended\n");
    assert_eq!(stage.ended("spoilt")["exitCode"], 137);
    let failed = (
        "FailedPostStartHook".to_owned(),
        "PostStartHook failed".to_owned(),
    );
    assert!(stage.events("spoilt").contains(&failed));
}

fn probed(stage: &mut Stage) {
    let http = |path: &str| json!({"httpGet": {"path": path, "port": "web"}, "periodSeconds": 1});
    stage.create(
        "probed",
        "exec httpd -f -p 8080 -h /bin",
        json!({
            "ports": [{"name": "web", "containerPort": 8080}],
            "startupProbe": {"tcpSocket": {"port": "web"}, "periodSeconds": 1, "failureThreshold": 30},
            "readinessProbe": http("/sh"),
        }),
        json!({}),
    );
    // gRPC is not spoken there: a new connection is refused in its own words.
    let grpc = json!({"grpc": {"port": 8080}, "periodSeconds": 1, "failureThreshold": 1});
    stage.create(
        "sick",
        "exec httpd -f -p 8080 -h /bin",
        json!({"livenessProbe": grpc}),
        json!({}),
    );
    let is_ready = |_: u16, pod: &Value| pod["status"]["containerStatuses"][0]["ready"] == true;
    stage.wait(&format!("{PODS}/probed"), is_ready);
    assert!(stage.ended("sick")["exitCode"].as_i64().unwrap() > 128);
    let events = stage.events("sick");
    let told = |reason: &str, text: &str| {
        let mut events = events.iter();
        events.any(|(found, message)| found == reason && message.starts_with(text))
    };
    assert!(
        told("Unhealthy", "Liveness probe failed: error: "),
        "{events:?}"
    );
    assert!(
        told("Killing", "Container app failed liveness probe"),
        "{events:?}"
    );
    // Probes go on after a restart.
    stage.restart();
    let path = format!("{PODS}/probed");
    stage.wait(&path, is_ready);
    let uid = stage.wait(&path, |code, _| code == 200)["metadata"]["uid"].clone();
    let started = stage.data.join(format!(
        "node/pods/{}/containers/app-0/started.json",
        uid.as_str().unwrap()
    ));
    let started: Value = serde_json::from_slice(&fs::read(started).unwrap()).unwrap();
    let pid = i32::try_from(started["pid"].as_i64().unwrap()).unwrap();
    let pid = rustix::process::Pid::from_raw(pid).unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::STOP).unwrap();
    stage.wait(&path, |code, pod| !is_ready(code, pod));
    rustix::process::kill_process(pid, rustix::process::Signal::CONT).unwrap();
    stage.wait(&path, is_ready);
}

fn last_words(stage: &mut Stage) {
    let fallback = json!({"terminationMessagePolicy": "FallbackToLogsOnError"});
    stage.create("wordy", "echo because; exit 1", fallback, json!({}));
    assert_eq!(stage.ended("wordy")["message"], "because\n");
    // Twelve times what a log may hold; its end is there all the same.
    let script = "yes \"$(printf %01000d 7)\" | head -c 120000000; echo; echo the end";
    stage.create("loud", script, json!({}), json!({}));
    assert_eq!(stage.ended("loud")["exitCode"], 0);
    let path = format!("{PODS}/loud");
    let pod = stage.wait(&path, |code, _| code == 200);
    let uid = pod["metadata"]["uid"].as_str().unwrap();
    let logs = stage.data.join(format!("node/pods/{uid}/logs/app"));
    let sizes: Vec<u64> = fs::read_dir(logs)
        .unwrap()
        .map(|entry| entry.unwrap().metadata().unwrap().len())
        .collect();
    assert!(sizes.len() > 1 && sizes.len() <= 6, "{sizes:?}");
    assert!(sizes.iter().all(|size| *size < 11 << 20), "{sizes:?}");
    let log = stage.log("loud");
    assert!(log.ends_with("\nthe end\n"));
    // Forks without end are stopped by their number, and go with their container.
    let script = "while true; do sleep 87654 & done";
    stage.create("forking", script, json!({}), json!({}));
    let end = stage.ended("forking");
    assert!(end["exitCode"].as_i64().unwrap() > 0, "{end}");
    assert!(
        stage.log("forking").contains("can't fork"),
        "{}",
        stage.log("forking")
    );
    assert_eq!(sleepers("87654"), 0);
}

/// What a claim keeps outlives its pods, and goes with the claim.
fn kept(stage: &mut Stage) {
    let claim = json!({
        "apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": "data"},
        "spec": {
            "storageClassName": "local-path", "accessModes": ["ReadWriteOnce"],
            "resources": {"requests": {"storage": "1Mi"}},
        },
    });
    stage.post(CLAIMS, &claim);
    let claimed = json!({"volumes": [
        {"name": "data", "persistentVolumeClaim": {"claimName": "data"}},
    ]});
    let mounts = json!({"volumeMounts": [{"name": "data", "mountPath": "/data"}]});
    for run in ["first", "second"] {
        let script = "cat /data/log; echo written >> /data/log";
        stage.create(run, script, mounts.clone(), claimed.clone());
        assert!(stage.ended(run)["exitCode"].is_number());
    }
    assert_eq!(stage.log("second"), "written\n");
    let bound = stage.wait(&format!("{CLAIMS}/data"), |_, claim| {
        claim["status"]["phase"] == "Bound"
    });
    let name = bound["spec"]["volumeName"].as_str().unwrap().to_owned();
    let path = format!("/api/v1/persistentvolumes/{name}");
    let volume = stage.wait(&path, |code, _| code == 200);
    let folder = PathBuf::from(volume["spec"]["hostPath"]["path"].as_str().unwrap());
    assert!(
        !volume["spec"]["nodeAffinity"]["required"].is_null(),
        "{volume:#}"
    );
    assert!(folder.join("log").exists());
    for run in ["first", "second"] {
        stage.delete(&format!("{PODS}/{run}"));
    }
    assert!(folder.join("log").exists());
    stage.delete(&format!("{CLAIMS}/data"));
    stage.wait(&path, |code, _| code == 404);
    until(|| !Path::new(&folder).exists());
}

#[track_caller]
pub fn until(wanted: impl Fn() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !wanted() {
        assert!(Instant::now() < deadline);
        std::thread::sleep(Duration::from_millis(20));
    }
}

fn one_port(stage: &mut Stage) {
    let port = json!({"ports": [{"containerPort": 80, "hostPort": 23250}]});
    for name in ["port-a", "port-b"] {
        stage.create(
            name,
            "while true; do sleep 1; done",
            port.clone(),
            json!({}),
        );
    }
    let pods = ["port-a", "port-b"].map(|name| {
        stage.wait(&format!("{PODS}/{name}"), |_, pod| {
            let is_refused = pod["status"]["conditions"][0]["reason"] == "Unschedulable";
            is_refused || pod["status"]["phase"] == "Running"
        })
    });
    let refused: Vec<&Value> = pods
        .iter()
        .filter(|pod| pod["status"]["phase"] != "Running")
        .collect();
    assert_eq!(refused.len(), 1, "{pods:#?}");
    let why = refused[0]["status"]["conditions"][0]["message"].as_str();
    let expected =
        "0/1 nodes are available: 1 node(s) didn't have free ports for the requested pod ports.";
    assert!(why.unwrap().starts_with(expected), "{why:?}");
}
