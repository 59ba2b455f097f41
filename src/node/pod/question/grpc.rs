//! `grpc.health.v1.Health/Check`, one call on a connection of its own.
//!
//! The two messages have one field each: a request's is the service's name, an answer's is a number.
//! That is less to write than to depend on.
//!
//! Sources: the gRPC health checking protocol, gRPC over HTTP/2, `pkg/probe/grpc/grpc.go`.

use std::net::SocketAddr;

use bytes::{BufMut, Bytes, BytesMut};
use http::{HeaderMap, Request, header};
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http2;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::io::{AsyncRead, AsyncWrite};

use crate::node::kubelet::Shared;

const SERVING: u8 = 1;
const UNIMPLEMENTED: &str = "12";
/// Field 1 of a message: text, and a number.
const TEXT: u8 = 0x0a;
const NUMBER: u8 = 0x08;

pub async fn check(shared: &Shared, to: SocketAddr, service: &str) -> Result<(), String> {
    let stream = shared.connect(to).await;
    let stream =
        stream.map_err(|error| format!("error: failed to connect service at \"{to}\": {error}"))?;
    call(stream, to, service).await
}

async fn call(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    to: SocketAddr,
    service: &str,
) -> Result<(), String> {
    let failed = |error: &dyn std::error::Error| {
        let why = std::error::Error::source(error).map_or_else(String::new, |it| format!(": {it}"));
        format!("error: health rpc probe failed: {error}{why}")
    };
    let shaken = http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await;
    let (mut sender, connection) = shaken.map_err(|error| failed(&error))?;
    // Ends with the sender, at the end of this call.
    tokio::spawn(connection);
    let request = Request::post(format!("http://{to}/grpc.health.v1.Health/Check"))
        .header(header::CONTENT_TYPE, "application/grpc")
        .header(header::TE, "trailers")
        .header(header::USER_AGENT, "kube-probe/1.36")
        .body(Full::new(message(service)))
        .map_err(|error| failed(&error))?;
    let answer = sender.send_request(request).await;
    let (head, body) = answer.map_err(|error| failed(&error))?.into_parts();
    let body = body.collect().await.map_err(|error| failed(&error))?;
    let trailers = body.trailers().cloned().unwrap_or_default();
    // A refusal without a message has its status in the head.
    let code = text(&trailers, "grpc-status").or_else(|| text(&head.headers, "grpc-status"));
    let said = text(&trailers, "grpc-message").or_else(|| text(&head.headers, "grpc-message"));
    let said = said.unwrap_or_default();
    match code.as_deref() {
        Some("0") => {}
        Some(UNIMPLEMENTED) => {
            return Err(format!(
                "error: this server does not implement the grpc health protocol \
                 (grpc.health.v1.Health): {said}"
            ));
        }
        Some(code) => {
            return Err(format!(
                "error: health rpc probe failed: rpc error: code = {code} desc = {said}"
            ));
        }
        None => {
            return Err(format!(
                "error: health rpc probe failed: HTTP {}",
                head.status
            ));
        }
    }
    match status(&body.to_bytes()) {
        SERVING => Ok(()),
        other => {
            let name = match other {
                0 => "UNKNOWN",
                2 => "NOT_SERVING",
                3 => "SERVICE_UNKNOWN",
                _ => "?",
            };
            Err(format!("service unhealthy (responded with \"{name}\")"))
        }
    }
}

fn text(headers: &HeaderMap, name: &str) -> Option<String> {
    let value = headers.get(name)?.to_str().ok()?;
    Some(value.to_owned())
}

/// A request: not compressed, its length, the name.
fn message(service: &str) -> Bytes {
    let mut field = BytesMut::new();
    if !service.is_empty() {
        field.put_u8(TEXT);
        let mut rest = service.len();
        while rest > 0x7f {
            field.put_u8(u8::try_from(rest & 0x7f).unwrap_or_default() | 0x80);
            rest >>= 7;
        }
        field.put_u8(u8::try_from(rest).unwrap_or_default());
        field.put(service.as_bytes());
    }
    let mut message = BytesMut::with_capacity(field.len() + 5);
    message.put_u8(0);
    message.put_u32(u32::try_from(field.len()).unwrap_or_default());
    message.put(field);
    message.freeze()
}

/// The number in an answer; one that is left out is zero.
fn status(message: &[u8]) -> u8 {
    match message.get(5..) {
        Some([NUMBER, number, ..]) => *number,
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use http::Response;
    use http_body_util::StreamBody;
    use hyper::body::{Frame, Incoming};
    use hyper::service::service_fn;

    use super::*;

    /// What a probe makes of a server that answers so, and what it was asked.
    async fn asked(code: &'static str, status: u8) -> (Result<(), String>, Vec<u8>) {
        let (ours, theirs) = tokio::io::duplex(1 << 16);
        let (tell, told) = std::sync::mpsc::channel();
        let answer = move |request: Request<Incoming>| {
            let tell = tell.clone();
            async move {
                assert_eq!(request.uri().path(), "/grpc.health.v1.Health/Check");
                let body = request.into_body().collect().await.unwrap().to_bytes();
                tell.send(body.to_vec()).unwrap();
                let data = Bytes::from(vec![0, 0, 0, 0, 2, NUMBER, status]);
                let mut trailers = HeaderMap::new();
                trailers.insert("grpc-status", code.parse().unwrap());
                let frames: Vec<Result<Frame<Bytes>, std::convert::Infallible>> =
                    vec![Ok(Frame::data(data)), Ok(Frame::trailers(trailers))];
                let body = StreamBody::new(futures::stream::iter(frames));
                Ok::<_, std::convert::Infallible>(Response::new(body))
            }
        };
        tokio::spawn(
            hyper::server::conn::http2::Builder::new(TokioExecutor::new())
                .serve_connection(TokioIo::new(theirs), service_fn(answer)),
        );
        let to = SocketAddr::from(([10, 0, 0, 1], 50051));
        let verdict = call(ours, to, "cart").await;
        (verdict, told.recv().unwrap())
    }

    #[tokio::test]
    async fn health_is_asked_for_by_the_services_name() {
        let (verdict, request) = asked("0", SERVING).await;
        assert_eq!(verdict, Ok(()));
        assert_eq!(request, b"\0\0\0\0\x06\x0a\x04cart");
    }

    #[tokio::test]
    async fn what_is_not_serving_is_told_in_the_kubelets_words() {
        let (verdict, _) = asked("0", 2).await;
        let expected = "service unhealthy (responded with \"NOT_SERVING\")";
        assert_eq!(verdict, Err(expected.to_owned()));
        let (verdict, _) = asked("12", 0).await;
        assert!(
            verdict
                .unwrap_err()
                .starts_with("error: this server does not implement")
        );
        let (verdict, _) = asked("5", 0).await;
        let expected = "error: health rpc probe failed: rpc error: code = 5 desc = ";
        assert_eq!(verdict, Err(expected.to_owned()));
    }
}
