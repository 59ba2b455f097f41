//! Holds the code to ARCHITECTURE.md: who may import whom, where time, chance and async may appear,
//! and the house rules that no compiler checks.

#![expect(
    clippy::unwrap_used,
    reason = "a file that cannot be read is a failed test"
)]

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

/// Top-level module → what it may name of ours. The table of ARCHITECTURE.md.
const MAY_IMPORT: &[(&str, &[&str])] = &[
    ("stdx", &[]),
    ("k8s", &["stdx"]),
    ("topology", &["k8s", "stdx"]),
    ("store", &["k8s", "stdx"]),
    ("packing", &["stdx"]),
    ("logstore", &["k8s", "stdx"]),
    ("sched", &["k8s", "packing", "stdx"]),
    ("control", &["k8s", "stdx", "sched", "topology"]),
    ("agent", &["k8s", "stdx"]),
    ("apiserver", &["store", "k8s", "stdx"]),
    (
        "plane",
        &[
            "apiserver",
            "store",
            "sched",
            "control",
            "agent",
            "topology",
            "k8s",
            "stdx",
        ],
    ),
    (
        "sim",
        &[
            "plane",
            "apiserver",
            "store",
            "sched",
            "control",
            "agent",
            "topology",
            "k8s",
            "stdx",
        ],
    ),
    (
        "rehearse",
        &[
            "plane",
            "apiserver",
            "store",
            "sched",
            "control",
            "agent",
            "topology",
            "k8s",
            "stdx",
        ],
    ),
    ("config", &["k8s", "stdx"]),
    (
        "serve",
        &[
            "plane",
            "apiserver",
            "store",
            "logstore",
            "config",
            "k8s",
            "stdx",
        ],
    ),
    ("node", &["serve", "agent", "logstore", "k8s", "stdx"]),
    (
        "connect",
        &[
            "serve",
            "rehearse",
            "plane",
            "apiserver",
            "config",
            "k8s",
            "stdx",
        ],
    ),
    (
        "tui",
        &[
            "k8s", "topology", "sched", "config", "connect", "rehearse", "stdx",
        ],
    ),
];

/// The cores: no async, no clock, no environment, no files, no chance.
const CORES: &[&str] = &[
    "k8s",
    "topology",
    "store",
    "packing",
    "sched",
    "control",
    "agent",
    "apiserver",
    "plane",
    "rehearse",
    "sim",
];

/// Where `async`, `.await` and tokio may appear.
const SHELLS: &[&str] = &[
    "serve",
    "node",
    "connect",
    "tui/runtime",
    "cli",
    "main.rs",
    "cli.rs",
    "telemetry.rs",
    "serve.rs",
    "connect.rs",
];

const BANNED_PATH_WORDS: &[&str] = &[
    "utils",
    "util",
    "helpers",
    "helper",
    "common",
    "misc",
    "manager",
    "handler",
    "processor",
];

struct Source {
    /// Relative to `src`, with `/`.
    path: String,
    text: String,
}

impl Source {
    fn module(&self) -> &str {
        let first = self.path.split('/').next().unwrap_or_default();
        first.strip_suffix(".rs").unwrap_or(first)
    }

    fn is_in(&self, places: &[&str]) -> bool {
        places.iter().any(|place| {
            self.path == *place
                || self.path == format!("{place}.rs")
                || self.path.starts_with(&format!("{place}/"))
        })
    }

    /// A file that is only compiled for tests.
    fn is_test(&self) -> bool {
        const TEST_ONLY: [&str; 3] = [
            "apiserver/contract.rs",
            "apiserver/contract/",
            "node/image/sample.rs",
        ];
        let place = &self.path;
        place.ends_with("/tests.rs")
            || place.contains("/tests/")
            || TEST_ONLY.iter().any(|only| place.starts_with(only))
    }

    /// Numbered lines of product code: without comments, strings' contents and unit tests.
    fn code(&self) -> Vec<(usize, String)> {
        let mut lines = Vec::new();
        if self.is_test() {
            return lines;
        }
        for (index, line) in self.text.lines().enumerate() {
            let trimmed = line.trim_start();
            if trimmed.starts_with("#[cfg(test)]") {
                break;
            }
            if !trimmed.starts_with("//") {
                lines.push((index + 1, without_strings(line)));
            }
        }
        lines
    }
}

/// Blanks string literals and a trailing comment, so that words in texts are no findings.
fn without_strings(line: &str) -> String {
    let mut out = String::new();
    let mut in_string = false;
    let mut previous = ' ';
    for letter in line.chars() {
        if letter == '"' && previous != '\\' && previous != '\'' {
            in_string = !in_string;
        } else if !in_string {
            if letter == '/' && previous == '/' {
                break;
            }
            out.push(letter);
        }
        previous = if previous == '\\' { ' ' } else { letter };
    }
    out
}

fn sources() -> Vec<Source> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut found = Vec::new();
    collect(&root, &root, &mut found);
    assert!(
        found.len() > 20,
        "the sources were not found under {}",
        root.display()
    );
    found
}

fn collect(root: &Path, folder: &Path, found: &mut Vec<Source>) {
    let mut entries: Vec<PathBuf> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    entries.sort();
    for path in entries {
        if path.is_dir() {
            collect(root, &path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let relative = path
                .strip_prefix(root)
                .unwrap()
                .to_string_lossy()
                .replace('\\', "/");
            found.push(Source {
                path: relative,
                text: fs::read_to_string(&path).unwrap(),
            });
        }
    }
}

/// Whether `word` stands in `line` with no identifier character on either side.
fn has_word(line: &str, word: &str) -> bool {
    line.match_indices(word).any(|(at, _)| {
        let before = line[..at].chars().next_back();
        let after = line[at + word.len()..].chars().next();
        let joins = |letter: Option<char>| {
            letter.is_some_and(|letter| letter.is_alphanumeric() || letter == '_')
        };
        !joins(before) && !joins(after)
    })
}

/// Whether `word` stands in `line` with no identifier character before it.
fn begins_word(line: &str, word: &str) -> bool {
    line.match_indices(word).any(|(at, _)| {
        let before = line[..at].chars().next_back();
        before.is_none_or(|letter| !letter.is_alphanumeric() && letter != '_')
    })
}

#[track_caller]
fn report(rule: &str, findings: &[String]) {
    assert!(findings.is_empty(), "{rule}:\n  {}", findings.join("\n  "));
}

#[test]
fn modules_import_only_what_the_table_allows() {
    let table: BTreeMap<&str, &[&str]> = MAY_IMPORT.iter().copied().collect();
    let mut findings = Vec::new();
    for source in sources() {
        let Some(allowed) = table.get(source.module()) else {
            continue;
        };
        for (number, line) in source.code() {
            for other in table.keys().filter(|other| **other != source.module()) {
                let named = has_word(&line, &format!("crate::{other}"));
                if named && !allowed.contains(other) {
                    findings.push(format!("src/{}:{number}: {}", source.path, line.trim()));
                }
            }
        }
    }
    report("an import that ARCHITECTURE.md does not allow", &findings);
}

#[test]
fn cores_know_no_time_chance_or_async() {
    const FORBIDDEN: &[&str] = &[
        "clock::now",
        "clock::instant",
        "stdx::clock",
        "Instant::now",
        "SystemTime",
        "Timestamp::now",
        "tokio::",
        "std::env",
        "std::fs",
        "std::net",
        "std::thread",
        "rand::rng",
        "getrandom",
        "RandomState",
        "async fn",
        "async move",
        ".await",
    ];
    let mut findings = Vec::new();
    for source in sources().iter().filter(|source| source.is_in(CORES)) {
        for (number, line) in source.code() {
            if let Some(word) = FORBIDDEN.iter().find(|word| line.contains(**word)) {
                findings.push(format!("src/{}:{number}: `{word}`", source.path));
            }
        }
    }
    report("time, chance, I/O or async inside a core", &findings);
}

#[test]
fn async_lives_in_the_shells() {
    let mut findings = Vec::new();
    for source in sources().iter().filter(|source| !source.is_in(SHELLS)) {
        for (number, line) in source.code() {
            let found = ["async fn", "async move", ".await", "tokio::"]
                .iter()
                .find(|word| line.contains(**word));
            if let Some(word) = found {
                findings.push(format!("src/{}:{number}: `{word}`", source.path));
            }
        }
    }
    report("async outside the shells", &findings);
}

#[test]
fn colours_live_in_the_theme_and_keys_in_the_keymap() {
    let places: &[(&str, &[&str])] = &[
        (
            "Color::",
            &[
                "tui/theme",
                "tui/render",
                "tui/runtime",
                "config/theme",
                "tui/export",
                "tui/sgr",
            ],
        ),
        ("KeyCode::", &["tui/keymap", "tui/runtime", "config/keymap"]),
    ];
    let mut findings = Vec::new();
    for source in sources() {
        for (number, line) in source.code() {
            for (word, homes) in places {
                if begins_word(&line, word) && !source.is_in(homes) {
                    findings.push(format!("src/{}:{number}: `{word}`", source.path));
                }
            }
        }
    }
    report("a colour or a key named outside its home", &findings);
}

#[test]
fn every_select_is_biased() {
    let mut findings = Vec::new();
    for source in sources() {
        let code = source.code();
        for (place, (number, line)) in code.iter().enumerate() {
            if line.contains("select!") && !line.contains("biased") {
                let next = code.get(place + 1).map_or("", |(_, line)| line.trim());
                if !next.starts_with("biased;") {
                    findings.push(format!("src/{}:{number}", source.path));
                }
            }
        }
    }
    report("a `select!` that is not biased", &findings);
}

#[test]
fn every_file_opens_with_what_it_is_for() {
    let findings: Vec<String> = sources()
        .iter()
        .filter(|source| !source.text.starts_with("//!"))
        .map(|source| format!("src/{}", source.path))
        .collect();
    report("a file without a module doc", &findings);
}

#[test]
fn paths_say_what_is_inside() {
    let mut findings = Vec::new();
    for source in sources() {
        let words = source.path.split(['/', '.', '_']);
        if source.path.ends_with("/mod.rs")
            || words
                .into_iter()
                .any(|word| BANNED_PATH_WORDS.contains(&word))
        {
            findings.push(format!("src/{}", source.path));
        }
    }
    report("a path word that says nothing", &findings);
}

/// Licences that a binary under Apache-2.0 may carry.
const LICENCES: &[&str] = &[
    "MIT",
    "Apache-2.0",
    "Apache-2.0 WITH LLVM-exception",
    "BSD-2-Clause",
    "BSD-3-Clause",
    "ISC",
    "Zlib",
    "Unicode-3.0",
    "Unlicense",
    "0BSD",
    "BSL-1.0",
    "CC0-1.0",
    "CDLA-Permissive-2.0",
    "MIT-0",
    "MPL-2.0",
];

/// Crates that must stay out, with the reason.
const BANNED_CRATES: &[(&str, &str)] = &[
    ("aws-lc-rs", "ring is the one TLS provider"),
    ("openssl-sys", "rustls is the one TLS library"),
    ("rustables", "GPL-3"),
    ("spdy-mux", "GPL-3"),
];

/// Crates that name no expression but carry the text, read by a person.
const READ_LICENCES: &[(&str, &str)] = &[("rust-criu", "MIT")];

#[test]
fn dependencies_have_licences_we_may_ship() {
    let output = std::process::Command::new(env!("CARGO"))
        .args([
            "tree",
            "--locked",
            "--offline",
            "--edges",
            "normal,build",
            "--prefix",
            "none",
        ])
        .args(["--format", "{p}|{l}"])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let listing = String::from_utf8(output.stdout).unwrap();
    let packages: BTreeMap<&str, &str> = listing
        .lines()
        .filter_map(|line| line.trim_end_matches(" (*)").split_once('|'))
        .collect();
    assert!(packages.len() > 50, "the dependency list is there");
    let mut findings = Vec::new();
    for (package, licence) in packages {
        let name = package.split_whitespace().next().unwrap_or_default();
        if let Some((_, reason)) = BANNED_CRATES.iter().find(|(banned, _)| *banned == name) {
            findings.push(format!("{name}: {reason}"));
        }
        let read = READ_LICENCES.iter().find(|(read, _)| *read == name);
        let licence = read.map_or(licence, |(_, licence)| licence);
        if !may_ship(licence) {
            findings.push(format!("{package}: {licence}"));
        }
    }
    report("a dependency that may not be shipped", &findings);
}

/// Reads an SPDX expression (`A OR B`, `A AND (B OR C)`, the old `A/B`) as: some way to comply uses
/// allowed licences only.
fn may_ship(expression: &str) -> bool {
    let normal = expression.replace('/', " OR ").replace(['(', ')'], " ");
    normal.split(" AND ").all(|part| {
        part.split(" OR ").any(|licence| {
            let licence = licence.split_whitespace().collect::<Vec<_>>().join(" ");
            LICENCES.contains(&licence.trim_end_matches('+'))
        })
    })
}

#[test]
fn licence_expressions_are_read_as_choices() {
    assert!(may_ship("MIT OR GPL-3.0"));
    assert!(may_ship("MIT/Apache-2.0"));
    assert!(may_ship("(MIT OR Apache-2.0) AND Unicode-3.0"));
    assert!(!may_ship("GPL-3.0"));
    assert!(!may_ship("MIT AND GPL-3.0"));
}
