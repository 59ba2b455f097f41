//! The last scan of each image, kept in its store in one sentence, for the node that runs it.
//!
//! A scan is of its day: what it says names the day, and a newer one takes its place.

use std::collections::BTreeMap;
use std::fs;
use std::io;

use jiff::Timestamp;

use super::Report;
use super::severity::Severity;
use crate::k8s::scanned;
use crate::node::image::ImageError;
use crate::node::image::store::Store;

const FOLDER: &str = "scans";
/// The rest are told as one.
const NAMED: [Severity; 3] = [Severity::Critical, Severity::High, Severity::Medium];

/// Keeps what was found, and forgets images that are no longer there.
pub fn keep(store: &Store, report: &Report, at: Timestamp) -> Result<(), ImageError> {
    let folder = store.root().join(FOLDER);
    let failed = |source| ImageError::Store {
        path: folder.clone(),
        source,
    };
    let records = store.records()?;
    for digest in all(store).into_keys() {
        if records.values().all(|record| record.digest != digest) {
            let _gone_already = fs::remove_file(folder.join(name(&digest)));
        }
    }
    let write = || -> io::Result<()> {
        fs::create_dir_all(&folder)?;
        let path = folder.join(name(&report.digest));
        let next = path.with_extension("new");
        fs::write(&next, sentence(report, at))?;
        fs::rename(next, path)
    };
    write().map_err(failed)
}

/// What was found in each image, by the digest of its manifest.
pub fn all(store: &Store) -> BTreeMap<String, String> {
    let entries = fs::read_dir(store.root().join(FOLDER));
    let entries = entries.into_iter().flatten().flatten();
    let kept = entries.filter_map(|entry| {
        let name = entry.file_name();
        let digest = name.to_str()?.strip_suffix(".txt")?.replacen('-', ":", 1);
        Some((digest, fs::read_to_string(entry.path()).ok()?))
    });
    kept.collect()
}

fn name(digest: &str) -> String {
    format!("{}.txt", digest.replacen(':', "-", 1))
}

fn sentence(report: &Report, at: Timestamp) -> String {
    let count = |wanted: &dyn Fn(Severity) -> bool| {
        let severities = report.findings.iter().map(|it| it.severity);
        severities.filter(|severity| wanted(*severity)).count()
    };
    let mut counts: Vec<(String, usize)> = NAMED
        .iter()
        .map(|named| (named.to_string(), count(&|it| it == *named)))
        .collect();
    counts.push(("other".to_owned(), count(&|it| !NAMED.contains(&it))));
    let day = at.strftime("%Y-%m-%d");
    scanned::text(&counts, &format!("{}, {day}", report.ecosystem))
}
