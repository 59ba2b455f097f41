//! `serviceaccounts/token`: a bearer token for an account. The token is opaque and random; it is
//! not kept, so that [`super::super::review`] does not accept it.

use jiff::SignedDuration;
use serde_json::{Value, json};

use super::super::decode;
use super::super::registry::ResourceType;
use super::super::request::{Request, ResourceTarget};
use super::super::status::Status;
use super::super::write::{Done, Writing, second};

const DEFAULT_LIFE_S: i64 = 3600;

pub(in super::super) fn request(
    writing: &mut Writing,
    resource_type: &ResourceType,
    target: &ResourceTarget,
    request: &Request,
) -> Result<Done, Status> {
    let account = writing.current(resource_type, target)?;
    let mut body = decode::body(request)?;
    let life = body
        .pointer("/spec/expirationSeconds")
        .and_then(Value::as_i64)
        .unwrap_or(DEFAULT_LIFE_S);
    let expires = writing
        .now
        .checked_add(SignedDuration::from_secs(life))
        .unwrap_or(writing.now);
    let token = format!(
        "bayplan.{}.{}.{}",
        account.namespace(),
        account.name(),
        writing.ids.uuid()
    );
    if let Some(root) = body.as_object_mut() {
        root.insert("kind".into(), "TokenRequest".into());
        root.insert("apiVersion".into(), "authentication.k8s.io/v1".into());
        root.insert(
            "status".into(),
            json!({"token": token, "expirationTimestamp": second(expires)}),
        );
    }
    Ok(Done::Other(201, body))
}
