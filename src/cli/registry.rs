//! `bayplan registry`: images for other machines, from the store of this one.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context as _, Result, bail};
use bayplan::config::env::Environment;
use bayplan::config::paths::Paths;
use bayplan::node::image::server::{self, Context, Users};
use bayplan::node::image::store::Store;
use clap::Args;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio::net::TcpListener;

use crate::telemetry;

/// Serve images to other machines: a registry by the OCI distribution specification.
///
/// It keeps what is pushed in the store that the local node runs from. Prints one line, `ready
/// http://ADDRESS:PORT`, when it serves; stops on SIGTERM and SIGINT. Plain HTTP is served on
/// loopback only; elsewhere a certificate is needed.
#[derive(Args, Debug)]
#[command(after_help = "Examples:
  bayplan registry
  skopeo copy --dest-tls-verify=false docker-archive:shop.tar docker://127.0.0.1:5000/shop/cart:2
  bayplan image pull 127.0.0.1:5000/shop/cart:2
  bayplan registry --listen 0.0.0.0:443 --tls-cert site.crt --tls-key site.key --users users.txt
  curl -s http://127.0.0.1:5000/v2/_catalog")]
pub struct Registry {
    /// Where it is served; port 0 takes a free one
    #[arg(long, value_name = "ADDR:PORT", default_value = "127.0.0.1:5000")]
    listen: SocketAddr,
    /// Where images are kept, instead of the store of this machine's local node
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
    /// The server's certificate with its chain, in PEM
    #[arg(long, value_name = "FILE", requires = "tls_key")]
    tls_cert: Option<PathBuf>,
    /// The certificate's private key, in PEM
    #[arg(long, value_name = "FILE", requires = "tls_cert")]
    tls_key: Option<PathBuf>,
    /// Lines of USER:PASSWORD; nobody else may pull or push then
    #[arg(long, value_name = "FILE")]
    users: Option<PathBuf>,
}

pub fn run(command: Registry) -> Result<ExitCode> {
    telemetry::log_to_stderr(Environment::read().log_filter.as_deref());
    if command.tls_cert.is_none() && !command.listen.ip().is_loopback() {
        bail!(
            "plain HTTP is served on loopback only; give --tls-cert and --tls-key to listen on {}",
            command.listen
        );
    }
    super::runtime()?.block_on(serve(command))
}

async fn serve(command: Registry) -> Result<ExitCode> {
    let stop = super::termination()?;
    let tls = match (&command.tls_cert, &command.tls_key) {
        (Some(certificate), Some(key)) => Some(tls(certificate, key)?),
        _ => None,
    };
    let users = command.users.as_deref().map(read_users).transpose()?;
    let folder = match command.data {
        Some(folder) => folder,
        None => Paths::resolve()?.data.join("images"),
    };
    let store = Store::open(&folder)?;
    let listener = TcpListener::bind(command.listen)
        .await
        .with_context(|| format!("{} cannot be listened on", command.listen))?;
    let scheme = if tls.is_some() { "https" } else { "http" };
    let address = listener.local_addr()?;
    super::print(format!("ready {scheme}://{address}\n").as_bytes())?;
    server::serve(listener, tls, Context::new(store, users), stop).await;
    Ok(ExitCode::SUCCESS)
}

fn read_users(path: &Path) -> Result<Users> {
    let text = std::fs::read_to_string(path)
        .with_context(|| format!("`{}` cannot be read", path.display()))?;
    let users =
        Users::parse(&text).with_context(|| format!("`{}` is no list of users", path.display()))?;
    Ok(users)
}

fn tls(certificate: &Path, key: &Path) -> Result<rustls::ServerConfig> {
    let unreadable = |path: &Path| format!("`{}` is no PEM file of its kind", path.display());
    let chain = CertificateDer::pem_file_iter(certificate)
        .and_then(Iterator::collect::<Result<Vec<_>, _>>)
        .with_context(|| unreadable(certificate))?;
    let key = PrivateKeyDer::from_pem_file(key).with_context(|| unreadable(key))?;
    let mut config = rustls::ServerConfig::builder()
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .context("the certificate cannot be served")?;
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(config)
}
