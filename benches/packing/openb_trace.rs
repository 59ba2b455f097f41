//! Reads the lists of the openb trace.

use std::collections::BTreeMap;
use std::path::Path;

pub struct Machine {
    pub cpu_milli: i64,
    pub memory_mib: i64,
    pub devices: i64,
    pub model: String,
}

pub struct Pod {
    pub cpu_milli: i64,
    pub memory_mib: i64,
    pub devices: i64,
    /// Of each device.
    pub gpu_milli: i64,
    /// Empty: any.
    pub models: Vec<String>,
}

pub fn pods(path: &Path) -> Vec<Pod> {
    rows(path, |row| Pod {
        cpu_milli: row.number("cpu_milli"),
        memory_mib: row.number("memory_mib"),
        devices: row.number("num_gpu"),
        gpu_milli: row.number("gpu_milli"),
        models: row
            .text("gpu_spec")
            .split('|')
            .filter(|model| !model.is_empty())
            .map(str::to_owned)
            .collect(),
    })
}

pub fn nodes(path: &Path) -> Vec<Machine> {
    rows(path, |row| Machine {
        cpu_milli: row.number("cpu_milli"),
        memory_mib: row.number("memory_mib"),
        devices: row.number("gpu"),
        model: row.text("model").to_owned(),
    })
}

/// One line of a comma separated file without quoting, by the names of its header.
pub struct Row<'a>(BTreeMap<&'a str, &'a str>);

impl<'a> Row<'a> {
    /// Empty where the column is missing.
    pub fn text(&self, column: &str) -> &'a str {
        self.0.get(column).copied().unwrap_or("")
    }

    pub fn number(&self, column: &str) -> i64 {
        self.text(column).parse().unwrap_or(0)
    }
}

pub fn rows<T>(path: &Path, read: impl Fn(&Row<'_>) -> T) -> Vec<T> {
    let text = match std::fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) => {
            eprintln!("{}: {error}", path.display());
            return Vec::new();
        }
    };
    let mut lines = text.lines();
    let header: Vec<&str> = lines.next().unwrap_or("").split(',').collect();
    let row = |line| {
        read(&Row(header
            .iter()
            .copied()
            .zip(str::split(line, ','))
            .collect()))
    };
    lines.map(row).collect()
}
