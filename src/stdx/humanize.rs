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

/// At most three significant digits: `0.25`, `12.5`, `212`, `1,204`.
pub fn significant(value: f64) -> String {
    let size = value.abs();
    if size >= 99.95 {
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "a float cast saturates, and the sign is written apart"
        )]
        let whole = size.round() as u64;
        let sign = if value < 0.0 { "-" } else { "" };
        return format!("{sign}{}", thousands(whole));
    }
    let text = if size >= 9.995 {
        format!("{value:.1}")
    } else {
        format!("{value:.2}")
    };
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

/// Thousandths as whole units: `250` is `0.25`, `14800` is `14.8`.
pub fn milli(amount: i64) -> String {
    significant(amount as f64 / 1000.0)
}

/// The binary unit that a number of bytes is best told in: `Ki` to `Ei`, empty below.
pub fn binary_unit(amount: i64) -> (&'static str, i64) {
    const UNITS: [(&str, u32); 6] = [
        ("Ei", 60),
        ("Pi", 50),
        ("Ti", 40),
        ("Gi", 30),
        ("Mi", 20),
        ("Ki", 10),
    ];
    UNITS
        .iter()
        .find(|(_, shift)| amount.unsigned_abs() >= 1 << shift)
        .map_or(("", 1), |(unit, shift)| (unit, 1 << shift))
}

/// `43.7 Gi`, `512 Mi`, `0`.
pub fn bytes(amount: i64) -> String {
    let (unit, size) = binary_unit(amount);
    let number = significant(amount as f64 / size as f64);
    if unit.is_empty() {
        number
    } else {
        format!("{number} {unit}")
    }
}

/// A part of a whole in the whole's unit: `48.2/64 Gi`.
pub fn bytes_of(part: i64, whole: i64) -> String {
    let (unit, size) = binary_unit(whole);
    let scaled = |amount: i64| significant(amount as f64 / size as f64);
    format!("{}/{} {unit}", scaled(part), scaled(whole))
        .trim_end()
        .to_owned()
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

    #[test]
    fn amounts_have_three_significant_digits() {
        let rows = [
            (0.0, "0"),
            (0.25, "0.25"),
            (2.5, "2.5"),
            (9.999, "10"),
            (14.8, "14.8"),
            (16.0, "16"),
            (99.97, "100"),
            (212.4, "212"),
            (1204.0, "1,204"),
            (-3.5, "-3.5"),
        ];
        for (value, expected) in rows {
            assert_eq!(significant(value), expected);
        }
        assert_eq!(bytes(0), "0");
        assert_eq!(bytes(512 << 20), "512 Mi");
        assert_eq!(bytes((43 << 30) + (700 << 20)), "43.7 Gi");
        assert_eq!(bytes(3 << 40), "3 Ti");
        assert_eq!(bytes_of(48 << 30, 64 << 30), "48/64 Gi");
        assert_eq!(bytes_of(512 << 20, 64 << 30), "0.5/64 Gi");
        assert_eq!(milli(250), "0.25");
    }
}
