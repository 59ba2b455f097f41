//! What the registry says when it refuses: the error bodies of the distribution specification.
//!
//! Source: OCI distribution specification 1.1, "Error Codes".

use axum::body::Body;
use axum::response::{IntoResponse, Response};
use http::{HeaderName, StatusCode, header};
use serde_json::json;

use crate::node::image::ImageError;

/// A refusal, with the code that clients read and the sentence that people do.
#[derive(Debug)]
pub struct Refusal {
    pub status: StatusCode,
    pub code: &'static str,
    pub message: String,
    pub headers: Vec<(HeaderName, String)>,
}

impl Refusal {
    pub fn new(status: StatusCode, code: &'static str, message: impl Into<String>) -> Self {
        Self {
            status,
            code,
            message: message.into(),
            headers: Vec::new(),
        }
    }

    pub fn with(mut self, name: HeaderName, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }

    pub fn bad_name(name: &str) -> Self {
        let message = format!("`{name}` is no repository name");
        Self::new(StatusCode::BAD_REQUEST, "NAME_INVALID", message)
    }

    pub fn bad_digest(digest: &str) -> Self {
        let message = format!("`{digest}` is no digest of the form sha256:<64 hex digits>");
        Self::new(StatusCode::BAD_REQUEST, "DIGEST_INVALID", message)
    }

    pub fn unknown_name(name: &str) -> Self {
        let message = format!("repository `{name}` is not known to this registry");
        Self::new(StatusCode::NOT_FOUND, "NAME_UNKNOWN", message)
    }

    pub fn unknown_manifest(name: &str, reference: &str) -> Self {
        let message = format!("repository `{name}` has no manifest `{reference}`");
        Self::new(StatusCode::NOT_FOUND, "MANIFEST_UNKNOWN", message)
    }

    pub fn bad_manifest(message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "MANIFEST_INVALID", message)
    }

    pub fn unknown_blob(name: &str, digest: &str) -> Self {
        let message = format!("repository `{name}` has no blob `{digest}`");
        Self::new(StatusCode::NOT_FOUND, "BLOB_UNKNOWN", message)
    }

    pub fn unknown_upload(id: &str) -> Self {
        let message = format!("upload `{id}` is not known; begin a new one");
        Self::new(StatusCode::NOT_FOUND, "BLOB_UPLOAD_UNKNOWN", message)
    }

    pub fn unsupported(message: impl Into<String>) -> Self {
        Self::new(StatusCode::METHOD_NOT_ALLOWED, "UNSUPPORTED", message)
    }

    /// The disk said no. `UNKNOWN` is not in the specification's list, but what registries answer.
    pub fn disk(error: &std::io::Error) -> Self {
        let status = if error.kind() == std::io::ErrorKind::StorageFull {
            StatusCode::INSUFFICIENT_STORAGE
        } else {
            StatusCode::INTERNAL_SERVER_ERROR
        };
        let message = format!("the registry's disk: {error}");
        Self::new(status, "UNKNOWN", message)
    }
}

impl From<ImageError> for Refusal {
    fn from(error: ImageError) -> Self {
        match error {
            ImageError::Digest { .. } => {
                Self::new(StatusCode::BAD_REQUEST, "DIGEST_INVALID", error.to_string())
            }
            ImageError::Store { source, .. } => Self::disk(&source),
            other => Self::new(
                StatusCode::INTERNAL_SERVER_ERROR,
                "UNKNOWN",
                other.to_string(),
            ),
        }
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let body = json!({"errors": [{"code": self.code, "message": self.message}]}).to_string();
        let mut builder = Response::builder()
            .status(self.status)
            .header(header::CONTENT_TYPE, "application/json");
        for (name, value) in self.headers {
            builder = builder.header(name, value);
        }
        builder.body(Body::from(body)).unwrap_or_default()
    }
}
