//! The registry: this machine's images for others, over the OCI distribution API.
//!
//! It stands on the same content-addressed store as the local node, so that what is pushed here is
//! on the disk once. It never runs anything and never fetches anything from elsewhere. Whoever may
//! speak to it may push, unless users are named; plain HTTP is for this machine alone, which its
//! caller sees to.
//!
//! Start with [`serve`]; [`route`] says what a path means, [`repository`] what is on the disk.
//!
//! Source: OCI distribution specification 1.1.

pub mod answer;
mod listening;
pub mod repository;
pub mod route;
mod serving;
mod upload;

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::{HeaderMap, HeaderName, Method, Request, StatusCode, header};
use ring::rand::{SecureRandom, SystemRandom};
use sha2::{Digest, Sha256};

use self::answer::Refusal;
use self::route::Route;
use super::store::{Store, hex};

pub use listening::{serve, serve_app};

const DIGEST: HeaderName = HeaderName::from_static("docker-content-digest");
const API_VERSION: HeaderName = HeaderName::from_static("docker-distribution-api-version");

type Outcome = Result<Response, Refusal>;

/// What the registry serves, and to whom.
#[derive(Clone, Debug)]
pub struct Context {
    store: Store,
    /// None: everybody.
    users: Option<Arc<Users>>,
}

/// Names with the digests of their passwords.
#[derive(Debug)]
pub struct Users(BTreeMap<String, [u8; 32]>);

/// Why a list of users cannot be read.
#[derive(Debug, thiserror::Error)]
#[error("line {line} is not of the form USER:PASSWORD")]
pub struct UsersError {
    line: usize,
}

impl Users {
    /// Lines of `USER:PASSWORD`; empty ones and those that begin with `#` say nothing.
    pub fn parse(text: &str) -> Result<Self, UsersError> {
        let mut users = BTreeMap::new();
        for (n, line) in text.lines().enumerate() {
            if line.trim().is_empty() || line.starts_with('#') {
                continue;
            }
            let (name, password) = line.split_once(':').ok_or(UsersError { line: n + 1 })?;
            if name.is_empty() || password.is_empty() {
                return Err(UsersError { line: n + 1 });
            }
            users.insert(name.to_owned(), Sha256::digest(password).into());
        }
        Ok(Self(users))
    }

    fn allow(&self, headers: &HeaderMap) -> bool {
        let given = headers.get(header::AUTHORIZATION);
        let given = given.and_then(|value| value.to_str().ok()?.strip_prefix("Basic "));
        let decoded = given.and_then(|text| STANDARD.decode(text).ok());
        let decoded = decoded.and_then(|bytes| String::from_utf8(bytes).ok());
        let Some((name, password)) = decoded.as_deref().and_then(|it| it.split_once(':')) else {
            return false;
        };
        // Digests are compared: how long that takes tells nothing of the password.
        let shown: [u8; 32] = Sha256::digest(password).into();
        self.0.get(name) == Some(&shown)
    }
}

impl Context {
    pub fn new(store: Store, users: Option<Users>) -> Self {
        Self {
            store,
            users: users.map(Arc::new),
        }
    }
}

fn router(context: Context) -> Router {
    Router::new().fallback(respond).with_state(context)
}

async fn respond(State(context): State<Context>, request: Request<Body>) -> Response {
    let (method, path) = (request.method().clone(), request.uri().path().to_owned());
    let outcome = answer(&context, request).await;
    if let Err(refusal) = &outcome {
        let (status, code) = (refusal.status.as_u16(), refusal.code);
        tracing::debug!(%method, path, status, code, "{}", refusal.message);
    }
    let mut response = outcome.unwrap_or_else(IntoResponse::into_response);
    let version = http::HeaderValue::from_static("registry/2.0");
    response.headers_mut().insert(API_VERSION, version);
    response
}

async fn answer(context: &Context, request: Request<Body>) -> Outcome {
    let (parts, body) = request.into_parts();
    let users = context.users.as_ref();
    if users.is_some_and(|users| !users.allow(&parts.headers)) {
        let message = "user name and password are needed";
        return Err(
            Refusal::new(StatusCode::UNAUTHORIZED, "UNAUTHORIZED", message)
                .with(header::WWW_AUTHENTICATE, "Basic realm=\"bayplan registry\""),
        );
    }
    let route = route::parse(parts.uri.path())?;
    let (query, headers) = (parts.uri.query(), &parts.headers);
    match (parts.method.as_str(), &route) {
        ("GET" | "HEAD", Route::Base) => {
            let kind = [(header::CONTENT_TYPE, "application/json".to_owned())];
            Ok(plain(StatusCode::OK, &kind, Body::from("{}")))
        }
        ("GET", Route::Catalog) => serving::catalog(context, query),
        ("GET", Route::Tags(name)) => serving::tags(context, name, query),
        ("GET", Route::Referrers(name, digest)) => {
            Ok(serving::referrers(context, name, digest, query))
        }
        ("GET" | "HEAD", Route::Manifest(name, reference)) => {
            serving::manifest(context, name, reference).await
        }
        ("PUT", Route::Manifest(name, reference)) => {
            serving::put_manifest(context, name, reference, headers, body).await
        }
        ("DELETE", Route::Manifest(name, reference)) => {
            serving::delete_manifest(context, name, reference)
        }
        ("GET" | "HEAD", Route::Blob(name, digest)) => {
            serving::blob(context, name, digest, (&parts.method, headers)).await
        }
        ("DELETE", Route::Blob(name, digest)) => serving::delete_blob(context, name, digest),
        ("POST", Route::Uploads(name)) => upload::begin(context, name, query, body).await,
        ("GET", Route::Upload(name, id)) => upload::status(context, name, id).await,
        ("PATCH", Route::Upload(name, id)) => upload::chunk(context, name, id, headers, body).await,
        ("PUT", Route::Upload(name, id)) => {
            upload::complete(context, name, id, (query, headers), body).await
        }
        ("DELETE", Route::Upload(name, id)) => upload::cancel(context, name, id).await,
        _ => Err(not_that_way(&parts.method, parts.uri.path())),
    }
}

fn not_that_way(method: &Method, path: &str) -> Refusal {
    Refusal::unsupported(format!("{method} is not served at `{path}`"))
}

fn plain(status: StatusCode, headers: &[(HeaderName, String)], body: Body) -> Response {
    let mut builder = Response::builder().status(status);
    for (name, value) in headers {
        builder = builder.header(name, value);
    }
    builder.body(body).unwrap_or_default()
}

/// A name that nobody else has.
pub(super) fn random() -> String {
    let mut bytes = [0; 16];
    let filled = SystemRandom::new().fill(&mut bytes);
    debug_assert!(filled.is_ok(), "the system has no random numbers");
    hex(&bytes)
}

#[cfg(test)]
mod tests;
