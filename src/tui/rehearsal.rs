//! A rehearsal as the console knows it: what is forked, what time it is there, what was done.
//!
//! While there is one, everything on the screen and every write is the fork's. Nothing here knows
//! how the fork runs.

pub mod outcome;
pub mod walk;

use jiff::{SignedDuration, Timestamp};

use crate::connect::rehearsal::{AtHand, Order, Progress};
use crate::rehearse::Outcome;
use crate::rehearse::clock::Clock;
use crate::rehearse::walk::Stride;

use self::walk::Walk;
use super::cache::{Cache, FeedState};
use super::text::{cut_end, width};

/// The rehearsal that is shown.
#[derive(Clone, Debug)]
pub struct Rehearsing {
    pub progress: Progress,
    /// What came of it, as of the last time that somebody asked.
    pub outcome: Option<Box<Outcome>>,
    /// Another outcome beside this one's.
    pub compared: Option<Box<Compared>>,
    /// Its steps as they can be taken in reality.
    pub strides: Option<Vec<Stride>>,
}

/// What the loop is asked to do about rehearsals.
#[derive(Debug)]
pub enum Wish {
    /// Fork the cluster that is shown.
    Fork(Box<AtHand>),
    /// Back to what was forked.
    Discard,
    Order(Order),
    /// A step that applies a file: its objects are read where files are read.
    Apply(String),
    /// Compute what came of it.
    Outcome,
    /// Compute another outcome, and what came of this one.
    Compare(Box<Other>),
    /// Open what somebody has saved.
    Open(String),
    /// Its steps as they can be taken in reality, each with what it foretells.
    Strides,
    /// End the rehearsal and take its steps in reality.
    Walk(Box<Walk>),
    Save {
        name: String,
        pseudonymise: bool,
    },
}

/// What a rehearsal is compared with.
#[derive(Debug)]
pub enum Other {
    File(String),
    /// What came of the one before.
    Last(Box<Outcome>),
}

/// Two outcomes; the second is of the rehearsal that is shown.
#[derive(Clone, Debug)]
pub struct Compared {
    pub name: String,
    pub outcomes: [Outcome; 2],
}

/// Columns of the last step below which it is left out.
const WORTH_READING: usize = 16;

impl Rehearsing {
    pub fn new(progress: Progress) -> Self {
        Self {
            progress,
            outcome: None,
            compared: None,
            strides: None,
        }
    }

    pub fn clock(&self) -> Clock {
        self.progress.clock
    }

    /// `clock +00:06:10 ▶ x10`.
    pub fn clock_words(&self, now: Timestamp) -> String {
        let passed = self
            .clock()
            .read(now)
            .duration_since(self.progress.forked_at)
            .max(SignedDuration::ZERO);
        let seconds = passed.as_secs();
        let time = format!(
            "+{:02}:{:02}:{:02}",
            seconds / 3600,
            seconds / 60 % 60,
            seconds % 60
        );
        match self.clock().rate() {
            0 => format!("clock {time} ‖"),
            rate => format!("clock {time} ▶ x{rate}"),
        }
    }

    /// The band: what is most to be known comes first, where room is short.
    pub fn band(&self, source: &str, now: Timestamp, room: usize) -> String {
        let forked = self.progress.forked_at.strftime("%H:%M:%S");
        let clock = self.clock_words(now);
        let steps = &self.progress.steps;
        let last = match steps.as_slice() {
            [] if !self.progress.is_ready => "its controllers look around first".to_owned(),
            [] => "w steps and outcome".to_owned(),
            [only] => format!("1: {only}"),
            [.., last] => format!("{}: {last}", steps.len()),
        };
        let plain = format!("REHEARSAL of {source}, {clock} — nothing here is real");
        let dated =
            format!("REHEARSAL of {source}, forked {forked}, {clock} — nothing here is real");
        // What was done last is worth more than when it was forked.
        let whole = format!("{dated}   {last}");
        let left = room.saturating_sub(width(&plain) + 3);
        if width(&whole) <= room {
            whole
        } else if left >= width(&last).min(WORTH_READING) {
            format!("{plain}   {}", cut_end(&last, left))
        } else {
            cut_end(&plain, room)
        }
    }
}

/// What of the cache is all there is of its kind: a fork need not ask for it again.
pub fn at_hand(cache: &Cache) -> AtHand {
    let whole = cache
        .feeds()
        .filter(|(_, state)| matches!(state, FeedState::Live { .. }))
        .map(|(resource, _)| resource.clone())
        .collect();
    AtHand {
        cluster: cache.cluster.clone(),
        whole,
    }
}
