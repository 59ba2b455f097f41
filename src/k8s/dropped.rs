//! The line that stands in a log for lines that its reader was too slow for.
//!
//! The log API has no other place for it: whoever follows reads it among the lines. It is written by
//! our kubelet, and counted by the console. A container can write it too, so nothing may rest on it.

/// Loggers' usual form, so that it is shown as a warning.
const BEFORE: &str = "[warn] bayplan dropped ";
const AFTER: &str = " lines: the log went on before they were read";

/// The line for so many.
pub fn line(lines: u64) -> String {
    format!("{BEFORE}{lines}{AFTER}")
}

/// How many lines such a line stands for; `None` for every other line.
pub fn count(line: &str) -> Option<u64> {
    line.strip_prefix(BEFORE)?.strip_suffix(AFTER)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_counted() {
        assert_eq!(count(&line(1_600_000)), Some(1_600_000));
        for other in ["", "[warn] bayplan dropped many lines", "a line"] {
            assert_eq!(count(other), None, "{other}");
        }
    }
}
