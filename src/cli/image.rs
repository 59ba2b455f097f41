//! `bayplan image`: what the local node runs from.

use std::fmt::Write;
use std::io::IsTerminal;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::atomic::{AtomicU64, Ordering};

use anyhow::Result;
use bayplan::config::paths::Paths;
use bayplan::node::image::store::Store;
use bayplan::node::image::{Name, archive, registry};
use clap::{Args, Subcommand};

/// Container images of this machine, for its local node.
#[derive(Args, Debug)]
#[command(after_help = "Examples:
  bayplan image pull busybox:1.36
  bayplan image load shop.tar
  bayplan image load layout/ --name localhost/shop/cart:2
  bayplan image list
  bayplan image remove busybox:1.36")]
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
}

pub fn run(command: Image) -> Result<ExitCode> {
    let store = Store::open(&Paths::resolve()?.data.join("images"))?;
    match command.command {
        ImageCommand::Pull { name } => pull(&store, &Name::parse(&name)?),
        ImageCommand::Load { path, name } => {
            let name = name.as_deref().map(Name::parse).transpose()?;
            for image in archive::load(&store, &path, name.as_ref())? {
                super::print(format!("{} {}\n", image.name, image.digest).as_bytes())?;
            }
            Ok(ExitCode::SUCCESS)
        }
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

fn pull(store: &Store, name: &Name) -> Result<ExitCode> {
    let shown = AtomicU64::new(0);
    let is_terminal = std::io::stderr().is_terminal();
    let progress = |done: u64, total: u64| {
        let percent = (done * 100).checked_div(total).unwrap_or(100);
        if is_terminal && shown.swap(percent, Ordering::Relaxed) != percent {
            tracing::info!("{percent}% of {total} bytes");
        }
    };
    let credentials = registry::Credentials::default();
    let image = super::runtime()?.block_on(registry::pull(store, name, &credentials, &progress))?;
    super::print(format!("{} {}\n", image.name, image.digest).as_bytes())?;
    Ok(ExitCode::SUCCESS)
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
