//! What the services view keeps, and what commands do to it.

use jiff::Timestamp;

use super::endpoints::{Endpoint, Service};
use super::present;
use crate::k8s::{Resource, Uid, resources};
use crate::tui::columns::Shown;
use crate::tui::columns::service::{COLUMNS, ServiceRow};
use crate::tui::command::{Command, Motion};
use crate::tui::notice::Notice;
use crate::tui::page::{Ask, Context, Page};
use crate::tui::pages::ages::next_turn;
use crate::tui::pages::travel::{note, travel};
use crate::tui::screen::Widget;
use crate::tui::table::TableState;
use crate::tui::text::Line;
use crate::tui::view::{Opening, Place, Target, View};

#[derive(Debug, Default)]
pub struct ServicesPage {
    pub(super) table: TableState<ServiceRow>,
    /// The service whose endpoints are open, and the one under the cursor.
    pub(super) inside: Option<(Uid, usize)>,
}

impl ServicesPage {
    fn resettle(&mut self, context: &Context) {
        let rows: Vec<ServiceRow> = context
            .cluster
            .list(&resources::SERVICES)
            .filter(|object| context.scope.contains_key(&object.key))
            .filter_map(|object| {
                Some(ServiceRow {
                    object: object.clone(),
                    service: Service::of(context.cluster, object).ok()?,
                })
            })
            .collect();
        let height = context
            .area
            .height
            .saturating_sub(1 + self.inside_height(context));
        self.table
            .settle(rows, COLUMNS, usize::from(height), context);
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
        let row = self
            .table
            .records()
            .iter()
            .find(|row| row.object.uid == *uid)?;
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
            self.inside = self.table.selected().map(|row| (row.object.uid.clone(), 0));
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
        Vec::new()
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
            self.table
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
        match self.table.command(command, COLUMNS) {
            Ok(_) => {
                self.resettle(context);
                Vec::new()
            }
            Err(why) => vec![Ask::Notice(Notice::warning(why))],
        }
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
        self.table.meant().into_iter().map(Shown::target).collect()
    }

    fn filter(&self) -> Option<&str> {
        Some(self.table.filter())
    }

    fn set_filter(&mut self, text: &str, context: &Context) -> Result<(), String> {
        self.table.set_filter(text, COLUMNS)?;
        self.resettle(context);
        Ok(())
    }

    fn status(&self, _context: &Context) -> Line {
        present::status(self)
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
        View::Services
    }
}
