//! Proposals replayed from outside: budgets, filters and gain hold, whatever the cluster.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde_json::json;

use super::*;
use crate::k8s::build::{Draft, budget, cluster, node, pod};
use crate::k8s::{Cluster, resources};
use crate::sched::explain::decide;
use crate::stdx::rng::Stream;

fn always() -> impl FnMut() -> bool {
    || true
}

fn propose(cluster: &Cluster, goal: &Goal) -> Rebalance {
    rebalance(
        &Snapshot::of(cluster),
        goal,
        Options::default(),
        &mut always(),
    )
}

fn replica(name: &str, app: &str, on: &str) -> Draft {
    pod(name)
        .label("app", app)
        .owner("ReplicaSet", app)
        .cpu("2")
        .memory("4Gi")
        .node(on)
}

fn allowing(name: &str, disruptions: i64) -> Draft {
    budget(name)
        .max_unavailable("1")
        .with(&json!({"status": {"disruptionsAllowed": disruptions}}))
}

#[test]
fn a_machine_with_little_on_it_is_freed() {
    let drafts = [
        node("one"),
        node("two"),
        node("three"),
        replica("web-1", "web", "one"),
        replica("web-2", "web", "two"),
        replica("web-3", "web", "two"),
        pod("logs").owner("DaemonSet", "logs").cpu("1").node("one"),
    ];
    let found = propose(&cluster(&drafts), &Goal::FreeMachines);
    assert_eq!(found.waves.len(), 1);
    assert_eq!(found.gain.machines_before, 2);
    assert_eq!(found.gain.machines_after, 1);
    let freed: Vec<&str> = found.gain.freed.iter().map(Name::as_str).collect();
    assert_eq!(freed, ["one"], "machines without pods are no targets");
}

#[test]
fn what_may_not_move_says_why() {
    let bare = pod("x").cpu("1").node("one");
    let local = |volume: serde_json::Value| {
        replica("x", "web", "one").with(&json!({"spec": {"volumes": [volume]}}))
    };
    let safe = "cluster-autoscaler.kubernetes.io/safe-to-evict";
    let on_disk = local(json!({"name": "cache", "emptyDir": {}}));
    let cases: [(Draft, Option<Fixed>); 9] = [
        (replica("x", "web", "one"), None),
        (bare, Some(Fixed::NoController)),
        (
            replica("x", "web", "one").owner("DaemonSet", "logs"),
            Some(Fixed::OfItsNode),
        ),
        (
            pod("x").owner("Node", "one").cpu("1").node("one"),
            Some(Fixed::OfItsNode),
        ),
        (on_disk.clone(), Some(Fixed::LocalStorage("cache".into()))),
        (on_disk.annotation(safe, "true"), None),
        (
            local(json!({"name": "shm", "emptyDir": {"medium": "Memory"}})),
            None,
        ),
        (
            replica("x", "web", "one").annotation(safe, "false"),
            Some(Fixed::NotSafeToEvict),
        ),
        (
            replica("x", "web", "one").terminating("2026-01-01T00:00:00Z"),
            Some(Fixed::Terminating),
        ),
    ];
    for (draft, expected) in cases {
        let snapshot = Snapshot::of(&cluster([&node("one"), &draft]));
        assert_eq!(movable::fixed(&snapshot, &draft.build(), false), expected);
    }
    let draft = replica("x", "web", "one");
    let rows = [
        (vec![allowing("web", 1)], None),
        (vec![allowing("web", 0)], Some(Fixed::Budget("web".into()))),
        (
            vec![
                allowing("web", 1),
                allowing("other", 1).with(&json!({"spec": {
                "selector": {"matchLabels": {"app": "web"}}}})),
            ],
            Some(Fixed::SeveralBudgets),
        ),
        (vec![allowing("else/web", 0)], None),
    ];
    for (budgets, expected) in rows {
        let snapshot = Snapshot::of(&cluster(budgets.iter().chain([&draft])));
        assert_eq!(movable::fixed(&snapshot, &draft.build(), false), expected);
    }
}

#[test]
fn what_is_kept_on_disk_is_given_up_only_where_that_is_said() {
    let on_disk = json!({"spec": {"volumes": [{"name": "cache", "emptyDir": {}}]}});
    let of_host = json!({"spec": {"volumes": [{"name": "sock", "hostPath": {"path": "/x"}}]}});
    let fleet = |volume: &serde_json::Value| {
        let bare = pod("bare").cpu("1").node("two");
        let web = replica("web-1", "web", "one").with(volume);
        let drafts = [node("one"), node("two"), bare, web];
        Snapshot::of(&cluster(&drafts))
    };
    let propose = |volume, empty_dirs| {
        let options = Options {
            empty_dirs,
            ..Options::default()
        };
        rebalance(&fleet(volume), &Goal::FreeMachines, options, &mut always())
    };
    assert_eq!(propose(&on_disk, false).moves(), 0);
    let found = propose(&on_disk, true);
    assert_eq!((found.moves(), found.losing()), (1, 1));
    assert_eq!(found.waves[0][0].loses, Some("cache".into()));
    assert_eq!(
        propose(&of_host, true).moves(),
        0,
        "a path of the host stays"
    );
}

#[test]
fn a_wave_evicts_no_more_than_the_budget_allows() {
    let mut drafts = vec![node("one"), node("two"), allowing("web", 2)];
    drafts.extend((0..5).map(|n| replica(&format!("web-{n}"), "web", "one").cpu("1")));
    drafts.extend((0..6).map(|n| replica(&format!("db-{n}"), "db", "two").cpu("1")));
    let found = propose(&cluster(&drafts), &Goal::FreeMachines);
    let sizes: Vec<usize> = found.waves.iter().map(Vec::len).collect();
    assert_eq!(sizes, [2, 2, 1]);
    let moves = found.waves.concat();
    assert!(moves.iter().all(|step| step.budget == Some("web".into())));
    assert_eq!(found.gain.freed, ["one"]);
}

#[test]
fn a_zone_with_all_replicas_gives_some_away() {
    let mut drafts = vec![];
    for (zone, name) in [("a", "one"), ("b", "two"), ("c", "three")] {
        drafts.push(node(name).zone(zone));
    }
    drafts.extend((0..6).map(|n| replica(&format!("web-{n}"), "web", "one")));
    let key = Name::from("topology.kubernetes.io/zone");
    let found = propose(&cluster(&drafts), &Goal::HealSpread { key });
    let skew = |skew: &Option<Skew>| skew.as_ref().map(|worst| worst.skew);
    assert_eq!(skew(&found.gain.skew_before), Some(6));
    assert_eq!(skew(&found.gain.skew_after), Some(0));
    assert_eq!(found.waves.concat().len(), 4);
}

#[test]
fn an_empty_cluster_has_nothing_to_move() {
    for goal in [Goal::FreeMachines, Goal::HealSpread { key: "zone".into() }] {
        assert_eq!(propose(&Cluster::default(), &goal), Rebalance::default());
    }
}

/// A fleet of three zones with taints, selectors, anti-affinity, spread, budgets and daemons.
fn random(seed: u64) -> Cluster {
    let mut stream = Stream::new(seed, "fleet");
    let mut drafts = Vec::new();
    let nodes = 4 + stream.below(8);
    for n in 0..nodes {
        let mut draft =
            node(&format!("n{n}")).zone(["a", "b", "c"][usize::try_from(n % 3).unwrap()]);
        if stream.chance(1, 6) {
            draft = draft.taint("dedicated", "batch", "NoSchedule");
        }
        if stream.chance(1, 8) {
            draft = draft.cordoned();
        }
        drafts.push(draft);
        let daemon = pod(&format!("logs-{n}")).owner("DaemonSet", "logs");
        drafts.push(daemon.cpu("500m").memory("1Gi").node(&format!("n{n}")));
    }
    for app in ["web", "db", "cache", "batch"] {
        if stream.chance(2, 3) {
            let allowed = i64::try_from(stream.below(3)).unwrap();
            drafts.push(allowing(app, allowed));
        }
        let anti = stream.chance(1, 3);
        let spread = stream.chance(1, 3);
        let cpu = format!("{}m", 250 * (1 + stream.below(16)));
        for n in 0..2 + stream.below(8) {
            let on = format!("n{}", stream.below(nodes));
            let mut draft = replica(&format!("{app}-{n}"), app, &on).cpu(&cpu);
            if anti {
                let term = json!({"topologyKey": "kubernetes.io/hostname",
                    "labelSelector": {"matchLabels": {"app": app}}});
                draft = draft.with(&json!({"spec": {"affinity": {"podAntiAffinity": {
                    "requiredDuringSchedulingIgnoredDuringExecution": [term]}}}}));
            }
            if spread {
                draft = draft.spread("topology.kubernetes.io/zone", 1, app);
            }
            if app == "batch" {
                draft = draft.toleration("dedicated", "batch", "NoSchedule");
            }
            if stream.chance(1, 12) {
                draft = draft.with(&json!({"spec": {"volumes": [{"name": "v", "hostPath": {}}]}}));
            }
            drafts.push(draft);
        }
    }
    cluster(&drafts)
}

/// Replays the waves object by object, each on a cluster built anew.
#[track_caller]
fn replay(start: &Cluster, found: &Rebalance, at: &str) -> Cluster {
    let mut cluster = start.clone();
    for wave in &found.waves {
        let mut evicted: BTreeMap<String, i64> = BTreeMap::new();
        let mut seen = BTreeSet::new();
        let before = cluster.clone();
        for step in wave {
            assert!(seen.insert(step.pod.clone()), "{at}: {} twice", step.pod);
            let object = Arc::clone(before.get(&step.pod).unwrap());
            let columns = object.pod().unwrap();
            assert_eq!(columns.node.as_ref(), Some(&step.from), "{at}");
            assert!(
                object
                    .controller()
                    .is_some_and(|owner| owner.kind != "DaemonSet")
            );
            let app = object.labels.get("app").unwrap().to_string();
            *evicted.entry(app).or_default() += 1;
            // Arrivals of the wave so far are there, and so are all that leave, but this pod.
            let mut now = Snapshot::of(&cluster);
            now.forget(&step.pod, now.node_id(&step.from).unwrap());
            let subject = now.fresh_subject(&object).unwrap();
            let target = now.node_id(&step.to).unwrap();
            let decision = decide(&now, &subject);
            assert_eq!(decision.refusals[target.0 as usize], None, "{at}: {step:?}");
            // It comes under another name, as the controller's new pod would.
            let mut json: serde_json::Value = serde_json::from_slice(&object.bytes()).unwrap();
            json["metadata"]["name"] = format!("{}+", object.name()).into();
            json["spec"]["nodeName"] = step.to.as_str().into();
            cluster.insert(&Arc::new(
                Object::from_json(resources::PODS, &json).unwrap(),
            ));
        }
        for (app, count) in evicted {
            let of_app = |step: &&Move| step.pod.name.starts_with(app.as_str());
            let named = wave.iter().filter(of_app).map(|step| &step.budget);
            let budget = start.find(&resources::POD_DISRUPTION_BUDGETS, "default", &app);
            let name = budget.map(|budget| budget.key.name.clone());
            assert!(named.into_iter().all(|shown| *shown == name), "{at}");
            let Some(budget) = budget else { continue };
            let json: serde_json::Value = serde_json::from_slice(&budget.bytes()).unwrap();
            let allowed = json["status"]["disruptionsAllowed"].as_i64().unwrap();
            assert!(
                count <= allowed,
                "{at}: {count} of {app}, {allowed} allowed"
            );
        }
        for step in wave {
            let mut arrived = step.pod.clone();
            cluster.remove(&step.pod);
            arrived.name = format!("{}+", step.pod.name).into();
            let object = Arc::clone(cluster.get(&arrived).unwrap());
            let mut json: serde_json::Value = serde_json::from_slice(&object.bytes()).unwrap();
            json["metadata"]["name"] = step.pod.name.as_str().into();
            cluster.remove(&arrived);
            cluster.insert(&Arc::new(
                Object::from_json(resources::PODS, &json).unwrap(),
            ));
        }
    }
    cluster
}

#[test]
fn every_wave_holds_when_it_is_replayed() {
    let (mut freed, mut moves) = (0, 0);
    for seed in 0..60 {
        let start = random(seed);
        let zone = Goal::HealSpread { key: ZONE.into() };
        for goal in [Goal::FreeMachines, zone] {
            let at = format!("seed {seed} {goal:?}");
            let found = propose(&start, &goal);
            let end = Snapshot::of(&replay(&start, &found, &at));
            let used = end.nodes().filter(|node| is_used(node)).count();
            assert_eq!(used, found.gain.machines_after, "{at}");
            assert_eq!(spread::worst(&end, ZONE), found.gain.skew_after, "{at}");
            if goal == Goal::FreeMachines {
                let fewer = found.gain.machines_before - used;
                assert_eq!(fewer, found.gain.freed.len(), "{at}");
            }
            if goal != Goal::FreeMachines {
                let skew = |skew: &Option<Skew>| skew.as_ref().map(|worst| worst.skew);
                assert!(
                    skew(&found.gain.skew_after) <= skew(&found.gain.skew_before),
                    "{at}"
                );
            }
            freed += found.gain.freed.len();
            moves += found.waves.concat().len();
        }
    }
    assert!(freed > 20 && moves > 100, "{freed} freed, {moves} moves");
}

#[test]
fn the_same_cluster_gives_the_same_proposal() {
    let start = random(4);
    assert_eq!(
        propose(&start, &Goal::FreeMachines),
        propose(&start, &Goal::FreeMachines)
    );
}
