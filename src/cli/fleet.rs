//! `bayplan fleet check FILE`, and the machines that a new cluster begins with.

use std::path::Path;
use std::process::ExitCode;

use anyhow::Result;
use bayplan::config::fleet::Fleet;
use bayplan::serve::Seed;

/// The word for a cluster without machines.
const NONE: &str = "none";

pub fn run(command: &super::Fleet) -> Result<ExitCode> {
    let super::FleetCommand::Check { file } = &command.command;
    let fleet = Fleet::load(file)?;
    super::print(format!("{}\n", fleet.summary()).as_bytes())?;
    Ok(ExitCode::SUCCESS)
}

/// What a new cluster begins with: the machines of the fleet file, or, where none was asked for, a
/// whole fleet with an application on it.
pub fn seed(file: Option<&Path>) -> Result<Seed> {
    match file {
        Some(file) if file.as_os_str() == NONE => Ok(Seed::Objects(Vec::new())),
        Some(file) => Ok(Seed::Objects(Fleet::load(file)?.objects())),
        None => Ok(Seed::Sample),
    }
}
