//! The local node: `serve --local-node`, and the hidden commands that keep its containers.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::{Context, Result};
use bayplan::config::paths::Paths;
use bayplan::connect::{self, Access};
use bayplan::node::container::exec::{self, Ask};
use bayplan::node::container::shim;
use bayplan::node::face::Face;
use bayplan::node::kubelet::{self, Options};
use bayplan::serve::Host;
use clap::Args;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

/// Keep one container: this binary's own affair.
#[derive(Args, Debug)]
pub struct Shim {
    /// Keep it in this process instead of leaving one behind that does
    #[arg(long)]
    keep: bool,
    folder: PathBuf,
}

/// Run a command in a container: this binary's own affair.
#[derive(Args, Debug)]
pub struct Exec {
    /// It can be spoken to
    #[arg(long)]
    stdin: bool,
    /// It has a terminal
    #[arg(long)]
    terminal: bool,
    folder: PathBuf,
    #[arg(last = true, required = true)]
    command: Vec<String>,
}

pub fn run_shim(command: &Shim) -> Result<ExitCode> {
    // Nothing is logged: what the runtime writes before the container's command runs would land in
    // the container's own log.
    if command.keep {
        return Ok(shim::run(&command.folder));
    }
    shim::detach(&command.folder).context("a container cannot be kept")
}

pub fn run_exec(command: &Exec) -> ExitCode {
    let ask = Ask {
        command: command.command.clone(),
        stdin: command.stdin,
        terminal: command.terminal,
    };
    exec::run(&command.folder, &ask)
}

/// The node of this machine, running beside a cluster.
pub struct LocalNode {
    stop: CancellationToken,
    task: JoinHandle<()>,
}

impl LocalNode {
    /// What runs is kept below the cluster's folder, or where this machine keeps such things.
    pub fn start(host: &Host, cluster: &str, folder: Option<&Path>) -> Result<Self> {
        let options = Options {
            name: host_name(),
            client: connect::in_process(host, Access::ReadWrite),
            images: Paths::resolve()?.data.join("images"),
            run: folder.map_or_else(
                || Path::new("/run/bayplan").join(cluster),
                |folder| folder.join("node"),
            ),
            cluster_dns: None,
        };
        let face = Arc::new(Face::new(&options.run));
        let known = Arc::clone(&face);
        host.nodes().register(options.name.as_str().into(), known);
        let stop = CancellationToken::new();
        let stopped = stop.clone();
        let task = tokio::spawn(async move {
            let run = async {
                tokio::select! {
                    biased;
                    result = kubelet::run(options) => result,
                    () = face.meter().run() => Ok(()),
                }
            };
            if let Some(Err(error)) = stopped.run_until_cancelled(run).await {
                tracing::error!("the local node is not there: {error}");
            }
        });
        Ok(Self { stop, task })
    }

    /// Leaves the containers running.
    pub async fn stop(self) {
        self.stop.cancel();
        let _ended = self.task.await;
    }
}

fn host_name() -> String {
    let name = rustix::system::uname();
    name.nodename().to_string_lossy().to_lowercase()
}
