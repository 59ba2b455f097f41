//! The workloads view as widgets.

use super::replicas::{Outcome, ReplicasEditor};
use super::state::WorkloadsPage;
use crate::k8s::status::Health;
use crate::stdx::humanize::counted;
use crate::tui::columns::workload::{COLUMNS, WorkloadRow};
use crate::tui::columns::{Shown, glyph, role};
use crate::tui::page::Context;
use crate::tui::screen::{Empty, Table, Widget};
use crate::tui::text::{Line, Role};

pub(super) fn present(page: &WorkloadsPage, context: &Context) -> Widget {
    let empty = if page.list.table.filter().is_empty() {
        Empty {
            why: format!("no workloads in {}", context.scope.words()).into(),
            press: "`bayplan apply -f FILE` brings some; :ns all shows every namespace".into(),
        }
    } else {
        Empty {
            why: format!(
                "no workload matches `{}`; {} without it",
                page.list.table.filter(),
                page.list.table.unfiltered()
            )
            .into(),
            press: format!(
                "{} and enter with no text shows all again",
                context.key("filter")
            )
            .into(),
        }
    };
    let mut table = page
        .list
        .table
        .present(COLUMNS, context, empty, |row| below(page, row));
    if page.on_replicas {
        mark_replicas(&mut table);
    }
    Widget::Table(table)
}

/// Where digits go: the replicas of the row under the cursor stand out from it.
fn mark_replicas(table: &mut Table) {
    let column = table
        .columns
        .iter()
        .position(|column| column.title == "READY");
    let row = table.rows.iter_mut().find(|row| row.cursor);
    if let (Some(column), Some(row)) = (column, row)
        && let Some(cell) = row.cells.get_mut(column)
    {
        for span in &mut cell.line.spans {
            span.behind = Some(Role::Match);
        }
    }
}

/// The lines under a row: the number being typed.
fn below(page: &WorkloadsPage, row: &WorkloadRow) -> Vec<Line> {
    if let Some(editor) = page
        .editor
        .as_ref()
        .filter(|editor| editor.target == row.target())
    {
        return editor_lines(editor);
    }
    Vec::new()
}

fn editor_lines(editor: &ReplicasEditor) -> Vec<Line> {
    let mut first = Line::of("  replicas ", Role::Dim)
        .with(editor.from.to_string(), Role::Text)
        .with(" → ", Role::Dim)
        .with(editor.typed(), Role::Strong)
        .with("_", Role::Cursor);
    let indent = " ".repeat(first.width().max(20) + 3);
    first.push(" ".repeat(indent.len() - first.width()), Role::Text);
    match &editor.outcome {
        Outcome::Nothing => {
            let text = if editor.number().is_some() {
                "as it is now"
            } else {
                "type a number; this line then tells what would come of it"
            };
            first.push(text, Role::Dim);
            vec![first]
        }
        Outcome::Loading(loading) => {
            first.push(
                format!("{loading}: the outcome is not known yet"),
                Role::Warning,
            );
            vec![first]
        }
        Outcome::Computing => {
            first.push("computing where they would go", Role::Dim);
            vec![first, Line::of(indent, Role::Text)]
        }
        Outcome::Unknown => {
            first.push(
                "the outcome cannot be told for this workload",
                Role::Warning,
            );
            vec![first]
        }
        Outcome::Known(forecast) => {
            let [pods, around] = forecast.lines();
            let role = if forecast.is_bad() {
                Role::Bad
            } else {
                Role::Good
            };
            first.push(pods, role);
            let mut second = Line::of(indent, Role::Text).with(around, Role::Text);
            if editor.sends {
                second.push("   enter", Role::Key);
                let does = if forecast.is_bad() {
                    " asks first"
                } else {
                    " sends"
                };
                second.push(does, Role::Dim);
            }
            vec![first, second]
        }
    }
}

/// How many, and how many of them are in which trouble.
pub(super) fn status(page: &WorkloadsPage, _context: &Context) -> Line {
    let table = &page.list.table;
    let mut line = Line::of(counted(table.len(), "workload", "workloads"), Role::Text);
    if table.len() < table.unfiltered() {
        line.push(format!(" of {}", page.list.table.unfiltered()), Role::Dim);
    }
    for (health, word) in [
        (Health::Bad, "down or stuck"),
        (Health::Partly, "partly"),
        (Health::Waiting, "starting"),
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
