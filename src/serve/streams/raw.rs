//! Connections that are upgraded to SPDY themselves, as clients before kubectl 1.31 ask for.

use axum::response::Response as HttpResponse;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header, request};
use hyper::upgrade::{OnUpgrade, Upgraded};
use hyper_util::rt::TokioIo;

use crate::apiserver::Status;

const SPDY: &str = "SPDY/3.1";
const PROTOCOL: HeaderName = HeaderName::from_static("x-stream-protocol-version");

/// A connection that its client wants to go on with in SPDY.
pub struct Raw {
    upgrade: OnUpgrade,
    offered: Vec<String>,
}

/// None if the request does not ask for it.
pub fn upgrade(parts: &mut request::Parts) -> Option<Raw> {
    let asked = texts(&parts.headers, &header::UPGRADE);
    if !asked.iter().any(|text| text.eq_ignore_ascii_case(SPDY)) {
        return None;
    }
    Some(Raw {
        upgrade: parts.extensions.remove()?,
        offered: texts(&parts.headers, &PROTOCOL),
    })
}

impl Raw {
    /// Answers in the protocol, and goes on in it once the answer is out.
    pub fn answer<F>(
        self,
        protocol: &'static str,
        run: impl FnOnce(TokioIo<Upgraded>) -> F + Send + 'static,
    ) -> Result<HttpResponse, Status>
    where
        F: Future<Output = ()> + Send,
    {
        if !self.offered.iter().any(|offered| offered == protocol) {
            let offered = self.offered.join(", ");
            let message = format!(
                "unable to upgrade: unable to negotiate protocol: client supports [{offered}], server \
                 supports [{protocol}]"
            );
            return Err(Status::bad_request(message));
        }
        tokio::spawn(async move {
            match self.upgrade.await {
                Ok(connection) => run(TokioIo::new(connection)).await,
                Err(error) => tracing::debug!(%error, "a connection was not upgraded"),
            }
        });
        let mut response = HttpResponse::default();
        *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
        let headers = response.headers_mut();
        headers.insert(header::CONNECTION, HeaderValue::from_static("Upgrade"));
        headers.insert(header::UPGRADE, HeaderValue::from_static(SPDY));
        headers.insert(PROTOCOL, HeaderValue::from_static(protocol));
        Ok(response)
    }
}

fn texts(headers: &HeaderMap, name: &HeaderName) -> Vec<String> {
    let values = headers.get_all(name).iter();
    values
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .map(|text| text.trim().to_owned())
        .collect()
}
