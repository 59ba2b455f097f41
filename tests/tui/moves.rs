//! How few machines are needed: the figure in the bays view, and the panel of moves.

use std::sync::Arc;

use bayplan::connect::Access;
use bayplan::k8s::build::{self, Draft};
use bayplan::k8s::{ChangeKind, Object};
use bayplan::tui::effect::Effect;
use bayplan::tui::view::View;
use jiff::SignedDuration;
use serde_json::json;

use crate::console::Console;
use crate::frames::check;

const SIZES: [(u16, u16); 3] = [(80, 24), (120, 40), (200, 60)];

fn replica(name: &str, app: &str, node: &str) -> Draft {
    build::pod(name)
        .with(&json!({"metadata": {"namespace": "shop"}}))
        .created("2026-02-20T08:00:00Z")
        .label("app", app)
        .owner("ReplicaSet", app)
        .cpu("1500m")
        .memory("2Gi")
        .node(node)
        .running()
}

/// Eight half empty machines in two zones: a service under a budget that lets two go, one that stands
/// in one zone, and one that keeps things on disk.
fn half_empty() -> Vec<Arc<Object>> {
    let mut drafts = Vec::new();
    for (zone, rack) in [("eu-a", "a01"), ("eu-b", "b01")] {
        for host in 1..=4 {
            let node = build::node(&format!("{rack}-h{host:02}"));
            drafts.push(node.cpu("16").memory("64Gi").zone(zone).rack(rack));
        }
    }
    for n in 0..8 {
        let rack = if n < 4 { "a01" } else { "b01" };
        let node = format!("{rack}-h{:02}", n % 4 + 1);
        drafts.push(replica(&format!("cart-7f9b5c-{n}x4p"), "cart", &node));
        if n < 4 {
            drafts.push(replica(&format!("search-5d6f8-{n}q2z"), "search", &node));
        }
    }
    let cache = json!({"spec": {"volumes": [{"name": "cache", "emptyDir": {}}]}});
    let images = replica("images-0", "images", "b01-h04").cpu("100m");
    drafts.push(images.with(&cache));
    let budget = build::budget("cart")
        .max_unavailable("2")
        .with(&json!({"metadata": {"namespace": "shop"}, "status": {"disruptionsAllowed": 2}}));
    drafts.push(budget);
    drafts.iter().map(Draft::build).collect()
}

fn loaded(size: (u16, u16), access: Access) -> Console {
    let mut console = Console::with(View::Bays, size, access);
    console.load(&half_empty());
    console
}

#[test]
fn the_panels_look_as_reviewed() {
    for size in SIZES {
        let mut console = loaded(size, Access::ReadWrite);
        check(&format!("bays-{}x{}", size.0, size.1), &console.text());
        console.press("m");
        check(&format!("compact-{}x{}", size.0, size.1), &console.text());
        console.press("esc :");
        console.press("\"rebalance");
        console.press("enter");
        check(&format!("rebalance-{}x{}", size.0, size.1), &console.text());
    }
}

#[test]
fn a_read_only_console_shows_the_moves_and_sends_nothing() {
    let mut console = loaded((120, 40), Access::ReadOnly);
    console.shows("needs 2 of 8 machines");
    console.press("m");
    console.shows("this workload needs 2 of your 8 machines");
    console.shows("when all of wave 1 are ready again");
    console.shows("volume `cache` is local to the node");
    console.press("e");
    console.shows("1 pod loses what they keep in emptyDir volumes");
    console.hides("is local to the node");
    console.press("tab");
    console.shows("replicas evened out by zone");
    console.shows("shop/search-5d6f8");
    console.press("esc");
    console.hides("evened out");
    console.press(":");
    console.press("\"rebalance");
    console.press("space");
    console.press("\"shelf");
    console.press("enter");
    console.shows("there is no level `shelf`");
    let sent = console.effects.iter().any(|effect| {
        matches!(
            effect,
            Effect::Send { .. } | Effect::Evict { .. } | Effect::DryRun { .. }
        )
    });
    assert!(!sent, "{:?}", console.effects);
}

#[test]
fn the_figure_follows_the_cluster_at_its_own_pace() {
    let mut console = loaded((120, 40), Access::ReadWrite);
    console.shows("needs 2 of 8 machines");
    let node = build::node("a01-h05").cpu("16").memory("64Gi");
    console.change(ChangeKind::Added, &node.zone("eu-a").rack("a01").build());
    console.shows("needs 2 of 8 machines");
    console.now += SignedDuration::from_secs(16);
    console.tell(bayplan::tui::msg::Msg::Tick);
    console.shows("needs 2 of 9 machines");
}
