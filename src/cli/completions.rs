//! `bayplan completions SHELL`.

use std::process::ExitCode;

use anyhow::Result;
use clap::CommandFactory;

pub fn run(command: &super::Completions) -> Result<ExitCode> {
    let mut script = Vec::new();
    clap_complete::generate(
        command.shell,
        &mut super::Arguments::command(),
        "bayplan",
        &mut script,
    );
    super::print(&script)?;
    Ok(ExitCode::SUCCESS)
}
