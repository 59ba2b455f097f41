//! Credentials that expire: whoever is refused with 401 asks the kubeconfig for new ones.
//!
//! The library's client renews tokens whose expiry it knows. A token that was revoked, one without
//! an expiry, a kubeconfig that a login has rewritten meanwhile: there the server's 401 is the first
//! that anybody hears of it. The answer goes to whoever asked; the next request goes out with what
//! the files and plugins say then.

use std::path::PathBuf;
use std::sync::{Arc, PoisonError, RwLock};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use futures::future::BoxFuture;
use http::{Request, Response, StatusCode};
use kube::client::{Body, ClientBuilder};
use kube::config::{KubeConfigOptions, Kubeconfig, KubeconfigError};
use tower::{BoxError, Service};

use crate::stdx::clock;

/// Plugins may ask people for passwords, and servers count failed logins.
const RENEW_EVERY: Duration = Duration::from_secs(10);

/// Where a client's credentials come from.
#[derive(Clone, Debug)]
pub struct Recipe {
    pub context: String,
    /// `$KUBECONFIG` or `~/.kube/config` if absent.
    pub file: Option<PathBuf>,
}

impl Recipe {
    /// The kubeconfig as it is now.
    pub fn read(&self) -> Result<Kubeconfig, KubeconfigError> {
        match &self.file {
            Some(path) => Kubeconfig::read_from(path),
            None => Kubeconfig::read(),
        }
    }

    /// What the context comes to; certificates and tokens are loaded.
    pub async fn config(&self, kubeconfig: Kubeconfig) -> Result<kube::Config, KubeconfigError> {
        let options = KubeConfigOptions {
            context: Some(self.context.clone()),
            ..KubeConfigOptions::default()
        };
        let mut config = kube::Config::from_custom_kubeconfig(kubeconfig, &options).await?;
        // The library would send again whatever is answered with 429, 503 or 504, fifteen times and
        // writes too: a write that timed out may have been done, an eviction that a budget refuses
        // would be silent for minutes, and a server that is away would not be said to be.
        config.default_retry = false;
        Ok(config)
    }

    async fn client(&self) -> Result<kube::Client, BoxError> {
        let config = self.config(self.read()?).await?;
        Ok(ClientBuilder::try_from(config)?.build())
    }
}

/// Sends requests through a client that is replaced when its credentials are refused.
#[derive(Clone)]
pub struct Renewing {
    recipe: Recipe,
    current: Arc<RwLock<Current>>,
}

struct Current {
    client: kube::Client,
    /// When new credentials were last asked for.
    asked: Option<Instant>,
}

impl Renewing {
    pub fn new(client: kube::Client, recipe: Recipe) -> Self {
        let asked = None;
        Self {
            recipe,
            current: Arc::new(RwLock::new(Current { client, asked })),
        }
    }

    fn client(&self) -> kube::Client {
        let current = self.current.read().unwrap_or_else(PoisonError::into_inner);
        current.client.clone()
    }

    /// Whether it is this caller's turn to ask for new credentials.
    fn is_due(&self) -> bool {
        let mut current = self.current.write().unwrap_or_else(PoisonError::into_inner);
        let now = clock::instant();
        let is_recent = |at: Instant| now.duration_since(at) < RENEW_EVERY;
        if current.asked.is_some_and(is_recent) {
            return false;
        }
        current.asked = Some(now);
        true
    }

    fn renew(&self) {
        if !self.is_due() {
            return;
        }
        let this = self.clone();
        tokio::spawn(async move {
            match this.recipe.client().await {
                Ok(client) => {
                    tracing::info!(context = %this.recipe.context, "new credentials");
                    let current = this.current.write();
                    current.unwrap_or_else(PoisonError::into_inner).client = client;
                }
                Err(error) => {
                    tracing::warn!(context = %this.recipe.context, %error, "no new credentials");
                }
            }
        });
    }
}

impl Service<Request<Body>> for Renewing {
    type Response = Response<Body>;
    type Error = BoxError;
    type Future = BoxFuture<'static, Result<Response<Body>, BoxError>>;

    fn poll_ready(&mut self, _context: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let this = self.clone();
        Box::pin(async move {
            let response = this.client().send(request).await?;
            if response.status() == StatusCode::UNAUTHORIZED {
                this.renew();
            }
            Ok(response)
        })
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use axum::Router;
    use axum::http::HeaderMap;
    use serde_json::json;

    use super::*;
    use crate::connect::{Access, Session, Target};

    /// A server that knows one token.
    async fn server(token: &'static str) -> String {
        let answer = move |headers: HeaderMap| async move {
            let given = headers.get("authorization").cloned();
            let is_known = given.is_some_and(|given| given == format!("Bearer {token}"));
            if is_known {
                (StatusCode::OK, json!({"items": []}).to_string())
            } else {
                let status = json!({"kind": "Status", "apiVersion": "v1", "status": "Failure",
                    "reason": "Unauthorized", "message": "Unauthorized", "code": 401});
                (StatusCode::UNAUTHORIZED, status.to_string())
            }
        };
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let router = Router::new().fallback(answer);
        tokio::spawn(async move { axum::serve(listener, router).await });
        format!("http://{address}")
    }

    fn write(file: &Path, server: &str, token: &str) {
        let text = json!({
            "apiVersion": "v1", "kind": "Config", "current-context": "prod",
            "clusters": [{"name": "prod", "cluster": {"server": server}}],
            "users": [{"name": "ann", "user": {"token": token}}],
            "contexts": [{"name": "prod", "context": {"cluster": "prod", "user": "ann"}}],
        });
        std::fs::write(file, text.to_string()).unwrap();
    }

    #[tokio::test]
    async fn a_refused_token_is_replaced_by_what_the_kubeconfig_says_then() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("config");
        let server = server("second").await;
        write(&file, &server, "first");
        let target = Target::Kubeconfig {
            context: None,
            file: Some(file.clone()),
        };
        let session = Session::open(target, Access::ReadOnly, None).await.unwrap();
        let list = || {
            let request = Request::get("/api/v1/nodes").body(Vec::new()).unwrap();
            session.client().request_text(request)
        };
        write(&file, &server, "second");
        let Err(kube::Error::Api(refused)) = list().await else {
            panic!("the first token is unknown to the server");
        };
        assert_eq!(refused.code, 401);
        for _ in 0..1000 {
            if list().await.is_ok() {
                return;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        panic!("the second token was never used");
    }
}
