//! What the API server may ask this node for: logs, commands in containers, ways to their ports, what they use.

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::{Path, PathBuf};

use bytes::Bytes;
use futures::future::BoxFuture;
use futures::stream::BoxStream;
use tokio::net::TcpStream;

use super::container::attach::{self, Intent};
use super::container::{Folder, exec, logs_folder};
use super::line::Line;
use super::usage::{Measured, Meter};
use super::{logs, network};
use crate::k8s::Object;
use crate::serve::nodes::{Command, Conversation, Kubelet, LogQuery, Usage};

/// Answers from what the node keeps in its folder: the kubelet itself is not asked.
#[derive(Debug)]
pub struct Face {
    run: PathBuf,
    meter: Meter,
    line: Line,
}

impl Face {
    pub fn new(run: &Path, line: Line, measured: Measured) -> Self {
        Self {
            run: run.to_path_buf(),
            meter: Meter::of(measured),
            line,
        }
    }

    /// Refuses what would go over a line that is cut.
    fn reach(&self) -> Result<(), String> {
        if self.line.is_cut() {
            return Err("no route to host: the node is cut off by an outage".to_owned());
        }
        Ok(())
    }

    pub fn meter(&self) -> &Meter {
        &self.meter
    }

    fn pod_folder(&self, pod: &Object) -> PathBuf {
        self.run.join("pods").join(pod.uid.0.as_str())
    }

    /// The folder of a container that runs.
    fn running(&self, pod: &Object, container: &str) -> Result<Folder, String> {
        let folder = self.pod_folder(pod);
        let last = logs::last_attempt(&logs_folder(&folder, container));
        last.map(|attempt| Folder::of(&folder, container, attempt))
            .filter(|folder| folder.started().is_some() && folder.exit().is_none())
            .ok_or_else(|| format!("container not found (\"{container}\")"))
    }
}

impl Kubelet for Face {
    fn log(&self, pod: &Object, query: &LogQuery) -> Result<BoxStream<'static, Bytes>, String> {
        self.reach()?;
        logs::log(&self.run, pod, query)
    }

    fn exec(&self, pod: &Object, command: &Command) -> Result<Conversation, String> {
        self.reach()?;
        let folder = self.running(pod, &command.container)?;
        let ask = exec::Ask {
            command: command.arguments.clone(),
            stdin: command.stdin,
            terminal: command.terminal,
        };
        match exec::start(&folder, &ask) {
            Ok(conversation) => Ok(Box::new(conversation)),
            Err(error) => Err(error.to_string()),
        }
    }

    fn attach(&self, pod: &Object, command: &Command) -> Result<Conversation, String> {
        self.reach()?;
        let folder = self.running(pod, &command.container)?;
        let intent = if command.stdin {
            Intent::Speak
        } else {
            Intent::Listen
        };
        match attach::join(&folder, intent) {
            Ok(conversation) => Ok(Box::new(conversation)),
            Err(error) => Err(error.to_string()),
        }
    }

    fn usage(&self) -> Option<Usage> {
        self.reach().ok()?;
        self.meter.usage()
    }

    fn connect(&self, pod: &Object, port: u16) -> BoxFuture<'static, io::Result<TcpStream>> {
        let is_host = pod.pod().is_some_and(|columns| columns.host_network);
        let namespace = self.run.join("netns").join(pod.uid.0.as_str());
        let namespace = (!is_host).then_some(namespace);
        if self.line.is_cut() {
            return Box::pin(async { Err(io::ErrorKind::HostUnreachable.into()) });
        }
        Box::pin(async move {
            let to = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
            match network::connect(namespace.clone(), to).await {
                Err(_nobody_listens) => {
                    let to = SocketAddr::from((Ipv6Addr::LOCALHOST, port));
                    network::connect(namespace, to).await
                }
                connected => connected,
            }
        })
    }
}
