//! A proxy between the console and a cluster: it keeps what was asked, and behaves as badly as a
//! test wants. The cluster is in this process; the proxy speaks plain HTTP on loopback.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use bayplan::serve::{Connector, Host, HostOptions, Seed};
use bayplan::stdx::clock;
use bytes::Bytes;
use futures::TryStreamExt;
use http::{Request, Response};
use http_body_util::{BodyExt, Full, StreamBody, combinators::BoxBody};
use hyper::body::{Frame, Incoming};
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;
use tokio::runtime::Runtime;
use tokio::sync::watch;

type Fault = Box<dyn std::error::Error + Send + Sync>;
type Answer = Response<BoxBody<Bytes, Fault>>;

/// What a client asked, and when.
#[derive(Clone, Debug)]
pub struct Asked {
    pub method: String,
    pub path: String,
    pub query: String,
    pub at: Instant,
}

impl Asked {
    pub fn verb(&self) -> &str {
        match self.method.as_str() {
            "GET" if self.query.contains("watch=true") => "watch",
            "GET" if self.query.contains("limit=") => "list",
            other => other,
        }
    }

    pub fn is(&self, verb: &str, path: &str) -> bool {
        self.verb() == verb && self.path == path
    }

    pub fn is_write(&self) -> bool {
        // Asking what one may do has no other form than a creation.
        self.method != "GET" && !self.path.contains("/selfsubject")
    }

    /// The revision that a watch begins at.
    pub fn revision(&self) -> u64 {
        let pairs = self.query.split('&');
        pairs
            .filter_map(|pair| pair.strip_prefix("resourceVersion="))
            .find_map(|value| value.parse().ok())
            .unwrap_or_default()
    }
}

/// What becomes of one request.
#[derive(Clone, Copy, Debug)]
pub enum Fate {
    Pass,
    /// The proxy's own answer, in place of the server's.
    Status(u16),
    /// The server gets it; its answer does not arrive.
    AnswerLost,
    /// The answer's body breaks off after so many bytes.
    Truncated(usize),
    /// Success, and nothing in it.
    Empty,
    Delayed(Duration),
}

type Rule = Box<dyn Fn(&Asked) -> Fate + Send>;

struct Shared {
    asked: Mutex<Vec<Asked>>,
    rule: Mutex<Rule>,
    cuts: watch::Sender<u32>,
    connector: Connector,
}

/// A cluster behind a proxy.
pub struct Proxy {
    shared: Arc<Shared>,
    pub kubeconfig: PathBuf,
    pub runtime: Runtime,
    _host: Host,
    _folder: tempfile::TempDir,
}

impl Proxy {
    pub fn start(seed: Vec<serde_json::Value>) -> Self {
        let runtime = Runtime::new().unwrap();
        let folder = tempfile::tempdir().unwrap();
        let kubeconfig = folder.path().join("kubeconfig");
        let (host, listener) = runtime.block_on(async {
            let host = Host::open(HostOptions {
                cluster: "prod".into(),
                folder: None,
                command: "test".into(),
                listen: None,
                seed: Seed::Objects(seed),
                scheduler: None,
                companion: None,
                logs: bayplan::serve::logs::Bounds::default(),
            });
            let listener = TcpListener::bind("127.0.0.1:0");
            (host.await.unwrap(), listener.await.unwrap())
        });
        let shared = Arc::new(Shared {
            asked: Mutex::default(),
            rule: Mutex::new(Box::new(|_| Fate::Pass)),
            cuts: watch::Sender::new(0),
            connector: host.connector(),
        });
        let server = format!("http://{}", listener.local_addr().unwrap());
        let config = serde_json::json!({
            "apiVersion": "v1", "kind": "Config", "current-context": "prod",
            "clusters": [{"name": "prod", "cluster": {"server": server}}],
            "users": [{"name": "ops", "user": {"token": "of-ops"}}],
            "contexts": [{"name": "prod", "context": {"cluster": "prod", "user": "ops"}}],
        });
        std::fs::write(&kubeconfig, config.to_string()).unwrap();
        runtime.spawn(serve(listener, Arc::clone(&shared)));
        Self {
            shared,
            kubeconfig,
            runtime,
            _host: host,
            _folder: folder,
        }
    }

    pub fn behave(&self, rule: impl Fn(&Asked) -> Fate + Send + 'static) {
        *self.shared.rule.lock().unwrap() = Box::new(rule);
    }

    /// Ends all connections where they stand.
    pub fn cut(&self) {
        self.shared.cuts.send_modify(|count| *count += 1);
    }

    pub fn asked(&self) -> Vec<Asked> {
        self.shared.asked.lock().unwrap().clone()
    }

    pub fn count(&self, verb: &str, path: &str) -> usize {
        let asked = self.asked();
        asked.iter().filter(|one| one.is(verb, path)).count()
    }

    /// How often each path was asked for with a verb.
    pub fn counts(&self, verb: &str) -> BTreeMap<String, usize> {
        let mut counts = BTreeMap::new();
        for one in self.asked().iter().filter(|one| one.verb() == verb) {
            *counts.entry(one.path.clone()).or_default() += 1;
        }
        counts
    }
}

async fn serve(listener: TcpListener, shared: Arc<Shared>) {
    while let Ok((stream, _)) = listener.accept().await {
        let shared = Arc::clone(&shared);
        let mut cuts = shared.cuts.subscribe();
        tokio::spawn(async move {
            let service = service_fn(move |request| pass_on(Arc::clone(&shared), request));
            let connection = hyper::server::conn::http1::Builder::new()
                .serve_connection(TokioIo::new(stream), service);
            tokio::select! {
                _ended = connection => {}
                _cut = cuts.changed() => {}
            }
        });
    }
}

async fn pass_on(shared: Arc<Shared>, request: Request<Incoming>) -> Result<Answer, Fault> {
    let asked = Asked {
        method: request.method().to_string(),
        path: request.uri().path().to_owned(),
        query: request.uri().query().unwrap_or_default().to_owned(),
        at: clock::instant(),
    };
    let fate = (shared.rule.lock().unwrap())(&asked);
    shared.asked.lock().unwrap().push(asked);
    if let Fate::Status(code) = fate {
        let status = serde_json::json!({"kind": "Status", "apiVersion": "v1",
            "status": "Failure", "code": code,
            "message": format!("the proxy says {code}")});
        let body = Full::new(Bytes::from(status.to_string()));
        return Ok(Response::builder()
            .status(code)
            .header("content-type", "application/json")
            .header("retry-after", "1")
            .body(body.map_err(|never| match never {}).boxed())?);
    }
    if matches!(fate, Fate::Empty) {
        let body = Full::new(Bytes::new());
        return Ok(Response::new(body.map_err(|never| match never {}).boxed()));
    }
    if let Fate::Delayed(pause) = fate {
        tokio::time::sleep(pause).await;
    }
    let link = TokioIo::new(shared.connector.connect());
    let (mut sender, connection) = hyper::client::conn::http1::handshake(link).await?;
    tokio::spawn(connection);
    let answer = sender.send_request(request).await?;
    match fate {
        Fate::AnswerLost => Err("the answer is lost".into()),
        Fate::Truncated(room) => {
            let (parts, body) = answer.into_parts();
            let mut left = room;
            let stream = body.into_data_stream().map_err(Fault::from);
            let stream = stream.and_then(move |mut bytes| {
                let part = bytes.split_to(bytes.len().min(left));
                left -= part.len();
                let broken = part.is_empty();
                async move {
                    if broken {
                        Err(Fault::from("the body is truncated"))
                    } else {
                        Ok(Frame::data(part))
                    }
                }
            });
            Ok(Response::from_parts(
                parts,
                BodyExt::boxed(StreamBody::new(stream)),
            ))
        }
        _ => Ok(answer.map(|body| body.map_err(Fault::from).boxed())),
    }
}
