//! Writes the kubeconfig of a served cluster, certificates embedded.

use std::io;
use std::path::{Path, PathBuf};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;
use serde_json::{Value, json};

use super::certificates::Credentials;
use super::files;

/// Clusters that we wrote carry this in front of their name.
const PREFIX: &str = "bayplan-";

#[derive(Debug, thiserror::Error)]
pub enum KubeconfigError {
    #[error("the kubeconfig `{}` cannot be written", path.display())]
    Write {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error(
        "`{}` holds something that bayplan did not write; name another file for the kubeconfig",
        path.display()
    )]
    Foreign { path: PathBuf },
}

/// A kubeconfig with one cluster, one user and one context, as JSON (which is YAML).
pub fn document(
    cluster: &str,
    server: &str,
    authority_pem: &str,
    credentials: &Credentials,
) -> Value {
    let name = format!("{PREFIX}{cluster}");
    let user = format!("{name}-admin");
    json!({
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": name, "cluster": {
            "server": server,
            "certificate-authority-data": STANDARD.encode(authority_pem),
        }}],
        "users": [{"name": user, "user": {
            "client-certificate-data": STANDARD.encode(&credentials.certificate_pem),
            "client-key-data": STANDARD.encode(&credentials.key_pem),
        }}],
        "contexts": [{"name": name, "context": {"cluster": name, "user": user}}],
        "current-context": name,
    })
}

/// Writes the document, for its owner only. A file that holds somebody else's kubeconfig is left
/// alone: `~/.kube/config` is one slip of the fingers away.
pub fn write(path: &Path, document: &Value) -> Result<(), KubeconfigError> {
    let failed = |source| KubeconfigError::Write {
        path: path.to_owned(),
        source,
    };
    match std::fs::read_to_string(path) {
        Ok(present) if !is_ours(&present) => {
            return Err(KubeconfigError::Foreign {
                path: path.to_owned(),
            });
        }
        Err(source) if source.kind() != io::ErrorKind::NotFound => return Err(failed(source)),
        _ => {}
    }
    if let Some(folder) = path
        .parent()
        .filter(|folder| !folder.as_os_str().is_empty())
    {
        files::make_private_folder(folder).map_err(failed)?;
    }
    let text = serde_saphyr::to_string(document)
        .map_err(|error| failed(io::Error::other(error.to_string())))?;
    files::write_private(path, text.as_bytes()).map_err(failed)
}

#[derive(Deserialize)]
struct Known {
    clusters: Vec<Named>,
}

#[derive(Deserialize)]
struct Named {
    name: String,
}

fn is_ours(text: &str) -> bool {
    text.trim().is_empty()
        || serde_saphyr::from_str::<Known>(text).is_ok_and(|known| {
            !known.clusters.is_empty()
                && known
                    .clusters
                    .iter()
                    .all(|cluster| cluster.name.starts_with(PREFIX))
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> Value {
        let credentials = Credentials {
            certificate_pem: "certificate".into(),
            key_pem: "key".into(),
        };
        document("no", "https://127.0.0.1:6443", "authority", &credentials)
    }

    #[test]
    fn own_file_is_replaced_and_read_by_kube() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("deep/kubeconfig");
        write(&path, &sample()).unwrap();
        write(&path, &sample()).unwrap();
        let read = kube::config::Kubeconfig::read_from(&path).unwrap();
        assert_eq!(read.current_context.as_deref(), Some("bayplan-no"));
        assert_eq!(read.clusters.len(), 1);
    }

    #[test]
    fn foreign_kubeconfig_is_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("config");
        let foreign = "clusters:\n- name: production\n  cluster: {server: https://10.0.0.1}\n";
        std::fs::write(&path, foreign).unwrap();
        assert!(matches!(
            write(&path, &sample()),
            Err(KubeconfigError::Foreign { .. })
        ));
        assert_eq!(std::fs::read_to_string(&path).unwrap(), foreign);
    }
}
