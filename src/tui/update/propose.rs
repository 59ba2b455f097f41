//! Changes: the panel that asks, the journal that remembers, the writes that go out.

use jiff::Timestamp;

use crate::tui::actions::{Action, Confirmation, Outcome};
use crate::tui::effect::Effect;
use crate::tui::key::{Chord, Key};
use crate::tui::line_edit::LineEdit;
use crate::tui::model::{ConfirmState, Model, Open};
use crate::tui::notice::Notice;

use super::tell;

/// Opens the panel that shows what an action would do. In read-only mode there is none.
pub fn open(model: &mut Model, action: &Action, now: Timestamp) {
    open_for(model, action, None, now);
}

fn open_for(model: &mut Model, action: &Action, undoes: Option<u64>, now: Timestamp) {
    if model.read_only() {
        let text = "this session is read-only; nothing was sent";
        return tell(model, Notice::warning(text), now);
    }
    let proposal = action.propose(&model.cache.cluster);
    model.open = Some(Open::Confirm(Box::new(ConfirmState {
        proposal,
        typed: LineEdit::default(),
        undoes,
    })));
}

/// Proposes what takes my last change back.
pub fn undo(model: &mut Model, now: Timestamp) {
    let last = model
        .journal
        .last_undoable()
        .and_then(|done| Some((done.number, done.undo.clone()?)));
    match last {
        Some((number, action)) => open_for(model, &action, Some(number), now),
        None => tell(model, Notice::note("nothing of mine to undo"), now),
    }
}

/// A key while the panel is open. Nothing but enter sends.
pub fn key(
    model: &mut Model,
    mut state: Box<ConfirmState>,
    chord: Chord,
    now: Timestamp,
    effects: &mut Vec<Effect>,
) {
    match (chord.key, &state.proposal.confirmation) {
        (Key::Esc, _) => return tell(model, Notice::note("nothing was sent"), now),
        (Key::Enter, Confirmation::Enter) => return confirm(model, *state, now, effects),
        (Key::Enter, Confirmation::Typed(name)) if state.typed.text() == name => {
            return confirm(model, *state, now, effects);
        }
        (Key::Enter, Confirmation::Typed(name)) => {
            let text = format!("type `{name}` to confirm; nothing was sent");
            tell(model, Notice::warning(text), now);
        }
        (_, Confirmation::Typed(_)) => {
            state.typed.take(chord);
        }
        (Key::Char('q' | 'n'), Confirmation::Enter) => {
            return tell(model, Notice::note("nothing was sent"), now);
        }
        _ => {}
    }
    model.open = Some(Open::Confirm(state));
}

fn confirm(model: &mut Model, state: ConfirmState, now: Timestamp, effects: &mut Vec<Effect>) {
    let action = state.proposal.action;
    let undo = action.undo(&model.cache.cluster);
    let ops = action.ops(now);
    let sentence = action.sentence();
    if ops.is_empty() {
        return tell(
            model,
            Notice::note(format!("{sentence}: nothing to do")),
            now,
        );
    }
    let number = model.journal.record(action, undo, now);
    if let Some(undone) = state.undoes {
        model.journal.mark_undone(undone, number);
    }
    effects.push(Effect::Send { number, ops });
    tell(model, Notice::note(format!("{sentence}: sent")), now);
}

/// The server has answered one write.
pub fn sent(model: &mut Model, number: u64, result: Result<(), String>, now: Timestamp) {
    let outcome = match &result {
        Ok(()) => Outcome::Accepted,
        Err(why) => Outcome::Refused(why.clone()),
    };
    model.journal.answer(number, outcome);
    model.unsettled = true;
    let done = model.journal.newest().find(|done| done.number == number);
    let sentence = done.map(|done| done.action.sentence()).unwrap_or_default();
    let undoable = done.is_some_and(|done| done.undo.is_some());
    let notice = match result {
        Ok(()) if undoable => Notice::done(format!("{sentence}: accepted (`u` takes it back)")),
        Ok(()) => Notice::done(format!("{sentence}: accepted")),
        Err(why) => Notice::failure(format!("{sentence}: refused: {why}")),
    };
    tell(model, notice, now);
}
