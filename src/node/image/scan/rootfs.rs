//! Reading files of an image out of its unpacked layers, as the overlay of them would show it.
//!
//! No link is followed: a layer comes from outside, and its links may name files of this machine.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{self, Read};
use std::os::unix::fs::FileTypeExt;
use std::path::{Path, PathBuf};

use super::ScanError;

/// The largest package databases have some ten megabytes.
const FILE_BYTES_MAX: u64 = 256 << 20;
const OPAQUE: &str = "trusted.overlay.opaque";

/// The layers of an image, the lowest first.
pub struct Rootfs<'a>(pub &'a [PathBuf]);

enum Seen {
    Found(PathBuf),
    /// Whatever layers below have there is not shown.
    Hidden,
    Nothing,
}

impl Rootfs<'_> {
    /// What a file has in it; none if it is not there or no plain file.
    pub fn read(&self, path: &str) -> Result<Option<String>, ScanError> {
        let Some(file) = self.find(path).filter(|found| is_plain(found)) else {
            return Ok(None);
        };
        let mut bytes = Vec::new();
        let read = File::open(&file)
            .and_then(|open| open.take(FILE_BYTES_MAX + 1).read_to_end(&mut bytes));
        let failed = |source| ScanError::Read {
            path: file.clone(),
            source,
        };
        read.map_err(failed)?;
        if bytes.len() as u64 > FILE_BYTES_MAX {
            return Err(failed(io::Error::other(
                "it is too large for what it should be",
            )));
        }
        Ok(Some(String::from_utf8_lossy(&bytes).into_owned()))
    }

    pub fn has(&self, path: &str) -> bool {
        self.find(path).is_some()
    }

    /// Names of what is in a folder.
    pub fn names_in(&self, path: &str) -> Vec<String> {
        let mut names = BTreeSet::new();
        for layer in self.0 {
            let entries = fs::read_dir(layer.join(path))
                .into_iter()
                .flatten()
                .flatten();
            names.extend(entries.filter_map(|entry| entry.file_name().into_string().ok()));
        }
        let is_shown = |name: &String| self.has(&format!("{path}/{name}"));
        names.into_iter().filter(is_shown).collect()
    }

    fn find(&self, path: &str) -> Option<PathBuf> {
        for layer in self.0.iter().rev() {
            match look(layer, path) {
                Seen::Found(found) => return Some(found),
                Seen::Hidden => return None,
                Seen::Nothing => {}
            }
        }
        None
    }
}

fn look(layer: &Path, path: &str) -> Seen {
    let mut at = layer.to_path_buf();
    let mut hides = false;
    let mut parts = Path::new(path).components().peekable();
    while let Some(part) = parts.next() {
        hides |= is_opaque(&at);
        at.push(part);
        match fs::symlink_metadata(&at) {
            Ok(found) if parts.peek().is_none() && !found.file_type().is_char_device() => {
                return Seen::Found(at);
            }
            Ok(found) if found.is_dir() => {}
            // A file, a link or what stands for a removal, where a folder was.
            Ok(_) => return Seen::Hidden,
            Err(_) if hides => return Seen::Hidden,
            Err(_) => return Seen::Nothing,
        }
    }
    Seen::Nothing
}

fn is_plain(path: &Path) -> bool {
    fs::symlink_metadata(path).is_ok_and(|found| found.is_file())
}

fn is_opaque(folder: &Path) -> bool {
    let mut value = [0; 8];
    rustix::fs::lgetxattr(folder, OPAQUE, &mut value).is_ok_and(|length| length > 0)
}
