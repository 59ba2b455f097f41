//! Who has the cluster open: a small file beside the store, written by the holder.
//!
//! It only informs people. The lock is the store file's own, and goes away with its process.

use std::path::Path;

use serde::{Deserialize, Serialize};

use super::files;

const FILE: &str = "holder.json";

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Holder {
    pub pid: u32,
    /// What it runs as, `bayplan serve` or `bayplan`.
    pub command: String,
    /// The TLS address, where one is served.
    pub server: Option<String>,
}

/// Notes the holder. A failure costs a hint in an error message, nothing else.
pub fn write(folder: &Path, holder: &Holder) {
    let written = serde_json::to_vec(holder)
        .map_err(std::io::Error::other)
        .and_then(|text| files::write_private(&folder.join(FILE), &text));
    if let Err(error) = written {
        tracing::warn!(%error, "the holder of the cluster was not noted");
    }
}

pub fn read(folder: &Path) -> Option<Holder> {
    let text = std::fs::read(folder.join(FILE)).ok()?;
    serde_json::from_slice(&text).ok()
}

pub fn remove(folder: &Path) {
    let _absent_is_fine = std::fs::remove_file(folder.join(FILE));
}

/// ` by process 4711 (bayplan serve)`, or nothing where it is not known.
pub fn describe(folder: Option<&Path>) -> String {
    folder.and_then(read).map_or_else(String::new, |holder| {
        format!(" by process {} ({})", holder.pid, holder.command)
    })
}
