//! Rehearsals on a small fleet, and their fidelity: what a rehearsal says is what then happens.

use std::collections::BTreeSet;

use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use super::archive::Archive;
use super::report::{self, Form};
use super::{Fork, Options, Outcome, Step, StepRefused, walk};
use crate::apiserver::{Request, ResourceTarget, Target, User, Verb};
use crate::k8s::{ChangeKind, Cluster, ObjectKey, Patch, Resource, lab, resources};
use crate::plane::World;

const RACKS: [(&str, &str); 4] = [("r1", "za"), ("r2", "za"), ("r3", "zb"), ("r4", "zc")];

/// The pods that were sent away, and the budgets that did not hold.
type Happened = (BTreeSet<String>, BTreeSet<String>);

/// An embedded cluster in virtual time, driven as the product drives it.
struct Lab {
    world: World,
    now: Timestamp,
}

impl Lab {
    /// Four racks of three machines; services, a voting group with a budget, daemons. A pod of `full`
    /// takes most of a machine, and finds none once the others have spread over what is left.
    fn new() -> Self {
        Self::of(5)
    }

    fn of(seed: u64) -> Self {
        let now = Timestamp::from_second(1_800_000_000).unwrap();
        let mut lab = Self {
            world: World::new(seed, now),
            now,
        };
        for (rack, zone) in RACKS {
            let pool = json!({"apiVersion": lab::API_VERSION, "kind": lab::NODE_POOL,
                "metadata": {"name": rack}, "spec": {"count": 3, "zone": zone, "rack": rack,
                    "machineType": {"name": "m", "capacity":
                        {"cpu": "4", "memory": "16Gi", "pods": "20"}}}});
            lab.create(&resources::NODE_POOLS, "v1alpha1", "", &pool);
        }
        for (name, replicas, cpu) in [("web", 12, "250m"), ("cart", 6, "200m"), ("full", 8, "3")] {
            lab.create(
                &resources::DEPLOYMENTS,
                "v1",
                "default",
                &workload("Deployment", name, replicas, cpu),
            );
        }
        let group = workload("StatefulSet", "db", 3, "500m");
        lab.create(&resources::STATEFUL_SETS, "v1", "default", &group);
        let agent = workload("DaemonSet", "agent", 0, "50m");
        lab.create(&resources::DAEMON_SETS, "v1", "default", &agent);
        for (name, min) in [("db", 2), ("cart", 6)] {
            let budget = json!({"apiVersion": "policy/v1", "kind": "PodDisruptionBudget",
                "metadata": {"name": name}, "spec": {"minAvailable": min,
                    "selector": {"matchLabels": {"app": name}}}});
            lab.create(&resources::POD_DISRUPTION_BUDGETS, "v1", "default", &budget);
        }
        lab.run(180);
        lab
    }

    fn create(&mut self, resource: &Resource, version: &str, namespace: &str, object: &Value) {
        let target = ResourceTarget {
            namespace: namespace.into(),
            ..Target::resource(&resource.group, version, &resource.plural)
        };
        let request = Request::internal(Verb::Create, target, User::system("test"))
            .with_body("application/json", object.to_string());
        let response = self.world.handle(&request, self.now);
        assert!(response.is_success(), "{resource}: {}", response.value());
    }

    fn power_off(&mut self, label: &str, value: &str) {
        let outage = json!({"apiVersion": lab::API_VERSION, "kind": lab::OUTAGE,
            "metadata": {"name": value},
            "spec": {"nodeSelector": {label: value}, "mode": "PowerOff"}});
        self.create(&resources::OUTAGES, "v1alpha1", "", &outage);
    }

    fn merge(&mut self, (group, version, plural): (&str, &str, &str), name: &str, patch: &Value) {
        let namespace = if group.is_empty() { "" } else { "default" };
        let target = ResourceTarget {
            namespace: namespace.into(),
            name: name.into(),
            ..Target::resource(group, version, plural)
        };
        let request = Request::internal(Verb::Patch, target, User::system("test"))
            .with_body("application/merge-patch+json", patch.to_string());
        let response = self.world.handle(&request, self.now);
        assert!(response.is_success(), "{plural}: {}", response.value());
    }

    /// As `kubectl drain` goes about it: cordon, then ask for each eviction until it is granted.
    /// Says which pods were sent away; one that may not go stays asked for until the time is over.
    fn drain(&mut self, node: &str, seconds: i64) -> Happened {
        self.merge(
            ("", "v1", "nodes"),
            node,
            &json!({"spec": {"unschedulable": true}}),
        );
        let end = self.now + SignedDuration::from_secs(seconds);
        let mut left: BTreeSet<String> = self
            .world
            .cluster()
            .pods_on(node)
            .filter(|pod| {
                pod.controller()
                    .is_some_and(|owner| owner.kind != "DaemonSet")
            })
            .map(|pod| pod.name().to_owned())
            .collect();
        let (mut away, mut broken) = Happened::default();
        while self.now < end {
            left.retain(|name| {
                let target = ResourceTarget {
                    namespace: "default".into(),
                    name: name.as_str().into(),
                    subresource: "eviction".into(),
                    ..Target::resource("", "v1", "pods")
                };
                let body = json!({"apiVersion": "policy/v1", "kind": "Eviction",
                    "metadata": {"name": name, "namespace": "default"}});
                let request = Request::internal(Verb::Create, target, User::system("test"))
                    .with_body("application/json", body.to_string());
                !self.world.handle(&request, self.now).is_success()
            });
            let happened = self.run(5);
            away.extend(happened.0);
            broken.extend(happened.1);
        }
        (away, broken)
    }

    /// Runs for so many seconds; names of the pods that were sent away meanwhile, and of the
    /// budgets that did not hold when the world came to rest.
    fn run(&mut self, seconds: i64) -> Happened {
        let end = self.now + SignedDuration::from_secs(seconds);
        let mut away = BTreeSet::new();
        let mut broken = BTreeSet::new();
        loop {
            let step = self.world.step(self.now);
            for change in step.journal {
                let pod = &change.object;
                let leaves = pod.is_terminating() || change.kind == ChangeKind::Deleted;
                if pod.pod().is_some_and(|pod| pod.node.is_some()) && leaves {
                    away.insert(pod.uid.to_string());
                }
            }
            if step.more {
                continue;
            }
            for budget in self
                .world
                .cluster()
                .list(&resources::POD_DISRUPTION_BUDGETS)
            {
                let json = budget.json();
                let count = |field: &str| json["status"][field].as_i64().unwrap_or_default();
                if count("currentHealthy") < count("desiredHealthy") {
                    broken.insert(budget.name().to_owned());
                }
            }
            let wake = step.next_wake.unwrap_or(end);
            if wake > end {
                self.now = end;
                return (away, broken);
            }
            self.now = wake.max(self.now);
        }
    }

    fn fork(&self, seed: u64) -> Fork {
        Fork::of(self.world.cluster(), self.options(seed), Vec::new())
    }

    fn options(&self, seed: u64) -> Options {
        Options {
            source: "lab".to_owned(),
            seed,
            now: self.now,
        }
    }
}

fn workload(kind: &str, name: &str, replicas: u32, cpu: &str) -> Value {
    let labels = json!({"app": name});
    let mut spec = json!({"selector": {"matchLabels": labels}, "template": {
        "metadata": {"labels": labels},
        "spec": {"terminationGracePeriodSeconds": 5, "containers": [{"name": "app",
            "image": "app:1", "env": [{"name": "TOKEN", "value": "hunter2"}],
            "resources": {"requests": {"cpu": cpu, "memory": "256Mi"}}}]}}});
    if kind == "StatefulSet" {
        spec["serviceName"] = json!(name);
    }
    if kind != "DaemonSet" {
        spec["replicas"] = json!(replicas);
    }
    json!({"apiVersion": "apps/v1", "kind": kind, "metadata": {"name": name}, "spec": spec})
}

fn pending(cluster: &Cluster) -> usize {
    let waits = cluster
        .pods()
        .filter(|pod| !pod.is_terminating() && pod.pod().is_some_and(|pod| pod.node.is_none()));
    waits.count()
}

fn rehearse(lab: &Lab, seed: u64, steps: &[&str]) -> Outcome {
    let mut fork = lab.fork(seed);
    for text in steps {
        let step = Step::parse(text, "default").unwrap();
        fork.take(&step)
            .unwrap_or_else(|error| panic!("{text}: {error}"));
    }
    fork.outcome(0)
}

fn node_of(lab: &Lab, app: &str) -> String {
    let pod = lab
        .world
        .cluster()
        .pods()
        .find(|pod| pod.labels.get("app").is_some_and(|label| label == app));
    pod.unwrap()
        .pod()
        .unwrap()
        .node
        .clone()
        .unwrap()
        .to_string()
}

#[test]
fn forking_changes_nothing() {
    let lab = Lab::new();
    let mut fork = lab.fork(1);
    let uids = |cluster: &Cluster| -> BTreeSet<(String, String, String)> {
        cluster
            .pods()
            .map(|pod| {
                let node = pod.pod().unwrap().node.clone().unwrap_or_default();
                (
                    pod.uid.to_string(),
                    node.to_string(),
                    pod.pod().unwrap().ready.to_string(),
                )
            })
            .collect()
    };
    assert_eq!(uids(fork.cluster()), uids(lab.world.cluster()));
    let outcome = fork.take(&Step::parse("wait 30m", "").unwrap()).unwrap();
    assert_eq!(outcome.effects, super::outcome::Effects::default());
    assert_eq!(uids(fork.cluster()), uids(lab.world.cluster()));
}

#[test]
fn what_is_done_before_everybody_has_looked_waits_and_comes_to_the_same() {
    let lab = Lab::new();
    let mut begun = Fork::begun(lab.world.cluster(), lab.options(1), Vec::new());
    assert!(!begun.is_ready());
    while begun.look().is_none() {}
    assert_eq!(begun.now(), lab.now);
    let step = Step::parse("lose rack=r1", "default").unwrap();
    begun.take(&step).unwrap();
    let mut hasty = Fork::begun(lab.world.cluster(), lab.options(1), Vec::new());
    hasty.take(&step).unwrap();
    let at_once = rehearse(&lab, 1, &["lose rack=r1"]);
    assert_eq!(begun.outcome(0), at_once);
    assert_eq!(hasty.outcome(0), at_once);
}

#[test]
fn a_lost_rack_is_rehearsed_as_it_then_happens() {
    let mut lab = Lab::new();
    let outcome = rehearse(&lab, 3, &["lose rack=r1"]);
    lab.power_off(lab::RACK_LABEL, "r1");
    let (away, broken) = lab.run(20 * 60);
    let total = &outcome.total;
    assert!(
        !away.is_empty() && !total.moved.is_empty(),
        "a rack without pods proves nothing"
    );
    assert_eq!(total.deleted, away.len() as u64, "{total:#?}");
    assert_eq!(total.pending.len(), pending(lab.world.cluster()));
    let budgets: BTreeSet<String> = total
        .budgets
        .iter()
        .map(|breach| breach.name.to_string())
        .collect();
    assert_eq!(budgets, broken);
    assert!(outcome.falls_below_target);
    assert!(outcome.steps[0].settled);
    let web = total
        .workloads
        .iter()
        .find(|effect| effect.workload.name == "web");
    // Forty seconds until the machines count as lost, five minutes that pods tolerate that.
    let below = web.map(|effect| effect.seconds_below).unwrap_or_default();
    assert!((300..600).contains(&below), "{below}");
}

/// What is done to the cluster; the pods that were sent away by it.
type Deed = fn(&mut Lab) -> Happened;

/// The pending set, the moves' count and the budgets broken agree, whatever chance decides: the ties
/// of the rehearsal's scheduler are not those of the cluster's.
#[test]
fn what_is_rehearsed_then_happens_whatever_the_seed() {
    let deeds: [(&str, Deed); 4] = [
        ("lose rack=r3", |lab| {
            lab.power_off(lab::RACK_LABEL, "r3");
            lab.run(20 * 60)
        }),
        ("lose zone=za", |lab| {
            lab.power_off("topology.kubernetes.io/zone", "za");
            lab.run(20 * 60)
        }),
        ("scale deploy/web=30", |lab| {
            let more = json!({"spec": {"replicas": 30}});
            lab.merge(("apps", "v1", "deployments"), "web", &more);
            lab.run(20 * 60)
        }),
        ("drain", |lab| {
            let node = node_of(lab, "db");
            lab.drain(&node, 20 * 60)
        }),
    ];
    for seed in [1, 7, 23, 92] {
        for (text, happens) in deeds {
            let mut lab = Lab::of(seed);
            let step = match text {
                "drain" => format!("drain {}", node_of(&lab, "db")),
                _ => text.to_owned(),
            };
            let told = rehearse(&lab, seed + 1, &[&step]).total;
            let (away, broken) = happens(&mut lab);
            let waiting: BTreeSet<String> = of_workloads(lab.world.cluster());
            let foretold: BTreeSet<String> = told
                .pending
                .iter()
                .map(|pending| pending.workload.name.to_string())
                .collect();
            assert_eq!(
                told.deleted,
                away.len() as u64,
                "seed {seed}: {step}: {told:#?}"
            );
            assert_eq!(
                told.pending.len(),
                pending(lab.world.cluster()),
                "seed {seed}: {step}"
            );
            assert_eq!(foretold, waiting, "seed {seed}: {step}");
            let budgets: BTreeSet<String> = told
                .budgets
                .iter()
                .map(|breach| breach.name.to_string())
                .collect();
            assert_eq!(budgets, broken, "seed {seed}: {step}");
        }
    }
}

/// The workloads whose pods wait.
fn of_workloads(cluster: &Cluster) -> BTreeSet<String> {
    let waits = cluster
        .pods()
        .filter(|pod| !pod.is_terminating() && pod.pod().is_some_and(|pod| pod.node.is_none()));
    waits
        .filter_map(|pod| pod.labels.get("app"))
        .map(ToString::to_string)
        .collect()
}

#[test]
fn the_same_seed_gives_the_same_outcome_to_the_byte() {
    let lab = Lab::new();
    let steps = [
        "lose rack=r2",
        "scale deploy/web=30",
        "drain r1-h01",
        "restore rack=r2",
    ];
    let json = |seed| serde_json::to_string(&rehearse(&lab, seed, &steps)).unwrap();
    assert_eq!(json(7), json(7));
}

#[test]
fn a_drain_waits_for_budgets_and_says_when_they_never_allow_it() {
    let lab = Lab::new();
    let blocked = rehearse(&lab, 1, &[&format!("drain {}", node_of(&lab, "cart"))]);
    let notes = &blocked.steps[0].notes;
    assert!(
        notes.iter().any(|note| note
            .contains("The disruption budget cart needs 6 healthy pods and has 6 currently")),
        "{notes:?}"
    );
    assert!(blocked.total.budgets.is_empty());
    let drained = rehearse(&lab, 1, &[&format!("drain {}", node_of(&lab, "db"))]);
    let db: Vec<_> = drained
        .total
        .moved
        .iter()
        .filter(|moved| moved.workload.name == "db")
        .collect();
    assert!(!db.is_empty() && db.iter().all(|moved| moved.pod == moved.replacement));
    assert!(drained.total.quorums.is_empty());
    assert!(drained.after.cordoned == 1);
}

#[test]
fn what_does_not_fit_stays_pending_in_the_schedulers_words() {
    let lab = Lab::new();
    let outcome = rehearse(&lab, 1, &["scale deploy/full=40"]);
    let pending = &outcome.total.pending;
    assert!(!pending.is_empty());
    assert!(
        pending
            .iter()
            .all(|pod| pod.why.contains("Insufficient cpu")),
        "{pending:?}"
    );
    assert!(outcome.falls_below_target);
    let text = report::write(&outcome, Form::Text);
    assert!(text.contains("nodes are available"), "{text}");
    let more = rehearse(&lab, 1, &["scale deploy/full=40", "add 12 like r1-h01"]);
    assert!(more.total.pending.len() < pending.len());
    assert_eq!(more.after.ready, 24);
}

#[test]
fn machines_power_and_packing() {
    let lab = Lab::new();
    let outcome = rehearse(
        &lab,
        1,
        &[
            "cordon r4-h01",
            "uncordon r4-h01",
            "lose node=r4-h02",
            "restore node=r4-h02",
            "remove r4-h03",
            "add 1 of m",
            "pack most",
            "set deploy/web requests cpu=250m",
            "set deploy/web image web:2",
            "set deploy/cart spread rack=1 soft",
            "set deploy/web apart node soft",
            "wait 5m",
        ],
    );
    assert_eq!(outcome.steps.len(), 12);
    assert_eq!(outcome.after.ready, 13, "the pool makes a new r4-h03");
    assert_eq!(outcome.total.pending, []);
    let text = report::write(&outcome, Form::Markdown);
    assert!(text.contains("| cpu requested |"), "{text}");
}

#[test]
fn steps_that_cannot_be_taken_name_what_may_have_been_meant() {
    let lab = Lab::new();
    let mut fork = lab.fork(1);
    let mut refusal = |text: &str| -> String {
        let step = Step::parse(text, "default").unwrap();
        let refused: StepRefused = fork.take(&step).unwrap_err();
        refused.to_string()
    };
    assert_eq!(
        refusal("drain r1-h1"),
        "there is no node `r1-h1`; near it are r1-h01, r1-h02, r1-h03, r2-h01, r3-h01"
    );
    assert_eq!(
        refusal("lose rack=r9"),
        "there is no rack `r9`; near it are r1, r2, r3, r4"
    );
    assert!(refusal("lose shelf=1").starts_with("there is no failure domain level `shelf`"));
    assert_eq!(
        refusal("scale deploy/cartt=3"),
        "there is no deployment `cartt`; near it are cart"
    );
    assert_eq!(
        refusal("scale deploy/cart=3 -n shop"),
        "there is no deployment `cart` in `shop`; it is in default (-n)"
    );
    assert!(refusal("scale depoly/cart=3").contains("there is no kind `depoly`"));
    assert_eq!(
        refusal("scale ds/agent=3"),
        "`ds/agent` has no replicas to set"
    );
    assert!(refusal("evict web-1").starts_with("there is no pod in `default` called `web-1`"));
    assert!(refusal("add 1 of large").contains("no instance type `large`"));
    assert_eq!(refusal("restore rack=r1"), "rack=r1 is not lost");
    assert!(refusal("set deploy/cart image x=1:2").contains("no container `x`"));
    assert!(fork.steps().is_empty());
}

#[test]
fn a_saved_rehearsal_is_taken_again_with_the_same_outcome() {
    let mut lab = Lab::new();
    let secret = json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "s"},
        "stringData": {"password": "hunter2"}});
    lab.create(&resources::SECRETS, "v1", "default", &secret);
    let texts = ["lose rack=r1", "scale deploy/web=14 -n default"];
    let archive = Archive {
        source: "lab".to_owned(),
        forked_at: lab.now,
        seed: 9,
        cluster: lab.world.cluster().clone(),
        steps: texts
            .iter()
            .map(|text| Step::parse(text, "").unwrap())
            .collect(),
    };
    let replay = |bytes: &[u8]| {
        let saved = Archive::decode(bytes).unwrap();
        let options = Options {
            source: saved.source,
            seed: saved.seed,
            now: saved.forked_at,
        };
        let mut fork = Fork::of(&saved.cluster, options, Vec::new());
        for step in &saved.steps {
            fork.take(step).unwrap();
        }
        fork.outcome(0)
    };
    let plain = archive.encode(false).unwrap();
    let again = replay(&plain);
    assert_eq!(again, rehearse(&lab, 9, &texts));
    let hidden = archive.encode(true).unwrap();
    for bytes in [&plain, &hidden] {
        let mut text = String::new();
        let mut reader = flate2::read::GzDecoder::new(bytes.as_slice());
        std::io::Read::read_to_string(&mut reader, &mut text).unwrap();
        assert!(!text.contains("hunter2"), "no secret is in it");
    }
    let renamed = replay(&hidden);
    assert!(!report::write(&renamed, Form::Text).contains("cart"));
    assert_eq!(renamed.total.deleted, again.total.deleted);
    assert_eq!(renamed.total.pending.len(), again.total.pending.len());
    assert!(Archive::decode(b"PK").is_err());
}

#[test]
fn the_rebalancer_frees_machines_and_no_budget_breaks() {
    let lab = Lab::new();
    // With less to do, much of the fleet stands half empty.
    let shrink = ["scale deploy/full=0", "scale deploy/web=6"];
    let text = "rebalance machines";
    let outcome = rehearse(&lab, 1, &[shrink[0], shrink[1], text]);
    let step = outcome.steps.last().unwrap();
    assert!(
        step.notes[0].contains("in 1 wave") || step.notes[0].contains("waves"),
        "{step:#?}"
    );
    assert!(!step.effects.moved.is_empty(), "{step:#?}");
    assert_eq!(outcome.total.budgets, []);
    assert_eq!(outcome.total.quorums, []);
    assert_eq!(outcome.total.pending, []);
    let held = step
        .notes
        .iter()
        .any(|note| note.contains("budget `cart` allows no disruption"));
    assert!(held, "cart's budget needs all six: {:?}", step.notes);
    let before = outcome.steps.len();
    assert!(before == 3 && !outcome.emptied.is_empty(), "{outcome:#?}");
    let again = rehearse(&lab, 1, &[shrink[0], shrink[1], text]);
    assert_eq!(outcome, again);
}

#[test]
fn the_rebalancer_evens_out_what_stands_in_one_rack() {
    let lab = Lab::new();
    let crowd = [
        "cordon r2-h01",
        "cordon r2-h02",
        "cordon r2-h03",
        "cordon r3-h01",
        "cordon r3-h02",
        "cordon r3-h03",
        "cordon r4-h01",
        "cordon r4-h02",
        "cordon r4-h03",
        "scale deploy/full=0",
        "scale deploy/web=0",
        "scale deploy/web=6",
        "uncordon r2-h01",
        "uncordon r3-h01",
        "uncordon r4-h01",
    ];
    let mut steps = crowd.to_vec();
    steps.push("rebalance spread rack");
    let outcome = rehearse(&lab, 1, &steps);
    let step = outcome.steps.last().unwrap();
    let left = |moved: &&super::outcome::Move| {
        moved.from.starts_with("r1-") && !moved.to.starts_with("r1-")
    };
    assert!(
        step.effects.moved.iter().any(|moved| left(&moved)),
        "{step:#?}"
    );
    assert_eq!(outcome.total.budgets, []);
}

#[test]
fn what_the_workload_needs_is_part_of_the_outcome_where_it_is_asked() {
    let lab = Lab::new();
    let mut fork = lab.fork(1);
    assert!(fork.outcome(0).need.is_none());
    for text in ["scale deploy/full=0", "scale deploy/web=6"] {
        fork.take(&Step::parse(text, "default").unwrap()).unwrap();
    }
    let need = fork.need(false);
    assert_eq!(
        need,
        fork.need(false),
        "the same seed gives the same answer"
    );
    // Six carts of 200m, six webs of 250m, three of 500m and an agent each: one of four cores is
    // too small, two are not.
    assert_eq!((need.machines, need.needs, need.pods), (12, Some(2), 15));
    assert_eq!(need.sentence(), "this workload needs 2 of your 12 machines");
    assert!(need.in_use_after < need.in_use);
    assert_eq!(need.in_use - need.in_use_after, need.frees.len());
    let mut outcome = fork.outcome(0);
    outcome.need = Some(need);
    let text = report::write(&outcome, Form::Text);
    for words in [
        "this workload needs 2 of your 12 machines",
        "MOVES, WAVE BY WAVE",
        "MACHINES THAT THE MOVES FREE",
        "budget `cart` allows no disruption now",
        "worst spread over zones",
    ] {
        assert!(text.contains(words), "`{words}` is missing: {text}");
    }
    let markdown = report::write(&outcome, Form::Markdown);
    assert!(
        markdown.contains("| wave | pod | from | to | budget |"),
        "{markdown}"
    );
    let json = serde_json::to_value(&outcome).unwrap();
    assert_eq!(json["need"]["needs"], json!(2));
    assert!(json["need"]["waves"][0][0]["pod"].is_string());
}

#[test]
fn machines_without_a_pod_range_start_pods_too() {
    let lab = Lab::new();
    let mut cluster = lab.world.cluster().clone();
    for node in lab.world.cluster().nodes() {
        let mut json = node.json();
        json["spec"]["podCIDR"] = json!("fd00:1::/64");
        let changed = crate::k8s::Object::from_json(resources::NODES, &json).unwrap();
        cluster.insert(&std::sync::Arc::new(changed));
    }
    let options = Options {
        source: "lab".to_owned(),
        seed: 1,
        now: lab.now,
    };
    let mut fork = Fork::of(&cluster, options, Vec::new());
    fork.take(&Step::parse("scale deploy/web=14", "default").unwrap())
        .unwrap();
    let outcome = fork.outcome(0);
    assert!(!outcome.falls_below_target, "{outcome:#?}");
    let web = |object: &&std::sync::Arc<crate::k8s::Object>| object.name().starts_with("web-");
    let ready = fork.cluster().pods().filter(web);
    assert_eq!(ready.filter(|pod| pod.pod().unwrap().ready).count(), 14);
}

#[test]
fn a_change_taken_to_reality_holds_nothing_that_controllers_wrote_for_it() {
    let lab = Lab::new();
    let mut fork = lab.fork(7);
    let key = ObjectKey::new(resources::DEPLOYMENTS, "default", "web");
    let mut changed = fork.cluster().get(&key).unwrap().json();
    changed["spec"]["template"]["spec"]["containers"][0]["image"] = json!("app:2");
    let target = ResourceTarget {
        namespace: "default".into(),
        name: "web".into(),
        ..Target::resource("apps", "v1", "deployments")
    };
    let request = Request::internal(Verb::Update, target, User::system("test"))
        .with_body("application/json", changed.to_string());
    assert!(fork.handle(&request).is_success());
    let strides = walk::of(lab.world.cluster(), fork.options().clone(), &fork.taken());
    let real = strides[0].real.as_ref().unwrap();
    let walk::Deed::Patch(Patch::Merge(patch)) = &real.deed else {
        panic!("{:?}", real.deed);
    };
    let fields: Vec<&String> = patch.as_object().unwrap().keys().collect();
    assert_eq!(fields, ["spec"], "{patch}");
}

#[test]
fn a_manifest_is_applied_without_what_the_cluster_does_not_serve() {
    let lab = Lab::new();
    let mut fork = lab.fork(7);
    let objects = vec![
        json!({"apiVersion": "monitoring.coreos.com/v1", "kind": "Alertmanager",
            "metadata": {"name": "main"}}),
        json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata":
            {"name": "settings", "namespace": "monitoring"}}),
        json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "monitoring"}}),
    ];
    let step = Step::Apply {
        from: "monitoring.yaml".to_owned(),
        objects,
        namespace: "default".into(),
    };
    fork.take(&step).unwrap();
    let key = ObjectKey::new(resources::CONFIG_MAPS, "monitoring", "settings");
    assert!(fork.cluster().get(&key).is_some());
    let outcome = fork.outcome(0);
    let report = report::write(&outcome, Form::Text);
    assert!(
        report.contains("does not serve: 1 × Alertmanager (monitoring.coreos.com/v1)"),
        "{report}"
    );
}

#[test]
fn shared_gpus_are_packed_device_by_device_where_that_is_asked() {
    let mut lab = Lab::new();
    let pool = json!({"apiVersion": lab::API_VERSION, "kind": lab::NODE_POOL,
        "metadata": {"name": "g1"}, "spec": {"count": 1, "zone": "zc", "rack": "g1",
            "machineType": {"name": "g", "capacity": {"cpu": "16", "memory": "64Gi",
                "pods": "20", "alibabacloud.com/gpu-count": "2"}}}});
    lab.create(&resources::NODE_POOLS, "v1alpha1", "", &pool);
    let mut model = workload("Deployment", "model", 0, "100m");
    model["spec"]["template"]["metadata"]["annotations"] =
        json!({"alibabacloud.com/gpu-milli": "600", "alibabacloud.com/gpu-count": "1"});
    lab.create(&resources::DEPLOYMENTS, "v1", "default", &model);
    lab.run(60);
    // Without the plugin nobody looks at devices: all have room. With it, two devices take one each.
    let scale = "scale deploy/model=3";
    assert_eq!(rehearse(&lab, 1, &[scale]).total.pending.len(), 0);
    let shared = rehearse(&lab, 1, &["pack gpus", scale]);
    assert_eq!(shared.total.pending.len(), 1, "{:?}", shared.total.pending);
    assert_eq!(shared.steps[0].step, "pack gpus");
}
