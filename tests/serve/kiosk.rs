//! The sample on this machine: `serve` without a word about nodes makes this machine one of the
//! sample cluster, and the kiosk runs on it, from the image that is made of the program.

#![expect(
    clippy::disallowed_methods,
    reason = "a test waits for what other processes do"
)]

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::containers::{PATIENCE, Runs, prepare};
use crate::served::{Local, Served};

const PODS: &str = "/api/v1/namespaces/kiosk/pods";
const REAL: &str = "/api/v1/nodes?labelSelector=bayplan.dev/runtime%3Dcontainer";

fn serve(folder: &Path, more: &[&str]) -> Served {
    let mut command = Command::new(env!("CARGO_BIN_EXE_bayplan"));
    let data = folder.join("data");
    command
        .args(["serve", "--listen", "127.0.0.1:0", "--data"])
        .arg(&data)
        .args(more)
        .env("XDG_DATA_HOME", folder.join("home"))
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null());
    Served::spawn(&data, &mut command)
}

/// Reads a list until it is as wanted; what it was at last otherwise.
fn wait(local: &mut Local, path: &str, wanted: impl Fn(&[Value]) -> bool) -> Vec<Value> {
    let deadline = Instant::now() + PATIENCE * 2;
    loop {
        let (code, list) = local.send("GET", path, "").unwrap();
        let items = list["items"].as_array().cloned().unwrap_or_default();
        if wanted(&items) {
            return items;
        }
        assert!(Instant::now() < deadline, "{code} {list:#}");
        std::thread::sleep(Duration::from_millis(200));
    }
}

fn is_ready(pod: &Value) -> bool {
    let conditions = pod["status"]["conditions"].as_array();
    let mut conditions = conditions.into_iter().flatten();
    conditions.any(|it| it["type"] == "Ready" && it["status"] == "True")
}

/// A pod's containers, each as its instance is called.
fn instances(pods: &[Value]) -> Vec<String> {
    let of = |pod: &Value, field: &str| pod["status"][field].as_array().cloned();
    let mut all: Vec<String> = pods
        .iter()
        .flat_map(|pod| {
            [
                of(pod, "initContainerStatuses"),
                of(pod, "containerStatuses"),
            ]
        })
        .flatten()
        .flatten()
        .map(|status| status["containerID"].to_string())
        .collect();
    all.sort();
    all
}

#[test]
fn the_kiosk_runs_beside_the_simulated_machines_and_outlives_its_host() {
    let folder = tempfile::tempdir().unwrap();
    if let Err(why) = prepare(folder.path(), &folder.path().join("home")) {
        println!("skipped: {why}");
        return;
    }
    let _runs = Runs(folder.path().join("data"));
    let mut served = serve(folder.path(), &[]);
    let mut local = served.local();
    let all_ready = |pods: &[Value]| pods.len() == 5 && pods.iter().all(is_ready);
    let before = wait(&mut local, PODS, all_ready);
    let nodes = wait(&mut local, REAL, |nodes| nodes.len() == 1);
    let name = nodes[0]["metadata"]["name"].as_str().unwrap();
    assert_eq!(nodes[0]["spec"]["taints"][0]["effect"], "NoSchedule");
    // Nothing of the simulated sample came here, whose images are nowhere.
    let here = format!("/api/v1/pods?fieldSelector=spec.nodeName%3D{name}");
    let here = wait(&mut local, &here, |pods| !pods.is_empty());
    let strangers = |pod: &&Value| pod["metadata"]["namespace"] != "kiosk";
    assert_eq!(here.iter().filter(strangers).count(), 0);

    let stock = before
        .iter()
        .find(|pod| pod["metadata"]["labels"]["app"] == "stock");
    let stock = stock.unwrap()["metadata"]["name"].as_str().unwrap();
    let log = |container: &str| {
        let path = format!("{PODS}/{stock}/log?container={container}");
        served.local().stream(&path).unwrap()
    };
    assert!(log("app").contains("stock listens on 0.0.0.0:8080"));
    assert!(log("log-shipper").contains("shipping /var/log/kiosk/access.log of stock"));

    // Services find each other by name, and each asked container tells of it.
    let visitors = before
        .iter()
        .find(|pod| pod["metadata"]["labels"]["app"] == "visitors");
    let visitors = visitors.unwrap()["metadata"]["name"].as_str().unwrap();
    let deadline = Instant::now() + PATIENCE;
    loop {
        let path = format!("{PODS}/{visitors}/log");
        let said = served.local().stream(&path).unwrap();
        let answered = |line: &str| line.contains(" 200 in ") && line.contains("\"stock\"");
        if said.lines().any(answered) {
            break;
        }
        assert!(Instant::now() < deadline, "{said}");
        std::thread::sleep(Duration::from_millis(200));
    }
    let deadline = Instant::now() + PATIENCE;
    while !log("log-shipper").contains("\"GET /stock/order/") {
        assert!(Instant::now() < deadline, "{}", log("log-shipper"));
        std::thread::sleep(Duration::from_millis(200));
    }

    served.kill();
    let served = serve(folder.path(), &[]);
    let mut local = served.local();
    wait(&mut local, PODS, all_ready);
    // One that ends in order leaves them as well.
    assert_eq!(served.terminate(), Some(0));
    let left = bayplan::node::leftover::running(&folder.path().join("data/node"));
    assert_eq!(left.len(), instances(&before).len(), "all run on");
    let served = serve(folder.path(), &[]);
    let mut local = served.local();
    // Time for a node that does not know what runs to start it again.
    std::thread::sleep(Duration::from_secs(2));
    let after = wait(&mut local, PODS, all_ready);
    assert_eq!(instances(&after), instances(&before), "started again");

    let kiosk = "/api/v1/namespaces/kiosk";
    local.send("DELETE", kiosk, "").unwrap();
    wait(&mut local, PODS, <[Value]>::is_empty);
    let pods = folder.path().join("data/node/pods");
    let deadline = Instant::now() + PATIENCE;
    while std::fs::read_dir(&pods).unwrap().count() > 0 {
        assert!(Instant::now() < deadline, "folders of pods are left");
        std::thread::sleep(Duration::from_millis(100));
    }
    assert_eq!(served.terminate(), Some(0));

    // Who took the kiosk away does not get it again; and who wants no containers gets none.
    let served = serve(folder.path(), &["--no-local-node"]);
    let mut local = served.local();
    assert_eq!(local.send("GET", kiosk, "").unwrap().0, 404);
}

#[test]
fn a_cluster_that_is_not_kept_or_not_the_sample_runs_no_containers() {
    let folder = tempfile::tempdir().unwrap();
    for more in [&["--no-local-node"][..], &["--fleet", "none"]] {
        let served = serve(&folder.path().join(more.concat()), more);
        // Longer than a node takes to be registered.
        std::thread::sleep(Duration::from_secs(2));
        let list = served.local().send("GET", REAL, "").unwrap().1;
        assert_eq!(list["items"].as_array().map(Vec::len), Some(0), "{more:?}");
    }
}
