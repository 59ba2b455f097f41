//! `bayplan image`: what the local node runs from.

mod scan;

use std::fmt::Write;
use std::io::{IsTerminal, Write as _};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Mutex;

use anyhow::{Context, Result};
use bayplan::config::env::Environment;
use bayplan::config::paths::Paths;
use bayplan::node::image::collect::{LAYER_AGE_MIN, mounted_layers};
use bayplan::node::image::credentials::Keyring;
use bayplan::node::image::store::Store;
use bayplan::node::image::{Name, archive, registry};
use bayplan::stdx::clock;
use clap::{Args, Subcommand};

/// Container images of this machine, for its local node.
#[derive(Args, Debug)]
#[command(after_help = "Examples:
  bayplan image pull busybox:1.36
  bayplan image pull registry.site:5000/shop/cart:2 --auth-file ci.json
  bayplan image load shop.tar
  bayplan image load layout/ --name localhost/shop/cart:2
  bayplan image list
  bayplan image remove busybox:1.36
  bayplan image scan busybox:1.36 --db osv/
  bayplan image prune")]
pub struct Image {
    #[command(subcommand)]
    command: ImageCommand,
}

#[derive(Subcommand, Debug)]
enum ImageCommand {
    /// Fetch an image from its registry
    Pull {
        #[arg(value_name = "IMAGE")]
        name: String,
        /// Who asks, as `docker login` and `podman login` write it [default: the user's own files]
        #[arg(long, value_name = "FILE")]
        auth_file: Option<PathBuf>,
    },
    /// Take in an OCI layout (a folder or a tar of one) or a `docker save` archive
    Load {
        #[arg(value_name = "FILE|DIR")]
        path: PathBuf,
        /// The name of an image that carries none
        #[arg(long, value_name = "IMAGE")]
        name: Option<String>,
    },
    /// Show the images that are there
    List,
    /// Forget a name; its layers stay on the disk, containers may stand on them
    Remove {
        #[arg(value_name = "IMAGE")]
        name: String,
    },
    Scan(scan::Scan),
    /// Remove layers that no image has and no container stands on, and pulls that nobody went on with
    Prune,
}

pub fn run(command: Image) -> Result<ExitCode> {
    let store = Store::open(&Paths::resolve()?.data.join("images"))?;
    match command.command {
        ImageCommand::Pull { name, auth_file } => {
            pull(&store, &Name::parse(&name)?, auth_file.as_deref())
        }
        ImageCommand::Prune => {
            let freed = store.sweep(&mounted_layers(), LAYER_AGE_MIN, clock::now())?;
            super::print(format!("{freed} bytes freed\n").as_bytes())?;
            Ok(ExitCode::SUCCESS)
        }
        ImageCommand::Load { path, name } => {
            let name = name.as_deref().map(Name::parse).transpose()?;
            for image in archive::load(&store, &path, name.as_ref())? {
                super::print(format!("{} {}\n", image.name, image.digest).as_bytes())?;
            }
            Ok(ExitCode::SUCCESS)
        }
        ImageCommand::Scan(command) => scan::run(&store, &command),
        ImageCommand::List => list(&store),
        ImageCommand::Remove { name } => {
            let name = Name::parse(&name)?;
            if !store.remove(&name)? {
                anyhow::bail!(
                    "image `{name}` is not on this machine; `bayplan image list` shows what is"
                );
            }
            super::print(format!("removed {name}\n").as_bytes())?;
            Ok(ExitCode::SUCCESS)
        }
    }
}

fn pull(store: &Store, name: &Name, auth_file: Option<&Path>) -> Result<ExitCode> {
    let line = Mutex::new(Line::default());
    let is_terminal = std::io::stderr().is_terminal();
    let progress = |done: u64, total: u64| {
        // Held for a line of text: parts of an image arrive on several threads.
        if is_terminal && let Ok(mut line) = line.lock() {
            line.show(done, total);
        }
    };
    let options = registry::Options {
        keyring: keyring(auth_file)?,
        progress: &progress,
        ..registry::Options::default()
    };
    let pulled = super::runtime()?.block_on(registry::pull(store, name, &options));
    if let Ok(line) = line.lock() {
        line.clear();
    }
    let image = pulled?;
    super::print(format!("{} {}\n", image.name, image.digest).as_bytes())?;
    Ok(ExitCode::SUCCESS)
}

/// A file that is named must be right; of the user's own, those that are there are read.
fn keyring(auth_file: Option<&Path>) -> Result<Keyring> {
    let mut keyring = Keyring::default();
    let files = match auth_file {
        Some(file) => vec![file.to_path_buf()],
        None => Environment::read().auth_files,
    };
    for path in files {
        match std::fs::read(&path) {
            Ok(text) => keyring
                .add(&text)
                .with_context(|| format!("`{}` cannot be understood", path.display()))?,
            Err(error) if auth_file.is_some() => {
                return Err(error).with_context(|| format!("`{}` cannot be read", path.display()));
            }
            Err(_) => {}
        }
    }
    Ok(keyring)
}

/// How far a pull is, on one line of the terminal that is written over.
#[derive(Default)]
struct Line {
    percent: Option<u64>,
}

impl Line {
    fn show(&mut self, done: u64, total: u64) {
        let percent = done.saturating_mul(100).checked_div(total).unwrap_or(100);
        if self.percent == Some(percent) {
            return;
        }
        self.percent = Some(percent);
        let whole = |bytes: u64| bytes >> 20;
        let (done, total) = (whole(done), whole(total));
        // Nobody misses a line that could not be shown.
        let _best_effort = write!(
            std::io::stderr(),
            "\r\x1b[K{percent:3}%  {done} of {total} MiB"
        );
    }

    fn clear(&self) {
        if self.percent.is_some() {
            let _best_effort = write!(std::io::stderr(), "\r\x1b[K");
        }
    }
}

fn list(store: &Store) -> Result<ExitCode> {
    let records = store.records()?;
    if records.is_empty() {
        super::print(b"no images; `bayplan image pull NAME` fetches one\n")?;
        return Ok(ExitCode::SUCCESS);
    }
    let widest = records.keys().map(String::len).max().unwrap_or(0);
    let mut text = format!("{:widest$}  {:19}  {:>10}\n", "NAME", "DIGEST", "BYTES");
    for (name, record) in records {
        let digest: String = record.digest.chars().take(19).collect();
        let bytes = record.bytes;
        writeln!(text, "{name:widest$}  {digest:19}  {bytes:>10}")?;
    }
    super::print(text.as_bytes())?;
    Ok(ExitCode::SUCCESS)
}
