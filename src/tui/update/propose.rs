//! Changes: the panel that asks, the journal that remembers, the writes that go out.

use jiff::Timestamp;

use crate::k8s::{Resource, resources};
use crate::sched::surroundings::WATCHED;
use crate::tui::actions::proposal::{Consequence, Proposal, Weight};
use crate::tui::actions::walked::Write;
use crate::tui::actions::{Action, Confirmation, Outcome};
use crate::tui::effect::{Computation, Effect};
use crate::tui::forecast::drain;
use crate::tui::key::{Chord, Key};
use crate::tui::line_edit::LineEdit;
use crate::tui::model::{ConfirmState, Forecast, Model, Open, Purpose};
use crate::tui::msg::Msg;
use crate::tui::notice::Notice;
use crate::tui::view::Target;

use super::{drains, tell, walk};

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
    show(model, proposal, undoes);
}

/// Sends what is harmless at once; everything else is asked about with what speaks against it.
pub fn unless(
    model: &mut Model,
    action: Action,
    concerns: Vec<Consequence>,
    now: Timestamp,
    effects: &mut Vec<Effect>,
) {
    if model.read_only() {
        return open(model, &action, now);
    }
    let mut proposal = action.propose(&model.cache.cluster);
    proposal.consequences.extend(concerns);
    proposal
        .consequences
        .sort_by_key(|consequence| std::cmp::Reverse(consequence.weight));
    let harmless = proposal.confirmation == Confirmation::Enter
        && model.lost().is_none()
        && proposal
            .consequences
            .iter()
            .all(|consequence| consequence.weight == Weight::Note);
    if harmless {
        send(model, action, None, now, effects);
    } else {
        show(model, proposal, None);
    }
}

/// Asks about a step of the walk, with what the rehearsal foretold.
pub fn ask(model: &mut Model, proposal: Proposal) {
    show(model, proposal, None);
    if let Some(Open::Confirm(state)) = &mut model.open {
        state.purpose = Purpose::Walk;
    }
}

/// Shows what an action would bring with it. A question: it may be asked in read-only mode too.
pub fn wonder(model: &mut Model, action: &Action) {
    let proposal = action.propose(&model.cache.cluster);
    show(model, proposal, None);
    if let Some(Open::Confirm(state)) = &mut model.open {
        state.purpose = Purpose::Question;
    }
}

fn show(model: &mut Model, proposal: Proposal, undoes: Option<u64>) {
    let forecast = match &proposal.action {
        Action::Drain(_) => Forecast::Loading,
        _ => Forecast::None,
    };
    model.open = Some(Open::Confirm(Box::new(ConfirmState {
        proposal,
        typed: LineEdit::default(),
        forecast,
        undoes,
        purpose: Purpose::Send,
    })));
    model.unsettled = true;
}

/// Watches what the scheduler reads while a panel shows its word.
pub fn watch_forecast(model: &mut Model, effects: &mut Vec<Effect>) {
    let needs = model.needs();
    if model.shows_forecast() && needs != model.watched {
        model.watched.clone_from(&needs);
        effects.push(Effect::Watch(needs));
    }
}

/// Asks the scheduler about the drain in the panel, once all is here that it reads.
pub fn ask_forecast(model: &mut Model, effects: &mut Vec<Effect>) {
    let loading = model.cache.still_loading(&forecast_reads()).is_some();
    let Some(Open::Confirm(state)) = &mut model.open else {
        return;
    };
    let Action::Drain(plan) = &state.proposal.action else {
        return;
    };
    if state.forecast != Forecast::Loading || loading {
        return;
    }
    let nodes = plan.nodes.clone();
    state.forecast = Forecast::Computing;
    let cluster = model.cache.cluster.clone();
    let scheduler = model.cache.scheduler();
    effects.push(Effect::Compute(Computation::of(move || {
        let notes = drain::forecast(&cluster, &scheduler.snapshot(&cluster), &nodes);
        Msg::DrainForecast { nodes, notes }
    })));
}

/// What must be known before the scheduler's word is worth anything.
pub fn forecast_reads() -> Vec<Resource> {
    let mut reads = vec![resources::NODES, resources::PODS];
    reads.extend(WATCHED);
    reads
}

/// The scheduler's answer; one for another panel is not shown.
pub fn forecast_known(model: &mut Model, nodes: &[Target], notes: Vec<Consequence>) {
    if let Some(Open::Confirm(state)) = &mut model.open
        && matches!(&state.proposal.action, Action::Drain(plan) if plan.nodes == nodes)
    {
        state.forecast = Forecast::Known(notes);
        model.unsettled = true;
    }
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
    let walks = state.purpose == Purpose::Walk;
    match (chord.key, &state.proposal.confirmation) {
        (Key::Esc | Key::Enter | Key::Char('q'), _) if state.purpose == Purpose::Question => {
            return;
        }
        _ if state.purpose == Purpose::Question => {}
        (Key::Esc, _) if walks => return walk::declined(model, now),
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
        (Key::Char('q' | 'n'), Confirmation::Enter) if walks => {
            return walk::declined(model, now);
        }
        (Key::Char('q' | 'n'), Confirmation::Enter) => {
            return tell(model, Notice::note("nothing was sent"), now);
        }
        _ => {}
    }
    model.open = Some(Open::Confirm(state));
}

fn confirm(model: &mut Model, state: ConfirmState, now: Timestamp, effects: &mut Vec<Effect>) {
    let walks = state.purpose == Purpose::Walk;
    let number = send(model, state.proposal.action, state.undoes, now, effects);
    if walks {
        walk::sent(model, number, now);
    }
}

/// Notes it in the journal and lets its writes go.
fn send(
    model: &mut Model,
    action: Action,
    undoes: Option<u64>,
    now: Timestamp,
    effects: &mut Vec<Effect>,
) -> Option<u64> {
    let undo = action.undo(&model.cache.cluster);
    let ops = action.ops(now);
    let sentence = action.sentence();
    let applied = match &action {
        Action::Walked(walked) => match &walked.write {
            Write::Apply(object) => Some((walked.target.key.clone(), object.clone())),
            Write::Op(_) => None,
        },
        _ => None,
    };
    if ops.is_empty() && applied.is_none() {
        let text = format!("{sentence}: nothing to do");
        tell(model, Notice::note(text), now);
        return None;
    }
    let plan = match &action {
        Action::Drain(plan) => Some(plan.clone()),
        _ => None,
    };
    let number = model.journal.record(action, undo, now);
    if let Some(undone) = undoes {
        model.journal.mark_undone(undone, number);
        drains::stop_number(model, undone);
    }
    effects.push(match applied {
        Some((key, object)) => Effect::Apply {
            number,
            key,
            object,
        },
        None => Effect::Send { number, ops },
    });
    match plan {
        Some(plan) => drains::begin(model, number, &plan, now),
        None => tell(model, Notice::note(format!("{sentence}: sent")), now),
    }
    Some(number)
}

/// The server has answered one write.
pub fn sent(model: &mut Model, number: u64, result: Result<(), String>, now: Timestamp) {
    if drains::cordoned(model, number, &result, now) {
        return;
    }
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
