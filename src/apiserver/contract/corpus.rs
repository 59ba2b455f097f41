//! Published manifests of real systems: everything that is of a known kind is accepted, and nothing
//! in it is dropped silently.

use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use super::Server;

/// Where the corpus lies on machines that have it: beside the repository, or above it in a work tree.
fn corpus() -> Option<PathBuf> {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .ancestors()
        .skip(1)
        .map(|folder| folder.join("shared/manifests"))
        .find(|folder| folder.is_dir())
}

#[test]
fn every_manifest_of_a_known_kind_is_accepted() {
    let Some(root) = corpus() else {
        println!("skipped: the published manifests are not on this machine");
        return;
    };
    let mut problems = Vec::new();
    let (mut accepted, mut unknown) = (0, 0);
    for application in children(&root).filter(|path| path.is_dir()) {
        let mut server = Server::new();
        let mut documents = Vec::new();
        for file in files(&application) {
            let text = std::fs::read(&file).unwrap();
            for document in parse(&text) {
                documents.push((file.clone(), document));
            }
        }
        // Definitions and namespaces first, as anyone applying a folder needs them.
        documents.sort_by_key(|(_, document)| match document["kind"].as_str() {
            Some("CustomResourceDefinition") => 0,
            Some("Namespace") => 1,
            Some("PriorityClass") => 2,
            // The examples beside it show pods that a limit range refuses.
            Some("LimitRange") => 4,
            _ => 3,
        });
        for (file, document) in documents {
            match send(&mut server, &document) {
                Outcome::Accepted => accepted += 1,
                Outcome::UnknownKind => unknown += 1,
                Outcome::Refused(why) => {
                    problems.push(format!("{}: {why}", file.display()));
                }
            }
        }
    }
    println!("{accepted} accepted, {unknown} of kinds that nobody defines");
    assert!(accepted > 800, "{accepted} accepted, {unknown} unknown");
    assert!(problems.is_empty(), "{}", problems.join("\n"));
}

enum Outcome {
    Accepted,
    UnknownKind,
    Refused(String),
}

fn send(server: &mut Server, document: &Value) -> Outcome {
    let version = document["apiVersion"].as_str().unwrap_or_default();
    let kind = document["kind"].as_str().unwrap_or_default();
    let (group, version) = version.split_once('/').unwrap_or(("", version));
    let Some(resource_type) = server.registry.by_kind(group, version, kind).cloned() else {
        return Outcome::UnknownKind;
    };
    let prefix = if group.is_empty() {
        format!("/api/{version}")
    } else {
        format!("/apis/{group}/{version}")
    };
    let path = if resource_type.namespaced {
        let namespace = document["metadata"]["namespace"]
            .as_str()
            .unwrap_or("default");
        let body = json!({"metadata": {"name": namespace}});
        server.json("POST /api/v1/namespaces", &body);
        format!("{prefix}/namespaces/{namespace}/{}", resource_type.plural)
    } else {
        format!("{prefix}/{}", resource_type.plural)
    };
    let line = format!("POST {path}?fieldValidation=Warn");
    let response = server.send(&line, "application/json", document.to_string());
    let answer = response.value();
    let named = format!("{kind} {}", document["metadata"]["name"]);
    match response.status {
        200..300 => {
            let warned: Vec<&str> = response
                .headers
                .iter()
                .filter(|(name, _)| *name == "warning")
                .map(|(_, text)| text.as_str())
                .collect();
            match lost(document, &answer, "", &warned) {
                Some(field) => Outcome::Refused(format!("{named}: {field} was dropped silently")),
                None => Outcome::Accepted,
            }
        }
        // Several files of an application are alternatives of each other.
        409 => Outcome::Accepted,
        422 if answer["message"]
            .as_str()
            .is_some_and(|text| text.contains("already allocated")) =>
        {
            Outcome::Accepted
        }
        code => {
            let message = answer["message"].as_str().unwrap_or_default();
            Outcome::Refused(format!("{named}: {code} {message}"))
        }
    }
}

/// The first field that was sent and is neither kept nor warned about.
fn lost(sent: &Value, kept: &Value, path: &str, warned: &[&str]) -> Option<String> {
    match (sent, kept) {
        (Value::Object(sent), Value::Object(kept)) => sent.iter().find_map(|(key, value)| {
            let path = if path.is_empty() {
                key.clone()
            } else {
                format!("{path}.{key}")
            };
            let server_side = matches!(
                path.as_str(),
                "status"
                    | "metadata.creationTimestamp"
                    | "stringData"
                    | "metadata.generation"
                    | "metadata.resourceVersion"
                    | "metadata.uid"
                    | "metadata.selfLink"
            );
            if server_side || value.is_null() {
                return None;
            }
            match kept.get(key) {
                Some(found) => lost(value, found, &path, warned),
                None if warned.iter().any(|warning| warning.contains(key.as_str())) => None,
                None => Some(path),
            }
        }),
        (Value::Array(sent), Value::Array(kept)) => {
            if sent.len() > kept.len() {
                return Some(format!("{path}: {} of {}", kept.len(), sent.len()));
            }
            sent.iter()
                .zip(kept)
                .enumerate()
                .find_map(|(index, (sent, kept))| {
                    lost(sent, kept, &format!("{path}[{index}]"), warned)
                })
        }
        _ => None,
    }
}

fn children(folder: &Path) -> impl Iterator<Item = PathBuf> {
    let mut paths: Vec<PathBuf> = std::fs::read_dir(folder)
        .into_iter()
        .flatten()
        .filter_map(Result::ok)
        .map(|entry| entry.path())
        .collect();
    paths.sort();
    paths.into_iter()
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for path in children(folder) {
        if path.is_dir() {
            if !path.ends_with("_unparseable-templates") {
                found.extend(files(&path));
            }
        } else if path
            .extension()
            .is_some_and(|extension| matches!(extension.to_str(), Some("yaml" | "yml" | "json")))
        {
            found.push(path);
        }
    }
    found
}

/// The documents of a file; entries of a `List` count on their own.
fn parse(text: &[u8]) -> Vec<Value> {
    let text = String::from_utf8_lossy(text);
    let options = serde_saphyr::options! {
        legacy_octal_numbers: true,
        strict_booleans: false,
    };
    let documents: Vec<Value> =
        serde_saphyr::from_multiple_with_options(&text, options).unwrap_or_default();
    documents
        .into_iter()
        .flat_map(|document| match document["kind"].as_str() {
            Some("List") => document["items"].as_array().cloned().unwrap_or_default(),
            _ => vec![document],
        })
        .filter(|document| document["kind"].is_string() && document["apiVersion"].is_string())
        .collect()
}
