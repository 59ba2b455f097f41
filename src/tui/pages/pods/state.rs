//! What the pods view keeps, and what commands do to it.

use std::sync::Arc;

use jiff::Timestamp;

use crate::k8s::workload::{WORKLOADS, chain_of, pods_of};
use crate::k8s::{Object, Resource, Uid, resources};
use crate::tui::cache::Logged;
use crate::tui::columns::Shown;
use crate::tui::columns::pod::{COLUMNS, PodRow, STATUS};
use crate::tui::command::{Command, Motion};
use crate::tui::listing::{Concerned, Listing, Source};
use crate::tui::page::{Ask, Context, Page, PageHint};
use crate::tui::pages::travel::travel;
use crate::tui::screen::{Sorted, Widget};
use crate::tui::table::{Column, TableState};
use crate::tui::text::Line;
use crate::tui::view::{Opening, Place, Target, View};

use super::present;

#[derive(Debug)]
pub struct PodsPage {
    pub(super) list: Listing<Pods>,
    /// The pod whose containers are open, and the container under the cursor.
    pub(super) inside: Option<(Uid, usize)>,
}

/// All pods, or those of some objects.
#[derive(Debug, Default)]
pub struct Pods {
    /// Only pods of these: workloads, nodes.
    pub of: Vec<Target>,
}

impl Source for Pods {
    type Row = PodRow;

    fn columns(&self) -> &'static [Column<PodRow>] {
        COLUMNS
    }

    fn all(&self, context: &Context) -> Vec<Arc<Object>> {
        let cluster = context.cluster;
        if self.of.is_empty() {
            return cluster.pods().cloned().collect();
        }
        let mut found = Vec::new();
        for target in &self.of {
            if target.key.resource == resources::NODES {
                found.extend(cluster.pods_on(&target.key.name).cloned());
            } else if let Some(object) = cluster.get(&target.key) {
                if object.pod().is_some() {
                    found.push(Arc::clone(object));
                } else {
                    found.extend(pods_of(cluster, object).into_iter().cloned());
                }
            }
        }
        found
    }

    fn row(&mut self, object: &Arc<Object>, context: &Context) -> Option<PodRow> {
        self.holds(object, context)
            .then(|| PodRow::of(context.cluster, object))
            .flatten()
    }

    fn concerned(&self, change: &Logged, context: &Context, rows: &mut Concerned) {
        let cluster = context.cluster;
        let mut add = |pod: &Arc<Object>| {
            rows.insert(pod.uid.clone(), pod.key.clone());
        };
        if change.key.resource == resources::PODS {
            rows.insert(change.uid.clone(), change.key.clone());
        } else if change.key.resource == resources::NODES {
            // Whether its machine answers is part of a pod's state.
            cluster.pods_on(&change.key.name).for_each(add);
        } else if !self.of.is_empty()
            && let Some(object) = cluster.get(&change.key)
        {
            // Pods may be here before the objects between them and their workload.
            pods_of(cluster, object).into_iter().for_each(&mut add);
        }
    }
}

impl Pods {
    fn holds(&self, pod: &Arc<Object>, context: &Context) -> bool {
        let is_of = |target: &Target| {
            if target.key.resource == resources::NODES {
                let node = pod.pod().and_then(|pod| pod.node.as_ref());
                return node == Some(&target.key.name);
            }
            chain_of(context.cluster, pod)
                .any(|object| object.uid == target.uid || object.key == target.key)
        };
        self.of.is_empty() || self.of.iter().any(is_of)
    }
}

impl Default for PodsPage {
    fn default() -> Self {
        let table = TableState::sorted_by(STATUS, Sorted::Ascending);
        Self {
            list: Listing::of(Pods::default(), table),
            inside: None,
        }
    }
}

impl PodsPage {
    fn keep_inside(&mut self) {
        if let Some((uid, index)) = &mut self.inside {
            let pod = self.list.table.get(uid).and_then(|row| row.object.pod());
            match pod {
                Some(pod) => *index = (*index).min(pod.containers.len().saturating_sub(1)),
                None => self.inside = None,
            }
        }
    }

    /// The pod whose containers are open.
    pub(super) fn open_pod(&self) -> Option<(&PodRow, usize)> {
        let (uid, index) = self.inside.as_ref()?;
        let row = self.list.table.get(uid)?;
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
        if self.list.source.of != opening.of {
            self.list.source.of.clone_from(&opening.of);
            self.list.restart();
        }
        self.inside = None;
        let height = present::table_height(self, context);
        self.list.open(opening, height, context)
    }

    fn settle(&mut self, context: &Context) -> Vec<Ask> {
        let height = present::table_height(self, context);
        let asks = self.list.settle(height, context);
        self.keep_inside();
        asks
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
        self.list.command(command, context)
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
            None => self.list.selection(),
        }
    }

    fn container(&self) -> Option<String> {
        let (row, index) = self.open_pod()?;
        let container = row.object.pod()?.containers.get(index)?;
        Some(container.name.to_string())
    }

    fn filter(&self) -> Option<&str> {
        Some(self.list.table.filter())
    }

    fn set_filter(&mut self, text: &str, context: &Context) -> Result<(), String> {
        self.list.set_filter(text, context)
    }

    fn hints(&self) -> Option<Vec<PageHint>> {
        self.inside.is_some().then(|| {
            vec![
                PageHint::Command(&["open-logs"], "logs"),
                PageHint::Command(&["enter"], "logs of this container"),
                PageHint::Command(&["shell"], "shell"),
                PageHint::Command(&["describe"], "describe"),
                PageHint::Command(&["yaml"], "yaml"),
                PageHint::Command(&["back"], "back"),
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
        View::Pods
    }
}

impl PodsPage {
    fn enter(&mut self) -> Vec<Ask> {
        if let Some((row, _)) = self.open_pod() {
            let container = self.container();
            return vec![Ask::Go(Place {
                view: View::Logs,
                with: Opening {
                    of: vec![row.target()],
                    filter: container.map(|name| format!("container={name}")),
                    ..Opening::default()
                },
            })];
        }
        self.inside = self
            .list
            .table
            .selected()
            .map(|row| (row.object.uid.clone(), 0));
        Vec::new()
    }
}
