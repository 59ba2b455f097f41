//! Several clusters side by side: one list of what is wrong, one picture of what would be lost.

use std::sync::Arc;

use bayplan::config::settings::{ContextColor, Logs};
use bayplan::connect::Access;
use bayplan::k8s::{Object, build, resources};
use bayplan::tui::beside::{Beside, BesideEvent, KINDS};
use bayplan::tui::cache::{FeedEvent, FeedState};
use bayplan::tui::effect::Effect;
use bayplan::tui::model::Open;
use bayplan::tui::msg::Msg;
use bayplan::tui::update::start;
use bayplan::tui::view::View;
use jiff::SignedDuration;
use serde_json::json;

use crate::console::{Console, identity, kinds};
use crate::frames::check;
use crate::objects::pending;

const WEST: &str = "prod-us";

/// A shop in `prod-eu`, and a smaller one in `prod-us` that lost a machine.
fn console(view: View, size: (u16, u16)) -> Console {
    let mut console = Console::new(view, size);
    "prod-eu".clone_into(&mut console.model.identity.cluster);
    console.model.colour = Some(ContextColor::Green);
    let west = Beside::new(WEST, Some(ContextColor::Red));
    console.model.beside = vec![west];
    console.tell(of_west(BesideEvent::Opened {
        user: "ops".to_owned(),
    }));
    console.load(&east());
    console
}

fn of_west(event: BesideEvent) -> Msg {
    let cluster = WEST.into();
    Msg::Beside { cluster, event }
}

fn answer(console: &mut Console, objects: &[Arc<Object>]) {
    for (resource, ..) in &KINDS {
        let own = objects
            .iter()
            .filter(|object| object.key.resource == *resource);
        let own: Vec<Arc<Object>> = own.cloned().collect();
        let keys = Arc::new(own.iter().map(|object| object.key.clone()).collect());
        let since = console.now;
        for event in [
            FeedEvent::Listed {
                objects: own,
                total: None,
            },
            FeedEvent::Complete { keys },
            FeedEvent::State(FeedState::Live { since }),
        ] {
            console.tell(of_west(BesideEvent::Fed(resource.clone(), event)));
        }
    }
    console.tell(Msg::Tick);
}

fn east() -> Vec<Arc<Object>> {
    let nodes = [("e1", true), ("e2", true), ("b02-h03", false)];
    cluster("eu", &nodes, &[("cart", 4), ("search", 3), ("auth", 2)])
}

fn west() -> Vec<Arc<Object>> {
    let nodes = [("w1", true), ("w2", true), ("b02-h03", false)];
    cluster("us", &nodes, &[("cart", 2), ("search", 1), ("ledger", 3)])
}

/// Deployments whose pods run on the first two nodes by turns.
fn cluster(region: &str, nodes: &[(&str, bool)], services: &[(&str, usize)]) -> Vec<Arc<Object>> {
    const CREATED: &str = "2026-02-20T08:00:00Z";
    let mut drafts = Vec::new();
    for (name, ready) in nodes {
        let node = build::node(name).cpu("16").memory("64Gi").region(region);
        let node = node.zone(&format!("{region}-a")).created(CREATED);
        drafts.push(if *ready { node } else { node.not_ready() });
    }
    for (service, replicas) in services {
        let name = format!("shop/{service}");
        let count = u32::try_from(*replicas).unwrap();
        let deployment = build::deployment(&name).replicas(count).created(CREATED);
        drafts.push(deployment.with(&json!({"status": {"observedGeneration": 1,
            "replicas": count, "updatedReplicas": count, "readyReplicas": count,
            "availableReplicas": count}})));
        let set = format!("{service}-abc");
        let replica_set = build::replica_set(&format!("shop/{set}")).created(CREATED);
        drafts.push(replica_set.owner("Deployment", service));
        for number in 0..*replicas {
            let pod = build::pod(&format!("shop/{set}-{number}")).created(CREATED);
            let pod = pod.cpu("1").memory("2Gi").owner("ReplicaSet", &set);
            drafts.push(pod.node(nodes[number % 2].0).running());
        }
    }
    drafts.iter().map(build::Draft::build).collect()
}

#[test]
fn two_clusters_look_as_reviewed() {
    for view in [View::Pulse, View::Domains] {
        for size in [(80, 24), (120, 40), (200, 60)] {
            let mut console = console(view, size);
            answer(&mut console, &west());
            let name = format!("clusters-{}-{}x{}", view.name(), size.0, size.1);
            check(&name, &console.text());
        }
    }
}

#[test]
fn a_lost_cluster_is_told_by_what_is_left() {
    let mut console = console(View::Domains, (120, 40));
    answer(&mut console, &west());
    console.shows("if cluster prod-eu is lost");
    console.shows("left elsewhere (ready): search 1 of 4, cart 2 of 6");
    console.shows("only here, down with it: shop/auth");
    console.press("j");
    console.shows("only here, down with it: shop/ledger");
    console.press("j");
    console.shows("worst loss 3 of 4 ready with prod-eu: 75%");
    console.shows("evenly over 2 clusters it would be 50%");
    // Only looked at: what would change the own cluster's nodes or racks does not reach them.
    for keys in ["!x", "!c", "!n", "A"] {
        console.press(keys);
        assert!(console.model.open.is_none(), "{keys} opened something");
        console.shows("clusters are only looked at");
    }
    console.press("g j enter");
    let switched = |effect: &Effect| matches!(effect, Effect::Connect(name) if name == WEST);
    assert!(console.effects.iter().any(switched));
    // Its own levels are as they always were.
    console.press("l");
    console.shows("if region eu is lost");
}

#[test]
fn a_region_that_two_clusters_share_is_a_level() {
    let mut console = console(View::Domains, (120, 40));
    console.hides("shared-region");
    answer(
        &mut console,
        &cluster("eu", &[("w1", true), ("w2", true)], &[("cart", 2)]),
    );
    console.press("l");
    console.shows("SHARED-REGION");
    console.shows("machines of prod-eu, prod-us");
    console.shows("nothing ready is left of: shop/cart");
}

#[test]
fn what_is_wrong_elsewhere_is_one_list_and_no_target_of_changes() {
    let mut console = console(View::Pulse, (120, 40));
    console.shows("prod-us");
    console.shows("connecting");
    answer(&mut console, &west());
    // The node of the same name is down in both; only the own one may be acted on.
    console.press("/ \"prod-us\" enter");
    console.shows("b02-h03");
    for keys in ["!c", "!n", "d", "W"] {
        console.press(keys);
        assert!(console.model.open.is_none(), "{keys} opened something");
        assert_eq!(console.model.view(), View::Pulse, "{keys} led away");
        console.shows("this is of prod-us");
        console.press("esc");
        console.press("/ \"prod-us\" enter");
    }
    console.press("!!");
    assert!(!matches!(console.model.open, Some(Open::Confirm(_))));
    console.press("esc enter");
    let switched = console
        .effects
        .iter()
        .any(|effect| matches!(effect, Effect::Connect(name) if name == WEST));
    assert!(switched, "enter works there from now on");
    console.press("/ ctrl-u \"prod-eu\" enter !c");
    assert!(
        matches!(console.model.open, Some(Open::Confirm(_))),
        "the own row is acted on"
    );
}

#[test]
fn a_cluster_that_is_not_reached_keeps_its_picture_and_the_rest_works() {
    let mut console = console(View::Pulse, (120, 40));
    answer(&mut console, &west());
    let state = FeedState::Lost {
        since: console.now,
        why: "connection refused".to_owned(),
    };
    let event = FeedEvent::State(state);
    console.tell(of_west(BesideEvent::Fed(resources::PODS, event)));
    console.now += SignedDuration::from_mins(4);
    console.shows("not reached: as of 14:03:22, 4m ago: connection refused");
    console.shows("prod-us");
    console.press("3");
    console.shows("prod-us does not answer, counted as of 14:03:22");
    console.press("4");
    console.shows("cart");
    console.shows("prod-us  ✕");
}

#[test]
fn where_the_own_cluster_is_not_reached_the_others_are_told_of() {
    for view in [View::Pulse, View::Domains] {
        let mut console = Console::new(view, (120, 40));
        "prod-eu".clone_into(&mut console.model.identity.cluster);
        console.model.beside = vec![Beside::new(WEST, None)];
        answer(&mut console, &west());
        for resource in [resources::NODES, resources::PODS] {
            let state = FeedState::Lost {
                since: console.now,
                why: "no route to host".to_owned(),
            };
            console.tell(Msg::Feed(resource, FeedEvent::State(state)));
        }
        console.shows("not reached: no route to host");
        console.hides("nothing is broken");
        console.hides("no problems");
        if view == View::Pulse {
            console.shows("◐ NotReady  prod-us  b02-h03");
        } else {
            console.shows("■ shop/cart");
        }
    }
}

#[test]
fn clusters_are_named_in_their_colours_on_every_ground() {
    let mut console = console(View::Pulse, (120, 40));
    answer(&mut console, &west());
    let buffer = console.buffer();
    let ground = |x: u16, y: u16| buffer.cell((x, y)).unwrap().bg;
    let text = console.text();
    let mut grounds = Vec::new();
    for (y, line) in text.lines().enumerate() {
        for name in ["prod-eu", "prod-us"] {
            if let Some(byte) = line.find(name).filter(|_| !line.contains("lately")) {
                let x = line[..byte].chars().count();
                let at = ground(u16::try_from(x).unwrap(), u16::try_from(y).unwrap());
                grounds.push((name, at));
            }
        }
    }
    let of = |name: &str| {
        let mut own: Vec<_> = grounds.iter().filter(|(one, _)| *one == name).collect();
        // The header, its line, its row; the cursor is on one of the rows.
        assert_eq!(own.len(), 3, "{name} in {text}");
        own.dedup();
        assert_eq!(own.len(), 1, "{name} has one colour everywhere");
        own[0].1
    };
    assert_ne!(of("prod-eu"), of("prod-us"));
}

#[test]
fn entering_a_row_of_another_cluster_leads_to_that_row_there() {
    let mut console = console(View::Pulse, (120, 40));
    let mut west = west();
    // Worse than the machine, and in the first row.
    west.push(pending("report-1"));
    answer(&mut console, &west);
    console.now += SignedDuration::from_secs(3);
    console.tell(Msg::Tick);
    console.press("/ \"b02-h03\" enter G");
    console.shows("▸ ◐ NotReady  prod-us  b02-h03");
    console.press("enter");
    // The runtime has opened it.
    let mut identity = identity(Access::ReadWrite);
    WEST.clone_into(&mut identity.cluster);
    console.model.turn_to(identity, None, &Logs::default());
    let effects = start(&mut console.model, console.now);
    console.effects.extend(effects);
    console.tell(Msg::Kinds(kinds()));
    console.load(&west);
    console.shows("  ✕ Pending   shop/report-1");
    console.shows("▸ ◐ NotReady  b02-h03");
}
