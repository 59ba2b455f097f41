//! The local node beside a host: whether this machine becomes one, what of the sample runs on it, and
//! the hidden commands that keep its containers.

pub mod stop;
mod tether;

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::net::SocketAddr;
use std::num::NonZeroU8;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use bayplan::config::env::Environment;
use bayplan::config::fleet::{self, Fleet};
use bayplan::config::paths::Paths;
use bayplan::connect::apply::ApplyOptions;
use bayplan::connect::{self, Access};
use bayplan::k8s::lab;
use bayplan::node::able;
use bayplan::node::collect;
use bayplan::node::container::exec::{self, Ask};
use bayplan::node::container::{PAUSE_COMMAND, SHIM_COMMAND, keeper, pause, shim};
use bayplan::node::face::Face;
use bayplan::node::image::own;
use bayplan::node::kubelet::{self, Among, Options};
use bayplan::node::line::Line;
use bayplan::node::network::{Range, Seat};
use bayplan::node::outage::Watched;
use bayplan::node::usage::Measured;
use bayplan::serve::logs::{Bounds, Logs};
use bayplan::serve::nodes::Nodes;
use bayplan::serve::{Companion, Connector};
use clap::Args;
use futures::FutureExt;
use k8s_openapi::api::core::v1::Node;
use kube::api::{Api, Patch, PatchParams};
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use crate::telemetry;
use tether::Tether;

/// Run a command in a container: this binary's own affair.
#[derive(Args, Debug)]
pub struct Exec {
    /// It can be spoken to
    #[arg(long)]
    stdin: bool,
    /// It has a terminal
    #[arg(long)]
    terminal: bool,
    folder: PathBuf,
    #[arg(last = true, required = true)]
    command: Vec<String>,
}

/// Keeps a container, or a pod's processes, if the program was called for that. These processes live
/// as long as what they keep, and there are many: they come before everything that leaves something in memory.
pub fn keep() -> Option<ExitCode> {
    let given: Vec<OsString> = std::env::args_os().skip(1).collect();
    let (command, step, folder) = match given.as_slice() {
        [command, folder] => (command.to_str()?, None, Path::new(folder)),
        [command, step, folder] => (command.to_str()?, Some(step.to_str()?), Path::new(folder)),
        _ => return None,
    };
    // Nothing is logged: what the runtime writes before the container's command runs would land in
    // the container's own log.
    let done = match (command, step) {
        (SHIM_COMMAND, None) => shim::detach(folder),
        (SHIM_COMMAND, Some(shim::MAKE)) => Ok(shim::run(folder)),
        (SHIM_COMMAND, Some(keeper::KEEP)) => Ok(keeper::run(folder)),
        (PAUSE_COMMAND, None) => pause::detach(folder),
        (PAUSE_COMMAND, Some(pause::KEEP)) => pause::run(folder),
        _ => return None,
    };
    Some(done.unwrap_or_else(|error| {
        telemetry::report(&error.into());
        ExitCode::FAILURE
    }))
}

pub fn run_exec(command: &Exec) -> ExitCode {
    let ask = Ask {
        command: command.command.clone(),
        stdin: command.stdin,
        terminal: command.terminal,
    };
    exec::run(&command.folder, &ask)
}

/// Whether this machine is to be a node, or several.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wish {
    Always(NonZeroU8),
    /// Beside the standard sample of a cluster that is kept, where the machine can.
    WhereItCan,
    Never,
}

impl Wish {
    /// As `--local-nodes` and `--no-local-node` say.
    pub fn of(nodes: Option<NonZeroU8>, is_refused: bool) -> Self {
        match (nodes, is_refused) {
            (_, true) => Self::Never,
            (Some(nodes), false) => Self::Always(nodes),
            (None, false) => Self::WhereItCan,
        }
    }

    fn nodes(self) -> NonZeroU8 {
        match self {
            Self::Always(nodes) => nodes,
            Self::WhereItCan | Self::Never => NonZeroU8::MIN,
        }
    }
}

/// How long after the first picture the node begins: what the picture is completed with comes first.
const SETTLED: Duration = Duration::from_millis(300);
/// How long a node may take to be registered before the sample on it is given up.
const REGISTERED: Duration = Duration::from_mins(1);
const LOOK: Duration = Duration::from_millis(200);
/// On a node whose sample was planted: who takes the sample away does not get it again.
const PLANTED: &str = "bayplan.dev/sample";

/// The nodes of this machine, beside each host that is opened with them. They leave their containers
/// running when they end; the next ones find them. They wait for `shown`, if there is anything to.
pub fn companion(wish: Wish, shown: Option<&CancellationToken>) -> Option<Companion> {
    if wish == Wish::Never {
        return None;
    }
    let shown = shown.cloned();
    Some(Companion::new(move |host| {
        let is_kept = host.folder().is_some();
        if wish == Wish::WhereItCan && !is_kept {
            return async {}.boxed();
        }
        let place = Place {
            client: connect::in_process(host, Access::ReadWrite),
            connector: host.connector(),
            nodes: host.nodes().clone(),
            logs: host.logs().clone(),
            bounds: host.log_bounds(),
            run: host.folder().map_or_else(
                || Path::new("/run/bayplan").join(host.cluster()),
                |folder| folder.join("node"),
            ),
            api: host.address(),
        };
        let shown = shown.clone();
        async move {
            if let Some(shown) = shown {
                shown.cancelled().await;
                tokio::time::sleep(SETTLED).await;
            }
            if let Err(error) = Box::pin(live(place, wish)).await {
                tracing::warn!("this machine is no node: {}", telemetry::sentence(&error));
            }
        }
        .boxed()
    }))
}

/// Where nodes are to live.
#[derive(Clone)]
struct Place {
    /// Over a connection that no outage cuts.
    client: kube::Client,
    connector: Connector,
    nodes: Nodes,
    logs: Logs,
    bounds: Bounds,
    run: PathBuf,
    /// Where the API server listens on this machine.
    api: Option<SocketAddr>,
}

async fn live(place: Place, wish: Wish) -> Result<()> {
    let pools = pools(&place.client).await?;
    let is_standard = Fleet::standard()
        .pools
        .iter()
        .all(|pool| pools.contains(&pool.name.to_string()));
    if wish == Wish::WhereItCan && !is_standard {
        return Ok(());
    }
    let run = place.run.clone();
    tokio::task::spawn_blocking(move || {
        std::fs::create_dir_all(&run).with_context(|| format!("`{}`", run.display()))?;
        Ok::<_, anyhow::Error>(able::check(&run)?)
    })
    .await??;
    // A cluster that keeps nothing has its lines for as long as its node's folder.
    place.logs.place(place.run.join("lines"), place.bounds);
    let names = names(wish.nodes());
    let underlay = place.run.join("netns").join("underlay");
    if names.len() > 1 {
        let underlay = underlay.clone();
        tokio::task::spawn_blocking(move || Seat::prepare(&underlay)).await??;
    }
    let images = Paths::resolve()?.data.join("images");
    let mut locals = Vec::new();
    for (index, name) in names.iter().enumerate() {
        let line = Line::default();
        let tether = Tether {
            connector: place.connector.clone(),
            line: line.clone(),
        };
        let options = Options {
            name: name.clone(),
            client: connect::in_process_over(tether, Access::ReadWrite),
            images: images.clone(),
            run: home(&place.run, names.len(), index),
            api: place.api,
            auth_files: Environment::read().auth_files,
            reserved: !pools.is_empty(),
            line,
            among: Among {
                names: names.clone(),
                index,
                underlay: underlay.clone(),
            },
        };
        let range = kubelet::register(&place.client, &options).await?;
        locals.push((options, range));
    }
    let ranges: Vec<Range> = locals.iter().map(|(_, range)| *range).collect();
    let sample = async {
        if is_standard
            && let Some(first) = names.first()
            && let Err(error) = plant(&place.client, first).await
        {
            tracing::warn!(
                "the sample's kiosk is not there: {}",
                telemetry::sentence(&error)
            );
        }
        std::future::pending::<()>().await;
    };
    let lives = locals
        .into_iter()
        .map(|(options, _)| Box::pin(one(&place, options, ranges.clone())));
    tokio::select! {
        biased;
        result = futures::future::try_join_all(lives) => result.map(drop),
        () = sample => Ok(()),
    }
}

/// One node of the machine, for ever.
async fn one(place: &Place, options: Options, ranges: Vec<Range>) -> Result<()> {
    let (name, run, line) = (
        options.name.clone(),
        options.run.clone(),
        options.line.clone(),
    );
    let measured = if ranges.len() > 1 {
        Measured::Pods(run.join("pods"))
    } else {
        Measured::Machine
    };
    let face = Arc::new(Face::new(&run, line.clone(), measured));
    let known = Arc::clone(&face);
    place.nodes.register(name.as_str().into(), known);
    let watched = Watched {
        client: place.client.clone(),
        node: name.clone(),
        seat: options.among.seat(&ranges),
        line: line.clone(),
    };
    // A node that was cut off when it ended is cut off when it begins.
    watched.look().await?;
    let collected = line.carry(collect::run(
        place.logs.clone(),
        place.client.clone(),
        &run,
        &name,
    ));
    tokio::select! {
        biased;
        result = kubelet::run(options, ranges) => Ok(result?),
        () = watched.follow() => Ok(()),
        () = face.meter().run() => Ok(()),
        () = collected => Ok(()),
    }
}

/// What the nodes are called: as the machine, with a number where there are several.
fn names(nodes: NonZeroU8) -> Vec<String> {
    let host = host_name();
    match nodes.get() {
        1 => vec![host],
        several => (0..several)
            .map(|index| format!("{host}-{index}"))
            .collect(),
    }
}

/// The folder of a node: that of the cluster's node, or one below where there are several.
fn home(run: &Path, nodes: usize, index: usize) -> PathBuf {
    if nodes > 1 {
        run.join(index.to_string())
    } else {
        run.to_path_buf()
    }
}

/// The names of the cluster's pools of simulated machines.
async fn pools(client: &kube::Client) -> Result<Vec<String>> {
    let path = format!("/apis/{}/nodepools", lab::API_VERSION);
    let request = http::Request::get(path).body(Vec::new())?;
    let list: Value = client.request(request).await?;
    let items = list.get("items").and_then(Value::as_array);
    let name = |item: &Value| Some(item.pointer("/metadata/name")?.as_str()?.to_owned());
    Ok(items.into_iter().flatten().filter_map(name).collect())
}

/// Applies the part of the sample that really runs, once in a node's life.
async fn plant(client: &kube::Client, name: &str) -> Result<()> {
    let nodes: Api<Node> = Api::all(client.clone());
    let within = tokio::time::timeout(REGISTERED, async {
        loop {
            if let Some(node) = nodes.get_opt(name).await? {
                return Ok::<_, kube::Error>(node);
            }
            tokio::time::sleep(LOOK).await;
        }
    });
    let node = within.await.context("the node was not registered")??;
    let is_planted = |notes: &BTreeMap<String, String>| notes.contains_key(PLANTED);
    if node.metadata.annotations.as_ref().is_some_and(is_planted) {
        return Ok(());
    }
    let kiosk = fleet::kiosk(&own::name());
    let options = ApplyOptions {
        namespace: None,
        dry_run: false,
    };
    let refused = super::apply::send(client, kiosk, &options, |line| {
        tracing::debug!("{}", line.trim_end());
    })
    .await?;
    anyhow::ensure!(refused == 0, "{refused} of its objects were refused");
    let patch = json!({"metadata": {"annotations": {PLANTED: "planted"}}});
    let parameters = PatchParams::default();
    nodes.patch(name, &parameters, &Patch::Merge(patch)).await?;
    Ok(())
}

fn host_name() -> String {
    let name = rustix::system::uname();
    name.nodename().to_string_lossy().to_lowercase()
}
