//! The columns that the server prints of a kind, as `kubectl get` shows them.
//!
//! Name, namespace and age are ours: an age must go on, and the server's stands still.

use serde_json::Value;

use super::{ObjectRow, age, name, namespace, text_key};
use crate::tui::page::Context;
use crate::tui::printed::{PrintedColumn, cell_text};
use crate::tui::screen::{Align, Cell};
use crate::tui::table::{Column, SortKey, Unit};
use crate::tui::text::Role;

/// More columns than any printer has; what is beyond is left out.
const COLUMNS_MAX: usize = 24;

type CellOf = fn(&ObjectRow, &Context) -> Cell;
type KeyOf = fn(&ObjectRow, &Context) -> SortKey;

/// The table's columns in the server's order.
pub fn columns(printed: &[PrintedColumn], namespaced: bool) -> Vec<Column<ObjectRow>> {
    let mut columns = Vec::new();
    if namespaced {
        columns.push(namespace());
    }
    let shown = printed.iter().zip(CELLS).enumerate();
    for (index, (column, (cell, key))) in shown {
        columns.push(match column.name.as_str() {
            "Name" => name(),
            "Age" => age(),
            _ => one(column, index, (cell, key)),
        });
    }
    columns
}

fn one(printed: &PrintedColumn, index: usize, (cell, key): (CellOf, KeyOf)) -> Column<ObjectRow> {
    let mut column = Column::new("", cell, key)
        .width(4, 40)
        // Where room is short, the last go first, as they do in the eye.
        .priority(u8::try_from(index.min(9)).unwrap_or(9));
    column.title = printed.name.to_uppercase().into();
    column.wide = printed.priority > 0;
    if matches!(printed.kind.as_str(), "integer" | "number") {
        column.align = Align::Right;
        column.unit = Unit::None;
    }
    column
}

fn value<const PLACE: usize>(row: &ObjectRow) -> Option<&Value> {
    row.cells.as_ref()?.get(PLACE)
}

fn cell<const PLACE: usize>(row: &ObjectRow, _: &Context) -> Cell {
    let text = value::<PLACE>(row).map(cell_text).unwrap_or_default();
    let role = if matches!(text.as_str(), "<none>" | "<unset>" | "0") {
        Role::Dim
    } else {
        Role::Text
    };
    Cell::new(text.replace('\n', " "), role)
}

fn key<const PLACE: usize>(row: &ObjectRow, _: &Context) -> SortKey {
    match value::<PLACE>(row) {
        Some(Value::Number(number)) => number.as_i64().map_or(SortKey::Nothing, SortKey::Number),
        Some(other) => text_key(cell_text(other)),
        None => SortKey::Nothing,
    }
}

macro_rules! places {
    ($($place:literal)*) => {
        [$((cell::<$place> as CellOf, key::<$place> as KeyOf)),*]
    };
}

static CELLS: [(CellOf, KeyOf); COLUMNS_MAX] =
    places!(0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20 21 22 23);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_servers_columns_are_shown_with_our_name_and_age() {
        let column = |name: &str, kind: &str, priority| PrintedColumn {
            name: name.into(),
            kind: kind.into(),
            priority,
        };
        let printed = [
            column("Name", "string", 0),
            column("Data", "integer", 0),
            column("Selector", "string", 1),
            column("Age", "string", 0),
        ];
        let made = columns(&printed, true);
        let titles: Vec<&str> = made.iter().map(|column| &*column.title).collect();
        assert_eq!(titles, ["NAMESPACE", "NAME", "DATA", "SELECTOR", "AGE"]);
        assert!(made[3].wide && !made[2].wide);
        assert_eq!(made[2].align, Align::Right);
    }
}
