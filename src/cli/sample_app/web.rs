//! A service: for each request it asks its neighbour, answers with what both said, and writes a line
//! to its access log.

use std::fs::{self, File};
use std::io::{self, Write};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::{Context, Result};
use axum::Router;
use axum::extract::{ConnectInfo, State};
use axum::http::{HeaderMap, Method, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use bayplan::stdx::clock;
use serde_json::{Value, json};
use tokio::net::TcpListener;

use super::{fetch, host_name, say};

/// A longer access log is put aside, so that its volume does not grow without end.
const LOG_BYTES_MAX: u64 = 1 << 20;

struct Service {
    name: String,
    call: Option<Uri>,
    log: AccessLog,
    /// How often the neighbour failed since it last answered. A lock because requests end in any
    /// order; it is never held while one waits.
    failures: Mutex<u64>,
}

pub async fn serve(web: super::Web, stop: impl Future<Output = ()> + Send + 'static) -> Result<()> {
    let listener = TcpListener::bind(web.listen)
        .await
        .with_context(|| format!("cannot listen on {}", web.listen))?;
    let asks = web.call.as_ref().map(fetch::server);
    let log = AccessLog::open(&web.log)
        .with_context(|| format!("`{}` cannot be written", web.log.display()))?;
    let service = Arc::new(Service {
        name: web.name.clone(),
        call: web.call,
        log,
        failures: Mutex::new(0),
    });
    say(&format!(
        "{} listens on {}{}",
        web.name,
        web.listen,
        asks.map_or_else(String::new, |asks| format!(" and asks {asks}"))
    ))?;
    let routes = Router::new()
        .route("/healthz", get(|| async { "ok\n" }))
        .fallback(answer)
        .with_state(service)
        .into_make_service_with_connect_info::<SocketAddr>();
    axum::serve(listener, routes)
        .with_graceful_shutdown(stop)
        .await?;
    say(&format!(
        "{} has answered what it had begun and ends",
        web.name
    ))
}

async fn answer(
    State(service): State<Arc<Service>>,
    ConnectInfo(peer): ConnectInfo<SocketAddr>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
) -> Response {
    let began = clock::instant();
    let path = uri.path();
    let (status, mut body) = service.work(path).await;
    let took = began.elapsed().as_millis();
    if let Some(fields) = body.as_object_mut() {
        fields.insert("took_ms".to_owned(), json!(took));
    }
    let text = format!("{body}\n");
    let agent = headers
        .get("user-agent")
        .and_then(|value| value.to_str().ok())
        .unwrap_or("-");
    let line = format!(
        "{} [{:.3}] \"{method} {path}\" {} {} {took}ms \"{agent}\"",
        peer.ip(),
        clock::now(),
        status.as_u16(),
        text.len(),
    );
    if let Err(error) = service.log.write(&line) {
        let _nobody_reads = say(&format!("error: the access log cannot be written: {error}"));
    }
    (status, [("content-type", "application/json")], text).into_response()
}

impl Service {
    async fn work(&self, path: &str) -> (StatusCode, Value) {
        let own = json!({"service": self.name, "pod": host_name()});
        let Some(call) = &self.call else {
            return (StatusCode::OK, own);
        };
        let joined = format!("{}{path}", call.path().trim_end_matches('/'));
        let heard = match fetch::get(call, &joined).await {
            Ok(answer) if answer.status.is_success() => {
                self.neighbour(call, None);
                let heard: Value = serde_json::from_slice(&answer.body).unwrap_or_default();
                return (StatusCode::OK, with(own, "asked", heard));
            }
            Ok(answer) => format!("{} answers {}", fetch::server(call), answer.status),
            Err(why) => why,
        };
        self.neighbour(call, Some(&heard));
        (StatusCode::BAD_GATEWAY, with(own, "error", json!(heard)))
    }

    /// Says when a neighbour falls silent and when it is back, not each time.
    fn neighbour(&self, call: &Uri, trouble: Option<&str>) {
        let mut failures = self.failures.lock().unwrap_or_else(PoisonError::into_inner);
        let line = match (trouble, *failures) {
            (Some(why), 0) => format!("warning: {why}"),
            (None, 1..) => {
                let server = fetch::server(call);
                format!("{server} answers again after {failures} failures")
            }
            _ => String::new(),
        };
        *failures = trouble.map_or(0, |_| *failures + 1);
        drop(failures);
        if !line.is_empty() {
            let _nobody_reads = say(&line);
        }
    }
}

fn with(mut own: Value, key: &str, value: Value) -> Value {
    if let Some(fields) = own.as_object_mut() {
        fields.insert(key.to_owned(), value);
    }
    own
}

/// Lines in a file that is put aside when it has grown long; whoever follows it sees another file
/// under its name.
struct AccessLog {
    path: PathBuf,
    /// A lock because requests are answered side by side and their lines must not mix.
    open: Mutex<(File, u64)>,
}

impl AccessLog {
    fn open(path: &Path) -> io::Result<Self> {
        let file = File::options().create(true).append(true).open(path)?;
        let length = file.metadata()?.len();
        Ok(Self {
            path: path.to_path_buf(),
            open: Mutex::new((file, length)),
        })
    }

    fn write(&self, line: &str) -> io::Result<()> {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        let (file, length) = &mut *open;
        if *length > LOG_BYTES_MAX {
            fs::rename(&self.path, self.path.with_extension("log.1"))?;
            *file = File::options().create(true).append(true).open(&self.path)?;
            *length = 0;
        }
        let line = format!("{line}\n");
        file.write_all(line.as_bytes())?;
        *length += line.len() as u64;
        Ok(())
    }
}
