//! From stored objects to answered bytes: version, then form.

use bytes::Bytes;
use jiff::Timestamp;
use serde_json::{Value, json};

use super::accept::Form;
use super::registry::ResourceType;
use super::{convert, table};
use crate::k8s::Object;

/// How an answer is to look.
#[derive(Clone, Debug)]
pub(super) struct Presentation {
    pub form: Form,
    /// `includeObject` of tables.
    pub include: String,
    pub now: Timestamp,
}

/// `metadata` of a list.
#[derive(Clone, Debug, Default)]
pub(super) struct ListMeta {
    pub revision: String,
    pub continue_token: String,
    pub remaining: Option<usize>,
}

impl ListMeta {
    pub(super) fn json(&self) -> Value {
        let mut metadata = json!({"resourceVersion": self.revision});
        if let Some(map) = metadata.as_object_mut() {
            if !self.continue_token.is_empty() {
                map.insert("continue".into(), self.continue_token.clone().into());
            }
            if let Some(remaining) = self.remaining {
                map.insert("remainingItemCount".into(), remaining.into());
            }
        }
        metadata
    }
}

/// One object.
pub(super) fn single(
    resource_type: &ResourceType,
    object: &Object,
    presentation: &Presentation,
) -> Bytes {
    match presentation.form {
        Form::Object => convert::served(resource_type, object),
        Form::Metadata => Bytes::from(partial(&object.json()).to_string()),
        Form::Table => {
            let metadata = ListMeta {
                revision: object.revision.to_string(),
                ..ListMeta::default()
            };
            table::render(resource_type, &[object], &metadata, presentation, true)
        }
    }
}

/// A list: the stored bytes are spliced, never parsed, where nothing has to change in them.
pub(super) fn list<O: AsRef<Object>>(
    resource_type: &ResourceType,
    objects: &[O],
    metadata: &ListMeta,
    presentation: &Presentation,
) -> Bytes {
    if presentation.form == Form::Table {
        let objects: Vec<&Object> = objects.iter().map(AsRef::as_ref).collect();
        return table::render(resource_type, &objects, metadata, presentation, true);
    }
    let (kind, api_version) = match presentation.form {
        Form::Metadata => (
            "PartialObjectMetadataList".to_owned(),
            "meta.k8s.io/v1".to_owned(),
        ),
        _ => (
            resource_type.list_kind.to_string(),
            resource_type.api_version(),
        ),
    };
    let size: usize = objects
        .iter()
        .map(|object| object.as_ref().body.size() + 1)
        .sum();
    let mut out = Vec::with_capacity(size + 256);
    let head = format!(
        "{{\"kind\":{},\"apiVersion\":{},\"metadata\":{},\"items\":[",
        Value::from(kind),
        Value::from(api_version),
        metadata.json()
    );
    out.extend_from_slice(head.as_bytes());
    for (index, object) in objects.iter().enumerate() {
        if index > 0 {
            out.push(b',');
        }
        let object = object.as_ref();
        match presentation.form {
            Form::Metadata => {
                out.extend_from_slice(partial(&object.json()).to_string().as_bytes());
            }
            _ if resource_type.converts() => {
                out.extend_from_slice(&convert::served(resource_type, object));
            }
            _ => out.extend_from_slice(&object.bytes()),
        }
    }
    out.extend_from_slice(b"]}");
    Bytes::from(out)
}

/// The metadata of an object alone.
pub(super) fn partial(object: &Value) -> Value {
    json!({
        "kind": "PartialObjectMetadata",
        "apiVersion": "meta.k8s.io/v1",
        "metadata": object.get("metadata").cloned().unwrap_or_else(|| json!({})),
    })
}
