//! What runs in the containers of the sample application's real part: a service that calls its
//! neighbour, a shipper of its access log, a visitor. All of them end at SIGTERM at once and in
//! order: they are the first process of their container, which no signal ends by default.
//!
//! Hidden: they mean nothing outside of the sample.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, Result};
use clap::{Args, Subcommand};

mod fetch;
mod ship;
pub mod tools;
mod visit;
mod web;

/// The sample application: this binary's own affair.
#[derive(Args, Debug)]
pub struct SampleApp {
    #[command(subcommand)]
    part: Part,
}

#[derive(Subcommand, Debug)]
enum Part {
    /// A service over HTTP that writes an access log
    Web(Web),
    /// What is appended to a file, to the standard output
    Ship(Ship),
    /// Somebody who asks a service again and again
    Visit(Visit),
}

#[derive(Args, Debug)]
struct Web {
    /// The service's name
    name: String,
    #[arg(long, default_value = "0.0.0.0:8080")]
    listen: SocketAddr,
    /// Where requests are written to
    #[arg(long, value_name = "FILE")]
    log: PathBuf,
    /// The neighbour that is asked for each request
    #[arg(long, value_name = "URL")]
    call: Option<http::Uri>,
}

#[derive(Args, Debug)]
struct Ship {
    /// What stands before each line
    name: String,
    #[arg(long, value_name = "FILE")]
    log: PathBuf,
}

#[derive(Args, Debug)]
struct Visit {
    url: http::Uri,
    /// Milliseconds from one visit to the next
    #[arg(long, default_value_t = 500)]
    every_ms: u64,
}

pub fn run(command: SampleApp) -> Result<ExitCode> {
    let stop = super::termination;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("the runtime cannot be started")?;
    runtime.block_on(async {
        match command.part {
            Part::Web(web) => web::serve(web, stop()?).await,
            Part::Ship(ship) => ship::ship(&ship, stop()?).await,
            Part::Visit(visit) => {
                let every = Duration::from_millis(visit.every_ms);
                visit::visit(&visit.url, every, stop()?).await
            }
        }
    })?;
    Ok(ExitCode::SUCCESS)
}

fn say(line: &str) -> Result<()> {
    super::print(format!("{line}\n").as_bytes())
}

/// The name that a container has in its pod's namespace.
fn host_name() -> String {
    let name = rustix::system::uname();
    name.nodename().to_string_lossy().into_owned()
}
