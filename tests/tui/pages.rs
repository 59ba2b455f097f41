//! Keys in, screens out, for the pages: an incident in a small shop.

use std::sync::Arc;

use bayplan::k8s::build::{self, Draft};
use bayplan::k8s::{Object, resources};
use bayplan::tui::answer::Answer;
use bayplan::tui::effect::{Effect, LogOrder};
use bayplan::tui::msg::Msg;
use bayplan::tui::view::View;
use serde_json::json;

use crate::console::Console;
use crate::frames::check;

const SIZES: [(u16, u16); 3] = [(80, 24), (120, 40), (200, 60)];

fn member(name: &str, set: &str) -> Draft {
    build::pod(&format!("shop/{name}"))
        .created("2026-03-01T13:00:00Z")
        .owner("ReplicaSet", set)
        .cpu("500m")
        .memory("1Gi")
        .label("app", set.split('-').next().unwrap_or_default())
}

fn deployment(name: &str, replicas: i64, ready: i64) -> Draft {
    build::deployment(&format!("shop/{name}"))
        .created("2026-01-20T08:00:00Z")
        .with(&json!({
            "spec": {"replicas": replicas, "template": {"metadata": {"labels": {"app": name}},
                "spec": {"containers": [{"name": "app", "image": format!("reg.io/shop/{name}:2.0.0"),
                    "resources": {"requests": {"cpu": "500m", "memory": "1Gi"}}}]}}},
            "status": {"replicas": replicas, "updatedReplicas": replicas, "readyReplicas": ready,
                       "availableReplicas": ready}}))
}

/// One machine gone, one service in a crash loop, one that does not fit.
fn incident() -> Vec<Arc<Object>> {
    let mut drafts: Vec<Draft> = ["a01-h01", "a02-h01", "b01-h01"]
        .iter()
        .map(|name| {
            let (rack, _) = name.split_once('-').unwrap();
            build::node(name).zone(&rack[..1]).rack(rack)
        })
        .collect();
    drafts.push(build::node("b02-h01").zone("b").rack("b02").not_ready());
    for (name, replicas, ready) in [("cart", 3, 2), ("checkout", 2, 0), ("search", 2, 1)] {
        drafts.push(deployment(name, replicas, ready));
        drafts.push(
            build::replica_set(&format!("shop/{name}-7f9c6"))
                .owner("Deployment", name)
                .annotation("deployment.kubernetes.io/revision", "4")
                .with(&json!({"spec": {"template": {"spec": {"containers": [
                    {"name": "app", "image": format!("reg.io/shop/{name}:2.0.0")}]}}}})),
        );
        drafts.push(
            build::object(
                resources::SERVICES,
                "v1",
                "Service",
                &format!("shop/{name}"),
            )
            .with(
                &json!({"spec": {"clusterIP": "10.96.0.7", "selector": {"app": name},
                                 "ports": [{"port": 80, "targetPort": 8080}]}}),
            ),
        );
    }
    for (index, node) in ["a01-h01", "b01-h01", "b02-h01"].iter().enumerate() {
        drafts.push(
            member(&format!("cart-7f9c6-{index}"), "cart-7f9c6")
                .sidecar("log-shipper", "50m", "64Mi")
                .node(node)
                .with(&json!({"status": {
                    "initContainerStatuses": [{"name": "log-shipper", "ready": true, "started": true,
                        "state": {"running": {"startedAt": "2026-03-01T13:00:05Z"}}}],
                    "containerStatuses": [{"name": "app", "ready": true,
                        "state": {"running": {"startedAt": "2026-03-01T13:00:05Z"}}}]}})),
        );
    }
    for index in 0..2 {
        drafts.push(
            member(&format!("checkout-7f9c6-{index}"), "checkout-7f9c6")
                .node("a02-h01")
                .with(
                    &json!({"status": {"conditions": [{"type": "Ready", "status": "False",
                        "lastTransitionTime": "2026-03-01T13:55:00Z"}],
                    "containerStatuses": [{"name": "app", "restartCount": 7,
                        "state": {"waiting": {"reason": "CrashLoopBackOff"}},
                        "lastState": {"terminated": {"exitCode": 137, "reason": "OOMKilled",
                            "finishedAt": "2026-03-01T14:01:00Z"}}}]}}),
                ),
        );
    }
    drafts.push(member("search-7f9c6-0", "search-7f9c6").node("a01-h01"));
    drafts.push(member("search-7f9c6-1", "search-7f9c6").memory("80Gi").with(
        &json!({"status": {"phase": "Pending", "conditions": [{"type": "PodScheduled", "status": "False",
            "reason": "Unschedulable",
            "message": "0/4 nodes are available: 1 node(s) had untolerated taint(s), 3 Insufficient memory. preemption: 0/4 nodes are available: 4 Preemption is not helpful for scheduling."}]}}),
    ));
    drafts.push(
        build::object(resources::EVENTS, "v1", "Event", "shop/checkout.1").with(&json!({
            "involvedObject": {"kind": "Pod", "namespace": "shop", "name": "checkout-7f9c6-0", "apiVersion": "v1"},
            "reason": "BackOff", "message": "Back-off restarting failed container app", "type": "Warning",
            "count": 14, "lastTimestamp": "2026-03-01T14:02:00Z", "source": {"component": "kubelet"}})),
    );
    drafts.iter().map(Draft::build).collect()
}

fn loaded(view: View, size: (u16, u16)) -> Console {
    let mut console = Console::new(view, size);
    console.load(&incident());
    // Findings and explanations are made once a second at most.
    console.now += jiff::SignedDuration::from_secs(2);
    console.tell(Msg::Tick);
    console
}

#[test]
fn pages_look_as_reviewed_in_an_incident() {
    for size in SIZES {
        let name = |what: &str| format!("incident-{what}-{}x{}", size.0, size.1);
        for view in [
            View::Pulse,
            View::Workloads,
            View::Pods,
            View::Timeline,
            View::Queue,
            View::Services,
            View::Objects,
        ] {
            check(&name(view.name()), &loaded(view, size).text());
        }
        let mut console = loaded(View::Pods, size);
        console.press("d");
        console.load(&incident());
        check(&name("describe"), &console.text());
        let mut console = loaded(View::Workloads, size);
        console.press("G s 9");
        check(&name("replicas"), &console.text());
    }
}

#[test]
fn worst_comes_first_and_leads_to_its_pods() {
    let mut console = loaded(View::Pulse, (120, 40));
    console.shows("NotReady");
    console.shows("CrashLoopBackOff");
    console.shows("OOMKilled, exit code 137");
    console.shows("3 Insufficient memory");
    console.press("/ \"CrashLoop\" enter enter");
    assert_eq!(console.model.place.view, View::Pods);
    console.shows("checkout-7f9c6-0");
    console.hides("cart-7f9c6-0");
}

#[test]
fn pods_on_a_dead_machine_are_not_shown_as_running_well() {
    let console = loaded(View::Pods, (120, 40));
    console.shows("? Running node lost");
}

fn is_sent(console: &Console) -> bool {
    console
        .effects
        .iter()
        .any(|effect| matches!(effect, Effect::Send { .. }))
}

#[test]
fn one_enter_sends_replicas_whose_outcome_is_harmless() {
    let mut console = loaded(View::Workloads, (120, 40));
    console.press("/ \"cart\" enter s 5");
    console.shows("replicas 3 → 5");
    console.shows("2 new pods: all fit");
    assert!(!is_sent(&console));
    console.press("enter");
    assert!(is_sent(&console));
    console.shows("scale shop/cart 3 → 5: sent");
}

#[test]
fn replicas_that_do_not_fit_are_asked_about_with_what_is_wrong() {
    let mut console = loaded(View::Workloads, (120, 40));
    console.press("/ \"cart\" enter s 4 0 0 0");
    console.shows("would wait");
    console.press("enter");
    assert!(!is_sent(&console), "the panel comes first");
    console.shows("scale shop/cart");
    console.shows("new pods would wait");
    console.press("enter");
    assert!(is_sent(&console));
}

#[test]
fn no_outcome_is_shown_before_all_lists_are_here() {
    use bayplan::tui::cache::{FeedEvent, FeedState};
    let mut console = loaded(View::Workloads, (120, 40));
    let state = |state| Msg::Feed(resources::PODS, FeedEvent::State(state));
    console.tell(state(FeedState::Loading {
        loaded: 0,
        total: Some(30),
    }));
    console.press("/ \"cart\" enter s 5");
    console.shows("still loading pods (0 of 30): the outcome is not known yet");
    console.press("enter");
    assert!(!is_sent(&console));
    console.shows("still loading pods");
    console.press("esc s 5");
    console.tell(state(FeedState::Live { since: console.now }));
    console.shows("2 new pods: all fit");
}

#[test]
fn digits_are_views_except_on_the_replicas() {
    let mut console = loaded(View::Workloads, (120, 40));
    console.press("/ \"cart\" enter l 5");
    assert_eq!(console.model.view(), View::Workloads);
    console.shows("replicas 3 → 5");
    console.press("esc");
    console.press("h 5");
    assert_eq!(console.model.view(), View::Pods);
    let mut console = loaded(View::Workloads, (120, 40));
    console.press("l esc 5");
    assert_eq!(console.model.view(), View::Pods, "esc leaves the replicas");
}

#[test]
fn queue_names_the_nearest_miss_and_what_was_tried() {
    let console = loaded(View::Queue, (120, 40));
    console.shows("search-7f9c6-1");
    console.shows("Insufficient memory");
    console.shows("nearest:");
    console.shows("each was tried by the scheduler");
    console.shows("memory request 80 Gi → ");
}

#[test]
fn logs_of_a_workload_are_one_text_and_a_sidecar_is_hidden_by_a_key() {
    let mut console = loaded(View::Workloads, (120, 40));
    console.press("/ \"cart\" enter L");
    assert_eq!(console.model.place.view, View::Logs);
    let streams: Vec<LogOrder> = console
        .effects
        .iter()
        .rev()
        .find_map(|effect| match effect {
            Effect::Logs { streams, .. } => Some(streams.clone()),
            _ => None,
        })
        .unwrap();
    assert_eq!(streams.len(), 6);
    for (index, order) in streams.iter().enumerate() {
        let lines = vec![format!(
            "2026-03-01T14:03:0{}Z {} \u{1b}[31mfrom {}",
            5 - index,
            if index == 0 { "ERROR" } else { "INFO" },
            order.container
        )];
        console.tell(Msg::Answer(
            View::Logs,
            Answer::LogLines {
                order: order.clone(),
                lines,
            },
        ));
    }
    console.now += jiff::SignedDuration::from_secs(1);
    console.tell(Msg::Tick);
    console.shows("(3 pods, 6 containers)");
    console.shows("↳sidecar");
    console.shows("INFO from log-shipper");
    console.shows("ERROR from");
    let text = console.text();
    let at = |stamp: &str| text.find(stamp).unwrap();
    assert!(at("14:03:00") < at("14:03:01") && at("14:03:04") < at("14:03:05"));
    let letter = text
        .split(" log-shipper ↳sidecar")
        .next()
        .and_then(|before| before.chars().rev().nth(1))
        .unwrap();
    console.press(&format!("t{letter}"));
    console.hides("INFO from log-shipper");
    console.press(&format!("t{letter} i i i"));
    console.shows("ERROR from");
    console.hides("INFO from");
}

#[test]
fn nothing_changing_is_offered_in_read_only_mode() {
    let mut console = Console::with(
        View::Workloads,
        (120, 40),
        bayplan::connect::Access::ReadOnly,
    );
    console.load(&incident());
    console.press("s 5 enter !d !r e");
    assert!(
        console
            .effects
            .iter()
            .all(|effect| !matches!(effect, Effect::Send { .. } | Effect::DryRun { .. }))
    );
    console.hides("replicas 3 →");
    assert!(console.model.open.is_none());
}
