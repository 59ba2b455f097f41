//! A rehearsal's steps into reality, one by one: asked, sent, watched; stopped where reality departs
//! from the rehearsal.

use std::fmt::Write as _;

use jiff::{SignedDuration, Timestamp};

use crate::rehearse::walk::Stride;
use crate::tui::actions::Outcome;
use crate::tui::effect::Effect;
use crate::tui::key::{Chord, Key};
use crate::tui::model::{Model, Open};
use crate::tui::notice::Notice;
use crate::tui::rehearsal::Wish;
use crate::tui::rehearsal::walk::{
    LegState, Phase, Verdict, Walk, Watch, baseline, changed_meanwhile, judge, proposal,
};

use super::{input, propose, tell};

/// Between two looks at whether reality goes as foretold.
const LOOK: SignedDuration = SignedDuration::from_secs(1);

/// `:apply`: in a rehearsal what would be done, in reality the next step.
pub fn apply(model: &mut Model, now: Timestamp, effects: &mut Vec<Effect>) {
    if let Some(rehearsal) = &mut model.rehearsal {
        rehearsal.strides = None;
        model.open = Some(Open::Walk { scroll: 0 });
        return effects.push(Effect::Rehearse(Wish::Strides));
    }
    let Some(walk) = &mut model.walk else {
        let text = "there is nothing to apply: `w` begins a rehearsal, `:apply` takes its steps";
        return tell(model, Notice::note(text), now);
    };
    match walk.phase {
        Phase::Paused | Phase::Asking => {
            walk.phase = Phase::Next;
            model.open = None;
            model.unsettled = true;
        }
        Phase::Next | Phase::Watching(_) => model.open = Some(Open::Walk { scroll: 0 }),
    }
}

/// `:apply-stop`: what was sent stays as it is.
pub fn stop(model: &mut Model, now: Timestamp) {
    let text = match model.walk.take() {
        Some(walk) => {
            let left = walk.legs.len() - walk.current().unwrap_or(walk.legs.len());
            format!("no more of the rehearsal is applied; {left} of its steps are left")
        }
        None => "no rehearsal is being applied".to_owned(),
    };
    model.unsettled = true;
    tell(model, Notice::note(text), now);
}

/// The rehearsal tells its steps.
pub fn known(model: &mut Model, strides: Vec<Stride>) {
    if let Some(rehearsal) = &mut model.rehearsal {
        rehearsal.strides = Some(strides);
    }
}

/// A key over the list of steps. Enter ends the rehearsal and begins with the first.
pub fn key(
    model: &mut Model,
    scroll: usize,
    chord: Chord,
    now: Timestamp,
    effects: &mut Vec<Effect>,
) {
    if chord.key == Key::Enter {
        if model.rehearsal.is_some() {
            return enter(model, now, effects);
        }
        return apply(model, now, effects);
    }
    let length = crate::tui::present::walk_lines(model).len();
    if let Some(scroll) = input::scrolled(model, scroll, length, chord) {
        model.open = Some(Open::Walk { scroll });
    }
}

fn enter(model: &mut Model, now: Timestamp, effects: &mut Vec<Effect>) {
    let Some(strides) = model
        .rehearsal
        .as_ref()
        .and_then(|rehearsal| rehearsal.strides.clone())
    else {
        model.open = Some(Open::Walk { scroll: 0 });
        return;
    };
    if strides.iter().all(|stride| stride.real.is_err()) {
        let text = "none of these steps can be taken in reality; nothing was sent";
        return tell(model, Notice::note(text), now);
    }
    let walk = Walk::new(strides);
    effects.push(Effect::Rehearse(Wish::Walk(Box::new(walk))));
}

/// The operator does not want this step sent now.
pub fn declined(model: &mut Model, now: Timestamp) {
    if let Some(walk) = &mut model.walk {
        walk.phase = Phase::Paused;
    }
    let text = "nothing was sent; `:apply` goes on, `:apply-stop` ends it";
    tell(model, Notice::note(text), now);
}

/// The step was confirmed and is on its way; `None`: there was nothing to send.
pub fn sent(model: &mut Model, number: Option<u64>, now: Timestamp) {
    let Some(walk) = &mut model.walk else { return };
    let Some((_, real)) = walk.leg() else { return };
    let Some(number) = number else {
        walk.set(LegState::Done("nothing to do".to_owned()));
        walk.phase = Phase::Next;
        return;
    };
    let watch = baseline(number, real, &model.cache.cluster, now);
    walk.set(LegState::UnderWay);
    walk.phase = Phase::Watching(Box::new(watch));
    model.unsettled = true;
}

/// Once before a frame.
pub fn advance(model: &mut Model, now: Timestamp, effects: &mut Vec<Effect>) {
    let Some(mut walk) = model.walk.take() else {
        return;
    };
    let needs_watching = walk
        .reads()
        .iter()
        .any(|resource| !model.watched.contains(resource));
    if let Phase::Watching(mut watch) = walk.phase.clone() {
        look(model, &mut walk, &mut watch, now);
    }
    model.walk = Some(walk);
    if needs_watching {
        let needs = model.needs();
        model.watched.clone_from(&needs);
        effects.push(Effect::Watch(needs));
    }
    next(model, now);
}

fn look(model: &mut Model, walk: &mut Walk, watch: &mut Watch, now: Timestamp) {
    // A picture that is not current proves nothing.
    if model.lost().is_some() {
        return;
    }
    let Some((leg, real)) = walk.leg() else {
        return;
    };
    let text = leg.stride.text.clone();
    let done = model
        .journal
        .newest()
        .find(|done| done.number == watch.number);
    let verdict = match done.map(|done| &done.outcome) {
        Some(Outcome::Refused(why)) => Verdict::Departs(format!("refused: {why}")),
        Some(Outcome::Partly(why)) => Verdict::Departs(why.clone()),
        outcome => {
            let is_under_way = matches!(outcome, Some(Outcome::Sent))
                || model
                    .drains
                    .iter()
                    .any(|running| running.number == watch.number);
            judge(watch, real, &model.cache.cluster, is_under_way, now)
        }
    };
    let took = crate::rehearse::duration_text(now.duration_since(watch.since));
    match verdict {
        Verdict::Wait(words) => {
            watch.words = words;
            walk.phase = Phase::Watching(Box::new(watch.clone()));
        }
        Verdict::AsForetold => {
            walk.set(LegState::Done(format!("as foretold, in {took}")));
            walk.phase = Phase::Next;
            tell(
                model,
                Notice::done(format!("{text}: as foretold, in {took}")),
                now,
            );
        }
        Verdict::Departs(why) => {
            walk.set(LegState::Departed {
                why: why.clone(),
                sent: true,
            });
            walk.phase = Phase::Paused;
            let text = format!(
                "stopped: {text} departs from the rehearsal: {why}; `u` takes it back where it can \
                 be, `:apply` goes on"
            );
            tell(model, Notice::failure(text), now);
        }
    }
}

/// Asks about the next step, when all is here that it is compared with.
fn next(model: &mut Model, now: Timestamp) {
    let Some(walk) = &model.walk else { return };
    let may_ask = walk.phase == Phase::Next && model.open.is_none();
    let reads = walk.reads();
    if !may_ask || model.arriving || model.cache.still_loading(&reads).is_some() {
        return;
    }
    if !model.is_loaded() || model.lost().is_some() {
        return;
    }
    let workloads = crate::k8s::workload::WORKLOADS;
    if model.cache.still_loading(&workloads).is_some() {
        return;
    }
    let Some((leg, real)) = walk.leg() else {
        return over(model, now);
    };
    let cluster = &model.cache.cluster;
    let known = match &leg.state {
        LegState::Departed { why, .. } => Some(why.clone()),
        _ => None,
    };
    let text = leg.stride.text.clone();
    let departs = match &known {
        None => changed_meanwhile(real, cluster),
        Some(_) => None,
    };
    let offered = match departs {
        Some(why) => Err(why),
        None => proposal(leg, cluster, known.as_deref()),
    };
    match offered {
        Ok(proposal) => {
            if let Some(walk) = &mut model.walk {
                walk.phase = Phase::Asking;
            }
            propose::ask(model, proposal);
        }
        Err(why) => {
            if let Some(walk) = &mut model.walk {
                walk.set(LegState::Departed {
                    why: why.clone(),
                    sent: false,
                });
                walk.phase = Phase::Paused;
            }
            let text = format!("stopped before {text}: {why}; `:apply` asks about it all the same");
            tell(model, Notice::failure(text), now);
        }
    }
}

fn over(model: &mut Model, now: Timestamp) {
    let Some(walk) = model.walk.take() else {
        return;
    };
    let count = |is: fn(&LegState) -> bool| walk.legs.iter().filter(|leg| is(&leg.state)).count();
    let done = count(|state| matches!(state, LegState::Done(_)));
    let departed = count(|state| matches!(state, LegState::Departed { .. }));
    let skipped = walk
        .legs
        .iter()
        .filter(|leg| leg.stride.real.is_err())
        .count();
    let mut text = format!("applied: {done} as foretold");
    if departed > 0 {
        let _ = write!(text, ", {departed} otherwise");
    }
    if skipped > 0 {
        let _ = write!(text, ", {skipped} only rehearsed");
    }
    text.push_str(" (`U` lists the changes)");
    let notice = if departed > 0 {
        Notice::warning(text)
    } else {
        Notice::done(text)
    };
    model.unsettled = true;
    tell(model, notice, now);
}

/// Reality is looked at again, also where nothing changes.
pub fn next_wake(model: &Model, now: Timestamp) -> Option<Timestamp> {
    let walk = model.walk.as_ref()?;
    matches!(walk.phase, Phase::Watching(_) | Phase::Next).then(|| now + LOOK)
}

impl Model {
    /// Reality is shown again: the steps begin.
    pub fn begin_walk(&mut self, walk: Walk) {
        self.walk = Some(walk);
        self.open = None;
        self.unsettled = true;
    }
}
