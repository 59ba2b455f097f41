//! Simulated trouble: what a pod's annotations ask its simulated containers to do.
//!
//! | annotation | value | effect |
//! |---|---|---|
//! | `bayplan.dev/run-for` | `20s` | containers end with exit code 0 after this long |
//! | `bayplan.dev/simulate` | `crash-after=30s,exit=137,reason=OOMKilled` | the container ends so, each time |
//! | | `image-pull-fails` | the registry knows no such image |
//! | | `never-ready` | the readiness probe fails for ever |
//! | | `ready-after=5s` | ready so long after the start |
//! | | `container=NAME` | which container is meant; the first one without it |
//!
//! Terms are parted by commas and may be combined. Durations are Go's: `90s`, `1m30s`, `500ms`.

use std::collections::BTreeMap;

use jiff::SignedDuration;

use super::pod::{Container, Spec};
use crate::k8s::Name;

pub const SIMULATE: &str = "bayplan.dev/simulate";
pub const RUN_FOR: &str = "bayplan.dev/run-for";

/// What is asked of one pod.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Trouble {
    pub container: Option<Name>,
    pub crash: Option<Crash>,
    pub pull_fails: bool,
    pub never_ready: bool,
    pub ready_after: Option<SignedDuration>,
    pub run_for: Option<SignedDuration>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Crash {
    pub after: SignedDuration,
    pub exit_code: i32,
    pub reason: Name,
}

/// Why an annotation is not understood.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TroubleError {
    #[error(
        "`{term}` is not one of crash-after=DURATION, exit=CODE, reason=REASON, image-pull-fails, never-ready, ready-after=DURATION, container=NAME"
    )]
    UnknownTerm { term: String },
    #[error("`{value}` of `{term}` is no duration such as 30s or 1m30s")]
    Duration { term: String, value: String },
    #[error("`{value}` of `exit` is no exit code from 0 to 255")]
    ExitCode { value: String },
}

impl Trouble {
    /// Reads both annotations. A pod without them has no trouble.
    pub fn parse(annotations: &BTreeMap<Name, String>) -> Result<Self, TroubleError> {
        let mut trouble = Self::default();
        if let Some(value) = annotations.get(RUN_FOR) {
            trouble.run_for = Some(read_duration(RUN_FOR, value)?);
        }
        let terms = annotations.get(SIMULATE).map_or("", String::as_str);
        let mut crash_after = None;
        let mut exit_code = None;
        let mut reason = None;
        for term in terms
            .split(',')
            .map(str::trim)
            .filter(|term| !term.is_empty())
        {
            let (key, value) = term.split_once('=').unwrap_or((term, ""));
            match key.trim() {
                "crash-after" => crash_after = Some(read_duration(key, value)?),
                "ready-after" => trouble.ready_after = Some(read_duration(key, value)?),
                "exit" => exit_code = Some(read_exit_code(value)?),
                "reason" => reason = Some(Name::new(value.trim())),
                "container" => trouble.container = Some(Name::new(value.trim())),
                "image-pull-fails" => trouble.pull_fails = true,
                "never-ready" => trouble.never_ready = true,
                _ => {
                    return Err(TroubleError::UnknownTerm {
                        term: term.to_owned(),
                    });
                }
            }
        }
        trouble.crash = crash_after.map(|after| {
            let exit_code = exit_code.unwrap_or(1);
            let usual = if exit_code == 0 { "Completed" } else { "Error" };
            Crash {
                after,
                exit_code,
                reason: reason.unwrap_or_else(|| usual.into()),
            }
        });
        Ok(trouble)
    }

    /// Whether the trouble is this container's.
    pub fn concerns(&self, spec: &Spec, container: &Container) -> bool {
        match &self.container {
            Some(name) => *name == container.name,
            None => spec
                .containers
                .first()
                .is_some_and(|first| first.name == container.name),
        }
    }
}

fn read_exit_code(value: &str) -> Result<i32, TroubleError> {
    value
        .trim()
        .parse::<u8>()
        .map(i32::from)
        .ok()
        .ok_or_else(|| TroubleError::ExitCode {
            value: value.to_owned(),
        })
}

fn read_duration(term: &str, value: &str) -> Result<SignedDuration, TroubleError> {
    duration(value).ok_or_else(|| TroubleError::Duration {
        term: term.to_owned(),
        value: value.to_owned(),
    })
}

/// Go's durations with whole numbers: `1h2m3s4ms`; not negative.
fn duration(text: &str) -> Option<SignedDuration> {
    let mut rest = text.trim();
    let mut total = SignedDuration::ZERO;
    if rest.is_empty() {
        return None;
    }
    while !rest.is_empty() {
        let digits = rest.find(|letter: char| !letter.is_ascii_digit())?;
        let (number, tail) = rest.split_at(digits);
        let number: i64 = number.parse().ok()?;
        let letters = tail
            .find(|letter: char| letter.is_ascii_digit())
            .unwrap_or(tail.len());
        let (unit, tail) = tail.split_at(letters);
        let millis = match unit {
            "ms" => 1,
            "s" => 1_000,
            "m" => 60_000,
            "h" => 3_600_000,
            _ => return None,
        };
        total = total.checked_add(SignedDuration::from_millis(number.checked_mul(millis)?))?;
        rest = tail;
    }
    Some(total)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(simulate: &str) -> Result<Trouble, TroubleError> {
        Trouble::parse(&BTreeMap::from([(SIMULATE.into(), simulate.to_owned())]))
    }

    #[test]
    fn crash_is_read_with_exit_code_and_reason() {
        let trouble = parse("crash-after=1m30s, exit=137,reason=OOMKilled").unwrap();
        assert_eq!(
            trouble.crash,
            Some(Crash {
                after: SignedDuration::from_secs(90),
                exit_code: 137,
                reason: "OOMKilled".into(),
            })
        );
    }

    #[test]
    fn an_unknown_term_is_named_with_what_is_allowed() {
        let error = parse("explode").unwrap_err().to_string();
        assert!(
            error.starts_with("`explode` is not one of crash-after"),
            "{error}"
        );
        assert!(parse("crash-after=soon").is_err());
        assert!(parse("exit=999").is_err());
        assert_eq!(parse("").unwrap(), Trouble::default());
    }

    #[test]
    fn durations_are_gos() {
        let check = |text, millis: Option<i64>| {
            assert_eq!(
                duration(text),
                millis.map(SignedDuration::from_millis),
                "{text}"
            );
        };
        check("1h2m3s4ms", Some(3_723_004));
        check("500ms", Some(500));
        check("5", None);
        check("-5s", None);
        check("", None);
    }
}
