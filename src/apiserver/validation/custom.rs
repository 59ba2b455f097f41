//! Custom resources against the structural schema of their definition.
//!
//! Messages are those of `k8s.io/kube-openapi/pkg/validation` as the API server passes them on.
//! CEL rules (`x-kubernetes-validations`) are not evaluated.

use serde_json::Value;

use super::super::registry::ResourceType;
use super::super::status::Cause;
use crate::k8s::schema::{Schema, Type};

pub(super) fn check(resource_type: &ResourceType, object: &Value) -> Vec<Cause> {
    let mut causes = Vec::new();
    if let Some(schema) = resource_type.schema() {
        visit(schema, object, "", &mut causes);
    }
    causes
}

fn visit(schema: &Schema, value: &Value, path: &str, causes: &mut Vec<Cause>) {
    if value.is_null() && schema.nullable {
        return;
    }
    if let Some(wanted) = mismatch(schema, value) {
        causes.push(of_type(path, wanted, value));
        return;
    }
    if !schema.allowed.is_empty() && !schema.allowed.contains(value) {
        let allowed: Vec<&str> = schema.allowed.iter().filter_map(Value::as_str).collect();
        causes.push(Cause::not_supported(shown(path), value, &allowed));
    }
    match value {
        Value::String(text) => string(schema, text, path, causes),
        Value::Number(_) => number(schema, value, path, causes),
        Value::Array(entries) => array(schema, entries, path, causes),
        Value::Object(map) => {
            for field in &schema.required {
                if !map.contains_key(field.as_str()) {
                    causes.push(Cause::of(
                        "FieldValueRequired",
                        join(path, field),
                        "Required value".into(),
                    ));
                }
            }
            sizes(
                "properties",
                map.len(),
                (schema.min_properties, schema.max_properties),
                path,
                value,
                causes,
            );
            for (key, entry) in map {
                let embedded = matches!(key.as_str(), "apiVersion" | "kind" | "metadata");
                if embedded && (path.is_empty() || schema.embedded_resource) {
                    continue;
                }
                if let Some(field) = schema.field(key) {
                    visit(field, entry, &join(path, key), causes);
                }
            }
        }
        _ => {}
    }
    combined(schema, value, path, causes);
}

/// The type that was wanted, if it is another.
fn mismatch(schema: &Schema, value: &Value) -> Option<&'static str> {
    if schema.int_or_string {
        let fits = value.is_i64() || value.is_u64() || value.is_string();
        return (!fits).then_some("integer,string");
    }
    let whole = || value.as_f64().is_some_and(|number| number.fract() == 0.0);
    let (fits, name) = match schema.kind {
        Type::Object => (value.is_object(), "object"),
        Type::Array => (value.is_array(), "array"),
        Type::String => (value.is_string(), "string"),
        Type::Integer => (value.is_i64() || value.is_u64() || whole(), "integer"),
        Type::Number => (value.is_number(), "number"),
        Type::Boolean => (value.is_boolean(), "boolean"),
        Type::Null => (value.is_null(), "null"),
        Type::Any => return None,
    };
    (!fits).then_some(name)
}

fn of_type(path: &str, wanted: &str, value: &Value) -> Cause {
    let found = match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(number) if number.is_f64() => "number",
        Value::Number(_) => "integer",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    };
    let path = shown(path);
    Cause::of(
        "FieldValueTypeInvalid",
        path.clone(),
        format!("Invalid value: \"{found}\": {path} in body must be of type {wanted}: \"{found}\""),
    )
}

fn string(schema: &Schema, text: &str, path: &str, causes: &mut Vec<Cause>) {
    let value = Value::from(text);
    let length = text.chars().count();
    if let Some(limit) = schema.max_length
        && length > limit
    {
        causes.push(Cause::of(
            "FieldValueTooLong",
            shown(path),
            format!("Too long: may not be more than {limit} bytes"),
        ));
    }
    if let Some(limit) = schema.min_length
        && length < limit
    {
        causes.push(in_body(
            path,
            &value,
            &format!("should be at least {limit} chars long"),
        ));
    }
    if let Some(pattern) = &schema.pattern
        && let Ok(regex) = regex::Regex::new(pattern)
        && !regex.is_match(text)
    {
        causes.push(in_body(path, &value, &format!("should match '{pattern}'")));
    }
}

fn number(schema: &Schema, value: &Value, path: &str, causes: &mut Vec<Cause>) {
    let Some(found) = value.as_f64() else {
        return;
    };
    if let Some(limit) = schema.minimum
        && (found < limit || (schema.exclusive_minimum && found <= limit))
    {
        let than = if schema.exclusive_minimum {
            "greater than"
        } else {
            "greater than or equal to"
        };
        causes.push(in_body(path, value, &format!("should be {than} {limit}")));
    }
    if let Some(limit) = schema.maximum
        && (found > limit || (schema.exclusive_maximum && found >= limit))
    {
        let than = if schema.exclusive_maximum {
            "less than"
        } else {
            "less than or equal to"
        };
        causes.push(in_body(path, value, &format!("should be {than} {limit}")));
    }
    if let Some(step) = schema.multiple_of
        && step > 0.0
        && (found / step).fract() != 0.0
    {
        causes.push(in_body(
            path,
            value,
            &format!("should be a multiple of {step}"),
        ));
    }
}

fn array(schema: &Schema, entries: &[Value], path: &str, causes: &mut Vec<Cause>) {
    let value = Value::from(entries.len());
    sizes(
        "items",
        entries.len(),
        (schema.min_items, schema.max_items),
        path,
        &value,
        causes,
    );
    if schema.list_type == "set" || schema.unique_items {
        for (index, entry) in entries.iter().enumerate() {
            if entries.iter().take(index).any(|before| before == entry) {
                causes.push(Cause::duplicate(format!("{}[{index}]", shown(path)), entry));
            }
        }
    }
    if let Some(items) = schema.items.as_deref() {
        for (index, entry) in entries.iter().enumerate() {
            visit(items, entry, &format!("{path}[{index}]"), causes);
        }
    }
}

fn sizes(
    what: &str,
    found: usize,
    (least, most): (Option<usize>, Option<usize>),
    path: &str,
    value: &Value,
    causes: &mut Vec<Cause>,
) {
    if let Some(limit) = most
        && found > limit
    {
        causes.push(Cause::of(
            "FieldValueTooMany",
            shown(path),
            format!("Too many: {found}: must have at most {limit} items"),
        ));
    }
    if let Some(limit) = least
        && found < limit
    {
        causes.push(in_body(
            path,
            value,
            &format!("should have at least {limit} {what}"),
        ));
    }
}

/// `allOf`, `anyOf`, `oneOf`, `not`.
fn combined(schema: &Schema, value: &Value, path: &str, causes: &mut Vec<Cause>) {
    let holds = |candidate: &Schema| {
        let mut problems = Vec::new();
        visit(candidate, value, path, &mut problems);
        problems.is_empty()
    };
    for part in &schema.all_of {
        visit(part, value, path, causes);
    }
    if !schema.any_of.is_empty() && !schema.any_of.iter().any(holds) {
        causes.push(in_body(
            path,
            value,
            "must validate at least one schema (anyOf)",
        ));
    }
    if !schema.one_of.is_empty() && schema.one_of.iter().filter(|part| holds(part)).count() != 1 {
        causes.push(in_body(
            path,
            value,
            "must validate one and only one schema (oneOf)",
        ));
    }
    if let Some(not) = schema.not.as_deref()
        && holds(not)
    {
        causes.push(in_body(path, value, "must not validate the schema (not)"));
    }
}

fn in_body(path: &str, value: &Value, what: &str) -> Cause {
    let path = shown(path);
    Cause::invalid(path.clone(), value, &format!("{path} in body {what}"))
}

fn shown(path: &str) -> String {
    if path.is_empty() {
        "<nil>".to_owned()
    } else {
        path.to_owned()
    }
}

fn join(path: &str, field: &str) -> String {
    if path.is_empty() {
        field.to_owned()
    } else {
        format!("{path}.{field}")
    }
}
