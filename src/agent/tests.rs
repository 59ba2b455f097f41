//! The agents against a bare cluster value: their own writes are applied, nothing else happens.

use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use super::Agents;
use super::log::{self, LogError, Options};
use crate::k8s::{Change, ChangeKind, Cluster, Object, ObjectKey, Op, Patch, Resource, resources};

/// A cluster of one machine with a clock, a revision counter and the events that were recorded.
struct Bench {
    agents: Agents,
    cluster: Cluster,
    now: Timestamp,
    revision: u64,
    events: Vec<(String, String)>,
    /// The parts that they are about.
    field_paths: Vec<String>,
    writes: usize,
}

fn start() -> Timestamp {
    "2026-11-22T12:00:00Z".parse().unwrap()
}

impl Bench {
    fn new() -> Self {
        let mut bench = Self {
            agents: Agents::new(7),
            cluster: Cluster::default(),
            now: start(),
            revision: 0,
            events: Vec::new(),
            field_paths: Vec::new(),
            writes: 0,
        };
        bench.put(
            &resources::NODES,
            json!({"apiVersion": "v1", "kind": "Node",
                "metadata": {"name": "n1", "uid": "node-1",
                             "labels": {"bayplan.dev/runtime": "simulated", "rack": "a01"}},
                "spec": {"podCIDR": "10.1.2.0/24"},
                "status": {"capacity": {"cpu": "4", "memory": "8Gi", "pods": "110"},
                           "allocatable": {"cpu": "4", "memory": "8Gi", "pods": "110"}}}),
        );
        bench
    }

    fn put(&mut self, resource: &Resource, mut json: Value) {
        self.revision += 1;
        json["metadata"]["resourceVersion"] = self.revision.to_string().into();
        if json["metadata"]["creationTimestamp"].is_null() {
            json["metadata"]["creationTimestamp"] = super::machine::seconds(self.now).into();
        }
        let object = Arc::new(Object::from_json(resource.clone(), &json).unwrap());
        let previous = self.cluster.insert(&object);
        let kind = if previous.is_some() {
            ChangeKind::Modified
        } else {
            ChangeKind::Added
        };
        self.agents.observe(&Change {
            kind,
            object,
            previous,
        });
    }

    fn remove(&mut self, key: &ObjectKey) {
        if let Some(object) = self.cluster.remove(key) {
            self.agents.observe(&Change {
                kind: ChangeKind::Deleted,
                previous: Some(Arc::clone(&object)),
                object,
            });
        }
    }

    fn pod(&mut self, name: &str, spec: &Value, annotations: &Value) {
        let mut spec = spec.clone();
        spec["nodeName"] = "n1".into();
        if spec["containers"].is_null() {
            spec["containers"] = json!([{"name": "app", "image": "shop/app:1"}]);
        }
        self.put(
            &resources::PODS,
            json!({"apiVersion": "v1", "kind": "Pod",
                "metadata": {"name": name, "namespace": "shop", "uid": format!("uid-{name}"),
                             "annotations": annotations},
                "spec": spec, "status": {"phase": "Pending"}}),
        );
    }

    fn get(&self, name: &str) -> Option<Value> {
        let object = self.cluster.find(&resources::PODS, "shop", name)?;
        Some(object.json())
    }

    fn edit(&mut self, resource: &Resource, namespace: &str, name: &str, patch: &Value) {
        let object = self.cluster.find(resource, namespace, name).unwrap();
        let mut json = object.json();
        json_patch::merge(&mut json, patch);
        self.put(resource, json);
    }

    fn delete(&mut self, name: &str) {
        let at = super::machine::seconds(self.now + SignedDuration::from_secs(30));
        let patch =
            json!({"metadata": {"deletionTimestamp": at, "deletionGracePeriodSeconds": 30}});
        self.edit(&resources::PODS, "shop", name, &patch);
    }

    fn outage(&mut self, mode: &str) {
        self.put(
            &resources::OUTAGES,
            json!({"apiVersion": "lab.bayplan.dev/v1alpha1", "kind": "Outage",
                "metadata": {"name": "o", "uid": "outage"},
                "spec": {"nodeSelector": {"rack": "a01"}, "mode": mode}}),
        );
    }

    fn end_outage(&mut self) {
        self.remove(&ObjectKey::cluster_scoped(resources::OUTAGES, "o"));
    }

    /// Runs until nothing is due before `seconds` from now have passed.
    fn run(&mut self, seconds: i64) {
        let end = self.now + SignedDuration::from_secs(seconds);
        while let Some(at) = self.agents.next_wake().filter(|at| *at <= end) {
            self.now = self.now.max(at);
            for op in self.agents.step(&self.cluster.clone(), self.now) {
                self.apply(op);
            }
        }
        self.now = end;
    }

    fn apply(&mut self, op: Op) {
        match op {
            Op::Create {
                resource, object, ..
            } => self.put(&resource, object),
            Op::Patch {
                key,
                patch: Patch::Merge(patch),
                if_match,
                ..
            } => {
                let current = self.cluster.get(&key).unwrap();
                if if_match
                    .revision
                    .is_some_and(|wanted| wanted != current.revision)
                {
                    return;
                }
                if key.resource != resources::LEASES {
                    self.writes += 1;
                }
                self.edit(&key.resource, &key.namespace, &key.name, &patch);
            }
            Op::Delete { key, .. } => self.remove(&key),
            Op::Event(draft) => {
                self.events.push((draft.reason.to_string(), draft.message));
                self.field_paths.push(draft.field_path.to_string());
            }
            other => panic!("agents do not write {other:?}"),
        }
    }

    fn reasons(&self) -> Vec<&str> {
        self.events
            .iter()
            .map(|(reason, _)| reason.as_str())
            .collect()
    }

    fn log(&self, name: &str, options: &Options) -> Result<String, LogError> {
        let object = self.cluster.find(&resources::PODS, "shop", name).unwrap();
        log::text(object, "app", options)
    }
}

fn condition<'a>(object: &'a Value, kind: &str) -> &'a Value {
    let conditions = object["status"]["conditions"].as_array();
    conditions
        .into_iter()
        .flatten()
        .find(|entry| entry["type"] == kind)
        .unwrap_or(&Value::Null)
}

#[test]
fn a_machine_becomes_ready_and_renews_its_lease() {
    let mut bench = Bench::new();
    bench.run(60);
    let node = bench
        .cluster
        .find(&resources::NODES, "", "n1")
        .unwrap()
        .json();
    assert_eq!(condition(&node, "Ready")["reason"], "KubeletReady");
    assert_eq!(node["status"]["nodeInfo"]["kubeletVersion"], "v1.36.2");
    let lease = bench
        .cluster
        .find(&resources::LEASES, "kube-node-lease", "n1")
        .unwrap();
    let renewed: Timestamp = lease.json()["spec"]["renewTime"]
        .as_str()
        .unwrap()
        .parse()
        .unwrap();
    assert!(bench.now.duration_since(renewed) <= SignedDuration::from_secs(10));
    // One status write in the first minute: heartbeats are rare.
    assert_eq!(bench.writes, 1);
}

#[test]
fn a_pod_passes_through_creation_to_ready() {
    let mut bench = Bench::new();
    bench.run(5);
    bench.pod("web", &json!({}), &json!({}));
    bench.run(30);
    let pod = bench.get("web").unwrap();
    let status = &pod["status"];
    assert_eq!(status["phase"], "Running");
    assert_eq!(status["podIP"], "10.1.2.2");
    assert_eq!(condition(&pod, "Ready")["status"], "True");
    assert_eq!(condition(&pod, "PodScheduled")["status"], "True");
    let container = &status["containerStatuses"][0];
    assert!(
        container["containerID"]
            .as_str()
            .unwrap()
            .starts_with("simulated://")
    );
    assert!(
        container["imageID"]
            .as_str()
            .unwrap()
            .starts_with("docker.io/shop/app@sha256:")
    );
    assert_eq!(
        bench.reasons(),
        ["NodeReady", "Pulling", "Pulled", "Created", "Started"]
    );
    let node = bench
        .cluster
        .find(&resources::NODES, "", "n1")
        .unwrap()
        .json();
    assert_eq!(node["status"]["images"][0]["names"][0], "shop/app:1");
}

#[test]
fn an_image_is_pulled_once_a_machine() {
    let mut bench = Bench::new();
    for name in ["one", "two"] {
        bench.pod(name, &json!({}), &json!({}));
        bench.run(30);
    }
    let pulls = bench
        .reasons()
        .iter()
        .filter(|reason| **reason == "Pulling")
        .count();
    assert_eq!(pulls, 1);
    assert!(bench.events.iter().any(|(_, message)| {
        message == "Container image \"shop/app:1\" already present on machine and can be accessed by the pod"
    }));
}

#[test]
fn init_containers_run_in_order_before_sidecars_and_the_app() {
    let mut bench = Bench::new();
    let spec = json!({
        "initContainers": [{"name": "migrate", "image": "m:1"},
                           {"name": "proxy", "image": "p:1", "restartPolicy": "Always"}],
        "containers": [{"name": "app", "image": "a:1", "readinessProbe": {"initialDelaySeconds": 5}}],
    });
    bench.pod("web", &spec, &json!({}));
    let mut seen = Vec::new();
    for _ in 0..120 {
        bench.run(1);
        let pod = bench.get("web").unwrap();
        let state = |list: &str, i: usize| {
            let state = pod["status"][list][i]["state"].as_object();
            state
                .and_then(|state| state.keys().next().cloned())
                .unwrap_or_default()
        };
        let now = (
            state("initContainerStatuses", 0),
            state("initContainerStatuses", 1),
            state("containerStatuses", 0),
            condition(&pod, "Ready")["status"] == "True",
        );
        if seen.last() != Some(&now) && !now.0.is_empty() {
            seen.push(now);
        }
        if seen.last().is_some_and(|last| last.3) {
            break;
        }
    }
    let row = |init: &str, sidecar: &str, app: &str, ready: bool| {
        (init.to_owned(), sidecar.to_owned(), app.to_owned(), ready)
    };
    assert_eq!(
        seen,
        [
            row("waiting", "waiting", "waiting", false),
            row("running", "waiting", "waiting", false),
            row("terminated", "waiting", "waiting", false),
            row("terminated", "running", "waiting", false),
            row("terminated", "running", "running", false),
            row("terminated", "running", "running", true),
        ]
    );
}

#[test]
fn a_job_pod_completes_and_takes_its_sidecar_with_it() {
    let mut bench = Bench::new();
    let spec = json!({"restartPolicy": "Never",
        "initContainers": [{"name": "proxy", "image": "p:1", "restartPolicy": "Always"}]});
    bench.pod("job", &spec, &json!({"bayplan.dev/run-for": "20s"}));
    bench.run(120);
    let status = &bench.get("job").unwrap()["status"];
    assert_eq!(status["phase"], "Succeeded");
    let end = &status["containerStatuses"][0]["state"]["terminated"];
    assert_eq!(end["exitCode"], 0);
    let time = |field: &str| -> Timestamp { end[field].as_str().unwrap().parse().unwrap() };
    assert_eq!(
        time("finishedAt")
            .duration_since(time("startedAt"))
            .as_secs(),
        20
    );
    assert!(status["initContainerStatuses"][0]["state"]["terminated"].is_object());
}

#[test]
fn a_crashing_container_backs_off_longer_each_time() {
    let mut bench = Bench::new();
    let crash = json!({"bayplan.dev/simulate": "crash-after=5s,exit=137,reason=OOMKilled"});
    bench.pod("bad", &json!({}), &crash);
    bench.run(200);
    let pod = bench.get("bad").unwrap();
    let container = &pod["status"]["containerStatuses"][0];
    // Starts at about 5, 11, 27, 53 s and 98 s; the next one not before 180 s.
    let restarts = container["restartCount"].as_u64().unwrap();
    assert!((4..=5).contains(&restarts), "{restarts} restarts");
    assert_eq!(container["lastState"]["terminated"]["reason"], "OOMKilled");
    assert_eq!(pod["status"]["phase"], "Running");
    let back_off = "Back-off restarting failed container app in pod bad_shop(uid-bad)";
    assert!(bench.events.iter().any(|(_, message)| message == back_off));
    assert!(
        bench
            .log("bad", &Options::default())
            .unwrap()
            .contains("terminated: OOMKilled, exit code 137")
    );
}

#[test]
fn an_image_that_is_not_there_is_asked_for_again() {
    let mut bench = Bench::new();
    bench.pod(
        "bad",
        &json!({}),
        &json!({"bayplan.dev/simulate": "image-pull-fails"}),
    );
    bench.run(120);
    let pod = bench.get("bad").unwrap();
    let waiting = &pod["status"]["containerStatuses"][0]["state"]["waiting"];
    assert_eq!(waiting["reason"], "ImagePullBackOff");
    assert_eq!(pod["status"]["phase"], "Pending");
    let pulls = bench
        .reasons()
        .iter()
        .filter(|reason| **reason == "Pulling")
        .count();
    assert!((3..=5).contains(&pulls), "{pulls} pulls");
    assert!(matches!(
        bench.log("bad", &Options::default()),
        Err(LogError::Waiting { .. })
    ));
}

#[test]
fn never_ready_stays_unready_and_says_why() {
    let mut bench = Bench::new();
    bench.pod(
        "bad",
        &json!({}),
        &json!({"bayplan.dev/simulate": "never-ready"}),
    );
    bench.run(120);
    let pod = bench.get("bad").unwrap();
    assert_eq!(condition(&pod, "Ready")["reason"], "ContainersNotReady");
    assert!(bench.reasons().contains(&"Unhealthy"));
}

#[test]
fn events_name_the_container_that_they_are_about() {
    let mut bench = Bench::new();
    let spec = json!({
        "initContainers": [{"name": "setup", "image": "shop/setup:1"}],
        "containers": [{"name": "app", "image": "shop/app:1"}],
    });
    bench.pod("web", &spec, &json!({}));
    bench.run(60);
    let started: Vec<&str> = bench
        .reasons()
        .into_iter()
        .zip(&bench.field_paths)
        .filter(|(reason, _)| *reason == "Started")
        .map(|(_, path)| path.as_str())
        .collect();
    assert_eq!(
        started,
        ["spec.initContainers{setup}", "spec.containers{app}"]
    );
}

#[test]
fn deletion_stops_containers_within_the_grace_period() {
    let mut bench = Bench::new();
    bench.pod("web", &json!({}), &json!({}));
    bench.run(30);
    bench.delete("web");
    bench.run(0);
    assert!(bench.get("web").is_some());
    bench.run(4);
    assert!(bench.get("web").is_none());
    assert!(
        bench
            .events
            .contains(&("Killing".into(), "Stopping container app".into()))
    );
    bench.pod("next", &json!({}), &json!({}));
    bench.run(30);
    assert_eq!(bench.get("next").unwrap()["status"]["podIP"], "10.1.2.3");
}

#[test]
fn a_machine_without_power_says_nothing_and_restarts_its_containers() {
    let mut bench = Bench::new();
    bench.pod("web", &json!({}), &json!({}));
    bench.pod("gone", &json!({}), &json!({}));
    bench.run(30);
    bench.outage("PowerOff");
    let before = bench.revision;
    bench.run(60);
    assert_eq!(
        bench.revision, before,
        "a machine without power wrote something"
    );
    bench.delete("gone");
    bench.run(60);
    assert!(bench.get("gone").is_some());
    bench.end_outage();
    bench.run(1);
    assert!(bench.get("gone").is_none(), "it has no containers to stop");
    bench.run(60);
    let pod = bench.get("web").unwrap();
    let container = &pod["status"]["containerStatuses"][0];
    assert_eq!(container["restartCount"], 1);
    assert_eq!(container["lastState"]["terminated"]["exitCode"], 255);
    assert_eq!(condition(&pod, "Ready")["status"], "True");
    assert!(bench.reasons().contains(&"Rebooted"));
}

#[test]
fn behind_a_partition_pods_run_on() {
    let mut bench = Bench::new();
    bench.pod("web", &json!({}), &json!({}));
    bench.run(30);
    bench.outage("Partition");
    let before = bench.revision;
    bench.run(60);
    assert_eq!(bench.revision, before);
    // The node lifecycle controller marks pods of a silent node.
    let unready = json!({"status": {"conditions": [
        {"type": "PodReadyToStartContainers", "status": "True"},
        {"type": "Ready", "status": "False"}]}});
    bench.edit(&resources::PODS, "shop", "web", &unready);
    bench.end_outage();
    bench.run(5);
    let pod = bench.get("web").unwrap();
    assert_eq!(condition(&pod, "Ready")["status"], "True");
    assert_eq!(pod["status"]["containerStatuses"][0]["restartCount"], 0);
}

#[test]
fn an_agent_that_starts_late_goes_on_from_the_status() {
    let mut bench = Bench::new();
    let spec = json!({"containers": [{"name": "app", "image": "a:1", "readinessProbe": {}}]});
    bench.pod("web", &spec, &json!({}));
    bench.run(3);
    bench.agents = Agents::new(7);
    bench.run(60);
    let pod = bench.get("web").unwrap();
    assert_eq!(condition(&pod, "Ready")["status"], "True");
    assert_eq!(pod["status"]["containerStatuses"][0]["restartCount"], 0);
    let writes = bench.writes;
    bench.agents = Agents::new(7);
    bench.run(60);
    assert!(bench.writes <= writes + 1, "a settled pod is written again");
}

#[test]
fn a_node_refuses_what_it_has_no_room_for() {
    let mut bench = Bench::new();
    let spec = json!({"containers": [{"name": "app", "image": "a:1",
        "resources": {"requests": {"cpu": "3"}}}]});
    bench.pod("one", &spec, &json!({}));
    bench.run(10);
    bench.pod("two", &spec, &json!({}));
    bench.run(10);
    let status = &bench.get("two").unwrap()["status"];
    assert_eq!(status["reason"], "OutOfcpu");
    assert_eq!(
        status["message"],
        "Pod was rejected: Node didn't have enough resource: cpu, requested: 3000, used: 3000, capacity: 4000"
    );
}

#[test]
fn the_log_says_once_that_there_is_no_process() {
    let mut bench = Bench::new();
    bench.pod("web", &json!({}), &json!({}));
    bench.run(30);
    let all = bench.log("web", &Options::default()).unwrap();
    let lines: Vec<&str> = all.lines().collect();
    assert_eq!(lines.len(), 3);
    assert_eq!(
        lines[0],
        "container \"app\" is simulated: it has no process and no output of its own"
    );
    assert_eq!(lines[2], "ready");
    let tail = Options {
        tail: Some(1),
        timestamps: true,
        ..Options::default()
    };
    let last = bench.log("web", &tail).unwrap();
    assert!(
        last.starts_with("2026-11-22T12:00:") && last.ends_with("Z ready\n"),
        "{last}"
    );
    let previous = Options {
        previous: true,
        ..Options::default()
    };
    assert!(matches!(
        bench.log("web", &previous),
        Err(LogError::NoPrevious { .. })
    ));
}

#[test]
fn the_same_seed_gives_the_same_end_to_the_byte() {
    let run = |seed| {
        let mut bench = Bench::new();
        bench.agents = Agents::new(seed);
        for i in 0..5 {
            bench.pod(&format!("p{i}"), &json!({}), &json!({}));
        }
        bench.run(100);
        let bytes: Vec<_> = bench.cluster.pods().map(|pod| pod.bytes()).collect();
        bytes
    };
    assert_eq!(run(7), run(7));
    assert_ne!(run(7), run(8));
}

#[test]
fn a_start_among_many_pods_is_taken_in_bounded_steps() {
    let mut bench = Bench::new();
    for i in 0..600 {
        bench.pod(&format!("p{i}"), &json!({}), &json!({}));
    }
    bench.agents = Agents::new(7);
    bench.now += SignedDuration::from_secs(10);
    bench.run(0);
    assert!(bench.agents.next_wake().is_some_and(|at| at > bench.now));
    bench.run(60);
    let ready = bench
        .cluster
        .pods()
        .filter(|pod| pod.pod().is_some_and(|pod| pod.ready))
        .count();
    // The machine has room for 110, and 250 addresses.
    assert_eq!(ready, 110);
}
