//! A session: one client, and who it is connected to as whom.

use std::path::PathBuf;

use kube::client::ClientBuilder;
use kube::config::KubeconfigError;

use crate::serve::{HostError, HostOptions};

use super::catalogue::AccessRule;
use super::embedded::{Embedded, Role};
use super::guard::{Access, GuardLayer, Hold};
use super::link;
use super::notice::Notice;
use super::rehearsal::Rehearsal;
use super::renew::{Recipe, Renewing};

/// What to connect to.
#[derive(Clone, Debug)]
pub enum Target {
    Embedded(HostOptions),
    Kubeconfig {
        /// The current one if absent.
        context: Option<String>,
        /// `$KUBECONFIG` or `~/.kube/config` if absent.
        file: Option<PathBuf>,
    },
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    /// The control plane runs in this process.
    Embedded,
    /// An embedded cluster that another process hosts.
    Joined,
    /// A cluster of a kubeconfig.
    Kubeconfig,
    /// A fork of one of the others, in this process: nothing in it is real.
    Rehearsal,
}

/// Which cluster this is; shown on every screen.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Identity {
    pub kind: Kind,
    /// The embedded cluster's name, or the context's.
    pub cluster: String,
    pub user: String,
    /// Where requests go: a URL, or in words.
    pub server: String,
    /// Where namespaced commands go when they name none.
    pub namespace: String,
    pub access: Access,
}

/// An open session. Clones share the connection.
#[derive(Clone)]
pub struct Session {
    client: kube::Client,
    identity: Identity,
    hold: Hold,
    embedded: Option<Embedded>,
    rehearsal: Option<Rehearsal>,
}

#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    #[error(transparent)]
    Host(#[from] HostError),
    #[error("the kubeconfig cannot be used: {}; name another with --kubeconfig", plain(.0))]
    Kubeconfig(Box<KubeconfigError>),
    #[error("context `{0}` is not in the kubeconfig")]
    NoContext(String),
    #[error("there is no context or cluster `{name}`; there are {known}")]
    Unknown { name: String, known: String },
    #[error("{0}")]
    NoAnswer(String),
    #[error("no client for `{cluster}`: {notice}")]
    Client { cluster: String, notice: Notice },
}

/// How the header tells a role, and where requests go then.
fn standing(role: Role) -> (Kind, &'static str) {
    match role {
        Role::Hosting => (Kind::Embedded, "in this process"),
        Role::Joined => (Kind::Joined, "on this machine"),
    }
}

/// An error and what caused it, each told once: some causes are told by what they are the cause of.
fn with_causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        let told = inner.to_string();
        if !text.contains(&told) {
            text.push_str(": ");
            text.push_str(&told);
        }
        cause = inner.source();
    }
    text
}

/// The first line of what the library says: it draws the place below.
fn plain(error: &KubeconfigError) -> String {
    let text = with_causes(error);
    let line = text.lines().next().unwrap_or_default();
    line.replace("'\"", "`")
        .replace("\"'", "`")
        .trim_end()
        .to_owned()
}

impl ConnectError {
    /// What failed and why, in one line.
    pub fn sentence(&self) -> String {
        with_causes(self)
    }
}

impl Session {
    /// Connects. An embedded cluster is opened (or joined) now, so that a store that cannot be used
    /// is known at once; a real cluster is only contacted with the first request.
    pub async fn open(
        target: Target,
        rule: impl Into<AccessRule>,
        namespace: Option<String>,
    ) -> Result<Self, ConnectError> {
        let rule = rule.into();
        match target {
            Target::Embedded(options) => {
                let access = rule.of(&options.cluster);
                Self::embedded(options, access, namespace).await
            }
            Target::Kubeconfig { context, file } => {
                Self::kubeconfig(context, file, &rule, namespace).await
            }
        }
    }

    async fn embedded(
        options: HostOptions,
        access: Access,
        namespace: Option<String>,
    ) -> Result<Self, ConnectError> {
        let embedded = Embedded::new(options);
        let (_, role) = embedded.open().await?;
        let namespace = namespace.unwrap_or_else(|| "default".to_owned());
        let (kind, server) = standing(role);
        let identity = Identity {
            kind,
            cluster: embedded.cluster().to_owned(),
            user: "admin".to_owned(),
            server: server.to_owned(),
            namespace: namespace.clone(),
            access,
        };
        let hold = Hold::default();
        let guard = GuardLayer::new(access, hold.clone());
        Ok(Self {
            client: link::client(embedded.clone(), &guard, &namespace),
            identity,
            hold,
            embedded: Some(embedded),
            rehearsal: None,
        })
    }

    async fn kubeconfig(
        context: Option<String>,
        file: Option<PathBuf>,
        rule: &AccessRule,
        namespace: Option<String>,
    ) -> Result<Self, ConnectError> {
        let failed = |error| ConnectError::Kubeconfig(Box::new(error));
        let mut recipe = Recipe {
            context: context.unwrap_or_default(),
            file,
        };
        let kubeconfig = recipe.read().map_err(failed)?;
        if recipe.context.is_empty() {
            recipe.context = kubeconfig.current_context.clone().unwrap_or_default();
        }
        let name = recipe.context.clone();
        let chosen = kubeconfig
            .contexts
            .iter()
            .find(|candidate| candidate.name == name)
            .and_then(|named| named.context.clone())
            .ok_or_else(|| ConnectError::NoContext(name.clone()))?;
        let access = rule.of(&name);
        let mut config = recipe.config(kubeconfig).await.map_err(failed)?;
        if let Some(namespace) = namespace {
            config.default_namespace = namespace;
        }
        let identity = Identity {
            kind: Kind::Kubeconfig,
            cluster: name.clone(),
            user: chosen.user.unwrap_or_default(),
            server: config.cluster_url.to_string(),
            namespace: config.default_namespace.clone(),
            access,
        };
        let builder = ClientBuilder::try_from(config).map_err(|error| ConnectError::Client {
            cluster: name,
            notice: Notice::from(error),
        })?;
        let hold = Hold::default();
        let guard = GuardLayer::new(access, hold.clone());
        let renewing = Renewing::new(builder.build(), recipe);
        let client = ClientBuilder::new(renewing, &identity.namespace).with_layer(&guard);
        Ok(Self {
            client: client.build(),
            identity,
            hold,
            embedded: None,
            rehearsal: None,
        })
    }

    /// A session with a fork of this one's cluster. Nothing that is sent through it leaves this
    /// process.
    pub(super) fn of_rehearsal(forked: Identity, rehearsal: Rehearsal) -> Self {
        let hold = Hold::default();
        // Whoever may not write there may try here.
        let guard = GuardLayer::new(Access::ReadWrite, hold.clone());
        let identity = Identity {
            kind: Kind::Rehearsal,
            server: "a rehearsal in this process".to_owned(),
            access: Access::ReadWrite,
            ..forked
        };
        Self {
            client: link::client(rehearsal.connector(), &guard, &identity.namespace),
            identity,
            hold,
            embedded: None,
            rehearsal: Some(rehearsal),
        }
    }

    /// While this is set, no write leaves through this session or any client of it.
    pub fn hold(&self, held: bool) {
        self.hold.set(held);
    }

    /// The fork, where this session is a rehearsal.
    pub fn rehearsal(&self) -> Option<&Rehearsal> {
        self.rehearsal.as_ref()
    }

    pub fn client(&self) -> &kube::Client {
        &self.client
    }

    pub fn identity(&self) -> &Identity {
        &self.identity
    }

    /// Brings the identity up to date after this process took an embedded cluster over; says
    /// whether it did.
    pub fn follow_role(&mut self) -> bool {
        let Some(embedded) = &self.embedded else {
            return false;
        };
        let (kind, server) = standing(embedded.role());
        let changed = self.identity.kind != kind;
        if changed {
            self.identity.kind = kind;
            server.clone_into(&mut self.identity.server);
        }
        changed
    }

    /// Ends the session. If this process hosts the cluster, what was acknowledged is on disk and
    /// another console may take over.
    pub async fn close(&self) {
        if let Some(embedded) = &self.embedded {
            embedded.close().await;
        }
        if let Some(rehearsal) = &self.rehearsal {
            rehearsal.end();
        }
    }
}
