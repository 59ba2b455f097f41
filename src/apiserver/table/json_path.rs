//! The JSON paths of additional printer columns: fields, quoted fields, indexes, `[*]`, and the
//! filter `[?(@.type=="Ready")]` that conditions need.

use jiff::Timestamp;
use serde_json::Value;

use super::Row;
use crate::stdx::humanize;

/// The cell of a column; null where there is nothing, as upstream.
pub(super) fn cell(row: &Row, kind: &str, path: &str) -> Value {
    let found = find(row.json, path);
    match (kind, found.as_slice()) {
        (_, []) => Value::Null,
        ("date", [Value::String(text), ..]) => match text.parse::<Timestamp>() {
            Ok(time) => humanize::age(time, row.now).into(),
            Err(_) => "<invalid>".into(),
        },
        ("integer", [value, ..]) => value.as_i64().map_or(Value::Null, Value::from),
        ("number", [value, ..]) => value.as_f64().map_or(Value::Null, Value::from),
        ("boolean", [value, ..]) => value.as_bool().map_or(Value::Null, Value::from),
        (_, [Value::String(text)]) => text.clone().into(),
        (_, [only]) => only.to_string().into(),
        (_, many) => {
            let texts: Vec<String> = many.iter().map(|value| shown(value)).collect();
            texts.join(" ").into()
        }
    }
}

fn find<'a>(tree: &'a Value, path: &str) -> Vec<&'a Value> {
    let path = path
        .trim()
        .trim_start_matches('{')
        .trim_end_matches('}')
        .trim_start_matches('$');
    let mut found = vec![tree];
    for step in steps(path) {
        found = found
            .into_iter()
            .flat_map(|value| follow(value, &step))
            .collect();
    }
    found
}

enum Step {
    Field(String),
    Index(usize),
    All,
    /// Entries whose field has this text.
    Filter(String, String),
}

fn steps(path: &str) -> Vec<Step> {
    let mut steps = Vec::new();
    let mut rest = path;
    loop {
        rest = rest.trim_start_matches('.');
        if rest.is_empty() {
            return steps;
        }
        if let Some(inner) = rest.strip_prefix('[') {
            let Some(end) = closing(inner) else {
                return steps;
            };
            let (inside, after) = inner.split_at(end);
            rest = after.strip_prefix(']').unwrap_or_default();
            steps.push(bracket(inside));
            continue;
        }
        let (name, after) = field(rest);
        if name.is_empty() {
            return steps;
        }
        steps.push(Step::Field(name));
        rest = after;
    }
}

/// A name up to the next dot or bracket; a backslash escapes dots in it.
fn field(text: &str) -> (String, &str) {
    let mut name = String::new();
    let mut escaped = false;
    for (index, letter) in text.char_indices() {
        match letter {
            '\\' if !escaped => escaped = true,
            '.' | '[' if !escaped => return (name, text.get(index..).unwrap_or_default()),
            other => {
                name.push(other);
                escaped = false;
            }
        }
    }
    (name, "")
}

/// The closing bracket, outside of quotes.
fn closing(text: &str) -> Option<usize> {
    let mut quote = None;
    for (index, letter) in text.char_indices() {
        match (quote, letter) {
            (None, '\'' | '"') => quote = Some(letter),
            (Some(open), letter) if open == letter => quote = None,
            (None, ']') => return Some(index),
            _ => {}
        }
    }
    None
}

fn bracket(inside: &str) -> Step {
    if inside == "*" {
        return Step::All;
    }
    if let Some(condition) = inside
        .strip_prefix("?(")
        .and_then(|inner| inner.strip_suffix(')'))
        && let Some((left, right)) = condition.split_once("==")
    {
        let field = left.trim().trim_start_matches("@.").to_owned();
        return Step::Filter(field, unquoted(right.trim()));
    }
    match inside.parse() {
        Ok(index) => Step::Index(index),
        Err(_) => Step::Field(unquoted(inside)),
    }
}

fn unquoted(text: &str) -> String {
    text.trim_matches(|letter| letter == '\'' || letter == '"')
        .to_owned()
}

fn follow<'a>(value: &'a Value, step: &Step) -> Vec<&'a Value> {
    match step {
        Step::Field(name) => value.get(name).into_iter().collect(),
        Step::Index(index) => value.get(index).into_iter().collect(),
        Step::All => match value {
            Value::Array(entries) => entries.iter().collect(),
            Value::Object(map) => map.values().collect(),
            _ => Vec::new(),
        },
        Step::Filter(field, wanted) => value
            .as_array()
            .into_iter()
            .flatten()
            .filter(|entry| {
                entry
                    .get(field)
                    .is_some_and(|found| shown(found) == *wanted)
            })
            .collect(),
    }
}

fn shown(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[track_caller]
    fn check(path: &str, expected: &[Value]) {
        let tree = json!({
            "spec": {"replicas": 3, "a.b": "dotted", "ports": [{"name": "x"}, {"name": "y"}]},
            "status": {"conditions": [
                {"type": "Ready", "status": "True"},
                {"type": "Stalled", "status": "False"},
            ]},
        });
        let found: Vec<Value> = find(&tree, path).into_iter().cloned().collect();
        assert_eq!(found, expected, "{path}");
    }

    #[test]
    fn paths_of_printer_columns() {
        check(".spec.replicas", &[json!(3)]);
        check("{.spec.replicas}", &[json!(3)]);
        check(".spec.a\\.b", &[json!("dotted")]);
        check(".spec['a.b']", &[json!("dotted")]);
        check(".spec.ports[1].name", &[json!("y")]);
        check(".spec.ports[*].name", &[json!("x"), json!("y")]);
        check(
            ".status.conditions[?(@.type==\"Ready\")].status",
            &[json!("True")],
        );
        check(".spec.missing.deeper", &[]);
    }
}
