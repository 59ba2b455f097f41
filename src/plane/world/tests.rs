//! A World in virtual time: what is written leads to running pods, twice the same, and forks part.

use serde_json::{Value, json};

use super::*;
use crate::apiserver::request::{ResourceTarget, Verb};
use crate::apiserver::{Target, User};

const START: i64 = 1_800_000_000;

/// A World and its virtual clock.
#[derive(Clone)]
struct Lab {
    world: World,
    now: Timestamp,
}

impl Lab {
    fn new(seed: u64) -> Self {
        let now = Timestamp::from_second(START).unwrap();
        Self {
            world: World::new(seed, now),
            now,
        }
    }

    fn create(
        &mut self,
        (group, version, plural): (&str, &str, &str),
        namespace: &str,
        object: &Value,
    ) {
        let target = ResourceTarget {
            namespace: namespace.into(),
            ..Target::resource(group, version, plural)
        };
        let request = Request::internal(Verb::Create, target, User::system("test"))
            .with_body("application/json", object.to_string());
        let response = self.world.handle(&request, self.now);
        assert_eq!(response.status, 201, "{}", response.value());
    }

    fn machine(&mut self, name: &str) {
        let capacity = json!({"cpu": "8", "memory": "32Gi", "pods": "110"});
        let node = json!({"apiVersion": "v1", "kind": "Node",
            "metadata": {"name": name, "labels": {"bayplan.dev/runtime": "simulated"}},
            "spec": {"podCIDR": "10.244.1.0/24"},
            "status": {"capacity": capacity, "allocatable": capacity}});
        self.create(("", "v1", "nodes"), "", &node);
    }

    fn deployment(&mut self, name: &str, replicas: u32) {
        let labels = json!({"app": name});
        let object = json!({"apiVersion": "apps/v1", "kind": "Deployment",
            "metadata": {"name": name},
            "spec": {"replicas": replicas, "selector": {"matchLabels": labels},
                "template": {"metadata": {"labels": labels},
                    "spec": {"containers": [{"name": "app", "image": "example.org/app:1",
                        "resources": {"requests": {"cpu": "100m"}}}]}}}});
        self.create(("apps", "v1", "deployments"), "default", &object);
    }

    /// Steps from wake to wake until `seconds` have passed; fails when it never comes to rest.
    fn run(&mut self, seconds: i64) {
        let end = self.now + SignedDuration::from_secs(seconds);
        let mut rounds = 0;
        loop {
            let step = self.world.step(self.now);
            rounds += 1;
            assert!(rounds < 20_000, "the world does not come to rest");
            if step.more {
                continue;
            }
            let wake = step.next_wake.unwrap_or(end).max(self.now);
            if wake > end {
                self.now = end;
                return;
            }
            self.now = wake;
        }
    }

    fn running(&self) -> usize {
        let running =
            |pod: &&Arc<Object>| pod.json().pointer("/status/phase") == Some(&json!("Running"));
        self.world.cluster().pods().filter(running).count()
    }

    /// Everything there is, as bytes.
    fn state(&self) -> Vec<u8> {
        let cluster = self.world.cluster();
        let mut bytes = Vec::new();
        for resource in cluster.resources() {
            for object in cluster.list(resource) {
                bytes.extend_from_slice(&object.bytes());
            }
        }
        bytes
    }
}

fn busy(seed: u64) -> Lab {
    let mut lab = Lab::new(seed);
    lab.machine("n1");
    lab.deployment("web", 3);
    lab.run(60);
    lab
}

#[test]
fn deployment_becomes_running_pods() {
    assert_eq!(busy(1).running(), 3);
}

#[test]
fn same_seed_gives_the_same_bytes() {
    assert_eq!(busy(7).state(), busy(7).state());
    assert_ne!(busy(7).state(), busy(8).state());
}

#[test]
fn fork_goes_its_own_way() {
    let mut lab = busy(3);
    let before = lab.state();
    let mut fork = lab.clone();
    fork.deployment("cart", 2);
    fork.run(60);
    assert_eq!(lab.state(), before);
    assert_eq!(fork.running(), 5);
    lab.run(60);
    assert_eq!(lab.running(), 3);
}

#[test]
fn restored_world_goes_on() {
    let mut lab = busy(3);
    let objects: Vec<Arc<Object>> = {
        let cluster = lab.world.cluster();
        let all = cluster
            .resources()
            .flat_map(|resource| cluster.list(resource));
        all.filter(|object| object.key.resource != resources::LEASES)
            .cloned()
            .collect()
    };
    let revision = Revision(lab.world.cluster().revision().0 + 1000);
    lab.world = World::restore(objects, revision, 99, lab.now);
    lab.run(60);
    assert_eq!(lab.running(), 3);
    lab.deployment("cart", 2);
    lab.run(60);
    assert_eq!(lab.running(), 5);
    assert!(lab.world.cluster().revision() > revision);
}

#[test]
fn pods_that_share_a_gpu_are_bound_with_their_devices() {
    let mut lab = Lab::new(5);
    let configuration = Configuration::parse(
        "apiVersion: kubescheduler.config.k8s.io/v1\nkind: KubeSchedulerConfiguration\n\
         profiles:\n- schedulerName: gpu\n  plugins: {multiPoint: {enabled: [{name: GpuShare}]}}\n",
    );
    lab.world.set_scheduler(configuration.unwrap(), 5);
    let capacity = json!({"cpu": "8", "memory": "32Gi", "pods": "110", "nvidia.com/gpu": "2"});
    let node = json!({"apiVersion": "v1", "kind": "Node",
        "metadata": {"name": "g1", "labels": {"bayplan.dev/runtime": "simulated"}},
        "spec": {"podCIDR": "10.244.1.0/24"},
        "status": {"capacity": capacity, "allocatable": capacity}});
    lab.create(("", "v1", "nodes"), "", &node);
    let labels = json!({"app": "model"});
    let deployment = json!({"apiVersion": "apps/v1", "kind": "Deployment",
        "metadata": {"name": "model"},
        "spec": {"replicas": 5, "selector": {"matchLabels": labels},
            "template": {
                "metadata": {"labels": labels,
                    "annotations": {"alibabacloud.com/gpu-milli": "500"}},
                "spec": {"schedulerName": "gpu",
                    "containers": [{"name": "app", "image": "example.org/app:1"}]}}}});
    lab.create(("apps", "v1", "deployments"), "default", &deployment);
    lab.run(60);
    let mut devices: Vec<Value> = Vec::new();
    for pod in lab.world.cluster().pods() {
        let json = pod.json();
        let annotations = &json["metadata"]["annotations"];
        assert_eq!(annotations["alibabacloud.com/gpu-milli"], "500");
        devices.push(annotations["alibabacloud.com/gpu-index"].clone());
    }
    devices.sort_by_key(Value::to_string);
    assert_eq!(
        devices,
        [json!("0"), json!("0"), json!("1"), json!("1"), Value::Null]
    );
    assert_eq!(lab.running(), 4);
    let waiting = lab.world.scheduler().queue().pods().next().unwrap();
    assert!(
        waiting
            .message
            .starts_with("0/1 nodes are available: 1 node(s) had no GPU with enough of it free."),
        "{}",
        waiting.message
    );
}
