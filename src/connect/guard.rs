//! The read-only guard: the last layer that every request of a session passes before it leaves.
//!
//! Whoever holds a read-only session cannot change anything through it, whatever the console above
//! has a bug in: only requests that read are let through. The same holds for a session while a
//! rehearsal of its cluster is under way.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};

use futures::future::{Either, Ready, ready};
use http::{Method, Request, header};
use tower::{BoxError, Layer, Service};

/// May this session change anything?
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Access {
    #[default]
    ReadWrite,
    ReadOnly,
}

/// Whether a session keeps its writes back for now; clones are the same switch.
#[derive(Clone, Debug, Default)]
pub struct Hold(Arc<AtomicBool>);

impl Hold {
    pub fn set(&self, held: bool) {
        self.0.store(held, Ordering::SeqCst);
    }

    pub fn is_held(&self) -> bool {
        self.0.load(Ordering::SeqCst)
    }
}

/// A request that a session did not send.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("{why}: {method} {path} was not sent")]
pub struct Refused {
    pub why: &'static str,
    pub method: Method,
    pub path: String,
}

#[derive(Clone, Debug)]
pub struct GuardLayer {
    access: Access,
    hold: Hold,
}

impl GuardLayer {
    pub fn new(access: Access, hold: Hold) -> Self {
        Self { access, hold }
    }
}

impl<S> Layer<S> for GuardLayer {
    type Service = Guard<S>;

    fn layer(&self, inner: S) -> Self::Service {
        Guard {
            inner,
            guard: self.clone(),
        }
    }
}

#[derive(Clone, Debug)]
pub struct Guard<S> {
    inner: S,
    guard: GuardLayer,
}

impl<S, B> Service<Request<B>> for Guard<S>
where
    S: Service<Request<B>>,
    S::Error: Into<BoxError>,
    S::Future: Send + 'static,
{
    type Response = S::Response;
    type Error = BoxError;
    type Future = Either<Ready<Result<S::Response, BoxError>>, ErrorInto<S::Future>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.inner.poll_ready(context).map_err(Into::into)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let why = match self.guard.access {
            Access::ReadOnly => Some("this session is read-only"),
            Access::ReadWrite if self.guard.hold.is_held() => {
                Some("a rehearsal of this cluster is under way")
            }
            Access::ReadWrite => None,
        };
        if let Some(why) = why
            && !reads(&request)
        {
            let refused = Refused {
                why,
                method: request.method().clone(),
                path: request.uri().path().to_owned(),
            };
            return Either::Left(ready(Err(refused.into())));
        }
        Either::Right(futures::TryFutureExt::err_into(self.inner.call(request)))
    }
}

type ErrorInto<F> = futures::future::ErrInto<F, BoxError>;

/// Subresources that act although they are asked for with GET, and proxies, which may do anything.
const ACTING: &[&str] = &["exec", "attach", "portforward", "proxy"];
/// Asking what one may do changes nothing, and has no other form than a creation.
const REVIEWS: &[&str] = &[
    "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews",
    "/apis/authorization.k8s.io/v1/selfsubjectrulesreviews",
];

fn reads<B>(request: &Request<B>) -> bool {
    let path = request.uri().path().trim_end_matches('/');
    match *request.method() {
        Method::GET => {
            let upgrades = request.headers().contains_key(header::UPGRADE);
            !upgrades && !path.split('/').skip(1).any(|part| ACTING.contains(&part))
        }
        Method::POST => REVIEWS.contains(&path),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use tower::{ServiceBuilder, ServiceExt, service_fn};

    use super::*;

    /// How many requests arrive behind the guard.
    async fn arrive(access: Access, method: &str, uri: &str, upgrade: bool) -> usize {
        arrive_held((access, false), method, uri, upgrade).await
    }

    async fn arrive_held(
        (access, held): (Access, bool),
        method: &str,
        uri: &str,
        upgrade: bool,
    ) -> usize {
        let hold = Hold::default();
        let layer = GuardLayer::new(access, hold.clone());
        // The switch counts when a request is sent, not when the client was made.
        hold.set(held);
        let arrived = Arc::new(AtomicUsize::new(0));
        let counter = Arc::clone(&arrived);
        let service =
            ServiceBuilder::new()
                .layer(layer)
                .service(service_fn(move |_request: Request<()>| {
                    counter.fetch_add(1, Ordering::Relaxed);
                    ready(Ok::<_, BoxError>(()))
                }));
        let mut request = Request::builder().method(method).uri(uri);
        if upgrade {
            request = request.header(header::UPGRADE, "websocket");
        }
        let result = service.oneshot(request.body(()).unwrap()).await;
        if let Err(error) = &result {
            assert!(error.downcast_ref::<Refused>().is_some());
        }
        let count = arrived.load(Ordering::Relaxed);
        assert_eq!(result.is_ok(), count == 1);
        count
    }

    #[tokio::test]
    async fn read_only_session_lets_reads_through_and_nothing_else() {
        let pods = "/api/v1/namespaces/shop/pods";
        let rows = [
            ("GET", pods, 1),
            ("GET", "/api/v1/namespaces/shop/pods?watch=true", 1),
            ("GET", "/api/v1/namespaces/shop/pods/web/log?follow=true", 1),
            ("GET", "/apis", 1),
            (
                "POST",
                "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews",
                1,
            ),
            ("POST", pods, 0),
            ("PUT", "/api/v1/namespaces/shop/pods/web", 0),
            (
                "PATCH",
                "/apis/apps/v1/namespaces/shop/deployments/web/scale",
                0,
            ),
            ("DELETE", pods, 0),
            ("POST", "/api/v1/namespaces/shop/pods/web/eviction", 0),
            ("POST", "/api/v1/namespaces/shop/pods?dryRun=All", 0),
            ("GET", "/api/v1/namespaces/shop/pods/web/exec?command=sh", 0),
            ("GET", "/api/v1/namespaces/shop/pods/web/portforward", 0),
            ("GET", "/api/v1/nodes/a01/proxy/run", 0),
            ("OPTIONS", pods, 0),
        ];
        for (method, uri, expected) in rows {
            let count = arrive(Access::ReadOnly, method, uri, false).await;
            assert_eq!(count, expected, "{method} {uri}");
            let held = (Access::ReadWrite, true);
            let count = arrive_held(held, method, uri, false).await;
            assert_eq!(count, expected, "during a rehearsal: {method} {uri}");
            let count = arrive(Access::ReadWrite, method, uri, false).await;
            assert_eq!(count, 1, "{method} {uri}");
        }
        assert_eq!(arrive(Access::ReadOnly, "GET", pods, true).await, 0);
    }
}
