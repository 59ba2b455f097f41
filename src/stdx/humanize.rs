//! Durations and counts as people read them, in the forms that `kubectl` users know.

use jiff::{SignedDuration, Timestamp};

/// The age of something in at most two units: `38s`, `4m12s`, `41d`, `2y17d`.
///
/// Source: `HumanDuration` of `k8s.io/apimachinery/pkg/util/duration`.
pub fn duration(length: SignedDuration) -> String {
    let seconds = length.as_secs();
    let (minutes, hours) = (seconds / 60, seconds / 3600);
    let days = hours / 24;
    match seconds {
        ..-1 => "<invalid>".to_owned(),
        -1 => "0s".to_owned(),
        0..120 => format!("{seconds}s"),
        120..600 => pair(minutes, 'm', seconds % 60, 's'),
        600..10_800 => format!("{minutes}m"),
        10_800..28_800 => pair(hours, 'h', minutes % 60, 'm'),
        28_800..172_800 => format!("{hours}h"),
        172_800..691_200 => pair(days, 'd', hours % 24, 'h'),
        691_200..63_072_000 => format!("{days}d"),
        63_072_000..252_288_000 => pair(days / 365, 'y', days % 365, 'd'),
        _ => format!("{}y", days / 365),
    }
}

/// The time from `since` to `now` as [`duration`] writes it.
pub fn age(since: Timestamp, now: Timestamp) -> String {
    duration(now.duration_since(since))
}

/// The same where the beginning may be unknown, as `kubectl` prints it.
pub fn age_of(since: Option<Timestamp>, now: Timestamp) -> String {
    since.map_or_else(|| "<unknown>".to_owned(), |since| age(since, now))
}

/// `5,000`.
pub fn thousands(count: u64) -> String {
    let digits = count.to_string();
    let mut out = String::with_capacity(digits.len() + digits.len() / 3);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

/// `1 pod`, `2 pods`: the count with the noun in the right number.
pub fn counted(count: usize, singular: &str, plural: &str) -> String {
    let noun = if count == 1 { singular } else { plural };
    format!("{} {noun}", thousands(count as u64))
}

fn pair(large: i64, large_unit: char, small: i64, small_unit: char) -> String {
    if small == 0 {
        format!("{large}{large_unit}")
    } else {
        format!("{large}{large_unit}{small}{small_unit}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(seconds: i64, expected: &str) {
        assert_eq!(duration(SignedDuration::from_secs(seconds)), expected);
    }

    #[test]
    fn durations_read_as_kubectl_prints_them() {
        const DAY: i64 = 86_400;
        check(-2, "<invalid>");
        check(-1, "0s");
        check(119, "119s");
        check(120, "2m");
        check(252, "4m12s");
        check(599, "9m59s");
        check(600, "10m");
        check(179 * 60 + 59, "179m");
        check(3 * 3600 + 60, "3h1m");
        check(8 * 3600 + 59 * 60, "8h");
        check(47 * 3600, "47h");
        check(2 * DAY, "2d");
        check(7 * DAY + 5 * 3600, "7d5h");
        check(8 * DAY + 5 * 3600, "8d");
        check(729 * DAY, "729d");
        check(730 * DAY + DAY, "2y1d");
        check(9 * 365 * DAY, "9y");
    }

    #[test]
    fn counts_are_grouped() {
        assert_eq!(thousands(0), "0");
        assert_eq!(thousands(999), "999");
        assert_eq!(thousands(148_211), "148,211");
        assert_eq!(counted(1, "pod", "pods"), "1 pod");
        assert_eq!(counted(5000, "node", "nodes"), "5,000 nodes");
    }
}
