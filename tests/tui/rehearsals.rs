//! Rehearsals in the console: in with `w`, what is shown there, and back.

use bayplan::config::settings::Logs;
use bayplan::connect::rehearsal::{Order, Progress};
use bayplan::connect::{Access, Identity, Kind};
use bayplan::rehearse::clock::Clock;
use bayplan::tui::effect::Effect;
use bayplan::tui::msg::Msg;
use bayplan::tui::rehearsal::Wish;
use bayplan::tui::update::start;
use bayplan::tui::view::View;
use jiff::SignedDuration;

use crate::console::{Console, identity};
use crate::frames::check;
use crate::objects::shop;

fn wishes(console: &mut Console) -> Vec<Wish> {
    let mut found = Vec::new();
    let effects = std::mem::take(&mut console.effects);
    for effect in effects {
        match effect {
            Effect::Rehearse(wish) => found.push(wish),
            other => console.effects.push(other),
        }
    }
    found
}

fn progress(console: &Console, rate: u32, steps: &[&str]) -> Progress {
    let mut clock = Clock::new(console.now);
    clock.set_rate(rate, console.now);
    Progress {
        forked_at: console.now,
        clock,
        is_ready: true,
        steps: steps.iter().map(|step| (*step).to_owned()).collect(),
    }
}

/// As the loop does when the fork is there.
fn enter(console: &mut Console) -> bayplan::tui::update::rehearse::Kept {
    let fork = Identity {
        kind: Kind::Rehearsal,
        ..identity(Access::ReadWrite)
    };
    let told = progress(console, 1, &[]);
    let kept = console
        .model
        .enter((fork, told), None, &Logs::default(), console.now);
    let effects = start(&mut console.model, console.now);
    console.effects.extend(effects);
    console.tell(Msg::Kinds(crate::console::kinds()));
    console.load(&shop());
    kept
}

#[test]
fn w_forks_what_is_here_and_the_selection_goes_there_and_back() {
    let mut console = Console::new(View::Pods, (120, 40));
    console.press("w");
    assert!(wishes(&mut console).is_empty(), "not from half a list");
    console.shows("still loading");
    console.load(&shop());
    console.press("j j w");
    let [Wish::Fork(at_hand)] = &wishes(&mut console)[..] else {
        panic!("one fork");
    };
    assert!(at_hand.whole.contains(&bayplan::k8s::resources::PODS));
    assert!(at_hand.cluster.pods().count() > 0);

    let selected = |console: &Console| {
        let page = console.model.page().unwrap();
        page.selection(&console.model.context(console.now))
    };
    let before = selected(&console);
    assert_eq!(before.len(), 1);
    let kept = enter(&mut console);
    assert_eq!(selected(&console), before);
    console.shows("REHEARSAL of default, forked 14:03:22, clock +00:00:00 ▶ x1");
    console.shows("nothing here is real");
    console.shows("admin@rehearsal");

    console.press(": \"discard");
    console.press("enter");
    assert!(matches!(&wishes(&mut console)[..], [Wish::Discard]));
    let real = identity(Access::ReadWrite);
    console
        .model
        .come_back(kept, real, None, &Logs::default(), console.now);
    start(&mut console.model, console.now);
    console.tell(Msg::Kinds(crate::console::kinds()));
    console.load(&shop());
    assert_eq!(selected(&console), before);
    console.hides("REHEARSAL");
    console.shows("admin@embedded");
}

#[test]
fn what_was_sent_there_cannot_be_undone_here() {
    let mut console = Console::new(View::Workloads, (120, 40));
    console.load(&shop());
    let kept = enter(&mut console);
    console.press(": \"no");
    console.press("enter");
    console.load(&shop());
    console.press("!c enter");
    assert_eq!(console.model.journal.newest().count(), 1);
    let real = identity(Access::ReadWrite);
    console
        .model
        .come_back(kept, real, None, &Logs::default(), console.now);
    assert_eq!(console.model.journal.newest().count(), 0);
}

#[test]
fn time_there_is_what_ages_are_told_in() {
    let mut console = Console::new(View::Workloads, (100, 30));
    console.load(&shop());
    enter(&mut console);
    console.press(">");
    assert!(matches!(
        wishes(&mut console)[..],
        [Wish::Order(Order::Rate(10))]
    ));
    let told = progress(&console, 10, &["lose rack=b07"]);
    console.tell(Msg::Rehearsed(told));
    console.now += SignedDuration::from_secs(37);
    console.shows("clock +00:06:10 ▶ x10");
    let there = console.model.time(console.now);
    assert_eq!(
        there.duration_since(console.now),
        SignedDuration::from_secs(333)
    );
    console.press("<");
    console.press("<");
    console.press(": \"+10m");
    console.press("enter");
    assert!(matches!(
        wishes(&mut console)[..],
        [
            Wish::Order(Order::Rate(1)),
            Wish::Order(Order::Rate(1)),
            Wish::Order(Order::Pass(_))
        ]
    ));
    let told = progress(&console, 0, &["lose rack=b07"]);
    console.tell(Msg::Rehearsed(told));
    console.shows("‖");
}

#[test]
fn outside_a_rehearsal_its_words_say_how_to_begin_one() {
    let mut console = Console::with(View::Bays, (100, 30), Access::ReadOnly);
    console.load(&shop());
    console.press(">");
    console.shows("`w` forks this cluster");
    console.press(": \"outcome");
    console.press("enter");
    assert!(wishes(&mut console).is_empty());
    console.press("w");
    assert_eq!(wishes(&mut console).len(), 1, "reading is enough to fork");
}

#[test]
fn steps_are_typed_as_plan_takes_them() {
    let mut console = Console::new(View::Domains, (120, 40));
    console.load(&shop());
    enter(&mut console);
    console.press(": \"step");
    console.press("space");
    console.press("\"loose");
    console.press("enter");
    console.shows("`loose` is no step");
    console.press("esc : \"step");
    console.press("space \"lose");
    console.press("space \"rack=a01");
    console.press("enter");
    let asked = wishes(&mut console);
    let [Wish::Order(Order::Take(step))] = &asked[..] else {
        panic!("{asked:?}");
    };
    assert_eq!(step.to_string(), "lose rack=a01");
}

#[test]
fn the_band_and_the_outcome_look_as_reviewed() {
    for size in [(80, 24), (120, 40)] {
        let mut console = Console::new(View::Workloads, size);
        console.load(&shop());
        enter(&mut console);
        let told = progress(
            &console,
            10,
            &["scale deploy/cart=20 -n shop", "lose rack=a01"],
        );
        console.tell(Msg::Rehearsed(told));
        console.press("w");
        check(&format!("rehearsal-{}x{}", size.0, size.1), &console.text());
        console.press("j j enter");
        assert!(matches!(&wishes(&mut console)[..], [Wish::Outcome]));
        console.shows("working out");
        console.tell(Msg::Outcome(Box::new(outcome())));
        check(&format!("outcome-{}x{}", size.0, size.1), &console.text());
        console.press("esc");
        console.hides("outcome of the rehearsal");
    }
}

/// What came of losing a rack of the shop.
fn outcome() -> bayplan::rehearse::Outcome {
    use bayplan::rehearse::{Fork, Options, Step};
    let mut cluster = bayplan::k8s::Cluster::default();
    for object in shop() {
        cluster.insert(&object);
    }
    let now = "2026-03-01T14:03:22Z".parse().unwrap();
    let options = Options {
        source: "default".into(),
        seed: 0,
        now,
    };
    let mut fork = Fork::of(&cluster, options, Vec::new());
    let step = Step::parse("lose rack=a01", "default").unwrap();
    fork.take(&step).unwrap();
    fork.outcome(0)
}
