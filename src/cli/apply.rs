//! `bayplan apply`: manifests from files, folders, URLs and the standard input.

use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use bayplan::config::env::Environment;
use bayplan::config::manifest;
use bayplan::connect::apply::{ApplyOptions, Item, Report, apply};
use bayplan::connect::{Access, Session};

use crate::telemetry;

/// A manifest may be large, a page by mistake endless.
const DOWNLOAD_BYTES_MAX: usize = 64 << 20;
const DOWNLOAD_TIMEOUT: Duration = Duration::from_secs(60);
const EXTENSIONS: &[&str] = &["yaml", "yml", "json"];

/// The text of one manifest and where it came from.
pub struct Source {
    pub name: String,
    pub text: String,
}

pub fn run(command: super::Apply) -> Result<ExitCode> {
    let environment = Environment::read();
    telemetry::log_to_stderr(environment.log_filter.as_deref());
    super::runtime()?.block_on(run_async(command))
}

async fn run_async(command: super::Apply) -> Result<ExitCode> {
    let mut sources = Vec::new();
    for name in &command.filename {
        match name.as_str() {
            "-" => sources.push(read_stdin()?),
            url if url.starts_with("https://") || url.starts_with("http://") => {
                sources.push(download(url).await?);
            }
            path => sources.extend(read_path(Path::new(path))?),
        }
    }
    let target = super::target(&command.target, "bayplan apply")?;
    let namespace = command.namespace.clone();
    let session = Session::open(target, Access::ReadWrite, namespace.clone()).await?;
    let options = ApplyOptions {
        namespace,
        dry_run: command.dry_run,
    };
    let failures = send(session.client(), sources, &options).await;
    session.close().await;
    failures.map(|failures| {
        if failures == 0 {
            ExitCode::SUCCESS
        } else {
            ExitCode::FAILURE
        }
    })
}

/// Applies the sources and prints what became of each object; the number of failures.
pub async fn send(
    client: &kube::Client,
    sources: Vec<Source>,
    options: &ApplyOptions,
) -> Result<usize> {
    let mut failures = 0;
    let mut items = Vec::new();
    for source in sources {
        for document in manifest::parse(&source.name, &source.text) {
            match document {
                Ok(document) => items.push(Item {
                    origin: format!("{}:{}", source.name, document.line),
                    object: document.object,
                }),
                Err(error) => {
                    failures += 1;
                    telemetry::report(&anyhow::Error::new(error));
                }
            }
        }
    }
    if items.is_empty() && failures == 0 {
        bail!("no objects were found in what was given");
    }
    let mut printed = Ok(());
    apply(client, items, options, |report| {
        if let Err(error) = show(&report, options.dry_run, &mut failures) {
            printed = Err(error);
        }
    })
    .await;
    printed.map(|()| failures)
}

fn show(report: &Report, dry_run: bool, failures: &mut usize) -> Result<()> {
    let Report {
        origin,
        name,
        outcome,
    } = report;
    match outcome {
        Ok(verdict) => {
            let suffix = if dry_run { " (server dry run)" } else { "" };
            super::print(format!("{name} {}{suffix}\n", verdict.word()).as_bytes())
        }
        Err(notice) => {
            *failures += 1;
            telemetry::report(&anyhow::anyhow!("{origin}: {name}: {notice}"));
            Ok(())
        }
    }
}

/// Reads files and folders named on the command line.
pub fn read_local(paths: &[PathBuf]) -> Result<Vec<Source>> {
    let mut sources = Vec::new();
    for path in paths {
        sources.extend(read_path(path)?);
    }
    Ok(sources)
}

/// A file, or every manifest right inside a folder in the order of names, as kubectl takes them.
fn read_path(path: &Path) -> Result<Vec<Source>> {
    let shown = path.display();
    let metadata =
        std::fs::metadata(path).with_context(|| format!("`{shown}` cannot be read"))?;
    if !metadata.is_dir() {
        return Ok(vec![read_file(path)?]);
    }
    let mut files: Vec<PathBuf> = std::fs::read_dir(path)
        .and_then(|entries| entries.map(|entry| Ok(entry?.path())).collect())
        .with_context(|| format!("folder `{shown}` cannot be read"))?;
    files.retain(|file| {
        let extension = file.extension().and_then(|extension| extension.to_str());
        file.is_file() && extension.is_some_and(|extension| EXTENSIONS.contains(&extension))
    });
    files.sort();
    if files.is_empty() {
        bail!("folder `{shown}` holds no .yaml, .yml or .json file");
    }
    files.iter().map(|file| read_file(file)).collect()
}

fn read_file(path: &Path) -> Result<Source> {
    let name = path.display().to_string();
    let text = std::fs::read_to_string(path).with_context(|| format!("`{name}` cannot be read"))?;
    Ok(Source { name, text })
}

fn read_stdin() -> Result<Source> {
    let mut text = String::new();
    std::io::stdin()
        .read_to_string(&mut text)
        .context("the standard input cannot be read")?;
    Ok(Source {
        name: "<stdin>".to_owned(),
        text,
    })
}

async fn download(url: &str) -> Result<Source> {
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
    Ok(Source {
        name: url.to_owned(),
        text,
    })
}
