//! A drain from its panel to its end.

use bayplan::k8s::ChangeKind;
use bayplan::tui::actions::drain::EvictionAnswer;
use bayplan::tui::effect::Effect;
use bayplan::tui::msg::Msg;
use bayplan::tui::screen::Overlay;
use bayplan::tui::view::{Target, View};
use jiff::SignedDuration;

use crate::console::Console;
use crate::objects::shop;

/// On the objects view's list of nodes, with the panel of a drain of the first one open.
fn panel() -> Console {
    let mut console = Console::new(View::Objects, (120, 40));
    console.load(&shop());
    console.press(": \"no");
    console.press("enter");
    console.load(&shop());
    console.press("!n");
    // The panel wants kinds that this view did not.
    console.load(&shop());
    console
}

/// The evictions that were ordered since the last look, and their journal entry.
fn evictions(console: &mut Console) -> Vec<(u64, Target)> {
    let mut found = Vec::new();
    console.effects.retain(|effect| match effect {
        Effect::Evict { number, pod } => {
            found.push((*number, pod.clone()));
            false
        }
        _ => true,
    });
    found
}

fn confirm(console: &mut Console) -> u64 {
    if let Some(Overlay::Confirm(panel)) = console.screen().overlay
        && let Some((name, _)) = panel.typed
    {
        for letter in name.chars() {
            console.tell(Msg::Key(bayplan::tui::key::Chord::char(letter)));
        }
    }
    console.press("enter");
    console
        .effects
        .iter()
        .find_map(|effect| match effect {
            Effect::Send { number, .. } => Some(*number),
            _ => None,
        })
        .unwrap()
}

fn go(console: &mut Console, pod: &Target) {
    let object = console.model.cache.cluster.get(&pod.key).unwrap().clone();
    console.change(ChangeKind::Deleted, &object);
}

#[test]
fn the_forecast_stands_in_the_panel_before_anything_is_sent() {
    let console = panel();
    console.shows("drain a01-h01");
    console.shows("requested of what is left");
    assert!(console.model.drains.is_empty());
}

#[test]
fn nothing_is_forecast_from_half_a_list() {
    use bayplan::tui::cache::{FeedEvent, FeedState};
    let mut console = Console::new(View::Bays, (120, 40));
    console.load(&shop());
    let loading = FeedEvent::State(FeedState::Loading {
        loaded: 3,
        total: Some(4_000),
    });
    console.tell(Msg::Feed(bayplan::k8s::resources::PODS, loading));
    console.press("!n");
    console.shows("still loading pods (3 of 4,000)");
    console.load(&shop());
    console.shows("requested of what is left");
}

#[test]
fn pods_go_one_after_the_other_in_any_view_and_a_budget_is_waited_for() {
    let mut console = panel();
    let number = confirm(&mut console);
    assert!(evictions(&mut console).is_empty(), "the cordon comes first");
    console.tell(Msg::Sent {
        number,
        result: Ok(()),
    });
    let [(_, first)] = &evictions(&mut console)[..] else {
        panic!("one eviction");
    };
    console.press("5");
    let answer = EvictionAnswer::Refused("The disruption budget cart needs 3 healthy pods".into());
    console.tell(Msg::Evicted { number, answer });
    console.shows("0 of");
    console.shows("(again in 5 s): The disruption");
    console.shows("!N stops it");
    let mut last = evictions(&mut console);
    while let Some((_, pod)) = last.pop() {
        assert_ne!(pod, *first, "not before its time");
        let answer = EvictionAnswer::Accepted;
        console.tell(Msg::Evicted { number, answer });
        last = evictions(&mut console);
        go(&mut console, &pod);
        last.extend(evictions(&mut console));
    }
    console.now += SignedDuration::from_secs(6);
    console.tell(Msg::Tick);
    let again = evictions(&mut console);
    assert_eq!(again, [(number, first.clone())]);
    console.tell(Msg::Evicted {
        number,
        answer: EvictionAnswer::Accepted,
    });
    go(&mut console, first);
    assert!(console.model.drains.is_empty());
    console.shows("evicted in 6s; the node stays cordoned");
    console.press("u");
    console.shows("uncordon a01-h01");
}

#[test]
fn a_drain_can_be_stopped_and_a_refused_cordon_ends_it() {
    let mut console = panel();
    let number = confirm(&mut console);
    console.tell(Msg::Sent {
        number,
        result: Ok(()),
    });
    assert_eq!(evictions(&mut console).len(), 1);
    console.press("4 !N");
    console.tell(Msg::Evicted {
        number,
        answer: EvictionAnswer::Accepted,
    });
    assert!(console.model.drains.is_empty());
    assert!(evictions(&mut console).is_empty());
    console.shows(", stopped; the node stays cordoned");

    let mut console = panel();
    let number = confirm(&mut console);
    console.tell(Msg::Sent {
        number,
        result: Err("forbidden".into()),
    });
    assert!(console.model.drains.is_empty());
    console.shows("not begun, the cordon was refused: forbidden");
    assert!(console.model.journal.last_undoable().is_none());
}
