//! Services: whether somebody answers, at which address.

use std::sync::Arc;

use super::{Shown, age, fresh, name, namespace, role, share_cell, text_key};
use crate::k8s::Object;
use crate::k8s::status::Health;
use crate::tui::page::Context;
use crate::tui::pages::services::endpoints::Service;
use crate::tui::screen::Cell;
use crate::tui::table::{Column, SortKey};
use crate::tui::text::{Line, Role};

#[derive(Clone, Debug)]
pub struct ServiceRow {
    pub object: Arc<Object>,
    pub service: Service,
}

impl Shown for ServiceRow {
    fn object(&self) -> &Arc<Object> {
        &self.object
    }

    fn state(&self) -> Option<Health> {
        Some(self.service.health())
    }
}

pub const COLUMNS: &[Column<ServiceRow>] = &[
    namespace(),
    name(),
    Column::new(
        "READY",
        |row: &ServiceRow, context: &Context| {
            if row.service.endpoints.is_none() {
                return Cell::new("· no selector", Role::Dim);
            }
            let share = row.service.share();
            let cell = share_cell(row.service.health(), count(share.ready), count(share.all));
            fresh(cell, &row.object, context)
        },
        |row: &ServiceRow, _| SortKey::Number(count(row.service.share().ready)),
    )
    .width(9, 13)
    .priority(0),
    Column::new(
        "TYPE",
        |row: &ServiceRow, _| Cell::from(row.service.kind.as_str()),
        |row: &ServiceRow, _| text_key(row.service.kind.clone()),
    )
    .width(8, 12)
    .priority(6),
    Column::new(
        "ADDRESS",
        |row: &ServiceRow, _| Cell::from(row.service.address.as_str()),
        |row: &ServiceRow, _| text_key(row.service.address.clone()),
    )
    // A cluster IP as a whole: a part of an address is of no use.
    .width(15, 40)
    .priority(1),
    Column::new(
        "EXTERNAL",
        |row: &ServiceRow, _| Cell::from(row.service.external.as_str()),
        |row: &ServiceRow, _| text_key(row.service.external.clone()),
    )
    .width(8, 40)
    .priority(6)
    .wide(),
    Column::new(
        "PORTS",
        |row: &ServiceRow, _| Cell::from(row.service.ports.join(" ")),
        |row: &ServiceRow, _| text_key(row.service.ports.join(" ")),
    )
    .width(12, 40)
    .priority(2),
    Column::new(
        "BY ZONE",
        |row: &ServiceRow, _| Cell::from(zones(&row.service)),
        |row: &ServiceRow, _| text_key(zones(&row.service).plain()),
    )
    .width(8, 70)
    .priority(5),
    age(),
];

fn count(count: usize) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

/// `a 4  b 3/4  c 0/4`: ready, and all where some are not.
fn zones(service: &Service) -> Line {
    let mut line = Line::default();
    for (zone, share) in service.zones() {
        if !line.is_empty() {
            line.push("  ", Role::Dim);
        }
        let name = if zone.is_empty() { "no zone" } else { &zone };
        line.push(format!("{name} "), Role::Dim);
        let health = match (share.ready, share.all) {
            (0, _) => Health::Bad,
            (ready, all) if ready < all => Health::Partly,
            _ => Health::Good,
        };
        let figure = if share.ready == share.all {
            share.all.to_string()
        } else {
            format!("{}/{}", share.ready, share.all)
        };
        line.push(figure, role(health));
    }
    line
}
