//! `bayplan node stop`: the containers that a cluster left running on this machine are ended.

use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Result, bail};
use bayplan::config::paths::Paths;
use bayplan::node::leftover;
use bayplan::serve::local;
use bayplan::stdx::humanize::counted;
use clap::{Args, Subcommand};

/// The containers of this machine's node.
#[derive(Args, Debug)]
#[command(after_help = "Examples:
  bayplan node stop
  bayplan node stop --cluster shop")]
pub struct Node {
    #[command(subcommand)]
    command: NodeCommand,
}

#[derive(Subcommand, Debug)]
enum NodeCommand {
    /// End the containers that a cluster left running when whoever ran it ended, and their networks
    Stop {
        /// The embedded cluster
        #[arg(long, value_name = "NAME", default_value = "default")]
        cluster: String,
    },
}

/// What `terminationGracePeriodSeconds` is where nothing is said takes too long for a shell.
const GRACE: Duration = Duration::from_secs(5);

pub fn run(command: Node) -> Result<ExitCode> {
    let NodeCommand::Stop { cluster } = command.command;
    let folder = Paths::resolve()?.cluster(&cluster);
    crate::cli::runtime()?.block_on(stop(&folder, &cluster))
}

async fn stop(folder: &Path, cluster: &str) -> Result<ExitCode> {
    if local::connect(folder).await.is_ok() {
        bail!(
            "the cluster `{cluster}` is open in another process, which would start its containers \
             again; end that first, or delete the pods there"
        );
    }
    let (ended, left) = leftover::stop(&folder.join("node"), GRACE).await;
    if left > 0 {
        bail!("{} still run", counted(left, "container", "containers"));
    }
    let node = folder.join("node");
    tokio::task::spawn_blocking(move || leftover::clear_networks(&node)).await?;
    let said = match ended {
        0 => format!("no container of `{cluster}` runs on this machine\n"),
        _ => format!(
            "{} of `{cluster}` ended\n",
            counted(ended, "container", "containers")
        ),
    };
    crate::cli::print(said.as_bytes())?;
    Ok(ExitCode::SUCCESS)
}

/// What is said when a console that ran a cluster ends and its containers do not.
pub fn goodbye(folder: &Path, cluster: &str) -> Option<String> {
    let running = leftover::running(&folder.join("node")).len();
    (running > 0).then(|| {
        format!(
            "{} of `{cluster}` keep running on this machine and are found again at the next start; \
             `bayplan node stop --cluster {cluster}` ends them\n",
            counted(running, "container", "containers")
        )
    })
}
