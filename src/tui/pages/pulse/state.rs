//! What the pulse keeps: the last findings, and which one is selected.

use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};

use super::finding::{Finding, FindingKind};
use super::present::{self, COLUMNS, about};
use crate::k8s::workload::WORKLOADS;
use crate::k8s::{Resource, Uid, resources};
use crate::tui::command::Command;
use crate::tui::notice::Notice;
use crate::tui::page::{Ask, Context, Page};
use crate::tui::pages::travel::{note, to_row, travel};
use crate::tui::screen::Widget;
use crate::tui::table::{Record, TableState};
use crate::tui::text::Line;
use crate::tui::view::{Opening, Place, Scope, Target, View};

#[derive(Debug, Default)]
pub struct PulsePage {
    pub(super) table: TableState<Finding>,
    /// The findings that the table shows, and whose.
    shown: Option<(Arc<Vec<Finding>>, Scope)>,
}

impl Record for Finding {
    fn id(&self) -> Uid {
        // A finding has no uid of its own; what it is about and what it says make one.
        Uid(format!("{} {} {}", self.kind.word(), about(self), self.word).into())
    }

    fn texts(&self, each: &mut dyn FnMut(&str)) {
        each(&about(self));
        each(&self.about.to_string());
        for text in [&*self.word, &self.what, &self.why] {
            each(text);
        }
    }
}

impl PulsePage {
    fn resettle(&mut self, context: &Context) {
        let height = usize::from(present::table_height(context));
        let findings = &context.summary.findings;
        let same = self
            .shown
            .as_ref()
            .is_some_and(|(shown, scope)| Arc::ptr_eq(shown, findings) && scope == context.scope);
        if !same {
            let rows = findings
                .iter()
                .filter(|finding| context.scope.contains_key(&finding.about));
            self.table.replace(rows.cloned(), COLUMNS, context);
            self.shown = Some((Arc::clone(findings), context.scope.clone()));
        }
        self.table.settle_view(COLUMNS, height, context);
    }

    fn enter(&self, context: &Context) -> Vec<Ask> {
        let Some(finding) = self.table.selected() else {
            return Vec::new();
        };
        let Some(object) = context.cluster.get(&finding.about) else {
            return note(format!("{} is gone", finding.about));
        };
        if let Some(lost) = &finding.domain {
            return vec![Ask::Go(Place {
                view: View::Domains,
                with: Opening {
                    domain: Some((lost.level.label.clone(), lost.name.clone())),
                    ..Opening::default()
                },
            })];
        }
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
        Vec::new()
    }

    fn settle(&mut self, context: &Context) -> Vec<Ask> {
        self.resettle(context);
        Vec::new()
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

    fn present(&self, context: &Context) -> Widget {
        present::present(self, context)
    }

    fn selection(&self, context: &Context) -> Vec<Target> {
        self.table
            .meant()
            .into_iter()
            .flat_map(|finding| match &finding.domain {
                Some(lost) => lost.nodes.as_slice(),
                None => std::slice::from_ref(&finding.about),
            })
            .filter_map(|key| context.cluster.get(key))
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
        let wait = if self.table.unfiltered() == 0 { 15 } else { 1 };
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
