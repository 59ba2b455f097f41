//! The difference between two forms of an object, as lines.
//!
//! What a server or another writer keeps changing by itself (managed fields, resource versions,
//! status) is left out unless asked for, so that the lines are what the reader's change does.

use serde_json::Value;
use similar::{ChangeTag, TextDiff};

#[derive(Clone, PartialEq, Eq, Debug)]
pub struct DiffLine {
    pub kind: LineKind,
    pub text: String,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum LineKind {
    Same,
    Removed,
    Added,
    /// Unchanged lines that are not shown; the text says how many.
    Gap,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Noise {
    #[default]
    Hidden,
    Shown,
}

/// A difference to show, and how large it is.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Diff {
    pub lines: Vec<DiffLine>,
    pub added: usize,
    pub removed: usize,
}

/// Unchanged lines round a change.
const CONTEXT: usize = 3;

impl Diff {
    pub fn is_empty(&self) -> bool {
        self.added == 0 && self.removed == 0
    }

    /// `2 lines removed, 3 added`.
    pub fn summary(&self) -> String {
        if self.is_empty() {
            "no difference".to_owned()
        } else {
            format!("{} removed, {} added", self.removed, self.added)
        }
    }
}

/// Compares two objects as YAML.
pub fn objects(before: &Value, after: &Value, noise: Noise) -> Diff {
    texts(&yaml(before, noise), &yaml(after, noise))
}

/// Compares two texts by line.
pub fn texts(before: &str, after: &str) -> Diff {
    let compared = TextDiff::from_lines(before, after);
    let mut diff = Diff::default();
    let mut next_line = 0;
    for group in compared.grouped_ops(CONTEXT) {
        let start = group.first().map_or(0, |op| op.old_range().start);
        push_gap(&mut diff, start.saturating_sub(next_line));
        for op in &group {
            for change in compared.iter_changes(op) {
                let kind = match change.tag() {
                    ChangeTag::Equal => LineKind::Same,
                    ChangeTag::Delete => LineKind::Removed,
                    ChangeTag::Insert => LineKind::Added,
                };
                diff.added += usize::from(kind == LineKind::Added);
                diff.removed += usize::from(kind == LineKind::Removed);
                diff.lines.push(DiffLine {
                    kind,
                    text: change.value().trim_end_matches(['\n', '\r']).to_owned(),
                });
            }
            next_line = op.old_range().end;
        }
    }
    if !diff.is_empty() {
        push_gap(&mut diff, before.lines().count().saturating_sub(next_line));
    }
    diff
}

fn push_gap(diff: &mut Diff, lines: usize) {
    if lines > 0 {
        let text = crate::stdx::humanize::counted(lines, "unchanged line", "unchanged lines");
        diff.lines.push(DiffLine {
            kind: LineKind::Gap,
            text,
        });
    }
}

/// The object as YAML, without what changes by itself where that is hidden.
pub fn yaml(object: &Value, noise: Noise) -> String {
    let mut object = object.clone();
    if noise == Noise::Hidden {
        remove_noise(&mut object);
    }
    serde_saphyr::to_string(&object).unwrap_or_else(|error| format!("# {error}\n"))
}

/// Takes out managed fields, the server's bookkeeping and the status.
pub fn remove_noise(object: &mut Value) {
    let Some(fields) = object.as_object_mut() else {
        return;
    };
    fields.remove("status");
    if let Some(metadata) = fields.get_mut("metadata").and_then(Value::as_object_mut) {
        for name in [
            "managedFields",
            "resourceVersion",
            "generation",
            "uid",
            "creationTimestamp",
            "selfLink",
        ] {
            metadata.remove(name);
        }
        if let Some(annotations) = metadata
            .get_mut("annotations")
            .and_then(Value::as_object_mut)
        {
            annotations.remove("kubectl.kubernetes.io/last-applied-configuration");
            if annotations.is_empty() {
                metadata.remove("annotations");
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn deployment(replicas: i64, revision: &str) -> Value {
        json!({"apiVersion": "apps/v1", "kind": "Deployment",
               "metadata": {"name": "cart", "resourceVersion": revision,
                            "managedFields": [{"manager": revision}]},
               "spec": {"replicas": replicas}, "status": {"replicas": replicas}})
    }

    #[test]
    fn only_what_was_asked_for_differs() {
        let diff = objects(&deployment(3, "1"), &deployment(5, "2"), Noise::Hidden);
        let changed: Vec<(LineKind, &str)> = diff
            .lines
            .iter()
            .filter(|line| line.kind != LineKind::Same)
            .map(|line| (line.kind, line.text.as_str()))
            .collect();
        assert_eq!(
            changed,
            [
                (LineKind::Gap, "2 unchanged lines"),
                (LineKind::Removed, "  replicas: 3"),
                (LineKind::Added, "  replicas: 5"),
            ]
        );
        assert_eq!(diff.summary(), "1 removed, 1 added");
        let noisy = objects(&deployment(3, "1"), &deployment(3, "2"), Noise::Shown);
        assert_eq!((noisy.removed, noisy.added), (2, 2));
        assert!(objects(&deployment(3, "1"), &deployment(3, "2"), Noise::Hidden).is_empty());
    }
}
