//! Kubernetes manifests: YAML or JSON text to objects, each with its file and line, and back.
//!
//! Scalars are read as `kubectl` reads them (`yes` is a boolean, `017` is fifteen): what goes in
//! here must mean the same there. A broken document is reported with its position and does not hide
//! the others of its file. Nothing is interpreted: which kinds exist is the API server's to say.

mod emit;
mod split;

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde_json::Value;

pub use emit::to_yaml;

/// What a file, a directory or a text holds.
#[derive(Clone, Debug, Default)]
pub struct Manifests {
    pub documents: Vec<Document>,
    pub problems: Vec<Problem>,
}

/// One object of a manifest. Lists are expanded: an item has its list's position.
#[derive(Clone, Debug, PartialEq)]
pub struct Document {
    pub file: String,
    /// Where its text begins, from 1.
    pub line: usize,
    pub object: Value,
}

/// Why a document, or a whole file, is not usable.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Problem {
    #[error("{file}:{line}:{column}: {expected}")]
    Syntax {
        file: String,
        line: usize,
        column: usize,
        /// What was expected or found, in the parser's words.
        expected: String,
    },
    #[error("{file}:{line}: expected an object with `apiVersion` and `kind`, found {found}")]
    NoObject {
        file: String,
        line: usize,
        found: &'static str,
    },
    #[error("{file}:{line}: `{field}` is missing or no text")]
    NoType {
        file: String,
        line: usize,
        field: &'static str,
    },
    #[error("{file}: is no UTF-8 text")]
    NoText { file: String },
}

/// Why a path cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    #[error("cannot read `{path}`")]
    Read {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("`{path}` has no file that ends in .yaml, .yml or .json")]
    Empty { path: PathBuf },
}

impl Document {
    pub fn api_version(&self) -> &str {
        self.text("/apiVersion")
    }

    pub fn kind(&self) -> &str {
        self.text("/kind")
    }

    pub fn name(&self) -> &str {
        let name = self.text("/metadata/name");
        if name.is_empty() {
            self.text("/metadata/generateName")
        } else {
            name
        }
    }

    pub fn namespace(&self) -> &str {
        self.text("/metadata/namespace")
    }

    /// `shop.yaml:12: Deployment cart`.
    pub fn label(&self) -> String {
        format!(
            "{}:{}: {} {}",
            self.file,
            self.line,
            self.kind(),
            self.name()
        )
    }

    fn text(&self, pointer: &str) -> &str {
        self.object
            .pointer(pointer)
            .and_then(Value::as_str)
            .unwrap_or_default()
    }
}

/// Reads a text of any number of documents. `file` is what positions are given in.
pub fn parse(text: &str, file: &str) -> Manifests {
    let mut manifests = Manifests::default();
    for part in split::documents(text) {
        match read(&part) {
            Ok(Value::Null) => {}
            Ok(object) => manifests.add(file, part.line, object),
            Err(error) => manifests.problems.push(syntax(file, &part, &error)),
        }
    }
    manifests
}

/// Reads a file, or all manifests below a directory in the order of their names.
pub fn load(path: &Path) -> Result<Manifests, LoadError> {
    let mut manifests = Manifests::default();
    let failed = |source| LoadError::Read {
        path: path.to_owned(),
        source,
    };
    if !fs::metadata(path).map_err(failed)?.is_dir() {
        manifests.load_file(path)?;
        return Ok(manifests);
    }
    let mut files = Vec::new();
    collect(path, &mut files)?;
    if files.is_empty() {
        return Err(LoadError::Empty {
            path: path.to_owned(),
        });
    }
    for file in files {
        manifests.load_file(&file)?;
    }
    Ok(manifests)
}

impl Manifests {
    fn load_file(&mut self, path: &Path) -> Result<(), LoadError> {
        let bytes = fs::read(path).map_err(|source| LoadError::Read {
            path: path.to_owned(),
            source,
        })?;
        let file = path.display().to_string();
        match std::str::from_utf8(&bytes) {
            Ok(text) => {
                let Self {
                    documents,
                    problems,
                } = parse(text, &file);
                self.documents.extend(documents);
                self.problems.extend(problems);
            }
            Err(_) => self.problems.push(Problem::NoText { file }),
        }
        Ok(())
    }

    fn add(&mut self, file: &str, line: usize, object: Value) {
        let file = file.to_owned();
        let Some(fields) = object.as_object() else {
            let found = name_of(&object);
            self.problems.push(Problem::NoObject { file, line, found });
            return;
        };
        let missing = ["apiVersion", "kind"].into_iter().find(|field| {
            fields
                .get(*field)
                .and_then(Value::as_str)
                .is_none_or(str::is_empty)
        });
        if let Some(field) = missing {
            self.problems.push(Problem::NoType { file, line, field });
            return;
        }
        let is_list = fields
            .get("kind")
            .and_then(Value::as_str)
            .is_some_and(|kind| kind.ends_with("List"));
        match object.get("items").and_then(Value::as_array) {
            Some(items) if is_list => {
                for item in items {
                    self.add(&file, line, item.clone());
                }
            }
            _ => self.documents.push(Document { file, line, object }),
        }
    }
}

/// Regular files below a directory that look like manifests, in the order of their paths.
fn collect(directory: &Path, files: &mut Vec<PathBuf>) -> Result<(), LoadError> {
    let failed = |source| LoadError::Read {
        path: directory.to_owned(),
        source,
    };
    let mut entries = Vec::new();
    for entry in fs::read_dir(directory).map_err(failed)? {
        entries.push(entry.map_err(failed)?.path());
    }
    entries.sort();
    for path in entries {
        if path.is_dir() {
            collect(&path, files)?;
        } else if path
            .extension()
            .and_then(|extension| extension.to_str())
            .is_some_and(|extension| matches!(extension, "yaml" | "yml" | "json"))
        {
            files.push(path);
        }
    }
    Ok(())
}

/// Reads one document with Go's reading of scalars.
fn read(part: &split::Part<'_>) -> Result<Value, serde_saphyr::Error> {
    let options = serde_saphyr::options! {
        legacy_octal_numbers: true,
        strict_booleans: false,
        with_snippet: false,
        budget: serde_saphyr::budget! {
            // A custom resource definition of a large operator has some hundred thousand nodes.
            max_nodes: 2_000_000,
            max_events: 6_000_000,
            max_reader_input_bytes: Some(256 * 1024 * 1024),
        },
    };
    if part.text.trim().is_empty() {
        return Ok(Value::Null);
    }
    serde_saphyr::from_str_with_options::<Option<Value>>(part.text, options)
        .map(Option::unwrap_or_default)
}

fn syntax(file: &str, part: &split::Part<'_>, error: &serde_saphyr::Error) -> Problem {
    let location = error.location();
    let number = |value: u64| usize::try_from(value).unwrap_or(usize::MAX);
    let line = location.map_or(1, |location| number(location.line()).max(1));
    let column = location.map_or(1, |location| number(location.column()).max(1));
    Problem::Syntax {
        file: file.to_owned(),
        line: part.line_of_text + line - 1,
        column,
        expected: message(error),
    }
}

/// The parser's words without its own position and excerpt.
fn message(error: &serde_saphyr::Error) -> String {
    let text = error.without_snippet().to_string();
    let text = text.lines().next().unwrap_or_default();
    let text = text.strip_prefix("error: ").unwrap_or(text);
    let text = match text.split_once(": ") {
        Some((position, rest)) if position.starts_with("line ") => rest,
        _ => text,
    };
    match text.find(" at line ") {
        Some(end) => text.get(..end).unwrap_or(text).to_owned(),
        None => text.to_owned(),
    }
}

fn name_of(value: &Value) -> &'static str {
    match value {
        Value::Null => "nothing",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "a text",
        Value::Array(_) => "a list",
        Value::Object(_) => "an object",
    }
}

#[cfg(test)]
mod tests;
