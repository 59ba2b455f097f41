//! Cuts a YAML stream into its documents by their markers, so that a broken one does not take the
//! others with it.
//!
//! A line that begins with `---` or `...` in the first column is a marker everywhere in YAML: block
//! text must be indented, and quoted text that reaches such a line is an error.

/// The text of one document.
#[derive(Clone, Copy, Debug)]
pub struct Part<'a> {
    pub text: &'a str,
    /// The line of the file at which `text` begins, from 1.
    pub line_of_text: usize,
    /// The line of the first thing in it that is no comment.
    pub line: usize,
}

pub fn documents(text: &str) -> Vec<Part<'_>> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let mut parts = Vec::new();
    let mut from = 0;
    let mut from_line = 1;
    let mut at = 0;
    for (index, line) in text.split_inclusive('\n').enumerate() {
        let end = at + line.len();
        if let Some(rest) = after_marker(line) {
            push(&mut parts, text.get(from..at), from_line);
            // `--- {kind: Pod}`: the document begins on the marker's own line.
            from = end - rest.len();
            from_line = index + 1;
        }
        at = end;
    }
    push(&mut parts, text.get(from..), from_line);
    parts
}

fn push<'a>(parts: &mut Vec<Part<'a>>, text: Option<&'a str>, line_of_text: usize) {
    let Some(text) = text else { return };
    let content = text.lines().position(|line| {
        let line = line.trim_start();
        !line.is_empty() && !line.starts_with('#') && !line.starts_with('%')
    });
    if let Some(offset) = content {
        parts.push(Part {
            text,
            line_of_text,
            line: line_of_text + offset,
        });
    }
}

/// What follows a marker on its line, its newline included.
fn after_marker(line: &str) -> Option<&str> {
    let rest = line
        .strip_prefix("---")
        .or_else(|| line.strip_prefix("..."))?;
    let is_marker = rest.is_empty() || rest.starts_with([' ', '\t', '\r', '\n']);
    is_marker.then_some(rest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn markers_part_documents_and_lines_are_counted() {
        let text = "# head\n---\na: 1\n\n--- # next\n\n# note\nb: |\n  ---\n...\n---\n";
        let parts = documents(text);
        let lines: Vec<usize> = parts.iter().map(|part| part.line).collect();
        assert_eq!(lines, [3, 8]);
        assert!(parts[1].text.contains("  ---"));
    }

    #[test]
    fn a_document_may_begin_on_its_marker_line() {
        let parts = documents("--- {a: 1}\n---x: 2\n");
        assert_eq!(parts.len(), 1);
        assert_eq!(parts[0].line, 1);
    }
}
