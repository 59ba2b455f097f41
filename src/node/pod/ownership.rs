//! `fsGroup`: a pod's volumes belong to its group.
//!
//! Source: `pkg/volume/volume_linux.go` (`SetVolumeOwnership`).

use std::fs;
use std::io;
use std::os::unix::fs::{MetadataExt, PermissionsExt, lchown};
use std::path::Path;

const READ_WRITE: u32 = 0o660;
/// Folders are entered, and give their group on.
const FOLDER: u32 = 0o2110;

/// Gives a volume and all in it to a group. With `OnRootMismatch`, only where its top is not the
/// group's already.
pub fn give(path: &Path, group: i64, policy: Option<&str>) -> io::Result<()> {
    let group = u32::try_from(group).map_err(io::Error::other)?;
    let top = fs::symlink_metadata(path)?;
    let fits = top.gid() == group && top.mode() & (READ_WRITE | FOLDER) == READ_WRITE | FOLDER;
    if policy == Some("OnRootMismatch") && fits {
        return Ok(());
    }
    below(path, group)
}

fn below(path: &Path, group: u32) -> io::Result<()> {
    let metadata = fs::symlink_metadata(path)?;
    lchown(path, None, Some(group))?;
    if metadata.is_symlink() {
        return Ok(());
    }
    let more = if metadata.is_dir() { FOLDER } else { 0 };
    let mode = metadata.mode() & 0o7777 | READ_WRITE | more;
    fs::set_permissions(path, fs::Permissions::from_mode(mode))?;
    if metadata.is_dir() {
        for entry in fs::read_dir(path)? {
            below(&entry?.path(), group)?;
        }
    }
    Ok(())
}
