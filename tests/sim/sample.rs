//! The standard fleet with its sample application: what a first cluster shows after some minutes.

use std::collections::BTreeMap;

use bayplan::apiserver::{Request, Target, User, Verb};
use bayplan::config::fleet::{self, Fleet};
use bayplan::k8s::{Resource, resources};
use bayplan::plane::World;
use jiff::{SignedDuration, Timestamp};
use serde_json::Value;

struct Lab {
    world: World,
    now: Timestamp,
}

impl Lab {
    /// Creates an object through the API server; its plural is guessed as people guess it.
    fn create(&mut self, object: &Value) {
        let text = |pointer| {
            object
                .pointer(pointer)
                .and_then(Value::as_str)
                .unwrap_or_default()
        };
        let (group, version) = text("/apiVersion")
            .split_once('/')
            .unwrap_or(("", text("/apiVersion")));
        let kind = text("/kind").to_lowercase();
        let plural = match kind.strip_suffix('s') {
            Some(_) => kind + "es",
            None => kind + "s",
        };
        let mut target = Target::resource(group, version, &plural);
        target.namespace = text("/metadata/namespace").into();
        let request = Request::internal(Verb::Create, target, User::system("test"))
            .with_body("application/json", object.to_string());
        let response = self.world.handle(&request, self.now);
        assert!(
            response.is_success(),
            "{plural} {}: {}",
            text("/metadata/name"),
            response.value()
        );
    }

    fn run(&mut self, length: SignedDuration) {
        let end = self.now + length;
        loop {
            let step = self.world.step(self.now);
            if step.more {
                continue;
            }
            match step.next_wake.filter(|wake| *wake <= end) {
                Some(wake) => self.now = wake.max(self.now),
                None => break,
            }
        }
        self.now = end;
    }

    /// Ready replicas by name.
    fn ready(&self, resource: &Resource) -> BTreeMap<String, (u64, u64)> {
        let objects = self.world.cluster().list(resource);
        objects
            .map(|object| {
                let json = object.json();
                let count = |pointer| json.pointer(pointer).and_then(Value::as_u64).unwrap_or(0);
                let state = (count("/status/readyReplicas"), count("/spec/replicas"));
                (object.name().to_owned(), state)
            })
            .collect()
    }
}

#[test]
fn a_first_cluster_runs_but_for_what_is_in_trouble_on_purpose() {
    let now = Timestamp::from_second(1_800_000_000).unwrap_or_default();
    let mut lab = Lab {
        world: World::new(1, now),
        now,
    };
    for pool in Fleet::standard().objects() {
        lab.create(&pool);
    }
    lab.run(SignedDuration::from_secs(20));
    for document in fleet::sample().documents {
        lab.create(&document.object);
    }
    lab.run(SignedDuration::from_secs(110));
    let mut troubled: Vec<String> = Vec::new();
    let deployments = lab.ready(&resources::DEPLOYMENTS);
    for (name, (ready, wanted)) in deployments
        .iter()
        .chain(&lab.ready(&resources::STATEFUL_SETS))
    {
        if ready != wanted {
            troubled.push(format!("{name} {ready}/{wanted}"));
        }
    }
    let mut pending = BTreeMap::new();
    for pod in lab.world.cluster().pods() {
        if pod.pod().is_some_and(|pod| pod.node.is_none()) {
            let owner = pod.controller().map(|owner| owner.name.to_string());
            *pending.entry(owner.unwrap_or_default()).or_insert(0) += 1;
        }
    }
    println!(
        "{} pods, troubled {troubled:?}, pending {pending:?}",
        lab.world.cluster().pods().count()
    );
    assert!(
        troubled
            .iter()
            .any(|name| name.starts_with("report-builder 0/2"))
    );
    let unexpected: Vec<&String> = troubled
        .iter()
        .filter(|name| !name.starts_with("report-builder") && !name.starts_with("notifications"))
        .collect();
    assert!(unexpected.is_empty(), "{unexpected:?}");
    assert_eq!(pending.values().sum::<i32>(), 2, "{pending:?}");
}
