//! The services view as widgets.

use super::endpoints::Service;
use super::state::ServicesPage;
use crate::k8s::status::Health;
use crate::stdx::humanize::counted;
use crate::tui::columns::service::COLUMNS;
use crate::tui::columns::{glyph, role, state_cell};
use crate::tui::page::Context;
use crate::tui::screen::{Align, Cell, ColumnHead, Empty, Extent, Table, TableRow, Widget};
use crate::tui::text::{Line, Role};

pub(super) fn present(page: &ServicesPage, context: &Context) -> Widget {
    let empty = Empty {
        why: if page.list.table.filter().is_empty() {
            format!("no services in {}", context.scope.words()).into()
        } else {
            format!("no service matches `{}`", page.list.table.filter()).into()
        },
        press: ":ns all shows every namespace".into(),
    };
    let table = Widget::Table(
        page.list
            .table
            .present(COLUMNS, context, empty, |_| Vec::new()),
    );
    let Some((row, cursor)) = page.open_service() else {
        return table;
    };
    Widget::down([
        (Extent::Rest, table),
        (
            Extent::Cells(page.inside_height(context)),
            endpoints(&row.service, cursor, context, page.inside_height(context)),
        ),
    ])
}

fn endpoints(service: &Service, cursor: usize, context: &Context, height: u16) -> Widget {
    let caption = Line::of(service.dns_name(), Role::Title).with(
        format!("  {}  {}", service.address, service.ports.join(" ")),
        Role::Dim,
    );
    let list = service.endpoints.as_deref().unwrap_or_default();
    let rows_shown = usize::from(height.saturating_sub(2)).max(1);
    let first = (cursor + 1).saturating_sub(rows_shown);
    let rows = list
        .iter()
        .enumerate()
        .skip(first)
        .take(rows_shown)
        .map(|(index, endpoint)| {
            let health = if endpoint.ready {
                Health::Good
            } else {
                Health::Bad
            };
            let word = if endpoint.ready {
                "answers"
            } else {
                &endpoint.word
            };
            TableRow {
                cells: vec![
                    Cell::new(endpoint.pod.name.as_str(), Role::Text),
                    state_cell(health, word),
                    Cell::new(endpoint.ip.as_str(), Role::Text),
                    Cell::new(endpoint.node.as_str(), Role::Text),
                    Cell::new(endpoint.zone.as_str(), Role::Dim),
                ],
                cursor: index == cursor,
                ..TableRow::default()
            }
        })
        .collect();
    let head = |title: &str, align, min, max| ColumnHead {
        title: title.to_owned(),
        align,
        min,
        max,
        priority: 0,
        sorted: None,
        fills: title == "POD",
    };
    let empty = list.is_empty().then(|| Empty {
        why: if service.endpoints.is_some() {
            "no pod carries its labels: calls to it fail".into()
        } else {
            "it has no selector: somebody else writes its endpoints".into()
        },
        press: format!("{} shows its selector", context.key("yaml")).into(),
    });
    Widget::down([
        (Extent::Cells(1), Widget::Rule(caption)),
        (
            Extent::Rest,
            Widget::Table(Table {
                columns: vec![
                    head("POD", Align::Name, 12, 60),
                    head("STATE", Align::Left, 10, 26),
                    head("ADDRESS", Align::Left, 10, 39),
                    head("NODE", Align::Name, 8, 24),
                    head("ZONE", Align::Left, 4, 16),
                ],
                rows,
                first,
                total: list.len(),
                empty,
            }),
        ),
    ])
}

pub(super) fn status(page: &ServicesPage) -> Line {
    let table = &page.list.table;
    let mut line = Line::of(counted(table.len(), "service", "services"), Role::Text);
    for (health, word) in [
        (Health::Bad, "without an endpoint"),
        (Health::Partly, "partly"),
    ] {
        let count = table.count(health);
        if count > 0 {
            line.push(format!("  {} {count} {word}", glyph(health)), role(health));
        }
    }
    line
}
