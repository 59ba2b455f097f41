//! `bayplan image scan`: an image held against advisories.

use std::fmt::Write;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, Result};
use bayplan::node::image::Name;
use bayplan::node::image::scan::{self, Finding, Report, kept};
use bayplan::node::image::store::Store;
use bayplan::stdx::clock;
use clap::{Args, ValueEnum};

/// What was found is no error, but nothing to pass over: the code that `bayplan plan` uses.
const FOUND: u8 = 2;

/// Hold the packages of an image against advisories in OSV format
///
/// Exit code 0: nothing is known; 2: something is; 1: the image could not be judged. dpkg and apk
/// databases are read. What was found is told on the pods of this machine that run the image, until
/// it is scanned again. Advisories are those of <https://osv.dev>, unpacked: a file or a folder.
#[derive(Args, Debug)]
#[command(after_help = "Examples:
  bayplan image scan shop/cart:2 --db osv/Debian/
  bayplan image scan busybox:1.36 --db alpine.json -o json")]
pub struct Scan {
    #[arg(value_name = "IMAGE")]
    name: String,
    /// Advisories: one, a list, one a line, or a folder of such files
    #[arg(long, value_name = "FILE|DIR")]
    db: PathBuf,
    #[arg(short, long, value_enum, default_value = "table")]
    output: Format,
}

#[derive(ValueEnum, Clone, Copy, Debug, PartialEq, Eq)]
enum Format {
    Table,
    Json,
}

pub fn run(store: &Store, command: &Scan) -> Result<ExitCode> {
    let name = Name::parse(&command.name)?;
    let image = store.find(&name)?;
    let report = scan::scan(&image, &command.db)
        .with_context(|| format!("image `{name}` cannot be judged"))?;
    // The node that runs it tells it on its pods. What was found is said in any case.
    if let Err(error) = kept::keep(store, &report, clock::now()) {
        tracing::warn!(%error, "the scan cannot be kept");
    }
    let text = match command.output {
        Format::Table => table(&report)?,
        Format::Json => serde_json::to_string_pretty(&report)? + "\n",
    };
    crate::cli::print(text.as_bytes())?;
    Ok(if report.findings.is_empty() {
        ExitCode::SUCCESS
    } else {
        ExitCode::from(FOUND)
    })
}

fn table(report: &Report) -> Result<String> {
    let mut text = String::new();
    let Report {
        image,
        ecosystem,
        packages,
        advisories,
        findings,
        ..
    } = report;
    let count = findings.len();
    let header = [
        "SEVERITY",
        "ID",
        "PACKAGE",
        "INSTALLED",
        "FIXED IN",
        "SUMMARY",
    ];
    let mut rows: Vec<[String; 6]> = Vec::new();
    if count > 0 {
        rows.push(header.map(str::to_owned));
    }
    rows.extend(findings.iter().map(row));
    let mut widths = [0; 6];
    for row in &rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.chars().count());
        }
    }
    for row in &rows {
        let cells = row
            .iter()
            .zip(widths)
            .map(|(cell, width)| format!("{cell:width$}"));
        let line: Vec<String> = cells.collect();
        writeln!(text, "{}", line.join("  ").trim_end())?;
    }
    writeln!(
        text,
        "{image}: {packages} packages of {ecosystem} held against {advisories} advisories, {count} found"
    )?;
    Ok(text)
}

fn row(finding: &Finding) -> [String; 6] {
    let severity = match finding.score {
        Some(score) => format!("{} {score:.1}", finding.severity),
        None => finding.severity.to_string(),
    };
    // Debian's own numbers say less than the CVE.
    let id = finding.aliases.iter().find(|name| name.starts_with("CVE-"));
    let id = id.filter(|cve| !finding.id.contains(cve.as_str()));
    [
        severity,
        id.map_or_else(
            || finding.id.clone(),
            |cve| format!("{} ({cve})", finding.id),
        ),
        finding.package.clone(),
        finding.version.clone(),
        finding.fixed.clone().unwrap_or_else(|| "-".to_owned()),
        finding.summary.chars().take(72).collect(),
    ]
}
