//! The plugin `GpuShare`: what it says by hand, and what must hold whatever is placed.

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use super::scene::{Scene, owned, refusals};
use super::workload::Workload;
use super::{apply, compare_under};
use crate::k8s::{Name, Object, Op, resources};
use crate::packing::gpu::Policy;
use crate::sched::explain::{Explanation, decide};
use crate::sched::node_info::NodeInfo;
use crate::sched::{Configuration, Plugin, Profile, Scheduler, Snapshot, Verdict, gpu};

fn sharing() -> Configuration {
    Configuration {
        profiles: vec![Profile::with_gpu_share("default-scheduler")],
    }
}

/// Scored by GPUs alone.
fn gpus_alone(policy: Policy) -> Configuration {
    let mut profile = Profile::with_gpu_share("default-scheduler");
    profile.scores = vec![(Plugin::GpuShare, 1)];
    profile.gpu_policy = policy;
    Configuration {
        profiles: vec![profile],
    }
}

fn node(name: &str, count: u32, model: &str) -> Value {
    json!({"metadata": {"name": name, "labels": {gpu::MODEL_LABELS[0]: model}},
           "status": {"allocatable": {"cpu": "64", "memory": "256Gi", "pods": "110",
                                      "alibabacloud.com/gpu-count": count.to_string()}}})
}

fn pod(name: &str, annotations: &Value) -> Value {
    json!({"metadata": {"namespace": "a", "name": name, "uid": name, "annotations": annotations},
           "spec": {"containers": [{"name": "c", "resources": {"requests": {"cpu": "1"}}}]}})
}

fn share(milli: i64) -> Value {
    json!({"alibabacloud.com/gpu-milli": milli.to_string(), "alibabacloud.com/gpu-count": "1"})
}

fn whole(count: i64) -> Value {
    json!({"alibabacloud.com/gpu-milli": "1000", "alibabacloud.com/gpu-count": count.to_string()})
}

fn of_model(mut annotations: Value, models: &str) -> Value {
    annotations["alibabacloud.com/gpu-card-model"] = json!(models);
    annotations
}

/// A pod that runs on these devices; an empty text means that it was given none.
fn running(scene: Scene, name: &str, node: &str, annotations: &Value, devices: &str) -> Scene {
    let mut json = pod(name, annotations);
    json["spec"]["nodeName"] = json!(node);
    json["status"] = json!({"phase": "Running"});
    if !devices.is_empty() {
        json["metadata"]["annotations"][gpu::INDEX] = json!(devices);
    }
    scene.and(resources::PODS, json)
}

/// Two T4, one of them half used; four V100 in full; none.
fn scene() -> Scene {
    let scene = Scene::default()
        .and(resources::NODES, node("t4", 2, "T4"))
        .and(resources::NODES, node("v100", 4, "V100M32"))
        .and(resources::NODES, node("plain", 0, ""));
    let scene = running(scene, "half", "t4", &share(500), "1");
    running(scene, "all", "v100", &whole(4), "0-1-2-3")
}

fn explain(scene: &Scene, configuration: Configuration, annotations: &Value) -> Explanation {
    let json = pod("new", annotations);
    let pod = Arc::new(Object::from_json(resources::PODS, &json).unwrap());
    let snapshot = Snapshot::with(&scene.0, configuration);
    snapshot.explain(&pod).unwrap()
}

#[track_caller]
fn check(annotations: &Value, expected: [&str; 3]) {
    let explanation = explain(&scene(), sharing(), annotations);
    let [plain, t4, v100] = expected;
    let expected = owned(&[("plain", plain), ("t4", t4), ("v100", v100)]);
    assert_eq!(refusals(&explanation), expected);
}

#[test]
fn devices_decide_and_the_reason_is_in_words() {
    const NO_GPU: &str = "node(s) had no GPU";
    const MODEL: &str = "node(s) had no GPU of a requested model";
    const FEWER: &str = "node(s) had fewer GPUs than requested";
    const SHARE: &str = "node(s) had no GPU with enough of it free";
    const FREE: &str = "node(s) had too few free GPUs";
    check(&json!({}), ["", "", ""]);
    check(&share(500), [NO_GPU, "", SHARE]);
    check(&share(1000), [NO_GPU, "", FREE]);
    check(&whole(2), [NO_GPU, FREE, FREE]);
    check(&whole(3), [NO_GPU, FEWER, FREE]);
    check(&of_model(share(100), "T4|A10"), [NO_GPU, "", MODEL]);
    check(&of_model(share(100), "V100M32"), [NO_GPU, MODEL, SHARE]);
    let nonsense = "annotation `alibabacloud.com/gpu-milli` is `2000`, not a number from 0 to 1000";
    check(&share(2000), [nonsense; 3]);
    let resource = json!({"metadata": {"name": "new", "namespace": "a", "uid": "new"}, "spec":
        {"containers": [{"name": "c", "resources": {"requests": {"nvidia.com/gpu": "1"}}}]}});
    let pod = Arc::new(Object::from_json(resources::PODS, &resource).unwrap());
    let explanation = Snapshot::with(&scene().0, sharing()).explain(&pod).unwrap();
    assert_eq!(
        explanation
            .message
            .matches("Insufficient nvidia.com/gpu")
            .count(),
        1
    );
}

#[test]
fn without_the_plugin_annotations_change_nothing() {
    let explanation = explain(&scene(), Configuration::default(), &whole(8));
    assert_eq!(explanation.feasible().count(), 3);
    let plugins = explanation.columns.iter().map(|column| column.plugin);
    assert!(plugins.into_iter().all(|plugin| plugin != Plugin::GpuShare));
}

fn scores(explanation: &Explanation) -> BTreeMap<String, i64> {
    let total = |verdict: &Verdict| match verdict {
        Verdict::Feasible { total, .. } => Some(*total),
        Verdict::Refused { .. } => None,
    };
    let nodes = explanation.nodes.iter();
    nodes
        .filter_map(|node| Some((node.node.to_string(), total(&node.verdict)?)))
        .collect()
}

#[test]
fn the_score_is_the_gradient_of_fragmentation() {
    // Half of the pods that run take a whole GPU, half of them half of one.
    let scene = Scene::default()
        .and(resources::NODES, node("half", 2, "T4"))
        .and(resources::NODES, node("fresh", 2, "T4"))
        .and(resources::NODES, node("full", 2, "T4"))
        .and(resources::NODES, node("plain", 0, ""));
    let scene = running(scene, "one", "half", &share(500), "1");
    let scene = running(scene, "two", "full", &whole(1), "0");
    let scene = running(scene, "three", "full", &whole(1), "1");
    let scene = running(scene, "four", "plain", &share(500), "");
    let explanation = explain(&scene, gpus_alone(Policy::Fgd), &share(500));
    // One part in eight can use nothing. On `half`, F falls from 500 * 7/16 + 1500 / 8 to 1000 / 8:
    // 100 sigmoid(0.281) = 56. On `fresh` it rises from 2000 / 8 to 500 * 7/16 + 1500 / 8: 46.
    // Below that, 99 - 6 * 2 for two GPUs, and a fifth for each fifth of them that is taken.
    let expected = [("fresh".to_owned(), 4687), ("half".to_owned(), 5688)];
    assert_eq!(scores(&explanation), expected.into());
    assert_eq!(explanation.best, ["half"]);
    // A pod without GPU makes nothing unusable where none is.
    let explanation = explain(&scene, gpus_alone(Policy::Fgd), &json!({}));
    assert_eq!(scores(&explanation)["plain"], 5099);
    // 100 (1 - (62/128 + 1000/8000) / 2) = 69, and 100 (1 - (63/128 + 1500/8000) / 2) = 66.
    let explanation = explain(&scene, gpus_alone(Policy::BestFit), &share(500));
    let expected = [("fresh".to_owned(), 6687), ("half".to_owned(), 6988)];
    assert_eq!(scores(&explanation), expected.into());
}

#[test]
fn an_assigned_pod_is_bound_with_its_devices() {
    let scene = Scene::default().and(resources::NODES, node("t4", 2, "T4"));
    let mut cluster = running(scene, "half", "t4", &share(400), "1").0;
    let mut scheduler = Scheduler::new(sharing(), 1);
    let now = Timestamp::from_second(1_700_000_000).unwrap();
    let mut given: BTreeMap<Name, Vec<(Name, Name)>> = BTreeMap::new();
    for (name, annotations) in [("b", share(600)), ("c", whole(1)), ("d", share(1))] {
        let object = Object::from_json(resources::PODS, &pod(name, &annotations)).unwrap();
        cluster.insert(&Arc::new(object));
    }
    while let Some(cycle) = scheduler.next(&cluster, now) {
        for op in cycle.ops(&cluster, now) {
            if let Op::Bind {
                pod, annotations, ..
            } = op
            {
                given.insert(pod.name, annotations);
            }
        }
    }
    let index = |devices: &str| vec![(Name::new(gpu::INDEX), Name::new(devices))];
    let expected = [("b", index("1")), ("c", index("0"))];
    let expected = expected.map(|(name, index)| (Name::new(name), index));
    assert_eq!(given, expected.into(), "and the third waits");
    let waiting = scheduler.queue().pods().next().unwrap();
    assert!(waiting.refused_by.contains(&Plugin::GpuShare));
}

#[test]
fn a_pod_that_leaves_wakes_those_that_wait_for_its_share() {
    let scene = Scene::default().and(resources::NODES, node("t4", 1, "T4"));
    let mut cluster = running(scene, "most", "t4", &share(800), "0").0;
    let object = Object::from_json(resources::PODS, &pod("new", &share(300))).unwrap();
    cluster.insert(&Arc::new(object));
    let mut scheduler = Scheduler::new(sharing(), 1);
    let mut now = Timestamp::from_second(1_700_000_000).unwrap();
    assert_eq!(scheduler.next(&cluster, now).unwrap().node(), None);
    assert!(scheduler.next(&cluster, now).is_none());
    let key = cluster
        .pods()
        .find(|pod| pod.name() == "most")
        .unwrap()
        .key
        .clone();
    let delete = Op::Delete {
        key,
        if_match: crate::k8s::Preconditions::default(),
        propagation: crate::k8s::Propagation::Background,
        grace_period_s: None,
    };
    for change in apply(&mut cluster, vec![delete]) {
        scheduler.observe(&change);
    }
    now = now.saturating_add(SignedDuration::from_secs(60)).unwrap();
    let cycle = scheduler.next(&cluster, now).unwrap();
    assert_eq!(cycle.node().map(Name::as_str), Some("t4"));
}

#[test]
fn room_is_counted_device_by_device() {
    let scene = Scene::default().and(resources::NODES, node("t4", 2, "T4"));
    let snapshot = Snapshot::with(&scene.0, sharing());
    let room = |milli: i64| {
        let json = pod("new", &share(milli));
        let pod = Arc::new(Object::from_json(resources::PODS, &json).unwrap());
        snapshot.room_for(&pod, 100).count
    };
    assert_eq!([room(810), room(500), room(340), room(300)], [2, 4, 4, 6]);
}

#[test]
fn idle_gpu_that_typical_pods_cannot_use_is_stranded() {
    let scene = Scene::default()
        .and(resources::NODES, node("used", 2, "T4"))
        .and(resources::NODES, node("fresh", 2, "T4"))
        .and(resources::NODES, node("plain", 0, ""));
    let scene = running(scene, "one", "used", &share(800), "0");
    let scene = running(scene, "two", "used", &share(800), "1");
    let snapshot = Snapshot::of(&scene.0);
    let stranded = |name: &str| {
        let node = snapshot.node(snapshot.node_id(name).unwrap()).unwrap();
        let stranded = snapshot.typical_gpu_pods().stranded(node)?;
        Some([
            stranded.idle_milli,
            stranded.fragmented_milli,
            stranded.dead_milli,
        ])
    };
    assert_eq!(stranded("used"), Some([400.0, 400.0, 400.0]));
    assert_eq!(stranded("fresh"), Some([2000.0, 0.0, 0.0]));
    assert_eq!(stranded("plain"), None);
}

#[test]
fn capacity_tells_what_nobody_can_use() {
    let scene = Scene::default()
        .and(resources::NODES, node("used", 2, "T4"))
        .and(resources::NODES, node("plain", 0, ""));
    let scene = running(scene, "one", "used", &share(800), "0");
    let scene = running(scene, "two", "used", &share(700), "1");
    let of = |scene: &Scene| {
        let found = gpu::capacity(&scene.0);
        assert_eq!(found.len(), 1, "nodes with GPUs alone");
        let gpus = found["used"];
        (gpus.devices, gpus.idle_milli, gpus.unusable_milli)
    };
    assert_eq!(of(&scene), (2, 500, 500));
    // One that waits could use one of the two.
    let scene = scene.and(resources::PODS, pod("waits", &share(250)));
    assert_eq!(of(&scene), (2, 500, 200));
    assert!(gpu::capacity(&Scene::with_nodes(&[("n", json!({}))]).0).is_empty());
}

#[test]
fn the_fast_path_decides_about_gpus_as_the_reference() {
    let (mut placed, mut refused) = (0, 0);
    for seed in 600..640 {
        let configuration = match seed % 4 {
            0 => gpus_alone(Policy::Fgd),
            1 => gpus_alone(Policy::GpuPacking),
            _ => sharing(),
        };
        let workload = Workload::with_gpus(seed);
        let more = compare_under(configuration, workload, seed, 120);
        placed += more.0;
        refused += more.1;
    }
    assert!(
        placed > 800 && refused > 800,
        "{placed} placed, {refused} refused"
    );
}

fn books(snapshot: &Snapshot) -> BTreeMap<Name, Vec<i64>> {
    let nodes = snapshot.nodes();
    nodes
        .map(|node| (node.name.clone(), node.gpus.clone()))
        .collect()
}

#[test]
fn the_books_follow_from_the_pods_and_not_from_their_order() {
    for seed in 700..712 {
        let mut workload = Workload::with_gpus(seed);
        let mut observed = Snapshot::with(&workload.cluster, sharing());
        for _ in 0..120 {
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
        let built = Snapshot::with(&workload.cluster, sharing());
        assert_eq!(books(&observed), books(&built), "seed {seed}");
        let typical = [&observed, &built].map(Snapshot::typical_gpu_pods);
        assert_eq!(typical[0], typical[1], "seed {seed}");
    }
}

fn is_overdrawn(node: &NodeInfo) -> bool {
    node.gpus.iter().any(|free| *free < 0)
}

#[test]
fn no_device_is_given_more_than_it_has() {
    let mut given = 0;
    for seed in 800..812 {
        let mut workload = Workload::with_gpus(seed);
        let overdrawn_at_first: Vec<Name> = Snapshot::of(&workload.cluster)
            .nodes()
            .filter(|node| is_overdrawn(node))
            .map(|node| node.name.clone())
            .collect();
        let mut scheduler = Scheduler::new(sharing(), seed);
        let mut now = Timestamp::from_second(1_700_000_000).unwrap();
        for _ in 0..80 {
            let pod = workload.pending();
            let change = workload.insert(&pod);
            scheduler.observe(&change);
            while let Some(cycle) = scheduler.next(&workload.cluster, now) {
                let ops = cycle.ops(&workload.cluster, now);
                for change in apply(&mut workload.cluster, ops) {
                    scheduler.observe(&change);
                }
            }
            now = now.saturating_add(SignedDuration::from_secs(1)).unwrap();
        }
        let built = Snapshot::of(&workload.cluster);
        assert_eq!(books(scheduler.snapshot()), books(&built), "seed {seed}");
        for node in built.nodes() {
            let is_excused = overdrawn_at_first.contains(&node.name);
            assert!(is_excused || !is_overdrawn(node), "seed {seed} {node:?}");
            assert!(node.gpus.iter().all(|free| *free <= 1000));
            let entries = node.pods.iter().filter(|entry| !entry.devices.is_empty());
            given += entries.count();
        }
    }
    assert!(given > 100, "{given} pods have devices");
}

#[test]
fn the_plugin_is_enabled_and_told_its_policy_by_a_file() {
    let parse = |policy: &str| {
        Configuration::parse(&format!(
            "apiVersion: kubescheduler.config.k8s.io/v1\nkind: KubeSchedulerConfiguration\n\
             profiles:\n- schedulerName: gpu\n  plugins:\n    multiPoint: {{enabled: [{{name: GpuShare, weight: 7}}]}}\n\
             \u{20}   score: {{disabled: [{{name: NodeResourcesFit}}]}}\n\
             \u{20} pluginConfig: [{{name: GpuShare, args: {{policy: {policy}}}}}]\n"
        ))
    };
    let configuration = parse("BestFit").unwrap();
    let profile = configuration.profile("gpu").unwrap();
    let fit = |plugin: &Plugin| *plugin == Plugin::NodeResourcesFit;
    let place = profile.filters.iter().position(fit).unwrap();
    assert_eq!(profile.filters[place + 1], Plugin::GpuShare);
    assert_eq!(profile.weight(Plugin::GpuShare), 7);
    assert_eq!(profile.gpu_policy, Policy::BestFit);
    let error = parse("Best").unwrap_err().to_string();
    assert_eq!(
        error,
        "`profiles[0].pluginConfig[0].args.policy`: `Best` is none of FGD, BestFit, DotProd, GpuPacking"
    );
    assert!(!Profile::named("x").filters_with(Plugin::GpuShare));
}
