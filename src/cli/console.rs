//! The console, on a terminal.

use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context, Result, bail};
use bayplan::config::env::Environment;
use bayplan::config::paths::Paths;
use bayplan::config::settings::Settings;
use bayplan::connect::{Access, AccessRule, Catalogue, Kind, Session, Target};
use bayplan::node::able;
use bayplan::tui::runtime::appearance::Appearance;
use bayplan::tui::runtime::beside::Together;
use bayplan::tui::runtime::console::{self, Options};
use bayplan::tui::runtime::history::History;
use bayplan::tui::runtime::preferences::Preferences;
use bayplan::tui::view::{self, View};
use tokio_util::sync::CancellationToken;

use super::node::stop::goodbye;
use super::node::{self, Wish};
use crate::telemetry;

pub fn run(command: &super::Console) -> Result<ExitCode> {
    let environment = Environment::read();
    let paths = Paths::resolve()?;
    let logged = telemetry::log_to_file(&paths.state, environment.log_filter.as_deref());
    let mut preferences = Preferences::load(&paths);
    // A console without its log is better than no console.
    if let Err(error) = logged {
        let text = format!("this console keeps no log: {}", telemetry::sentence(&error));
        preferences.problems.push(text);
    }
    for problem in &preferences.problems {
        tracing::warn!("{problem}");
    }
    super::runtime()?.block_on(open(command, &environment, &paths, preferences))
}

async fn open(
    command: &super::Console,
    environment: &Environment,
    paths: &Paths,
    preferences: Preferences,
) -> Result<ExitCode> {
    let access = if command.read_only {
        Access::ReadOnly
    } else {
        Access::ReadWrite
    };
    let rule = AccessRule {
        access,
        settings: preferences.settings.clone(),
    };
    let mut target = super::first_target(&command.target, "bayplan")?;
    let wish = Wish::of(command.local_nodes, command.no_local_node);
    let shown = CancellationToken::new();
    let companion = node::companion(wish, Some(&shown));
    if let Target::Embedded(options) = &mut target {
        options.companion.clone_from(&companion);
    }
    let options = Options {
        view: command
            .view
            .as_deref()
            .map_or(Ok(View::default()), view_named)?,
        scope: scope(&command.scope),
        appearance: appearance(
            &command.look,
            environment,
            &preferences.settings,
            &paths.config,
        ),
        preferences,
        history: Some(History::at(paths.history())),
        editor: environment.editor.clone(),
        catalogue: Some(Catalogue {
            kubeconfig: command.target.kubeconfig.clone(),
            clusters: paths.clusters(),
            rule: rule.clone(),
            command: "bayplan".to_owned(),
            companion,
        }),
        together: together(&command.target),
        note: None,
        shown,
    };
    let session = match &command.rehearsal {
        Some(file) => saved(file).await?,
        None => Session::open(target, rule, command.scope.namespace.clone()).await?,
    };
    let options = Options {
        note: note(&session, wish),
        ..options
    };
    let embedded = match session.identity().kind {
        Kind::Embedded => Some(session.identity().cluster.clone()),
        _ => None,
    };
    console::run(session, options).await?;
    let left = embedded.and_then(|cluster| goodbye(&paths.cluster(&cluster), &cluster));
    if let Some(left) = left {
        super::print(left.as_bytes())?;
    }
    Ok(ExitCode::SUCCESS)
}

/// Why this machine is no node of the cluster, where it could have been one.
fn note(session: &Session, wish: Wish) -> Option<String> {
    let hosts = session.identity().kind == Kind::Embedded;
    if !hosts || wish == Wish::Never {
        return None;
    }
    let missing = able::at_a_glance().err()?;
    Some(format!("all machines are simulated: {missing}"))
}

/// Somebody's rehearsal, its steps taken again.
async fn saved(file: &Path) -> Result<Session> {
    let name = file.display().to_string();
    let bytes = std::fs::read(file).with_context(|| format!("`{name}` cannot be read"))?;
    let session = Session::of_saved(&name, bytes).await;
    session.map_err(|why| anyhow::anyhow!("`{name}` cannot be opened: {why}"))
}

/// The contexts that are shown at once; one alone stands beside nothing.
pub(super) fn together(arguments: &super::TargetArguments) -> Together {
    let mut contexts: Vec<String> = Vec::new();
    for context in &arguments.context {
        if !contexts.contains(context) {
            contexts.push(context.clone());
        }
    }
    Together {
        contexts,
        kubeconfig: arguments.kubeconfig.clone(),
    }
}

pub(super) fn view_named(name: &str) -> Result<View> {
    let Some(view) = View::named(name) else {
        let known: Vec<&str> = View::ALL.into_iter().map(View::name).collect();
        bail!(
            "there is no view `{name}`; the views are {}",
            known.join(", ")
        );
    };
    Ok(view)
}

pub(super) fn scope(arguments: &super::Scope) -> view::Scope {
    match &arguments.namespace {
        Some(namespace) if !arguments.all_namespaces => view::Scope::of(&[namespace]),
        _ => view::Scope::All,
    }
}

pub(super) fn appearance(
    look: &super::Look,
    environment: &Environment,
    settings: &Settings,
    config: &Path,
) -> Appearance {
    Appearance::detect(
        environment,
        look.theme.as_deref(),
        settings,
        look.ascii,
        config,
    )
}

/// `120x36`.
pub(super) fn size(text: &str) -> Result<(u16, u16)> {
    const SMALLEST: (u16, u16) = (20, 5);
    const LARGEST: (u16, u16) = (1_000, 500);
    let (columns, lines) = text
        .split_once(['x', 'X'])
        .and_then(|(columns, lines)| Some((columns.parse().ok()?, lines.parse().ok()?)))
        .with_context(|| format!("`{text}` is no size; write columns x rows, as in 120x36"))?;
    if (columns, lines) < SMALLEST || columns > LARGEST.0 || lines > LARGEST.1 || lines < SMALLEST.1
    {
        bail!(
            "a frame of {columns}x{lines} is out of range: {}x{} to {}x{}",
            SMALLEST.0,
            SMALLEST.1,
            LARGEST.0,
            LARGEST.1
        );
    }
    Ok((columns, lines))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_columns_by_rows_within_reason() {
        assert_eq!(size("120x36").unwrap(), (120, 36));
        for wrong in [
            "", "120", "x36", "120x", "10x4", "99999x10", "2000x36", "80x2",
        ] {
            assert!(size(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn an_unknown_view_names_the_known_ones() {
        let error = view_named("bay").unwrap_err().to_string();
        assert!(error.contains("bays, domains"), "{error}");
    }
}
