//! The questions of an incident, each asked as somebody asks it at night: read-only, in at most three
//! keys besides a name or a number.

use std::sync::Arc;

use bayplan::connect::Access;
use bayplan::k8s::{Object, build};
use bayplan::tui::view::View;
use serde_json::json;

use crate::console::Console;
use crate::objects::{pod, shop};

const KEYS_MAX: usize = 3;

/// The shop, and in it: rack b02 fails two services' pods, a service without a ready pod, a budget at
/// its limit, pods on a machine that does not answer.
fn incident() -> Vec<Arc<Object>> {
    let mut objects = shop();
    for (name, app, node) in [
        ("auth-0", "auth", "b02-h01"),
        ("auth-1", "auth", "b02-h02"),
        ("price-0", "price", "b02-h01"),
        ("price-1", "price", "b02-h02"),
    ] {
        let crashing = json!({"metadata": {"namespace": "shop"},
            "status": {"phase": "Running", "conditions": [], "containerStatuses": [
                {"name": "app", "restartCount": 7,
                 "state": {"waiting": {"reason": "CrashLoopBackOff"}}}]}});
        let draft = build::pod(name).owner("ReplicaSet", app).label("app", app);
        objects.push(
            draft
                .image(&format!("{app}:1"))
                .node(node)
                .with(&crashing)
                .build(),
        );
    }
    let silent = json!({"status": {"conditions": [{"type": "Ready", "status": "Unknown",
        "lastTransitionTime": "2026-03-01T14:01:22Z"}]}});
    let machine = build::node("b02-h04")
        .zone("eu-b")
        .rack("b02")
        .with(&silent);
    objects.push(machine.build());
    objects.push(pod("search-on-silent-node", "b02-h04"));
    let template = json!({"metadata": {"namespace": "shop"}, "spec": {
        "selector": {"matchLabels": {"app": "basket"}},
        "template": {"metadata": {"labels": {"app": "basket"}}, "spec": {"containers": [
            {"name": "app", "image": "basket:1", "resources": {"requests": {"cpu": "1"}}}]}}}});
    objects.push(
        build::deployment("basket")
            .with(&template)
            .replicas(4)
            .build(),
    );
    let selector =
        json!({"metadata": {"namespace": "shop"}, "spec": {"selector": {"app": "auth"}}});
    let resource = bayplan::k8s::resources::SERVICES;
    let service = build::object(resource, "v1", "Service", "auth");
    objects.push(service.with(&selector).build());
    objects
}

struct Asked {
    console: Console,
    keys: usize,
}

/// A read-only console on one view, with everything loaded.
fn at(view: View) -> Asked {
    let mut console = Console::with(view, (160, 50), Access::ReadOnly);
    console.load(&incident());
    Asked { console, keys: 0 }
}

impl Asked {
    /// A name or a number: typed, and not counted.
    fn typed(mut self, text: &str) -> Self {
        self.console.press(&format!("\"{text}"));
        self
    }

    fn key(mut self, key: &str) -> Self {
        self.console.press(key);
        // What the answer reads and the view before did not.
        self.console.load(&incident());
        self.keys += 1;
        self
    }

    #[track_caller]
    fn answers(&self, texts: &[&str]) {
        assert!(self.keys <= KEYS_MAX, "{} keys", self.keys);
        for text in texts {
            self.console.shows(text);
        }
        let sent = self.console.effects.iter();
        let sent: Vec<_> = sent
            .filter(|effect| {
                use bayplan::tui::effect::Effect;
                matches!(effect, Effect::Send { .. } | Effect::Evict { .. })
            })
            .collect();
        assert!(sent.is_empty(), "{sent:?}");
    }
}

#[test]
fn why_is_this_pod_pending() {
    let asked = at(View::Pods)
        .key("/")
        .typed("report")
        .key("enter")
        .key("W");
    asked.answers(&["why", "report-0", "nodes fit"]);
}

#[test]
fn where_would_the_pods_of_a_drained_node_go_and_what_breaks() {
    let asked = at(View::Bays)
        .key("/")
        .typed("a01-h01")
        .key("enter")
        .key("A");
    asked.answers(&[
        "if: drain a01-h01",
        "requested of what is left",
        "nothing was sent",
    ]);
    assert!(asked.console.model.drains.is_empty());
    // Nothing is behind the panel's enter.
    let asked = Asked { keys: 0, ..asked }.key("enter");
    asked.answers(&[]);
    asked.console.hides("if: drain");
}

#[test]
fn the_node_of_a_pod_may_be_asked_about_too() {
    let asked = at(View::Pods)
        .key("/")
        .typed("price-1")
        .key("enter")
        .key("A");
    asked.answers(&["if: drain b02-h02"]);
}

#[test]
fn which_services_does_the_loss_of_a_rack_hurt() {
    let asked = at(View::Pods).key("3").key("/").typed("b02").key("enter");
    asked.answers(&["if rack b02 is lost", "SERVICES HURT MOST"]);
}

#[test]
fn does_it_fit_when_it_is_scaled_and_where() {
    let asked = at(View::Workloads)
        .key("/")
        .typed("basket")
        .key("enter")
        .key("s");
    let asked = asked.typed("10");
    asked.answers(&["4 → 10", "6 new pods"]);
}

#[test]
fn which_nodes_are_full_and_how_large_is_the_largest_hole() {
    at(View::Pods)
        .key("2")
        .answers(&["FULLEST", "ROOM FOR MORE PODS OF", "8 cores, 32 Gi"]);
}

#[test]
fn what_do_failing_pods_share() {
    at(View::Pods)
        .key("1")
        .answers(&["failing pods share", "rack b02 (5 of 6; of all pods"]);
}

#[test]
fn which_pods_are_on_dead_nodes_and_when_do_they_leave() {
    at(View::Pods)
        .key("1")
        .answers(&["NotReady", "b02-h04", "1 pod on it", "pods leave in 3m"]);
}

#[test]
fn which_services_have_no_ready_endpoint() {
    at(View::Pods)
        .key("1")
        .answers(&["no endpoint", "shop/auth", "0 of 2 pods ready"]);
}

#[test]
fn a_key_for_changes_says_that_the_session_is_read_only() {
    let asked = at(View::Pods).key("!");
    asked.answers(&["`!` is for changes, and this session is read-only"]);
}
