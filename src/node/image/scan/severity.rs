//! How bad an advisory is: by its CVSS 3 vector, or by a distribution's own word.
//!
//! Source: FIRST, "CVSS v3.1 Specification", section 7.1 and appendix A (the rounding), and its
//! table of qualitative ratings. Vectors of other versions of CVSS are not computed.

use std::fmt;

use serde::Serialize;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    Unknown,
    Negligible,
    Low,
    Medium,
    High,
    Critical,
}

impl Severity {
    pub fn of_score(score: f32) -> Self {
        match score {
            score if score >= 9.0 => Self::Critical,
            score if score >= 7.0 => Self::High,
            score if score >= 4.0 => Self::Medium,
            score if score > 0.0 => Self::Low,
            _ => Self::Negligible,
        }
    }

    /// The words of Debian, Ubuntu, Red Hat and GitHub.
    pub fn of_word(word: &str) -> Option<Self> {
        match word.to_ascii_lowercase().as_str() {
            "critical" => Some(Self::Critical),
            "high" | "important" => Some(Self::High),
            "medium" | "moderate" => Some(Self::Medium),
            "low" => Some(Self::Low),
            "negligible" | "unimportant" | "none" => Some(Self::Negligible),
            _ => None,
        }
    }
}

impl fmt::Display for Severity {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        to.pad(match self {
            Self::Unknown => "unknown",
            Self::Negligible => "negligible",
            Self::Low => "low",
            Self::Medium => "medium",
            Self::High => "high",
            Self::Critical => "critical",
        })
    }
}

/// The base score of a CVSS 3.0 or 3.1 vector.
pub fn score(vector: &str) -> Option<f32> {
    let metrics = vector
        .strip_prefix("CVSS:3.0/")
        .or_else(|| vector.strip_prefix("CVSS:3.1/"))?;
    let value = |name: &str| {
        let pairs = metrics
            .split('/')
            .filter_map(|metric| metric.split_once(':'));
        pairs
            .filter(|(key, _)| *key == name)
            .map(|(_, value)| value)
            .next()
    };
    let weighed = |name: &str, table: &[(&str, f64)]| {
        let value = value(name)?;
        table
            .iter()
            .find(|(key, _)| *key == value)
            .map(|(_, weight)| *weight)
    };
    let is_changed = match value("S")? {
        "C" => true,
        "U" => false,
        _ => return None,
    };
    let impacts = [("H", 0.56), ("L", 0.22), ("N", 0.0)];
    let kept = |name| Some(1.0 - weighed(name, &impacts)?);
    let loss = 1.0 - kept("C")? * kept("I")? * kept("A")?;
    let impact = if is_changed {
        7.52 * (loss - 0.029) - 3.25 * (loss - 0.02_f64).powi(15)
    } else {
        6.42 * loss
    };
    let privileges = if is_changed {
        [("N", 0.85), ("L", 0.68), ("H", 0.5)]
    } else {
        [("N", 0.85), ("L", 0.62), ("H", 0.27)]
    };
    let exploitability = 8.22
        * weighed("AV", &[("N", 0.85), ("A", 0.62), ("L", 0.55), ("P", 0.2)])?
        * weighed("AC", &[("L", 0.77), ("H", 0.44)])?
        * weighed("PR", &privileges)?
        * weighed("UI", &[("N", 0.85), ("R", 0.62)])?;
    if impact <= 0.0 {
        return Some(0.0);
    }
    let sum = impact + exploitability;
    let scaled = if is_changed { 1.08 * sum } else { sum };
    Some(rounded_up(scaled.min(10.0)))
}

/// To one decimal, upwards; what floating point adds at the fifth decimal does not count.
fn rounded_up(value: f64) -> f32 {
    let hundred_thousandths = (value * 100_000.0).round();
    let tenths = (hundred_thousandths / 10_000.0).ceil();
    #[expect(
        clippy::cast_possible_truncation,
        reason = "a score has one decimal and is at most ten"
    )]
    let score = (tenths / 10.0) as f32;
    score
}

#[cfg(test)]
mod tests {
    use super::Severity::{Critical, High, Low, Medium, Negligible};
    use super::*;

    /// Scores as the National Vulnerability Database has them.
    #[test]
    fn vectors_have_the_scores_that_are_published() {
        let check = |vector: &str, expected: f32| {
            let got = score(vector).unwrap();
            assert!(
                (got - expected).abs() < 0.01,
                "{vector}: {got}, not {expected}"
            );
        };
        check("CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:U/C:H/I:H/A:H", 9.8);
        check("CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:C/C:H/I:H/A:H", 10.0);
        check("CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:U/C:H/I:N/A:N", 7.5);
        check("CVSS:3.0/AV:N/AC:L/PR:N/UI:R/S:C/C:L/I:L/A:N", 6.1);
        check("CVSS:3.1/AV:L/AC:L/PR:L/UI:N/S:U/C:H/I:H/A:H", 7.8);
        check("CVSS:3.1/AV:N/AC:H/PR:N/UI:N/S:U/C:N/I:N/A:H", 5.9);
        check("CVSS:3.1/AV:L/AC:L/PR:N/UI:N/S:U/C:N/I:N/A:N", 0.0);
        for other in [
            "CVSS:4.0/AV:N",
            "CVSS:3.1/AV:N",
            "AV:N/AC:L/Au:N/C:P/I:P/A:P",
            "",
        ] {
            assert_eq!(score(other), None, "{other}");
        }
    }

    #[test]
    fn scores_have_the_ratings_of_the_specification() {
        let rated = [0.0, 0.1, 3.9, 4.0, 6.9, 7.0, 8.9, 9.0].map(Severity::of_score);
        assert_eq!(
            rated,
            [Negligible, Low, Low, Medium, Medium, High, High, Critical]
        );
        assert!(Critical > High && Low > Negligible && Negligible > Severity::Unknown);
    }
}
