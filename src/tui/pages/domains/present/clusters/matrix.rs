//! Service by cluster: how many replicas are where, the worst loss, what it leaves.

use super::Picture;
use crate::topology::across::{Count, Service};
use crate::topology::spread::percent;
use crate::tui::pages::domains::present::{hidden, window};
use crate::tui::screen::Canvas;
use crate::tui::text::{Role, cut_middle, width};
use crate::tui::widgets::{draw, ink};

impl Picture<'_> {
    pub(super) fn matrix(&self, canvas: &mut Canvas, (top, rows): (u16, u16)) {
        if rows < 2 {
            return;
        }
        let name = if canvas.width >= 100 { 28 } else { 18 };
        let names = self.across.domains.iter().map(|domain| width(&domain.name));
        let longest = u16::try_from(names.max().unwrap_or(4)).unwrap_or(12);
        let cell = longest.clamp(6, 16) + 2;
        let figures = 10 + 9 + 8;
        let room = canvas.width.saturating_sub(3 + name + figures + 1);
        let total = self.across.domains.len();
        let count = usize::from(room / cell).min(total);
        let focus = self.clusters.domain();
        let first = window(focus, total, count.max(1));
        let columns = Columns {
            name,
            cell,
            first,
            count,
        };
        self.heads(canvas, top, &columns);
        let place = self.clusters.place();
        let cursor = place.checked_sub(total);
        let height = rows - 1;
        let services = self.clusters.shown.len();
        let start = window(cursor.unwrap_or(0), services, usize::from(height));
        let shown = self.clusters.shown.iter().enumerate().skip(start);
        for (offset, (index, &place)) in (0..height).zip(shown) {
            let Some(service) = self.across.services.get(place) else {
                continue;
            };
            let y = top + 1 + offset;
            row(canvas, y, service, &columns);
            if cursor == Some(index) {
                canvas.lay_behind(0, y, canvas.width, Role::Cursor);
            }
        }
        let below = services.saturating_sub(start + usize::from(height));
        hidden(canvas, (top, top + rows - 1), start, below);
    }

    fn heads(&self, canvas: &mut Canvas, y: u16, columns: &Columns) {
        let title = format!("SERVICE × {}", self.across.cut.level().title.to_uppercase());
        draw::sentence(canvas, (3, y), columns.name, &title, Role::Head);
        let focus = self.clusters.domain();
        for (place, domain) in self.across.domains.iter().enumerate() {
            let Some(end) = columns.end(place) else {
                continue;
            };
            let role = if place == focus {
                Role::Strong
            } else {
                Role::Head
            };
            let text = cut_middle(&domain.name, usize::from(columns.cell - 1));
            draw::right(canvas, end, y, &text, role);
        }
        let titles = ["REPLICAS", "WORST", "LEFT"];
        for (title, end) in titles.into_iter().zip(columns.figures()) {
            draw::right(canvas, end, y, title, Role::Head);
        }
    }
}

fn row(canvas: &mut Canvas, y: u16, service: &Service, columns: &Columns) {
    let hue = ink::hue(service.key.hue());
    canvas.set(1, y, "■", hue);
    let alone = service.clusters < 2;
    let role = if alone { Role::Dim } else { Role::Text };
    let name = if columns.name >= 24 {
        service.key.to_string()
    } else {
        service.key.name.to_string()
    };
    draw::name(canvas, (3, y), columns.name - 1, &name, role);
    for (place, cell) in service.cells.iter().enumerate() {
        let Some(end) = columns.end(place) else {
            continue;
        };
        let is_worst = service.worst.is_some_and(|worst| worst.domain == place);
        let (text, role) = match cell {
            Count { replicas: 0, .. } => (".".to_owned(), Role::Dim),
            Count { replicas, ready } if ready < replicas => {
                (format!("{ready}/{replicas}"), Role::Warning)
            }
            Count { replicas, .. } if is_worst && !alone => (replicas.to_string(), Role::Strong),
            Count { replicas, .. } => (replicas.to_string(), role),
        };
        draw::right(canvas, end, y, &text, role);
    }
    let Count { replicas, ready } = service.all;
    let replicas = if ready < replicas {
        (format!("{ready}/{replicas}"), Role::Warning)
    } else {
        (replicas.to_string(), role)
    };
    let (worst, left) = match service.worst {
        Some(worst) => {
            let left = ready.saturating_sub(worst.lost);
            let grave = if left == 0 && !alone { Role::Bad } else { role };
            ((percent(worst.share), grave), (left.to_string(), grave))
        }
        None => (("-".to_owned(), Role::Dim), ("-".to_owned(), Role::Dim)),
    };
    for ((text, role), end) in [replicas, worst, left].into_iter().zip(columns.figures()) {
        draw::right(canvas, end, y, &text, role);
    }
}

/// Where the columns of the matrix are.
struct Columns {
    name: u16,
    cell: u16,
    first: usize,
    count: usize,
}

impl Columns {
    /// Where a domain's column ends, if it is shown.
    fn end(&self, place: usize) -> Option<u16> {
        let offset = place.checked_sub(self.first)?;
        let offset = u16::try_from(offset + 1).ok()?;
        (usize::from(offset) <= self.count).then(|| 3 + self.name + offset * self.cell)
    }

    /// Where the figures after the cells end.
    fn figures(&self) -> [u16; 3] {
        let after = 3 + self.name + u16::try_from(self.count).unwrap_or(0) * self.cell;
        [after + 10, after + 18, after + 25]
    }
}
