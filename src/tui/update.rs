//! Facts into the model: `update(model, msg, now) -> effects`.
//!
//! Keys go, in this order, to what is open, to a page that takes text, to the key map. Whatever a
//! page asks for is carried out here, so that every page's wish takes the same way.

mod command;
pub mod drains;
mod input;
mod moves;
mod propose;
pub mod rehearse;
mod visit;
pub mod walk;

use jiff::{SignedDuration, Timestamp};

use super::answer::Answer;
use super::cache::FeedEvent;
use super::effect::{Computation, Effect};
use super::forecast::fidelity::bound;
use super::model::Model;
use super::msg::Msg;
use super::notice::{Notice, Weight};
use super::page::Ask;
use super::summary::Summary;
use super::view::View;
use crate::k8s::{Object, Resource, resources};

pub use command::run;

/// How long a message stays.
const NOTICE_STAYS: SignedDuration = SignedDuration::from_secs(8);
/// While the pulse is shown, waiting may grow into trouble without any change.
const LOOK_AGAIN: SignedDuration = SignedDuration::from_secs(15);

/// Longer than pages wait between two looks.
const CATCH_UP: SignedDuration = SignedDuration::from_millis(1_200);

/// Takes one fact in.
pub fn update(model: &mut Model, msg: Msg, now: Timestamp) -> Vec<Effect> {
    let mut effects = Vec::new();
    match msg {
        Msg::Key(chord) => input::key(model, chord, now, &mut effects),
        Msg::Paste(text) => input::paste(model, &text, now),
        Msg::Scroll(rows) => input::scroll(model, rows, now, &mut effects),
        Msg::Resize(width, height) => {
            model.size = (width, height);
            model.unsettled = true;
        }
        Msg::Feed(resource, event) => {
            let time = model.time(now);
            let is_list = matches!(event, FeedEvent::Listed { .. } | FeedEvent::Complete { .. });
            sample_bindings(model, &resource, &event, now);
            let is_new = model.cache.take(&resource, event, time);
            measure(model, &resource, is_list, now);
            if is_new {
                model.catch_up = Some(now + CATCH_UP);
                model.unsettled = true;
            }
        }
        Msg::Beside { cluster, event } => {
            let mut besides = model.beside.iter_mut();
            if let Some(beside) = besides.find(|beside| beside.name == cluster) {
                model.unsettled |= beside.take(event);
            }
        }
        Msg::Kinds(kinds) => {
            model.cache.set_kinds(kinds);
            model.unsettled = true;
            // Kinds that could not be watched before may be known now.
            effects.push(Effect::Watch(model.watched.clone()));
            effects.extend(model.printing.clone().map(|kind| Effect::Print(Some(kind))));
        }
        Msg::Printed(resource, event) => {
            if model.printing.as_ref() == Some(&resource) {
                model.cache.print(&resource, event);
                model.unsettled = true;
            }
        }
        Msg::Answer(_, Answer::Summary(summary)) => {
            model.summary.take(*summary);
            model.unsettled = true;
        }
        Msg::Answer(view, answer) => {
            let asks = model.with_page(view, now, |page, context| page.receive(answer, context));
            carry_out(model, asks.unwrap_or_default(), now, &mut effects);
            model.unsettled = true;
        }
        Msg::Sent { number, result } => propose::sent(model, number, result, now),
        Msg::Evicted { number, answer } => drains::evicted(model, number, answer, now),
        Msg::DrainForecast { nodes, notes } => propose::forecast_known(model, &nodes, notes),
        Msg::Moves { question, result } => moves::known(model, &question, result),
        Msg::Fidelity(looked) => {
            model.fidelity.take(*looked, now);
            model.unsettled = true;
        }
        Msg::Rehearsed(progress) => rehearse::went_on(model, progress, &mut effects),
        Msg::Outcome(outcome) => rehearse::came_of_it(model, outcome),
        Msg::Compared(compared) => rehearse::compared(model, compared),
        Msg::LastOutcome(outcome) => model.last_outcome = Some(outcome),
        Msg::Strides(strides) => walk::known(model, strides),
        Msg::Contexts(contexts) => model.contexts = contexts,
        Msg::Notice(notice) => tell(model, notice, now),
        Msg::Tick => model.unsettled = true,
        Msg::Ended => {
            model.ended = true;
            effects.push(Effect::Quit);
        }
    }
    drains::advance(model, now, &mut effects);
    effects
}

/// The first place and its feeds, before anything is drawn.
pub fn start(model: &mut Model, now: Timestamp) -> Vec<Effect> {
    let mut effects = Vec::new();
    let place = model.place.clone();
    command::open_page(model, &place, now, &mut effects);
    match model.problems.as_slice() {
        [] => {}
        [one] => tell(model, Notice::warning(format!("{one} (`:problems`)")), now),
        [first, rest @ ..] => {
            let text = format!("{} more at the start (`:problems`): {first}", rest.len());
            tell(model, Notice::warning(text), now);
        }
    }
    effects
}

/// Brings the page up to date once before a frame, whatever number of messages came before.
pub fn settle(model: &mut Model, now: Timestamp) -> Vec<Effect> {
    let mut effects = Vec::new();
    model.cache.forget_old(model.time(now));
    if model
        .notice
        .as_ref()
        .and_then(|notice| notice.at)
        .is_some_and(|at| now.duration_since(at) >= NOTICE_STAYS)
    {
        model.notice = None;
    }
    if model.catch_up.is_some_and(|at| now >= at) {
        model.catch_up = None;
        model.unsettled = true;
    }
    compare_bindings(model, now, &mut effects);
    if !model.unsettled {
        return effects;
    }
    model.unsettled = false;
    rehearse::arrive(model, now, &mut effects);
    walk::advance(model, now, &mut effects);
    summarize(model, now, &mut effects);
    effects.extend(model.beside.iter_mut().filter_map(|beside| beside.ask(now)));
    propose::watch_forecast(model, &mut effects);
    propose::ask_forecast(model, &mut effects);
    moves::ask(model, &mut effects);
    let view = model.view();
    let asks = model.with_page(view, now, |page, context| page.settle(context));
    carry_out(model, asks.unwrap_or_default(), now, &mut effects);
    effects
}

/// Orders the figures of the whole cluster. Before all is here they would tell of another one.
fn summarize(model: &mut Model, now: Timestamp, effects: &mut Vec<Effect>) {
    let version = model.cache.version();
    let unchanged = if model.view() == View::Pulse {
        LOOK_AGAIN
    } else {
        SignedDuration::MAX
    };
    if model.is_loaded() && model.summary.ask(version, unchanged, now) {
        let cluster = model.cache.cluster.clone();
        effects.push(Effect::work(View::Pulse, move || {
            Answer::Summary(Box::new(Summary::of(&cluster, version, now)))
        }));
    }
}

/// Begins a sample where a batch that is about to be taken in binds a pod.
fn sample_bindings(model: &mut Model, resource: &Resource, event: &FeedEvent, now: Timestamp) {
    let FeedEvent::Changed(changes) = event else {
        return;
    };
    if *resource != resources::PODS || !model.measures_fidelity() || !model.fidelity.may_begin(now)
    {
        return;
    }
    let cluster = &model.cache.cluster;
    // One that is new may wait and be bound in the same batch.
    let waits = |object: &Object| {
        changes
            .iter()
            .any(|(_, before)| before.key == object.key && bound(before, object).is_some())
    };
    let binds = changes
        .iter()
        .any(|(_, object)| match cluster.get(&object.key) {
            Some(before) => bound(before, object).is_some(),
            None => object.pod().is_some_and(|pod| pod.node.is_some()) && waits(object),
        });
    let mut reads = vec![resources::NODES, resources::PODS, resources::SERVICES];
    reads.extend(crate::k8s::workload::WORKLOADS);
    if binds && model.lost().is_none() && model.cache.still_loading(&reads).is_none() {
        model.fidelity.begin(&model.cache.cluster, now);
    }
}

/// What changed, for the comparison of bindings with what is foretold.
fn measure(model: &mut Model, resource: &Resource, is_list: bool, now: Timestamp) {
    if !model.measures_fidelity() {
        return;
    }
    for change in model.cache.take_news() {
        model.fidelity.observe(change, now);
    }
    if is_list && [resources::NODES, resources::PODS].contains(resource) {
        model.fidelity.lose();
    }
}

/// Orders the comparison of the bindings that were seen.
fn compare_bindings(model: &mut Model, now: Timestamp, effects: &mut Vec<Effect>) {
    if let Some(look) = model.fidelity.ask(&model.cache.scheduler(), now) {
        effects.push(Effect::Compute(Computation::of(move || {
            Msg::Fidelity(Box::new(look.run()))
        })));
    }
}

/// When something on the screen ends or changes by itself, without any message.
pub fn next_wake(model: &Model, now: Timestamp) -> Option<Timestamp> {
    let notice = model
        .notice
        .as_ref()
        .and_then(|notice| notice.at)
        .map(|at| at + NOTICE_STAYS);
    let summary = model.summary.next_wake(model.cache.version());
    let lost = model.lost().map(|_| now + SignedDuration::from_secs(1));
    let page = model
        .page()
        .and_then(|page| page.next_wake(&model.context(now)))
        .and_then(|at| model.outside(at));
    let fresh = model
        .cache
        .freshness_ends()
        .and_then(|at| model.outside(at));
    let rehearsal = rehearse::next_wake(model, now);
    let drain = drains::next_wake(model, now);
    let walk = walk::next_wake(model, now);
    let catch_up = model.catch_up;
    let besides = model.beside.iter();
    let beside = besides.filter_map(|beside| beside.next_wake(now)).min();
    let fidelity = model.fidelity.next_wake();
    [
        notice, summary, lost, page, fresh, drain, walk, rehearsal, catch_up, beside, fidelity,
    ]
    .into_iter()
    .flatten()
    .min()
}

pub(super) fn tell(model: &mut Model, notice: Notice, now: Timestamp) {
    // A failure is not covered by a mere note before anybody could read it.
    let covered = model.notice.as_ref().is_some_and(|shown| {
        shown.weight == Weight::Failure
            && notice.weight < Weight::Warning
            && shown
                .at
                .is_some_and(|at| now.duration_since(at) < SignedDuration::from_secs(2))
    });
    if !covered {
        model.notice = Some(Notice {
            at: Some(now),
            ..notice
        });
    }
}

/// Does what a page asked for.
pub(super) fn carry_out(
    model: &mut Model,
    asks: Vec<Ask>,
    now: Timestamp,
    effects: &mut Vec<Effect>,
) {
    for ask in asks {
        match ask {
            Ask::Go(place) => command::go(model, &place, now, effects),
            Ask::Back => {
                // Where nothing was before, the view stays.
                let _first = command::place_back(model, now, effects);
            }
            Ask::Notice(notice) => tell(model, notice, now),
            Ask::Switch { cluster, select } => {
                command::contexts(model, Some(&cluster), now, effects);
                model.expected = select.map(|row| (cluster, row));
            }
            Ask::Propose(action) => propose::open(model, &action, now),
            Ask::Wonder(action) => propose::wonder(model, &action),
            Ask::Unless { action, concerns } => {
                propose::unless(model, *action, concerns, now, effects);
            }
            Ask::Menu { title, choices } => command::menu(model, title, choices),
            Ask::Effect(effect) => effects.push(effect),
        }
    }
}

/// The page of `view` handles a command itself.
pub(super) fn to_page(
    model: &mut Model,
    view: View,
    command: &super::command::Command,
    now: Timestamp,
    effects: &mut Vec<Effect>,
) {
    let asks = model.with_page(view, now, |page, context| page.command(command, context));
    carry_out(model, asks.unwrap_or_default(), now, effects);
    model.unsettled = true;
}
