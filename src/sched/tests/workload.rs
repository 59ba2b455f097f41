//! Random clusters and pods, from a seed.

use std::sync::Arc;

use serde_json::{Value, json};

use crate::k8s::{Change, ChangeKind, Cluster, Object, Resource, resources};
use crate::stdx::rng::Stream;

pub struct Workload {
    rng: Stream,
    pub cluster: Cluster,
    templates: Vec<Value>,
    next: u64,
    node_count: u64,
    /// Nodes and pods with GPUs that may be shared.
    gpus: bool,
}

const APPS: [&str; 5] = ["web", "db", "cache", "queue", "batch"];
const HOSTNAME: &str = "kubernetes.io/hostname";
const ZONE: &str = "topology.kubernetes.io/zone";
const KEYS: [&str; 3] = [HOSTNAME, ZONE, "rack"];

impl Workload {
    pub fn new(seed: u64) -> Self {
        Self::with(seed, false)
    }

    /// The same with GPUs: several a node, shares of them, models, devices given by others.
    pub fn with_gpus(seed: u64) -> Self {
        Self::with(seed, true)
    }

    fn with(seed: u64, gpus: bool) -> Self {
        let mut workload = Self {
            rng: Stream::new(seed, "workload"),
            cluster: Cluster::default(),
            templates: Vec::new(),
            next: 0,
            node_count: 0,
            gpus,
        };
        for (name, team) in [("one", "a"), ("two", "b")] {
            workload.put(
                resources::NAMESPACES,
                &json!({"metadata": {"name": name, "labels": {"team": team}}}),
            );
        }
        workload.put(
            resources::SERVICES,
            &json!({"metadata": {"namespace": "one", "name": "web"},
                    "spec": {"selector": {"app": "web"}}}),
        );
        for _ in 0..3 + workload.rng.below(20) {
            let node = workload.another_node();
            workload.cluster.insert(&node);
        }
        for _ in 0..6 {
            let template = workload.template();
            workload.templates.push(template);
        }
        for _ in 0..workload.rng.below(60) {
            let pod = workload.pending();
            let names: Vec<_> = workload
                .cluster
                .nodes()
                .map(|node| node.key.name.clone())
                .collect();
            let node = workload.rng.pick(&names).unwrap().clone();
            workload.bind(&pod, &node);
        }
        workload
    }

    fn put(&mut self, resource: Resource, json: &Value) -> Change {
        let object = Arc::new(Object::from_json(resource, json).unwrap());
        self.insert(&object)
    }

    pub fn insert(&mut self, object: &Arc<Object>) -> Change {
        let previous = self.cluster.insert(object);
        Change {
            kind: if previous.is_some() {
                ChangeKind::Modified
            } else {
                ChangeKind::Added
            },
            object: Arc::clone(object),
            previous,
        }
    }

    pub fn another_node(&mut self) -> Arc<Object> {
        self.node_count += 1;
        let name = format!("n{}", self.node_count);
        let json = self.node(&name);
        Arc::new(Object::from_json(resources::NODES, &json).unwrap())
    }

    fn node(&mut self, name: &str) -> Value {
        let mut labels = json!({"disk": self.one(&["ssd", "hdd"])});
        if self.rng.chance(9, 10) {
            let twins = self.rng.chance(1, 25);
            labels[HOSTNAME] = json!(if twins { "twin" } else { name });
        }
        if self.rng.chance(9, 10) {
            labels[ZONE] = json!(self.one(&["z1", "z2", "z3"]));
        }
        if self.rng.chance(4, 5) {
            labels["rack"] = json!(format!("r{}", self.rng.below(6)));
        }
        let mut taints = vec![];
        if self.rng.chance(1, 6) {
            let effect = self.one(&["NoSchedule", "PreferNoSchedule", "PreferNoSchedule"]);
            taints.push(json!({"key": "dedicated", "value": "x", "effect": effect}));
        }
        let mut images = vec![];
        if self.rng.chance(1, 4) {
            images.push(json!({"names": ["i:1"], "sizeBytes": 900_000_000}));
        }
        let cpu = self.one(&["4", "8", "16"]);
        let pods = self.one(&["8", "110"]);
        let mut json = json!({"metadata": {"name": name, "labels": labels},
               "spec": {"taints": taints, "unschedulable": self.rng.chance(1, 20)},
               "status": {"allocatable": {"cpu": cpu, "memory": "16Gi", "pods": pods,
                                          "nvidia.com/gpu": "2"}, "images": images}});
        if self.gpus {
            let count = self.one(&["0", "1", "2", "4", "8"]);
            json["status"]["allocatable"]["nvidia.com/gpu"] = json!(count);
            let model = self.one(&["T4", "V100M32", "A10"]);
            json["metadata"]["labels"]["alibabacloud.com/gpu-card-model"] = json!(model);
        }
        json
    }

    fn one(&mut self, choices: &[&'static str]) -> &'static str {
        self.rng.pick(choices).copied().unwrap_or_default()
    }

    fn selector(&mut self) -> Value {
        match self.rng.below(9) {
            // Labels that nobody read before.
            8 => json!({"matchExpressions": [{"key": self.one(&["pod", "tier"]),
                                              "operator": self.one(&["Exists", "DoesNotExist"])}]}),
            0 => json!({}),
            1 => Value::Null,
            2 => json!({"matchExpressions": [{"key": "app", "operator": "NotIn",
                                              "values": [self.one(&APPS)]}]}),
            _ => json!({"matchLabels": {"app": self.one(&APPS)}}),
        }
    }

    fn term(&mut self) -> Value {
        let mut term = json!({"topologyKey": self.one(&KEYS), "labelSelector": self.selector()});
        match self.rng.below(6) {
            0 => term["namespaces"] = json!(["one", "two"]),
            1 => term["namespaceSelector"] = json!({"matchLabels": {"team": "a"}}),
            2 => {
                term["namespaceSelector"] = json!({"matchExpressions":
                    [{"key": "team", "operator": "NotIn", "values": ["a"]}]});
            }
            _ => {}
        }
        term
    }

    fn terms(&mut self) -> Value {
        let mut terms = json!({});
        if self.rng.chance(1, 2) {
            terms["requiredDuringSchedulingIgnoredDuringExecution"] = json!([self.term()]);
        }
        if self.rng.chance(1, 2) {
            let weight = 1 + self.rng.below(100);
            terms["preferredDuringSchedulingIgnoredDuringExecution"] =
                json!([{"weight": weight, "podAffinityTerm": self.term()}]);
        }
        terms
    }

    /// A pod without name.
    fn template(&mut self) -> Value {
        let cpu = self.one(&["100m", "500m", "2", "3500m"]);
        let app = self.one(&APPS);
        let mut requests = json!({"cpu": cpu, "memory": self.one(&["64Mi", "1Gi", "6Gi"])});
        if self.rng.chance(1, 8) {
            requests["nvidia.com/gpu"] = json!("1");
        }
        if self.rng.chance(1, 8) {
            requests = json!({});
        }
        let mut container =
            json!({"name": "c", "image": "i:1", "resources": {"requests": requests}});
        if self.rng.chance(1, 10) {
            container["ports"] = json!([{"hostPort": 80, "containerPort": 80}]);
        }
        let mut spec = json!({"containers": [container],
                              "priority": self.rng.below(3) * 10});
        if self.rng.chance(1, 3) {
            let constraints: Vec<Value> = (0..=self.rng.below(2))
                .map(|_| {
                    json!({"maxSkew": 1 + self.rng.below(3), "topologyKey": self.one(&KEYS),
                           "whenUnsatisfiable": self.one(&["DoNotSchedule", "ScheduleAnyway"]),
                           "labelSelector": self.selector(),
                           "matchLabelKeys": if self.rng.chance(1, 4) { json!(["tier"]) } else { json!([]) },
                           "nodeTaintsPolicy": self.one(&["Honor", "Ignore"]),
                           "nodeAffinityPolicy": self.one(&["Honor", "Ignore"])})
                })
                .collect();
            spec["topologySpreadConstraints"] = json!(constraints);
        }
        let mut affinity = json!({});
        if self.rng.chance(1, 4) {
            affinity["podAffinity"] = self.terms();
        }
        if self.rng.chance(1, 3) {
            affinity["podAntiAffinity"] = self.terms();
        }
        if self.rng.chance(1, 4) {
            let disk = self.one(&["ssd", "hdd"]);
            let expression = json!([{"key": "disk", "operator": "In", "values": [disk]}]);
            affinity["nodeAffinity"] = json!({"preferredDuringSchedulingIgnoredDuringExecution":
                [{"weight": 10, "preference": {"matchExpressions": expression}}]});
        }
        spec["affinity"] = affinity;
        if self.rng.chance(1, 6) {
            spec["nodeSelector"] = json!({"disk": "ssd"});
        }
        if self.rng.chance(1, 3) {
            spec["tolerations"] = json!([{"key": "dedicated", "operator": "Exists"}]);
        }
        if self.rng.chance(1, 10) {
            spec["preemptionPolicy"] = json!("Never");
        }
        let namespace = self.one(&["one", "one", "two"]);
        if self.rng.chance(1, 8) {
            spec["overhead"] = json!({"cpu": "250m"});
        }
        let mut labels = json!({"app": app});
        if self.rng.chance(1, 2) {
            labels["tier"] = json!(self.one(&["front", "back"]));
        }
        let mut pod = json!({"metadata": {"namespace": namespace, "labels": labels}, "spec": spec});
        if self.gpus && self.rng.chance(2, 3) {
            pod["metadata"]["annotations"] = self.gpu_annotations();
        }
        pod
    }

    fn gpu_annotations(&mut self) -> Value {
        const PREFIX: &str = "alibabacloud.com/gpu";
        let mut annotations = json!({"other": "x"});
        match self.rng.below(8) {
            0 => annotations[format!("{PREFIX}-count")] = json!(self.one(&["1", "2", "4"])),
            1 => annotations[format!("{PREFIX}-milli")] = json!(self.one(&["1001", "x", "-1"])),
            _ => {
                let milli = self.one(&["100", "300", "470", "500", "650", "810"]);
                annotations[format!("{PREFIX}-milli")] = json!(milli);
            }
        }
        if self.rng.chance(1, 4) {
            let models = self.one(&["T4", "T4|A10", "P100|V100M32", "P4"]);
            annotations[format!("{PREFIX}-card-model")] = json!(models);
        }
        annotations
    }

    /// A pod to schedule, mostly of a known template.
    pub fn pending(&mut self) -> Arc<Object> {
        if self.rng.chance(1, 15) {
            let template = self.template();
            let place = usize::try_from(self.rng.below(self.templates.len() as u64)).unwrap();
            self.templates[place] = template;
        }
        let mut json = self.rng.pick(&self.templates).unwrap().clone();
        self.next += 1;
        json["metadata"]["name"] = json!(format!("p{}", self.next));
        json["metadata"]["uid"] = json!(format!("u{}", self.next));
        if self.rng.chance(1, 2) {
            json["metadata"]["labels"]["pod"] = json!(format!("p{}", self.next));
        }
        Arc::new(Object::from_json(resources::PODS, &json).unwrap())
    }

    pub fn bind(&mut self, pod: &Object, node: &str) -> Change {
        let mut json = pod.json();
        json["spec"]["nodeName"] = json!(node);
        // Distinct starting times: upstream leaves the order of equal ones open.
        let start = jiff::Timestamp::from_second(1_700_000_000).unwrap();
        let age = jiff::SignedDuration::from_secs(i64::try_from(self.next).unwrap());
        let start = start.saturating_add(age).unwrap();
        json["status"] = json!({"phase": "Running", "startTime": start.to_string()});
        if self.gpus && self.rng.chance(1, 3) {
            // Devices that somebody else chose, some of which may not be there.
            let devices = self.one(&["0", "1", "0-1", "7", "15-16", "none"]);
            json["metadata"]["annotations"][crate::sched::gpu::INDEX] = json!(devices);
        }
        self.put(resources::PODS, &json)
    }

    /// Something happens to the cluster, or nothing.
    pub fn disturb(&mut self) -> Vec<Change> {
        let mut changes = Vec::new();
        let bound: Vec<Arc<Object>> = self.cluster.pods().cloned().collect();
        if self.rng.chance(1, 3)
            && let Some(pod) = self.rng.pick(&bound).cloned()
        {
            changes.push(self.remove(&pod));
        } else if self.rng.chance(1, 8)
            && let Some(pod) = self.rng.pick(&bound).cloned()
        {
            let mut json = pod.json();
            json["metadata"]["deletionTimestamp"] = json!("2026-01-01T00:00:00Z");
            changes.push(self.put(resources::PODS, &json));
        }
        let nodes: Vec<Arc<Object>> = self.cluster.nodes().cloned().collect();
        if self.rng.chance(1, 20)
            && let Some(node) = self.rng.pick(&nodes).cloned()
        {
            let json = self.node(node.name());
            changes.push(self.put(resources::NODES, &json));
        }
        if self.rng.chance(1, 40) {
            let node = self.another_node();
            changes.push(self.insert(&node));
        }
        if self.rng.chance(1, 40)
            && nodes.len() > 3
            && let Some(node) = self.rng.pick(&nodes).cloned()
        {
            changes.push(self.remove(&node));
        }
        if self.rng.chance(1, 30) {
            let app = self.one(&APPS);
            let allowed = self.rng.below(2);
            changes.push(self.put(
                resources::POD_DISRUPTION_BUDGETS,
                &json!({"metadata": {"namespace": "one", "name": "budget"},
                        "spec": {"selector": {"matchLabels": {"app": app}}},
                        "status": {"disruptionsAllowed": allowed}}),
            ));
        }
        if self.rng.chance(1, 40) {
            let key = self.one(&["app", "tier"]);
            let value = self.one(&["web", "front"]);
            changes.push(self.put(
                resources::SERVICES,
                &json!({"metadata": {"namespace": "one", "name": "other"},
                        "spec": {"selector": {key: value}}}),
            ));
        }
        if self.rng.chance(1, 40) {
            let team = self.one(&["a", "b"]);
            changes.push(self.put(
                resources::NAMESPACES,
                &json!({"metadata": {"name": "two", "labels": {"team": team}}}),
            ));
        }
        changes
    }

    fn remove(&mut self, object: &Object) -> Change {
        let removed = self.cluster.remove(&object.key).unwrap();
        Change {
            kind: ChangeKind::Deleted,
            object: Arc::clone(&removed),
            previous: Some(removed),
        }
    }
}
