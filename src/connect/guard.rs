//! The read-only guard: the last layer that every request of a session passes before it leaves.
//!
//! Whoever holds a read-only session cannot change anything through it, whatever the console above
//! has a bug in: only requests that read are let through.

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

/// A request that a read-only session did not send.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("this session is read-only: {method} {path} was not sent")]
pub struct Refused {
    pub method: Method,
    pub path: String,
}

#[derive(Clone, Copy, Debug)]
pub struct GuardLayer(pub Access);

impl<S> Layer<S> for GuardLayer {
    type Service = Guard<S>;

    fn layer(&self, inner: S) -> Self::Service {
        Guard {
            inner,
            access: self.0,
        }
    }
}

#[derive(Clone, Debug)]
pub struct Guard<S> {
    inner: S,
    access: Access,
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
        if self.access == Access::ReadOnly && !reads(&request) {
            let refused = Refused {
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
        let arrived = Arc::new(AtomicUsize::new(0));
        let counter = Arc::clone(&arrived);
        let service = ServiceBuilder::new()
            .layer(GuardLayer(access))
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
            let count = arrive(Access::ReadWrite, method, uri, false).await;
            assert_eq!(count, 1, "{method} {uri}");
        }
        assert_eq!(arrive(Access::ReadOnly, "GET", pods, true).await, 0);
    }
}
