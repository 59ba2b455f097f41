//! The command line: arguments as types, one file a command.
//!
//! The names and meanings here are kept stable: scripts rely on them.

use std::io::Write;
use std::net::SocketAddr;
use std::num::NonZeroU8;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, Result, bail};
use bayplan::config::env::Environment;
use bayplan::config::paths::Paths;
use bayplan::connect::Target;
use bayplan::serve::{HostOptions, Seed};
use clap::{Args, CommandFactory, FromArgMatches, Parser, Subcommand, ValueEnum};

use crate::telemetry;

mod apply;
mod completions;
mod console;
mod fleet;
mod image;
mod logs;
mod node;
mod plan;
mod registry;
mod sample_app;
mod serve;
mod snapshot;

const DEFAULT_CLUSTER: &str = "default";

/// A terminal operations console around an embedded, Kubernetes-compatible control plane.
#[derive(Parser, Debug)]
#[command(
    name = "bayplan",
    version,
    args_conflicts_with_subcommands = true,
    after_help = "Examples:
  bayplan                                   open the console on the embedded cluster `default`
  bayplan domains --cluster staging         open another embedded cluster at one view
  bayplan --context prod --read-only        look at a real cluster without being able to change it
  bayplan --context prod-eu,prod-us         two clusters side by side in pulse and domains
  bayplan serve --write-kubeconfig kc.yaml  the same cluster without a screen, for kubectl
  bayplan apply -f shop/                    send manifests to the embedded cluster

`bayplan help COMMAND` says more about a command."
)]
pub struct Arguments {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    console: Console,
}

#[derive(Subcommand, Debug)]
enum Command {
    Serve(Serve),
    Apply(Apply),
    Fleet(Fleet),
    Plan(Box<Plan>),
    Snapshot(Snapshot),
    Completions(Completions),
    Image(image::Image),
    Registry(registry::Registry),
    Logs(logs::Logs),
    Node(node::stop::Node),
    #[command(name = bayplan::node::container::EXEC_COMMAND, hide = true)]
    Exec(node::Exec),
    #[command(name = bayplan::node::image::own::COMMAND, hide = true)]
    SampleApp(sample_app::SampleApp),
}

/// Open the console (also without a command).
#[derive(Args, Debug)]
struct Console {
    /// Where to start: pulse, bays, domains, workloads, pods, logs, timeline, queue, services, objects
    view: Option<String>,
    #[command(flatten)]
    target: TargetArguments,
    /// Work in a rehearsal that was saved, without any cluster
    #[arg(long, value_name = "FILE", conflicts_with_all = ["cluster", "context", "kubeconfig"])]
    rehearsal: Option<PathBuf>,
    #[command(flatten)]
    scope: Scope,
    /// Take away every way to change something, in the console and in the client under it
    #[arg(long)]
    read_only: bool,
    /// Run no containers on this machine; where it can, it is a node of the sample cluster otherwise
    #[arg(long)]
    no_local_node: bool,
    /// Make this machine so many nodes that run pods as real containers, each in a rack that can be
    /// cut off (needs root)
    #[arg(long, value_name = "N", value_parser = local_nodes, conflicts_with = "no_local_node")]
    local_nodes: Option<NonZeroU8>,
    #[command(flatten)]
    look: Look,
}

/// Which cluster a command talks to.
#[derive(Args, Debug, Clone)]
struct TargetArguments {
    /// The embedded cluster; joined if another process has it open [default: default]
    #[arg(long, value_name = "NAME", conflicts_with_all = ["context", "kubeconfig"])]
    cluster: Option<String>,
    /// A context of the kubeconfig: a real cluster; several (`a,b`) are shown side by side in pulse
    /// and domains, and the console works in the first
    #[arg(long, value_name = "CTX[,CTX]", value_delimiter = ',')]
    context: Vec<String>,
    /// The kubeconfig to read instead of $KUBECONFIG or ~/.kube/config
    #[arg(long, value_name = "FILE")]
    kubeconfig: Option<PathBuf>,
}

#[derive(Args, Debug, Clone)]
struct Scope {
    /// Only this namespace
    #[arg(short, long, value_name = "NS")]
    namespace: Option<String>,
    /// All namespaces
    #[arg(short = 'A', long, conflicts_with = "namespace")]
    all_namespaces: bool,
}

#[derive(Args, Debug, Clone)]
struct Look {
    /// The theme's name
    #[arg(long, value_name = "NAME")]
    theme: Option<String>,
    /// Draw with ASCII characters only
    #[arg(long)]
    ascii: bool,
}

/// How many nodes a machine can sensibly be.
const LOCAL_NODES_MAX: u8 = 16;

fn local_nodes(text: &str) -> Result<NonZeroU8, String> {
    let number = text.parse::<NonZeroU8>().ok();
    number
        .filter(|number| number.get() <= LOCAL_NODES_MAX)
        .ok_or_else(|| format!("write a number from 1 to {LOCAL_NODES_MAX}"))
}

/// Run the embedded cluster without a screen, for kubectl and for consoles that join.
///
/// Prints one line, `ready https://ADDRESS:PORT`, when it serves; stops on SIGTERM and SIGINT.
#[derive(Args, Debug)]
#[command(after_help = "Examples:
  bayplan serve --write-kubeconfig kc.yaml
  kubectl --kubeconfig kc.yaml get nodes,pods -A
  bayplan serve --ship-logs loki=http://logs.example.org:3100 --log-size 4Gi --log-age 30d
  bayplan serve --data :memory: --fleet none --apply shop.yaml --listen 127.0.0.1:0")]
struct Serve {
    /// The cluster's name
    #[arg(long, value_name = "NAME", default_value = "default")]
    cluster: String,
    /// Where the cluster is kept, instead of the XDG data directory; `:memory:` keeps nothing
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
    /// The machines of a new cluster; `none` for a cluster without machines
    #[arg(long, value_name = "FILE")]
    fleet: Option<PathBuf>,
    /// Where the API is served; port 0 takes a free one
    #[arg(long, value_name = "ADDR:PORT", default_value = "127.0.0.1:6443")]
    listen: SocketAddr,
    /// Write a kubeconfig with an administrator's certificate
    #[arg(long, value_name = "FILE")]
    write_kubeconfig: Option<PathBuf>,
    /// Apply manifests before being ready
    #[arg(long, value_name = "FILE|DIR")]
    apply: Vec<PathBuf>,
    /// A `KubeSchedulerConfiguration`: profiles, plugins and their arguments
    #[arg(long, value_name = "FILE")]
    scheduler_config: Option<PathBuf>,
    /// Make this machine a node that runs pods as real containers (needs root); without this and
    /// the next it becomes one where it can, beside the sample's machines
    #[arg(long, conflicts_with = "no_local_node")]
    local_node: bool,
    /// Make this machine so many nodes, each with a network of its own, joined by an overlay, in a
    /// rack that can be cut off (needs root)
    #[arg(long, value_name = "N", value_parser = local_nodes,
        conflicts_with_all = ["no_local_node", "local_node"])]
    local_nodes: Option<NonZeroU8>,
    /// Run no containers on this machine
    #[arg(long)]
    no_local_node: bool,
    /// How much of the containers' lines is kept on disk
    #[arg(long, value_name = "SIZE", default_value = "1Gi")]
    log_size: String,
    /// Pass the containers' lines on: loki=http://HOST:3100, elasticsearch=http://HOST:9200/INDEX
    #[arg(long, value_name = "KIND=URL")]
    ship_logs: Vec<bayplan::serve::ship::Target>,
    /// How long the containers' lines are kept
    #[arg(long, value_name = "SPAN", default_value = "7d")]
    log_age: String,
}

/// Send manifests to a cluster: custom resource definitions and namespaces first, then the rest.
///
/// Prints what became of each object. An object that is refused is named with its file and line,
/// and the others still go; the exit code is then 1.
#[derive(Args, Debug)]
#[command(after_help = "Examples:
  bayplan apply -f shop.yaml
  bayplan apply -f manifests/ -n staging --cluster staging
  bayplan apply -f https://example.org/app.yaml --context prod --dry-run
  kustomize build . | bayplan apply -f -")]
struct Apply {
    /// A file, a folder, a URL, or `-` for the standard input; may be given several times
    #[arg(
        short,
        long = "filename",
        value_name = "FILE|DIR|URL|-",
        required = true
    )]
    filename: Vec<String>,
    #[command(flatten)]
    target: TargetArguments,
    /// The namespace of objects that name none
    #[arg(short, long, value_name = "NS")]
    namespace: Option<String>,
    /// Let the server check everything and change nothing
    #[arg(long)]
    dry_run: bool,
}

/// Rehearse a change on a copy of a cluster, in virtual time, and say what would come of it.
///
/// Nothing is written to the cluster. Steps are taken in the order in which they are given; after
/// each, time runs on until everything has settled. Exit code 0: nothing falls below its target;
/// 2: something does; 1: an error.
#[derive(Args, Debug)]
#[command(after_help = "Examples:
  bayplan plan --context prod --drain a01-h17
  bayplan plan --context prod --lose zone=eu-west-1b --allow-dip 60s -o markdown
  bayplan plan --cluster staging --scale deploy/cart=20 -n shop --wait 10m --lose rack=b07
  kubectl get nodes,pods,deploy,rs,sts,ds,controllerrevisions,pdb,svc,pc,pvc,pv -A -o json > dump.json
  bayplan plan --from-dump dump.json --drain a01-h17 --save drain.rehearsal
  bayplan plan --open drain.rehearsal -o json
  bayplan plan --context prod --compact                # needs 212 of 312 machines; which moves free some
  bayplan plan --context prod --rebalance machines --allow-dip 60s
  bayplan plan --from-dump dump.json --rebalance 'spread rack' -o markdown
  bayplan plan --from-dump dump.json --step 'set deploy/cart spread rack=1 -n shop' -f new.yaml

Steps, with --step TEXT, or one a line in a file with --steps FILE:
  drain NODE · cordon NODE · uncordon NODE · remove NODE
  lose LEVEL=VALUE · restore LEVEL=VALUE    (node, rack, zone, region, power or a node label)
  add COUNT like NODE · add COUNT of INSTANCE-TYPE
  scale KIND/NAME=REPLICAS · evict POD      (each with -n NAMESPACE)
  set KIND/NAME requests|limits [CONTAINER:]cpu=500m,memory=1Gi
  set KIND/NAME image [CONTAINER=]IMAGE
  set KIND/NAME spread LEVEL=SKEW [soft] · set KIND/NAME apart LEVEL [soft]
  patch KIND/NAME JSON · apply FILE · pack most|least|balanced|gpus · wait DURATION
  rebalance machines [emptydir] · rebalance spread [LEVEL] [emptydir]")]
struct Plan {
    #[command(flatten)]
    target: TargetArguments,
    /// Read the cluster from what `kubectl get -A -o yaml|json` printed: a file, a folder or `-`
    #[arg(long, value_name = "FILE|DIR|-", conflicts_with_all = ["cluster", "context", "kubeconfig"])]
    from_dump: Vec<PathBuf>,
    /// Take a saved rehearsal again; steps that are given follow its own
    #[arg(long, value_name = "FILE", conflicts_with_all = ["cluster", "context", "kubeconfig", "from_dump"])]
    open: Option<PathBuf>,
    /// Two saved rehearsals taken again, side by side; what the second does decides the exit code
    #[arg(long, num_args = 2, value_names = ["FILE", "FILE"], conflicts_with_all = ["cluster", "context", "kubeconfig", "from_dump", "open"])]
    compare: Vec<PathBuf>,
    /// Where workloads, pods and manifests are that name no namespace
    #[arg(short, long, value_name = "NS")]
    namespace: Option<String>,
    /// Cordon a node and evict its pods, as far as budgets allow
    #[arg(long, value_name = "NODE", help_heading = "Steps")]
    drain: Vec<String>,
    #[arg(long, value_name = "NODE", help_heading = "Steps")]
    cordon: Vec<String>,
    #[arg(long, value_name = "NODE", help_heading = "Steps")]
    uncordon: Vec<String>,
    /// Take the power from a failure domain: node=a01, rack=b07, zone=eu-1b, …
    #[arg(long, value_name = "LEVEL=VALUE", help_heading = "Steps")]
    lose: Vec<String>,
    #[arg(long, value_name = "LEVEL=VALUE", help_heading = "Steps")]
    restore: Vec<String>,
    /// Add machines: '3 like a01', '2 of m6i.large'
    #[arg(long, value_name = "MACHINES", help_heading = "Steps")]
    add: Vec<String>,
    /// Delete a node
    #[arg(long, value_name = "NODE", help_heading = "Steps")]
    remove: Vec<String>,
    #[arg(long, value_name = "KIND/NAME=N", help_heading = "Steps")]
    scale: Vec<String>,
    /// Change a pod template: 'deploy/cart requests cpu=1'
    #[arg(long, value_name = "SETTING", help_heading = "Steps")]
    set: Vec<String>,
    /// A strategic merge patch: 'deploy/cart {…}'
    #[arg(long, value_name = "PATCH", help_heading = "Steps")]
    patch: Vec<String>,
    #[arg(long, value_name = "POD", help_heading = "Steps")]
    evict: Vec<String>,
    /// Apply a manifest
    #[arg(short = 'f', long, value_name = "FILE|DIR", help_heading = "Steps")]
    filename: Vec<String>,
    /// From here on the scheduler prefers full, empty or evenly used machines, or packs shared GPUs
    #[arg(long, value_name = "most|least|balanced|gpus", help_heading = "Steps")]
    pack: Vec<String>,
    /// Carry out the rebalancer's moves, wave by wave: machines, spread, 'spread rack'
    #[arg(long, value_name = "machines|spread", help_heading = "Steps")]
    rebalance: Vec<String>,
    /// Let virtual time pass
    #[arg(long, value_name = "DURATION", help_heading = "Steps")]
    wait: Vec<String>,
    /// Any step as text
    #[arg(long, value_name = "TEXT", help_heading = "Steps")]
    step: Vec<String>,
    /// Steps from a file, one a line
    #[arg(long, value_name = "FILE", help_heading = "Steps")]
    steps: Vec<PathBuf>,
    /// How few machines the workload needs after the steps, and the moves that free machines
    ///
    /// Pods that keep things in emptyDir volumes stay, unless `emptydir` gives these up.
    #[arg(long, value_name = "emptydir", value_parser = ["", "emptydir"], hide_possible_values = true, num_args = 0..=1,
        require_equals = true, default_missing_value = "")]
    compact: Option<String>,
    /// What recovers within this long has not fallen below its target
    #[arg(long, value_name = "DURATION")]
    allow_dip: Option<String>,
    /// What is left to chance follows from it [default: 0, or the saved one]
    #[arg(long, value_name = "N")]
    seed: Option<u64>,
    #[arg(short, long, value_enum, default_value = "table")]
    output: PlanFormat,
    /// Write objects, steps and seed to a file for --open; secrets are never in it
    #[arg(long, value_name = "FILE")]
    save: Option<PathBuf>,
    /// Replace all names in the saved file
    #[arg(long, requires = "save")]
    pseudonymise: bool,
}

#[derive(ValueEnum, Clone, Copy, Debug, PartialEq, Eq)]
enum PlanFormat {
    Table,
    Json,
    Markdown,
}

/// Fleet files: the machines of an embedded cluster.
#[derive(Args, Debug)]
#[command(after_help = "Examples:
  bayplan fleet check fleet.yaml")]
struct Fleet {
    #[command(subcommand)]
    command: FleetCommand,
}

#[derive(Subcommand, Debug)]
enum FleetCommand {
    /// Read a fleet file and say what it describes, or what is wrong with it
    Check {
        #[arg(value_name = "FILE")]
        file: PathBuf,
    },
}

/// Write one frame of a view to the standard output; no terminal is needed.
#[derive(Args, Debug)]
#[command(after_help = "Examples:
  bayplan snapshot bays --size 120x36
  bayplan snapshot domains -o png --size 160x48 > domains.png
  bayplan snapshot pulse --context prod-eu,prod-us
  bayplan snapshot workloads --context prod -o svg --color 256 > workloads.svg")]
struct Snapshot {
    /// pulse, bays, domains, workloads, pods, logs, timeline, queue, services, objects
    view: String,
    /// Columns x rows
    #[arg(long, value_name = "WxH", default_value = "120x36")]
    size: String,
    #[arg(short, long, value_enum, default_value = "txt")]
    output: SnapshotFormat,
    /// Colours, where the format has any
    #[arg(long, value_enum, default_value = "true")]
    color: SnapshotColor,
    /// Keys to press first, separated by blanks: `j j enter`, `ctrl-d`
    #[arg(long, value_name = "KEYS", default_value = "")]
    keys: String,
    #[command(flatten)]
    target: TargetArguments,
    #[command(flatten)]
    scope: Scope,
    #[command(flatten)]
    look: Look,
}

#[derive(ValueEnum, Clone, Copy, Debug, PartialEq, Eq)]
enum SnapshotFormat {
    Txt,
    Ansi,
    Svg,
    Png,
}

#[derive(ValueEnum, Clone, Copy, Debug, PartialEq, Eq)]
enum SnapshotColor {
    None,
    #[value(name = "16")]
    Sixteen,
    #[value(name = "256")]
    Indexed,
    True,
}

/// Print a completion script for a shell.
#[derive(Args, Debug)]
#[command(after_help = "Examples:
  bayplan completions bash > ~/.local/share/bash-completion/completions/bayplan
  bayplan completions zsh > ~/.zfunc/_bayplan")]
struct Completions {
    #[arg(value_enum)]
    shell: clap_complete::Shell,
}

/// Parses the arguments and does what they say. Usage errors end the process with code 2, those of
/// `plan` with code 1, because 2 is one of its answers.
pub fn run() -> ExitCode {
    if let Some(code) = sample_app::tools::run_as_named().or_else(node::keep) {
        return code;
    }
    let matches = match Arguments::command().try_get_matches() {
        Ok(matches) => matches,
        Err(error) if error.use_stderr() && std::env::args().nth(1).as_deref() == Some("plan") => {
            let _unread = error.print();
            return ExitCode::FAILURE;
        }
        Err(error) => error.exit(),
    };
    let arguments = match Arguments::from_arg_matches(&matches) {
        Ok(arguments) => arguments,
        Err(error) => error.exit(),
    };
    // Which step comes first is known to the matches alone.
    let given = matches.subcommand_matches("plan");
    let result = match arguments.command {
        Some(Command::Serve(command)) => serve::run(command),
        Some(Command::Apply(command)) => apply::run(command),
        Some(Command::Fleet(command)) => fleet::run(&command),
        Some(Command::Plan(command)) => plan::run(&command, given.unwrap_or(&matches)),
        Some(Command::Completions(command)) => completions::run(&command),
        Some(Command::Snapshot(command)) => snapshot::run(&command),
        Some(Command::Image(command)) => image::run(command),
        Some(Command::Registry(command)) => registry::run(command),
        Some(Command::Logs(command)) => logs::run(command),
        Some(Command::Node(command)) => node::stop::run(command),
        Some(Command::Exec(command)) => Ok(node::run_exec(&command)),
        Some(Command::SampleApp(command)) => sample_app::run(command),
        None => console::run(&arguments.console),
    };
    result.unwrap_or_else(|error| {
        telemetry::report(&error);
        ExitCode::FAILURE
    })
}

/// Writes to the standard output. A reader that has gone away (`| head`) is no error.
fn print(text: &[u8]) -> Result<()> {
    let mut stdout = std::io::stdout().lock();
    match stdout.write_all(text).and_then(|()| stdout.flush()) {
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => Ok(()),
        result => result.context("the standard output cannot be written"),
    }
}

/// What the target flags mean, for what concerns one cluster.
fn target(arguments: &TargetArguments, command: &str) -> Result<Target> {
    if arguments.context.len() > 1 {
        bail!(
            "`{command}` works on one context; the console and `bayplan snapshot` show several at once"
        );
    }
    first_target(arguments, command)
}

/// The same where several clusters can be shown: the one that is worked in. `command` is shown to
/// others who find the cluster in use.
fn first_target(arguments: &TargetArguments, command: &str) -> Result<Target> {
    if !arguments.context.is_empty() || arguments.kubeconfig.is_some() {
        return Ok(Target::Kubeconfig {
            context: arguments.context.first().cloned(),
            file: arguments.kubeconfig.clone(),
        });
    }
    let name = arguments
        .cluster
        .clone()
        .or_else(|| Environment::read().cluster)
        .unwrap_or_else(|| DEFAULT_CLUSTER.to_owned());
    Ok(Target::Embedded(HostOptions {
        folder: Some(Paths::resolve()?.cluster(cluster_name(&name)?)),
        cluster: name,
        command: command.to_owned(),
        listen: None,
        seed: Seed::Sample,
        scheduler: None,
        companion: None,
        logs: bayplan::serve::logs::Bounds::default(),
    }))
}

/// A cluster's name is a folder's name.
fn cluster_name(name: &str) -> Result<&str> {
    let is_plain = |letter: char| letter.is_ascii_alphanumeric() || "-_.".contains(letter);
    if name.is_empty() || name.starts_with('.') || !name.chars().all(is_plain) {
        bail!("`{name}` cannot be a cluster's name: letters, digits, `-`, `_` and `.` are allowed");
    }
    Ok(name)
}

fn runtime() -> Result<tokio::runtime::Runtime> {
    // Two TLS libraries' worth of code could be compiled in; ours is named once and for all. A
    // second call in one process finds it installed.
    let _installed_before = rustls::crypto::ring::default_provider().install_default();
    tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .context("the runtime cannot be started")
}

/// Completes when the process is asked to end: SIGTERM, SIGINT.
#[cfg(unix)]
fn termination() -> Result<impl Future<Output = ()>> {
    use tokio::signal::unix::{SignalKind, signal};
    const CONTEXT: &str = "signals cannot be received";
    let mut terminate = signal(SignalKind::terminate()).context(CONTEXT)?;
    let mut interrupt = signal(SignalKind::interrupt()).context(CONTEXT)?;
    Ok(async move {
        tokio::select! {
            biased;
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    })
}

#[cfg(not(unix))]
fn termination() -> Result<impl Future<Output = ()>> {
    Ok(async {
        // Without the handler the process simply dies on ctrl-c, which is as good.
        if tokio::signal::ctrl_c().await.is_err() {
            std::future::pending::<()>().await;
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn parse(line: &str) -> Result<Arguments, clap::Error> {
        Arguments::try_parse_from(line.split_whitespace())
    }

    #[test]
    fn the_documented_command_lines_parse() {
        Arguments::command().debug_assert();
        for line in [
            "bayplan",
            "bayplan bays --cluster shop -n web --read-only --theme dark --ascii",
            "bayplan pods --context prod --kubeconfig kc.yaml -A",
            "bayplan --context prod-eu,prod-us",
            "bayplan snapshot pulse --context a,b",
            "bayplan serve --cluster shop --data :memory: --fleet none --listen 127.0.0.1:0 --write-kubeconfig kc --apply a.yaml --apply b",
            "bayplan apply -f a.yaml -f - --dry-run -n shop --cluster shop",
            "bayplan fleet check fleet.yaml",
            "bayplan plan --context prod --drain a --lose zone=b --scale deploy/c=3 -n shop -o json",
            "bayplan plan --from-dump d.json --from-dump e --wait 10m --save f --pseudonymise",
            "bayplan plan --open f --seed 7 --allow-dip 30s -f new.yaml --steps s.txt",
            "bayplan snapshot bays --size 80x24 -o png --color 256",
            "bayplan completions bash",
            "bayplan logs cart-1 --cluster shop -n shop -l app=cart --since 1h --grep /50./ -c app -f -o json",
            "bayplan serve --log-size 2Gi --log-age 30d --ship-logs loki=http://logs:3100",
            "bayplan --no-local-node",
            "bayplan serve --no-local-node",
            "bayplan serve --local-node",
            "bayplan serve --local-nodes 3",
            "bayplan --local-nodes 2",
        ] {
            assert!(parse(line).is_ok(), "{line}: {:?}", parse(line).err());
        }
    }

    #[test]
    fn what_concerns_one_cluster_refuses_several_contexts() {
        let arguments = parse("bayplan apply -f a.yaml --context east,west").unwrap();
        let Some(Command::Apply(apply)) = arguments.command else {
            panic!("another command");
        };
        let error = target(&apply.target, "bayplan apply").unwrap_err();
        assert!(
            error.to_string().contains("works on one context"),
            "{error}"
        );
        let arguments = parse("bayplan --context east,west").unwrap();
        let first = first_target(&arguments.console.target, "bayplan").unwrap();
        let Target::Kubeconfig { context, .. } = first else {
            panic!("not of the kubeconfig");
        };
        assert_eq!(context.as_deref(), Some("east"));
    }

    #[test]
    fn contradictions_are_usage_errors() {
        for line in [
            "bayplan --cluster a --context b",
            "bayplan -A -n shop",
            "bayplan apply",
            "bayplan snapshot",
            "bayplan plan --from-dump d --cluster c",
            "bayplan plan --pseudonymise --drain a",
            "bayplan serve --listen nowhere",
            "bayplan serve --ship-logs kafka=http://logs",
            "bayplan serve --local-node --no-local-node",
            "bayplan serve --local-nodes 0",
            "bayplan serve --local-nodes 17",
        ] {
            assert!(parse(line).is_err(), "{line}");
        }
    }

    /// Of the commands that people type; the hidden ones are for this binary itself.
    #[test]
    fn every_command_has_help_with_examples() {
        let command = Arguments::command();
        for sub in command
            .get_subcommands()
            .filter(|sub| sub.get_name() != "help" && !sub.is_hide_set())
        {
            let help = sub.get_after_help().map(ToString::to_string);
            assert!(
                help.is_some_and(|help| help.contains("Examples:")),
                "{}",
                sub.get_name()
            );
        }
    }
}
