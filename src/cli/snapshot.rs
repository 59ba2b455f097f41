//! `bayplan snapshot`: one frame, no terminal.

use std::process::ExitCode;

use anyhow::{Context, Result};
use bayplan::config::env::Environment;
use bayplan::config::paths::Paths;
use bayplan::connect::{Access, Session};
use bayplan::tui::key::Chord;
use bayplan::tui::runtime::appearance::Appearance;
use bayplan::tui::runtime::console::Options;
use bayplan::tui::runtime::preferences::Preferences;
use bayplan::tui::runtime::snapshot::{Format, snapshot};
use bayplan::tui::theme::{Characters, Depth};
use tokio_util::sync::CancellationToken;

use super::{SnapshotColor, SnapshotFormat, console};
use crate::telemetry;

pub fn run(command: &super::Snapshot) -> Result<ExitCode> {
    let environment = Environment::read();
    telemetry::log_to_stderr(environment.log_filter.as_deref());
    super::runtime()?.block_on(take(command, &environment))
}

/// Looks only: keys that would change something do not exist in a snapshot.
async fn take(command: &super::Snapshot, environment: &Environment) -> Result<ExitCode> {
    let paths = Paths::resolve()?;
    let preferences = Preferences::load(&paths);
    for problem in &preferences.problems {
        tracing::warn!("{problem}");
    }
    let detected = console::appearance(
        &command.look,
        environment,
        &preferences.settings,
        &paths.config,
    );
    let options = Options {
        view: console::view_named(&command.view)?,
        scope: console::scope(&command.scope),
        appearance: Appearance {
            depth: depth(command.color),
            characters: characters(command),
            ..detected
        },
        preferences,
        history: None,
        editor: None,
        catalogue: None,
        together: console::together(&command.target),
        note: None,
        shown: CancellationToken::new(),
    };
    let keys = keys(&command.keys)?;
    let size = console::size(&command.size)?;
    let target = super::first_target(&command.target, "bayplan snapshot")?;
    let namespace = command.scope.namespace.clone();
    let session = Session::open(target, Access::ReadOnly, namespace).await?;
    let frame = snapshot(
        session.clone(),
        options,
        &keys,
        size,
        format(command.output),
    )
    .await;
    session.close().await;
    super::print(&frame?)?;
    Ok(ExitCode::SUCCESS)
}

fn keys(text: &str) -> Result<Vec<Chord>> {
    text.split_whitespace()
        .map(|word| Chord::parse(word).with_context(|| format!("`{word}` is no key")))
        .collect()
}

/// A picture is not shown on this terminal: only `--ascii` decides.
fn characters(command: &super::Snapshot) -> Characters {
    if command.look.ascii {
        Characters::Ascii
    } else {
        Characters::Unicode
    }
}

fn depth(color: SnapshotColor) -> Depth {
    match color {
        SnapshotColor::None => Depth::None,
        SnapshotColor::Sixteen => Depth::Sixteen,
        SnapshotColor::Indexed => Depth::Indexed,
        SnapshotColor::True => Depth::True,
    }
}

fn format(output: SnapshotFormat) -> Format {
    match output {
        SnapshotFormat::Txt => Format::Text,
        SnapshotFormat::Ansi => Format::Ansi,
        SnapshotFormat::Svg => Format::Svg,
        SnapshotFormat::Png => Format::Png,
    }
}
