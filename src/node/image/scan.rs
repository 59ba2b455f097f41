//! What is known to be vulnerable in an image: its packages held against advisories in OSV format
//! that the user supplies.
//!
//! Only what package tools wrote down is seen: programs that were copied into an image have no
//! version here. An image or a database that does not fit is an error rather than a clean result.
//! Nothing is fetched, and nothing of the image is run.
//!
//! Start with [`scan`]; [`packages`] reads an image, [`advisories`] a database, [`version`] says
//! what is older. Source: OSV schema 1.6 and its evaluation rules.

pub mod advisories;
pub mod kept;
pub mod packages;
mod rootfs;
pub mod severity;
pub mod version;

use std::path::{Path, PathBuf};

use serde::Serialize;

use super::Image;
use advisories::Advisory;
use packages::{Contents, Package};
use severity::Severity;

/// A package that an advisory is about.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Finding {
    pub id: String,
    /// Other names of the same, a CVE among them.
    pub aliases: Vec<String>,
    /// The package as advisories name it: of what it was built.
    pub package: String,
    /// What of it is installed.
    pub installed: Vec<String>,
    pub version: String,
    /// The first version that is not affected; none is known where it is missing.
    pub fixed: Option<String>,
    pub severity: Severity,
    pub score: Option<f32>,
    pub summary: String,
}

/// What a scan found, the worst first.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Report {
    pub image: String,
    pub digest: String,
    /// As OSV names it: `Debian:12`.
    pub ecosystem: String,
    /// Installed packages that were looked at.
    pub packages: usize,
    /// Advisories of this ecosystem that were looked at.
    pub advisories: usize,
    pub findings: Vec<Finding>,
}

/// Why an image could not be judged.
#[derive(Debug, thiserror::Error)]
pub enum ScanError {
    #[error("the image has no dpkg or apk database: its packages are not known")]
    NoPackages,
    #[error("the image has an rpm database, which is not read; dpkg and apk databases are")]
    Rpm,
    #[error("the image does not say which distribution it is: no os-release with an ID")]
    NoDistribution,
    #[error("`{}`: {source}", path.display())]
    Read {
        path: PathBuf,
        source: std::io::Error,
    },
    #[error("`{}` is no advisory in OSV format: {reason}", path.display())]
    Database { path: PathBuf, reason: String },
    #[error("`{}` has no advisory for {ecosystem}; it has {others}", path.display())]
    OtherEcosystem {
        path: PathBuf,
        ecosystem: String,
        others: String,
    },
}

/// Holds an image against the advisories of a file or a folder. Blocking.
pub fn scan(image: &Image, database: &Path) -> Result<Report, ScanError> {
    let contents = packages::read(&image.layers)?;
    let mut findings = Vec::new();
    let mut advisories = 0;
    let mut others = std::collections::BTreeSet::new();
    advisories::each(database, &mut |advisory: &Advisory| {
        if advisory.is_about(&contents.ecosystem) {
            advisories += 1;
            findings.extend(judge(&contents, advisory));
        } else if others.len() < OTHERS_MAX {
            others.extend(advisory.ecosystems().map(str::to_owned));
        }
    })?;
    if advisories == 0 {
        let mut others: Vec<String> = others.into_iter().take(OTHERS_MAX).collect();
        if others.is_empty() {
            others.push("none at all".to_owned());
        }
        return Err(ScanError::OtherEcosystem {
            path: database.to_path_buf(),
            ecosystem: contents.ecosystem.to_string(),
            others: others.join(", "),
        });
    }
    findings.sort_by(|one: &Finding, other| {
        let worst_first = other.severity.cmp(&one.severity);
        worst_first.then_with(|| (&one.package, &one.id).cmp(&(&other.package, &other.id)))
    });
    findings.dedup_by(|one, other| {
        one.id == other.id && one.package == other.package && one.version == other.version
    });
    Ok(Report {
        image: image.name.to_string(),
        digest: image.digest.clone(),
        ecosystem: contents.ecosystem.to_string(),
        packages: contents.packages.len(),
        advisories,
        findings,
    })
}

/// So many ecosystems are named where none fits.
const OTHERS_MAX: usize = 8;

/// What one advisory says of an image's packages; those built of the same source are one finding.
fn judge(contents: &Contents, advisory: &Advisory) -> Vec<Finding> {
    let mut found: Vec<Finding> = Vec::new();
    for package in &contents.packages {
        let Some(fix) = advisory.affects(&contents.ecosystem, package, contents.scheme) else {
            continue;
        };
        let Package {
            name,
            source,
            version,
        } = package;
        if let Some(same) = found
            .iter_mut()
            .find(|it| it.package == *source && it.version == *version)
        {
            same.installed.push(name.clone());
            continue;
        }
        let (severity, score) = advisory.severity();
        found.push(Finding {
            id: advisory.id.clone(),
            aliases: advisory.names(),
            package: source.clone(),
            installed: vec![name.clone()],
            version: version.clone(),
            fixed: fix.fixed,
            severity,
            score,
            summary: advisory.headline(),
        });
    }
    found
}

#[cfg(test)]
mod tests;
