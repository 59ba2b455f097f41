//! Where the kernel counts what a container uses, and holds it to its limits: one cgroup for each
//! container, below one of our own in each hierarchy that there is.
//!
//! The runtime makes it, and its shim takes it away. A shim that is killed cannot, nor can a kubelet that
//! is not there: what is left is empty and is cleared away later.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use jiff::{SignedDuration, Timestamp};

/// Where hierarchies are mounted: the only one, or each controller's.
const ROOT: &str = "/sys/fs/cgroup";
const OURS: &str = "bayplan";
/// A container's first process is in its cgroup long before: an empty one of this age is left over,
/// whichever cluster of this machine it belonged to.
const MAKING: SignedDuration = SignedDuration::from_mins(1);

/// The cgroup of a container, below each hierarchy's root.
pub fn of(id: &str) -> String {
    format!("{OURS}/{id}")
}

/// Takes a container's away that has ended. One with processes stays.
pub fn remove(id: &str) {
    for ours in ours(Path::new(ROOT)) {
        let _gone_or_in_use = fs::remove_dir(ours.join(id));
    }
}

/// Takes away what containers left that ended with nobody to see it.
pub fn sweep(now: Timestamp) {
    match sweep_below(Path::new(ROOT), now) {
        0 => {}
        count => tracing::info!(count, "empty cgroups of dead containers were taken away"),
    }
}

fn sweep_below(root: &Path, now: Timestamp) -> usize {
    let is_old = |folder: &Path| {
        let made = fs::metadata(folder).and_then(|it| it.modified());
        let made = made.and_then(|at| Timestamp::try_from(at).map_err(io::Error::other));
        made.is_ok_and(|made| now.duration_since(made) > MAKING)
    };
    let all = ours(root).into_iter().flat_map(|folder| folders(&folder));
    // The kernel refuses where processes are.
    all.filter(|folder| is_old(folder) && fs::remove_dir(folder).is_ok())
        .count()
}

fn ours(root: &Path) -> Vec<PathBuf> {
    let mut roots = folders(root);
    roots.push(root.to_path_buf());
    let ours = roots.into_iter().map(|root| root.join(OURS));
    ours.filter(|folder| folder.is_dir()).collect()
}

fn folders(of: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(of).into_iter().flatten().flatten();
    let folders = entries.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()));
    folders.map(|entry| entry.path()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_empty_and_old_is_taken_away() {
        let root = tempfile::tempdir().unwrap();
        let folder = |path: &str| {
            let folder = root.path().join(path);
            fs::create_dir_all(&folder).unwrap();
            folder
        };
        let dead = [folder("pids/bayplan/dead"), folder("bayplan/dead")];
        let used = folder("memory/bayplan/used/within");
        let other = folder("pids/other/dead");
        let now = crate::stdx::clock::now();
        assert_eq!(sweep_below(root.path(), now), 0, "they are being made");
        let later = now + SignedDuration::from_mins(2);
        assert_eq!(sweep_below(root.path(), later), 2);
        assert!(!dead.iter().any(|folder| folder.exists()));
        assert!(used.exists() && other.exists());
    }
}
