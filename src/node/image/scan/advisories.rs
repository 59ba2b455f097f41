//! Advisories in OSV format, one at a time: a database has some hundred thousand of them.
//!
//! A database is a file, or a folder with files at any depth, of: one advisory; a list of them;
//! `{"vulns": […]}`, as the OSV service answers; or one in each line.
//!
//! Source: OSV schema 1.6, `affected[].ranges[].events[]` and "Evaluation".

use std::cmp::Ordering;
use std::fs;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use serde_json::Value;

use super::ScanError;
use super::packages::{Ecosystem, Package};
use super::severity::{self, Severity};
use super::version::Scheme;

const HEADLINE_LETTERS: usize = 200;

#[derive(Clone, Debug, Deserialize)]
pub struct Advisory {
    pub id: String,
    #[serde(default)]
    aliases: Vec<String>,
    #[serde(default)]
    upstream: Vec<String>,
    #[serde(default)]
    withdrawn: Option<String>,
    #[serde(default)]
    summary: String,
    #[serde(default)]
    details: String,
    #[serde(default)]
    severity: Vec<Rating>,
    #[serde(default)]
    affected: Vec<Affected>,
    #[serde(default)]
    database_specific: Value,
}

#[derive(Clone, Debug, Deserialize)]
struct Rating {
    #[serde(rename = "type", default)]
    kind: String,
    #[serde(default)]
    score: String,
}

#[derive(Clone, Debug, Deserialize)]
struct Affected {
    #[serde(default)]
    package: Option<Named>,
    #[serde(default)]
    ranges: Vec<Range>,
    #[serde(default)]
    versions: Vec<String>,
    #[serde(default)]
    severity: Vec<Rating>,
    #[serde(default)]
    ecosystem_specific: Value,
}

#[derive(Clone, Debug, Deserialize)]
struct Named {
    ecosystem: String,
    name: String,
}

#[derive(Clone, Debug, Deserialize)]
struct Range {
    #[serde(rename = "type")]
    kind: String,
    #[serde(default)]
    events: Vec<Event>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
struct Event {
    introduced: Option<String>,
    fixed: Option<String>,
    last_affected: Option<String>,
}

/// What an advisory says of a package that it affects.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fix {
    pub fixed: Option<String>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum File {
    Answer { vulns: Vec<Advisory> },
    List(Vec<Advisory>),
    One(Box<Advisory>),
}

/// Gives every advisory of a database that was not withdrawn.
pub fn each(database: &Path, take: &mut impl FnMut(&Advisory)) -> Result<(), ScanError> {
    let failed = |path: &Path, source| ScanError::Read {
        path: path.to_path_buf(),
        source,
    };
    if !fs::metadata(database)
        .map_err(|error| failed(database, error))?
        .is_dir()
    {
        return read(database, take);
    }
    let entries = fs::read_dir(database).map_err(|error| failed(database, error))?;
    let mut paths: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).collect();
    paths.sort();
    for path in paths {
        let is_json = path
            .extension()
            .is_some_and(|it| it == "json" || it == "jsonl");
        if path.is_dir() {
            each(&path, take)?;
        } else if is_json {
            read(&path, take)?;
        }
    }
    Ok(())
}

fn read(path: &Path, take: &mut impl FnMut(&Advisory)) -> Result<(), ScanError> {
    let text = fs::read(path).map_err(|source| ScanError::Read {
        path: path.to_path_buf(),
        source,
    })?;
    let malformed = |reason: String| ScanError::Database {
        path: path.to_path_buf(),
        reason,
    };
    let mut give = |advisory: &Advisory| {
        if advisory.withdrawn.is_none() {
            take(advisory);
        }
    };
    // One document, or one in each line.
    for document in serde_json::Deserializer::from_slice(&text).into_iter::<Value>() {
        let document = document.map_err(|error| malformed(error.to_string()))?;
        let file: File = serde_json::from_value(document).map_err(|_no_form_fits| {
            malformed("it has no `id`, no list and no `vulns`".to_owned())
        })?;
        match file {
            File::Answer { vulns } | File::List(vulns) => vulns.iter().for_each(&mut give),
            File::One(advisory) => give(&advisory),
        }
    }
    Ok(())
}

impl Advisory {
    pub fn ecosystems(&self) -> impl Iterator<Item = &str> {
        let packages = self.affected.iter().filter_map(|it| it.package.as_ref());
        packages.map(|package| package.ecosystem.as_str())
    }

    pub fn is_about(&self, ecosystem: &Ecosystem) -> bool {
        self.ecosystems().any(|text| is_same(ecosystem, text))
    }

    /// Whether a package is affected; if so, what mends it.
    pub fn affects(&self, ecosystem: &Ecosystem, package: &Package, scheme: Scheme) -> Option<Fix> {
        let entries = self.affected.iter().filter(|affected| {
            let named = affected.package.as_ref();
            named.is_some_and(|it| it.name == package.source && is_same(ecosystem, &it.ecosystem))
        });
        let version = package.version.as_str();
        for affected in entries {
            let mut ranges = affected
                .ranges
                .iter()
                .filter(|range| range.kind == "ECOSYSTEM");
            let is_in_range = ranges.clone().any(|range| range.has(version, scheme));
            if is_in_range || affected.versions.iter().any(|it| it == version) {
                let fixes = ranges.by_ref().flat_map(|range| &range.events);
                let fixes = fixes.filter_map(|event| event.fixed.as_deref());
                let later = fixes.filter(|fixed| scheme.compare(fixed, version).is_gt());
                let first = later.min_by(|one, other| scheme.compare(one, other));
                return Some(Fix {
                    fixed: first.map(str::to_owned),
                });
            }
        }
        None
    }

    /// The rating by the most exact word there is: a CVSS vector, else a distribution's own word.
    pub fn severity(&self) -> (Severity, Option<f32>) {
        let of_packages = self.affected.iter().flat_map(|affected| &affected.severity);
        let ratings: Vec<&Rating> = self.severity.iter().chain(of_packages).collect();
        let mut scores = ratings
            .iter()
            .filter_map(|rating| severity::score(&rating.score));
        if let Some(score) = scores.next() {
            return (Severity::of_score(score), Some(score));
        }
        let specific = self
            .affected
            .iter()
            .map(|affected| &affected.ecosystem_specific);
        let words = [&self.database_specific].into_iter().chain(specific);
        let words = words.flat_map(|value| [value.get("severity"), value.get("urgency")]);
        let words = words.flatten().filter_map(Value::as_str);
        let rated = ratings
            .iter()
            .filter(|rating| !rating.kind.starts_with("CVSS"));
        let all = rated.map(|rating| rating.score.as_str()).chain(words);
        let worst = all.filter_map(Severity::of_word).max();
        (worst.unwrap_or(Severity::Unknown), None)
    }

    /// Other names of the same.
    pub fn names(&self) -> Vec<String> {
        let mut names: Vec<String> = self.aliases.iter().chain(&self.upstream).cloned().collect();
        names.sort();
        names.dedup();
        names
    }

    /// One line that says what it is about.
    pub fn headline(&self) -> String {
        let text = if self.summary.is_empty() {
            &self.details
        } else {
            &self.summary
        };
        let line = text
            .lines()
            .find(|line| !line.trim().is_empty())
            .unwrap_or_default();
        let is_shown = |letter: &char| !letter.is_control();
        line.trim()
            .chars()
            .filter(is_shown)
            .take(HEADLINE_LETTERS)
            .collect()
    }
}

impl Range {
    /// Goes through the events in the versions' order: each turns being affected on or off.
    fn has(&self, version: &str, scheme: Scheme) -> bool {
        let mut events: Vec<(&str, Turn)> = self.events.iter().filter_map(Event::turn).collect();
        events.sort_by(|(one, _), (other, _)| by_version(one, other, scheme));
        let mut is_affected = false;
        for (at, turn) in events {
            let ordered = by_version(version, at, scheme);
            match turn {
                Turn::Introduced if ordered.is_ge() => is_affected = true,
                Turn::Fixed if ordered.is_ge() => is_affected = false,
                Turn::Last if ordered.is_gt() => is_affected = false,
                _ => {}
            }
        }
        is_affected
    }
}

#[derive(Clone, Copy)]
enum Turn {
    Introduced,
    Fixed,
    Last,
}

impl Event {
    fn turn(&self) -> Option<(&str, Turn)> {
        let introduced = self.introduced.as_deref().map(|at| (at, Turn::Introduced));
        let fixed = || self.fixed.as_deref().map(|at| (at, Turn::Fixed));
        let last = || self.last_affected.as_deref().map(|at| (at, Turn::Last));
        introduced.or_else(fixed).or_else(last)
    }
}

/// `0` stands for the time before all versions.
fn by_version(one: &str, other: &str, scheme: Scheme) -> Ordering {
    match (one, other) {
        ("0", "0") => Ordering::Equal,
        ("0", _) => Ordering::Less,
        (_, "0") => Ordering::Greater,
        _ => scheme.compare(one, other),
    }
}

/// `Ubuntu:22.04:LTS` is the release 22.04; a name without a release stands for all of them.
fn is_same(ecosystem: &Ecosystem, text: &str) -> bool {
    let text = text.strip_suffix(":LTS").unwrap_or(text);
    match text.split_once(':') {
        None => text == ecosystem.name,
        Some((name, release)) => {
            name == ecosystem.name && ecosystem.release.as_deref() == Some(release)
        }
    }
}
