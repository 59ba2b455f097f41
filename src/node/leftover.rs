//! Containers that run on when their node has ended, and their end when nobody is to adopt them.
//!
//! Only for nodes that nobody runs: a kubelet takes what is stopped here for a container that ended,
//! and starts it again.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rustix::process::Signal;
use tokio::time::sleep;

use super::container::{Folder, cgroups, runs_folder, sandbox};
use super::network::{self, NAMESPACES};
use crate::stdx::clock::{self, instant};

const LOOK: Duration = Duration::from_millis(50);

/// The containers below a node's folder that run.
pub fn running(node: &Path) -> Vec<Folder> {
    pods(node)
        .iter()
        .flat_map(|pod| below(&runs_folder(pod)))
        .map(Folder::new)
        .filter(|container| container.exit().is_none() && container.is_kept())
        .collect()
}

/// The folders of a cluster's nodes on this machine, by where the only one has its own: each of
/// several has one below, by its index.
fn homes(node: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(node).into_iter().flatten().flatten();
    let is_index = |name: &str| name.parse::<u8>().is_ok();
    let several = entries.filter(|entry| entry.file_name().to_str().is_some_and(is_index));
    let several = several.map(|entry| entry.path());
    std::iter::once(node.to_path_buf()).chain(several).collect()
}

/// Takes the networks of a cluster's nodes away. Only where nothing runs in them any more.
pub fn clear_networks(node: &Path) {
    for home in homes(node) {
        network::clear(&home.join(NAMESPACES));
    }
}

/// Asks all containers below a node's folder to end, and kills those that still run after `grace`;
/// says how many there were, and how many run all the same.
pub async fn stop(node: &Path, grace: Duration) -> (usize, usize) {
    let containers = running(node);
    for container in &containers {
        tell(container, container.stop_signal());
    }
    wait(&containers, instant() + grace).await;
    for container in containers.iter().filter(|container| container.is_kept()) {
        tell(container, Signal::KILL);
    }
    let left = wait(&containers, instant() + grace).await;
    for pod in pods(node) {
        sandbox::remove(&pod);
    }
    cgroups::sweep(clock::now());
    (containers.len(), left)
}

fn pods(node: &Path) -> Vec<PathBuf> {
    let homes = homes(node).into_iter();
    homes.flat_map(|home| below(&home.join("pods"))).collect()
}

fn below(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    entries.map(|entry| entry.path()).collect()
}

fn tell(container: &Folder, signal: Signal) {
    if let Err(error) = container.signal(signal) {
        tracing::warn!(container = %container.path().display(), %error, "cannot be signalled");
    }
}

/// How many still run at the deadline.
async fn wait(containers: &[Folder], deadline: Instant) -> usize {
    loop {
        let left = containers
            .iter()
            .filter(|container| container.is_kept())
            .count();
        if left == 0 || instant() >= deadline {
            return left;
        }
        sleep(LOOK).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_node_that_never_ran_has_nothing_to_stop() {
        let folder = tempfile::tempdir().unwrap();
        let node = folder.path().join("node");
        assert!(running(&node).is_empty());
        assert_eq!(stop(&node, Duration::ZERO).await, (0, 0));
    }
}
