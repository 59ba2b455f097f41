//! Commands: the frame's own, and the rest to the page.

use jiff::Timestamp;

use crate::k8s::resources;
use crate::tui::actions::offer::offer;
use crate::tui::command::table::{self, Section};
use crate::tui::command::{ChangeKind, Command, Make};
use crate::tui::effect::Effect;
use crate::tui::model::{LineKind, MenuChoice, Model, Open, PLACES_MAX, Then};
use crate::tui::notice::Notice;
use crate::tui::view::{Place, Scope, View};

use super::{carry_out, drains, input, moves, propose, rehearse, tell, to_page, visit};

/// Carries a command out.
pub fn run(model: &mut Model, command: &Command, now: Timestamp, effects: &mut Vec<Effect>) {
    let view = model.view();
    match command {
        Command::Help => model.open = Some(Open::Help { scroll: 0 }),
        Command::Problems if model.problems.is_empty() => {
            tell(
                model,
                Notice::note("settings and keys were read without problems"),
                now,
            );
        }
        Command::Problems => {
            model.open = Some(Open::Report {
                title: "problems at the start".to_owned(),
                texts: model.problems.clone(),
                scroll: 0,
            });
        }
        Command::Fidelity if !model.measures_fidelity() => {
            let text = "the embedded scheduler decides here itself: nothing is foretold";
            tell(model, Notice::note(text), now);
        }
        Command::Fidelity => {
            model.open = Some(Open::Report {
                title: "the cluster's scheduler and what is foretold".to_owned(),
                texts: model.fidelity.tally.sentences(),
                scroll: 0,
            });
        }
        Command::CommandLine => input::open_line(model, LineKind::Command),
        Command::Palette => input::open_line(model, LineKind::Palette),
        Command::FilterLine => input::open_line(model, LineKind::Filter),
        Command::Filter(text) => {
            if let Some(problem) = input::set_filter(model, view, text, now) {
                tell(model, Notice::warning(problem), now);
            }
        }
        Command::Show(view) => go(model, &Place::of(*view), now, effects),
        Command::Go(place) => go(model, place, now, effects),
        Command::PlaceBack => {
            if !place_back(model, now, effects) {
                tell(model, Notice::note("this is the first place"), now);
            }
        }
        Command::PlaceForth => {
            if let Some(place) = model.forth.pop() {
                let here = std::mem::replace(&mut model.place, place.clone());
                push(&mut model.back, here);
                open_page(model, &place, now, effects);
            }
        }
        Command::PlaceLast => {
            if let Some(place) = model.last.take() {
                go(model, &place, now, effects);
            }
        }
        Command::Back | Command::Leave => {
            let leave = *command == Command::Leave;
            back(model, leave, now, effects);
        }
        Command::Quit if !model.drains.is_empty() => model.open = Some(Open::AskQuit),
        Command::Quit => effects.push(Effect::Quit),
        Command::StopDrain => drains::stop(model, now),
        Command::Suspend => effects.push(Effect::Suspend),
        Command::Redraw => effects.push(Effect::Redraw),
        Command::ToggleMouse => {
            model.mouse = !model.mouse;
            effects.push(Effect::Mouse(model.mouse));
            let state = if model.mouse { "on" } else { "off" };
            tell(model, Notice::note(format!("mouse {state}")), now);
        }
        Command::Theme(name) if name.is_empty() => themes(model),
        Command::Theme(name) => effects.push(Effect::Theme(name.clone())),
        Command::Namespaces(Some(scope)) => scope_to(model, scope.clone(), now),
        Command::Namespaces(None) => namespaces(model),
        Command::Contexts(name) => contexts(model, name.as_deref(), now, effects),
        Command::TimeBack if view != View::Timeline => {
            go(model, &Place::of(View::Timeline), now, effects);
        }
        Command::TimeForth if view != View::Timeline => {
            tell(
                model,
                Notice::note("this is now; `[` goes back in time"),
                now,
            );
        }
        Command::Zoom => {
            model.zoomed = !model.zoomed;
            model.unsettled = true;
        }
        Command::Undo => propose::undo(model, now),
        Command::Changes => changes(model),
        Command::Moves(question) => moves::open(model, question.clone()),
        Command::Act => act(model, now),
        Command::CopyMenu => copy_menu(model, now),
        Command::Shell => visit::shell(model, now, effects),
        Command::Attach => visit::attach(model, now, effects),
        Command::Rehearse => rehearse::begin(model, now, effects),
        Command::Rehearsal(command) => rehearse::run(model, command, now, effects),
        other => to_page(model, view, other, now, effects),
    }
}

fn push(places: &mut Vec<Place>, place: Place) {
    places.push(place);
    if places.len() > PLACES_MAX {
        places.remove(0);
    }
}

/// To another place; where one was is remembered.
pub fn go(model: &mut Model, place: &Place, now: Timestamp, effects: &mut Vec<Effect>) {
    if *place != model.place {
        let here = std::mem::replace(&mut model.place, place.clone());
        model.last = Some(here.clone());
        push(&mut model.back, here);
        model.forth.clear();
    }
    open_page(model, place, now, effects);
}

pub(super) fn place_back(model: &mut Model, now: Timestamp, effects: &mut Vec<Effect>) -> bool {
    let Some(place) = model.back.pop() else {
        return false;
    };
    let here = std::mem::replace(&mut model.place, place.clone());
    model.last = Some(here.clone());
    push(&mut model.forth, here);
    open_page(model, &place, now, effects);
    true
}

/// Opens the page of the current place and watches what it needs.
pub fn open_page(model: &mut Model, place: &Place, now: Timestamp, effects: &mut Vec<Effect>) {
    model.pressed.clear();
    model.unsettled = true;
    let asks = model.with_page(place.view, now, |page, context| {
        page.open(&place.with, context)
    });
    carry_out(model, asks.unwrap_or_default(), now, effects);
    let needs = model.needs();
    if needs != model.watched {
        model.watched.clone_from(&needs);
        effects.push(Effect::Watch(needs));
    }
    let printed = model.page().and_then(crate::tui::page::Page::printed);
    if printed != model.printing {
        model.cache.printed.clear();
        model.printing.clone_from(&printed);
        effects.push(Effect::Print(printed));
    }
}

/// One step: out of something inside the page, out of a filter, out of the zoom, to the place
/// before. At the root, `Esc` stays and `q` asks.
fn back(model: &mut Model, leave: bool, now: Timestamp, effects: &mut Vec<Effect>) {
    let view = model.view();
    model.unsettled = true;
    if model.with_page(view, now, |page, context| page.back(context)) == Some(true) {
        return;
    }
    if model
        .page()
        .and_then(|page| page.filter())
        .is_some_and(|filter| !filter.is_empty())
    {
        input::set_filter(model, view, "", now);
        return;
    }
    if model.zoomed {
        model.zoomed = false;
        return;
    }
    if !place_back(model, now, effects) && leave {
        model.open = Some(Open::AskQuit);
    }
}

fn scope_to(model: &mut Model, scope: Scope, now: Timestamp) {
    if let Scope::Namespaces(names) = &scope {
        let known = model.cache.is_complete(&resources::NAMESPACES);
        let missing = names
            .iter()
            .find(|name| known && !model.namespaces().any(|there| there == *name));
        if let Some(name) = missing {
            let text = format!("no namespace `{name}`; `:ns` lists them");
            return tell(model, Notice::warning(text), now);
        }
    }
    tell(
        model,
        Notice::note(format!("showing {}", scope.words())),
        now,
    );
    model.scope = scope;
    model.unsettled = true;
}

fn choice(name: impl Into<String>, about: impl Into<String>, then: Then) -> MenuChoice {
    MenuChoice {
        name: name.into(),
        about: about.into(),
        keys: String::new(),
        then,
    }
}

fn namespaces(model: &mut Model) {
    let mut counts = std::collections::BTreeMap::new();
    for pod in model.cache.cluster.pods() {
        *counts.entry(pod.key.namespace.clone()).or_insert(0_usize) += 1;
    }
    let all = choice(
        "all namespaces",
        "",
        Then::Command(Command::Namespaces(Some(Scope::All))),
    );
    let each = model.namespaces().map(|name| {
        let pods = counts.get(name).copied().unwrap_or(0);
        choice(
            name.as_str(),
            crate::stdx::humanize::counted(pods, "pod", "pods"),
            Then::Command(Command::Namespaces(Some(Scope::of(&[name.as_str()])))),
        )
    });
    let choices: Vec<MenuChoice> = std::iter::once(all).chain(each).collect();
    let chosen = choices
        .iter()
        .position(|one| one.then == Then::Command(Command::Namespaces(Some(model.scope.clone()))))
        .unwrap_or(0);
    model.open = Some(Open::Menu {
        title: "namespaces".to_owned(),
        choices,
        chosen,
    });
}

fn themes(model: &mut Model) {
    let choices = crate::config::theme::names()
        .map(|name| choice(name, "", Then::Command(Command::Theme(name.to_owned()))))
        .collect();
    model.open = Some(Open::Menu {
        title: "theme".to_owned(),
        choices,
        chosen: 0,
    });
}

/// Another cluster in the place of this one. What one sees and what one would change are always of
/// the same cluster: the header names it, and nothing of the old one stays.
pub(super) fn contexts(
    model: &mut Model,
    name: Option<&str>,
    now: Timestamp,
    effects: &mut Vec<Effect>,
) {
    let Some(name) = name.map(str::trim) else {
        return context_menu(model, now);
    };
    if model.rehearsal.is_some() {
        let text = "this is a rehearsal; `:discard` ends it, then the cluster can be switched";
        return tell(model, Notice::warning(text), now);
    }
    if let Some(running) = model.drains.first() {
        let text = format!(
            "the drain of {} is under way on {}; `:drain-stop` first",
            running.drain.what, model.identity.cluster
        );
        return tell(model, Notice::warning(text), now);
    }
    if model.walk.is_some() {
        let text = "a rehearsal's steps are being taken here; `:apply-stop` first";
        return tell(model, Notice::warning(text), now);
    }
    if name == model.identity.cluster {
        return tell(model, Notice::note(format!("this is {name}")), now);
    }
    tell(model, Notice::note(format!("opening {name}…")), now);
    effects.push(Effect::Connect(name.to_owned()));
}

fn context_menu(model: &mut Model, now: Timestamp) {
    let here = model.identity.cluster.clone();
    let choices: Vec<MenuChoice> = model
        .contexts
        .iter()
        .map(|name| {
            let about = if *name == here { "here" } else { "" };
            let there = Command::Contexts(Some(name.clone()));
            choice(name.clone(), about, Then::Command(there))
        })
        .collect();
    if choices.is_empty() {
        let text = format!(
            "connected to {here} as {} ({}); no other cluster is known here",
            model.identity.user, model.identity.server
        );
        return tell(model, Notice::note(text), now);
    }
    let chosen = choices
        .iter()
        .position(|choice| choice.name == here)
        .unwrap_or(0);
    model.open = Some(Open::Menu {
        title: "clusters".to_owned(),
        choices,
        chosen,
    });
}

pub fn menu(model: &mut Model, title: String, choices: Vec<(String, Command)>) {
    let choices = choices
        .into_iter()
        .map(|(name, command)| choice(name, "", Then::Command(command)))
        .collect();
    model.open = Some(Open::Menu {
        title,
        choices,
        chosen: 0,
    });
}

/// The menu of changing actions; in read-only mode the command does not exist.
fn act(model: &mut Model, now: Timestamp) {
    let view = model.view();
    let context = model.context(now);
    let targets = model
        .page()
        .map(|page| page.selection(&context))
        .unwrap_or_default();
    // What cannot be meant of the selection is left out; what a page does in its own way stays.
    let is_meant = |command: &Command| match command {
        Command::Change(ChangeKind::StopMachine | ChangeKind::StartMachine) => view == View::Bays,
        Command::Change(kind) => offer(*kind, &targets, context.cluster, "").is_ok(),
        _ => true,
    };
    let choices: Vec<MenuChoice> = table::entries(view, model.read_only())
        .filter(|entry| entry.section == Section::Change)
        .filter(|entry| !matches!(entry.word, "act" | "changes"))
        .filter_map(|entry| match entry.make {
            Make::Plain(make) | Make::Both(make, _, _) => Some((entry, make())),
            Make::Argument(_, _) => None,
        })
        .filter(|(_, command)| is_meant(command))
        .map(|(entry, command)| MenuChoice {
            name: entry.word.to_owned(),
            about: entry.help.to_owned(),
            keys: model.keymap.keys_of(entry).join(" "),
            then: Then::Command(command),
        })
        .collect();
    model.open = Some(Open::Menu {
        title: "act on the selection".to_owned(),
        choices,
        chosen: 0,
    });
}

fn changes(model: &mut Model) {
    let choices: Vec<MenuChoice> = model
        .journal
        .newest()
        .take(50)
        .map(|done| {
            use crate::tui::actions::Outcome;
            let outcome = match (&done.outcome, done.undone_by) {
                (_, Some(_)) => "undone".to_owned(),
                (Outcome::Sent, None) => "sent".to_owned(),
                (Outcome::Partly(how), None) => how.clone(),
                (Outcome::Accepted, None) => "accepted".to_owned(),
                (Outcome::Refused(why), None) => format!("refused: {why}"),
            };
            choice(
                done.action.sentence(),
                format!("{}  {outcome}", done.at.strftime("%H:%M:%S")),
                Then::Nothing,
            )
        })
        .collect();
    let title = if choices.is_empty() {
        "no changes yet".to_owned()
    } else {
        "my changes, newest first".to_owned()
    };
    model.open = Some(Open::Menu {
        title,
        choices,
        chosen: 0,
    });
}

fn copy_menu(model: &mut Model, now: Timestamp) {
    let targets = model
        .page()
        .map(|page| page.selection(&model.context(now)))
        .unwrap_or_default();
    let Some(first) = targets.first() else {
        return tell(model, Notice::note("nothing is selected"), now);
    };
    let lines = |words: &dyn Fn(&crate::tui::view::Target) -> String| {
        targets.iter().map(words).collect::<Vec<_>>().join("\n")
    };
    let mut choices = Vec::new();
    let mut add = |name: &str, text: String| {
        let about = crate::tui::text::cut_middle(text.lines().next().unwrap_or_default(), 40);
        choices.push(choice(name, about, Then::Copy(text)));
    };
    add("name", lines(&|target| target.key.name.to_string()));
    add("namespace/name", lines(&super::super::view::Target::path));
    add(
        "kubectl argument",
        lines(&|target| format!("{}/{}", target.key.resource, target.key.name)),
    );
    add("uid", lines(&|target| target.uid.to_string()));
    if let Some(node) = model
        .cache
        .cluster
        .get(&first.key)
        .and_then(|object| object.pod())
        .and_then(|pod| pod.node.as_ref())
    {
        add("node", node.to_string());
    }
    model.open = Some(Open::Menu {
        title: "copy".to_owned(),
        choices,
        chosen: 0,
    });
}
