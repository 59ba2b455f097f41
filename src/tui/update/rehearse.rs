//! Rehearsals: into one, what can be done there, and back.

use jiff::{SignedDuration, Timestamp};

use crate::config::settings::{ContextColor, Logs};
use crate::connect::Identity;
use crate::connect::rehearsal::{Order, Progress};
use crate::k8s::workload::Workload;
use crate::rehearse::clock::next_rate;
use crate::rehearse::{Outcome, Step};
use crate::tui::actions::Journal;
use crate::tui::command::{Command, RehearsalCommand};
use crate::tui::effect::Effect;
use crate::tui::key::Chord;
use crate::tui::model::{MenuChoice, Model, Open, Then};
use crate::tui::notice::Notice;
use crate::tui::rehearsal::{Compared, Other, Rehearsing, Wish, at_hand};
use crate::tui::view::{Place, Scope};

use super::{command, input, tell, walk};

/// What is kept of the real cluster's console while a rehearsal is shown.
#[derive(Debug)]
pub struct Kept {
    scope: Scope,
    place: Place,
    back: Vec<Place>,
    journal: Journal,
    summary: crate::tui::summary::Summaries,
}

/// `w`: forks what is shown; in a fork, the menu of what can be done there.
pub fn begin(model: &mut Model, now: Timestamp, effects: &mut Vec<Effect>) {
    if model.rehearsal.is_some() {
        return menu(model, now);
    }
    if let Some(running) = model.drains.first() {
        let text = format!(
            "the drain of {} is under way; `:drain-stop` first, or wait for its end",
            running.drain.what
        );
        return tell(model, Notice::warning(text), now);
    }
    if model.walk.is_some() {
        let text = "a rehearsal's steps are being taken; `:apply` goes on, `:apply-stop` ends it";
        return tell(model, Notice::warning(text), now);
    }
    if let Some(loading) = model.cache.still_loading(&model.watched) {
        return tell(
            model,
            Notice::note(format!("{loading}; then it can be forked")),
            now,
        );
    }
    let text = format!("forking {}…", model.identity.cluster);
    tell(model, Notice::note(text), now);
    let wish = Wish::Fork(Box::new(at_hand(&model.cache)));
    effects.push(Effect::Rehearse(wish));
}

/// The steps of what is selected, as the grammar writes them.
fn own_steps(model: &Model, now: Timestamp) -> Vec<(String, &'static str)> {
    let selection = model
        .page()
        .map(|page| page.selection(&model.context(now)))
        .unwrap_or_default();
    let [target] = selection.as_slice() else {
        return Vec::new();
    };
    let (name, namespace) = (&target.key.name, &target.key.namespace);
    let Some(object) = model.cache.cluster.get(&target.key) else {
        return Vec::new();
    };
    if object.node().is_some() {
        return vec![
            (
                format!("drain {name}"),
                "cordon it and evict its pods, as far as budgets allow",
            ),
            (format!("lose node={name}"), "it loses its power"),
        ];
    }
    if let Some(pod) = object.pod() {
        let mut steps = vec![(
            format!("evict {name} -n {namespace}"),
            "if its budgets allow it",
        )];
        steps.extend(pod.node.iter().map(|node| {
            let about = "the machine that it is on loses its power";
            (format!("lose node={node}"), about)
        }));
        return steps;
    }
    let workload = Workload::read(object).ok().flatten();
    let short = crate::rehearse::short_kind(&target.key.resource.plural);
    match (workload.filter(|workload| workload.scalable), short) {
        (Some(workload), Some(kind)) => vec![(
            format!(
                "scale {kind}/{name}={} -n {namespace}",
                workload.desired.max(1) * 2
            ),
            "twice as many; `s` sets any number",
        )],
        _ => Vec::new(),
    }
}

fn menu(model: &mut Model, now: Timestamp) {
    let rows = [
        (
            "steps",
            "what was done in it, in order",
            RehearsalCommand::Steps,
        ),
        (
            "outcome",
            "what came of it so far",
            RehearsalCommand::Outcome,
        ),
        (
            "settle",
            "let time pass until nothing is due",
            RehearsalCommand::Settle,
        ),
        (
            "wait 10m",
            "let ten minutes pass (`:+10m`)",
            RehearsalCommand::Pass(SignedDuration::from_mins(10)),
        ),
        ("faster", "time runs faster", RehearsalCommand::Faster),
        (
            "slower",
            "time runs slower, or stands still",
            RehearsalCommand::Slower,
        ),
        (
            "save",
            "objects, steps and seed to rehearsal.gz",
            RehearsalCommand::Save {
                name: "rehearsal.gz".to_owned(),
                pseudonymise: false,
            },
        ),
        (
            "compare",
            "its outcome beside that of the one before",
            RehearsalCommand::Compare(None),
        ),
        (
            "apply",
            "its steps in reality, each confirmed",
            RehearsalCommand::Apply,
        ),
        (
            "discard",
            "end it; back to the real cluster",
            RehearsalCommand::Discard,
        ),
    ];
    // What is selected comes first: that is what somebody points at.
    let own = own_steps(model, now)
        .into_iter()
        .filter_map(|(text, about)| {
            let step = Step::parse(&text, "default").ok()?;
            let command = RehearsalCommand::Step(Box::new(step));
            Some(MenuChoice {
                name: text,
                about: about.to_owned(),
                keys: String::new(),
                then: Then::Command(Command::Rehearsal(command)),
            })
        });
    let own: Vec<MenuChoice> = own.collect();
    let rows = rows.into_iter().map(|(name, about, command)| MenuChoice {
        name: name.to_owned(),
        about: about.to_owned(),
        keys: match command {
            RehearsalCommand::Faster => ">".to_owned(),
            RehearsalCommand::Slower => "<".to_owned(),
            _ => String::new(),
        },
        then: Then::Command(Command::Rehearsal(command)),
    });
    let choices = own.into_iter().chain(rows).collect();
    model.open = Some(Open::Menu {
        title: format!("rehearsal of {}", model.identity.cluster),
        choices,
        chosen: 0,
    });
}

/// Carries out what exists only in a rehearsal.
pub fn run(
    model: &mut Model,
    command: &RehearsalCommand,
    now: Timestamp,
    effects: &mut Vec<Effect>,
) {
    match command {
        RehearsalCommand::Apply => return walk::apply(model, now, effects),
        RehearsalCommand::StopApplying => return walk::stop(model, now),
        RehearsalCommand::Open(name) => return open(model, name, now, effects),
        _ => {}
    }
    let Some(rehearsal) = &model.rehearsal else {
        let text = "there is no rehearsal; `w` forks this cluster and begins one";
        return tell(model, Notice::note(text), now);
    };
    let rate = rehearsal.clock().rate();
    let wish = match command {
        RehearsalCommand::Faster | RehearsalCommand::Slower => {
            let next = next_rate(rate, *command == RehearsalCommand::Faster);
            let text = match next {
                0 => "time stands still; `>` lets it go on".to_owned(),
                next if next == rate => format!("it does not run faster than x{next}"),
                next => format!("time runs x{next}"),
            };
            tell(model, Notice::note(text), now);
            Wish::Order(Order::Rate(next))
        }
        RehearsalCommand::Pass(length) => Wish::Order(Order::Pass(*length)),
        RehearsalCommand::Settle => {
            tell(model, Notice::note("until nothing is due…"), now);
            Wish::Order(Order::Rest)
        }
        RehearsalCommand::Outcome => {
            model.open = Some(Open::Outcome { scroll: 0 });
            Wish::Outcome
        }
        RehearsalCommand::Step(step) => {
            tell(model, Notice::note(format!("{step}…")), now);
            match step.as_ref() {
                Step::Apply { .. } => Wish::Apply(step.to_string()),
                _ => Wish::Order(Order::Take(step.clone())),
            }
        }
        RehearsalCommand::Save { name, pseudonymise } => Wish::Save {
            name: name.clone(),
            pseudonymise: *pseudonymise,
        },
        RehearsalCommand::Discard => Wish::Discard,
        RehearsalCommand::Compare(name) => {
            let other = match (name, &model.last_outcome) {
                (Some(name), _) => Other::File(name.clone()),
                (None, Some(last)) => Other::Last(last.clone()),
                (None, None) => {
                    let text =
                        "no rehearsal came before this one; `:compare FILE` takes a saved one";
                    return tell(model, Notice::note(text), now);
                }
            };
            if let Some(rehearsal) = &mut model.rehearsal {
                rehearsal.compared = None;
            }
            model.open = Some(Open::Compare { scroll: 0 });
            Wish::Compare(Box::new(other))
        }
        RehearsalCommand::Steps => return steps(model),
        RehearsalCommand::Open(_) | RehearsalCommand::Apply | RehearsalCommand::StopApplying => {
            return;
        }
    };
    effects.push(Effect::Rehearse(wish));
}

/// `:open-rehearsal`: a saved one takes the place of what is shown.
fn open(model: &mut Model, name: &str, now: Timestamp, effects: &mut Vec<Effect>) {
    if model.rehearsal.is_some() {
        let text = "this is a rehearsal already; `:discard` ends it";
        return tell(model, Notice::warning(text), now);
    }
    if model.walk.is_some() || !model.drains.is_empty() {
        let text = "something is being carried out here; wait for its end";
        return tell(model, Notice::warning(text), now);
    }
    tell(model, Notice::note(format!("opening {name}…")), now);
    effects.push(Effect::Rehearse(Wish::Open(name.to_owned())));
}

fn steps(model: &mut Model) {
    let done = model
        .rehearsal
        .iter()
        .flat_map(|rehearsal| &rehearsal.progress.steps);
    let mut texts: Vec<String> = done
        .enumerate()
        .map(|(place, step)| format!("{}  {step}", place + 1))
        .collect();
    if texts.is_empty() {
        texts.push("nothing was done yet".to_owned());
    }
    model.open = Some(Open::Report {
        title: "steps of the rehearsal".to_owned(),
        texts,
        scroll: 0,
    });
}

pub fn compared(model: &mut Model, compared: Box<Compared>) {
    if let Some(rehearsal) = &mut model.rehearsal {
        rehearsal.compared = Some(compared);
    }
}

pub fn compare_key(model: &mut Model, scroll: usize, chord: Chord) {
    let length = crate::tui::present::compare_lines(model).len();
    if let Some(scroll) = input::scrolled(model, scroll, length, chord) {
        model.open = Some(Open::Compare { scroll });
    }
}

/// The fork told of itself: another clock, another step.
pub fn went_on(model: &mut Model, progress: Progress, effects: &mut Vec<Effect>) {
    let Some(rehearsal) = &mut model.rehearsal else {
        return;
    };
    rehearsal.progress = progress;
    model.unsettled = true;
    if matches!(model.open, Some(Open::Outcome { .. })) {
        effects.push(Effect::Rehearse(Wish::Outcome));
    }
}

pub fn came_of_it(model: &mut Model, outcome: Box<Outcome>) {
    if let Some(rehearsal) = &mut model.rehearsal {
        rehearsal.outcome = Some(outcome);
    }
}

pub fn outcome_key(model: &mut Model, scroll: usize, chord: Chord) {
    let length = crate::tui::present::outcome_lines(model).len();
    if let Some(scroll) = input::scrolled(model, scroll, length, chord) {
        model.open = Some(Open::Outcome { scroll });
    }
}

/// The band's clock moves.
pub fn next_wake(model: &Model, now: Timestamp) -> Option<Timestamp> {
    let rehearsal = model.rehearsal.as_ref()?;
    let runs = rehearsal.clock().rate() > 0;
    runs.then(|| now + SignedDuration::from_secs(1))
}

/// All of the cluster that took another's place is here: the cursor finds its object again.
pub fn arrive(model: &mut Model, now: Timestamp, effects: &mut Vec<Effect>) {
    let loading = model.cache.still_loading(&model.watched).is_some();
    if !model.arriving || !model.is_loaded() || loading {
        return;
    }
    model.arriving = false;
    let place = model.place.clone();
    command::open_page(model, &place, now, effects);
}

impl Model {
    /// A fork takes the place of what is shown: the same view, the same selection. What is kept of
    /// the real one comes back with [`Model::come_back`].
    pub fn enter(
        &mut self,
        (identity, progress): (Identity, Progress),
        colour: Option<ContextColor>,
        logs: &Logs,
        now: Timestamp,
    ) -> Kept {
        let kept = Kept {
            scope: self.scope.clone(),
            place: self.here(now),
            back: std::mem::take(&mut self.back),
            journal: std::mem::take(&mut self.journal),
            summary: std::mem::take(&mut self.summary),
        };
        self.turn_to(identity, colour, logs);
        self.scope = kept.scope.clone();
        self.place = kept.place.clone();
        self.rehearsal = Some(Rehearsing::new(progress));
        self.arriving = true;
        kept
    }

    /// Back from a rehearsal to what was forked, where the cursor is now.
    pub fn come_back(
        &mut self,
        kept: Kept,
        identity: Identity,
        colour: Option<ContextColor>,
        logs: &Logs,
        now: Timestamp,
    ) {
        let place = self.here(now);
        self.turn_to(identity, colour, logs);
        self.scope = kept.scope;
        self.place = place;
        self.back = kept.back;
        self.journal = kept.journal;
        self.summary = kept.summary;
        self.arriving = true;
    }

    /// Where one is, with what is selected and how it is filtered.
    fn here(&self, now: Timestamp) -> Place {
        let mut place = self.place.clone();
        if let Some(page) = self.page() {
            let selection = page.selection(&self.context(now));
            place.with.select = selection.first().map(|target| target.uid.clone());
            place.with.filter = page.filter().map(ToOwned::to_owned);
        }
        place
    }
}
