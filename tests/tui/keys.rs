//! Keys in, screens out: what holds in every view.

use bayplan::connect::Access;
use bayplan::k8s::{ChangeKind, Uid, build, resources, scanned};
use bayplan::tui::cache::{FeedEvent, FeedState};
use bayplan::tui::effect::Effect;
use bayplan::tui::msg::Msg;
use bayplan::tui::screen::{Overlay, Widget};
use bayplan::tui::view::{Scope, View};
use serde_json::json;

use crate::console::Console;
use crate::objects::{pod, shop};

fn pods(size: (u16, u16)) -> Console {
    let mut console = Console::new(View::Pods, size);
    console.load(&shop());
    console
}

/// The name of the object under the cursor.
fn selected(console: &Console) -> String {
    let context = console.model.context(console.now);
    let selection = console.model.page().unwrap().selection(&context);
    selection
        .iter()
        .map(|target| target.key.name.to_string())
        .collect::<Vec<_>>()
        .join(",")
}

#[test]
fn digits_go_to_views_and_ctrl_o_comes_back() {
    let mut console = pods((120, 40));
    console.press("4");
    assert_eq!(console.model.view(), View::Workloads);
    console.press("2");
    assert_eq!(console.model.view(), View::Bays);
    console.press("ctrl-o ctrl-o");
    assert_eq!(console.model.view(), View::Pods);
    console.press("tab");
    assert_eq!(console.model.view(), View::Workloads);
}

#[test]
fn the_cursor_stays_on_its_object_when_rows_come_and_go() {
    let mut console = pods((120, 40));
    console.press("j j j");
    let before = selected(&console);
    console.change(ChangeKind::Added, &pod("aaa-first", "a01-h01"));
    assert_eq!(selected(&console), before);
    console.press("I");
    assert_eq!(
        selected(&console),
        before,
        "turning the order round moves the row, not the cursor"
    );
}

#[test]
fn an_open_panel_keeps_its_target() {
    let mut console = pods((120, 40));
    let target = selected(&console);
    console.press("!d");
    let Some(Overlay::Confirm(panel)) = console.screen().overlay else {
        panic!("no panel:\n{}", console.text());
    };
    assert!(panel.title.plain().contains(&target), "{panel:?}");
    // The object's row moves and even goes while the panel is open.
    console.change(ChangeKind::Added, &pod("aaa-first", "a01-h01"));
    let gone = shop()
        .into_iter()
        .find(|object| object.name() == target)
        .unwrap();
    console.change(ChangeKind::Deleted, &gone);
    let Some(Overlay::Confirm(panel)) = console.screen().overlay else {
        panic!("the panel is gone");
    };
    assert!(panel.title.plain().contains(&target), "{panel:?}");
}

#[test]
fn nothing_is_sent_without_the_typed_name() {
    let mut console = pods((120, 40));
    console.effects.clear();
    console.press("!d enter");
    assert!(
        !console
            .effects
            .iter()
            .any(|effect| matches!(effect, Effect::Send { .. }))
    );
    console.shows("to confirm; nothing was sent");
    console.press("esc");
    console.shows("nothing was sent");
    assert!(console.screen().overlay.is_none());
    assert!(console.model.journal.is_empty());
}

#[test]
fn a_confirmed_change_is_sent_journalled_and_undone() {
    let mut console = Console::new(View::Workloads, (120, 40));
    console.load(&shop());
    console.press(": \"scale :");
    console.press("esc");
    console.effects.clear();
    console.press(":");
    for letter in "scale 7".chars() {
        console.tell(Msg::Key(bayplan::tui::key::Chord::char(letter)));
    }
    console.press("enter");
    assert!(
        matches!(console.screen().overlay, Some(Overlay::Confirm(_))),
        "{}",
        console.text()
    );
    console.press("enter");
    let sent = console.effects.iter().find_map(|effect| match effect {
        Effect::Send { number, ops } => Some((*number, ops.len())),
        _ => None,
    });
    assert_eq!(sent, Some((0, 1)));
    console.tell(Msg::Sent {
        number: 0,
        result: Ok(()),
    });
    console.shows("takes it back");
    console.press("u");
    assert!(matches!(
        console.screen().overlay,
        Some(Overlay::Confirm(_))
    ));
    console.press("enter U");
    console.shows("undone");
}

#[test]
fn esc_goes_back_one_step_and_never_quits() {
    let mut console = pods((120, 40));
    console.press("4 ? esc");
    assert!(console.screen().overlay.is_none());
    assert_eq!(console.model.view(), View::Workloads);
    console.press("esc");
    assert_eq!(console.model.view(), View::Pods);
    console.effects.clear();
    console.press("esc esc esc");
    assert!(
        console
            .effects
            .iter()
            .all(|effect| !matches!(effect, Effect::Quit))
    );
    console.press("q");
    console.shows("quit bayplan?");
    console.press("esc");
    console.hides("quit bayplan?");
    console.press("q enter");
    assert!(
        console
            .effects
            .iter()
            .any(|effect| matches!(effect, Effect::Quit))
    );
}

#[test]
fn read_only_has_no_changing_key_word_or_hint() {
    let mut console = Console::with(View::Workloads, (120, 40), Access::ReadOnly);
    console.load(&shop());
    console.shows("READ-ONLY");
    console.effects.clear();
    for keys in ["!d", "s", "e", "u", "!!"] {
        console.press(keys);
        assert!(console.screen().overlay.is_none(), "{keys}");
    }
    console.press("?");
    for word in ["delete", "scale", "drain", "cordon", "undo"] {
        console.hides(&format!(":{word}"));
    }
    console.press("esc :");
    for letter in "delete".chars() {
        console.tell(Msg::Key(bayplan::tui::key::Chord::char(letter)));
    }
    console.press("enter");
    console.shows("no view, kind or command `delete`");
    let changes = |effect: &Effect| matches!(effect, Effect::Send { .. } | Effect::DryRun { .. });
    assert!(
        !console.effects.iter().any(changes),
        "{:?}",
        console.effects
    );
}

#[test]
fn the_filter_works_while_it_is_typed_and_esc_brings_the_old_one_back() {
    let mut console = pods((120, 40));
    console.press("/ \"cart\"");
    console.shows("cart-7f9c6d5b8-00000");
    console.hides("search-7f9c6d5b8-00000");
    console.press("esc");
    console.shows("search-7f9c6d5b8-00000");
    console.press("/ \"cpuu>1\"");
    console.shows("no column `cpuu`");
    console.press("esc / \"node=b02-*\" enter");
    console.hides("cart-7f9c6d5b8-00000");
    console.press("esc");
    console.shows("cart-7f9c6d5b8-00000");
}

#[test]
fn marks_that_a_filter_hides_are_dropped() {
    let mut console = pods((120, 40));
    console.press("space space space");
    assert_eq!(selected(&console).split(',').count(), 3);
    console.press("/ \"search\" enter");
    assert!(
        !selected(&console).contains("cart"),
        "{}",
        selected(&console)
    );
}

#[test]
fn the_command_line_speaks_k9s() {
    let mut console = Console::new(View::Bays, (120, 40));
    console.load(&shop());
    console.press(": \"po\" enter");
    assert_eq!(console.model.view(), View::Pods);
    console.press(":");
    for letter in "po shop /cart".chars() {
        console.tell(Msg::Key(bayplan::tui::key::Chord::char(letter)));
    }
    console.press("enter");
    assert_eq!(console.model.scope, Scope::of(&["shop"]));
    assert_eq!(console.model.page().unwrap().filter(), Some("cart"));
    console.press(": \"nonsense\" enter");
    console.shows("no view, kind or command `nonsense`");
    console.press("esc : up");
    console.shows(":po shop /cart");
}

/// A drain is asked for the row under the cursor: a filter that is not in force names another node.
#[test]
fn a_kind_is_opened_with_its_filter() {
    let mut console = Console::new(View::Bays, (120, 40));
    console.load(&shop());
    let last = shop()
        .iter()
        .rfind(|object| object.key.resource == bayplan::k8s::resources::NODES)
        .map(|node| node.name().to_owned())
        .unwrap();
    console.press(":");
    for letter in format!("nodes /{last}").chars() {
        console.tell(Msg::Key(bayplan::tui::key::Chord::char(letter)));
    }
    console.press("enter");
    console.load(&shop());
    assert_eq!(console.model.page().unwrap().filter(), Some(last.as_str()));
    assert!(selected(&console).contains(&last), "{}", selected(&console));
}

#[test]
fn the_containers_of_an_open_pod_say_what_a_scan_found() {
    let mut console = Console::new(View::Pods, (200, 60));
    let pod = || build::pod("shop/aaa").image("shop/app:1.8.2").running();
    let told = json!({scanned::key("app"): "2 high (Debian:12, 2026-03-01)"});
    let scanned = pod().with(&json!({"metadata": {"annotations": told}}));
    console.load(&[pod().build()]);
    console.press("enter");
    console.shows("shop/app:1.8.2");
    console.hides("VULNERABILITIES");
    console.change(ChangeKind::Modified, &scanned.build());
    console.shows("2 high (Debian:12, 2026-03-01)");
}

#[test]
fn the_palette_finds_objects_by_name() {
    let mut console = Console::new(View::Bays, (120, 40));
    console.load(&shop());
    console.press("ctrl-k \"srch7f\"");
    console.shows("shop/search-7f9c6d5b8-00000");
    console.press("enter");
    assert_eq!(console.model.view(), View::Pods);
    assert!(
        selected(&console).starts_with("search-"),
        "{}",
        selected(&console)
    );
}

#[test]
fn a_lost_connection_ages_the_picture_and_keeps_it() {
    let mut console = pods((120, 40));
    let since = console.now;
    console.now += jiff::SignedDuration::from_secs(75);
    let state = FeedState::Lost {
        since,
        why: "connection refused".into(),
    };
    console.tell(Msg::Feed(resources::PODS, FeedEvent::State(state)));
    console.shows("CONNECTION LOST: this picture is 75s old");
    console.shows("cart-7f9c6d5b8-00000");
}

#[test]
fn pulse_never_keeps_an_all_clear_from_before_the_data() {
    let mut console = Console::new(View::Pulse, (120, 40));
    console.now += jiff::SignedDuration::from_millis(300);
    console.load(&shop());
    let wake = bayplan::tui::update::next_wake(&console.model, console.now).unwrap();
    assert!(wake.duration_since(console.now).as_secs() <= 2);
    console.now = wake + jiff::SignedDuration::from_millis(1);
    console.tell(Msg::Tick);
    console.shows("report-0");
    console.hides("nothing is broken");
}

#[test]
fn pasted_text_runs_no_commands() {
    let mut console = pods((120, 40));
    console.effects.clear();
    console.tell(Msg::Paste("!d\nq\n".into()));
    assert!(console.screen().overlay.is_none());
    console.shows("pasted text was dropped");
    console.press("/");
    console.tell(Msg::Paste("cart\n!d".into()));
    console.press("enter");
    assert_eq!(console.model.page().unwrap().filter(), Some("cart"));
}

#[test]
fn help_lists_every_key_that_exists_here() {
    let mut console = pods((80, 24));
    console.press("?");
    let Some(Overlay::Help(help)) = console.screen().overlay else {
        panic!("no help");
    };
    let listed: usize = help.sections.iter().map(|(_, hints)| hints.len()).sum();
    let entries = bayplan::tui::command::table::entries(View::Pods, false).count();
    assert_eq!(listed, entries);
    console.press("j j j G");
    console.press("g");
}

#[test]
fn an_equal_screen_is_equal() {
    let console = pods((120, 40));
    assert_eq!(console.screen(), console.screen());
    assert_eq!(console.buffer(), console.buffer());
}

#[test]
fn every_view_draws_at_every_size_in_every_depth() {
    use bayplan::tui::theme::{Characters, Depth};
    for view in View::ALL {
        for size in [
            (20, 4),
            (40, 10),
            (80, 24),
            (120, 40),
            (200, 60),
            (400, 100),
        ] {
            let mut console = Console::new(view, size);
            console.load(&shop());
            for keys in ["", "j", "?", ":", "ctrl-k", "/"] {
                console.press(keys);
                let ascii = console.drawn(Depth::None, Characters::Ascii);
                for cell in &ascii.content {
                    assert!(
                        cell.symbol().is_ascii(),
                        "{view:?} {size:?}: {:?}",
                        cell.symbol()
                    );
                    assert_eq!(cell.fg, ratatui::style::Color::Reset);
                }
                if keys.len() == 1 && keys != "j" || keys == "ctrl-k" {
                    console.press("esc");
                }
            }
        }
    }
}

#[test]
fn rows_know_who_they_are() {
    fn rows(widget: &Widget) -> Vec<Uid> {
        match widget {
            Widget::Table(table) => table.rows.iter().map(|row| row.id.clone()).collect(),
            Widget::Split(split) => split
                .parts
                .iter()
                .flat_map(|(_, part)| rows(part))
                .collect(),
            _ => Vec::new(),
        }
    }
    let console = pods((120, 40));
    let ids = rows(&console.screen().body);
    assert_eq!(ids.len(), 14);
    assert!(ids.iter().all(|id| !id.0.is_empty()));
}

#[test]
fn help_shows_the_keys_as_they_are_mapped() {
    use bayplan::config::keymap::read;
    use bayplan::tui::keymap::Keymap;
    let mut console = pods((120, 60));
    let (bindings, _) = read("k", "describe: ['D', 'f2']\nwhy: []\nhelp: 'f1'\n");
    console.model.keymap = Keymap::standard().with("k", &bindings).0;
    console.press("?");
    assert!(console.screen().overlay.is_none(), "`?` was given away");
    console.press("f1");
    console.shows("D f2  describe the selected object");
    console.shows(":why  why it is here");
    console.press("esc");
    console.shows("D describe");
    console.press("enter");
    console.shows("D describe  y yaml");
}

#[test]
fn problems_of_the_start_are_told_in_short_and_in_full() {
    let mut console = pods((80, 24));
    console.model.problems = vec![
        "settings.yaml:2:1: unknown field `theem`, expected one of `theme`, `mouse`; the default is used".into(),
        "keymap.yaml:1: no command `x`".into(),
    ];
    let effects = bayplan::tui::update::start(&mut console.model, console.now);
    console.effects.extend(effects);
    console.settle();
    console.shows("1 more at the start (`:problems`): settings.yaml:2:1");
    console.press(": \"problems enter");
    console.shows("the default is used");
    console.shows("keymap.yaml:1: no command `x`");
    console.press("esc");
    assert!(console.screen().overlay.is_none());
}

#[test]
fn the_history_is_walked_and_what_was_typed_comes_back() {
    let mut console = pods((120, 40));
    console.model.history = vec!["pods shop".into(), "ns all".into()];
    console.press(": \"ser up");
    console.shows(":ns all");
    console.press("up up");
    console.shows(":pods shop");
    console.press("down down");
    console.shows(":ser");
    console.press("ctrl-u \"ns ");
    console.press("enter");
    assert!(
        console
            .effects
            .iter()
            .any(|effect| matches!(effect, Effect::Remember(line) if line == "ns"))
    );
}

#[test]
fn another_context_is_opened_and_nothing_of_the_old_one_stays() {
    let mut console = pods((120, 40));
    console.model.contexts = vec!["default".into(), "prod".into()];
    console.press(": \"ns");
    console.press("space \"shop enter j");
    console.press(": \"ctx");
    console.press("space \"prod enter");
    console.shows("opening prod");
    assert!(
        console
            .effects
            .iter()
            .any(|effect| matches!(effect, Effect::Connect(name) if name == "prod"))
    );
    assert_eq!(
        console.model.identity.cluster, "default",
        "until it is open"
    );
    let mut identity = crate::console::identity(Access::ReadOnly);
    identity.cluster = "prod".into();
    console
        .model
        .turn_to(identity, None, &bayplan::config::settings::Logs::default());
    let effects = bayplan::tui::update::start(&mut console.model, console.now);
    console.effects.extend(effects);
    console.settle();
    assert_eq!(console.model.view(), View::Pods);
    assert_eq!(console.model.scope, Scope::All);
    assert_eq!(selected(&console), "");
    console.shows("prod");
    console.shows("READ-ONLY");
    assert_eq!(console.model.contexts.len(), 2);
}

#[test]
fn a_views_key_leads_out_of_a_panel_that_is_only_read() {
    let mut console = pods((120, 40));
    console.press("?");
    assert!(console.screen().overlay.is_some());
    console.press("4");
    assert!(console.screen().overlay.is_none());
    assert_eq!(console.model.view(), View::Workloads);
}
