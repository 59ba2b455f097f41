//! Orders to the outside. The runtime carries them out; nothing else does I/O.

use std::fmt;

use jiff::Timestamp;
use serde_json::Value;

use crate::k8s::{ObjectKey, Op, Resource};

use super::answer::Answer;
use super::msg::Msg;
use super::rehearsal::Wish;
use super::view::{Target, View};

#[derive(Debug)]
pub enum Effect {
    Quit,
    Suspend,
    Redraw,
    Mouse(bool),
    /// To the terminal's clipboard (OSC 52).
    Copy(String),
    Theme(String),
    /// Watch exactly these kinds from now on.
    Watch(Vec<Resource>),
    /// Follow what the server prints of this kind, and of no other.
    Print(Option<Resource>),
    /// The writes of the journal entry `number`, one after the other.
    Send {
        number: u64,
        ops: Vec<Op>,
    },
    /// Server-side apply of one object, for the journal entry `number`.
    Apply {
        number: u64,
        key: ObjectKey,
        object: Value,
    },
    /// One eviction of the drain that the journal entry `number` began.
    Evict {
        number: u64,
        pod: Target,
    },
    /// The same without taking effect: the server says what would come of it.
    DryRun {
        view: View,
        op: Op,
    },
    /// One object as it is now.
    Fetch {
        view: View,
        key: ObjectKey,
    },
    /// Long computing on another thread; the answer goes to the page.
    Work(Work),
    /// The same for the frame: its answer is any message.
    Compute(Computation),
    /// Log lines of containers; exactly these from now on, none stops all.
    Logs {
        view: View,
        streams: Vec<LogOrder>,
    },
    /// Lines of the cluster's log store, the newest of what is asked for.
    Past {
        view: View,
        orders: Vec<PastOrder>,
    },
    /// Writes a file and tells where.
    Save {
        name: String,
        text: String,
    },
    /// Opens another cluster in the place of this one, by the name that `:ctx` gives it.
    Connect(String),
    /// About a rehearsal.
    Rehearse(Wish),
    /// The terminal goes to a process of a container until that ends.
    Lend(Visit),
    /// The text goes to the user's own editor, which has the terminal until it ends.
    Compose {
        view: View,
        draft: Draft,
    },
    /// Appends to the history of the `:` line.
    Remember(String),
}

/// A text for the user's own editor.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Draft {
    /// The last part of the file's name; editors choose their syntax by it.
    pub name: String,
    pub text: String,
}

/// Which process of a container the terminal is lent to.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Visit {
    pub pod: ObjectKey,
    pub container: String,
    pub kind: VisitKind,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum VisitKind {
    /// A shell that is started for it.
    Shell,
    /// The container's own process; whether it reads, whether it has a terminal.
    Attach { stdin: bool, terminal: bool },
}

/// Something to compute away from the screen's thread.
pub struct Work {
    pub view: View,
    pub run: Box<dyn FnOnce() -> Answer + Send>,
}

/// Something to compute for the frame itself.
pub struct Computation(pub Box<dyn FnOnce() -> Msg + Send>);

impl Computation {
    pub fn of(run: impl FnOnce() -> Msg + Send + 'static) -> Self {
        Self(Box::new(run))
    }
}

impl fmt::Debug for Computation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Computation")
    }
}

impl fmt::Debug for Work {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Work for {:?}", self.view)
    }
}

/// One container's log to follow.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct LogOrder {
    pub pod: ObjectKey,
    pub container: String,
    pub previous: bool,
    pub follow: bool,
    pub since_seconds: Option<i64>,
    pub tail_lines: Option<i64>,
}

/// What to look for in the cluster's log store.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct PastOrder {
    pub namespace: String,
    /// By name; none: those that the selector finds.
    pub pods: Vec<String>,
    pub selector: String,
    pub container: Option<String>,
    /// Only older lines.
    pub until: Option<Timestamp>,
    /// A text, or an expression between slashes; empty: all lines.
    pub grep: String,
    pub lines: usize,
}

impl Effect {
    /// Computes `run` on another thread and gives the answer to the page of `view`.
    pub fn work(view: View, run: impl FnOnce() -> Answer + Send + 'static) -> Self {
        Self::Work(Work {
            view,
            run: Box::new(run),
        })
    }
}
