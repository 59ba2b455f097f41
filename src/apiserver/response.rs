//! What the API server answers.

use bytes::Bytes;
use serde_json::Value;

use super::status::Status;

#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Response {
    pub status: u16,
    pub headers: Vec<(&'static str, String)>,
    pub body: Bytes,
    /// A list with more to come: the client will ask for the rest of the same snapshot.
    pub continued: bool,
}

pub(super) const JSON: &str = "application/json";

impl Response {
    pub fn json(status: u16, value: &Value) -> Self {
        Self::bytes(status, JSON, value.to_string())
    }

    pub fn bytes(status: u16, content_type: &str, body: impl Into<Bytes>) -> Self {
        Self {
            status,
            headers: vec![("content-type", content_type.to_owned())],
            body: body.into(),
            continued: false,
        }
    }

    pub fn text(status: u16, body: impl Into<Bytes>) -> Self {
        Self::bytes(status, "text/plain", body)
    }

    /// One `Warning` header each, as RFC 9110's predecessor has them and kubectl prints them.
    #[must_use]
    pub fn with_warnings(mut self, warnings: &[String]) -> Self {
        for warning in warnings {
            let quoted = warning.replace('\\', "\\\\").replace('"', "\\\"");
            self.headers
                .push(("warning", format!("299 - \"{quoted}\"")));
        }
        self
    }

    pub fn is_success(&self) -> bool {
        self.status < 400
    }

    /// The body as JSON; `Null` when it is something else.
    pub fn value(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_default()
    }
}

impl From<Status> for Response {
    fn from(status: Status) -> Self {
        let mut response = Self::json(status.code, &status.json());
        if let Some(details) = &status.details
            && details.retry_after_seconds > 0
        {
            response
                .headers
                .push(("retry-after", details.retry_after_seconds.to_string()));
        }
        response
    }
}
