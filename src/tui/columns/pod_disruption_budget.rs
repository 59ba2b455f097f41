//! Pod disruption budgets: how many pods may go right now.

use serde_json::Value;

use super::{ObjectRow, age, name, namespace, share_cell, text_key};
use crate::k8s::Object;
use crate::k8s::status::Health;
use crate::tui::screen::Cell;
use crate::tui::table::{Column, SortKey, Unit};
use crate::tui::text::Role;

pub const COLUMNS: &[Column<ObjectRow>] = &[
    namespace(),
    name(),
    Column::new(
        "HEALTHY",
        |row: &ObjectRow, _| {
            let healthy = figure(&row.object, "currentHealthy");
            let wanted = figure(&row.object, "desiredHealthy");
            let health = if healthy < wanted {
                Health::Bad
            } else {
                Health::Good
            };
            share_cell(health, healthy, wanted)
        },
        |row: &ObjectRow, _| SortKey::Number(figure(&row.object, "currentHealthy")),
    )
    .width(9, 13)
    .priority(0),
    Column::new(
        "MAY GO",
        |row: &ObjectRow, _| {
            let allowed = figure(&row.object, "disruptionsAllowed");
            let role = if allowed == 0 {
                Role::Warning
            } else {
                Role::Text
            };
            Cell::new(allowed.to_string(), role)
        },
        |row: &ObjectRow, _| SortKey::Number(figure(&row.object, "disruptionsAllowed")),
    )
    .number(Unit::None)
    .width(6, 6)
    .priority(1),
    Column::new(
        "RULE",
        |row: &ObjectRow, _| Cell::from(rule(&row.object)),
        |row: &ObjectRow, _| text_key(rule(&row.object)),
    )
    .width(8, 30)
    .priority(2),
    age(),
];

fn figure(object: &Object, name: &str) -> i64 {
    object
        .json()
        .pointer(&format!("/status/{name}"))
        .and_then(Value::as_i64)
        .unwrap_or_default()
}

fn rule(object: &Object) -> String {
    let json = object.json();
    let amount = |name: &str| match json.pointer(&format!("/spec/{name}"))? {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        _ => None,
    };
    if let Some(least) = amount("minAvailable") {
        format!("at least {least}")
    } else if let Some(most) = amount("maxUnavailable") {
        format!("at most {most} gone")
    } else {
        String::new()
    }
}
