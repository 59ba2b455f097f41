//! A text in the user's own editor, which has the terminal until it ends.
//!
//! The text may be a Secret's: it lies in a file that only its owner can read, and that is removed
//! whatever the editor does.

use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::process::ExitStatus;

use tokio::process::Command;
use tokio::signal::unix::{SignalKind, signal};

use crate::tui::effect::Draft;

/// Where the environment names none, as POSIX has it.
pub const EDITOR: &str = "vi";

/// What the editor left of the text, or why there is nothing. `None`: this process was asked to end
/// meanwhile.
///
/// `editor` may hold words (`code --wait`); the shell splits them, as it does for git and kubectl.
pub async fn compose(editor: &str, draft: &Draft) -> Option<Result<String, String>> {
    let file = match TextFile::write(draft) {
        Ok(file) => file,
        Err(error) => return Some(Err(format!("no file for the editor: {error}"))),
    };
    let ended = run(editor, &file.path).await.transpose()?;
    Some(match ended {
        Err(error) => Err(format!("`{editor}` cannot be started: {error}")),
        Ok(status) if !status.success() => Err(format!(
            "`{editor}` ended with {status}; the text is as it was"
        )),
        Ok(_) => fs::read_to_string(&file.path)
            .map_err(|error| format!("what `{editor}` left cannot be read: {error}")),
    })
}

async fn run(editor: &str, file: &Path) -> io::Result<Option<ExitStatus>> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut hang_up = signal(SignalKind::hangup())?;
    let mut child = Command::new("sh")
        .arg("-c")
        .arg(format!("{editor} \"$1\""))
        .arg("sh")
        .arg(file)
        .kill_on_drop(true)
        .spawn()?;
    tokio::select! {
        biased;
        status = child.wait() => status.map(Some),
        _ = terminate.recv() => Ok(None),
        _ = hang_up.recv() => Ok(None),
    }
}

/// A file of nobody else's, gone when this is dropped.
struct TextFile {
    path: PathBuf,
}

impl TextFile {
    fn write(draft: &Draft) -> io::Result<Self> {
        let name = format!("bayplan-{}-{}", std::process::id(), draft.name);
        let path = std::env::temp_dir().join(name);
        // Never through a file or link that somebody else has put there.
        let mut file = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&path)?;
        let written = Self { path };
        file.write_all(draft.text.as_bytes())?;
        Ok(written)
    }
}

impl Drop for TextFile {
    fn drop(&mut self) {
        // An editor may have removed it itself.
        let _gone = fs::remove_file(&self.path);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn draft() -> Draft {
        Draft {
            name: format!("{:?}.yaml", std::thread::current().id()).replace(['(', ')'], "-"),
            text: "replicas: 3\n".to_owned(),
        }
    }

    fn compose_now(editor: &str) -> Result<String, String> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        runtime.block_on(compose(editor, &draft())).unwrap()
    }

    #[test]
    fn what_the_editor_leaves_comes_back_and_the_file_is_gone() {
        let path =
            std::env::temp_dir().join(format!("bayplan-{}-{}", std::process::id(), draft().name));
        assert_eq!(compose_now("sed -i s/3/5/").unwrap(), "replicas: 5\n");
        assert!(!path.exists());
    }

    #[test]
    fn an_editor_that_fails_leaves_the_text_as_it_was() {
        let why = compose_now("false").unwrap_err();
        assert!(why.contains("the text is as it was"), "{why}");
        let why = compose_now("no-such-editor-here").unwrap_err();
        assert!(why.contains("no-such-editor-here"), "{why}");
    }
}
