//! What the pods view keeps, and what commands do to it.

use jiff::Timestamp;

use crate::k8s::workload::{WORKLOADS, pods_of};
use crate::k8s::{Resource, Uid, resources};
use crate::tui::columns::Shown;
use crate::tui::columns::pod::{COLUMNS, PodRow, STATUS};
use crate::tui::command::{Command, Motion};
use crate::tui::notice::Notice;
use crate::tui::page::{Ask, Context, Page};
use crate::tui::pages::ages::next_turn;
use crate::tui::pages::travel::travel;
use crate::tui::screen::{Hint, Sorted, Widget};
use crate::tui::table::TableState;
use crate::tui::text::Line;
use crate::tui::view::{Opening, Place, Target, View};

use super::present;

#[derive(Debug)]
pub struct PodsPage {
    pub(super) table: TableState<PodRow>,
    /// Only pods of these: workloads, nodes.
    pub(super) of: Vec<Target>,
    /// The pod whose containers are open, and the container under the cursor.
    pub(super) inside: Option<(Uid, usize)>,
}

impl Default for PodsPage {
    fn default() -> Self {
        Self {
            table: TableState::sorted_by(STATUS, Sorted::Ascending),
            of: Vec::new(),
            inside: None,
        }
    }
}

impl PodsPage {
    fn rows(&self, context: &Context) -> Vec<PodRow> {
        let cluster = context.cluster;
        let row = |object| PodRow::of(cluster, object);
        if self.of.is_empty() {
            return cluster
                .pods()
                .filter(|object| context.scope.contains_key(&object.key))
                .filter_map(row)
                .collect();
        }
        let mut rows = Vec::new();
        for target in &self.of {
            if target.key.resource == resources::NODES {
                rows.extend(cluster.pods_on(&target.key.name).filter_map(row));
            } else if let Some(object) = cluster.get(&target.key) {
                if object.pod().is_some() {
                    rows.extend(row(object));
                } else {
                    rows.extend(pods_of(cluster, object).into_iter().filter_map(row));
                }
            }
        }
        rows
    }

    fn resettle(&mut self, context: &Context) {
        let rows = self.rows(context);
        self.table
            .settle(rows, COLUMNS, present::table_height(self, context), context);
        if let Some((uid, index)) = &mut self.inside {
            let containers = self
                .table
                .records()
                .iter()
                .find(|row| row.object.uid == *uid)
                .and_then(|row| row.object.pod())
                .map(|pod| pod.containers.len());
            match containers {
                Some(count) => *index = (*index).min(count.saturating_sub(1)),
                None => self.inside = None,
            }
        }
    }

    /// The pod whose containers are open.
    pub(super) fn open_pod(&self) -> Option<(&PodRow, usize)> {
        let (uid, index) = self.inside.as_ref()?;
        let row = self
            .table
            .records()
            .iter()
            .find(|row| row.object.uid == *uid)?;
        Some((row, *index))
    }

    fn move_inside(&mut self, motion: Motion) {
        let count = self
            .open_pod()
            .and_then(|(row, _)| row.object.pod())
            .map_or(0, |pod| pod.containers.len());
        if let Some((_, index)) = &mut self.inside {
            *index = match motion {
                Motion::Up => index.saturating_sub(1),
                Motion::Down => (*index + 1).min(count.saturating_sub(1)),
                Motion::Top => 0,
                Motion::Bottom => count.saturating_sub(1),
                _ => *index,
            };
        }
    }
}

impl Page for PodsPage {
    fn feeds(&self) -> Vec<Resource> {
        let mut feeds = WORKLOADS.to_vec();
        feeds.push(resources::EVENTS);
        feeds
    }

    fn open(&mut self, opening: &Opening, context: &Context) -> Vec<Ask> {
        self.of.clone_from(&opening.of);
        self.inside = None;
        if let Some(uid) = &opening.select {
            self.table.select(uid.clone());
        }
        if let Some(filter) = &opening.filter
            && let Err(why) = self.table.set_filter(filter, COLUMNS)
        {
            return vec![Ask::Notice(Notice::warning(why))];
        }
        self.resettle(context);
        Vec::new()
    }

    fn settle(&mut self, context: &Context) -> Vec<Ask> {
        self.resettle(context);
        match self.table.take_dropped_marks() {
            0 => Vec::new(),
            count => vec![Ask::Notice(Notice::note(format!(
                "{count} marks dropped: the filter hides their pods"
            )))],
        }
    }

    fn command(&mut self, command: &Command, context: &Context) -> Vec<Ask> {
        if let (Some(_), Command::Move(motion)) = (&self.inside, command) {
            self.move_inside(*motion);
            return Vec::new();
        }
        if *command == Command::Enter {
            return self.enter();
        }
        let targets = self.selection(context);
        if let Some(asks) = travel(command, &targets, context) {
            return asks;
        }
        match self.table.command(command, COLUMNS) {
            Ok(true) => {
                self.resettle(context);
                Vec::new()
            }
            Ok(false) => Vec::new(),
            Err(why) => vec![Ask::Notice(Notice::warning(why))],
        }
    }

    fn back(&mut self, _context: &Context) -> bool {
        self.inside.take().is_some()
    }

    fn present(&self, context: &Context) -> Widget {
        present::present(self, context)
    }

    fn selection(&self, _context: &Context) -> Vec<Target> {
        match self.open_pod() {
            Some((row, _)) => vec![row.target()],
            None => self.table.meant().into_iter().map(Shown::target).collect(),
        }
    }

    fn filter(&self) -> Option<&str> {
        Some(self.table.filter())
    }

    fn set_filter(&mut self, text: &str, context: &Context) -> Result<(), String> {
        self.table.set_filter(text, COLUMNS)?;
        self.resettle(context);
        Ok(())
    }

    fn hints(&self) -> Option<Vec<Hint>> {
        let hint = |keys: &str, does: &str| Hint {
            keys: keys.to_owned(),
            does: does.to_owned(),
        };
        self.inside.is_some().then(|| {
            vec![
                hint("L", "logs"),
                hint("enter", "logs of this container"),
                hint("d", "describe"),
                hint("y", "yaml"),
                hint("esc", "back"),
            ]
        })
    }

    fn status(&self, context: &Context) -> Line {
        present::status(self, context)
    }

    fn next_wake(&self, context: &Context) -> Option<Timestamp> {
        let created = self
            .table
            .records()
            .iter()
            .filter_map(|row| row.object.created);
        next_turn(context.now, created)
    }

    fn view(&self) -> View {
        View::Pods
    }
}

impl PodsPage {
    fn enter(&mut self) -> Vec<Ask> {
        if let Some((row, index)) = self.open_pod() {
            let container = row
                .object
                .pod()
                .and_then(|pod| pod.containers.get(index))
                .map(|container| container.name.to_string());
            return vec![Ask::Go(Place {
                view: View::Logs,
                with: Opening {
                    of: vec![row.target()],
                    filter: container.map(|name| format!("container={name}")),
                    ..Opening::default()
                },
            })];
        }
        self.inside = self.table.selected().map(|row| (row.object.uid.clone(), 0));
        Vec::new()
    }
}
