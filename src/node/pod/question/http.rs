//! One HTTP request, plain or over TLS with whatever certificate the container has.

use std::fmt::Display;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use k8s_openapi::api::core::v1::HTTPGetAction;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, SignatureScheme};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio_rustls::TlsConnector;

use crate::node::kubelet::Shared;

/// `HTTP/1.1 200`: what follows does not matter.
const STATUS_BYTES: usize = 12;

#[derive(Clone, Debug)]
pub struct Get {
    to: SocketAddr,
    path: String,
    headers: Vec<(String, String)>,
    is_secure: bool,
}

impl Get {
    pub fn new(action: &HTTPGetAction, to: SocketAddr) -> Self {
        let path = action.path.as_deref().unwrap_or_default();
        let slash = if path.starts_with('/') { "" } else { "/" };
        let headers = action.http_headers.iter().flatten();
        Self {
            to,
            path: format!("{slash}{path}"),
            headers: headers
                .map(|header| (header.name.clone(), header.value.clone()))
                .collect(),
            is_secure: action.scheme.as_deref() == Some("HTTPS"),
        }
    }

    pub fn failed(&self, why: &impl Display) -> String {
        let scheme = if self.is_secure { "https" } else { "http" };
        format!("Get \"{scheme}://{}{}\": {why}", self.to, self.path)
    }

    pub async fn status(&self, shared: &Shared) -> Result<u16, String> {
        let code = async {
            let stream = shared.connect(self.to).await?;
            self.over(stream).await
        };
        code.await.map_err(|error: io::Error| self.failed(&error))
    }

    async fn over(&self, stream: impl AsyncRead + AsyncWrite + Unpin) -> io::Result<u16> {
        if !self.is_secure {
            return self.request(stream).await;
        }
        let name = ServerName::from(self.to.ip());
        let connector = TlsConnector::from(Arc::new(tls()?));
        self.request(connector.connect(name, stream).await?).await
    }

    async fn request(&self, mut stream: impl AsyncRead + AsyncWrite + Unpin) -> io::Result<u16> {
        let mut request = format!(
            "GET {} HTTP/1.1\r\nConnection: close\r\nUser-Agent: kube-probe/1.36\r\n",
            self.path
        );
        let is_said = |wanted: &str| {
            let mut headers = self.headers.iter();
            headers.any(|(name, _)| name.eq_ignore_ascii_case(wanted))
        };
        if !is_said("accept") {
            request += "Accept: */*\r\n";
        }
        if !is_said("host") {
            request.extend(["Host: ", &self.to.to_string(), "\r\n"]);
        }
        for (name, value) in &self.headers {
            request.extend([name, ": ", value, "\r\n"]);
        }
        request += "\r\n";
        stream.write_all(request.as_bytes()).await?;
        stream.flush().await?;
        let mut head = Vec::new();
        let mut buffer = [0; 512];
        while head.len() < STATUS_BYTES {
            let length = stream.read(&mut buffer).await?;
            if length == 0 {
                break;
            }
            head.extend_from_slice(buffer.get(..length).unwrap_or_default());
        }
        let text = String::from_utf8_lossy(&head);
        let code = text
            .split_ascii_whitespace()
            .nth(1)
            .and_then(|code| code.parse().ok());
        code.filter(|_| text.starts_with("HTTP/"))
            .ok_or_else(|| io::Error::other("malformed HTTP response"))
    }
}

fn tls() -> io::Result<ClientConfig> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .map_err(io::Error::other)?;
    Ok(config
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(AnyCertificate(provider)))
        .with_no_client_auth())
}

/// Kubelets do not verify the certificates of probes: nothing secret is said to the container, and
/// pods have certificates for names, not for the addresses that they are asked at.
#[derive(Debug)]
struct AnyCertificate(Arc<CryptoProvider>);

impl ServerCertVerifier for AnyCertificate {
    fn verify_server_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        verify_tls12_signature(message, certificate, signature, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        verify_tls13_signature(message, certificate, signature, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}

#[cfg(test)]
mod tests {
    use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
    use rustls::ServerConfig;
    use rustls::pki_types::PrivateKeyDer;
    use tokio_rustls::TlsAcceptor;

    use super::*;

    fn get(scheme: &str) -> Get {
        let action = HTTPGetAction {
            path: Some("healthz?full=1".to_owned()),
            port: IntOrString::Int(8443),
            scheme: Some(scheme.to_owned()),
            ..HTTPGetAction::default()
        };
        Get::new(&action, SocketAddr::from(([10, 0, 0, 1], 8443)))
    }

    /// A server with a certificate of its own for another name.
    fn acceptor() -> TlsAcceptor {
        let key = rcgen::KeyPair::generate().unwrap();
        let parameters = rcgen::CertificateParams::new(vec!["elsewhere".to_owned()]).unwrap();
        let certificate = parameters.self_signed(&key).unwrap();
        let key = PrivateKeyDer::try_from(key.serialize_der()).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![certificate.der().clone()], key)
            .unwrap();
        TlsAcceptor::from(Arc::new(config))
    }

    #[tokio::test]
    async fn certificates_of_containers_are_not_verified() {
        let (ours, theirs) = tokio::io::duplex(1 << 14);
        let server = tokio::spawn(async move {
            let mut stream = acceptor().accept(theirs).await.unwrap();
            let mut request = vec![0; 512];
            let length = stream.read(&mut request).await.unwrap();
            stream
                .write_all(b"HTTP/1.1 204 No Content\r\n\r\n")
                .await
                .unwrap();
            stream.shutdown().await.unwrap();
            String::from_utf8(request[..length].to_vec()).unwrap()
        });
        assert_eq!(get("HTTPS").over(ours).await.unwrap(), 204);
        let request = server.await.unwrap();
        assert!(
            request.starts_with("GET /healthz?full=1 HTTP/1.1\r\n"),
            "{request}"
        );
        assert!(request.contains("\r\nHost: 10.0.0.1:8443\r\n"), "{request}");
    }

    #[tokio::test]
    async fn what_is_no_answer_is_told_with_its_address() {
        let (ours, mut theirs) = tokio::io::duplex(1 << 14);
        theirs.write_all(b"SSH-2.0-OpenSSH_9.9\r\n").await.unwrap();
        let get = get("HTTP");
        let error = get.over(ours).await.unwrap_err();
        assert_eq!(
            get.failed(&error),
            "Get \"http://10.0.0.1:8443/healthz?full=1\": malformed HTTP response"
        );
    }
}
