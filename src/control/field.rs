//! Reading fields of JSON trees by path (RFC 6901), with what Kubernetes means by their absence.

use serde_json::Value;

/// A text, empty where there is none.
pub(super) fn text<'a>(tree: &'a Value, path: &str) -> &'a str {
    tree.pointer(path).and_then(Value::as_str).unwrap_or("")
}

pub(super) fn integer(tree: &Value, path: &str) -> Option<i64> {
    tree.pointer(path).and_then(Value::as_i64)
}

/// A count, 0 where there is none.
pub(super) fn count(tree: &Value, path: &str) -> i64 {
    integer(tree, path).unwrap_or_default()
}

/// The entries of a list, none where there is no list.
pub(super) fn list<'a>(tree: &'a Value, path: &str) -> &'a [Value] {
    tree.pointer(path)
        .and_then(Value::as_array)
        .map_or(&[], Vec::as_slice)
}

/// A subtree, null where there is none.
pub(super) fn tree<'a>(tree: &'a Value, path: &str) -> &'a Value {
    tree.pointer(path).unwrap_or(&Value::Null)
}

pub(super) fn flag(tree: &Value, path: &str) -> bool {
    tree.pointer(path).and_then(Value::as_bool).unwrap_or(false)
}

pub(super) fn annotation<'a>(tree: &'a Value, name: &str) -> Option<&'a str> {
    tree.get("metadata")?
        .get("annotations")?
        .get(name)?
        .as_str()
}

/// Sets a field of a JSON object; anything else stays as it is.
pub(super) fn put(tree: &mut Value, name: &str, value: Value) {
    if let Some(fields) = tree.as_object_mut() {
        fields.insert(name.to_owned(), value);
    }
}

/// An `IntOrString` that may be a percentage.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Rounding {
    Up,
    Down,
}

/// Source: `GetScaledValueFromIntOrPercent` of apimachinery. `None` for what is neither a number
/// nor a percentage.
pub(super) fn scaled(value: &Value, total: i64, rounding: Rounding) -> Option<i64> {
    if let Some(number) = value.as_i64() {
        return Some(number);
    }
    let percent: i64 = value.as_str()?.strip_suffix('%')?.parse().ok()?;
    let hundredfold = percent.checked_mul(total)?;
    Some(match rounding {
        Rounding::Up => hundredfold.saturating_add(99).div_euclid(100),
        Rounding::Down => hundredfold.div_euclid(100),
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn percentages_round_as_asked() {
        assert_eq!(scaled(&json!("25%"), 10, Rounding::Up), Some(3));
        assert_eq!(scaled(&json!("25%"), 10, Rounding::Down), Some(2));
        assert_eq!(scaled(&json!("100%"), 7, Rounding::Up), Some(7));
        assert_eq!(scaled(&json!(4), 10, Rounding::Down), Some(4));
        assert_eq!(scaled(&json!("four"), 10, Rounding::Down), None);
    }
}
