//! A rehearsal's steps on their way into reality: which one is next, what is asked, and whether
//! reality goes as the rehearsal foretold.
//!
//! ```text
//! Ahead ─ asked ─► UnderWay ─ as foretold ─► Done
//!   │ changed meanwhile      │ pending, budget, refused, too late
//!   └──────────► Departed ◄──┘   the walk waits for the operator
//! ```
//!
//! Pure: nothing here sends, and every judgment is of the objects that the console sees.

mod judge;
mod offer;

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;

use crate::k8s::{ObjectKey, Resource, Uid, resources};
use crate::rehearse::KINDS;
use crate::rehearse::walk::{Real, Stride};

pub use judge::{Verdict, baseline, judge};
pub use offer::{changed_meanwhile, proposal};

/// The walk that is under way.
#[derive(Clone, PartialEq, Debug)]
pub struct Walk {
    pub legs: Vec<Leg>,
    pub phase: Phase,
}

#[derive(Clone, PartialEq, Debug)]
pub struct Leg {
    pub stride: Stride,
    pub state: LegState,
}

#[derive(Clone, PartialEq, Eq, Debug)]
pub enum LegState {
    Ahead,
    UnderWay,
    /// How it went.
    Done(String),
    /// Why it was stopped; whether its writes had been sent by then.
    Departed {
        why: String,
        sent: bool,
    },
}

#[derive(Clone, PartialEq, Debug)]
pub enum Phase {
    /// The next step is to be asked about as soon as all is here that is read.
    Next,
    Asking,
    /// The operator has the word.
    Paused,
    Watching(Box<Watch>),
}

/// What was true before a step was sent, to tell what came of it.
#[derive(Clone, PartialEq, Debug)]
pub struct Watch {
    /// In the journal.
    pub number: u64,
    pub since: Timestamp,
    /// Budgets that did not hold before.
    pub broken: BTreeSet<ObjectKey>,
    /// Pods that found no node before.
    pub waiting: BTreeSet<Uid>,
    /// Pods short of each service's target before.
    pub short: BTreeMap<ObjectKey, i64>,
    /// The object's revision before.
    pub revision: Option<crate::k8s::Revision>,
    /// Pods that find no node since, and when that was first seen.
    pub seen: BTreeMap<Uid, Timestamp>,
    /// When everything first looked as foretold.
    pub arrived: Option<Timestamp>,
    /// What is still waited for.
    pub words: String,
}

impl Walk {
    pub fn new(strides: Vec<Stride>) -> Self {
        let legs = strides.into_iter().map(|stride| Leg {
            stride,
            state: LegState::Ahead,
        });
        Self {
            legs: legs.collect(),
            phase: Phase::Next,
        }
    }

    /// The place of the step that is asked about or under way.
    pub fn current(&self) -> Option<usize> {
        self.legs.iter().position(|leg| {
            let is_open = matches!(
                leg.state,
                LegState::Ahead | LegState::UnderWay | LegState::Departed { sent: false, .. }
            );
            is_open && leg.stride.real.is_ok()
        })
    }

    pub fn leg(&self) -> Option<(&Leg, &Real)> {
        let leg = self.legs.get(self.current()?)?;
        let real = leg.stride.real.as_ref().ok()?;
        Some((leg, real))
    }

    pub fn set(&mut self, state: LegState) {
        if let Some(leg) = self.current().and_then(|place| self.legs.get_mut(place)) {
            leg.state = state;
        }
    }

    /// `2 of 3`, of those that are real.
    pub fn place_words(&self) -> String {
        let real = |leg: &&Leg| leg.stride.real.is_ok();
        let all = self.legs.iter().filter(real).count();
        let before = self
            .legs
            .iter()
            .take(self.current().unwrap_or(self.legs.len()))
            .filter(real)
            .count();
        format!("{} of {all}", (before + 1).min(all))
    }

    /// How it stands, for the band.
    pub fn words(&self) -> String {
        let Some((leg, _)) = self.leg() else {
            return "APPLY: all steps are taken".to_owned();
        };
        let place = self.place_words();
        let text = &leg.stride.text;
        let state = match (&self.phase, &leg.state) {
            (Phase::Watching(watch), _) if watch.words.is_empty() => "sent".to_owned(),
            (Phase::Watching(watch), _) => format!("waiting for {}", watch.words),
            (_, LegState::Departed { why, .. }) => why.clone(),
            (Phase::Paused, _) => "`:apply` goes on".to_owned(),
            (Phase::Next, _) => "loading what it is compared with".to_owned(),
            (Phase::Asking, _) => "enter sends it".to_owned(),
        };
        format!("APPLY {place}: {text} — {state}")
    }

    /// The kinds that have to be seen meanwhile.
    pub fn reads(&self) -> Vec<Resource> {
        let mut reads = vec![resources::POD_DISRUPTION_BUDGETS];
        let touched = self
            .legs
            .iter()
            .filter_map(|leg| leg.stride.real.as_ref().ok());
        for real in touched {
            let resource = &real.touched.key.resource;
            if is_compared(resource) && !reads.contains(resource) {
                reads.push(resource.clone());
            }
        }
        reads
    }
}

/// Whether a fork has all objects of this kind, so that one that is missing was not there.
pub fn is_compared(resource: &Resource) -> bool {
    KINDS.iter().any(|kind| kind.resource == *resource)
}
