//! Request bodies into JSON trees of the expected kind.

use serde_json::Value;

use super::registry::ResourceType;
use super::request::Request;
use super::status::Status;
use super::write::Writing;
use super::{convert, normalize, protobuf};

pub(super) const JSON_PATCH: &str = "application/json-patch+json";
pub(super) const MERGE_PATCH: &str = "application/merge-patch+json";
pub(super) const STRATEGIC_PATCH: &str = "application/strategic-merge-patch+json";
pub(super) const APPLY_PATCH: &str = "application/apply-patch+yaml";

/// The object of a create or update, in its stored version, without unknown fields.
pub(super) fn object(
    writing: &mut Writing,
    resource_type: &ResourceType,
    request: &Request,
) -> Result<Value, Status> {
    let tree = body(request)?;
    check_kind(resource_type, &tree)?;
    typed(
        writing,
        resource_type,
        tree,
        &request.options.field_validation,
    )
}

/// Prunes, checks types, converts to the stored version and fills in defaults.
pub(super) fn typed(
    writing: &mut Writing,
    resource_type: &ResourceType,
    tree: Value,
    field_validation: &str,
) -> Result<Value, Status> {
    let mut tree = written(writing, resource_type, tree, field_validation)?;
    normalize::fill(writing.registry, resource_type, &mut tree);
    Ok(tree)
}

/// What the author wrote and nothing else: an applied configuration owns no defaults.
pub(super) fn written(
    writing: &mut Writing,
    resource_type: &ResourceType,
    mut tree: Value,
    field_validation: &str,
) -> Result<Value, Status> {
    let strictness = normalize::Strictness::parse(field_validation)?;
    let warnings = normalize::normalize(resource_type, &mut tree, strictness)?;
    writing.warnings.extend(warnings);
    convert::to_stored(resource_type, &mut tree);
    Ok(tree)
}

/// The body as JSON, whichever of the accepted types it has.
pub(super) fn body(request: &Request) -> Result<Value, Status> {
    match request.content_type.as_str() {
        "" | "application/json" => json(&request.body),
        "application/yaml" | APPLY_PATCH => yaml(&request.body),
        protobuf::CONTENT_TYPE => protobuf::decode(&request.body),
        _ => Err(Status::unsupported_media_type(&[
            "application/json",
            "application/yaml",
            protobuf::CONTENT_TYPE,
        ])),
    }
}

pub(super) fn json(body: &[u8]) -> Result<Value, Status> {
    serde_json::from_slice(body).map_err(|error| {
        Status::bad_request(format!(
            "the object provided is unrecognized (must be of type JSON): {error}"
        ))
    })
}

/// YAML as Go's parser reads it; JSON is YAML, and by far the most frequent case.
pub(super) fn yaml(body: &[u8]) -> Result<Value, Status> {
    if let Ok(tree) = serde_json::from_slice(body) {
        return Ok(tree);
    }
    let text = std::str::from_utf8(body)
        .map_err(|error| Status::bad_request(format!("error decoding YAML: {error}")))?;
    let options = serde_saphyr::options! {
        legacy_octal_numbers: true,
        strict_booleans: false,
    };
    serde_saphyr::from_str_with_options(text, options)
        .map_err(|error| Status::bad_request(format!("error decoding YAML: {error}")))
}

/// `apiVersion` and `kind` of a body must be those of the address it was sent to.
pub(super) fn check_kind(resource_type: &ResourceType, tree: &Value) -> Result<(), Status> {
    if !tree.is_object() {
        return Err(Status::bad_request(format!(
            "{} in version \"{}\" cannot be handled as a {}: json: cannot unmarshal {} into Go \
             value of type {}",
            resource_type.kind,
            resource_type.version,
            resource_type.kind,
            normalize::go_type(tree),
            resource_type.kind,
        )));
    }
    let text = |key: &str| tree.get(key).and_then(Value::as_str).unwrap_or_default();
    let (kind, version) = (text("kind"), text("apiVersion"));
    if (!kind.is_empty() && kind != resource_type.kind)
        || (!version.is_empty() && version != resource_type.api_version())
    {
        let shown = |version: &str, kind: &str| {
            format!(
                "{}, Kind={kind}",
                if version.contains('/') {
                    version.to_owned()
                } else {
                    format!("/{version}")
                }
            )
        };
        return Err(Status::bad_request(format!(
            "the object in the request ({}) does not match the expected type ({})",
            shown(version, kind),
            shown(&resource_type.api_version(), &resource_type.kind),
        )));
    }
    Ok(())
}
