//! The model as a screen: `present(model, now) -> Screen`.

mod confirm;
mod moves;
mod walk;

use jiff::Timestamp;

use crate::connect::Kind;
use crate::stdx::humanize::{age, thousands};

use super::beside::{Standing, mark};
use super::cache::FeedState;
use super::command::Entry;
use super::command::table::{self, Section};
use crate::k8s::resources;

use super::model::{LineKind, LineState, Model, MovesState, Open};
use super::notice::Weight;
use super::page::{Page, PageHint};
use super::screen::{
    Band, Choice, CommandLine, Header, HeaderGroup, HelpPanel, Hint, Menu, Overlay, Screen, Tab,
    TextPanel, Widget,
};
use super::text::{Line, Role, cut_end, cut_middle, width};
use super::view::View;

/// What the terminal shall show.
pub fn present(model: &Model, now: Timestamp) -> Screen {
    let rows = model.rows();
    let context = model.context(now);
    let body = match model.page() {
        Some(page) => page.present(&context),
        None => Widget::empty(
            format!("{} is not built yet", model.view().name()),
            "press 1 to 0 for another view",
        ),
    };
    let (message, caret) = message(model, now);
    Screen {
        header: header(model),
        band: band(model, now),
        tabs: if rows.tabs {
            tabs(model.view())
        } else {
            Vec::new()
        },
        body,
        message,
        hints: if rows.hints { hints(model) } else { Vec::new() },
        overlay: overlay(model, now),
        caret,
    }
}

fn header(model: &Model) -> Header {
    let identity = &model.identity;
    let kind = match identity.kind {
        Kind::Embedded => "embedded",
        Kind::Joined => "joined",
        Kind::Kubeconfig => "attached",
        Kind::Rehearsal => "rehearsal",
    };
    let room = usize::from(model.size.0) / 3;
    let name = cut_middle(&identity.cluster, room / (1 + model.beside.len()));
    let (name, mark) = match model.colour {
        Some(colour) => (format!(" {name} "), Role::Context(colour)),
        None => (name, Role::Strong),
    };
    let who = Line::of("bayplan  ", Role::Product).with(name, mark).with(
        format!(" · {}@{kind}", cut_middle(&identity.user, room / 2)),
        Role::Text,
    );
    let scope = cut_middle(&model.scope.words(), room);
    let scoped = matches!(model.scope, super::view::Scope::Namespaces(_));
    let scope = Line::of(scope, if scoped { Role::Accent } else { Role::Text });
    let summary = &model.summary.shown;
    let cluster = &model.cache.cluster;
    let size = Line::of(
        format!(
            "{} nodes  {} pods",
            thousands(cluster.count(&resources::NODES) as u64),
            thousands(cluster.count(&resources::PODS) as u64)
        ),
        Role::Text,
    );
    let pressure = Line::of("cpu ", Role::Dim)
        .with(percent(summary.cpu), pressure_role(summary.cpu))
        .with("  mem ", Role::Dim)
        .with(percent(summary.memory), pressure_role(summary.memory));
    let problems = match summary.problems {
        0 => Line::of("● no problems", Role::Good),
        1 => Line::of("✕ 1 problem", Role::Bad),
        more => Line::of(format!("✕ {} problems", thousands(more as u64)), Role::Bad),
    };
    let group = |rank: u8, line: Line| HeaderGroup { rank, line };
    let mut left = vec![group(0, who), group(0, others(model)), group(2, scope)];
    // Of a cluster that never answered nothing is known, not even that it has no problems.
    let is_known = model.lost().is_none() || cluster.count(&resources::NODES) > 0;
    if model.is_loaded() && is_known {
        left.push(group(4, size));
    }
    if summary.at.is_some() && is_known {
        left.extend([group(3, pressure), group(1, problems)]);
    }
    Header {
        left,
        right: freshness(model),
    }
}

/// The clusters beside this one, always: their names, and what is wrong there.
fn others(model: &Model) -> Line {
    let mut line = Line::default();
    let room = usize::from(model.size.0) / (3 * (1 + model.beside.len()));
    for other in &model.beside {
        let before = if line.is_empty() { "+ " } else { " + " };
        let name = cut_middle(&other.name, room.max(6));
        line.push(before, Role::Dim);
        match other.colour {
            Some(_) => line.push(format!(" {name} "), mark(other.colour)),
            None => line.push(name, mark(None)),
        }
        let standing = other.standing();
        let problems = other.look.summary.problems;
        if standing != Standing::Live {
            let (glyph, role) = standing.sign();
            line.push(format!(" {glyph}"), role);
        } else if problems > 0 {
            line.push(format!(" ✕ {}", thousands(problems as u64)), Role::Bad);
        } else if other.is_known() {
            line.push(" ●", Role::Good);
        }
    }
    line
}

/// How current the picture is, and what may be done from here.
fn freshness(model: &Model) -> Line {
    let mut line = Line::default();
    if model.read_only() {
        line.push("READ-ONLY ", Role::Warning);
    }
    let watched = || {
        model
            .cache
            .feeds()
            .filter(|(resource, _)| model.watched.contains(resource))
    };
    let (mut loaded, mut total, mut loading, mut forbidden) = (0, 0, false, 0);
    for (_, state) in watched() {
        match state {
            FeedState::Loading {
                loaded: here,
                total: all,
            } => {
                loading = true;
                loaded += here;
                total += all.unwrap_or(*here);
            }
            FeedState::Forbidden { .. } => forbidden += 1,
            _ => {}
        }
    }
    if model.rehearsal.is_some() {
        line.push("REHEARSAL ", Role::Warning);
    }
    if model.lost().is_some() {
        line.push("✕ lost", Role::Bad);
    } else if loading || watched().count() == 0 {
        let text = if total > loaded {
            format!(
                "◐ loading {} of {}",
                thousands(loaded as u64),
                thousands(total as u64)
            )
        } else {
            "◐ loading".to_owned()
        };
        line.push(text, Role::Warning);
    } else if forbidden > 0 {
        line.push(format!("◐ {forbidden} kinds not allowed"), Role::Warning);
    } else {
        line.push("● live", Role::Good);
    }
    line
}

fn percent(share: f64) -> String {
    format!("{:.0}%", share * 100.0)
}

fn pressure_role(share: f64) -> Role {
    match share {
        share if share >= 0.95 => Role::Bad,
        share if share >= 0.85 => Role::Warning,
        _ => Role::Text,
    }
}

fn band(model: &Model, now: Timestamp) -> Option<Band> {
    if let Some(rehearsal) = &model.rehearsal {
        let room = usize::from(model.size.0).saturating_sub(2);
        let mut text = rehearsal.band(&model.identity.cluster, now, room);
        if let Some(running) = model.drains.first() {
            let cluster = &model.cache.cluster;
            let drain = running.drain.progress_words(cluster, model.time(now));
            let clock = rehearsal.clock_words(now);
            text = cut_end(&format!("REHEARSAL, {clock} · {drain}"), room);
        }
        return Some(Band {
            text: Line::of(text, Role::Rehearsal),
            role: Role::Rehearsal,
        });
    }
    let Some((since, why)) = model.lost() else {
        return drain_band(model, now).or_else(|| walk_band(model));
    };
    Some(Band {
        text: Line::of(
            format!(
                "CONNECTION LOST: this picture is {} old; trying again ({why})",
                age(since, now)
            ),
            Role::Lost,
        ),
        role: Role::Lost,
    })
}

/// Drains go on in every view, and so does what is said of them.
fn drain_band(model: &Model, now: Timestamp) -> Option<Band> {
    let (first, rest) = model.drains.split_first()?;
    let mut text = first.drain.progress_words(&model.cache.cluster, now);
    if !rest.is_empty() {
        text = format!("{} drains · {text}", rest.len() + 1);
    }
    let stop = word_key(model, "drain-stop");
    let room = usize::from(model.size.0).saturating_sub(width(&stop) + 16);
    let line = Line::of(cut_end(&text, room), Role::Rehearsal)
        .with(format!("   {stop} stops it"), Role::Rehearsal);
    Some(Band {
        text: line,
        role: Role::Rehearsal,
    })
}

/// A walk goes on in every view.
fn walk_band(model: &Model) -> Option<Band> {
    let words = model.walk.as_ref()?.words();
    let room = usize::from(model.size.0).saturating_sub(2);
    Some(Band {
        text: Line::of(cut_end(&words, room), Role::Rehearsal),
        role: Role::Rehearsal,
    })
}

/// The key of a command as it is mapped, else its word.
fn word_key(model: &Model, word: &str) -> String {
    let entry = table::entries(model.view(), false).find(|entry| entry.word == word);
    entry
        .and_then(|entry| model.keymap.keys_of(entry).into_iter().next())
        .unwrap_or_else(|| format!(":{word}"))
}

fn tabs(view: View) -> Vec<Tab> {
    View::ALL
        .into_iter()
        .map(|tab| Tab {
            key: tab.key().to_string(),
            name: tab.name().to_owned(),
            active: tab == view,
        })
        .collect()
}

/// The message row and the caret in it.
fn message(model: &Model, now: Timestamp) -> (Line, Option<u16>) {
    if let Some(Open::Line(state)) = &model.open
        && state.kind != LineKind::Palette
    {
        return typed_line(state);
    }
    if matches!(model.open, Some(Open::AskQuit)) {
        let drains = match model.drains.as_slice() {
            [] => String::new(),
            [one, ..] => format!("the drain of {} stops where it is; ", one.drain.what),
        };
        let line = Line::of(format!(" {drains}quit bayplan? "), Role::Strong)
            .with("enter", Role::Key)
            .with(" quit  ", Role::Dim)
            .with("esc", Role::Key)
            .with(" stay", Role::Dim);
        return (line, None);
    }
    if !model.pressed.is_empty() {
        return (pressed(model), None);
    }
    // A filter hides rows: it is on the screen whatever else is said.
    let mut line = Line::of(" ", Role::Text);
    if let Some(filter) = model.page().and_then(|page| page.filter())
        && !filter.is_empty()
    {
        line.push("/", Role::Key);
        line.push(filter, Role::Match);
        line.push("   ", Role::Text);
    }
    if let Some(notice) = &model.notice {
        let (glyph, role) = match notice.weight {
            Weight::Done => ("●", Role::Good),
            Weight::Note => ("·", Role::Text),
            Weight::Warning => ("◐", Role::Warning),
            Weight::Failure => ("✕", Role::Bad),
        };
        line.push(format!("{glyph} "), role);
        line.push(notice.text.clone(), Role::Text);
        return (line, None);
    }
    if let Some(page) = model.page() {
        line.spans.extend(page.status(&model.context(now)).spans);
    }
    (line, None)
}

/// What may follow the keys pressed so far.
fn pressed(model: &Model) -> Line {
    let pressed: String = model.pressed.iter().map(ToString::to_string).collect();
    let mut line = Line::of(format!(" {pressed}"), Role::Key);
    line.push("…  ", Role::Dim);
    for entry in table::entries(model.view(), model.read_only()) {
        for keys in model.keymap.keys_of(entry) {
            if let Some(rest) = keys.strip_prefix(pressed.as_str()) {
                line.push(rest.to_owned(), Role::Key);
                line.push(format!(" {}  ", entry.word), Role::Dim);
            }
        }
    }
    line
}

fn typed_line(state: &LineState) -> (Line, Option<u16>) {
    let prompt = match state.kind {
        LineKind::Filter => " /",
        _ => " :",
    };
    let mut line = Line::of(prompt, Role::Key).with(state.edit.text(), Role::Strong);
    let ghost = state
        .completions
        .first()
        .filter(|_| state.edit.is_at_end() && state.chosen.is_none())
        .and_then(|first| first.text.strip_prefix(state.edit.text()));
    if let Some(rest) = ghost {
        line.push(rest, Role::Dim);
    }
    match (&state.problem, state.kind) {
        (Some(problem), LineKind::Filter) => line.push(format!("   {problem}"), Role::Warning),
        (None, LineKind::Filter) if state.edit.text().is_empty() => line.push(
            "  text  !not  ~fuzzy  l:app=web  restarts>3  age<2h  node=a01-*",
            Role::Dim,
        ),
        _ => {}
    }
    let column = u16::try_from(width(prompt)).unwrap_or(2) + state.edit.caret();
    (line, Some(column))
}

fn hints(model: &Model) -> Vec<Hint> {
    if let Some(hints) = model.page().and_then(Page::hints) {
        return hints.iter().map(|hint| page_hint(hint, model)).collect();
    }
    let mut hints: Vec<Hint> = table::entries(model.view(), model.read_only())
        .filter(|entry| !entry.hint.is_empty())
        .filter_map(|entry| {
            Some(Hint {
                keys: model.keymap.keys_of(entry).into_iter().next()?,
                does: entry.hint.to_owned(),
            })
        })
        .collect();
    // A view's own commands first: they are what one does not know by heart.
    let own = |hint: &Hint| {
        !table::entries(model.view(), false)
            .any(|entry| entry.hint == hint.does && !entry.views.is_empty())
    };
    let help = table::entries(model.view(), true)
        .find(|entry| entry.word == "help")
        .map_or("", |entry| entry.hint);
    hints.sort_by_key(|hint| (hint.does == help, own(hint)));
    hints
}

/// A command without keys is told by its word, as help does.
fn page_hint(hint: &PageHint, model: &Model) -> Hint {
    match *hint {
        PageHint::Keys(keys, does) => Hint::new(keys, does),
        PageHint::Command(words, does) => {
            let keys: Vec<String> = words
                .iter()
                .map(|word| {
                    table::entries(model.view(), model.read_only())
                        .find(|entry| entry.word == *word)
                        .and_then(|entry| model.keymap.keys_of(entry).into_iter().next())
                        .unwrap_or_else(|| format!(":{word}"))
                })
                .collect();
            Hint::new(keys.join(" "), does)
        }
    }
}

fn overlay(model: &Model, now: Timestamp) -> Option<Overlay> {
    match model.open.as_ref()? {
        Open::Help { scroll } => Some(Overlay::Help(help(model, *scroll))),
        Open::Report {
            title,
            texts,
            scroll,
        } => Some(Overlay::Text(TextPanel {
            title: Line::of(title.clone(), Role::Title)
                .with("   j k scroll, esc closes", Role::Dim),
            lines: report_lines(texts, model.size.0),
            scroll: *scroll,
        })),
        Open::Outcome { scroll } => Some(Overlay::Text(TextPanel {
            title: Line::of("outcome of the rehearsal", Role::Title)
                .with("   j k scroll, esc closes", Role::Dim),
            lines: outcome_lines(model),
            scroll: *scroll,
        })),
        Open::Compare { scroll } => Some(Overlay::Text(TextPanel {
            title: Line::of("two outcomes side by side", Role::Title)
                .with("   j k scroll, esc closes", Role::Dim),
            lines: compare_lines(model),
            scroll: *scroll,
        })),
        Open::Walk { scroll } => Some(Overlay::Text(walk::panel(model, *scroll))),
        Open::Line(state) => line_overlay(state),
        Open::Moves(state) => Some(Overlay::Text(moves::panel(state, model))),
        Open::Confirm(state) => Some(Overlay::Confirm(confirm::panel(state, model, now))),
        Open::Menu {
            title,
            choices,
            chosen,
        } => Some(Overlay::Menu(Menu {
            title: Line::of(title.clone(), Role::Title),
            choices: choices
                .iter()
                .map(|choice| Choice {
                    name: Line::of(format!(" {}", choice.name), Role::Text),
                    about: choice.about.clone(),
                    keys: choice.keys.clone(),
                })
                .collect(),
            chosen: *chosen,
        })),
        Open::AskQuit => None,
    }
}

fn line_overlay(state: &LineState) -> Option<Overlay> {
    let value = CommandLine {
        prompt: "› ".to_owned(),
        input: state.edit.text().to_owned(),
        caret: state.edit.caret(),
        ghost: String::new(),
        choices: state
            .completions
            .iter()
            .map(|one| Choice {
                name: Line::of(format!(" {}", cut_middle(&one.text, 56)), Role::Text),
                about: one.about.clone(),
                keys: one.keys.clone(),
            })
            .collect(),
        chosen: state.chosen,
        problem: state.problem.clone(),
    };
    match state.kind {
        LineKind::Palette => Some(Overlay::Palette(value)),
        LineKind::Command => Some(Overlay::Command(value)),
        LineKind::Filter => None,
    }
}

fn help(model: &Model, scroll: usize) -> HelpPanel {
    let view = model.view();
    let mut sections = Vec::new();
    for (section, title) in [
        (Section::View, "this view"),
        (Section::Look, "look"),
        (Section::Change, "change (each asks first)"),
        (Section::Rehearsal, "rehearse"),
        (Section::Move, "move"),
        (Section::Program, "program"),
    ] {
        let hints: Vec<Hint> = table::entries(view, model.read_only())
            .filter(|entry| entry.section == section)
            .map(|entry| help_row(entry, model))
            .collect();
        sections.push((title.to_owned(), hints));
    }
    let mode = if model.read_only() {
        "read-only: no changing key exists"
    } else {
        "j k scroll, esc closes"
    };
    HelpPanel {
        title: Line::of(format!("{} · keys and words", view.name()), Role::Title)
            .with(format!("   {mode}"), Role::Dim),
        sections,
        scroll,
    }
}

fn help_row(entry: &Entry, model: &Model) -> Hint {
    let keys = model.keymap.keys_of(entry);
    let word = format!(":{}", entry.word);
    let shown = if keys.is_empty() {
        word.clone()
    } else {
        keys.join(" ")
    };
    let suffix = if keys.is_empty() || entry.section == Section::Move {
        String::new()
    } else {
        format!("  ({word})")
    };
    Hint {
        keys: shown,
        does: format!("{}{suffix}", entry.help),
    }
}

/// What came of the rehearsal, or that it is being worked out.
pub fn outcome_lines(model: &Model) -> Vec<Line> {
    let known = model
        .rehearsal
        .as_ref()
        .and_then(|rehearsal| rehearsal.outcome.as_ref());
    match known {
        Some(outcome) => {
            let columns = usize::from(model.size.0.saturating_sub(8)).max(20);
            super::rehearsal::outcome::lines(outcome, columns)
        }
        None => vec![Line::of("◐ working out what came of it…", Role::Dim)],
    }
}

/// What came of two rehearsals, or that it is being worked out.
pub fn compare_lines(model: &Model) -> Vec<Line> {
    let known = model
        .rehearsal
        .as_ref()
        .and_then(|rehearsal| rehearsal.compared.as_ref());
    match known {
        Some(compared) => {
            let columns = usize::from(model.size.0.saturating_sub(8)).max(20);
            super::rehearsal::outcome::side_by_side(compared, columns)
        }
        None => vec![Line::of("◐ working out what came of both…", Role::Dim)],
    }
}

/// Sentences, wrapped, with an empty line between them.
fn report_lines(texts: &[String], columns: u16) -> Vec<Line> {
    let room = usize::from(columns.saturating_sub(8)).max(20);
    let mut lines = Vec::new();
    for text in texts {
        let wrapped = super::text::wrap(text, room);
        lines.extend(wrapped.into_iter().map(|line| Line::of(line, Role::Text)));
        lines.push(Line::default());
    }
    lines
}

/// The rehearsal's steps on their way into reality.
pub fn walk_lines(model: &Model) -> Vec<Line> {
    walk::lines(model)
}

/// Lines of the panel of moves, for scrolling.
pub fn moves_length(state: &MovesState, model: &Model) -> usize {
    moves::lines(state, model).len()
}

pub fn report_length(texts: &[String], columns: u16) -> usize {
    report_lines(texts, columns).len()
}

/// Lines of the help panel, for scrolling.
pub fn help_length(model: &Model) -> usize {
    // The panel's frame takes two columns on either side.
    help(model, 0).lines(model.size.0.saturating_sub(4)).len()
}
