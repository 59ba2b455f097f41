//! What the workloads view keeps, and what commands do to it.

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};

use super::losses::{Losses, level_for, losses};
use super::present;
use super::replicas::{Outcome, ReplicasEditor, Step};
use crate::k8s::workload::{WORKLOADS, Workload, pods_of, root_of};
use crate::k8s::{Object, Resource, Revision, Uid, resources};
use crate::sched::surroundings::WATCHED;
use crate::tui::actions::Action;
use crate::tui::actions::proposal::{Consequence, Weight};
use crate::tui::answer::Answer;
use crate::tui::cache::Logged;
use crate::tui::columns::Shown;
use crate::tui::columns::workload::{COLUMNS, WorkloadRow};
use crate::tui::command::{Command, Motion};
use crate::tui::effect::Effect;
use crate::tui::forecast::replicas::forecast;
use crate::tui::key::Chord;
use crate::tui::listing::{Concerned, Listing, Source};
use crate::tui::notice::Notice;
use crate::tui::page::{Ask, Context, Page, PageHint};
use crate::tui::pages::is_known;
use crate::tui::pages::travel::{note, travel};
use crate::tui::screen::Widget;
use crate::tui::table::Column;
use crate::tui::text::Line;
use crate::tui::view::{Opening, Place, Target, View};

#[derive(Debug, Default)]
pub struct WorkloadsPage {
    pub(super) list: Listing<Workloads>,
    pub(super) editor: Option<ReplicasEditor>,
    /// The cursor stands on the replicas of its row: digits are a number there, not views.
    pub(super) on_replicas: bool,
    /// When the losses were asked for last, and of which state of the cache.
    asked: Option<(Timestamp, u64)>,
}

/// Every workload that no other one owns.
#[derive(Debug, Default)]
pub struct Workloads {
    /// What each object says by itself, decoded once a revision.
    read: BTreeMap<Uid, (Revision, Option<Workload>)>,
    losses: Losses,
}

/// Losses change with every pod that moves; nobody needs them more often than this.
const LOSSES_EVERY: SignedDuration = SignedDuration::from_secs(2);
/// Decoded workloads that are kept although their objects may be gone.
const READ_SPARE: usize = 1_000;

impl Source for Workloads {
    type Row = WorkloadRow;

    fn columns(&self) -> &'static [Column<WorkloadRow>] {
        COLUMNS
    }

    fn all(&self, context: &Context) -> Vec<Arc<Object>> {
        WORKLOADS
            .iter()
            .flat_map(|resource| context.cluster.list(resource))
            .cloned()
            .collect()
    }

    fn row(&mut self, object: &Arc<Object>, context: &Context) -> Option<WorkloadRow> {
        // What is owned is its owner's detail.
        if object.controller().is_some() {
            return None;
        }
        let mut workload = self.read(object)?;
        workload.observe(pods_of(context.cluster, object).into_iter());
        Some(WorkloadRow {
            object: Arc::clone(object),
            health: workload.health(),
            worst_loss: self.losses.get(&object.key).cloned(),
            workload,
        })
    }

    /// A change of a pod, or of what stands between, concerns the workload at the top.
    fn concerned(&self, change: &Logged, context: &Context, rows: &mut Concerned) {
        let resource = &change.key.resource;
        if *resource != resources::PODS && !WORKLOADS.contains(resource) {
            return;
        }
        if *resource != resources::PODS {
            rows.insert(change.uid.clone(), change.key.clone());
        }
        let now = context.cluster.get(&change.key);
        for object in now.into_iter().chain(&change.before) {
            let root = root_of(context.cluster, object);
            if WORKLOADS.contains(&root.key.resource) {
                rows.insert(root.uid.clone(), root.key.clone());
            }
        }
    }

    /// Every pod of it is looked at.
    fn cost(row: &WorkloadRow) -> usize {
        1 + usize::try_from(row.workload.current).unwrap_or(0)
    }
}

impl Workloads {
    fn read(&mut self, object: &Arc<Object>) -> Option<Workload> {
        let known = self
            .read
            .get(&object.uid)
            .filter(|(revision, _)| *revision == object.revision);
        if let Some((_, read)) = known {
            return read.clone();
        }
        let read = Workload::read(object).ok().flatten();
        self.read
            .insert(object.uid.clone(), (object.revision, read.clone()));
        read
    }

    /// Drops what was decoded of objects that are gone.
    fn forget(&mut self, shown: usize) {
        if self.read.len() > 2 * shown + READ_SPARE {
            self.read.clear();
        }
    }
}

impl WorkloadsPage {
    /// Asks for the worst losses again when something has changed since.
    fn ask_losses(&mut self, context: &Context) -> Vec<Ask> {
        let version = context.cache.version();
        let due = self.asked.is_none_or(|(at, seen)| {
            seen != version && context.now.duration_since(at) >= LOSSES_EVERY
        });
        if !due || !is_known(context) {
            return Vec::new();
        }
        self.asked = Some((context.now, version));
        let cluster = context.cluster.clone();
        vec![Ask::Effect(Effect::work(View::Workloads, move || {
            Answer::Losses(losses(&cluster))
        }))]
    }

    /// `digit` is the first of the number, where one was typed on the replicas.
    fn open_editor(&mut self, digit: Option<Chord>, context: &Context) -> Vec<Ask> {
        let Some(row) = self.list.table.selected() else {
            return note("nothing is selected");
        };
        if !row.workload.scalable {
            return note(format!(
                "{} has no replicas to set: it runs {}",
                row.object.name(),
                match row.object.key.resource.plural.as_str() {
                    "daemonsets" => "one pod on each matching node",
                    "jobs" => "to completion",
                    _ => "by a schedule",
                }
            ));
        }
        let mut editor =
            ReplicasEditor::new(row.target(), row.workload.desired, !context.read_only);
        if let Some(digit) = digit {
            editor.key(digit);
        }
        self.editor = Some(editor);
        self.ask_forecast(context)
    }

    fn ask_forecast(&mut self, context: &Context) -> Vec<Ask> {
        let Some(editor) = &mut self.editor else {
            return Vec::new();
        };
        let Some(to) = editor.number().filter(|to| *to != editor.from) else {
            return Vec::new();
        };
        if let Some(loading) = context.cache.still_loading(&forecast_reads()) {
            editor.outcome = Outcome::Loading(loading);
            return Vec::new();
        }
        editor.outcome = Outcome::Computing;
        let cluster = context.cluster.clone();
        let scheduler = context.cache.scheduler();
        let target = editor.target.clone();
        vec![Ask::Effect(Effect::work(View::Workloads, move || {
            let snapshot = scheduler.snapshot(&cluster);
            let level = level_for(&cluster);
            let replicas = u32::try_from(to).unwrap_or(u32::MAX);
            let outcome = forecast(&cluster, &snapshot, &target.key, replicas, level.as_ref());
            Answer::ReplicasForecast {
                target,
                to,
                outcome: outcome.map(Box::new),
            }
        }))]
    }

    /// Sends what was typed when its outcome is harmless, else asks with what is wrong.
    fn send(editor: &ReplicasEditor, to: i64, context: &Context) -> Vec<Ask> {
        let target = &editor.target;
        let action = context
            .cluster
            .get(&target.key)
            .filter(|object| object.uid == target.uid)
            .and_then(|object| Action::scale(object, to));
        let Some(action) = action else {
            return vec![Ask::Notice(Notice::warning(format!(
                "{} is gone; nothing was sent",
                target.path()
            )))];
        };
        let mut concerns = editor.concerns();
        let reads = forecast_reads();
        let withheld = context.cache.withheld(&reads);
        if !withheld.is_empty() {
            let kinds: Vec<&str> = withheld
                .iter()
                .map(|resource| resource.plural.as_str())
                .collect();
            concerns.push(Consequence {
                weight: Weight::Warning,
                text: format!("you may not see {}: they are not counted", kinds.join(", ")),
            });
        }
        if let Action::Scale { from, .. } = &action
            && *from != editor.from
        {
            concerns.push(Consequence {
                weight: Weight::Warning,
                text: format!("somebody has set {from} meanwhile"),
            });
        }
        vec![Ask::Unless {
            action: Box::new(action),
            concerns,
        }]
    }
}

/// All that the forecast reads: before it is here, nothing is said.
fn forecast_reads() -> Vec<Resource> {
    let mut reads = vec![
        resources::NODES,
        resources::PODS,
        resources::RESOURCE_QUOTAS,
        resources::HORIZONTAL_POD_AUTOSCALERS,
    ];
    reads.extend(WATCHED);
    reads.extend(WORKLOADS);
    reads
}

impl Page for WorkloadsPage {
    fn feeds(&self) -> Vec<Resource> {
        let mut feeds = forecast_reads();
        feeds.push(resources::CONTROLLER_REVISIONS);
        feeds
    }

    fn open(&mut self, opening: &Opening, context: &Context) -> Vec<Ask> {
        self.editor = None;
        let mut asks = self.list.open(opening, height(context), context);
        asks.extend(self.ask_losses(context));
        asks
    }

    fn settle(&mut self, context: &Context) -> Vec<Ask> {
        let mut asks = self.list.settle(height(context), context);
        self.list.source.forget(self.list.table.unfiltered());
        asks.extend(self.ask_losses(context));
        let waits = matches!(
            self.editor.as_ref().map(|editor| &editor.outcome),
            Some(Outcome::Loading(_))
        );
        if waits {
            asks.extend(self.ask_forecast(context));
        }
        asks
    }

    fn command(&mut self, command: &Command, context: &Context) -> Vec<Ask> {
        match command {
            Command::Enter => {
                let of = self.selection(context);
                return vec![Ask::Go(Place {
                    view: View::Pods,
                    with: Opening {
                        of,
                        ..Opening::default()
                    },
                })];
            }
            // Asking what would come of it is no change: only sending it is.
            Command::Replicas(None) => {
                return self.open_editor(None, context);
            }
            Command::Move(motion @ (Motion::Left | Motion::Right)) if !context.read_only => {
                self.on_replicas = *motion == Motion::Right;
                return Vec::new();
            }
            _ => {}
        }
        let targets = self.selection(context);
        if let Some(asks) = travel(command, &targets, context) {
            return asks;
        }
        self.list.command(command, context)
    }

    fn input(&mut self, chord: Chord, context: &Context) -> Option<Vec<Ask>> {
        let Some(editor) = self.editor.as_mut() else {
            let digit = chord.typed().is_some_and(|letter| letter.is_ascii_digit());
            return (self.on_replicas && digit).then(|| self.open_editor(Some(chord), context));
        };
        match editor.key(chord) {
            Step::Changed => Some(self.ask_forecast(context)),
            Step::Unchanged => Some(Vec::new()),
            Step::Leave => {
                self.editor = None;
                Some(Vec::new())
            }
            Step::Send(to) => {
                let editor = self.editor.take()?;
                self.on_replicas = false;
                Some(Self::send(&editor, to, context))
            }
        }
    }

    fn back(&mut self, _context: &Context) -> bool {
        self.editor.take().is_some() || std::mem::take(&mut self.on_replicas)
    }

    fn receive(&mut self, answer: Answer, _context: &Context) -> Vec<Ask> {
        match answer {
            Answer::ReplicasForecast {
                target,
                to,
                outcome,
            } => {
                if let Some(editor) = &mut self.editor {
                    editor.answer(&target, to, outcome);
                }
            }
            Answer::Losses(losses) => {
                self.list.table.amend(|row| {
                    row.worst_loss = losses.get(&row.object.key).cloned();
                });
                self.list.source.losses = losses;
            }
            _ => {}
        }
        Vec::new()
    }

    fn present(&self, context: &Context) -> Widget {
        present::present(self, context)
    }

    fn selection(&self, _context: &Context) -> Vec<Target> {
        self.list.selection()
    }

    fn filter(&self) -> Option<&str> {
        Some(self.list.table.filter())
    }

    fn set_filter(&mut self, text: &str, context: &Context) -> Result<(), String> {
        self.list.set_filter(text, context)
    }

    fn hints(&self) -> Option<Vec<PageHint>> {
        if let Some(editor) = &self.editor {
            let mut hints = vec![
                PageHint::Keys("0-9", "replicas"),
                PageHint::Keys("+ -", "one more, one less"),
            ];
            if editor.sends {
                hints.push(PageHint::Keys(
                    "enter",
                    "send; asks where it is not harmless",
                ));
            }
            hints.push(PageHint::Keys("esc", "leave"));
            return Some(hints);
        }
        self.on_replicas.then(|| {
            vec![
                PageHint::Keys("0-9", "set replicas"),
                PageHint::Command(&["down", "up"], "other rows"),
                PageHint::Command(&["left"], "off the replicas: digits are views again"),
            ]
        })
    }

    fn status(&self, context: &Context) -> Line {
        present::status(self, context)
    }

    fn next_wake(&self, context: &Context) -> Option<Timestamp> {
        self.list.next_wake(context)
    }

    fn view(&self) -> View {
        View::Workloads
    }
}

/// Rows of the table; its head takes one line.
fn height(context: &Context) -> usize {
    usize::from(context.area.height.saturating_sub(1))
}
