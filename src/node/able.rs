//! Whether this machine can be a node at all. Asked before anything is registered, so that a machine
//! that cannot is named with its reason, once, and the rest of the program works without it.

use std::ffi::CString;
use std::fs;
use std::io;
use std::path::Path;

use nix::sched::{CloneFlags, unshare};
use rustix::mount::{MountFlags, MountPropagationFlags, mount, mount_change};

/// What is missing, as the end of a sentence.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum Missing {
    #[error("containers need Linux")]
    Linux,
    #[error("containers need root")]
    Root,
    #[error("root may not make namespaces here: {0}")]
    Namespaces(String),
    #[error("overlayfs cannot be mounted in `{folder}`: {reason}")]
    Overlay { folder: String, reason: String },
}

/// What is known without trying anything.
pub fn at_a_glance() -> Result<(), Missing> {
    if !cfg!(target_os = "linux") {
        return Err(Missing::Linux);
    }
    if !rustix::process::geteuid().is_root() {
        return Err(Missing::Root);
    }
    Ok(())
}

/// Makes what a container is made of and lets go of it again. `folder` is where pods will be.
/// Blocking, for a few milliseconds.
pub fn check(folder: &Path) -> Result<(), Missing> {
    at_a_glance()?;
    let trial = folder.join(format!("trial{}", std::process::id()));
    let tried = try_out(&trial);
    let _best_effort = fs::remove_dir_all(&trial);
    tried
}

fn try_out(trial: &Path) -> Result<(), Missing> {
    let refused = |error: io::Error| Missing::Overlay {
        folder: trial.parent().unwrap_or(trial).display().to_string(),
        reason: error.to_string(),
    };
    for folder in ["lower", "upper", "work", "root"] {
        fs::create_dir_all(trial.join(folder)).map_err(refused)?;
    }
    let path = |name: &str| trial.join(name).display().to_string();
    let options = format!(
        "lowerdir={},upperdir={},workdir={}",
        path("lower"),
        path("upper"),
        path("work")
    );
    let options = CString::new(options).map_err(|error| refused(io::Error::other(error)))?;
    let root = trial.join("root");
    // What a thread makes in namespaces of its own goes when it ends.
    let thread = std::thread::spawn(move || {
        let all = CloneFlags::CLONE_NEWNS | CloneFlags::CLONE_NEWNET | CloneFlags::CLONE_NEWUTS;
        unshare(all).map_err(|error| Missing::Namespaces(error.to_string()))?;
        let mounted = mount_change(
            "/",
            MountPropagationFlags::PRIVATE | MountPropagationFlags::REC,
        );
        let mounted = mounted.and_then(|()| {
            let options = options.as_c_str();
            mount("overlay", &root, "overlay", MountFlags::empty(), options)
        });
        mounted.map_err(|error| Missing::Overlay {
            folder: root.display().to_string(),
            reason: io::Error::from(error).to_string(),
        })
    });
    thread
        .join()
        .unwrap_or_else(|_panic| Err(Missing::Namespaces("the trying thread died".to_owned())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_trial_leaves_nothing_behind() {
        let folder = tempfile::tempdir().unwrap();
        let glance = at_a_glance();
        let whole = check(folder.path());
        assert!(glance.is_ok() || glance == whole);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
    }

    #[test]
    fn what_is_missing_ends_a_sentence() {
        let said = Missing::Namespaces("EPERM: Operation not permitted".to_owned());
        assert_eq!(
            said.to_string(),
            "root may not make namespaces here: EPERM: Operation not permitted"
        );
    }
}
