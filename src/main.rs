//! Parses arguments, composes the parts and runs.

use std::process::ExitCode;

mod cli;
mod telemetry;

fn main() -> ExitCode {
    cli::run()
}
