//! `bayplan plan`: a rehearsal without a screen.

use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result, bail};
use bayplan::config::env::Environment;
use bayplan::config::manifest;
use bayplan::connect::census::{self, Asked};
use bayplan::connect::{Access, Session, Target};
use bayplan::k8s::Cluster;
use bayplan::rehearse::archive::Archive;
use bayplan::rehearse::dump::Dump;
use bayplan::rehearse::report::{self, Form};
use bayplan::rehearse::{Fork, KINDS, Options, Step};
use bayplan::stdx::clock;
use clap::ArgMatches;
use jiff::Timestamp;

use super::{Plan, PlanFormat};
use crate::telemetry;

/// Something falls below its target.
const FALLS: u8 = 2;

/// Options whose name is the first word of a step.
const VERBS: &[&str] = &[
    "drain",
    "cordon",
    "uncordon",
    "lose",
    "restore",
    "add",
    "remove",
    "scale",
    "set",
    "patch",
    "evict",
    "pack",
    "rebalance",
    "wait",
];

pub fn run(command: &Plan, matches: &ArgMatches) -> Result<ExitCode> {
    let environment = Environment::read();
    telemetry::log_to_stderr(environment.log_filter.as_deref());
    let grace_s = match &command.allow_dip {
        Some(text) => match Step::parse(&format!("wait {text}"), "")? {
            Step::Wait(length) => u64::try_from(length.as_secs()).unwrap_or_default(),
            _ => 0,
        },
        None => 0,
    };
    if let [first, second] = command.compare.as_slice() {
        return compare(command, [first, second], grace_s);
    }
    let mut start = start(command)?;
    let namespace = command.namespace.as_deref().unwrap_or(&start.namespace);
    let given = steps(matches, namespace)?;
    start.steps.extend(given);
    if start.steps.is_empty() && command.compact.is_none() {
        bail!("there is nothing to rehearse: give at least one step, such as --drain NODE");
    }
    if start.cluster.nodes().next().is_none() {
        bail!("there are no nodes in {}", start.source);
    }
    let seed = command.seed.unwrap_or(start.seed);
    if let Some(file) = &command.save {
        save(&start, seed, file, command.pseudonymise)?;
    }
    let options = Options {
        source: start.source,
        seed,
        now: start.now,
    };
    let began = clock::instant();
    let mut fork = Fork::of(&start.cluster, options, start.not_modelled);
    tracing::info!(took = ?began.elapsed(), "forked");
    for (place, step) in start.steps.iter().enumerate() {
        fork.take(step)
            .with_context(|| format!("step {}, `{step}`, cannot be taken", place + 1))?;
    }
    tracing::info!(took = ?began.elapsed(), "rehearsed");
    let mut outcome = fork.outcome(grace_s);
    if let Some(word) = &command.compact {
        outcome.need = Some(fork.need(!word.is_empty()));
        tracing::info!(took = ?began.elapsed(), "compacted");
    }
    let text = match command.output {
        PlanFormat::Table => report::write(&outcome, Form::Text),
        PlanFormat::Markdown => report::write(&outcome, Form::Markdown),
        PlanFormat::Json => serde_json::to_string_pretty(&outcome)? + "\n",
    };
    super::print(text.as_bytes())?;
    Ok(if outcome.falls_below_target {
        ExitCode::from(FALLS)
    } else {
        ExitCode::SUCCESS
    })
}

/// Two saved rehearsals, each taken again.
fn compare(command: &Plan, files: [&PathBuf; 2], grace_s: u64) -> Result<ExitCode> {
    let outcome = |file: &PathBuf| {
        let fork = opened(file)?.fork();
        let fork = fork.map_err(|why| anyhow::anyhow!("`{}`: {why}", file.display()))?;
        Ok::<_, anyhow::Error>(fork.outcome(grace_s))
    };
    let [first, second] = files;
    let (left, right) = (outcome(first)?, outcome(second)?);
    let names = files.map(|file| file.display().to_string());
    let [first, second] = &names;
    let pair = [(first.as_str(), &left), (second.as_str(), &right)];
    let text = match command.output {
        PlanFormat::Table => report::compare::write(pair, Form::Text),
        PlanFormat::Markdown => report::compare::write(pair, Form::Markdown),
        PlanFormat::Json => {
            let both = serde_json::json!({"first": left, "second": right});
            serde_json::to_string_pretty(&both)? + "\n"
        }
    };
    super::print(text.as_bytes())?;
    Ok(if right.falls_below_target {
        ExitCode::from(FALLS)
    } else {
        ExitCode::SUCCESS
    })
}

pub(super) fn opened(file: &Path) -> Result<Archive> {
    let bytes =
        std::fs::read(file).with_context(|| format!("`{}` cannot be read", file.display()))?;
    Archive::decode(&bytes).with_context(|| format!("`{}` cannot be opened", file.display()))
}

/// What is forked, and what was done to it before.
struct Start {
    source: String,
    cluster: Cluster,
    now: Timestamp,
    seed: u64,
    namespace: String,
    steps: Vec<Step>,
    not_modelled: Vec<String>,
}

fn start(command: &Plan) -> Result<Start> {
    if let Some(file) = &command.open {
        let saved = opened(file)?;
        return Ok(Start {
            source: saved.source,
            cluster: saved.cluster,
            now: saved.forked_at,
            seed: saved.seed,
            namespace: "default".to_owned(),
            steps: saved.steps,
            not_modelled: Vec::new(),
        });
    }
    if !command.from_dump.is_empty() {
        return from_dump(&command.from_dump);
    }
    super::runtime()?.block_on(from_cluster(command))
}

fn from_dump(paths: &[PathBuf]) -> Result<Start> {
    let mut dump = Dump::default();
    for path in paths {
        read_dump(path, &mut dump)?;
    }
    let names: Vec<String> = paths
        .iter()
        .map(|path| path.display().to_string())
        .collect();
    if dump.count() == 0 {
        bail!("there are no objects in {}", names.join(", "));
    }
    Ok(Start {
        source: names.join(", "),
        cluster: dump.cluster().clone(),
        now: dump.newest(),
        seed: 0,
        namespace: "default".to_owned(),
        steps: Vec::new(),
        not_modelled: Vec::new(),
    })
}

/// A file, every file of a directory, or `-`. JSON is read as such, whatever the file is called:
/// the YAML reader would need minutes for a large dump.
fn read_dump(path: &Path, dump: &mut Dump) -> Result<()> {
    let context = || format!("`{}` cannot be read", path.display());
    if path.is_dir() {
        let mut files: Vec<PathBuf> = std::fs::read_dir(path)
            .with_context(context)?
            .map(|entry| entry.map(|entry| entry.path()))
            .collect::<Result<_, _>>()
            .with_context(context)?;
        files.sort();
        let is_dump = |file: &Path| {
            let extension = file.extension().and_then(|extension| extension.to_str());
            file.is_dir() || matches!(extension, Some("yaml" | "yml" | "json"))
        };
        for file in files.iter().filter(|file| is_dump(file)) {
            read_dump(file, dump)?;
        }
        return Ok(());
    }
    let text = if path == Path::new("-") {
        let mut text = String::new();
        std::io::stdin()
            .read_to_string(&mut text)
            .with_context(context)?;
        text
    } else {
        std::fs::read_to_string(path).with_context(context)?
    };
    let name = path.display().to_string();
    if text.trim_start().starts_with('{') {
        dump.add_json(&text, &name)?;
        return Ok(());
    }
    let manifests = manifest::parse(&text, &name);
    if let Some(problem) = manifests.problems.first() {
        bail!("{problem}");
    }
    for document in &manifests.documents {
        dump.add_value(&document.object, &name)?;
    }
    Ok(())
}

async fn from_cluster(command: &Plan) -> Result<Start> {
    let target = super::target(&command.target, "bayplan plan")?;
    // A rehearsal only reads: it makes no cluster, least of all to rehearse on its sample.
    if let Target::Embedded(options) = &target
        && !options.folder.as_deref().is_some_and(Path::is_dir)
    {
        bail!(
            "there is no cluster `{}` to rehearse on; name one with --cluster, --context or \
             --kubeconfig, give a dump with --from-dump, or open it first with `bayplan --cluster {}`",
            options.cluster,
            options.cluster
        );
    }
    let session = Session::open(target, Access::ReadOnly, command.namespace.clone()).await?;
    let asked: Vec<Asked> = KINDS
        .iter()
        .map(|kind| Asked {
            resource: kind.resource.clone(),
            version: kind.version,
            kind: kind.kind,
        })
        .collect();
    let began = clock::instant();
    let census = census::take(session.client(), &asked).await;
    let identity = session.identity().clone();
    session.close().await;
    let census = census?;
    tracing::info!(took = ?began.elapsed(), "read");
    let not_modelled = if census.forbidden.is_empty() {
        Vec::new()
    } else {
        let kinds: Vec<String> = census.forbidden.iter().map(ToString::to_string).collect();
        vec![format!(
            "{} may not list {}: they are missing here",
            identity.user,
            kinds.join(", ")
        )]
    };
    Ok(Start {
        source: identity.cluster,
        cluster: census.cluster,
        now: clock::now(),
        seed: 0,
        namespace: identity.namespace,
        steps: Vec::new(),
        not_modelled,
    })
}

/// The steps in the order in which they stand on the command line.
fn steps(matches: &ArgMatches, namespace: &str) -> Result<Vec<Step>> {
    let mut texts: Vec<(usize, String)> = Vec::new();
    let mut add = |option: &str, prefix: &str| {
        let indices = matches.indices_of(option).into_iter().flatten();
        let values = matches.get_many::<String>(option).into_iter().flatten();
        texts.extend(indices.zip(values).map(|(index, value)| {
            let text = if prefix.is_empty() {
                value.clone()
            } else {
                format!("{prefix} {value}")
            };
            (index, text)
        }));
    };
    for verb in VERBS {
        add(verb, verb);
    }
    add("filename", "apply");
    add("step", "");
    let mut steps = Vec::new();
    let files = matches.indices_of("steps").into_iter().flatten();
    let names = matches.get_many::<PathBuf>("steps").into_iter().flatten();
    for (index, file) in files.zip(names) {
        let text = std::fs::read_to_string(file)
            .with_context(|| format!("`{}` cannot be read", file.display()))?;
        for (number, line) in text.lines().enumerate() {
            let line = line.split(" #").next().unwrap_or_default().trim();
            if !line.is_empty() && !line.starts_with('#') {
                let step = read_step(line, namespace)
                    .with_context(|| format!("{}:{}", file.display(), number + 1))?;
                steps.push((index, step));
            }
        }
    }
    for (index, text) in texts {
        steps.push((index, read_step(&text, namespace)?));
    }
    steps.sort_by_key(|(index, _)| *index);
    Ok(steps.into_iter().map(|(_, step)| step).collect())
}

/// A step, with the manifests that it applies.
fn read_step(text: &str, namespace: &str) -> Result<Step> {
    let mut step = Step::parse(text, namespace)?;
    if let Step::Apply { from, objects, .. } = &mut step {
        let manifests = manifest::load(Path::new(from.as_str()))?;
        if let Some(problem) = manifests.problems.first() {
            bail!("{problem}");
        }
        *objects = manifests
            .documents
            .into_iter()
            .map(|document| document.object)
            .collect();
    }
    Ok(step)
}

fn save(start: &Start, seed: u64, file: &Path, pseudonymise: bool) -> Result<()> {
    let archive = Archive {
        source: start.source.clone(),
        forked_at: start.now,
        seed,
        cluster: start.cluster.clone(),
        steps: start.steps.clone(),
    };
    let context = || format!("`{}` cannot be written", file.display());
    let bytes = archive.encode(pseudonymise).with_context(context)?;
    std::fs::write(file, bytes).with_context(context)
}
