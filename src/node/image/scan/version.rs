//! Which of two versions is the newer one, by the rules of the packages' own tools.
//!
//! Sources: deb-version(7); apk-tools, `src/version.c`, where `1.0_rc1` is older than `1.0` since
//! its version 3.

use std::cmp::Ordering;

/// Whose rules hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scheme {
    Dpkg,
    Apk,
}

impl Scheme {
    pub fn compare(self, one: &str, other: &str) -> Ordering {
        match self {
            Self::Dpkg => dpkg(one, other),
            Self::Apk => apk(one, other),
        }
    }
}

fn dpkg(one: &str, other: &str) -> Ordering {
    let (one, other) = (Debian::of(one), Debian::of(other));
    one.epoch
        .cmp(&other.epoch)
        .then_with(|| parts(one.upstream.as_bytes(), other.upstream.as_bytes()))
        .then_with(|| parts(one.revision.as_bytes(), other.revision.as_bytes()))
}

/// `epoch:upstream-revision`.
struct Debian<'a> {
    epoch: u64,
    upstream: &'a str,
    revision: &'a str,
}

impl<'a> Debian<'a> {
    fn of(text: &'a str) -> Self {
        let (epoch, rest) = text.split_once(':').unwrap_or(("0", text));
        let (upstream, revision) = rest.rsplit_once('-').unwrap_or((rest, ""));
        Self {
            epoch: epoch.parse().unwrap_or(0),
            upstream,
            revision,
        }
    }
}

/// By turns what is no digit, letter by letter, and numbers.
fn parts(mut one: &[u8], mut other: &[u8]) -> Ordering {
    while !one.is_empty() || !other.is_empty() {
        while is_word(one) || is_word(other) {
            let ordered = weight(one).cmp(&weight(other));
            if ordered.is_ne() {
                return ordered;
            }
            one = one.get(1..).unwrap_or_default();
            other = other.get(1..).unwrap_or_default();
        }
        let (number, after) = number(one);
        let (others_number, others_after) = self::number(other);
        // Without leading zeros the longer number is the greater one.
        let by_length = number.len().cmp(&others_number.len());
        let ordered = by_length.then_with(|| number.cmp(others_number));
        if ordered.is_ne() {
            return ordered;
        }
        (one, other) = (after, others_after);
    }
    Ordering::Equal
}

fn is_word(text: &[u8]) -> bool {
    text.first().is_some_and(|byte| !byte.is_ascii_digit())
}

/// A tilde comes before the end, the end before letters, letters before everything else.
fn weight(text: &[u8]) -> i32 {
    match text.first() {
        Some(b'~') => -1,
        None => 0,
        Some(byte) if byte.is_ascii_digit() => 0,
        Some(byte) if byte.is_ascii_alphabetic() => i32::from(*byte),
        Some(byte) => i32::from(*byte) + 256,
    }
}

/// The digits that a text begins with, without leading zeros, and what follows.
fn number(text: &[u8]) -> (&[u8], &[u8]) {
    let end = text.iter().position(|byte| !byte.is_ascii_digit());
    let (digits, after) = text.split_at(end.unwrap_or(text.len()));
    let zeros = digits.iter().take_while(|byte| **byte == b'0').count();
    (digits.get(zeros..).unwrap_or_default(), after)
}

/// Kinds of an apk version's parts. The order is apk's own: of two versions that are equal up to
/// here, the one whose next part is of a later kind is the older one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Kind {
    Invalid,
    DigitOrZero,
    Digit,
    Letter,
    Suffix,
    SuffixNumber,
    Revision,
    End,
}

const BEFORE: [&str; 4] = ["alpha", "beta", "pre", "rc"];
const AFTER: [&str; 5] = ["cvs", "svn", "git", "hg", "p"];

/// What is left of an apk version, and the kind of its next part.
#[derive(Clone, Copy)]
struct Apk<'a> {
    kind: Kind,
    rest: &'a str,
}

fn apk(one: &str, other: &str) -> Ordering {
    let kind = Kind::Digit;
    let (mut one, mut other) = (Apk { kind, rest: one }, Apk { kind, rest: other });
    while one.kind == other.kind && !matches!(one.kind, Kind::End | Kind::Invalid) {
        let ordered = one.take().cmp(&other.take());
        if ordered.is_ne() {
            return ordered;
        }
    }
    if one.kind == other.kind {
        return Ordering::Equal;
    }
    // A suffix of a release to come makes a version older than the same without it.
    if one.is_before_release() {
        return Ordering::Less;
    }
    if other.is_before_release() {
        return Ordering::Greater;
    }
    other.kind.cmp(&one.kind)
}

impl Apk<'_> {
    fn is_before_release(mut self) -> bool {
        self.kind == Kind::Suffix && self.take() < 0
    }

    /// The next part's value; `self` stands behind it then.
    fn take(&mut self) -> i64 {
        let mut following = None;
        let digits = |text: &str| text.bytes().take_while(u8::is_ascii_digit).count();
        let (length, value) = match self.kind {
            Kind::DigitOrZero if self.rest.starts_with('0') => {
                let zeros = self.rest.bytes().take_while(|byte| *byte == b'0').count();
                let is_followed = self
                    .rest
                    .as_bytes()
                    .get(zeros)
                    .is_some_and(u8::is_ascii_digit);
                following = is_followed.then_some(Kind::Digit);
                (zeros, -i64::try_from(zeros).unwrap_or(i64::MAX))
            }
            Kind::DigitOrZero | Kind::Digit | Kind::SuffixNumber | Kind::Revision => {
                let length = digits(self.rest);
                let number = self.rest.get(..length).unwrap_or_default();
                (length, number.parse().unwrap_or(0))
            }
            Kind::Letter => (1, self.rest.bytes().next().map_or(0, i64::from)),
            Kind::Suffix => {
                let Some(found) = suffix(self.rest) else {
                    self.kind = Kind::Invalid;
                    return 0;
                };
                found
            }
            Kind::Invalid | Kind::End => return 0,
        };
        self.rest = self.rest.get(length..).unwrap_or_default();
        match following {
            _ if self.rest.is_empty() => self.kind = Kind::End,
            Some(kind) => self.kind = kind,
            None => self.move_on(),
        }
        value
    }

    fn move_on(&mut self) {
        let first = self.rest.bytes().next().unwrap_or_default();
        let (kind, skip) = match (self.kind, first) {
            (Kind::Digit | Kind::DigitOrZero, b'a'..=b'z') => (Kind::Letter, 0),
            (Kind::Letter, b'0'..=b'9') => (Kind::Digit, 0),
            (Kind::Suffix, b'0'..=b'9') => (Kind::SuffixNumber, 0),
            (_, b'.') => (Kind::DigitOrZero, 1),
            (_, b'_') => (Kind::Suffix, 1),
            (_, b'-') if self.rest.starts_with("-r") => (Kind::Revision, 2),
            _ => (Kind::Invalid, 0),
        };
        let may_go_back = matches!(
            (kind, self.kind),
            (Kind::DigitOrZero, Kind::Digit)
                | (Kind::Suffix, Kind::SuffixNumber)
                | (Kind::Digit, Kind::Letter)
        );
        self.kind = if kind < self.kind && !may_go_back {
            Kind::Invalid
        } else {
            kind
        };
        self.rest = self.rest.get(skip..).unwrap_or_default();
    }
}

/// The length of a suffix and where it stands: before the release or after.
fn suffix(text: &str) -> Option<(usize, i64)> {
    let find = |names: &[&str]| {
        let at = names.iter().position(|name| text.starts_with(name))?;
        Some((names.get(at)?.len(), i64::try_from(at).ok()?))
    };
    let before = find(&BEFORE).map(|(length, at)| (length, at - 4));
    before.or_else(|| find(&AFTER))
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use proptest::prelude::*;

    use super::*;

    #[track_caller]
    fn check(scheme: Scheme, rows: &[(&str, &str, &str)]) {
        for (one, sign, other) in rows {
            let expected = match *sign {
                "<" => Ordering::Less,
                ">" => Ordering::Greater,
                _ => Ordering::Equal,
            };
            assert_eq!(scheme.compare(one, other), expected, "{one} {sign} {other}");
            assert_eq!(
                scheme.compare(other, one),
                expected.reverse(),
                "{other} and {one}"
            );
        }
    }

    #[test]
    fn debian_versions_are_ordered_as_their_manual_says() {
        check(
            Scheme::Dpkg,
            &[
                ("1.0", "=", "1.0"),
                ("1.0", "=", "1.0-0"),
                ("1.0", "=", "0:1.0"),
                ("1:0.1", ">", "9.9"),
                ("1.9", "<", "1.10"),
                ("1.0~rc1", "<", "1.0"),
                ("1.0~~", "<", "1.0~"),
                ("1.0~~a", "<", "1.0~"),
                ("1.0a", ">", "1.0"),
                ("1.0+b1", ">", "1.0a"),
                ("3.0.11-1~deb12u2", "<", "3.0.11-1"),
                ("1.2.3-1ubuntu1", ">", "1.2.3-1"),
                ("1.001", "=", "1.1"),
                ("2.36-9+deb12u4", ">", "2.36-9+deb12u3"),
            ],
        );
    }

    #[test]
    fn alpine_versions_are_ordered_as_apk_does() {
        check(
            Scheme::Apk,
            &[
                ("1.2.3", "=", "1.2.3"),
                ("1.9", "<", "1.10"),
                ("1.0", "<", "1.0.1"),
                ("1.0.2", ">", "1.0"),
                ("1.01", "<", "1.1"),
                ("1.0_alpha", "<", "1.0_beta"),
                ("1.0_beta2", ">", "1.0_beta"),
                ("1.0_pre1", "<", "1.0_rc1"),
                ("1.0_rc1", "<", "1.0"),
                ("1.0_p1", ">", "1.0"),
                ("1.0_git20230101", ">", "1.0"),
                ("1.0_p2", ">", "1.0_p1"),
                ("1.2.3a", ">", "1.2.3"),
                ("1.2.3a", "<", "1.2.3b"),
                ("1.36.1-r5", ">", "1.36.1-r4"),
                ("1.36.1-r10", ">", "1.36.1-r9"),
                ("1.36.1-r0", ">", "1.36.1"),
                ("1.36.1_rc1-r9", "<", "1.36.1-r0"),
                ("3.1.4-r5", "<", "3.1.4.1-r0"),
                ("2.34", ">", "0.1.0_alpha"),
            ],
        );
    }

    fn is_here() -> bool {
        let found = Command::new("dpkg").arg("--version").output().is_ok();
        if !found {
            println!("skipped: dpkg is not installed");
        }
        found
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

        #[test]
        fn debian_versions_are_ordered_as_dpkg_does(
            one in "([0-3]:)?[0-9][0-9a-b.+~]{0,5}(-[0-9a-b.+~]{1,4})?",
            other in "([0-3]:)?[0-9][0-9a-b.+~]{0,5}(-[0-9a-b.+~]{1,4})?",
        ) {
            if !is_here() {
                return Ok(());
            }
            let sign = match dpkg(&one, &other) {
                Ordering::Less => "lt",
                Ordering::Equal => "eq",
                Ordering::Greater => "gt",
            };
            let output = Command::new("dpkg")
                .args(["--compare-versions", &one, sign, &other])
                .output();
            prop_assert!(output.unwrap().status.success(), "{one} {sign} {other}");
        }

        #[test]
        fn both_orders_are_orders(
            versions in proptest::collection::vec("[0-9]{1,2}(\\.[0-9]{1,2}){0,2}[a-b]?(_(rc|p)[0-9])?(-r[0-9])?", 3),
        ) {
            for scheme in [Scheme::Dpkg, Scheme::Apk] {
                let compare = |x: usize, y: usize| scheme.compare(&versions[x], &versions[y]);
                prop_assert_eq!(compare(0, 1), compare(1, 0).reverse());
                if compare(0, 1).is_le() && compare(1, 2).is_le() {
                    prop_assert!(compare(0, 2).is_le(), "{:?} {:?}", scheme, versions);
                }
            }
        }
    }
}
