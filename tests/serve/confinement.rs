//! What the containers of a pod share, what they see of the machine, and which system calls they may
//! make.

use std::fs;

use serde_json::{Value, json};

use crate::containers::IMAGE;
use crate::lives::{PODS, Stage, sleepers, until};

const SHOW: &str = "cat /proc/sys/kernel/hostname
    for kind in uts ipc net pid; do readlink /proc/self/ns/$kind; done";

#[test]
fn pods_share_what_they_ask_for() {
    let mut stage = match Stage::open() {
        Ok(stage) => stage,
        Err(why) => {
            println!("skipped: {why}");
            return;
        }
    };
    apart(&mut stage);
    together(&mut stage);
    machine(&mut stage);
    started_anew(&mut stage);
    stage.close();
}

#[test]
fn system_calls_are_filtered() {
    let mut stage = match Stage::open() {
        Ok(stage) => stage,
        Err(why) => {
            println!("skipped: {why}");
            return;
        }
    };
    usual(&mut stage);
    own_profile(&mut stage);
    refused(&mut stage);
    stage.close();
}

/// A second container beside the one that the stage makes.
fn two(first: &str, second: &str, more: Value) -> Value {
    let container = |name: &str, script: &str| json!({"name": name, "image": IMAGE, "command": ["/bin/sh", "-c", script]});
    let mut spec = json!({"containers": [container("app", first), container("other", second)]});
    if let (Value::Object(spec), Value::Object(more)) = (&mut spec, more) {
        spec.extend(more);
    }
    spec
}

/// Without being asked, containers share a name, a network and memory, not their processes.
fn apart(stage: &mut Stage) {
    // Both run until both have said it: the number of a namespace that is gone is used again.
    let meet = |own: &str, other: &str| {
        format!("{SHOW}; touch /dev/shm/{own}; until test -e /dev/shm/{other}; do sleep 0.1; done")
    };
    let (first, second) = (meet("first", "second"), meet("second", "first"));
    let spec = two(&first, &second, json!({"hostname": "named"}));
    stage.create("apart", "", json!({}), spec);
    assert_eq!(stage.ended("apart")["exitCode"], 0);
    let lines = |container: &str| {
        let log = stage.log_of("apart", container);
        log.lines().map(str::to_owned).collect::<Vec<_>>()
    };
    let (app, other) = (lines("app"), lines("other"));
    assert_eq!(app.len(), 5, "{app:?}");
    assert_eq!(app[0], "named");
    assert_eq!(app[..4], other[..4], "uts, ipc and net are shared");
    assert_ne!(app[4], other[4], "processes are not");
    for (line, kind) in app[1..].iter().zip(["uts", "ipc", "net", "pid"]) {
        assert_ne!(*line, of_machine(kind), "{kind} is the machine's");
    }
}

/// Containers that share their processes see and signal each other's; what one leaves behind goes
/// with it.
fn together(stage: &mut Stage) {
    let first = "sleep 61616 & touch /dev/shm/ready; exec sleep 61717";
    let second = "until test -e /dev/shm/ready; do sleep 0.1; done
    while true; do
        for process in /proc/[0-9]*; do
            if grep -qs '^sleep.61717' $process/cmdline && kill ${process#/proc/}; then
                readlink /proc/self/ns/pid
                cat /proc/1/cmdline | tr '\\0' ' '
                ls /proc/1/root/ 2>/dev/null || echo closed
                exit 0
            fi
        done
        sleep 0.1
    done";
    let spec = two(first, second, json!({"shareProcessNamespace": true}));
    stage.create("together", "", json!({}), spec);
    let end = stage.ended("together");
    assert_eq!(end["exitCode"], 143, "{end}");
    assert_eq!(sleepers("61616"), 0, "what the first process left behind");
    let log = stage.log_of("together", "other");
    assert!(log.contains("pod-pause --keep"), "{log}");
    assert!(log.contains("closed"), "{log}");
    assert!(!log.contains(&of_machine("pid")), "{log}");
    stage.delete(&format!("{PODS}/together"));
    // A pod that has ended is gone from the cluster before it is from the machine.
    until(|| {
        let mut processes = fs::read_dir("/proc").unwrap().flatten();
        !processes.any(|process| {
            let line = fs::read_to_string(process.path().join("cmdline")).unwrap_or_default();
            line.contains("pod-pause") && line.contains(stage.data.to_str().unwrap())
        })
    });
}

fn machine(stage: &mut Stage) {
    let asks = json!({"hostNetwork": true, "hostPID": true, "hostIPC": true});
    let script = format!("{SHOW}; sleep 61818 & exit 0");
    stage.create("machine", &script, json!({}), asks);
    let end = stage.ended("machine");
    assert_eq!(end["exitCode"], 0, "{end}");
    let log = stage.log("machine");
    let name = fs::read_to_string("/proc/sys/kernel/hostname").unwrap();
    let kinds = ["uts", "ipc", "net", "pid"].map(of_machine);
    assert_eq!(log, format!("{name}{}\n", kinds.join("\n")));
    assert_eq!(sleepers("61818"), 0);
}

/// After a restart of the machine nothing of a pod is left but its folder.
fn started_anew(stage: &mut Stage) {
    let forever = json!({"restartPolicy": "Always"});
    let script = "echo begun; while true; do sleep 1; done";
    stage.create("anew", script, json!({}), forever);
    let path = format!("{PODS}/anew");
    let runs = |times: u64| {
        move |_: u16, pod: &Value| {
            let app = &pod["status"]["containerStatuses"][0];
            app["restartCount"] == times && app["ready"] == true
        }
    };
    stage.wait(&path, runs(0));
    let data = stage.data.clone();
    stage.restart_after(|| {
        let processes = fs::read_dir("/proc").unwrap().flatten();
        for process in processes {
            let line = fs::read_to_string(process.path().join("cmdline")).unwrap_or_default();
            if line.contains("container-shim") && line.contains(data.to_str().unwrap()) {
                let started = line.split('\0').find(|part| part.contains("/containers/"));
                let started = format!("{}/started.json", started.unwrap());
                let started = fs::read_to_string(started).unwrap();
                let started: Value = serde_json::from_str(&started).unwrap();
                for pid in [&started["shim"], &started["pid"]] {
                    let pid = i32::try_from(pid.as_i64().unwrap()).unwrap();
                    let pid = rustix::process::Pid::from_raw(pid).unwrap();
                    rustix::process::kill_process(pid, rustix::process::Signal::KILL).unwrap();
                }
            }
        }
        let sandboxes = fs::read_dir(data.join("node/pods")).unwrap().flatten();
        let shared = sandboxes.flat_map(|pod| fs::read_dir(pod.path().join("sandbox")).unwrap());
        let networks = fs::read_dir(data.join("node/netns")).unwrap();
        for file in shared.chain(networks).flatten() {
            let detached = rustix::mount::UnmountFlags::DETACH;
            let _not_all_are_mounted = rustix::mount::unmount(file.path(), detached);
        }
    });
    stage.wait(&path, runs(1));
    let events = stage.events("anew");
    let changed = events.iter().any(|(reason, _)| reason == "SandboxChanged");
    assert!(changed, "{events:?}");
}

fn of_machine(kind: &str) -> String {
    let link = fs::read_link(format!("/proc/self/ns/{kind}")).unwrap();
    link.to_string_lossy().into_owned()
}

const TRY: &str = "grep -E '^(CapEff|Seccomp):' /proc/self/status
    unshare -U true 2>/dev/null && echo made || echo forbidden
    mkdir /tmp-made 2>/dev/null && echo made || echo forbidden";

/// What a container says of itself when it tries something that is forbidden by default, and
/// something that is not.
#[track_caller]
fn check(stage: &mut Stage, name: &str, security: &Value, expected: &[&str]) {
    let script = format!("{TRY}; while true; do sleep 1; done");
    // A command in the container is confined too, and has no more rights.
    let probe = format!(
        "test \"$(grep -E '^(CapEff|Seccomp):' /proc/self/status)\" = \"{}\"",
        expected[..2].join("\n")
    );
    let container = json!({
        "securityContext": security,
        "readinessProbe": {"exec": {"command": ["/bin/sh", "-c", probe]}, "periodSeconds": 1},
    });
    stage.create(name, &script, container, json!({}));
    stage.wait(&format!("{PODS}/{name}"), |_, pod| {
        pod["status"]["containerStatuses"][0]["ready"] == true
    });
    let log = stage.log_until(name, 4);
    assert_eq!(log.lines().collect::<Vec<_>>(), expected, "{name}");
    stage.delete(&format!("{PODS}/{name}"));
}

fn usual(stage: &mut Stage) {
    let capabilities = "CapEff:\t00000000a80425fb";
    let confined = [capabilities, "Seccomp:\t2", "forbidden", "made"];
    check(stage, "plain", &json!({}), &confined);
    let strict = json!({"allowPrivilegeEscalation": false});
    check(stage, "strict", &strict, &confined);
    let free = json!({"seccompProfile": {"type": "Unconfined"}});
    let expected = [capabilities, "Seccomp:\t0", "made", "made"];
    check(stage, "free", &free, &expected);
    let user = json!({"runAsUser": 1000, "seccompProfile": {"type": "RuntimeDefault"}});
    let expected = [
        "CapEff:\t0000000000000000",
        "Seccomp:\t2",
        "forbidden",
        "forbidden",
    ];
    check(stage, "user", &user, &expected);
}

fn own_profile(stage: &mut Stage) {
    let folder = stage.data.join("node/seccomp");
    fs::create_dir_all(&folder).unwrap();
    let profile = json!({
        "defaultAction": "SCMP_ACT_ALLOW",
        "syscalls": [{"names": ["mkdir", "mkdirat"], "action": "SCMP_ACT_ERRNO"}],
    });
    fs::write(folder.join("own.json"), profile.to_string()).unwrap();
    let own = json!({"seccompProfile": {"type": "Localhost", "localhostProfile": "own.json"}});
    let expected = [
        "CapEff:\t00000000a80425fb",
        "Seccomp:\t2",
        "made",
        "forbidden",
    ];
    check(stage, "own", &own, &expected);
}

/// What cannot be enforced is not run.
fn refused(stage: &mut Stage) {
    let profile = json!({"defaultAction": "SCMP_ACT_NOTIFY"});
    let folder = stage.data.join("node/seccomp");
    fs::write(folder.join("asks.json"), profile.to_string()).unwrap();
    for (name, file) in [("absent", "absent.json"), ("asks", "asks.json")] {
        let local = json!({"type": "Localhost", "localhostProfile": file});
        let security = json!({"securityContext": {"seccompProfile": local}});
        stage.create(name, "true", security, json!({}));
        let pod = stage.wait(&format!("{PODS}/{name}"), |_, pod| {
            let waiting = &pod["status"]["containerStatuses"][0]["state"]["waiting"];
            waiting["reason"] == "CreateContainerError"
        });
        let waiting = &pod["status"]["containerStatuses"][0]["state"]["waiting"];
        let message = waiting["message"].as_str().unwrap();
        let expected = format!(
            "cannot load seccomp profile \"{}\": ",
            folder.join(file).display()
        );
        assert!(message.starts_with(&expected), "{message}");
    }
}
