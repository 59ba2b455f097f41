//! Unpacking a layer into a folder of its own, so that it can be a lower layer of an overlay.
//!
//! A layer comes from outside: no entry may leave the folder (by `..`, an absolute path or a link
//! of an earlier entry), make a device, or grow without end. What a layer removes from those below
//! it (`.wh.name`, `.wh..wh..opq`) becomes what overlayfs reads: a character device 0/0, an attribute.
//!
//! Source: OCI image specification, `layer.md`; the kernel's `overlayfs.rst`.

mod zstd;

use std::fs;
use std::io::{self, Read};
use std::os::unix::fs::PermissionsExt;
use std::path::{Component, Path, PathBuf};

use flate2::read::GzDecoder;
use rustix::fs::{AtFlags, CWD, FileType, Gid, Mode, Uid, XattrFlags};
use tar::{Archive, Entry, EntryType};
use zstd::Frames;

/// Unpacked bytes of one layer; beyond it the layer is refused rather than the disk filled.
const LAYER_BYTES_MAX: u64 = 32 << 30;
const WHITEOUT: &str = ".wh.";
const OPAQUE: &str = ".wh..wh..opq";
const OVERLAY_ATTRIBUTES: [&[u8]; 2] = [b"trusted.overlay.", b"user.overlay."];
const OPAQUE_ATTRIBUTE: &str = "trusted.overlay.opaque";

#[derive(Debug, thiserror::Error)]
pub enum LayerError {
    #[error("`{0}` would be written outside of the image")]
    Outside(String),
    #[error("it unpacks to more than {LAYER_BYTES_MAX} bytes")]
    TooLarge,
    #[error("`{entry}`: {source}")]
    Write { entry: String, source: io::Error },
    #[error("it is damaged: {0}")]
    Damaged(io::Error),
}

/// How a layer's bytes are packed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Packing {
    Plain,
    Gzip,
    Zstd,
}

impl Packing {
    /// As its first bytes say; media types are often wrong in archives.
    pub fn of(first: &[u8]) -> Self {
        match first {
            [0x1f, 0x8b, ..] => Self::Gzip,
            [0x28, 0xb5, 0x2f, 0xfd, ..] | [0x50..=0x5f, 0x2a, 0x4d, 0x18, ..] => Self::Zstd,
            _ => Self::Plain,
        }
    }

    /// What was packed.
    pub fn open<'a>(self, packed: impl Read + 'a) -> Box<dyn Read + 'a> {
        match self {
            Self::Plain => Box::new(packed),
            Self::Gzip => Box::new(GzDecoder::new(packed)),
            Self::Zstd => Box::new(Frames::new(packed)),
        }
    }
}

/// Unpacks into `folder`, which must exist and be empty.
pub fn unpack(packed: impl Read, packing: Packing, folder: &Path) -> Result<(), LayerError> {
    unpack_tar(packing.open(packed), folder)
}

fn unpack_tar(bytes: impl Read, folder: &Path) -> Result<(), LayerError> {
    let mut archive = Archive::new(bytes);
    archive.set_unpack_xattrs(true);
    archive.set_preserve_permissions(true);
    archive.set_preserve_ownerships(is_root());
    archive.set_preserve_mtime(true);
    let mut left = LAYER_BYTES_MAX;
    // A folder's own mode may forbid writing into it: modes are set when everything is there.
    let mut folders: Vec<(PathBuf, u32)> = Vec::new();
    for entry in archive.entries().map_err(LayerError::Damaged)? {
        let mut entry = entry.map_err(LayerError::Damaged)?;
        left = left.checked_sub(entry.size()).ok_or(LayerError::TooLarge)?;
        let path = entry.path().map_err(LayerError::Damaged)?.into_owned();
        let named = path.display().to_string();
        let inside = relative(&path).ok_or_else(|| LayerError::Outside(named.clone()))?;
        if inside.as_os_str().is_empty() {
            continue;
        }
        let failed = |source| LayerError::Write {
            entry: named.clone(),
            source,
        };
        let parent = make_parent(folder, &inside).map_err(failed)?;
        let parent = parent.ok_or_else(|| LayerError::Outside(named.clone()))?;
        if names_overlay(&mut entry).map_err(failed)? {
            entry.set_unpack_xattrs(false);
        }
        put(&mut entry, folder, &inside, &parent, &mut folders).map_err(failed)?;
    }
    for (path, mode) in folders.into_iter().rev() {
        let permissions = fs::Permissions::from_mode(mode);
        fs::set_permissions(&path, permissions).map_err(|source| LayerError::Write {
            entry: path.display().to_string(),
            source,
        })?;
    }
    Ok(())
}

/// Whether an entry has attributes that overlayfs reads: with `redirect` and its like a layer could
/// show other folders than its own. What a layer removes is said by names, not by these.
fn names_overlay(entry: &mut Entry<'_, impl Read>) -> io::Result<bool> {
    let Some(extensions) = entry.pax_extensions()? else {
        return Ok(false);
    };
    for extension in extensions {
        let name = extension?.key_bytes();
        let attribute = name.strip_prefix(b"SCHILY.xattr.").unwrap_or_default();
        if OVERLAY_ATTRIBUTES
            .iter()
            .any(|prefix| attribute.starts_with(prefix))
        {
            return Ok(true);
        }
    }
    Ok(false)
}

fn put(
    entry: &mut Entry<'_, impl Read>,
    folder: &Path,
    inside: &Path,
    parent: &Path,
    folders: &mut Vec<(PathBuf, u32)>,
) -> io::Result<()> {
    let name = inside.file_name().and_then(|name| name.to_str());
    let name = name.unwrap_or_default();
    if name == OPAQUE {
        return rustix::fs::setxattr(parent, OPAQUE_ATTRIBUTE, b"y", XattrFlags::empty())
            .map_err(io::Error::from);
    }
    if let Some(removed) = name.strip_prefix(WHITEOUT) {
        let device = rustix::fs::makedev(0, 0);
        let path = parent.join(removed);
        return rustix::fs::mknodat(CWD, &path, FileType::CharacterDevice, Mode::empty(), device)
            .map_err(io::Error::from);
    }
    let path = parent.join(inside.file_name().unwrap_or_default());
    match entry.header().entry_type() {
        EntryType::Directory => {
            make_folder(&path)?;
            own(entry, &path)?;
            folders.push((path, entry.header().mode()? & 0o7777));
            Ok(())
        }
        EntryType::Link => link(entry, folder, &path),
        // Containers get their devices from the runtime.
        EntryType::Char | EntryType::Block | EntryType::Fifo | EntryType::XGlobalHeader => Ok(()),
        _ => {
            remove_what_stands_there(&path)?;
            entry.unpack(&path).map(drop)
        }
    }
}

/// The entry's path below the layer's root; `None` if it would leave it.
fn relative(path: &Path) -> Option<PathBuf> {
    let mut inside = PathBuf::new();
    for component in path.components() {
        match component {
            Component::Normal(part) => inside.push(part),
            Component::CurDir | Component::RootDir => {}
            Component::ParentDir | Component::Prefix(_) => return None,
        }
    }
    Some(inside)
}

/// The folder that an entry goes to, made where it is missing. `None` if a link on the way stands
/// for something else: a layer that writes through its own links is refused, not followed.
fn make_parent(folder: &Path, inside: &Path) -> io::Result<Option<PathBuf>> {
    let mut at = folder.to_path_buf();
    for part in inside.parent().into_iter().flat_map(Path::components) {
        at.push(part);
        match fs::symlink_metadata(&at) {
            Ok(found) if found.is_dir() => {}
            Ok(_) => return Ok(None),
            Err(error) if error.kind() == io::ErrorKind::NotFound => fs::create_dir(&at)?,
            Err(error) => return Err(error),
        }
    }
    Ok(Some(at))
}

fn make_folder(path: &Path) -> io::Result<()> {
    match fs::symlink_metadata(path) {
        Ok(found) if found.is_dir() => Ok(()),
        Ok(_) => {
            fs::remove_file(path)?;
            fs::create_dir(path)
        }
        Err(_) => fs::create_dir(path),
    }
}

fn remove_what_stands_there(path: &Path) -> io::Result<()> {
    match fs::symlink_metadata(path) {
        Ok(found) if found.is_dir() => fs::remove_dir_all(path),
        Ok(_) => fs::remove_file(path),
        Err(_) => Ok(()),
    }
}

/// A hard link names a file of the same layer.
fn link(entry: &Entry<'_, impl Read>, folder: &Path, path: &Path) -> io::Result<()> {
    let outside = || io::Error::other("its target would be outside of the image");
    let target = entry.link_name()?.ok_or_else(outside)?;
    let inside = relative(&target).ok_or_else(outside)?;
    let parent = make_parent(folder, &inside)?.ok_or_else(outside)?;
    remove_what_stands_there(path)?;
    fs::hard_link(parent.join(inside.file_name().unwrap_or_default()), path)
}

fn own(entry: &Entry<'_, impl Read>, path: &Path) -> io::Result<()> {
    if !is_root() {
        return Ok(());
    }
    let id = |value: u64| u32::try_from(value).map_err(io::Error::other);
    let user = Uid::from_raw(id(entry.header().uid()?)?);
    let group = Gid::from_raw(id(entry.header().gid()?)?);
    rustix::fs::chownat(
        CWD,
        path,
        Some(user),
        Some(group),
        AtFlags::SYMLINK_NOFOLLOW,
    )
    .map_err(io::Error::from)
}

fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

#[cfg(test)]
mod tests;
