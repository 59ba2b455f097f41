//! Lines of the CRI's log format, read as fast as a container can write them.

use jiff::Timestamp;

use crate::logstore::nanos;

/// A longer line is taken in as several: whoever writes without line ends must not fill the memory.
pub const LINE_BYTES_MAX: usize = 256 << 10;

/// One line of a log file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Part<'a> {
    pub at: i64,
    pub is_error: bool,
    /// The line goes on in the stream's next part.
    pub goes_on: bool,
    pub text: &'a [u8],
}

/// Reads times; lines of one second share most of theirs.
#[derive(Debug, Default)]
pub struct Times {
    second: [u8; 19],
    at: i64,
}

/// `2026-11-22T20:45:01.123456789Z`
const TIME_BYTES: usize = 30;

impl Times {
    /// `None` for anything that is no line of a log.
    pub fn part<'a>(&mut self, line: &'a [u8]) -> Option<Part<'a>> {
        let mut words = line.splitn(4, |byte| *byte == b' ');
        let at = self.read(words.next()?)?;
        let is_error = match words.next()? {
            b"stdout" => false,
            b"stderr" => true,
            _ => return None,
        };
        // Tags may be more than one, separated by colons; the first is what matters.
        let goes_on = words.next()?.first() == Some(&b'P');
        Some(Part {
            at,
            is_error,
            goes_on,
            text: words.next()?,
        })
    }

    fn read(&mut self, text: &[u8]) -> Option<i64> {
        let whole = || Some(nanos(std::str::from_utf8(text).ok()?.parse().ok()?));
        let Some((second, rest)) = text.split_first_chunk::<19>() else {
            return whole();
        };
        let is_plain =
            text.len() == TIME_BYTES && rest.first() == Some(&b'.') && rest.last() == Some(&b'Z');
        if !is_plain {
            return whole();
        }
        if self.second != *second {
            let begun: Timestamp = format!("{}Z", std::str::from_utf8(second).ok()?)
                .parse()
                .ok()?;
            (self.second, self.at) = (*second, nanos(begun));
        }
        let mut part = 0;
        for digit in rest.get(1..10)? {
            part = part * 10 + i64::from(digit.checked_sub(b'0').filter(|it| *it < 10)?);
        }
        Some(self.at + part)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_read_and_others_are_not() {
        let mut times = Times::default();
        let second = 1_795_380_301 * 1_000_000_000;
        for (line, at, is_error, goes_on, text) in [
            (
                "2026-11-22T20:45:01.000000007Z stdout F a b c",
                7,
                false,
                false,
                "a b c",
            ),
            (
                "2026-11-22T20:45:01.123456789Z stderr P x",
                123_456_789,
                true,
                true,
                "x",
            ),
            (
                "2026-11-22T20:45:01.5Z stdout F ",
                500_000_000,
                false,
                false,
                "",
            ),
            (
                "2026-11-22T20:45:02Z stdout F:x y",
                1_000_000_000,
                false,
                false,
                "y",
            ),
        ] {
            let part = times.part(line.as_bytes()).unwrap();
            let at = second + at;
            let text = text.as_bytes();
            assert_eq!(
                part,
                Part {
                    at,
                    is_error,
                    goes_on,
                    text
                },
                "{line}"
            );
        }
        for line in [
            "",
            "x stdout F y",
            "2026-11-22T20:45:01.00000000xZ stdout F a",
            "2026-11-22T20:45:01Z other F y",
        ] {
            assert_eq!(times.part(line.as_bytes()), None, "{line}");
        }
    }
}
