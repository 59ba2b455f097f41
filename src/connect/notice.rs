//! What went wrong with a request, translated once from the client library's errors.

use super::guard::Refused;

/// A failed request as the console and the command line show it.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("{message}")]
pub struct Notice {
    /// The HTTP status, where the server answered.
    pub code: Option<u16>,
    /// The server's own word (`NotFound`, `Conflict`, `Invalid`), or ours: `ReadOnly`,
    /// `Unreachable`, `Unreadable`, `Settings`.
    pub reason: String,
    /// One sentence for people.
    pub message: String,
    /// The same request may succeed later without any change by the user.
    pub retryable: bool,
}

impl Notice {
    fn local(reason: &str, message: String, retryable: bool) -> Self {
        Self {
            code: None,
            reason: reason.to_owned(),
            message,
            retryable,
        }
    }

    /// What stands in the way is here, not at the server.
    pub(super) fn settings(message: &str) -> Self {
        Self::local("Settings", message.to_owned(), false)
    }

    pub fn is(&self, reason: &str) -> bool {
        self.reason == reason
    }
}

impl From<kube::Error> for Notice {
    fn from(error: kube::Error) -> Self {
        match error {
            kube::Error::Api(status) => Self::from_status(*status),
            kube::Error::Service(cause) => match cause.downcast::<Refused>() {
                Ok(refused) => Self::local("ReadOnly", refused.to_string(), false),
                Err(cause) => Self::local("Unreachable", unreachable_text(&*cause), true),
            },
            kube::Error::HyperError(cause) => {
                Self::local("Unreachable", unreachable_text(&cause), true)
            }
            kube::Error::ReadEvents(cause) => {
                Self::local("Unreachable", unreachable_text(&cause), true)
            }
            kube::Error::SerdeError(cause) => Self::local(
                "Unreadable",
                format!("the server's answer is not understood: {cause}"),
                false,
            ),
            kube::Error::Auth(cause) => {
                Self::local("Unauthorized", format!("no credentials: {cause}"), false)
            }
            other => Self::local("Settings", lower_first(&chain(&other)), false),
        }
    }
}

impl Notice {
    fn from_status(status: kube::core::Status) -> Self {
        let retryable = matches!(status.code, 409 | 429 | 500 | 502..=504)
            && status.reason != "AlreadyExists"
            && !status.details.as_ref().is_some_and(|details| {
                details
                    .causes
                    .iter()
                    .any(|cause| cause.reason == "DisruptionBudget")
            });
        let message = if status.message.is_empty() {
            format!("the server answered {} {}", status.code, status.reason)
        } else {
            status.message
        };
        Self {
            code: Some(status.code),
            reason: status.reason,
            message,
            retryable,
        }
    }
}

fn unreachable_text(cause: &(dyn std::error::Error + 'static)) -> String {
    let why = chain(cause);
    // The TLS library explains itself on a page of its own.
    let why = why.split(": https://").next().unwrap_or_default();
    format!("the server cannot be reached: {why}")
}

/// The innermost cause says most (`connection refused`); outer layers only name themselves.
fn chain(error: &(dyn std::error::Error + 'static)) -> String {
    let mut inner = error;
    while let Some(source) = inner.source() {
        inner = source;
    }
    inner.to_string()
}

fn lower_first(text: &str) -> String {
    let mut letters = text.chars();
    letters.next().map_or_else(String::new, |first| {
        first.to_lowercase().chain(letters).collect()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(error: kube::Error, reason: &str, retryable: bool, message: &str) {
        let notice = Notice::from(error);
        assert_eq!(
            (
                notice.reason.as_str(),
                notice.retryable,
                notice.message.as_str()
            ),
            (reason, retryable, message)
        );
    }

    fn status(code: u16, reason: &str, message: &str) -> kube::Error {
        kube::Error::Api(
            kube::core::Status::failure(message, reason)
                .with_code(code)
                .boxed(),
        )
    }

    #[test]
    fn server_words_are_kept_and_transport_failures_are_named() {
        check(
            status(404, "NotFound", "pods \"web\" not found"),
            "NotFound",
            false,
            "pods \"web\" not found",
        );
        check(status(409, "Conflict", "again"), "Conflict", true, "again");
        check(
            status(409, "AlreadyExists", "there"),
            "AlreadyExists",
            false,
            "there",
        );
        check(status(503, "", ""), "", true, "the server answered 503 ");
        let refused = Refused {
            why: "this session is read-only",
            method: http::Method::DELETE,
            path: "/api/v1/nodes/a".into(),
        };
        check(
            kube::Error::Service(refused.into()),
            "ReadOnly",
            false,
            "this session is read-only: DELETE /api/v1/nodes/a was not sent",
        );
        let io = std::io::Error::other("connection refused");
        check(
            kube::Error::Service(io.into()),
            "Unreachable",
            true,
            "the server cannot be reached: connection refused",
        );
    }
}
