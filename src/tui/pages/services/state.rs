//! What the services view keeps, and what commands do to it.

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::Timestamp;

use super::endpoints::{Endpoint, Service};
use super::present;
use crate::k8s::{LabelSelector, Object, Resource, Uid, resources};
use crate::tui::cache::Logged;
use crate::tui::columns::service::{COLUMNS, ServiceRow};
use crate::tui::command::{Command, Motion};
use crate::tui::listing::{Concerned, Listing, PORTION, Source};
use crate::tui::page::{Ask, Context, Page};
use crate::tui::pages::travel::{note, travel};
use crate::tui::screen::Widget;
use crate::tui::table::Column;
use crate::tui::text::Line;
use crate::tui::view::{Opening, Place, Target, View};

#[derive(Debug, Default)]
pub struct ServicesPage {
    pub(super) list: Listing<Services>,
    /// The service whose endpoints are open, and the one under the cursor.
    pub(super) inside: Option<(Uid, usize)>,
}

#[derive(Debug, Default)]
pub struct Services {
    /// What each one selects, so that a changed pod finds its services.
    selectors: BTreeMap<Uid, LabelSelector>,
}

impl Source for Services {
    type Row = ServiceRow;

    fn columns(&self) -> &'static [Column<ServiceRow>] {
        COLUMNS
    }

    fn all(&self, context: &Context) -> Vec<Arc<Object>> {
        context
            .cluster
            .list(&resources::SERVICES)
            .cloned()
            .collect()
    }

    fn row(&mut self, object: &Arc<Object>, context: &Context) -> Option<ServiceRow> {
        let service = Service::of(context.cluster, object).ok()?;
        match &service.selector {
            Some(selector) => self.selectors.insert(object.uid.clone(), selector.clone()),
            None => self.selectors.remove(&object.uid),
        };
        Some(ServiceRow {
            object: Arc::clone(object),
            service,
        })
    }

    fn concerned(&self, change: &Logged, context: &Context, rows: &mut Concerned) {
        let resource = &change.key.resource;
        if *resource == resources::SERVICES {
            rows.insert(change.uid.clone(), change.key.clone());
            return;
        }
        // Of a machine its zone is told, which moves only with its labels.
        let node = *resource == resources::NODES && change.before.is_some();
        if *resource != resources::PODS && !node {
            return;
        }
        let cluster = context.cluster;
        let now = cluster.get(&change.key);
        for service in cluster.list(&resources::SERVICES) {
            let selects = |object: &Arc<Object>| {
                self.selectors
                    .get(&service.uid)
                    .is_some_and(|selector| selector.matches(&object.labels))
            };
            let same_namespace = service.key.namespace == change.key.namespace;
            let selected =
                || now.is_some_and(selects) || change.before.as_ref().is_some_and(selects);
            if node || same_namespace && selected() {
                rows.insert(service.uid.clone(), service.key.clone());
            }
        }
    }

    /// All pods of its namespace are looked at: one service a frame.
    fn cost(row: &ServiceRow) -> usize {
        row.service
            .endpoints
            .as_ref()
            .map_or(1, Vec::len)
            .max(PORTION / 20)
    }
}

impl ServicesPage {
    fn height(&self, context: &Context) -> usize {
        let taken = 1 + self.inside_height(context);
        usize::from(context.area.height.saturating_sub(taken))
    }

    pub(super) fn inside_height(&self, context: &Context) -> u16 {
        if self.inside.is_some() {
            context.area.height / 2
        } else {
            0
        }
    }

    pub(super) fn open_service(&self) -> Option<(&ServiceRow, usize)> {
        let (uid, index) = self.inside.as_ref()?;
        let row = self.list.table.get(uid)?;
        Some((row, *index))
    }

    fn endpoint(&self) -> Option<&Endpoint> {
        let (row, index) = self.open_service()?;
        row.service.endpoints.as_ref()?.get(index)
    }

    fn move_inside(&mut self, motion: Motion) {
        let count = self
            .open_service()
            .and_then(|(row, _)| row.service.endpoints.as_ref())
            .map_or(0, Vec::len);
        if let Some((_, index)) = &mut self.inside {
            let last = count.saturating_sub(1);
            *index = match motion {
                Motion::Up => index.saturating_sub(1),
                Motion::Down => (*index + 1).min(last),
                Motion::Top => 0,
                Motion::Bottom => last,
                _ => *index,
            };
        }
    }

    fn enter(&mut self, context: &Context) -> Vec<Ask> {
        if self.inside.is_none() {
            self.inside = self
                .list
                .table
                .selected()
                .map(|row| (row.object.uid.clone(), 0));
            return Vec::new();
        }
        let pod = self
            .endpoint()
            .and_then(|endpoint| context.cluster.get(&endpoint.pod));
        match pod {
            Some(pod) => vec![Ask::Go(Place {
                view: View::Pods,
                with: Opening {
                    select: Some(pod.uid.clone()),
                    ..Opening::default()
                },
            })],
            None => note("no pod stands behind it"),
        }
    }
}

impl Page for ServicesPage {
    fn feeds(&self) -> Vec<Resource> {
        vec![resources::SERVICES]
    }

    fn open(&mut self, opening: &Opening, context: &Context) -> Vec<Ask> {
        self.inside = None;
        self.list.open(opening, self.height(context), context)
    }

    fn settle(&mut self, context: &Context) -> Vec<Ask> {
        self.list.settle(self.height(context), context)
    }

    fn command(&mut self, command: &Command, context: &Context) -> Vec<Ask> {
        match command {
            Command::Move(motion) if self.inside.is_some() => {
                self.move_inside(*motion);
                return Vec::new();
            }
            Command::Enter => return self.enter(context),
            _ => {}
        }
        // The logs of a service are those of the pods behind it.
        let targets = if *command == Command::Logs {
            self.list
                .table
                .selected()
                .and_then(|row| row.service.endpoints.as_ref())
                .into_iter()
                .flatten()
                .filter_map(|endpoint| context.cluster.get(&endpoint.pod))
                .map(|pod| Target::of(pod))
                .collect()
        } else {
            self.selection(context)
        };
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

    fn selection(&self, context: &Context) -> Vec<Target> {
        if self.inside.is_some() {
            return self
                .endpoint()
                .and_then(|endpoint| context.cluster.get(&endpoint.pod))
                .map(|pod| Target::of(pod))
                .into_iter()
                .collect();
        }
        self.list.selection()
    }

    fn filter(&self) -> Option<&str> {
        Some(self.list.table.filter())
    }

    fn set_filter(&mut self, text: &str, context: &Context) -> Result<(), String> {
        self.list.set_filter(text, context)
    }

    fn status(&self, _context: &Context) -> Line {
        present::status(self)
    }

    fn next_wake(&self, context: &Context) -> Option<Timestamp> {
        self.list.next_wake(context)
    }

    fn view(&self) -> View {
        View::Services
    }
}
