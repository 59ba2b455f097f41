//! The program's own log, the panic report, and the one final error line.
//!
//! A console owns the terminal, so its log goes to a file; `serve` and the other commands log to
//! the standard error. Nothing is ever logged to the standard output.

use std::io::Write;

use tracing_subscriber::EnvFilter;

const DEFAULT_FILTER: &str = "warn";

/// Logs to the standard error.
pub fn log_to_stderr(filter: Option<&str>) {
    // A second initialisation in one process (tests) keeps the first.
    let _already_set = tracing_subscriber::fmt()
        .with_env_filter(env_filter(filter))
        .with_writer(std::io::stderr)
        .with_target(false)
        .try_init();
}

fn env_filter(filter: Option<&str>) -> EnvFilter {
    EnvFilter::try_new(filter.unwrap_or(DEFAULT_FILTER))
        .unwrap_or_else(|_| EnvFilter::new(DEFAULT_FILTER))
}

/// The final word on the standard error: `bayplan: what failed: why`, one line.
pub fn report(error: &anyhow::Error) {
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
    let text = text.replace('\n', " ");
    // Nobody is left to tell if the standard error is gone.
    let _closed = writeln!(std::io::stderr().lock(), "bayplan: {text}");
}
