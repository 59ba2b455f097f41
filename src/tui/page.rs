//! What a page is to the frame.
//!
//! The frame owns the screen's edges, keys, overlays and the cache. A page owns its rows: it is
//! told when data, size or scope changed ([`Page::settle`]), gets commands, and says what its body
//! shows. It never does I/O and never sends anything: it asks ([`Ask`]).

use jiff::Timestamp;

use crate::k8s::{Cluster, Resource, Uid};

use super::actions::proposal::Consequence;
use super::actions::{Action, Journal};
use super::answer::Answer;
use super::beside::Around;
use super::cache::Cache;
use super::command::Command;
use super::effect::Effect;
use super::forecast::fidelity::Tally;
use super::key::Chord;
use super::keymap::Keymap;
use super::notice::Notice;
use super::screen::Widget;
use super::summary::Summary;
use super::text::Line;
use super::view::{Opening, Place, Scope, Target, View};

/// What a page may read.
#[derive(Clone, Copy)]
pub struct Context<'a> {
    pub cluster: &'a Cluster,
    pub cache: &'a Cache,
    pub scope: &'a Scope,
    /// What is told of the whole cluster, and of which state of it.
    pub summary: &'a Summary,
    /// This cluster and those beside it.
    pub around: Around<'a>,
    pub journal: &'a Journal,
    pub keymap: &'a Keymap,
    /// No changing command exists, and the client under us refuses writes.
    pub read_only: bool,
    pub now: Timestamp,
    /// How well the scheduler is foretold, on a cluster that has its own.
    pub fidelity: Option<&'a Tally>,
    /// The cells of the page's body.
    pub area: Area,
}

impl Context<'_> {
    /// The key that the user has for a command, as texts name it; its word where it has none.
    pub fn key(&self, word: &str) -> String {
        let key = self.keymap.key_of(word);
        key.unwrap_or_else(|| format!(":{word}"))
    }
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Area {
    pub width: u16,
    pub height: u16,
}

/// What a page asks of the frame.
#[derive(Debug)]
pub enum Ask {
    Go(Place),
    /// To where this place was gone to from.
    Back,
    Notice(Notice),
    /// Works in another cluster from now on, as `:ctx` does.
    Switch {
        cluster: String,
        /// The row to put the cursor on there.
        select: Option<Uid>,
    },
    /// Opens the panel that shows what an action would do and sends it when confirmed.
    Propose(Box<Action>),
    /// Opens the same panel only to tell what would come of it; nothing can be sent from there.
    Wonder(Box<Action>),
    /// Sends it at once where neither these concerns nor its own consequences speak against it;
    /// else opens the panel with them.
    Unless {
        action: Box<Action>,
        concerns: Vec<Consequence>,
    },
    /// Opens a menu; the chosen command comes back as any command does.
    Menu {
        title: String,
        choices: Vec<(String, Command)>,
    },
    Effect(Effect),
}

/// A hint while something is open inside a page, with what it does.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum PageHint {
    /// Commands by their words: the user's key map says with which keys.
    Command(&'static [&'static str], &'static str),
    /// Keys that the page reads itself, as a text field does; no key map moves them.
    Keys(&'static str, &'static str),
}

pub trait Page {
    /// The kinds that must be watched while this page is open. Nodes and pods always are.
    fn feeds(&self) -> Vec<Resource> {
        Vec::new()
    }

    /// The kind whose objects are shown as the server prints them.
    fn printed(&self) -> Option<Resource> {
        None
    }

    /// The page is gone to: with an object to show, a row to select, a filter.
    fn open(&mut self, opening: &Opening, context: &Context) -> Vec<Ask>;

    /// Data, size or scope may have changed: sort again, keep the cursor on its object. Called
    /// once before each frame at most, so that a thousand changes cost one sort.
    fn settle(&mut self, context: &Context) -> Vec<Ask>;

    /// A command that the frame did not handle itself.
    fn command(&mut self, command: &Command, context: &Context) -> Vec<Ask>;

    /// Every key goes here first. `None`: the page does not take text now, keys mean commands.
    fn input(&mut self, _chord: Chord, _context: &Context) -> Option<Vec<Ask>> {
        None
    }

    /// Pasted text. `false`: there is nothing here that takes text, and it is dropped.
    fn paste(&mut self, _text: &str) -> bool {
        false
    }

    /// One step back inside the page (an inner panel, a filter). `false`: nothing to step out of.
    fn back(&mut self, _context: &Context) -> bool {
        false
    }

    /// An effect that this page asked for has an answer.
    fn receive(&mut self, _answer: Answer, _context: &Context) -> Vec<Ask> {
        Vec::new()
    }

    /// What the body shows; exactly `context.area` big.
    fn present(&self, context: &Context) -> Widget;

    /// The objects that commands on the selection mean: the marked ones, else the one under the
    /// cursor.
    fn selection(&self, _context: &Context) -> Vec<Target> {
        Vec::new()
    }

    /// The container under the cursor, where containers are shown.
    fn container(&self) -> Option<String> {
        None
    }

    /// The filter in force, for the `/` line.
    fn filter(&self) -> Option<&str> {
        None
    }

    /// What is typed changes the filter while it is typed; a message where it is wrong.
    fn set_filter(&mut self, _text: &str, _context: &Context) -> Result<(), String> {
        Err("this view has no filter".to_owned())
    }

    /// Hints that replace the table's, while something is open inside the page.
    fn hints(&self) -> Option<Vec<PageHint>> {
        None
    }

    /// What stands in the message row while there is no message: counts, what is hidden.
    fn status(&self, _context: &Context) -> Line {
        Line::default()
    }

    /// When this page's picture changes although nothing happens (an age, a countdown).
    fn next_wake(&self, _context: &Context) -> Option<Timestamp> {
        None
    }

    fn view(&self) -> View;
}

/// What a context is made of where there is no console around it.
#[cfg(test)]
#[derive(Default)]
pub struct Surroundings {
    pub cache: Cache,
    pub scope: Scope,
    pub summary: Summary,
    pub beside: Vec<super::beside::Beside>,
    journal: Journal,
    keymap: Keymap,
}

#[cfg(test)]
impl Surroundings {
    pub fn context(&self, now: Timestamp) -> Context<'_> {
        Context {
            fidelity: None,
            cluster: &self.cache.cluster,
            cache: &self.cache,
            scope: &self.scope,
            summary: &self.summary,
            around: Around {
                here: "here",
                user: "admin",
                colour: None,
                others: &self.beside,
            },
            journal: &self.journal,
            keymap: &self.keymap,
            read_only: false,
            now,
            area: Area {
                width: 120,
                height: 40,
            },
        }
    }
}
