//! Drains that are under way: one eviction after the other, whatever view is open.
//!
//! ```text
//! confirmed ──► nodes cordoned ──► evictions, as budgets allow ──► outcome
//!                    │ refused                  │ stopped
//!                    └───────────► outcome ◄────┘
//! ```

use jiff::Timestamp;

use super::tell;
use crate::tui::actions::Outcome;
use crate::tui::actions::drain::{Drain, EvictionAnswer};
use crate::tui::effect::Effect;
use crate::tui::model::Model;
use crate::tui::notice::Notice;

/// A drain and the journal entry that it belongs to.
#[derive(Clone, Debug)]
pub struct Running {
    pub number: u64,
    pub drain: Drain,
    /// Nodes whose cordon has not been answered yet; no pod goes before all are.
    cordons: usize,
}

/// The operator has confirmed; the cordons are on their way.
pub fn begin(model: &mut Model, number: u64, drain: &Drain, now: Timestamp) {
    let mut drain = drain.clone();
    drain.started = model.time(now);
    model.drains.push(Running {
        number,
        cordons: drain.nodes.len(),
        drain,
    });
    model.unsettled = true;
}

/// A cordon of the drain `number` was answered. `false`: that is no drain.
pub fn cordoned(
    model: &mut Model,
    number: u64,
    result: &Result<(), String>,
    now: Timestamp,
) -> bool {
    let Some(place) = place(model, number) else {
        return false;
    };
    match (result, model.drains.get_mut(place)) {
        (Ok(()), Some(running)) => running.cordons = running.cordons.saturating_sub(1),
        (Err(why), Some(running)) => {
            let what = running.drain.what.clone();
            model.drains.remove(place);
            model.journal.answer(number, Outcome::Refused(why.clone()));
            let text = format!("drain {what}: not begun, the cordon was refused: {why}");
            tell(model, Notice::failure(text), now);
        }
        (_, None) => {}
    }
    true
}

/// An eviction was answered.
pub fn evicted(model: &mut Model, number: u64, answer: EvictionAnswer, now: Timestamp) {
    let time = model.time(now);
    if let Some(running) = place(model, number).and_then(|place| model.drains.get_mut(place)) {
        running.drain.answer(answer, time);
        model.unsettled = true;
    }
}

/// Asks for what is due and ends what is over. Called after every message: any of them may have
/// taken a pod away.
pub fn advance(model: &mut Model, now: Timestamp, effects: &mut Vec<Effect>) {
    let time = model.time(now);
    let cluster = &model.cache.cluster;
    let mut over = Vec::new();
    model.drains.retain_mut(|running| {
        if running.cordons > 0 && !running.drain.cancelled {
            return true;
        }
        if let Some(pod) = running.drain.step(cluster, time) {
            effects.push(Effect::Evict {
                number: running.number,
                pod,
            });
        }
        let ended = running.drain.is_over();
        if ended {
            over.push(running.clone());
        }
        !ended
    });
    for Running { number, drain, .. } in over {
        let words = drain.outcome_words(time);
        let (outcome, notice) = if drain.is_done() {
            (Outcome::Accepted, Notice::done(words))
        } else {
            (Outcome::Partly(words.clone()), Notice::warning(words))
        };
        model.journal.answer(number, outcome);
        model.unsettled = true;
        tell(model, notice, now);
    }
}

/// Stops the drain of the selected node, else all of them.
pub fn stop(model: &mut Model, now: Timestamp) {
    if model.drains.is_empty() {
        return tell(model, Notice::note("no drain is under way"), now);
    }
    let selected = model
        .page()
        .map(|page| page.selection(&model.context(now)))
        .unwrap_or_default();
    let concerns = |drain: &Drain| drain.nodes.iter().any(|node| selected.contains(node));
    let any = model.drains.iter().any(|running| concerns(&running.drain));
    for running in &mut model.drains {
        if !any || concerns(&running.drain) {
            running.drain.cancelled = true;
        }
    }
    model.unsettled = true;
}

/// What is undone must not go on meanwhile.
pub fn stop_number(model: &mut Model, number: u64) {
    if let Some(running) = place(model, number).and_then(|place| model.drains.get_mut(place)) {
        running.drain.cancelled = true;
    }
}

/// When a pod is asked for again, and when the seconds on the screen change.
pub fn next_wake(model: &Model, now: Timestamp) -> Option<Timestamp> {
    let due = model
        .drains
        .iter()
        .filter_map(|running| running.drain.next_wake())
        .min()?;
    let second = now + jiff::SignedDuration::from_secs(1);
    Some(model.outside(due).map_or(second, |due| due.min(second)))
}

fn place(model: &Model, number: u64) -> Option<usize> {
    model
        .drains
        .iter()
        .position(|running| running.number == number)
}
