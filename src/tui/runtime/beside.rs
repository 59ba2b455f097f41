//! Follows the clusters that are shown beside the one that the console works in.
//!
//! Their sessions are read-only, so that nothing can be sent to a cluster that only stands beside.

use std::path::PathBuf;
use std::time::Duration;

use futures::future::join_all;
use tokio::sync::mpsc::{Sender, channel};

use super::feed::{self, Followed, Start, follow};
use crate::config::settings::Settings;
use crate::connect::{Access, Session, Target};
use crate::k8s::Name;
use crate::tui::beside::{Beside, BesideEvent, KINDS};
use crate::tui::msg::Msg;

/// Batches under way from one cluster; a full channel slows it down.
const IN_FLIGHT: usize = 64;
/// A kubeconfig that could not be used may be mended, a login renewed.
const RETRY_FIRST: Duration = Duration::from_secs(2);
const RETRY_LAST: Duration = Duration::from_mins(1);

/// The contexts that are shown at once.
#[derive(Clone, Debug, Default)]
pub struct Together {
    /// All of them, also the one that the console works in.
    pub contexts: Vec<String>,
    /// `$KUBECONFIG` or `~/.kube/config` if absent.
    pub kubeconfig: Option<PathBuf>,
}

impl Together {
    /// Those that stand beside `here`.
    pub fn beside(&self, here: &str, settings: &Settings) -> Vec<Beside> {
        let others = self.contexts.iter().filter(|name| *name != here);
        others
            .map(|name| Beside::new(name, settings.color(name)))
            .collect()
    }
}

/// Follows one of them for as long as somebody listens.
pub async fn stand(context: Name, kubeconfig: Option<PathBuf>, out: Sender<Msg>, seed: u64) {
    let Some(session) = open(&context, kubeconfig, &out).await else {
        return;
    };
    let user = session.identity().user.clone();
    if tell(&out, &context, BesideEvent::Opened { user })
        .await
        .is_none()
    {
        return;
    }
    let (sender, mut receiver) = channel::<feed::Fed>(IN_FLIGHT);
    let feeds = KINDS.map(|(resource, version, kind)| {
        let followed = Followed {
            resource,
            version: Name::new_static(version),
            kind: Name::new_static(kind),
            namespace: Name::default(),
        };
        let start = Start { seed, given: None };
        follow(session.client().clone(), followed, sender.clone(), start)
    });
    drop(sender);
    let forward = async {
        while let Some((resource, event)) = receiver.recv().await {
            let event = BesideEvent::Fed(resource, event);
            if tell(&out, &context, event).await.is_none() {
                return;
            }
        }
    };
    tokio::join!(join_all(feeds), forward);
}

async fn open(context: &Name, file: Option<PathBuf>, out: &Sender<Msg>) -> Option<Session> {
    let mut pause = RETRY_FIRST;
    loop {
        let target = Target::Kubeconfig {
            context: Some(context.to_string()),
            file: file.clone(),
        };
        match Session::open(target, Access::ReadOnly, None).await {
            Ok(session) => return Some(session),
            Err(error) => {
                let why = error.sentence();
                tell(out, context, BesideEvent::Failed { why }).await?;
            }
        }
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(RETRY_LAST);
    }
}

/// `None`: nobody listens any more.
async fn tell(out: &Sender<Msg>, cluster: &Name, event: BesideEvent) -> Option<()> {
    let cluster = cluster.clone();
    out.send(Msg::Beside { cluster, event }).await.ok()
}
