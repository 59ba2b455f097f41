//! Events: when, what, about which object.

use super::{ObjectRow, age_key, namespace, text_key};
use crate::stdx::humanize;
use crate::tui::page::Context;
use crate::tui::pages::timeline::entry::{Tone, of_event};
use crate::tui::screen::Cell;
use crate::tui::table::{Column, SortKey, Unit};
use crate::tui::text::Role;

pub const COLUMNS: &[Column<ObjectRow>] = &[
    Column::new(
        "LAST",
        |row: &ObjectRow, context: &Context| {
            let age = of_event(&row.object).map(|entry| humanize::age(entry.at, context.now));
            Cell::new(age.unwrap_or_default(), Role::Dim)
        },
        |row: &ObjectRow, _| age_key(of_event(&row.object).map(|entry| entry.at)),
    )
    .number(Unit::Seconds)
    .width(5, 8)
    .priority(0),
    namespace(),
    Column::new(
        "REASON",
        |row: &ObjectRow, _| {
            of_event(&row.object).map_or_else(Cell::default, |entry| {
                let role = if entry.tone >= Tone::Warning {
                    Role::Warning
                } else {
                    Role::Text
                };
                Cell::new(entry.what.to_string(), role)
            })
        },
        |row: &ObjectRow, _| {
            of_event(&row.object).map_or(SortKey::Nothing, |entry| text_key(entry.what))
        },
    )
    .width(8, 24)
    .priority(1),
    Column::new(
        "OBJECT",
        |row: &ObjectRow, _| Cell::from(object_words(row)),
        |row: &ObjectRow, _| text_key(object_words(row)),
    )
    .name()
    .width(12, 48)
    .priority(1),
    Column::new(
        "TIMES",
        |row: &ObjectRow, _| {
            let count = of_event(&row.object).map_or(0, |entry| entry.count);
            Cell::from(count.to_string())
        },
        |row: &ObjectRow, _| {
            SortKey::Number(of_event(&row.object).map_or(0, |entry| i64::from(entry.count)))
        },
    )
    .number(Unit::None)
    .width(5, 7)
    .priority(3),
    Column::new(
        "MESSAGE",
        |row: &ObjectRow, _| {
            Cell::from(
                of_event(&row.object)
                    .map(|entry| entry.text)
                    .unwrap_or_default(),
            )
        },
        |row: &ObjectRow, _| {
            of_event(&row.object).map_or(SortKey::Nothing, |entry| text_key(entry.text))
        },
    )
    .width(20, 200)
    .priority(0)
    .fills(),
];

fn object_words(row: &ObjectRow) -> String {
    of_event(&row.object)
        .map(|entry| format!("{}/{}", entry.about.resource.plural, entry.about.name))
        .unwrap_or_default()
}
