//! The log shipper: follows a file and says each whole line, with its service's name before it. The
//! file may not be there yet, and may be put aside under another name; no line is lost by that.

use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::Duration;

use anyhow::Result;

use super::say;

/// How long a line may lie in the file before it is shipped.
const LOOK: Duration = Duration::from_millis(200);
const PORTION: u64 = 256 << 10;

pub async fn ship(command: &super::Ship, stop: impl Future<Output = ()>) -> Result<()> {
    say(&format!(
        "shipping {} of {}",
        command.log.display(),
        command.name
    ))?;
    let mut follower = Follower::default();
    let mut stop = std::pin::pin!(stop);
    let mut look = tokio::time::interval(LOOK);
    loop {
        let stopped = tokio::select! {
            biased;
            () = &mut stop => true,
            _ = look.tick() => false,
        };
        // Also at the end: the service has stopped before its sidecar is, and its last lines count.
        let lines = follower.lines(&command.log)?;
        for line in lines.lines() {
            say(&format!("{} {line}", command.name))?;
        }
        if stopped {
            return say(&format!("shipped {} lines, ends", follower.shipped));
        }
    }
}

#[derive(Default)]
struct Follower {
    open: Option<File>,
    /// The beginning of a line whose end is not written yet.
    begun: Vec<u8>,
    shipped: usize,
}

impl Follower {
    /// The whole lines that were added since the last time.
    fn lines(&mut self, path: &Path) -> io::Result<String> {
        let mut text = String::new();
        loop {
            if self.open.is_none() {
                self.open = match File::open(path) {
                    Ok(file) => Some(file),
                    Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(text),
                    Err(error) => return Err(error),
                };
            }
            let Some(file) = &self.open else {
                return Ok(text);
            };
            // Asked before reading: what is written to the old file until it is put aside is read.
            let is_current = is_at(file, path);
            let read = file.take(PORTION).read_to_end(&mut self.begun)?;
            if let Some(end) = self.begun.iter().rposition(|byte| *byte == b'\n') {
                let rest = self.begun.split_off(end + 1);
                text.push_str(&String::from_utf8_lossy(&self.begun));
                self.begun = rest;
            }
            if read == 0 && is_current {
                self.shipped += text.lines().count();
                return Ok(text);
            }
            if read == 0 {
                self.open = None;
            }
        }
    }
}

/// Whether this is the file that stands under the name.
fn is_at(file: &File, path: &Path) -> bool {
    let identity = |found: std::fs::Metadata| (found.dev(), found.ino());
    match (file.metadata(), std::fs::metadata(path)) {
        (Ok(open), Ok(named)) => identity(open) == identity(named),
        // Put aside, and the next one not begun: the old one may still grow.
        (_, Err(_)) => true,
        (Err(_), Ok(_)) => false,
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::io::Write;

    use super::*;

    #[test]
    fn lines_are_shipped_whole_and_across_a_file_that_is_put_aside() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("access.log");
        let mut follower = Follower::default();
        assert_eq!(follower.lines(&path).unwrap(), "");
        let mut file = File::create(&path).unwrap();
        file.write_all(b"one\ntw").unwrap();
        assert_eq!(follower.lines(&path).unwrap(), "one\n");
        file.write_all(b"o\nthree\n").unwrap();
        fs::rename(&path, folder.path().join("access.log.1")).unwrap();
        file.write_all(b"four\n").unwrap();
        fs::write(&path, "five\n").unwrap();
        assert_eq!(follower.lines(&path).unwrap(), "two\nthree\nfour\nfive\n");
        assert_eq!(follower.lines(&path).unwrap(), "");
        assert_eq!(follower.shipped, 5);
    }
}
