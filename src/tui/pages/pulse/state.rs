//! What the pulse keeps: the last findings, and which one is selected.

use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};

use super::finding::{Finding, FindingKind, worse};
use super::present::{self, columns};
use super::row::{Mark, Row};
use crate::k8s::workload::WORKLOADS;
use crate::k8s::{Name, Resource, resources};
use crate::tui::command::{Command, PageCommand};
use crate::tui::notice::Notice;
use crate::tui::page::{Ask, Context, Page};
use crate::tui::pages::travel::{note, to_row, travel};
use crate::tui::screen::Widget;
use crate::tui::table::TableState;
use crate::tui::text::Line;
use crate::tui::view::{Opening, Place, Scope, Target, View};

#[derive(Debug, Default)]
pub struct PulsePage {
    pub(super) table: TableState<Row>,
    /// The findings that the table shows, those of other clusters after the own, and whose.
    shown: Option<(Vec<Arc<Vec<Finding>>>, Scope)>,
}

impl PulsePage {
    fn resettle(&mut self, context: &Context) {
        let height = usize::from(present::table_height(context));
        let all: Vec<Arc<Vec<Finding>>> = std::iter::once(&context.summary.findings)
            .chain(
                context
                    .around
                    .others
                    .iter()
                    .map(|other| &other.look.summary.findings),
            )
            .map(Arc::clone)
            .collect();
        let same = self.shown.as_ref().is_some_and(|(shown, scope)| {
            let pairs = || shown.iter().zip(&all);
            scope == context.scope
                && shown.len() == all.len()
                && pairs().all(|(shown, now)| Arc::ptr_eq(shown, now))
        });
        if !same {
            self.table.replace(rows(context), columns(context), context);
            self.shown = Some((all, context.scope.clone()));
        }
        self.table.settle_view(columns(context), height, context);
    }

    fn enter(&self, context: &Context) -> Vec<Ask> {
        let Some(row) = self.table.selected() else {
            return Vec::new();
        };
        if let Some(cluster) = row.elsewhere() {
            return vec![Ask::Switch {
                cluster: cluster.to_string(),
                select: Some(row.id_there()),
            }];
        }
        let finding = &row.finding;
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

/// Whether a command does something with the objects under the cursor, be it only to look.
fn concerns_objects(command: &Command) -> bool {
    matches!(
        command,
        Command::Describe
            | Command::Yaml
            | Command::Edit
            | Command::Logs
            | Command::ObjectTimeline
            | Command::Why
            | Command::Away
            | Command::Owner
            | Command::Node
            | Command::Replicas(_)
            | Command::Change(_)
            | Command::Page(PageCommand::Tree)
    )
}

/// All that is wrong in the clusters that are shown, ranked as one list.
fn rows(context: &Context) -> Vec<Row> {
    let around = &context.around;
    let several = !around.others.is_empty();
    let in_scope = |finding: &&Finding| context.scope.contains_key(&finding.about);
    let own = context.summary.findings.iter().filter(in_scope);
    let mut rows: Vec<Row> = own
        .map(|finding| Row {
            finding: finding.clone(),
            cluster: several.then(|| Mark {
                name: Name::new(around.here),
                colour: around.colour,
            }),
            here: true,
        })
        .collect();
    for other in around.others {
        let theirs = other.look.summary.findings.iter().filter(in_scope);
        rows.extend(theirs.map(|finding| Row {
            finding: finding.clone(),
            cluster: Some(Mark {
                name: other.name.clone(),
                colour: other.colour,
            }),
            here: false,
        }));
    }
    if several {
        // Stable: equal ones stay in the clusters' order.
        rows.sort_by(|left, right| worse(&left.finding, &right.finding));
    }
    rows
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

    fn open(&mut self, opening: &Opening, context: &Context) -> Vec<Ask> {
        if let Some(row) = &opening.select {
            self.table.select(row.clone());
        }
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
        // Another cluster's rows are looked at here; what is done is done there.
        let meant = self.table.meant().into_iter();
        let mut elsewhere = meant.filter_map(Row::elsewhere);
        if let Some(cluster) = elsewhere.next().filter(|_| concerns_objects(command)) {
            return note(format!(
                "this is of {cluster}; enter works there from now on"
            ));
        }
        // A pod says more about itself than its workload does.
        let targets = match command {
            Command::Why | Command::Logs | Command::Node => self.examples(context),
            _ => self.selection(context),
        };
        if let Some(asks) = travel(command, &targets, context) {
            return asks;
        }
        match self.table.command(command, columns(context)) {
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
            .filter(|row| row.here)
            .flat_map(|row| match &row.finding.domain {
                Some(lost) => lost.nodes.as_slice(),
                None => std::slice::from_ref(&row.finding.about),
            })
            .filter_map(|key| context.cluster.get(key))
            .map(|object| Target::of(object))
            .collect()
    }

    fn filter(&self) -> Option<&str> {
        Some(self.table.filter())
    }

    fn set_filter(&mut self, text: &str, context: &Context) -> Result<(), String> {
        self.table.set_filter(text, columns(context))?;
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
            .filter(|row| row.here)
            .filter_map(|row| {
                let example = row.finding.example.as_ref();
                context.cluster.get(example.unwrap_or(&row.finding.about))
            })
            .map(|object| Target::of(object))
            .collect()
    }
}
