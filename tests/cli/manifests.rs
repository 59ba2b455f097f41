//! Published manifests of real systems go in with `bayplan apply`: each object is stored, or is
//! named with what it needs that is not there.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use bayplan::config::manifest::{self, Document};

use super::{Served, bayplan};

/// Files that are alternatives of each other, or that show what the object beside them refuses:
/// applied together, as here, some of them cannot be.
const ALTERNATIVES: [(&str, &str); 10] = [
    ("job/indexed-job.yaml", "spec.template: Invalid value"),
    ("web/web.yaml", "updates to statefulset spec"),
    (
        "wordpress/mysql-deployment.yaml",
        "spec is immutable after creation",
    ),
    ("one-constraint.yaml", "pod updates may not change"),
    ("two-constraints.yaml", "pod updates may not change"),
    (
        "limit-range/pod-beyond-limit.yaml",
        "must be less than or equal to cpu limit of 500m",
    ),
    ("high-priority-pod.yaml", "maximum cpu usage per Container"),
    ("low-priority-pod.yaml", "maximum cpu usage per Container"),
    (
        "requests-and-limits/pod-1.yaml",
        "pod updates may not change",
    ),
    (
        "requests-and-limits/pod-2.yaml",
        "maximum cpu usage per Container",
    ),
];

/// Beside the repository, or above it in a work tree.
fn corpus() -> Option<PathBuf> {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .ancestors()
        .skip(1)
        .map(|folder| folder.join("shared/manifests"))
        .find(|folder| folder.is_dir())
}

/// What became of the objects.
#[derive(Default)]
struct Tally {
    stored: usize,
    unknown: Vec<String>,
    refused: Vec<String>,
    warnings: Vec<String>,
}

#[test]
fn published_manifests_are_stored_or_named_with_what_they_need() {
    let Some(corpus) = corpus() else {
        println!("skipped: the published manifests are not on this machine");
        return;
    };
    let mut applications: Vec<PathBuf> = std::fs::read_dir(corpus)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.is_dir())
        .collect();
    applications.sort();
    let mut tally = Tally::default();
    for application in &applications {
        apply(application, &mut tally);
    }
    let Tally {
        stored,
        unknown,
        refused,
        warnings,
    } = tally;
    println!("{stored} stored, {} of unknown kinds", unknown.len());
    for said in &unknown {
        // Each says what to do: another version, a definition, or that there can be none.
        let remedies = [
            "it serves that kind as",
            "must be applied first",
            "core group",
        ];
        assert!(
            remedies.iter().any(|remedy| said.contains(remedy)),
            "{said}"
        );
    }
    let served_otherwise = |said: &&String| said.contains("it serves that kind as");
    assert_eq!(
        unknown.iter().filter(served_otherwise).count(),
        4,
        "{unknown:#?}"
    );
    let unexpected: Vec<&String> = refused
        .iter()
        .filter(|said| {
            !ALTERNATIVES
                .iter()
                .any(|(file, why)| said.contains(file) && said.contains(why))
        })
        .collect();
    assert!(unexpected.is_empty(), "{unexpected:#?}");
    // What its author misspelt is not dropped silently.
    for field in ["nodeSelectors", "terminationGraceperiodSeconds"] {
        assert!(
            warnings.iter().any(|said| said.contains(field)),
            "{field}: {warnings:#?}"
        );
    }
    assert_eq!((stored, unknown.len()), (921, 56), "{unknown:#?}");
    assert_eq!(refused.len(), ALTERNATIVES.len(), "{refused:#?}");
}

/// Applies one application's folder to a cluster of its own.
fn apply(application: &Path, tally: &mut Tally) {
    // CoreDNS publishes a template whose name does not end like a manifest's.
    let template = application.join("coredns.yaml.sed");
    let path = if template.is_file() {
        template.as_path()
    } else {
        application
    };
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    let _served = Served::begin(at);
    let documents = manifest::load(path).unwrap().documents;
    let missing = missing_namespaces(&documents);
    if !missing.is_empty() {
        std::fs::write(at.join("namespaces.yaml"), missing).unwrap();
        let arguments = ["apply", "-f", "namespaces.yaml", "--kubeconfig", "kc"];
        assert!(bayplan(at, &arguments).output().unwrap().status.success());
    }
    let named = path.to_str().unwrap();
    let output = bayplan(at, &["apply", "-f", named, "--kubeconfig", "kc"])
        .output()
        .unwrap();
    let stored = String::from_utf8(output.stdout).unwrap().lines().count();
    let mut failed = 0;
    for said in String::from_utf8(output.stderr).unwrap().lines() {
        let list = if said.contains(": warning: ") {
            &mut tally.warnings
        } else {
            failed += 1;
            if said.contains("does not know kind") {
                &mut tally.unknown
            } else {
                &mut tally.refused
            }
        };
        list.push(said.to_owned());
    }
    assert_eq!(
        stored + failed,
        documents.len(),
        "{}",
        application.display()
    );
    assert_eq!(output.status.code(), Some(i32::from(failed > 0)));
    tally.stored += stored;
}

/// What the manifests expect to be there: namespaces that they name and do not hold.
fn missing_namespaces(documents: &[Document]) -> String {
    let text = |document: &Document, pointer: &str| {
        let value = document.object.pointer(pointer);
        value.and_then(|value| value.as_str()).map(str::to_owned)
    };
    let mut named: BTreeSet<String> = documents
        .iter()
        .filter_map(|document| text(document, "/metadata/namespace"))
        .collect();
    for document in documents {
        if document.kind() == "Namespace" {
            named.remove(&text(document, "/metadata/name").unwrap_or_default());
        }
    }
    let object = |name: &String| {
        format!("---\napiVersion: v1\nkind: Namespace\nmetadata: {{name: {name}}}\n")
    };
    named.iter().map(object).collect()
}
