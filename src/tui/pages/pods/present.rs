//! The pods view as widgets.

use super::state::PodsPage;
use crate::k8s::columns::{ContainerColumns, ContainerRole};
use crate::k8s::{resources, scanned};
use crate::stdx::humanize::counted;
use crate::tui::cache::FeedState;
use crate::tui::columns::pod::{COLUMNS, PodRow};
use crate::tui::columns::{glyph, role};
use crate::tui::page::Context;
use crate::tui::pages::objects::describe::container_words;
use crate::tui::pages::timeline::entry::Tone;
use crate::tui::screen::{Align, Cell, ColumnHead, Empty, Extent, Table, TableRow, Widget};
use crate::tui::text::{Line, Role};

/// Rows of the table; its head takes one line, the containers of an open pod take the bottom.
pub(super) fn table_height(page: &PodsPage, context: &Context) -> usize {
    let height = context
        .area
        .height
        .saturating_sub(1 + inside_height(page, context));
    usize::from(height)
}

fn inside_height(page: &PodsPage, context: &Context) -> u16 {
    page.open_pod().map_or(0, |(row, _)| {
        let containers = row.object.pod().map_or(0, |pod| pod.containers.len());
        let wanted = u16::try_from(containers + 4).unwrap_or(u16::MAX);
        wanted.min(context.area.height / 2)
    })
}

pub(super) fn present(page: &PodsPage, context: &Context) -> Widget {
    let table = page
        .list
        .table
        .present(COLUMNS, context, empty(page, context), |_| Vec::new());
    match page.open_pod() {
        None => Widget::Table(table),
        Some((row, index)) => Widget::down([
            (Extent::Rest, Widget::Table(table)),
            (
                Extent::Cells(inside_height(page, context)),
                containers(row, index, context),
            ),
        ]),
    }
}

fn containers(row: &PodRow, cursor: usize, context: &Context) -> Widget {
    let list = row
        .object
        .pod()
        .map(|pod| &*pod.containers)
        .unwrap_or_default();
    let heads = [
        ("CONTAINER", Align::Name, 12, 40, 0),
        ("ROLE", Align::Left, 9, 9, 1),
        ("STATE", Align::Left, 16, 60, 0),
        ("RESTARTS", Align::Right, 8, 8, 2),
        ("LAST END", Align::Left, 8, 40, 3),
        ("IMAGE", Align::Name, 10, 60, 1),
        ("VULNERABILITIES", Align::Left, 10, 60, 2),
    ];
    let json = row.object.json();
    let scans: Vec<_> = list
        .iter()
        .map(|container| scanned::of(&json, &container.name))
        .collect();
    // Few images are ever scanned.
    let shown = heads.len() - usize::from(scans.iter().all(Option::is_none));
    let rows = list
        .iter()
        .zip(&scans)
        .enumerate()
        .map(|(index, (container, told))| {
            let mut cells = container_cells(container, context);
            cells.push(scan_cell(told.as_deref()));
            cells.truncate(shown);
            TableRow {
                cells,
                cursor: index == cursor,
                ..TableRow::default()
            }
        })
        .collect();
    let columns = heads
        .into_iter()
        .take(shown)
        .map(|(title, align, min, max, priority)| ColumnHead {
            title: title.to_owned(),
            align,
            min,
            max,
            priority,
            fills: title == "IMAGE",
            sorted: None,
        })
        .collect();
    let why = row
        .object
        .pod()
        .and_then(|pod| pod.unscheduled.as_deref())
        .map(|(reason, message)| {
            Line::of(format!("{reason}: "), Role::Bad).with(message.as_str(), Role::Text)
        })
        .unwrap_or_default();
    let caption = Line::of(glyph(row.health), role(row.health))
        .with(format!(" {}", row.object.name()), Role::Title);
    Widget::down([
        (Extent::Cells(1), Widget::Rule(caption)),
        (
            Extent::Rest,
            Widget::Table(Table {
                columns,
                rows,
                first: 0,
                total: list.len(),
                empty: None,
            }),
        ),
        (Extent::Cells(1), Widget::line(why)),
    ])
}

fn container_cells(container: &ContainerColumns, context: &Context) -> Vec<Cell> {
    let (state, tone) = container_words(container, context.now);
    let (marker, kind) = match container.role {
        ContainerRole::Init => ("", "init"),
        ContainerRole::Sidecar => ("↳ ", "sidecar"),
        ContainerRole::App => ("", "app"),
    };
    let last = container
        .last_end
        .as_deref()
        .map(|end| format!("{} exit code {}", end.reason, end.exit_code))
        .unwrap_or_default();
    let restarts = if container.restarts == 0 {
        Cell::new("0", Role::Dim)
    } else {
        Cell::new(container.restarts.to_string(), Role::Warning)
    };
    vec![
        Cell::new(format!("{marker}{}", container.name), Role::Text),
        Cell::new(kind, Role::Dim),
        Cell::new(state, tone_role(tone)),
        restarts,
        Cell::new(last, Role::Warning),
        Cell::new(container.image.as_str(), Role::Dim),
    ]
}

/// What is known of its image.
fn scan_cell(told: Option<&str>) -> Cell {
    let role = match told {
        Some(told) if scanned::is_serious(told) => Role::Warning,
        _ => Role::Dim,
    };
    Cell::new(told.unwrap_or("not scanned"), role)
}

pub fn tone_role(tone: Tone) -> Role {
    match tone {
        Tone::Plain => Role::Text,
        Tone::Good => Role::Good,
        Tone::Warning => Role::Warning,
        Tone::Bad => Role::Bad,
    }
}

fn empty(page: &PodsPage, context: &Context) -> Empty {
    let (why, press) = if !page.list.table.filter().is_empty() {
        (
            format!(
                "no pod matches `{}`; {} without it",
                page.list.table.filter(),
                page.list.table.unfiltered()
            ),
            format!(
                "{} and enter with no text shows all again",
                context.key("filter")
            ),
        )
    } else if let Some(FeedState::Loading { loaded, .. }) = context.cache.feed(&resources::PODS) {
        (format!("loading pods, {loaded} so far"), String::new())
    } else if !page.list.source.of.is_empty() {
        (
            "it has no pods".to_owned(),
            format!("{} goes back", context.key("back")),
        )
    } else {
        (
            format!("no pods in {}", context.scope.words()),
            ":ns all shows every namespace".to_owned(),
        )
    };
    Empty {
        why: why.into(),
        press: press.into(),
    }
}

/// Counts by how serious, the worst first.
pub(super) fn status(page: &PodsPage, _context: &Context) -> Line {
    use crate::k8s::status::Health;
    let table = &page.list.table;
    let mut line = Line::default();
    if let [target, ..] = page.list.source.of.as_slice() {
        line.push(format!("of {}: ", target.path()), Role::Accent);
    }
    line.push(counted(table.len(), "pod", "pods"), Role::Text);
    if table.len() < table.unfiltered() {
        line.push(format!(" of {}", table.unfiltered()), Role::Dim);
    }
    for (health, word) in [
        (Health::Bad, "failing"),
        (Health::Unknown, "unknown"),
        (Health::Partly, "not ready"),
        (Health::Waiting, "waiting"),
        (Health::Terminating, "terminating"),
    ] {
        let count = table.count(health);
        if count > 0 {
            line.push(format!("  {} {count} {word}", glyph(health)), role(health));
        }
    }
    if !table.marks().is_empty() {
        line.push(format!("  {} marked", table.marks().len()), Role::Accent);
    }
    line
}
