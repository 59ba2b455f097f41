//! What the queue view keeps: who waits, and the explanation of the one under the cursor.

use jiff::{SignedDuration, Timestamp};

use super::present::{self, COLUMNS};
use super::reasons::{Reasons, reasons};
use super::waiting::{WaitingPod, is_waiting, waiting};
use crate::k8s::workload::WORKLOADS;
use crate::k8s::{Resource, Uid, resources};
use crate::tui::answer::Answer;
use crate::tui::command::Command;
use crate::tui::effect::Effect;
use crate::tui::notice::Notice;
use crate::tui::page::{Ask, Context, Page};
use crate::tui::pages::is_known;
use crate::tui::pages::travel::{note, to_row, travel};
use crate::tui::screen::Widget;
use crate::tui::table::{Record, TableState};
use crate::tui::text::Line;
use crate::tui::view::{Opening, Scope, Target, View};

#[derive(Debug, Default)]
pub struct QueuePage {
    pub(super) table: TableState<WaitingPod>,
    /// A pod that is explained although it does not wait: why is it here?
    pub(super) pinned: Option<Target>,
    pub(super) explained: Option<Explained>,
    /// What is being worked out, of which state of the cache, since when.
    asked: Option<(Target, u64, Timestamp)>,
    under_way: bool,
    /// The state of the cache that the rows were looked for in, and when.
    looked: Option<(u64, Timestamp, Scope)>,
    looking: bool,
    listed: bool,
}

/// A storm of changes costs one look a second.
const LOOK_EVERY: SignedDuration = SignedDuration::from_secs(1);

#[derive(Debug)]
pub struct Explained {
    pub pod: Target,
    pub outcome: Result<Reasons, String>,
    pub at: Timestamp,
}

/// An explanation may take a while on a large fleet; it is made again at most this often.
const AGAIN: SignedDuration = SignedDuration::from_secs(5);

impl Record for WaitingPod {
    fn id(&self) -> Uid {
        self.uid.clone()
    }

    fn texts(&self, each: &mut dyn FnMut(&str)) {
        each(&self.key.to_string());
        for text in [self.state.word(), &*self.message] {
            each(text);
        }
    }
}

impl QueuePage {
    fn list(&mut self, waiting: Vec<WaitingPod>, context: &Context) {
        self.listed = true;
        let rows = waiting
            .into_iter()
            .filter(|pod| context.scope.contains_key(&pod.key));
        self.table.replace(rows, COLUMNS, context);
        self.settle_view(context);
    }

    fn settle_view(&mut self, context: &Context) {
        let height = usize::from(present::table_height(context));
        self.table.settle_view(COLUMNS, height, context);
    }

    /// Looks for those that wait, on another thread: every pod is asked.
    fn look(&mut self, context: &Context) -> Vec<Ask> {
        let version = context.cache.version();
        let due = self.looked.as_ref().is_none_or(|(seen, at, scope)| {
            scope != context.scope
                || *seen != version && context.now.duration_since(*at) >= LOOK_EVERY
        });
        let loading = context.cache.still_loading(&[resources::PODS]).is_some();
        if !due || self.looking || loading {
            return Vec::new();
        }
        self.looked = Some((version, context.now, context.scope.clone()));
        self.looking = true;
        let cluster = context.cluster.clone();
        vec![Ask::Effect(Effect::work(View::Queue, move || {
            Answer::Waiting(waiting(&cluster))
        }))]
    }

    /// Before that nothing is known of who waits.
    pub(super) fn has_looked(&self) -> bool {
        self.listed
    }

    /// The pod whose explanation is shown.
    pub(super) fn subject(&self) -> Option<Target> {
        self.pinned.clone().or_else(|| {
            self.table.selected().map(|pod| Target {
                key: pod.key.clone(),
                uid: pod.uid.clone(),
            })
        })
    }

    fn ask(&mut self, context: &Context) -> Vec<Ask> {
        let Some(subject) = self.subject() else {
            return Vec::new();
        };
        let version = context.cache.version();
        let fresh = self.asked.as_ref().is_some_and(|(target, seen, at)| {
            *target == subject && (*seen == version || context.now.duration_since(*at) < AGAIN)
        });
        if fresh || self.under_way || !is_known(context) {
            return Vec::new();
        }
        let Some(pod) = context.cluster.get(&subject.key).cloned() else {
            return Vec::new();
        };
        self.asked = Some((subject.clone(), version, context.now));
        self.under_way = true;
        let cluster = context.cluster.clone();
        let scheduler = context.cache.scheduler();
        vec![Ask::Effect(Effect::work(View::Queue, move || {
            let snapshot = scheduler.snapshot(&cluster);
            Answer::Explained {
                pod: subject,
                outcome: Box::new(reasons(&cluster, &snapshot, &pod)),
            }
        }))]
    }
}

impl Page for QueuePage {
    fn feeds(&self) -> Vec<Resource> {
        let mut feeds = WORKLOADS.to_vec();
        feeds.extend([
            resources::EVENTS,
            resources::PERSISTENT_VOLUME_CLAIMS,
            resources::PERSISTENT_VOLUMES,
            resources::STORAGE_CLASSES,
            resources::POD_DISRUPTION_BUDGETS,
            resources::PRIORITY_CLASSES,
            resources::SERVICES,
        ]);
        feeds
    }

    fn open(&mut self, opening: &Opening, context: &Context) -> Vec<Ask> {
        self.settle_view(context);
        self.pinned = None;
        if let Some(target) = opening.of.first() {
            let waits = context
                .cluster
                .get(&target.key)
                .is_some_and(|pod| is_waiting(pod));
            if waits {
                self.table.select(target.uid.clone());
            } else {
                self.pinned = Some(target.clone());
            }
        } else if let Some(uid) = &opening.select {
            self.table.select(uid.clone());
        }
        self.looked = None;
        let mut asks = self.look(context);
        asks.extend(self.ask(context));
        asks
    }

    fn settle(&mut self, context: &Context) -> Vec<Ask> {
        self.settle_view(context);
        let mut asks = self.look(context);
        asks.extend(self.ask(context));
        asks
    }

    fn command(&mut self, command: &Command, context: &Context) -> Vec<Ask> {
        if *command == Command::Enter {
            return match self.subject() {
                Some(target) => vec![to_row(&target)],
                None => note("nothing waits"),
            };
        }
        let targets = self.selection(context);
        if *command != Command::Why
            && let Some(asks) = travel(command, &targets, context)
        {
            return asks;
        }
        match self.table.command(command, COLUMNS) {
            Ok(moved) => {
                if moved {
                    self.pinned = None;
                }
                self.settle_view(context);
                self.ask(context)
            }
            Err(why) => vec![Ask::Notice(Notice::warning(why))],
        }
    }

    fn back(&mut self, _context: &Context) -> bool {
        false
    }

    fn receive(&mut self, answer: Answer, context: &Context) -> Vec<Ask> {
        match answer {
            Answer::Explained { pod, outcome } => {
                self.under_way = false;
                self.explained = Some(Explained {
                    pod,
                    outcome: *outcome,
                    at: context.now,
                });
            }
            Answer::Waiting(waiting) => {
                self.looking = false;
                self.list(waiting, context);
            }
            _ => {}
        }
        // Another row may have been selected meanwhile.
        self.ask(context)
    }

    fn present(&self, context: &Context) -> Widget {
        present::present(self, context)
    }

    fn selection(&self, _context: &Context) -> Vec<Target> {
        if let Some(pinned) = &self.pinned {
            return vec![pinned.clone()];
        }
        self.table
            .meant()
            .into_iter()
            .map(|pod| Target {
                key: pod.key.clone(),
                uid: pod.uid.clone(),
            })
            .collect()
    }

    fn filter(&self) -> Option<&str> {
        Some(self.table.filter())
    }

    fn set_filter(&mut self, text: &str, context: &Context) -> Result<(), String> {
        self.table.set_filter(text, COLUMNS)?;
        self.settle_view(context);
        Ok(())
    }

    fn status(&self, context: &Context) -> Line {
        present::status(self, context)
    }

    fn next_wake(&self, context: &Context) -> Option<Timestamp> {
        let wait = if self.table.is_empty() { 60 } else { 1 };
        context
            .now
            .checked_add(SignedDuration::from_secs(wait))
            .ok()
    }

    fn view(&self) -> View {
        View::Queue
    }
}
