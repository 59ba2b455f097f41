//! Every cluster that a user could open by name: contexts of the kubeconfig, embedded clusters on
//! this machine.
//!
//! Nothing is created here: a name that is not known opens nothing.

use std::path::PathBuf;
use std::time::Duration;

use kube::config::Kubeconfig;

use crate::config::settings::Settings;
use crate::serve::logs::Bounds;
use crate::serve::{Companion, HostOptions};

use super::guard::Access;
use super::notice::Notice;
use super::session::{ConnectError, Session, Target};

/// A server that does not answer for so long is not switched to.
const PATIENCE: Duration = Duration::from_secs(10);

#[derive(Clone, Debug)]
pub struct Catalogue {
    /// `$KUBECONFIG` or `~/.kube/config` if absent.
    pub kubeconfig: Option<PathBuf>,
    /// Where embedded clusters are, a folder each.
    pub clusters: PathBuf,
    pub rule: AccessRule,
    /// What others are told who find a cluster in use.
    pub command: String,
    /// What is to live beside clusters that this process hosts.
    pub companion: Option<Companion>,
}

/// Which clusters may be changed.
#[derive(Clone, Debug, Default)]
pub struct AccessRule {
    /// For all of them: `--read-only`.
    pub access: Access,
    /// Patterns of names that are never written to.
    pub settings: Settings,
}

impl AccessRule {
    pub fn of(&self, cluster: &str) -> Access {
        if self.settings.is_read_only(cluster) {
            Access::ReadOnly
        } else {
            self.access
        }
    }
}

impl From<Access> for AccessRule {
    fn from(access: Access) -> Self {
        Self {
            access,
            settings: Settings::default(),
        }
    }
}

impl Catalogue {
    /// Contexts first, then embedded clusters; a cluster that shares a context's name is written
    /// `cluster:NAME`. A kubeconfig that cannot be read has no contexts: opening one by name says
    /// why.
    pub fn names(&self) -> Vec<String> {
        let contexts = self.contexts().unwrap_or_default();
        let clusters = self.clusters().into_iter().map(|name| {
            if contexts.contains(&name) {
                format!("{CLUSTER}{name}")
            } else {
                name
            }
        });
        contexts.iter().cloned().chain(clusters).collect()
    }

    /// Opens a cluster and waits until it has answered once.
    pub async fn open(&self, name: &str) -> Result<Session, ConnectError> {
        let target = self.target(name)?;
        let session = Session::open(target, self.rule.clone(), None).await?;
        let answer = tokio::time::timeout(PATIENCE, session.client().apiserver_version()).await;
        let failure = match answer {
            Ok(Ok(_)) => return Ok(session),
            Ok(Err(error)) => Notice::from(error).message,
            Err(_) => format!("no answer within {} s", PATIENCE.as_secs()),
        };
        session.close().await;
        Err(ConnectError::NoAnswer(failure))
    }

    fn target(&self, name: &str) -> Result<Target, ConnectError> {
        let contexts = self.contexts();
        let is_context = contexts
            .as_ref()
            .is_ok_and(|contexts| contexts.iter().any(|context| context == name));
        if is_context {
            return Ok(Target::Kubeconfig {
                context: Some(name.to_owned()),
                file: self.kubeconfig.clone(),
            });
        }
        let cluster = name.strip_prefix(CLUSTER).unwrap_or(name);
        if self.clusters().iter().any(|known| known == cluster) {
            return Ok(Target::Embedded(HostOptions {
                cluster: cluster.to_owned(),
                folder: Some(self.clusters.join(cluster)),
                command: self.command.clone(),
                listen: None,
                seed: crate::serve::Seed::Objects(Vec::new()),
                scheduler: None,
                companion: self.companion.clone(),
                logs: Bounds::default(),
            }));
        }
        contexts?;
        Err(ConnectError::Unknown {
            name: name.to_owned(),
            known: self.names().join(", "),
        })
    }

    fn contexts(&self) -> Result<Vec<String>, ConnectError> {
        let read = match &self.kubeconfig {
            Some(path) => Kubeconfig::read_from(path),
            None => Kubeconfig::read(),
        };
        match read {
            Ok(kubeconfig) => Ok(kubeconfig
                .contexts
                .into_iter()
                .map(|context| context.name)
                .collect()),
            // Nobody has to have a kubeconfig.
            Err(_) if self.kubeconfig.is_none() => Ok(Vec::new()),
            Err(error) => Err(ConnectError::Kubeconfig(Box::new(error))),
        }
    }

    fn clusters(&self) -> Vec<String> {
        let folders = std::fs::read_dir(&self.clusters).into_iter().flatten();
        let mut names: Vec<String> = folders
            .flatten()
            .filter(|entry| entry.path().is_dir())
            .filter_map(|entry| entry.file_name().into_string().ok())
            .filter(|name| !name.starts_with('.'))
            .collect();
        names.sort();
        names
    }
}

const CLUSTER: &str = "cluster:";

#[cfg(test)]
mod tests {
    use super::*;

    const KUBECONFIG: &str = "apiVersion: v1\nkind: Config\nclusters: [{name: a, cluster: {server: 'https://127.0.0.1:1'}}]\nusers: [{name: u, user: {}}]\ncontexts: [{name: prod, context: {cluster: a, user: u}}, {name: shared, context: {cluster: a, user: u}}]\n";

    fn catalogue(folder: &std::path::Path) -> Catalogue {
        let kubeconfig = folder.join("kc");
        std::fs::write(&kubeconfig, KUBECONFIG).unwrap();
        for name in ["default", "shared"] {
            std::fs::create_dir_all(folder.join("clusters").join(name)).unwrap();
        }
        Catalogue {
            kubeconfig: Some(kubeconfig),
            clusters: folder.join("clusters"),
            rule: AccessRule {
                access: Access::ReadWrite,
                settings: Settings {
                    read_only: vec!["pr*".into()],
                    ..Settings::default()
                },
            },
            command: "test".into(),
            companion: None,
        }
    }

    #[test]
    fn contexts_and_clusters_are_told_apart() {
        let folder = tempfile::tempdir().unwrap();
        let catalogue = catalogue(folder.path());
        assert_eq!(
            catalogue.names(),
            ["prod", "shared", "default", "cluster:shared"]
        );
        let target = |name: &str| match catalogue.target(name) {
            Ok(Target::Kubeconfig { context, .. }) => format!("context {}", context.unwrap()),
            Ok(Target::Embedded(options)) => format!("cluster {}", options.cluster),
            Err(error) => error.to_string(),
        };
        assert_eq!(target("shared"), "context shared");
        assert_eq!(target("cluster:shared"), "cluster shared");
        assert_eq!(target("default"), "cluster default");
        assert_eq!(
            target("defualt"),
            "there is no context or cluster `defualt`; there are prod, shared, default, cluster:shared"
        );
        assert_eq!(catalogue.rule.of("prod"), Access::ReadOnly);
        assert_eq!(catalogue.rule.of("default"), Access::ReadWrite);
    }

    #[tokio::test]
    async fn a_server_that_does_not_answer_is_not_opened() {
        let _provider = rustls::crypto::ring::default_provider().install_default();
        let folder = tempfile::tempdir().unwrap();
        let Err(error) = catalogue(folder.path()).open("prod").await else {
            panic!("opened");
        };
        assert!(error.to_string().contains("refused"), "{error}");
    }
}
