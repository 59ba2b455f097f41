//! Facts that reach the console, on one bounded channel.

use crate::connect::rehearsal::Progress;
use crate::k8s::{Name, Resource};
use crate::rehearse::Outcome;
use crate::rehearse::walk::Stride;

use super::actions::drain::EvictionAnswer;
use super::actions::proposal::Consequence;
use super::answer::Answer;
use super::beside::BesideEvent;
use super::cache::{FeedEvent, KindInfo};
use super::forecast::fidelity::Looked;
use super::forecast::moves::{Moves, MovesQuestion};
use super::key::Chord;
use super::notice::Notice;
use super::printed::PrintedEvent;
use super::rehearsal::Compared;
use super::view::{Target, View};

#[derive(Debug)]
pub enum Msg {
    Key(Chord),
    Paste(String),
    /// Rows scrolled, positive is down.
    Scroll(i16),
    Resize(u16, u16),
    Feed(Resource, FeedEvent),
    /// Of a cluster that is shown beside this one.
    Beside {
        cluster: Name,
        event: BesideEvent,
    },
    Kinds(Vec<KindInfo>),
    /// What the server prints of objects of a kind.
    Printed(Resource, PrintedEvent),
    Answer(View, Answer),
    /// One write of a journal entry was answered.
    Sent {
        number: u64,
        result: Result<(), String>,
    },
    /// An eviction of a drain was answered.
    Evicted {
        number: u64,
        answer: EvictionAnswer,
    },
    /// Where the pods of a drain would go; for the panel that asks whether to begin it.
    DrainForecast {
        nodes: Vec<Target>,
        notes: Vec<Consequence>,
    },
    /// What the rebalancer would move; for the panel that asked.
    Moves {
        question: MovesQuestion,
        result: Box<Result<Moves, String>>,
    },
    /// Bindings were compared with what was foretold.
    Fidelity(Box<Looked>),
    /// The rehearsal that is shown went on.
    Rehearsed(Progress),
    /// What came of it.
    Outcome(Box<Outcome>),
    /// The same of two.
    Compared(Box<Compared>),
    /// What came of the rehearsal that was ended.
    LastOutcome(Box<Outcome>),
    /// Its steps as they can be taken in reality.
    Strides(Vec<Stride>),
    Contexts(Vec<String>),
    Notice(Notice),
    /// Time passed: something that was shown may be over.
    Tick,
    /// The process is asked to end, or the terminal is gone.
    Ended,
}
