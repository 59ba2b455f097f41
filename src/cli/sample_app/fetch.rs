//! A plain GET over HTTP, with a connection of its own each time: whoever stands behind a service's
//! name today is asked, and a neighbour that has gone is noticed at once.

use std::time::Duration;

use http::{Request, StatusCode, Uri};
use http_body_util::{BodyExt, Empty, Limited};
use hyper::body::Bytes;
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

const PATIENCE: Duration = Duration::from_secs(2);
const ANSWER_BYTES_MAX: usize = 1 << 20;

#[derive(Debug)]
pub struct Answer {
    pub status: StatusCode,
    pub body: Bytes,
}

/// Asks `path` of the server that `of` names; why there is no answer otherwise, in words.
pub async fn get(of: &Uri, path: &str) -> Result<Answer, String> {
    let within = tokio::time::timeout(PATIENCE, ask(of, path));
    match within.await {
        Ok(answer) => answer,
        Err(_) => Err(format!(
            "{} does not answer within {} s",
            server(of),
            PATIENCE.as_secs()
        )),
    }
}

/// `orders.kiosk:80`
pub fn server(uri: &Uri) -> String {
    let host = uri.host().unwrap_or_default();
    format!("{host}:{}", uri.port_u16().unwrap_or(80))
}

async fn ask(of: &Uri, path: &str) -> Result<Answer, String> {
    let server = server(of);
    // What the library says of a name that is not known ends with the resolver's own words.
    let addresses = tokio::net::lookup_host(server.as_str()).await;
    let addresses: Vec<_> = addresses
        .map_err(|error| format!("{server} is not known: {error}"))?
        .collect();
    let stream = TcpStream::connect(addresses.as_slice())
        .await
        .map_err(|error| format!("{server} cannot be reached: {error}"))?;
    let failed = |error: hyper::Error| format!("{server} broke off: {error}");
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream))
        .await
        .map_err(failed)?;
    tokio::spawn(connection);
    let request = Request::get(path)
        .header("host", server.as_str())
        .header("user-agent", super::host_name())
        .header("connection", "close")
        .body(Empty::<Bytes>::new())
        .map_err(|error| format!("`{path}` cannot be asked for: {error}"))?;
    let response = sender.send_request(request).await.map_err(failed)?;
    let status = response.status();
    let body = Limited::new(response.into_body(), ANSWER_BYTES_MAX);
    let body = body
        .collect()
        .await
        .map_err(|error| format!("{server} broke off: {error}"))?;
    Ok(Answer {
        status,
        body: body.to_bytes(),
    })
}
