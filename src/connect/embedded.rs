//! Connections to an embedded cluster, whoever hosts it.
//!
//! Decided anew for each connection: this process hosts the cluster, another one does, or nobody
//! does any more, and then this process takes over. Several consoles thus share one cluster, and
//! each of them may outlive the one that hosted it.
//!
//! ```text
//!            ┌── hosts ──► memory                       (until the host stops)
//!   dial ────┼── socket answers ──► unix socket         (another process hosts)
//!            └── neither ──► open the store ── held by somebody starting ──► dial again
//!                                  └── ours ──► host, memory
//! ```

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::sync::Mutex;
use tokio::time::Instant;

use crate::serve::{Host, HostError, HostOptions};

use super::link::{Dial, Link};

/// How long a cluster may be in nobody's hands while a holder starts or ends.
const PATIENCE: Duration = Duration::from_secs(5);
const RETRY: Duration = Duration::from_millis(50);

/// An embedded cluster as its clients see it; clones share one host.
#[derive(Clone)]
pub struct Embedded {
    shared: Arc<Shared>,
}

struct Shared {
    options: HostOptions,
    /// The host in this process, if it is one. The lock also makes sure that connections opened at
    /// once do not each try to take over; it is held while a cluster is opened.
    host: Mutex<Option<Host>>,
    /// The session is over. A request that was still under way must not open the cluster again
    /// behind the back of whoever closed it.
    closed: AtomicBool,
    /// This process hosts the cluster, since the start or since it took over.
    hosting: AtomicBool,
}

/// How a connection came about.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Role {
    /// This process runs the control plane.
    Hosting,
    /// Another process does.
    Joined,
}

impl Embedded {
    pub fn new(options: HostOptions) -> Self {
        Self {
            shared: Arc::new(Shared {
                options,
                host: Mutex::new(None),
                closed: AtomicBool::new(false),
                hosting: AtomicBool::new(false),
            }),
        }
    }

    pub fn cluster(&self) -> &str {
        &self.shared.options.cluster
    }

    /// Opens one connection, hosting the cluster if nobody else does.
    pub async fn open(&self) -> Result<(Link, Role), HostError> {
        let deadline = Instant::now() + PATIENCE;
        let mut host = self.shared.host.lock().await;
        loop {
            if let Some(host) = host.as_ref().filter(|host| host.is_running()) {
                return Ok((Box::new(host.connector().connect()), Role::Hosting));
            }
            if let Some(link) = self.join().await {
                self.shared.hosting.store(false, Ordering::SeqCst);
                return Ok((link, Role::Joined));
            }
            // A host that stopped by itself must let go of the store before it can be opened again.
            if let Some(ended) = host.take()
                && let Err(error) = ended.stop().await
            {
                tracing::error!(%error, "the control plane in this process stopped");
            }
            match Host::open(self.shared.options.clone()).await {
                Ok(opened) => {
                    *host = Some(opened);
                    self.shared.hosting.store(true, Ordering::SeqCst);
                }
                Err(error) if error.is_held() && Instant::now() < deadline => {
                    tokio::time::sleep(RETRY).await;
                }
                Err(error) => return Err(error),
            }
        }
    }

    /// What this process was when it last opened a connection: the role changes when the process
    /// that hosted the cluster ends and this one takes over.
    pub fn role(&self) -> Role {
        if self.shared.hosting.load(Ordering::SeqCst) {
            Role::Hosting
        } else {
            Role::Joined
        }
    }

    #[cfg(unix)]
    async fn join(&self) -> Option<Link> {
        let folder = self.shared.options.folder.as_deref()?;
        let stream = crate::serve::local::connect(folder).await.ok()?;
        Some(Box::new(stream))
    }

    #[cfg(not(unix))]
    async fn join(&self) -> Option<Link> {
        None
    }

    /// Stops hosting, if this process does. Others may take over from then on.
    pub async fn close(&self) {
        self.shared.closed.store(true, Ordering::SeqCst);
        let host = self.shared.host.lock().await.take();
        if let Some(host) = host
            && let Err(error) = host.stop().await
        {
            tracing::error!(%error, "the cluster was not closed cleanly");
        }
    }
}

impl Dial for Embedded {
    async fn dial(&self) -> io::Result<Link> {
        if self.shared.closed.load(Ordering::SeqCst) {
            return Err(io::Error::other("this session is closed"));
        }
        let (link, _) = self.open().await.map_err(io::Error::other)?;
        Ok(link)
    }
}
