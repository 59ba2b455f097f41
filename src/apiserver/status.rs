//! `metav1.Status`: what the server answers when it does not answer with an object.
//!
//! Reasons, codes and message texts are those of `k8s.io/apimachinery/pkg/api/errors`.

use serde_json::{Value, json};

use crate::k8s::Resource;

/// A failed (or, for deletions, successful) outcome.
#[derive(Clone, Debug, PartialEq)]
pub struct Status {
    pub code: u16,
    /// `NotFound`, `AlreadyExists`, `Conflict`, `Invalid`, …; empty for success.
    pub reason: &'static str,
    pub message: String,
    pub details: Option<Box<Details>>,
    /// Where an expired list may go on, without being consistent.
    pub continue_token: String,
}

#[derive(Clone, Debug, PartialEq, Default)]
pub struct Details {
    pub name: String,
    pub group: String,
    /// The resource's plural, except for `Invalid`, where upstream puts the kind.
    pub kind: String,
    pub uid: String,
    pub causes: Vec<Cause>,
    pub retry_after_seconds: u32,
}

/// One entry of `details.causes`.
#[derive(Clone, Debug, PartialEq)]
pub struct Cause {
    pub reason: &'static str,
    pub message: String,
    pub field: String,
}

impl std::fmt::Display for Status {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Status {}

impl Status {
    pub fn new(code: u16, reason: &'static str, message: impl Into<String>) -> Self {
        Self {
            code,
            reason,
            message: message.into(),
            details: None,
            continue_token: String::new(),
        }
    }

    #[must_use]
    pub fn about(mut self, resource: &Resource, name: &str) -> Self {
        self.details = Some(Box::new(Details {
            name: name.into(),
            group: resource.group.to_string(),
            kind: resource.plural.to_string(),
            ..Details::default()
        }));
        self
    }

    pub fn not_found(resource: &Resource, name: &str) -> Self {
        Self::new(404, "NotFound", format!("{resource} \"{name}\" not found")).about(resource, name)
    }

    pub fn already_exists(resource: &Resource, name: &str) -> Self {
        let message = format!("{resource} \"{name}\" already exists");
        Self::new(409, "AlreadyExists", message).about(resource, name)
    }

    pub fn conflict(resource: &Resource, name: &str, why: &str) -> Self {
        let message = format!("Operation cannot be fulfilled on {resource} \"{name}\": {why}");
        Self::new(409, "Conflict", message).about(resource, name)
    }

    pub fn stale(resource: &Resource, name: &str) -> Self {
        Self::conflict(
            resource,
            name,
            "the object has been modified; please apply your changes to the latest version and try \
             again",
        )
    }

    pub fn forbidden(resource: &Resource, name: &str, why: &str) -> Self {
        let message = if name.is_empty() {
            format!("{resource} is forbidden: {why}")
        } else {
            format!("{resource} \"{name}\" is forbidden: {why}")
        };
        Self::new(403, "Forbidden", message).about(resource, name)
    }

    pub fn bad_request(why: impl Into<String>) -> Self {
        Self::new(400, "BadRequest", why)
    }

    pub fn expired(why: impl Into<String>) -> Self {
        Self::new(410, "Expired", why)
    }

    pub fn internal(why: impl std::fmt::Display) -> Self {
        Self::new(
            500,
            "InternalError",
            format!("Internal error occurred: {why}"),
        )
    }

    pub fn method_not_allowed() -> Self {
        Self::new(
            405,
            "MethodNotAllowed",
            "the server does not allow this method on the requested resource",
        )
    }

    /// No such path or resource type: clients show "the server could not find the requested
    /// resource".
    pub fn unknown_path() -> Self {
        let mut status = Self::new(
            404,
            "NotFound",
            "the server could not find the requested resource",
        );
        status.details = Some(Box::default());
        status
    }

    pub fn unsupported_media_type(accepted: &[&str]) -> Self {
        Self::new(
            415,
            "UnsupportedMediaType",
            format!(
                "the body of the request was in an unknown format - accepted media types include: {}",
                accepted.join(", ")
            ),
        )
    }

    /// `Kind.group "name" is invalid: …` with one cause for each error.
    pub fn invalid(group: &str, kind: &str, name: &str, causes: Vec<Cause>) -> Self {
        let qualified = if group.is_empty() {
            kind.to_owned()
        } else {
            format!("{kind}.{group}")
        };
        let mut texts: Vec<String> = causes.iter().map(Cause::text).collect();
        texts.dedup();
        let listed = match texts.as_slice() {
            [] => String::new(),
            [only] => only.clone(),
            many => format!("[{}]", many.join(", ")),
        };
        let mut status = Self::new(
            422,
            "Invalid",
            format!("{qualified} \"{name}\" is invalid: {listed}"),
        );
        status.details = Some(Box::new(Details {
            name: name.into(),
            group: group.into(),
            kind: kind.into(),
            causes,
            ..Details::default()
        }));
        status
    }

    pub fn too_many_requests(message: impl Into<String>, causes: Vec<Cause>) -> Self {
        let mut status = Self::new(429, "TooManyRequests", message);
        status.details = Some(Box::new(Details {
            causes,
            ..Details::default()
        }));
        status
    }

    pub fn is_not_found(&self) -> bool {
        self.reason == "NotFound"
    }

    pub fn json(&self) -> Value {
        let mut body = json!({
            "kind": "Status",
            "apiVersion": "v1",
            "metadata": {},
            "status": if self.code < 400 { "Success" } else { "Failure" },
            "code": self.code,
        });
        if let Some(root) = body.as_object_mut() {
            if !self.message.is_empty() {
                root.insert("message".into(), self.message.clone().into());
            }
            if !self.reason.is_empty() {
                root.insert("reason".into(), self.reason.into());
            }
            if let Some(details) = &self.details {
                root.insert("details".into(), details.json());
            }
            if !self.continue_token.is_empty() {
                let metadata = json!({"continue": self.continue_token});
                root.insert("metadata".into(), metadata);
            }
            if self.code < 400 {
                root.remove("code");
            }
        }
        body
    }
}

impl Details {
    fn json(&self) -> Value {
        let mut body = serde_json::Map::new();
        let mut text = |key: &str, value: &str| {
            if !value.is_empty() {
                body.insert(key.into(), value.into());
            }
        };
        text("name", &self.name);
        text("group", &self.group);
        text("kind", &self.kind);
        text("uid", &self.uid);
        if !self.causes.is_empty() {
            let causes = self.causes.iter().map(Cause::json).collect();
            body.insert("causes".into(), Value::Array(causes));
        }
        if self.retry_after_seconds > 0 {
            body.insert("retryAfterSeconds".into(), self.retry_after_seconds.into());
        }
        Value::Object(body)
    }
}

impl Cause {
    pub fn required(field: impl Into<String>, detail: &str) -> Self {
        let message = if detail.is_empty() {
            "Required value".to_owned()
        } else {
            format!("Required value: {detail}")
        };
        Self::of("FieldValueRequired", field, message)
    }

    pub fn invalid(field: impl Into<String>, value: &Value, detail: &str) -> Self {
        let message = format!("Invalid value: {}: {detail}", shown(value));
        Self::of("FieldValueInvalid", field, message)
    }

    pub fn not_supported(field: impl Into<String>, value: &Value, allowed: &[&str]) -> Self {
        let mut allowed: Vec<String> = allowed.iter().map(|text| format!("\"{text}\"")).collect();
        allowed.sort();
        let message = format!(
            "Unsupported value: {}: supported values: {}",
            shown(value),
            allowed.join(", ")
        );
        Self::of("FieldValueNotSupported", field, message)
    }

    pub fn duplicate(field: impl Into<String>, value: &Value) -> Self {
        Self::of(
            "FieldValueDuplicate",
            field,
            format!("Duplicate value: {}", shown(value)),
        )
    }

    pub fn not_found(field: impl Into<String>, value: &Value) -> Self {
        Self::of(
            "FieldValueNotFound",
            field,
            format!("Not found: {}", shown(value)),
        )
    }

    pub fn forbidden(field: impl Into<String>, detail: &str) -> Self {
        Self::of("FieldValueForbidden", field, format!("Forbidden: {detail}"))
    }

    pub fn of(reason: &'static str, field: impl Into<String>, message: String) -> Self {
        Self {
            reason,
            message,
            field: field.into(),
        }
    }

    /// `field: message`, as upstream's aggregate error prints it.
    pub fn text(&self) -> String {
        if self.field.is_empty() {
            self.message.clone()
        } else {
            format!("{}: {}", self.field, self.message)
        }
    }

    fn json(&self) -> Value {
        json!({"reason": self.reason, "message": self.message, "field": self.field})
    }
}

/// A value as upstream's field errors show it: strings quoted, numbers plain, the rest as JSON.
fn shown(value: &Value) -> String {
    value.to_string()
}
