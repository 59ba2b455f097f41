//! The panel of what the rebalancer would move: asked for, computed elsewhere, read, closed.

use crate::tui::effect::{Computation, Effect};
use crate::tui::forecast::moves::{Moves, MovesGoal, MovesQuestion, moves};
use crate::tui::key::{Chord, Key};
use crate::tui::model::{Model, MovesAnswer, MovesState, Open};
use crate::tui::msg::Msg;

use super::input::scrolled;
use super::propose::forecast_reads;

pub fn open(model: &mut Model, question: MovesQuestion) {
    model.open = Some(Open::Moves(Box::new(MovesState {
        question,
        answer: MovesAnswer::Loading,
        scroll: 0,
    })));
    model.unsettled = true;
}

/// Asks the rebalancer once all is here that the scheduler reads.
pub fn ask(model: &mut Model, effects: &mut Vec<Effect>) {
    let loading = model.cache.still_loading(&forecast_reads()).is_some();
    let Some(Open::Moves(state)) = &mut model.open else {
        return;
    };
    if loading || !matches!(state.answer, MovesAnswer::Loading) {
        return;
    }
    state.answer = MovesAnswer::Computing;
    let question = state.question.clone();
    let cluster = model.cache.cluster.clone();
    let scheduler = model.cache.scheduler();
    effects.push(Effect::Compute(Computation::of(move || {
        let result = Box::new(moves(&cluster, &scheduler.snapshot(&cluster), &question));
        Msg::Moves { question, result }
    })));
}

/// The answer; one to another question is not shown.
pub fn known(model: &mut Model, question: &MovesQuestion, result: Box<Result<Moves, String>>) {
    if let Some(Open::Moves(state)) = &mut model.open
        && state.question == *question
        && matches!(state.answer, MovesAnswer::Computing)
    {
        state.answer = MovesAnswer::Known(result);
        model.unsettled = true;
    }
}

/// Scrolls, turns to the other goal, gives up what pods keep on disk or not; anything else closes.
pub fn key(model: &mut Model, mut state: Box<MovesState>, chord: Chord) {
    match chord.key {
        Key::Tab | Key::Char('m') => {
            let goal = match state.question.goal {
                MovesGoal::Machines => MovesGoal::Spread("zone".to_owned()),
                MovesGoal::Spread(_) => MovesGoal::Machines,
            };
            let question = MovesQuestion {
                goal,
                ..state.question
            };
            return open(model, question);
        }
        Key::Char('e') => {
            let question = MovesQuestion {
                empty_dirs: !state.question.empty_dirs,
                ..state.question
            };
            return open(model, question);
        }
        _ => {}
    }
    let length = crate::tui::present::moves_length(&state, model);
    if let Some(scroll) = scrolled(model, state.scroll, length, chord) {
        state.scroll = scroll;
        model.open = Some(Open::Moves(state));
    }
}
