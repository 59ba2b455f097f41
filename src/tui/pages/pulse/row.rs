//! A finding and the cluster that it is of.

use super::finding::Finding;
use super::present::about;
use crate::config::settings::ContextColor;
use crate::k8s::{Name, Uid};
use crate::tui::table::Record;

#[derive(Clone, PartialEq, Debug)]
pub struct Row {
    pub finding: Finding,
    /// Told where several clusters are shown.
    pub cluster: Option<Mark>,
    /// Of the cluster that the console works in. Only such a row may be the target of anything: an
    /// object of the same name may be in the other cluster too.
    pub here: bool,
}

/// How a cluster is told.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Mark {
    pub name: Name,
    pub colour: Option<ContextColor>,
}

impl Row {
    /// The other cluster that it is of.
    pub fn elsewhere(&self) -> Option<&Name> {
        let cluster = self.cluster.as_ref().filter(|_| !self.here)?;
        Some(&cluster.name)
    }

    /// Its id where its cluster is the one that is worked in.
    pub fn id_there(&self) -> Uid {
        Self {
            here: true,
            ..self.clone()
        }
        .id()
    }
}

impl Record for Row {
    fn id(&self) -> Uid {
        // A finding has no uid of its own; what it is about and what it says make one.
        let finding = &self.finding;
        let cluster = self.elsewhere().map_or("", Name::as_str);
        let kind = finding.kind.word();
        Uid(format!("{cluster} {kind} {} {}", about(finding), finding.word).into())
    }

    fn texts(&self, each: &mut dyn FnMut(&str)) {
        let finding = &self.finding;
        each(&about(finding));
        each(&finding.about.to_string());
        for text in [&*finding.word, &finding.what, &finding.why] {
            each(text);
        }
        if let Some(cluster) = &self.cluster {
            each(&cluster.name);
        }
    }
}
