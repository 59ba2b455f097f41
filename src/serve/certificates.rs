//! The cluster's own certificate authority, the server's certificate and client certificates.
//!
//! The authority is made once and kept in the data folder; everything it signs is made anew at each
//! start, so that nothing expires on a cluster that is started now and then, and a new listen
//! address is in the server's certificate at once. Private keys are written for their owner only.

use std::io;
use std::net::IpAddr;
use std::path::{Path, PathBuf};

use jiff::{Timestamp, ToSpan, tz::TimeZone};
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa,
    Issuer, KeyPair, KeyUsagePurpose, SanType,
};
use rustls::RootCertStore;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::server::WebPkiClientVerifier;

use crate::apiserver::token::{NoKey, TokenKey};

use super::files;

const CERTIFICATE_FILE: &str = "ca.crt";
const KEY_FILE: &str = "ca.key";
/// The key that service account tokens are signed with; kubeadm calls it the same.
const TOKEN_KEY_FILE: &str = "sa.key";
/// An embedded cluster has nobody who rotates its authority.
const AUTHORITY_YEARS: i64 = 20;
/// Issued at every start and with every kubeconfig.
const ISSUED_YEARS: i64 = 2;

/// Names under which clients inside and outside the cluster reach the API server.
const SERVER_NAMES: &[&str] = &[
    "localhost",
    "kubernetes",
    "kubernetes.default",
    "kubernetes.default.svc",
    "kubernetes.default.svc.cluster.local",
];
const SERVER_ADDRESSES: &[&str] = &["127.0.0.1", "::1", "10.96.0.1"];

/// Signs certificates for one cluster.
pub struct Authority {
    certificate_pem: String,
    certificate: CertificateDer<'static>,
    issuer: Issuer<'static, KeyPair>,
}

/// A certificate and its private key, as PEM.
#[derive(Clone)]
pub struct Credentials {
    pub certificate_pem: String,
    pub key_pem: String,
}

#[derive(Debug, thiserror::Error)]
pub enum CertificateError {
    #[error("the certificate authority in `{}` cannot be read or written", path.display())]
    File {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("the certificate authority in `{}` is damaged", path.display())]
    Damaged {
        path: PathBuf,
        #[source]
        source: rcgen::Error,
    },
    #[error("a certificate could not be made")]
    Sign(#[from] rcgen::Error),
    #[error("the TLS settings were refused")]
    Tls(#[from] rustls::Error),
    #[error(transparent)]
    Token(#[from] NoKey),
    #[error("client certificates cannot be verified")]
    Verifier(#[from] rustls::server::VerifierBuilderError),
}

/// The key for service account tokens, kept in `folder` (`None`: nowhere); made on first use.
pub fn token_key(folder: Option<&Path>) -> Result<TokenKey, CertificateError> {
    let path = folder.map(|folder| folder.join(TOKEN_KEY_FILE));
    let failed = |path: &Path| {
        let path = path.to_owned();
        move |source| CertificateError::File { path, source }
    };
    let key = match &path {
        Some(path) if path.exists() => {
            let pem = std::fs::read_to_string(path).map_err(failed(path))?;
            KeyPair::from_pem(&pem).map_err(|source| CertificateError::Damaged {
                path: path.clone(),
                source,
            })?
        }
        _ => {
            let key = KeyPair::generate_for(&rcgen::PKCS_ED25519)?;
            if let Some(path) = &path {
                files::write_private(path, key.serialize_pem().as_bytes()).map_err(failed(path))?;
            }
            key
        }
    };
    Ok(TokenKey::parse(&key.serialize_der())?)
}

impl Authority {
    /// The authority kept in `folder`; makes one on first use.
    pub fn open(folder: &Path, now: Timestamp) -> Result<Self, CertificateError> {
        let certificate_path = folder.join(CERTIFICATE_FILE);
        let key_path = folder.join(KEY_FILE);
        let failed = |path: &Path| {
            let path = path.to_owned();
            move |source| CertificateError::File { path, source }
        };
        // The key is written first: without a certificate beside it, it counts as absent.
        if certificate_path.exists() {
            let certificate_pem =
                std::fs::read_to_string(&certificate_path).map_err(failed(&certificate_path))?;
            let key_pem = std::fs::read_to_string(&key_path).map_err(failed(&key_path))?;
            return Self::parse(certificate_pem, &key_pem).map_err(|source| {
                CertificateError::Damaged {
                    path: folder.to_owned(),
                    source,
                }
            });
        }
        let (authority, key_pem) = Self::make(now)?;
        files::write_private(&key_path, key_pem.as_bytes()).map_err(failed(&key_path))?;
        files::write_private(&certificate_path, authority.certificate_pem.as_bytes())
            .map_err(failed(&certificate_path))?;
        Ok(authority)
    }

    /// An authority that is kept nowhere.
    pub fn in_memory(now: Timestamp) -> Result<Self, CertificateError> {
        Ok(Self::make(now)?.0)
    }

    fn make(now: Timestamp) -> Result<(Self, String), rcgen::Error> {
        let mut params = CertificateParams::default();
        params.distinguished_name = subject("bayplan", &[]);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![
            KeyUsagePurpose::KeyCertSign,
            KeyUsagePurpose::CrlSign,
            KeyUsagePurpose::DigitalSignature,
        ];
        set_validity(&mut params, now, AUTHORITY_YEARS);
        let key = KeyPair::generate()?;
        let key_pem = key.serialize_pem();
        let certificate = params.self_signed(&key)?;
        let authority = Self {
            certificate_pem: certificate.pem(),
            certificate: certificate.der().clone(),
            issuer: Issuer::new(params, key),
        };
        Ok((authority, key_pem))
    }

    fn parse(certificate_pem: String, key_pem: &str) -> Result<Self, rcgen::Error> {
        let (_, document) = x509_parser::pem::parse_x509_pem(certificate_pem.as_bytes())
            .map_err(|_error| rcgen::Error::CouldNotParseCertificate)?;
        let certificate = CertificateDer::from(document.contents);
        let issuer = Issuer::from_ca_cert_der(&certificate, KeyPair::from_pem(key_pem)?)?;
        Ok(Self {
            certificate_pem,
            certificate,
            issuer,
        })
    }

    pub fn certificate_pem(&self) -> &str {
        &self.certificate_pem
    }

    /// Credentials of a user for client authentication: the common name is the user, each
    /// organisation a group.
    ///
    /// Source: Kubernetes' documentation on X509 client certificates.
    pub fn client(
        &self,
        user: &str,
        groups: &[&str],
        now: Timestamp,
    ) -> Result<Credentials, CertificateError> {
        let mut params = CertificateParams::default();
        params.distinguished_name = subject(user, groups);
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        let (credentials, _) = self.issue(params, now)?;
        Ok(credentials)
    }

    /// TLS settings of the listener: our certificate, clients may show one of ours. Who shows none
    /// gets a connection, and is refused by name there.
    pub fn server(
        &self,
        address: IpAddr,
        host_name: Option<&str>,
        now: Timestamp,
    ) -> Result<rustls::ServerConfig, CertificateError> {
        let mut params = CertificateParams::default();
        params.distinguished_name = subject("kube-apiserver", &[]);
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        for name in SERVER_NAMES.iter().copied().chain(host_name) {
            if let Ok(name) = name.try_into() {
                params.subject_alt_names.push(SanType::DnsName(name));
            }
        }
        let known = SERVER_ADDRESSES.iter().filter_map(|text| text.parse().ok());
        let mut addresses: Vec<IpAddr> = known.chain([address]).collect();
        addresses.sort_unstable();
        addresses.dedup();
        params
            .subject_alt_names
            .extend(addresses.into_iter().map(SanType::IpAddress));
        let (credentials, certificate) = self.issue(params, now)?;
        let key = KeyPair::from_pem(&credentials.key_pem)?;
        let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(key.serialize_der()));

        let mut roots = RootCertStore::empty();
        roots.add(self.certificate.clone())?;
        let provider = std::sync::Arc::new(rustls::crypto::ring::default_provider());
        let verifier = WebPkiClientVerifier::builder_with_provider(
            std::sync::Arc::new(roots),
            std::sync::Arc::clone(&provider),
        )
        .allow_unauthenticated()
        .build()?;
        let mut config = rustls::ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .with_client_cert_verifier(verifier)
            .with_single_cert(vec![certificate, self.certificate.clone()], key)?;
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        Ok(config)
    }

    fn issue(
        &self,
        mut params: CertificateParams,
        now: Timestamp,
    ) -> Result<(Credentials, CertificateDer<'static>), rcgen::Error> {
        params.is_ca = IsCa::ExplicitNoCa;
        params.key_usages = vec![
            KeyUsagePurpose::DigitalSignature,
            KeyUsagePurpose::KeyEncipherment,
        ];
        params.use_authority_key_identifier_extension = true;
        set_validity(&mut params, now, ISSUED_YEARS);
        let key = KeyPair::generate()?;
        let certificate = params.signed_by(&key, &self.issuer)?;
        let credentials = Credentials {
            certificate_pem: certificate.pem(),
            key_pem: key.serialize_pem(),
        };
        Ok((credentials, certificate.der().clone()))
    }
}

fn subject(common_name: &str, organisations: &[&str]) -> DistinguishedName {
    let mut name = DistinguishedName::new();
    // rcgen keeps one value a type; more groups than one would need an own encoder.
    for organisation in organisations {
        name.push(DnType::OrganizationName, *organisation);
    }
    name.push(DnType::CommonName, common_name);
    name
}

/// From yesterday, for clocks that are a little apart.
fn set_validity(params: &mut CertificateParams, now: Timestamp, years: i64) {
    let day = |shift: jiff::Span| {
        let date = now.to_zoned(TimeZone::UTC).date().saturating_add(shift);
        rcgen::date_time_ymd(
            i32::from(date.year()),
            u8::try_from(date.month()).unwrap_or(1),
            // 29 February has no counterpart in other years; the 28th does.
            u8::try_from(date.day()).unwrap_or(1).min(28),
        )
    };
    params.not_before = day(-(1.day()));
    params.not_after = day(years.years());
}

#[cfg(test)]
mod tests {
    use super::*;

    fn now() -> Timestamp {
        "2026-11-22T17:00:00Z".parse().unwrap()
    }

    #[test]
    fn authority_is_made_once_and_read_again() {
        let folder = tempfile::tempdir().unwrap();
        let first = Authority::open(folder.path(), now()).unwrap();
        let second = Authority::open(folder.path(), now()).unwrap();
        assert_eq!(first.certificate_pem(), second.certificate_pem());
        second.client("admin", &["system:masters"], now()).unwrap();
        second
            .server("192.0.2.7".parse().unwrap(), Some("jump"), now())
            .unwrap();
    }

    #[cfg(unix)]
    #[test]
    fn private_key_is_for_its_owner_only() {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir().unwrap();
        Authority::open(folder.path(), now()).unwrap();
        let mode = std::fs::metadata(folder.path().join(KEY_FILE))
            .unwrap()
            .permissions()
            .mode();
        assert_eq!(mode & 0o777, 0o600);
    }

    #[test]
    fn the_key_for_tokens_is_made_once() {
        let folder = tempfile::tempdir().unwrap();
        let first = format!("{:?}", token_key(Some(folder.path())).unwrap());
        assert_eq!(
            format!("{:?}", token_key(Some(folder.path())).unwrap()),
            first
        );
        assert_ne!(format!("{:?}", token_key(None).unwrap()), first);
    }

    #[test]
    fn damaged_authority_is_named_and_kept() {
        let folder = tempfile::tempdir().unwrap();
        Authority::open(folder.path(), now()).unwrap();
        let path = folder.path().join(CERTIFICATE_FILE);
        std::fs::write(&path, "no certificate").unwrap();
        let error = Authority::open(folder.path(), now()).err().unwrap();
        assert!(error.to_string().contains("is damaged"), "{error}");
        assert_eq!(std::fs::read_to_string(path).unwrap(), "no certificate");
    }
}
