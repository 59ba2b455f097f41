//! What the API server may ask this node for: logs, commands in containers, ways to their ports.

use std::path::{Path, PathBuf};

use bytes::Bytes;
use futures::stream::BoxStream;

use super::container::{Folder, exec, logs_folder};
use super::logs;
use crate::k8s::Object;
use crate::serve::nodes::{Command, Conversation, Kubelet, LogQuery};

/// Answers from what the node keeps in its folder: the kubelet itself is not asked.
#[derive(Clone, Debug)]
pub struct Face {
    run: PathBuf,
}

impl Face {
    pub fn new(run: &Path) -> Self {
        Self {
            run: run.to_path_buf(),
        }
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
        logs::log(&self.run, pod, query)
    }

    fn exec(&self, pod: &Object, command: &Command) -> Result<Conversation, String> {
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
}
