//! Several nodes of this machine: their pods reach each other, a rack is really cut off, and comes
//! back with the containers that ran on meanwhile.

#![expect(
    clippy::disallowed_methods,
    reason = "a test waits for what other processes do"
)]

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::containers::{IMAGE, is_ready, prepare};
use crate::names::unchunked;
use crate::served::{Local, Served, command};

/// A node is not ready 40 s after its last lease; two are written in 20 s.
const PATIENCE: Duration = Duration::from_secs(100);
const PODS: &str = "/api/v1/namespaces/default/pods";
const OUTAGES: &str = "/apis/lab.bayplan.dev/v1alpha1/outages";
const SLICES: &str = "/apis/discovery.k8s.io/v1/namespaces/default/endpointslices";

#[track_caller]
fn wait_for(local: &mut Local, path: &str, wanted: impl Fn(&Value) -> bool) -> Value {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let (_, object) = local.send("GET", path, "").unwrap();
        if wanted(&object) {
            return object;
        }
        assert!(Instant::now() < deadline, "{object:#}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

fn make(local: &mut Local, path: &str, object: &Value) {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let (code, answer) = local.send("POST", path, &object.to_string()).unwrap();
        if code == 201 {
            return;
        }
        assert!(Instant::now() < deadline, "{code} {answer:#}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// Serves its name.
fn server(name: &str, node: &str) -> Value {
    let script =
        format!("mkdir -p /www; echo {name} > /www/index.html; exec httpd -f -p 8080 -h /www");
    pod(name, node, &script)
}

/// Asks a server by its address and by its service's name all the time.
fn asker(name: &str, node: &str, address: &str, other: &str) -> Value {
    let script = format!(
        "ask() {{ timeout 1 wget -q -O - $1 2>/dev/null || echo nobody; }}
        while true; do echo \"$(ask http://{address}:8080/) $(ask http://{other}/)\"; sleep 0.2; done"
    );
    pod(name, node, &script)
}

fn pod(name: &str, node: &str, script: &str) -> Value {
    json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {"name": name, "labels": {"app": name}},
        "spec": {
            "nodeName": node, "terminationGracePeriodSeconds": 1,
            "containers": [{"name": "app", "image": IMAGE, "command": ["/bin/sh", "-c", script]}],
        },
    })
}

fn service(name: &str) -> Value {
    json!({
        "apiVersion": "v1", "kind": "Service", "metadata": {"name": name},
        "spec": {"selector": {"app": name}, "ports": [{"port": 80, "targetPort": 8080}]},
    })
}

fn run_of(pod: &Value) -> (Value, Value) {
    let app = &pod["status"]["containerStatuses"][0];
    (app["containerID"].clone(), app["restartCount"].clone())
}

fn is_ready_node(node: &Value, status: &str) -> bool {
    let conditions = node.pointer("/status/conditions").and_then(Value::as_array);
    conditions
        .into_iter()
        .flatten()
        .any(|it| it["type"] == "Ready" && it["status"] == status)
}

/// Whether an address is a ready endpoint of a service.
fn serves(slices: &Value, service: &str) -> bool {
    let slices = slices["items"].as_array().into_iter().flatten();
    slices
        .filter(|slice| slice["metadata"]["labels"]["kubernetes.io/service-name"] == service)
        .flat_map(|slice| slice["endpoints"].as_array().into_iter().flatten())
        .any(|endpoint| endpoint["conditions"]["ready"] == true)
}

/// What a container wrote, read where its shim writes it: the API does not reach a node that is cut.
fn last_line(data: &Path, index: usize, uid: &str) -> String {
    let log = data.join(format!("node/{index}/pods/{uid}/logs/app/0.log"));
    let text = fs::read_to_string(log).unwrap_or_default();
    let last = text.lines().last().unwrap_or_default();
    last.split(" F ").nth(1).unwrap_or_default().to_owned()
}

#[track_caller]
fn says(data: &Path, index: usize, uid: &str, wanted: &str) {
    let deadline = Instant::now() + PATIENCE;
    while last_line(data, index, uid) != wanted {
        let last = last_line(data, index, uid);
        assert!(Instant::now() < deadline, "{last:?}, not {wanted:?}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

fn uid(pod: &Value) -> String {
    pod["metadata"]["uid"].as_str().unwrap().to_owned()
}

/// Files that are namespaces, below a folder.
fn namespaces(folder: &Path) -> usize {
    let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap();
    let folder = folder.display().to_string();
    mounts.lines().filter(|line| line.contains(&folder)).count()
}

#[test]
fn a_rack_is_cut_off_and_comes_back() {
    let folder = tempfile::tempdir().unwrap();
    let home = folder.path().join("home");
    if let Err(why) = prepare(folder.path(), &home) {
        println!("skipped: {why}");
        return;
    }
    let data = home.join("bayplan/clusters/default");
    fs::create_dir_all(&data).unwrap();
    let start = || {
        let mut command = command(&data, &["--local-nodes", "2"]);
        Served::spawn(&data, command.env("XDG_DATA_HOME", &home))
    };
    let mut served = start();
    let mut local = served.local();
    let host = rustix::system::uname();
    let host = host.nodename().to_string_lossy().to_lowercase();
    let nodes = [format!("{host}-0"), format!("{host}-1")];
    for node in &nodes {
        let path = format!("/api/v1/nodes/{node}");
        let found = wait_for(&mut local, &path, |node| is_ready_node(node, "True"));
        let labels = &found["metadata"]["labels"];
        assert_eq!(labels["topology.bayplan.dev/rack"], node.as_str());
    }

    for name in ["left", "right"] {
        make(
            &mut local,
            "/api/v1/namespaces/default/services",
            &service(name),
        );
    }
    let mut addresses = Vec::new();
    for (name, node) in ["left", "right"].iter().zip(&nodes) {
        make(&mut local, PODS, &server(name, node));
        let path = format!("{PODS}/{name}");
        let pod = wait_for(&mut local, &path, |pod| is_ready(200, pod));
        addresses.push(pod["status"]["podIP"].as_str().unwrap().to_owned());
    }
    // Each asks the server of the other node.
    make(
        &mut local,
        PODS,
        &asker("from-left", &nodes[0], &addresses[1], "right"),
    );
    make(
        &mut local,
        PODS,
        &asker("from-right", &nodes[1], &addresses[0], "left"),
    );
    let paths = ["left", "right", "from-left", "from-right"].map(|name| format!("{PODS}/{name}"));
    let before: Vec<Value> = paths
        .iter()
        .map(|path| wait_for(&mut local, path, |pod| is_ready(200, pod)))
        .collect();
    let uids = [uid(&before[2]), uid(&before[3])];
    says(&data, 0, &uids[0], "right right");
    says(&data, 1, &uids[1], "left left");

    // The program that runs the nodes is killed: their network carries on, and both are adopted.
    served.kill();
    says(&data, 0, &uids[0], "right nobody");
    served = start();
    let mut local = served.local();
    says(&data, 0, &uids[0], "right right");

    // One that is to leave soon when its node is away.
    let mut brief = asker("brief", &nodes[1], &addresses[0], "left");
    let tolerate = |key: &str| json!({"key": key, "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 1});
    brief["spec"]["tolerations"] = json!([
        tolerate("node.kubernetes.io/unreachable"),
        tolerate("node.kubernetes.io/not-ready")
    ]);
    make(&mut local, PODS, &brief);
    let brief_path = format!("{PODS}/brief");
    let brief = uid(&wait_for(&mut local, &brief_path, |pod| is_ready(200, pod)));

    let outage = json!({
        "apiVersion": "lab.bayplan.dev/v1alpha1", "kind": "Outage", "metadata": {"name": "rack"},
        "spec": {"nodeSelector": {"topology.bayplan.dev/rack": nodes[1]}},
    });
    make(&mut local, OUTAGES, &outage);
    says(&data, 0, &uids[0], "nobody nobody");
    says(&data, 1, &uids[1], "nobody nobody");
    let log = served
        .local()
        .stream(&format!("{PODS}/from-right/log"))
        .unwrap();
    assert!(log.contains("cut off"), "{log}");
    let node = format!("/api/v1/nodes/{}", nodes[1]);
    wait_for(&mut local, &node, |node| is_ready_node(node, "Unknown"));
    wait_for(&mut local, SLICES, |slices| !serves(slices, "right"));
    let other = local.send("GET", &format!("/api/v1/nodes/{}", nodes[0]), "");
    assert!(is_ready_node(&other.unwrap().1, "True"));
    let (_, lost) = local.send("GET", &paths[1], "").unwrap();
    assert!(!is_ready(200, &lost), "{lost:#}");
    wait_for(&mut local, &brief_path, |pod| {
        pod["metadata"]["deletionTimestamp"].is_string()
    });
    // Nobody told the node: what it runs runs on.
    assert_eq!(last_line(&data, 1, &brief), "nobody nobody");

    local
        .send("DELETE", &format!("{OUTAGES}/rack"), "")
        .unwrap();
    wait_for(&mut local, &node, |node| is_ready_node(node, "True"));
    wait_for(&mut local, SLICES, |slices| serves(slices, "right"));
    says(&data, 0, &uids[0], "right right");
    says(&data, 1, &uids[1], "left left");
    wait_for(&mut local, &brief_path, |pod| pod["code"] == 404);
    for (path, before) in paths.iter().zip(&before) {
        let (_, after) = local.send("GET", path, "").unwrap();
        assert_eq!(run_of(&after), run_of(before), "it was started again");
    }
    let log = served
        .local()
        .stream(&format!("{PODS}/from-right/log"))
        .unwrap();
    assert!(unchunked(&log).contains("nobody nobody"));

    // Two nodes, four pods and the switch between the nodes.
    assert_eq!(namespaces(&data), 7);
    served.kill();
    let stopped = Command::new(env!("CARGO_BIN_EXE_bayplan"))
        .env("XDG_DATA_HOME", &home)
        .args(["node", "stop"])
        .output()
        .unwrap();
    assert!(stopped.status.success(), "{stopped:?}");
    assert_eq!(namespaces(&data), 0);
    assert!(!data.join("node/netns/underlay").exists());
}
