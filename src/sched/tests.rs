//! Properties that hold for every workload: the fast path decides as the reference does, and the
//! reference obeys what a scheduler must.

mod bad_input;
mod gpus;
mod rules;
mod scene;
mod volumes;
mod wakes;
mod workload;

use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};

use self::workload::Workload;
use super::explain::decide;
use super::fast::{Fast, Fate, Preempting};
use super::snapshot::{NodeId, Snapshot};
use super::*;
use crate::k8s::{Change, ChangeKind, Cluster, Object, Op, resources};

fn sorted(mut nodes: Vec<NodeId>) -> Vec<NodeId> {
    nodes.sort_unstable();
    nodes
}

fn compare(seed: u64, steps: usize) -> (usize, usize) {
    compare_under(Configuration::default(), Workload::new(seed), seed, steps)
}

/// Schedules, removes and changes at random, and compares every decision.
fn compare_under(
    configuration: Configuration,
    mut workload: Workload,
    seed: u64,
    steps: usize,
) -> (usize, usize) {
    let mut snapshot = Snapshot::with(&workload.cluster, configuration);
    let mut fast = Fast::default();
    let (mut placed, mut refused) = (0, 0);
    for step in 0..steps {
        for change in workload.disturb() {
            snapshot.observe(&change);
        }
        let pod = workload.pending();
        let subject = snapshot.subject(&pod).unwrap();
        let expected = decide(&snapshot, &subject);
        let at = format!("seed {seed} step {step} pod {}", pod.json());
        if let Some(best) = fast.best(&snapshot, &subject) {
            assert_eq!(sorted(best), sorted(expected.best.clone()), "{at}");
        }
        match fast.decide(&snapshot, &subject, step as u64, Preempting::Yes) {
            Fate::Node(node) => {
                assert!(expected.best.contains(&node), "{at}");
                placed += 1;
                let change = workload.bind(&pod, &snapshot.node_name(node));
                if step % 2 == 0 {
                    snapshot.seat(&subject, node);
                }
                snapshot.observe(&change);
            }
            Fate::Refused(fate) => {
                refused += 1;
                assert!(expected.best.is_empty(), "{at}");
                assert_eq!(fate.message, expected.message, "{at}");
                let plugins: std::collections::BTreeSet<Plugin> = expected
                    .refusals
                    .iter()
                    .flatten()
                    .map(|refusal| refusal.plugin)
                    .collect();
                assert_eq!(fate.refused_by, plugins, "{at}");
                match fate.candidate {
                    None => assert!(expected.preemption.best.is_empty(), "{at}"),
                    Some(candidate) => {
                        assert!(expected.preemption.best.contains(&candidate.node), "{at}");
                        let known = expected.preemption.candidate(candidate.node).unwrap();
                        let names = |candidate: &preemption::Candidate| -> Vec<String> {
                            let victims = candidate.victims.iter();
                            victims.map(|entry| entry.key().to_string()).collect()
                        };
                        assert_eq!(names(&candidate), names(known), "{at}");
                        assert_eq!(candidate.violations, known.violations, "{at}");
                        if step % 3 == 0 {
                            let name = snapshot.node_name(candidate.node);
                            snapshot.nominate(subject.entry(), &name);
                        }
                    }
                }
            }
        }
    }
    (placed, refused)
}

#[test]
fn the_fast_path_decides_as_the_reference() {
    let (mut placed, mut refused) = (0, 0);
    for seed in 0..80 {
        let (more_placed, more_refused) = compare(seed, 150);
        placed += more_placed;
        refused += more_refused;
    }
    assert!(
        placed > 3000 && refused > 3000,
        "{placed} placed, {refused} refused"
    );
}

#[test]
fn an_observed_snapshot_is_the_one_built_anew() {
    for seed in 100..110 {
        let mut workload = Workload::new(seed);
        let mut observed = Snapshot::of(&workload.cluster);
        for _ in 0..100 {
            for change in workload.disturb() {
                observed.observe(&change);
            }
            let pod = workload.pending();
            let subject = observed.subject(&pod).unwrap();
            if let Some(node) = decide(&observed, &subject).best.first() {
                let change = workload.bind(&pod, &observed.node_name(*node));
                observed.observe(&change);
            }
        }
        let built = Snapshot::of(&workload.cluster);
        let totals = |snapshot: &Snapshot| {
            let mut nodes: Vec<_> = snapshot
                .nodes()
                .map(|node| {
                    let mut pods: Vec<String> = node
                        .pods
                        .iter()
                        .map(|entry| entry.key().to_string())
                        .collect();
                    pods.sort();
                    // Scalars that went back to zero stay listed.
                    let mut requested = node.requested.clone();
                    requested.scalars = requested
                        .scalars
                        .iter()
                        .filter(|(_, amount)| *amount != 0)
                        .cloned()
                        .collect();
                    (
                        node.name.clone(),
                        requested,
                        node.scored,
                        pods,
                        node.pods_with_affinity,
                    )
                })
                .collect();
            nodes.sort_by(|one, other| one.0.cmp(&other.0));
            nodes
        };
        assert_eq!(totals(&observed), totals(&built), "seed {seed}");
    }
}

#[test]
fn the_order_of_nodes_changes_no_score() {
    for seed in 200..210 {
        let mut workload = Workload::new(seed);
        let mut forward = Snapshot::default();
        let mut backward = Snapshot::default();
        let added = |object: &Arc<Object>| Change {
            kind: ChangeKind::Added,
            object: Arc::clone(object),
            previous: None,
        };
        let objects: Vec<Change> = [
            resources::NAMESPACES,
            resources::SERVICES,
            resources::NODES,
            resources::PODS,
        ]
        .iter()
        .flat_map(|resource| workload.cluster.list(resource).map(added))
        .collect();
        for change in &objects {
            forward.observe(change);
        }
        for change in objects.iter().rev() {
            backward.observe(change);
        }
        for _ in 0..10 {
            let pod = workload.pending();
            let one = forward.explain(&pod).unwrap();
            let other = backward.explain(&pod).unwrap();
            assert_eq!(one.best, other.best);
            assert_eq!(one.message, other.message);
            let mut verdicts = [one.nodes, other.nodes].map(|nodes| {
                let mut texts: Vec<String> = nodes.iter().map(|node| format!("{node:?}")).collect();
                texts.sort();
                texts
            });
            assert_eq!(std::mem::take(&mut verdicts[0]), verdicts[1], "seed {seed}");
        }
    }
}

#[test]
fn one_more_empty_node_only_helps_pods_that_mind_no_others() {
    for seed in 300..320 {
        let mut workload = Workload::new(seed);
        let before = Snapshot::of(&workload.cluster);
        let twin = workload.another_node();
        let after = Snapshot::of(&{
            let mut cluster = workload.cluster.clone();
            cluster.insert(&twin);
            cluster
        });
        for _ in 0..10 {
            let pod = workload.pending();
            let spread = pod
                .json()
                .pointer("/spec/topologySpreadConstraints")
                .is_some();
            let feasible = |snapshot: &Snapshot| -> std::collections::BTreeSet<_> {
                snapshot
                    .explain(&pod)
                    .unwrap()
                    .feasible()
                    .cloned()
                    .collect()
            };
            if !spread {
                assert!(
                    feasible(&after).is_superset(&feasible(&before)),
                    "seed {seed}"
                );
            }
        }
    }
}

/// Applies the scheduler's writes as the API server and the node agents would.
fn apply(cluster: &mut Cluster, ops: Vec<Op>) -> Vec<Change> {
    let mut changes = Vec::new();
    for op in ops {
        let (key, json) = match op {
            Op::Bind {
                pod,
                node,
                annotations,
                ..
            } => {
                let mut json = cluster.get(&pod).unwrap().json();
                json["spec"]["nodeName"] = node.as_str().into();
                for (name, value) in annotations {
                    json["metadata"]["annotations"][name.as_str()] = value.as_str().into();
                }
                (pod, Some(json))
            }
            Op::Patch {
                key,
                patch: crate::k8s::Patch::Strategic(patch),
                ..
            } => {
                let mut json = cluster.get(&key).unwrap().json();
                for (field, value) in patch["status"].as_object().unwrap() {
                    json["status"][field] = value.clone();
                }
                (key, Some(json))
            }
            Op::Delete { key, .. } => (key, None),
            _ => continue,
        };
        let (kind, object, previous) = if let Some(json) = json {
            let object = Arc::new(Object::from_json(key.resource.clone(), &json).unwrap());
            let previous = cluster.insert(&object);
            (ChangeKind::Modified, object, previous)
        } else {
            let object = cluster.remove(&key).unwrap();
            (ChangeKind::Deleted, Arc::clone(&object), Some(object))
        };
        changes.push(Change {
            kind,
            object,
            previous,
        });
    }
    changes
}

fn overcommits(node: &node_info::NodeInfo) -> bool {
    node.requested.cpu_milli > node.allocatable.cpu_milli
        || node.requested.memory_bytes > node.allocatable.memory_bytes
        || i64::try_from(node.pods.len()).unwrap() > node.pod_limit
}

#[test]
fn the_scheduler_never_overcommits_and_comes_to_rest() {
    for seed in 400..410 {
        let mut workload = Workload::new(seed);
        let full_at_first: std::collections::BTreeSet<_> = Snapshot::of(&workload.cluster)
            .nodes()
            .filter(|node| overcommits(node))
            .map(|node| node.name.clone())
            .collect();
        let mut scheduler = Scheduler::new(Configuration::default(), seed);
        let mut now = Timestamp::from_second(1_700_000_000).unwrap();
        let mut cycles = 0;
        for round in 0..400 {
            if round < 60 {
                let pod = workload.pending();
                let change = workload.insert(&pod);
                scheduler.observe(&change);
            }
            while let Some(cycle) = scheduler.next(&workload.cluster, now) {
                cycles += 1;
                let ops = cycle.ops(&workload.cluster, now);
                for change in apply(&mut workload.cluster, ops) {
                    scheduler.observe(&change);
                }
                assert!(cycles < 5000, "seed {seed}: it does not come to rest");
            }
            now = now.saturating_add(SignedDuration::from_secs(1)).unwrap();
        }
        let snapshot = Snapshot::of(&workload.cluster);
        for node in snapshot.nodes() {
            let excused = full_at_first.contains(&node.name);
            assert!(excused || !overcommits(node), "seed {seed} {node:?}");
        }
        for waiting in scheduler.queue().pods() {
            assert!(waiting.attempts > 0);
            assert!(!waiting.message.is_empty());
        }
    }
}

#[test]
fn pods_that_differ_in_labels_nobody_reads_share_a_template() {
    let pod = |number: usize, selector: &str| {
        let json = serde_json::json!({
            "metadata": {"namespace": "a", "name": format!("db-{number}"),
                "labels": {"app": "db", "statefulset.kubernetes.io/pod-name": format!("db-{number}")}},
            "spec": {"nodeName": "n", "affinity": {"podAntiAffinity": {
                "requiredDuringSchedulingIgnoredDuringExecution": [
                    {"topologyKey": "zone", "labelSelector": {"matchLabels": {selector: "db-3"}}}]}}}});
        Arc::new(Object::from_json(resources::PODS, &json).unwrap())
    };
    let added = |object: &Arc<Object>| Change {
        kind: ChangeKind::Added,
        object: Arc::clone(object),
        previous: None,
    };
    let mut snapshot = Snapshot::default();
    let node = serde_json::json!({"metadata": {"name": "n"}});
    let node = Arc::new(Object::from_json(resources::NODES, &node).unwrap());
    snapshot.observe(&added(&node));
    for number in 0..100 {
        snapshot.observe(&added(&pod(number, "app")));
    }
    assert_eq!(snapshot.templates().len(), 1);
    let reader = pod(100, "statefulset.kubernetes.io/pod-name");
    snapshot.observe(&added(&reader));
    let distinct: std::collections::BTreeSet<_> =
        snapshot.pods_on("n").map(|entry| entry.id).collect();
    assert_eq!(distinct.len(), 101);
}

#[test]
fn templates_without_pods_are_forgotten() {
    let mut snapshot = Snapshot::default();
    for number in 0..10_000 {
        let json = serde_json::json!({"metadata": {"namespace": "a", "name": "p"},
            "spec": {"priority": number}});
        let pod = Arc::new(Object::from_json(resources::PODS, &json).unwrap());
        snapshot.subject(&pod).unwrap();
    }
    assert!(
        snapshot.templates().len() < 10,
        "{}",
        snapshot.templates().len()
    );
}
