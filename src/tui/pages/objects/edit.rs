//! From an edited text to a write: read it, refuse what cannot be meant, show the difference a dry
//! run makes, and explain a conflict instead of overwriting.

use serde_json::Value;

use crate::k8s::Object;
use crate::tui::actions::Action;
use crate::tui::diff::{self, Diff, Noise};

/// Why an edited text cannot be sent.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum EditError {
    #[error("line {line}: {reason}")]
    Syntax { line: usize, reason: String },
    #[error("the text is no object: it needs apiVersion, kind and metadata")]
    NoObject,
    #[error("`{field}` says which object this is and cannot be changed here: {before} → {after}")]
    Identity {
        field: &'static str,
        before: String,
        after: String,
    },
    #[error("nothing was changed")]
    Unchanged,
}

/// The text that is edited: without managed fields and status, with the revision left out because
/// it is kept beside it.
pub fn text_of(object: &Object) -> String {
    diff::yaml(&for_edit(&object.json()), Noise::Shown)
}

fn for_edit(object: &Value) -> Value {
    let mut object = object.clone();
    if let Some(fields) = object.as_object_mut() {
        fields.remove("status");
    }
    if let Some(metadata) = object.get_mut("metadata").and_then(Value::as_object_mut) {
        metadata.remove("managedFields");
        metadata.remove("resourceVersion");
    }
    object
}

/// Reads an edited text as the replacement of the object it came from.
pub fn parse(original: &Object, text: &str) -> Result<Action, EditError> {
    let after: Value = serde_saphyr::from_str(text).map_err(|error| {
        let line = error
            .location()
            .map_or(0, |location| usize::try_from(location.line()).unwrap_or(0));
        EditError::Syntax {
            line,
            reason: first_sentence(&error.to_string()),
        }
    })?;
    let before = original.json();
    if !after.is_object()
        || after
            .get("metadata")
            .is_none_or(|metadata| !metadata.is_object())
    {
        return Err(EditError::NoObject);
    }
    for (field, pointer) in [
        ("apiVersion", "/apiVersion"),
        ("kind", "/kind"),
        ("metadata.name", "/metadata/name"),
        ("metadata.namespace", "/metadata/namespace"),
        ("metadata.uid", "/metadata/uid"),
    ] {
        let text = |json: &Value| {
            json.pointer(pointer)
                .and_then(Value::as_str)
                .unwrap_or_default()
                .to_owned()
        };
        let (was, is) = (text(&before), text(&after));
        if was != is {
            return Err(EditError::Identity {
                field,
                before: was,
                after: is,
            });
        }
    }
    if for_edit(&before) == for_edit(&after) {
        return Err(EditError::Unchanged);
    }
    let mut after = after;
    // A replacement carries the status that was read; the server keeps its own.
    if let (Some(fields), Some(status)) = (after.as_object_mut(), before.get("status")) {
        fields.insert("status".into(), status.clone());
    }
    Ok(Action::replace(original, after))
}

/// What the server would store, against what there is: defaults and admission included.
pub fn dry_run_diff(original: &Object, answer: &Value) -> Diff {
    diff::objects(&original.json(), answer, Noise::Hidden)
}

/// What somebody else changed since the text was opened, for the explanation of a conflict.
pub fn foreign_change(opened: &Object, current: &Object) -> Diff {
    diff::objects(&opened.json(), &current.json(), Noise::Hidden)
}

fn first_sentence(message: &str) -> String {
    message.lines().next().unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::k8s::build;

    #[test]
    fn edited_text_becomes_a_replacement_with_its_revision() {
        let cart = build::deployment("shop/cart")
            .with(&json!({"spec": {"replicas": 3}, "status": {"replicas": 3}}))
            .build();
        let text = text_of(&cart);
        assert!(!text.contains("status") && text.contains("replicas: 3"));
        assert_eq!(parse(&cart, &text), Err(EditError::Unchanged));
        let Ok(Action::Replace { after, .. }) =
            parse(&cart, &text.replace("replicas: 3", "replicas: 5"))
        else {
            panic!("an edit");
        };
        assert_eq!(after.pointer("/spec/replicas"), Some(&json!(5)));
        assert_eq!(
            after.pointer("/metadata/resourceVersion"),
            Some(&json!("1"))
        );
    }

    #[test]
    fn what_cannot_be_meant_is_refused_with_its_place() {
        let cart = build::deployment("shop/cart").build();
        let error = parse(&cart, "a: 1\nb: [").unwrap_err();
        assert!(
            matches!(error, EditError::Syntax { line: 2.., .. }),
            "{error:?}"
        );
        assert_eq!(parse(&cart, "just text"), Err(EditError::NoObject));
        let renamed = text_of(&cart).replace("name: cart", "name: card");
        assert_eq!(
            parse(&cart, &renamed).unwrap_err().to_string(),
            "`metadata.name` says which object this is and cannot be changed here: cart → card"
        );
    }
}
