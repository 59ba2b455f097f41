//! What a scan of its image found in a container: annotations that its node writes on the pod.

use std::fmt::Write;

use serde_json::Value;

const PREFIX: &str = "vulnerabilities.bayplan.dev/";

/// The annotation of one container.
pub fn key(container: &str) -> String {
    format!("{PREFIX}{container}")
}

/// How many of each severity, the worst first, for the annotation; `of` says against what, and when.
pub fn text(counts: &[(String, usize)], of: &str) -> String {
    let mut text = String::new();
    for (severity, count) in counts.iter().filter(|(_, count)| *count > 0) {
        let comma = if text.is_empty() { "" } else { ", " };
        // Writing into a string cannot fail.
        let _ = write!(text, "{comma}{count} {severity}");
    }
    if text.is_empty() {
        text.push_str("none known");
    }
    format!("{text} ({of})")
}

/// What is told of a container of this pod; nothing where its image was not scanned.
pub fn of(pod: &Value, container: &str) -> Option<String> {
    let annotations = pod.pointer("/metadata/annotations")?;
    let told = annotations.get(key(container))?.as_str()?;
    Some(told.to_owned())
}

/// Whether somebody should act on it.
pub fn is_serious(told: &str) -> bool {
    let mut words = told.split([' ', ',']);
    words.any(|word| word == "critical" || word == "high")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_is_written_is_read() {
        let counts = [("critical", 0), ("high", 2), ("low", 1)];
        let counts = counts.map(|(severity, count)| (severity.to_owned(), count));
        let told = text(&counts, "Debian:12, 2026-01-02");
        assert_eq!(told, "2 high, 1 low (Debian:12, 2026-01-02)");
        let none = text(&[], "Debian:12, 2026-01-02");
        assert_eq!(none, "none known (Debian:12, 2026-01-02)");
        let pod = json!({"metadata": {"annotations": {key("app"): told}}});
        assert_eq!(of(&pod, "app").as_deref(), Some(&*told));
        assert_eq!(of(&pod, "other"), None);
        assert!(is_serious(&told) && !is_serious(&none));
    }
}
