//! What was typed on the `:` line, kept between sessions in the state directory.
//!
//! A line each, the newest last. Several consoles append to one file; what it has too much is cut
//! off when it is next read.

use std::fs::{self, OpenOptions};
use std::io::{self, ErrorKind, Write};
use std::path::{Path, PathBuf};

use crate::tui::model::HISTORY_MAX;

#[derive(Clone, Debug)]
pub struct History {
    path: PathBuf,
}

impl History {
    pub fn at(path: PathBuf) -> Self {
        Self { path }
    }

    /// The newest lines, the oldest of them first. A file that is not there is an empty history.
    pub fn load(&self) -> io::Result<Vec<String>> {
        let bytes = match fs::read(&self.path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(error),
        };
        // A damaged line must not cost the others.
        let text = String::from_utf8_lossy(&bytes);
        let lines: Vec<&str> = text.lines().filter(|line| !line.is_empty()).collect();
        let newest = lines
            .get(lines.len().saturating_sub(HISTORY_MAX)..)
            .unwrap_or_default();
        let kept: Vec<String> = newest.iter().map(|line| (*line).to_owned()).collect();
        if lines.len() > 2 * HISTORY_MAX {
            self.replace(&kept)?;
        }
        Ok(kept)
    }

    /// One line more. A single write, so that lines of several consoles do not mix.
    pub fn append(&self, line: &str) -> io::Result<()> {
        if let Some(folder) = self.path.parent() {
            fs::create_dir_all(folder)?;
        }
        let mut options = OpenOptions::new();
        options.create(true).append(true);
        private(&mut options);
        options
            .open(&self.path)?
            .write_all(format!("{line}\n").as_bytes())
    }

    fn replace(&self, lines: &[String]) -> io::Result<()> {
        let folder = self.path.parent().unwrap_or(Path::new("."));
        let mut file = tempfile_in(folder)?;
        file.0.write_all((lines.join("\n") + "\n").as_bytes())?;
        fs::rename(&file.1, &self.path)
    }
}

fn tempfile_in(folder: &Path) -> io::Result<(fs::File, PathBuf)> {
    let path = folder.join(format!("history.{}", std::process::id()));
    let mut options = OpenOptions::new();
    options.create(true).write(true).truncate(true);
    private(&mut options);
    Ok((options.open(&path)?, path))
}

/// What one typed is nobody else's to read.
#[cfg(unix)]
fn private(options: &mut OpenOptions) {
    use std::os::unix::fs::OpenOptionsExt;
    options.mode(0o600);
}

#[cfg(not(unix))]
fn private(_options: &mut OpenOptions) {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_come_back_and_a_long_file_is_cut() {
        let folder = tempfile::tempdir().unwrap();
        let history = History::at(folder.path().join("state/history"));
        assert_eq!(history.load().unwrap(), Vec::<String>::new());
        history.append("pods shop").unwrap();
        history.append("ctx prod").unwrap();
        assert_eq!(history.load().unwrap(), ["pods shop", "ctx prod"]);
        for number in 0..2 * HISTORY_MAX {
            history.append(&format!("scale {number}")).unwrap();
        }
        let read = history.load().unwrap();
        assert_eq!(read.len(), HISTORY_MAX);
        assert_eq!(read.last().unwrap(), "scale 999");
        let kept = fs::read_to_string(folder.path().join("state/history")).unwrap();
        assert_eq!(kept.lines().count(), HISTORY_MAX);
    }
}
