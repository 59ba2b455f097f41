//! Several nodes of this machine: their pods reach each other, a rack is really cut off, and comes
//! back with the containers that ran on meanwhile.

#![expect(
    clippy::disallowed_methods,
    reason = "a test waits for what other processes do"
)]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::containers::{IMAGE, Runs, is_ready, prepare};
use crate::names::unchunked;
use crate::served::{Local, Served, command};

/// A node is not ready 40 s after its last lease; two are written in 20 s.
const PATIENCE: Duration = Duration::from_secs(100);
const PODS: &str = "/api/v1/namespaces/default/pods";
const POLICIES: &str = "/apis/networking.k8s.io/v1/namespaces/default/networkpolicies";
const NAMES: [&str; 2] = ["left", "right"];
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
    let mut pod = pod(name, node, &script);
    pod["spec"]["containers"][0]["readinessProbe"] =
        json!({"httpGet": {"path": "/", "port": 8080}, "periodSeconds": 1});
    pod
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

/// Two nodes of this machine, a server and an asker on each, which asks the other node's.
struct Pair {
    served: Served,
    local: Local,
    data: PathBuf,
    nodes: [String; 2],
    /// Of the servers.
    addresses: Vec<String>,
    /// Of the askers.
    uids: Vec<String>,
    _runs: Runs,
    folder: tempfile::TempDir,
}

impl Pair {
    /// Or why containers cannot be run here.
    fn start() -> Result<Self, &'static str> {
        let folder = tempfile::tempdir().unwrap();
        let home = folder.path().join("home");
        prepare(folder.path(), &home)?;
        let data = home.join("bayplan/clusters/default");
        fs::create_dir_all(&data).unwrap();
        let served = Self::serve(&home, &data);
        let host = rustix::system::uname();
        let host = host.nodename().to_string_lossy().to_lowercase();
        let mut pair = Self {
            local: served.local(),
            _runs: Runs(data.clone()),
            folder,
            served,
            data,
            nodes: [format!("{host}-0"), format!("{host}-1")],
            addresses: Vec::new(),
            uids: Vec::new(),
        };
        pair.fill();
        Ok(pair)
    }

    fn serve(home: &Path, data: &Path) -> Served {
        let mut command = command(data, &["--local-nodes", "2"]);
        Served::spawn(data, command.env("XDG_DATA_HOME", home))
    }

    fn home(&self) -> PathBuf {
        self.folder.path().join("home")
    }

    fn fill(&mut self) {
        for node in &self.nodes {
            let path = format!("/api/v1/nodes/{node}");
            let found = wait_for(&mut self.local, &path, |node| is_ready_node(node, "True"));
            let labels = &found["metadata"]["labels"];
            assert_eq!(labels["topology.bayplan.dev/rack"], node.as_str());
        }
        for (name, node) in NAMES.iter().zip(&self.nodes.clone()) {
            let services = "/api/v1/namespaces/default/services";
            make(&mut self.local, services, &service(name));
            make(&mut self.local, PODS, &server(name, node));
            let pod = self.ready(name);
            self.addresses
                .push(pod["status"]["podIP"].as_str().unwrap().to_owned());
        }
        let [left, right] = self.nodes.clone();
        let asks = asker("from-left", &left, &self.addresses[1], "right");
        make(&mut self.local, PODS, &asks);
        let asks = asker("from-right", &right, &self.addresses[0], "left");
        make(&mut self.local, PODS, &asks);
        self.uids = ["from-left", "from-right"]
            .map(|name| uid(&self.ready(name)))
            .into();
        self.say("right right", "left left");
    }

    #[track_caller]
    fn ready(&mut self, name: &str) -> Value {
        wait_for(&mut self.local, &format!("{PODS}/{name}"), |pod| {
            is_ready(200, pod)
        })
    }

    /// Waits until the askers say this.
    #[track_caller]
    fn say(&self, left: &str, right: &str) {
        says(&self.data, 0, &self.uids[0], left);
        says(&self.data, 1, &self.uids[1], right);
    }

    fn runs(&mut self) -> Vec<(Value, Value)> {
        let names = ["left", "right", "from-left", "from-right"];
        names
            .map(|name| {
                run_of(
                    &self
                        .local
                        .send("GET", &format!("{PODS}/{name}"), "")
                        .unwrap()
                        .1,
                )
            })
            .into()
    }

    /// The program that runs the nodes is killed: the network carries on, and all are adopted.
    fn kill(&mut self) {
        self.served.kill();
        self.say("right nobody", "left nobody");
        self.served = Self::serve(&self.home(), &self.data);
        self.local = self.served.local();
        self.say("right right", "left left");
    }

    fn policy(&mut self, name: &str, spec: &Value) {
        let policy = json!({
            "apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy",
            "metadata": {"name": name}, "spec": spec,
        });
        make(&mut self.local, POLICIES, &policy);
    }

    /// Ends everything; nothing of it is left.
    fn stop(mut self, pods: usize) {
        // Two nodes and the switch between them.
        assert!(namespaces(&self.data) >= pods + 3);
        self.served.kill();
        let stopped = Command::new(env!("CARGO_BIN_EXE_bayplan"))
            .env("XDG_DATA_HOME", self.home())
            .args(["node", "stop"])
            .output()
            .unwrap();
        assert!(stopped.status.success(), "{stopped:?}");
        assert_eq!(namespaces(&self.data), 0);
        assert!(!self.data.join("node/netns/underlay").exists());
    }
}

#[test]
fn a_rack_is_cut_off_and_comes_back() {
    let mut pair = match Pair::start() {
        Ok(pair) => pair,
        Err(why) => return println!("skipped: {why}"),
    };
    let before = pair.runs();
    pair.kill();

    // One that is to leave soon when its node is away.
    let nodes = pair.nodes.clone();
    let mut brief = asker("brief", &nodes[1], &pair.addresses[0], "left");
    let tolerate = |key: &str| json!({"key": key, "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 1});
    brief["spec"]["tolerations"] = json!([
        tolerate("node.kubernetes.io/unreachable"),
        tolerate("node.kubernetes.io/not-ready")
    ]);
    make(&mut pair.local, PODS, &brief);
    let brief = uid(&pair.ready("brief"));
    let brief_path = format!("{PODS}/brief");

    let outage = json!({
        "apiVersion": "lab.bayplan.dev/v1alpha1", "kind": "Outage", "metadata": {"name": "rack"},
        "spec": {"nodeSelector": {"topology.bayplan.dev/rack": nodes[1]}},
    });
    make(&mut pair.local, OUTAGES, &outage);
    pair.say("nobody nobody", "nobody nobody");
    let log = format!("{PODS}/from-right/log");
    let refused = pair.served.local().stream(&log).unwrap();
    assert!(refused.contains("cut off"), "{refused}");
    let node = format!("/api/v1/nodes/{}", nodes[1]);
    wait_for(&mut pair.local, &node, |node| {
        is_ready_node(node, "Unknown")
    });
    wait_for(&mut pair.local, SLICES, |slices| !serves(slices, "right"));
    let other = format!("/api/v1/nodes/{}", nodes[0]);
    let other = pair.local.send("GET", &other, "").unwrap().1;
    assert!(is_ready_node(&other, "True"));
    let right = format!("{PODS}/right");
    wait_for(&mut pair.local, &right, |pod| !is_ready(200, pod));
    wait_for(&mut pair.local, &brief_path, |pod| {
        pod["metadata"]["deletionTimestamp"].is_string()
    });
    // Nobody told the node: what it runs runs on.
    assert_eq!(last_line(&pair.data, 1, &brief), "nobody nobody");

    let outage = format!("{OUTAGES}/rack");
    pair.local.send("DELETE", &outage, "").unwrap();
    wait_for(&mut pair.local, &node, |node| is_ready_node(node, "True"));
    wait_for(&mut pair.local, SLICES, |slices| serves(slices, "right"));
    pair.say("right right", "left left");
    wait_for(&mut pair.local, &brief_path, |pod| pod["code"] == 404);
    assert_eq!(pair.runs(), before, "something was started again");
    let log = pair.served.local().stream(&log).unwrap();
    assert!(unchunked(&log).contains("nobody nobody"));
    pair.stop(4);
}

/// By address and by service, from another node; probes reach pods that nobody else does.
#[test]
fn network_policies_are_enforced() {
    let mut pair = match Pair::start() {
        Ok(pair) => pair,
        Err(why) => return println!("skipped: {why}"),
    };
    pair.policy(
        "closed",
        &json!({"podSelector": {"matchLabels": {"app": "right"}}}),
    );
    pair.say("nobody nobody", "left left");
    let from = json!([{"podSelector": {"matchLabels": {"app": "from-left"}}}]);
    pair.policy(
        "open",
        &json!({
            "podSelector": {"matchLabels": {"app": "right"}},
            "ingress": [{"from": from, "ports": [{"port": 8000, "endPort": 8080}]}],
        }),
    );
    pair.say("right right", "left left");
    let names = json!({"ports": [{"port": 53, "protocol": "UDP"}, {"port": 53}]});
    let mut sends = json!({
        "podSelector": {"matchLabels": {"app": "from-right"}},
        "policyTypes": ["Egress"], "egress": [names],
    });
    pair.policy("silent", &sends);
    pair.say("right right", "nobody nobody");
    sends["egress"] = json!([{"to": [{"podSelector": {"matchLabels": {"app": "left"}}}]}, names]);
    pair.policy("speaks", &sends);
    pair.say("right right", "left left");
    let open = format!("{POLICIES}/open");
    pair.local.send("DELETE", &open, "").unwrap();
    pair.say("nobody nobody", "left left");
    // As long as a pod that is not probed takes to be missed.
    std::thread::sleep(Duration::from_secs(5));
    pair.ready("right");
    let closed = format!("{POLICIES}/closed");
    pair.local.send("DELETE", &closed, "").unwrap();
    pair.say("right right", "left left");
    pair.stop(4);
}
