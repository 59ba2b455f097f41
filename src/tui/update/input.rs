//! Keys, pasted text and the wheel.

use jiff::Timestamp;

use crate::tui::command::complete;
use crate::tui::command::line::{self, Surroundings};
use crate::tui::command::{Command, Make, Motion};
use crate::tui::effect::Effect;
use crate::tui::key::{Chord, Key};
use crate::tui::keymap::Meaning;
use crate::tui::model::{HISTORY_MAX, LineKind, LineState, Model, Open, Then};
use crate::tui::notice::Notice;
use crate::tui::view::View;

use super::{carry_out, command, moves, propose, rehearse, tell, walk};

pub fn key(model: &mut Model, chord: Chord, now: Timestamp, effects: &mut Vec<Effect>) {
    // Ctrl-c ends the program whatever is open, as everywhere.
    if chord.ctrl && chord.key == Key::Char('c') {
        return effects.push(Effect::Quit);
    }
    if chord.alt && model.open.is_some() {
        return both(model, chord, now, effects);
    }
    if leaves_panel(model, chord) {
        model.open = None;
    }
    match model.open.take() {
        Some(Open::Line(state)) => return line_key(model, state, chord, now, effects),
        Some(Open::Confirm(state)) => return propose::key(model, state, chord, now, effects),
        Some(Open::Menu {
            title,
            choices,
            chosen,
        }) => return menu_key(model, (title, choices, chosen), chord, now, effects),
        Some(Open::Help { scroll }) => return help_key(model, scroll, chord),
        Some(Open::Report {
            title,
            texts,
            scroll,
        }) => return report_key(model, (title, texts, scroll), chord),
        Some(Open::Moves(state)) => return moves::key(model, state, chord),
        Some(Open::Walk { scroll }) => return walk::key(model, scroll, chord, now, effects),
        Some(Open::Compare { scroll }) => return rehearse::compare_key(model, scroll, chord),
        Some(Open::Outcome { scroll }) => return rehearse::outcome_key(model, scroll, chord),
        Some(Open::AskQuit) => {
            if matches!(chord.key, Key::Enter | Key::Char('y' | 'q')) {
                effects.push(Effect::Quit);
            }
            return;
        }
        None => {}
    }
    let view = model.view();
    if model.pressed.is_empty() {
        let taken = model.with_page(view, now, |page, context| page.input(chord, context));
        if let Some(asks) = taken.flatten() {
            carry_out(model, asks, now, effects);
            model.unsettled = true;
            return;
        }
    }
    meaning(model, chord, now, effects);
}

/// Whether a panel that is only read is open, and the key is that of a view: it leads there.
fn leaves_panel(model: &Model, chord: Chord) -> bool {
    let is_text = matches!(
        model.open,
        Some(Open::Help { .. } | Open::Report { .. } | Open::Outcome { .. } | Open::Compare { .. })
    );
    let leads = |letter| View::ALL.into_iter().any(|view| view.key() == letter);
    is_text && chord.typed().is_some_and(leads)
}

/// A terminal sends alt and a key as an escape before that key, so that an escape and a key that
/// follow each other at once look the same. Where alt and the key mean nothing, it was both.
fn both(model: &mut Model, chord: Chord, now: Timestamp, effects: &mut Vec<Effect>) {
    let plain = Chord {
        alt: false,
        ..chord
    };
    let escape = Chord {
        key: Key::Esc,
        ctrl: false,
        alt: false,
    };
    key(model, escape, now, effects);
    key(model, plain, now, effects);
}

fn meaning(model: &mut Model, chord: Chord, now: Timestamp, effects: &mut Vec<Effect>) {
    if chord.key == Key::Esc && !model.pressed.is_empty() {
        model.pressed.clear();
        return;
    }
    let alone = model.pressed.is_empty();
    model.pressed.push(chord);
    match model
        .keymap
        .meaning(&model.pressed, model.view(), model.read_only())
    {
        Meaning::Command(entry) => {
            model.pressed.clear();
            let (Make::Plain(make) | Make::Both(make, _, _)) = entry.make else {
                return;
            };
            command::run(model, &make(), now, effects);
        }
        Meaning::Beginning => {}
        Meaning::Nothing if chord.alt => {
            model.pressed.pop();
            both(model, chord, now, effects);
        }
        Meaning::Nothing => {
            let pressed: String = model.pressed.iter().map(Chord::to_string).collect();
            let forbidden = changing(model, &pressed);
            model.pressed.clear();
            let view = chord
                .typed()
                .filter(|_| alone)
                .and_then(|letter| View::ALL.into_iter().find(|view| view.key() == letter));
            match view {
                Some(view) => command::run(model, &Command::Show(view), now, effects),
                None if let Some(word) = forbidden => {
                    let text = format!("`{word}` is for changes, and this session is read-only");
                    tell(model, Notice::note(text), now);
                }
                None if chord.typed().is_some() || !alone => tell(
                    model,
                    Notice::note(format!(
                        "`{pressed}` means nothing here; `?` lists the keys"
                    )),
                    now,
                ),
                None => {}
            }
        }
    }
}

/// The command that the pressed keys would be, or begin, if changes were allowed.
fn changing(model: &Model, pressed: &str) -> Option<String> {
    if !model.read_only() {
        return None;
    }
    match model.keymap.meaning(&model.pressed, model.view(), false) {
        Meaning::Command(entry) => Some(entry.word.to_owned()),
        Meaning::Beginning => Some(pressed.to_owned()),
        Meaning::Nothing => None,
    }
}

fn help_key(model: &mut Model, scroll: usize, chord: Chord) {
    let length = crate::tui::present::help_length(model);
    if let Some(scroll) = scrolled(model, scroll, length, chord) {
        model.open = Some(Open::Help { scroll });
    }
}

fn report_key(
    model: &mut Model,
    (title, texts, scroll): (String, Vec<String>, usize),
    chord: Chord,
) {
    let length = crate::tui::present::report_length(&texts, model.size.0);
    if let Some(scroll) = scrolled(model, scroll, length, chord) {
        model.open = Some(Open::Report {
            title,
            texts,
            scroll,
        });
    }
}

/// Where a panel of text stands after a key; `None` closes it.
pub fn scrolled(model: &Model, scroll: usize, length: usize, chord: Chord) -> Option<usize> {
    let page = usize::from(model.size.1.saturating_sub(6)).max(1);
    let scroll = match chord.key {
        Key::Down | Key::Char('j') => scroll + 1,
        Key::Up | Key::Char('k') => scroll.saturating_sub(1),
        Key::PageDown | Key::Char('d' | 'f' | ' ') => scroll + page,
        Key::PageUp | Key::Char('u' | 'b') => scroll.saturating_sub(page),
        Key::Home | Key::Char('g') => 0,
        _ => return None,
    };
    Some(scroll.min(length.saturating_sub(page)))
}

type MenuParts = (String, Vec<crate::tui::model::MenuChoice>, usize);

fn menu_key(
    model: &mut Model,
    (title, choices, chosen): MenuParts,
    chord: Chord,
    now: Timestamp,
    effects: &mut Vec<Effect>,
) {
    let last = choices.len().saturating_sub(1);
    let chosen = match chord.key {
        Key::Down | Key::Tab => (chosen + 1).min(last),
        Key::Up | Key::BackTab => chosen.saturating_sub(1),
        Key::Char('j') if !chord.ctrl => (chosen + 1).min(last),
        Key::Char('k') if !chord.ctrl => chosen.saturating_sub(1),
        Key::Home | Key::Char('g') => 0,
        Key::End | Key::Char('G') => last,
        Key::Enter => {
            match choices.into_iter().nth(chosen).map(|choice| choice.then) {
                Some(Then::Command(command)) => command::run(model, &command, now, effects),
                Some(Then::Copy(text)) => {
                    tell(
                        model,
                        Notice::done(format!("copied `{}`", first_line(&text))),
                        now,
                    );
                    effects.push(Effect::Copy(text));
                }
                Some(Then::Visit(visit)) => effects.push(Effect::Lend(visit)),
                Some(Then::Nothing) | None => {}
            }
            return;
        }
        Key::Esc | Key::Char('q') => return,
        _ => chosen,
    };
    model.open = Some(Open::Menu {
        title,
        choices,
        chosen,
    });
}

fn first_line(text: &str) -> String {
    crate::tui::text::cut_middle(text.lines().next().unwrap_or_default(), 48)
}

/// Opens a line to type in.
pub fn open_line(model: &mut Model, kind: LineKind) {
    let before = model
        .page()
        .and_then(|page| page.filter())
        .unwrap_or_default()
        .to_owned();
    let edit = if kind == LineKind::Filter {
        crate::tui::line_edit::LineEdit::new(&before)
    } else {
        crate::tui::line_edit::LineEdit::default()
    };
    let mut state = LineState {
        kind,
        edit,
        completions: Vec::new(),
        chosen: None,
        problem: None,
        recalled: None,
        before,
    };
    complete_line(model, &mut state);
    model.open = Some(Open::Line(state));
}

fn complete_line(model: &Model, state: &mut LineState) {
    let around = Surroundings {
        view: model.view(),
        read_only: model.read_only(),
        cache: &model.cache,
    };
    let text = state.edit.text();
    state.problem = None;
    state.completions = match state.kind {
        LineKind::Command => complete::line(text, around, &model.keymap, &model.contexts),
        LineKind::Palette => complete::palette(text, around, &model.keymap),
        LineKind::Filter => Vec::new(),
    };
    state.chosen = (state.kind == LineKind::Palette && !state.completions.is_empty()).then_some(0);
}

fn line_key(
    model: &mut Model,
    mut state: LineState,
    chord: Chord,
    now: Timestamp,
    effects: &mut Vec<Effect>,
) {
    let view = model.view();
    let control = match chord.key {
        Key::Char(letter) if chord.ctrl => Some(letter),
        _ => None,
    };
    match (chord.key, control) {
        (Key::Esc, _) | (_, Some('g')) => {
            if state.kind == LineKind::Filter {
                set_filter(model, view, &state.before, now);
            }
            return;
        }
        (Key::Enter, _) => return enter_line(model, state, now, effects),
        (Key::Down, _) | (_, Some('n')) if state.kind == LineKind::Palette => choose(&mut state, 1),
        (Key::Up, _) | (_, Some('p' | 'k')) if state.kind == LineKind::Palette => {
            choose(&mut state, -1);
        }
        (Key::Tab, _) => choose_and_fill(&mut state, 1),
        (Key::BackTab, _) => choose_and_fill(&mut state, -1),
        (Key::Up, _) if state.kind == LineKind::Command => recall(model, &mut state, 1),
        (Key::Down, _) if state.kind == LineKind::Command => recall(model, &mut state, -1),
        (Key::Right, _) if state.kind == LineKind::Command && state.edit.is_at_end() => {
            if let Some(first) = state.completions.first() {
                state.edit.set(&first.text);
            }
            complete_line(model, &mut state);
        }
        (Key::Backspace, _) if state.edit.text().is_empty() => return,
        _ => {
            if state.edit.take(chord) {
                state.recalled = None;
                typed(model, &mut state, now);
            }
        }
    }
    model.open = Some(Open::Line(state));
}

/// The text has changed: a filter takes effect while it is typed.
fn typed(model: &mut Model, state: &mut LineState, now: Timestamp) {
    if state.kind == LineKind::Filter {
        let view = model.view();
        state.problem = set_filter(model, view, state.edit.text(), now);
    } else {
        complete_line(model, state);
    }
}

/// Sets the page's filter and answers what is wrong with it.
pub fn set_filter(model: &mut Model, view: View, text: &str, now: Timestamp) -> Option<String> {
    let result = model.with_page(view, now, |page, context| page.set_filter(text, context));
    model.unsettled = true;
    match result {
        Some(Err(problem)) => Some(problem),
        _ => None,
    }
}

fn choose(state: &mut LineState, step: isize) {
    let count = state.completions.len();
    if count == 0 {
        return;
    }
    state.chosen = Some(match (state.chosen, step) {
        (None, 1) => 0,
        (None, _) => count - 1,
        (Some(chosen), 1) => (chosen + 1) % count,
        (Some(chosen), _) => (chosen + count - 1) % count,
    });
}

fn choose_and_fill(state: &mut LineState, step: isize) {
    choose(state, step);
    let chosen = state
        .chosen
        .and_then(|chosen| state.completions.get(chosen));
    if let Some(completion) = chosen.filter(|_| state.kind == LineKind::Command) {
        state.edit.set(&completion.text.clone());
    }
}

fn recall(model: &Model, state: &mut LineState, step: isize) {
    let count = model.history.len();
    let next = match (state.recalled, step) {
        (None, 1) => 0,
        (None, _) => return,
        (Some(back), 1) => (back + 1).min(count.saturating_sub(1)),
        (Some(0), _) => {
            state.recalled = None;
            state.edit.set(&state.before);
            return complete_line(model, state);
        }
        (Some(back), _) => back - 1,
    };
    if let Some(text) = model.history.iter().rev().nth(next) {
        if state.recalled.is_none() {
            state.before = state.edit.text().to_owned();
        }
        state.recalled = Some(next);
        state.edit.set(text);
        complete_line(model, state);
    }
}

fn enter_line(model: &mut Model, mut state: LineState, now: Timestamp, effects: &mut Vec<Effect>) {
    match state.kind {
        LineKind::Filter => {
            let view = model.view();
            if let Some(problem) = set_filter(model, view, state.edit.text(), now) {
                state.problem = Some(problem);
                model.open = Some(Open::Line(state));
            }
        }
        LineKind::Palette => {
            let chosen = state
                .chosen
                .and_then(|chosen| state.completions.get(chosen));
            if let Some(command) = chosen.and_then(|one| one.command.clone()) {
                command::run(model, &command, now, effects);
            }
        }
        LineKind::Command => {
            let text = state.edit.text().trim().to_owned();
            let around = Surroundings {
                view: model.view(),
                read_only: model.read_only(),
                cache: &model.cache,
            };
            match line::parse(&text, around) {
                Ok(commands) => {
                    remember(model, &text, effects);
                    for command in commands {
                        command::run(model, &command, now, effects);
                    }
                }
                Err(problem) => {
                    state.problem = Some(problem);
                    model.open = Some(Open::Line(state));
                }
            }
        }
    }
}

fn remember(model: &mut Model, text: &str, effects: &mut Vec<Effect>) {
    if text.is_empty() || model.history.last().is_some_and(|last| last == text) {
        return;
    }
    model.history.push(text.to_owned());
    if model.history.len() > HISTORY_MAX {
        model.history.remove(0);
    }
    effects.push(Effect::Remember(text.to_owned()));
}

pub fn paste(model: &mut Model, text: &str, now: Timestamp) {
    match model.open.take() {
        Some(Open::Line(mut state)) => {
            state.edit.insert(text);
            typed(model, &mut state, now);
            model.open = Some(Open::Line(state));
        }
        Some(Open::Confirm(mut state)) => {
            state.typed.insert(text);
            model.open = Some(Open::Confirm(state));
        }
        open @ Some(_) => model.open = open,
        // Pasted text must never run as commands; only a page that takes text gets it.
        None => {
            let view = model.view();
            let taken = model.with_page(view, now, |page, _| page.paste(text));
            if taken != Some(true) {
                let text = "pasted text was dropped: nothing here takes text (`:` or `/` first)";
                return tell(model, Notice::note(text), now);
            }
            model.unsettled = true;
        }
    }
}

pub fn scroll(model: &mut Model, rows: i16, now: Timestamp, effects: &mut Vec<Effect>) {
    let key = Chord::plain(if rows > 0 { Key::Down } else { Key::Up });
    match model.open {
        // The wheel moves in what lies on top, and never types.
        Some(
            Open::Help { .. }
            | Open::Report { .. }
            | Open::Outcome { .. }
            | Open::Menu { .. }
            | Open::Moves(_),
        ) => {
            for _ in 0..rows.unsigned_abs() {
                self::key(model, key, now, effects);
            }
            return;
        }
        Some(_) => return,
        None => {}
    }
    let motion = if rows > 0 { Motion::Down } else { Motion::Up };
    for _ in 0..rows.unsigned_abs() {
        command::run(model, &Command::Move(motion), now, effects);
    }
}
