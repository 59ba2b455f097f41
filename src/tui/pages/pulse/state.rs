//! What the pulse keeps: the last findings, and which one is selected.

use jiff::{SignedDuration, Timestamp};

use super::examine::findings;
use super::finding::{Finding, FindingKind};
use super::present::{self, COLUMNS};
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
use crate::tui::view::{Opening, Place, Target, View};

#[derive(Debug, Default)]
pub struct PulsePage {
    pub(super) table: TableState<Finding>,
    findings: Vec<Finding>,
    /// When the findings were made; `None` before the first time.
    pub(super) made: Option<Timestamp>,
    /// The state of the cache that was last examined, and when.
    asked: Option<(Timestamp, u64)>,
    under_way: bool,
}

/// A storm of changes costs one look a second.
const EVERY: SignedDuration = SignedDuration::from_secs(1);

impl Record for Finding {
    fn id(&self) -> Uid {
        // A finding has no uid of its own; what it is about and what it says make one.
        Uid(format!("{} {} {}", self.kind.word(), self.about, self.word).into())
    }

    fn search_text(&self) -> String {
        format!("{} {} {} {}", self.about, self.word, self.what, self.why)
    }
}

impl PulsePage {
    fn resettle(&mut self, context: &Context) {
        let rows: Vec<Finding> = self
            .findings
            .iter()
            .filter(|finding| context.scope.contains_key(&finding.about))
            .cloned()
            .collect();
        let height = usize::from(present::table_height(context));
        self.table.settle(rows, COLUMNS, height, context);
    }

    fn ask(&mut self, context: &Context) -> Vec<Ask> {
        let version = context.cache.version();
        let due = self.asked.is_none_or(|(at, seen)| {
            context.now.duration_since(at) >= EVERY
                // Waiting grows into trouble without any change.
                && (seen != version || context.now.duration_since(at).as_secs() >= 15)
        });
        if !due || self.under_way || !is_known(context) {
            return Vec::new();
        }
        self.asked = Some((context.now, version));
        self.under_way = true;
        let (cluster, now) = (context.cluster.clone(), context.now);
        vec![Ask::Effect(Effect::work(View::Pulse, move || {
            Answer::Findings(findings(&cluster, now))
        }))]
    }

    fn enter(&self, context: &Context) -> Vec<Ask> {
        let Some(finding) = self.table.selected() else {
            return Vec::new();
        };
        let Some(object) = context.cluster.get(&finding.about) else {
            return note(format!("{} is gone", finding.about));
        };
        let target = Target::of(object);
        match finding.kind {
            FindingKind::Pods | FindingKind::Pending | FindingKind::Terminating => {
                let select = finding
                    .example
                    .as_ref()
                    .and_then(|key| context.cluster.get(key))
                    .map(|pod| pod.uid.clone());
                vec![Ask::Go(Place {
                    view: View::Pods,
                    with: Opening {
                        of: vec![target],
                        select,
                        ..Opening::default()
                    },
                })]
            }
            _ => vec![to_row(&target)],
        }
    }
}

impl Page for PulsePage {
    fn feeds(&self) -> Vec<Resource> {
        let mut feeds = WORKLOADS.to_vec();
        feeds.extend([
            resources::SERVICES,
            resources::EVENTS,
            resources::POD_DISRUPTION_BUDGETS,
            resources::PERSISTENT_VOLUME_CLAIMS,
        ]);
        feeds
    }

    fn open(&mut self, _opening: &Opening, context: &Context) -> Vec<Ask> {
        self.resettle(context);
        self.ask(context)
    }

    fn settle(&mut self, context: &Context) -> Vec<Ask> {
        self.resettle(context);
        self.ask(context)
    }

    fn command(&mut self, command: &Command, context: &Context) -> Vec<Ask> {
        if *command == Command::Enter {
            return self.enter(context);
        }
        // A pod says more about itself than its workload does.
        let targets = match command {
            Command::Why | Command::Logs | Command::Node => self.examples(context),
            _ => self.selection(context),
        };
        if let Some(asks) = travel(command, &targets, context) {
            return asks;
        }
        match self.table.command(command, COLUMNS) {
            Ok(_) => {
                self.resettle(context);
                Vec::new()
            }
            Err(why) => vec![Ask::Notice(Notice::warning(why))],
        }
    }

    fn receive(&mut self, answer: Answer, context: &Context) -> Vec<Ask> {
        if let Answer::Findings(findings) = answer {
            self.findings = findings;
            self.made = Some(context.now);
            self.under_way = false;
            self.resettle(context);
        }
        Vec::new()
    }

    fn present(&self, context: &Context) -> Widget {
        present::present(self, context)
    }

    fn selection(&self, context: &Context) -> Vec<Target> {
        self.table
            .meant()
            .into_iter()
            .filter_map(|finding| context.cluster.get(&finding.about))
            .map(|object| Target::of(object))
            .collect()
    }

    fn filter(&self) -> Option<&str> {
        Some(self.table.filter())
    }

    fn set_filter(&mut self, text: &str, context: &Context) -> Result<(), String> {
        self.table.set_filter(text, COLUMNS)?;
        self.resettle(context);
        Ok(())
    }

    fn status(&self, context: &Context) -> Line {
        present::status(self, context)
    }

    fn next_wake(&self, context: &Context) -> Option<Timestamp> {
        let wait = if self.findings.is_empty() { 15 } else { 1 };
        context
            .now
            .checked_add(SignedDuration::from_secs(wait))
            .ok()
    }

    fn view(&self) -> View {
        View::Pulse
    }
}

impl PulsePage {
    fn examples(&self, context: &Context) -> Vec<Target> {
        self.table
            .meant()
            .into_iter()
            .filter_map(|finding| {
                let key = finding.example.as_ref().unwrap_or(&finding.about);
                context.cluster.get(key)
            })
            .map(|object| Target::of(object))
            .collect()
    }
}
