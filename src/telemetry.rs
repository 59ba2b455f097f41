//! The program's own log, the panic report, and the one final error line.
//!
//! A console owns the terminal, so its log goes to a file; `serve` and the other commands log to
//! the standard error. Nothing is ever logged to the standard output.

use std::io::Write;
use std::path::Path;
use std::sync::Mutex;

use anyhow::{Context, Result};
use tracing_subscriber::EnvFilter;

/// The client library logs every request that fails, which we say ourselves.
const DEFAULT_FILTER: &str = "warn,kube_client=off";

/// Logs to the standard error.
pub fn log_to_stderr(filter: Option<&str>) {
    // A second initialisation in one process (tests) keeps the first.
    let _already_set = tracing_subscriber::fmt()
        .with_env_filter(env_filter(filter))
        .with_writer(std::io::stderr)
        .with_target(false)
        .try_init();
}

/// Logs to `bayplan.log` in the state folder: the console has the terminal for itself. The file is
/// begun anew when it has grown large.
pub fn log_to_file(state: &Path, filter: Option<&str>) -> Result<()> {
    const LARGE: u64 = 8 << 20;
    std::fs::create_dir_all(state)
        .with_context(|| format!("cannot make the folder {}", state.display()))?;
    let path = state.join("bayplan.log");
    let is_large = std::fs::metadata(&path).is_ok_and(|file| file.len() > LARGE);
    let file = std::fs::OpenOptions::new()
        .create(true)
        .write(true)
        .append(!is_large)
        .truncate(is_large)
        .open(&path)
        .with_context(|| format!("cannot write the log {}", path.display()))?;
    // A second initialisation in one process (tests) keeps the first.
    let _already_set = tracing_subscriber::fmt()
        .with_env_filter(env_filter(filter))
        .with_writer(Mutex::new(file))
        .with_ansi(false)
        .try_init();
    Ok(())
}

fn env_filter(filter: Option<&str>) -> EnvFilter {
    EnvFilter::try_new(filter.unwrap_or(DEFAULT_FILTER))
        .unwrap_or_else(|_| EnvFilter::new(DEFAULT_FILTER))
}

/// What failed and why, in one line.
pub fn sentence(error: &anyhow::Error) -> String {
    let mut text = String::new();
    for cause in error.chain() {
        let cause = cause.to_string();
        // Some libraries repeat their cause in their own message.
        if !text.contains(&cause) {
            if !text.is_empty() {
                text.push_str(": ");
            }
            text.push_str(&cause);
        }
    }
    text.replace('\n', " ")
}

/// The final word on the standard error: `bayplan: what failed: why`, one line.
pub fn report(error: &anyhow::Error) {
    // Nobody is left to tell if the standard error is gone.
    let _closed = writeln!(std::io::stderr().lock(), "bayplan: {}", sentence(error));
}
