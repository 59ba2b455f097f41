//! One thing that is wrong, in words that a person woken at night understands.

use jiff::Timestamp;

use crate::k8s::{Name, ObjectKey};
use crate::topology::Level;

#[derive(Clone, PartialEq, Debug)]
pub struct Finding {
    pub severity: Severity,
    pub kind: FindingKind,
    pub about: ObjectKey,
    /// The rack, zone or other domain that is lost whole; `about` is then its first node.
    pub domain: Option<Lost>,
    /// A pod to look at where the finding is about a workload's pods.
    pub example: Option<ObjectKey>,
    pub since: Option<Timestamp>,
    /// How many pods (or other things) are concerned; ranks findings of one severity.
    pub extent: usize,
    /// `NotReady`, `CrashLoopBackOff`, `pending`.
    pub word: Name,
    /// `2 of 6 pods`, `38 pods on it`.
    pub what: String,
    /// The cause in upstream's words.
    pub why: String,
}

/// A failure domain of which no machine answers.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Lost {
    pub level: Level,
    /// The label's value.
    pub name: Name,
    pub nodes: Vec<ObjectKey>,
}

/// How urgent, the most urgent first.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Severity {
    /// Users are hit: nothing of it works, or a machine is gone.
    Critical,
    /// Less than wanted works.
    Serious,
    /// Nothing is lost yet; the next failure would cost more than it should.
    Warning,
    /// Somebody did it on purpose; good to know.
    Note,
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum FindingKind {
    Domain,
    Node,
    Workload,
    Pending,
    Pods,
    Budget,
    Service,
    Claim,
    Terminating,
    Cordoned,
}

impl Severity {
    pub const ALL: [Self; 4] = [Self::Critical, Self::Serious, Self::Warning, Self::Note];

    pub fn word(self) -> &'static str {
        match self {
            Self::Critical => "critical",
            Self::Serious => "serious",
            Self::Warning => "warning",
            Self::Note => "note",
        }
    }
}

impl FindingKind {
    pub fn word(self) -> &'static str {
        match self {
            Self::Domain => "domain",
            Self::Node | Self::Cordoned => "node",
            Self::Workload => "workload",
            Self::Pending => "pending",
            Self::Pods => "pods",
            Self::Budget => "budget",
            Self::Service => "service",
            Self::Claim => "claim",
            Self::Terminating => "pod",
        }
    }
}

/// The worst first: by severity, then by how much is concerned, then the oldest, then by name so
/// that the order never wobbles.
pub fn rank(findings: &mut [Finding]) {
    findings.sort_by(worse);
}

/// Which of two comes first.
pub fn worse(left: &Finding, right: &Finding) -> std::cmp::Ordering {
    (left.severity, std::cmp::Reverse(left.extent))
        .cmp(&(right.severity, std::cmp::Reverse(right.extent)))
        .then_with(|| left.since.cmp(&right.since))
        .then_with(|| left.about.cmp(&right.about))
        .then_with(|| left.kind.cmp(&right.kind))
}
