//! `bayplan serve`: the embedded cluster without a screen.

use std::num::NonZeroU8;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result, bail};
use bayplan::config::env::Environment;
use bayplan::config::manifest::Manifests;
use bayplan::config::paths::Paths;
use bayplan::connect::apply::ApplyOptions;
use bayplan::connect::{self, Access};
use bayplan::k8s::quantity::Quantity;
use bayplan::sched::Configuration;
use bayplan::serve::logs::Bounds;
use bayplan::serve::ship::{self, Pace, Target};
use bayplan::serve::{Host, HostOptions, kubeconfig};
use bayplan::stdx::rng::Stream;

use super::node::{self, Wish};
use super::{apply, fleet};
use crate::telemetry;

const MEMORY: &str = ":memory:";

pub fn run(command: super::Serve) -> Result<ExitCode> {
    let environment = Environment::read();
    telemetry::log_to_stderr(environment.log_filter.as_deref());
    super::runtime()?.block_on(serve(command))
}

async fn serve(command: super::Serve) -> Result<ExitCode> {
    let stop = super::termination()?;
    let manifests = apply::load_all(&command.apply)?;
    let folder = match command.data {
        Some(folder) if folder.as_os_str() == MEMORY => None,
        Some(folder) => Some(folder),
        None => Some(Paths::resolve()?.cluster(super::cluster_name(&command.cluster)?)),
    };
    let wish = Wish::of(
        command
            .local_nodes
            .or_else(|| command.local_node.then_some(NonZeroU8::MIN)),
        command.no_local_node,
    );
    let logs = log_bounds(&command.log_size, &command.log_age)?;
    let options = HostOptions {
        cluster: command.cluster,
        folder,
        command: "bayplan serve".to_owned(),
        listen: Some(command.listen),
        seed: fleet::seed(command.fleet.as_deref())?,
        scheduler: command
            .scheduler_config
            .as_deref()
            .map(scheduler)
            .transpose()?,
        companion: node::companion(wish, None),
        logs,
    };
    let host = Host::open(options).await?;
    for target in command.ship_logs {
        ship_logs(&host, target);
    }
    let outcome = run_until_stopped(&host, command.write_kubeconfig, manifests, stop).await;
    // What was acknowledged is on disk either way; stopping closes the store properly.
    let stopped = host.stop().await;
    // Why it stopped says more than that it did.
    stopped?;
    outcome?;
    Ok(ExitCode::SUCCESS)
}

/// Passes the lines of the log store on until the host stops.
fn ship_logs(host: &Host, target: Target) {
    let Some(folder) = host.folder().map(Path::to_path_buf) else {
        tracing::warn!(%target, "no logs are shipped: a cluster in memory keeps none");
        return;
    };
    let seed = u64::from(std::process::id());
    let jitter = Stream::new(seed, "log shipping");
    let (logs, stop) = (host.logs().clone(), host.stopped().clone());
    tokio::spawn(ship::run(
        logs,
        target,
        folder,
        Pace::default(),
        jitter,
        stop,
    ));
}

fn log_bounds(size: &str, age: &str) -> Result<Bounds> {
    let bytes = Quantity::parse(size)
        .with_context(|| format!("--log-size: `{size}` is no size; write 512Mi or 2Gi"))?;
    let bytes = u64::try_from(bytes.value()).unwrap_or(0);
    Ok(Bounds {
        bytes,
        age: super::logs::span(age).with_context(|| format!("--log-age {age}"))?,
    })
}

fn scheduler(path: &Path) -> Result<Configuration> {
    let text = std::fs::read_to_string(path)
        .with_context(|| format!("`{}` cannot be read", path.display()))?;
    Configuration::parse(&text)
        .with_context(|| format!("`{}` is no scheduler configuration", path.display()))
}

async fn run_until_stopped(
    host: &Host,
    write_kubeconfig: Option<PathBuf>,
    manifests: Manifests,
    stop: impl Future<Output = ()>,
) -> Result<()> {
    if let Some(path) = write_kubeconfig {
        let document = host
            .kubeconfig()?
            .context("the cluster has no TLS address")?;
        kubeconfig::write(&path, &document)?;
    }
    apply_manifests(host, manifests).await?;
    let server = host
        .server_url()
        .context("the cluster has no TLS address")?;
    super::print(format!("ready {server}\n").as_bytes())?;
    tokio::select! {
        biased;
        () = host.stopped().cancelled() => bail!("the control plane stopped by itself"),
        () = stop => Ok(()),
    }
}

/// What is refused is named on the standard error; the cluster serves the rest all the same.
async fn apply_manifests(host: &Host, manifests: Manifests) -> Result<()> {
    if manifests.documents.is_empty() && manifests.problems.is_empty() {
        return Ok(());
    }
    let client = connect::in_process(host, Access::ReadWrite);
    let options = ApplyOptions {
        namespace: None,
        dry_run: false,
    };
    apply::send(&client, manifests, &options, |line| {
        tracing::info!("{}", line.trim_end());
    })
    .await?;
    Ok(())
}
