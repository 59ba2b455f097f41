//! `bayplan apply`: manifests from files, folders, URLs and the standard input.

use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use bayplan::config::env::Environment;
use bayplan::config::manifest::{self, Manifests};
use bayplan::config::paths::Paths;
use bayplan::config::settings::Settings;
use bayplan::connect::apply::{ApplyOptions, Report, apply};
use bayplan::connect::{Access, AccessRule, Session};

use crate::telemetry;

/// A manifest may be large, a page by mistake endless.
const DOWNLOAD_BYTES_MAX: usize = 64 << 20;
const DOWNLOAD_TIMEOUT: Duration = Duration::from_mins(1);

pub fn run(command: super::Apply) -> Result<ExitCode> {
    let environment = Environment::read();
    telemetry::log_to_stderr(environment.log_filter.as_deref());
    super::runtime()?.block_on(run_async(command))
}

async fn run_async(command: super::Apply) -> Result<ExitCode> {
    let mut manifests = Manifests::default();
    for name in &command.filename {
        add(
            &mut manifests,
            match name.as_str() {
                "-" => read_stdin()?,
                url if url.starts_with("https://") || url.starts_with("http://") => {
                    download(url).await?
                }
                path => manifest::load(Path::new(path))?,
            },
        );
    }
    let target = super::target(&command.target, "bayplan apply")?;
    let namespace = command.namespace.clone();
    let (settings, problems) = Settings::load(&Paths::resolve()?.settings());
    for problem in problems {
        tracing::warn!("{problem}");
    }
    let rule = AccessRule {
        access: Access::ReadWrite,
        settings,
    };
    let session = Session::open(target, rule, namespace.clone()).await?;
    let options = ApplyOptions {
        namespace,
        dry_run: command.dry_run,
    };
    let mut printed = Ok(());
    let failures = send(session.client(), manifests, &options, |line| {
        if printed.is_ok() {
            printed = super::print(line.as_bytes());
        }
    })
    .await;
    session.close().await;
    printed?;
    Ok(if failures? == 0 {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

fn add(manifests: &mut Manifests, more: Manifests) {
    manifests.documents.extend(more.documents);
    manifests.problems.extend(more.problems);
}

/// Reads files and folders named on the command line.
pub fn load_all(paths: &[PathBuf]) -> Result<Manifests> {
    let mut manifests = Manifests::default();
    for path in paths {
        add(&mut manifests, manifest::load(path)?);
    }
    Ok(manifests)
}

/// Applies everything and says what became of each object. What is refused is named on the standard
/// error and counted; the others still go.
pub async fn send(
    client: &kube::Client,
    manifests: Manifests,
    options: &ApplyOptions,
    mut say: impl FnMut(String),
) -> Result<usize> {
    let Manifests {
        documents,
        problems,
    } = manifests;
    if documents.is_empty() && problems.is_empty() {
        bail!("no objects were found in what was given");
    }
    let mut failures = problems.len();
    for problem in problems {
        telemetry::report(&anyhow::Error::new(problem));
    }
    let suffix = if options.dry_run {
        " (server dry run)"
    } else {
        ""
    };
    let untried = apply(client, documents, options, |report| {
        let Report { origin, name, .. } = &report;
        for warning in &report.warnings {
            telemetry::report(&anyhow::anyhow!("{origin}: {name}: warning: {warning}"));
        }
        match &report.outcome {
            Ok(verdict) => say(format!("{name} {}{suffix}\n", verdict.word())),
            Err(notice) => {
                failures += 1;
                telemetry::report(&anyhow::anyhow!("{origin}: {name}: {notice}"));
            }
        }
    })
    .await;
    if untried > 0 {
        telemetry::report(&anyhow::anyhow!(
            "{untried} more objects were not sent; apply the same again when the server answers"
        ));
    }
    Ok(failures + untried)
}

fn read_stdin() -> Result<Manifests> {
    let mut text = String::new();
    std::io::stdin()
        .read_to_string(&mut text)
        .context("the standard input cannot be read")?;
    Ok(manifest::parse(&text, "<stdin>"))
}

async fn download(url: &str) -> Result<Manifests> {
    let client = reqwest::Client::builder()
        .timeout(DOWNLOAD_TIMEOUT)
        .build()
        .context("no HTTP client can be made")?;
    let failed = || format!("`{url}` cannot be downloaded");
    let mut response = client
        .get(url)
        .send()
        .await
        .and_then(reqwest::Response::error_for_status)
        .map_err(reqwest::Error::without_url)
        .with_context(failed)?;
    let mut bytes = Vec::new();
    while let Some(chunk) = response.chunk().await.with_context(failed)? {
        bytes.extend_from_slice(&chunk);
        if bytes.len() > DOWNLOAD_BYTES_MAX {
            bail!("`{url}` is larger than a manifest may be ({DOWNLOAD_BYTES_MAX} bytes)");
        }
    }
    let text = String::from_utf8(bytes).with_context(|| format!("`{url}` is not text"))?;
    Ok(manifest::parse(&text, url))
}
