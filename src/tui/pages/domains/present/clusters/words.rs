//! What the loss of a cluster means, in sentences; for a service, where it stands.

use super::Picture;
use crate::stdx::humanize::{bytes, counted, milli};
use crate::topology::across::{Cut, Domain, Service};
use crate::topology::spread::percent;
use crate::tui::beside::Standing;
use crate::tui::text::{Line, Role};

impl Picture<'_> {
    pub(super) fn domain_words(&self, place: usize, domain: &Domain) -> Vec<Line> {
        let mut lines = Vec::new();
        if let Some((name, standing)) = self.standing(domain) {
            let words = standing.words(self.context.now);
            lines.push(Line::of(format!("{name}: {words}"), standing.sign().1));
        }
        lines.extend(self.doubts(domain));
        if self.across.cut == Cut::Region {
            let names: Vec<&str> = domain
                .clusters
                .iter()
                .filter_map(|&place| match place {
                    0 => Some(self.context.around.here),
                    place => {
                        let other = self.context.around.others.get(place - 1)?;
                        Some(other.name.as_str())
                    }
                })
                .collect();
            lines.push(Line::of(
                format!("machines of {}", names.join(", ")),
                Role::Dim,
            ));
        }
        let (shared, only_here) = self.across.gone_with(place);
        let names = |services: &[&Service]| {
            let names: Vec<String> = services.iter().map(|one| one.key.to_string()).collect();
            names.join(", ")
        };
        if !shared.is_empty() {
            let text = format!("nothing ready is left of: {}", names(&shared));
            lines.push(Line::of(text, Role::Bad));
        }
        let left = domain.losses.iter().filter(|loss| loss.left > 0);
        let left: Vec<String> = left
            .filter_map(|loss| {
                let service = self.across.services.get(loss.service)?;
                let all = service.all.ready;
                Some(format!("{} {} of {all}", service.key.name, loss.left))
            })
            .collect();
        if !left.is_empty() {
            let text = format!("left elsewhere (ready): {}", left.join(", "));
            lines.push(Line::of(text, Role::Text));
        }
        if !only_here.is_empty() {
            let text = format!("only here, down with it: {}", names(&only_here));
            lines.push(Line::of(text, Role::Warning));
        }
        if domain.holding.pods > 0 {
            lines.push(room_words(domain));
        }
        lines
    }

    /// What is said to be left in a cluster that does not answer may be gone too.
    fn doubts(&self, domain: &Domain) -> Option<Line> {
        let around = &self.context.around;
        let own = (around.here, Standing::of(self.context.cache));
        let others = around.others.iter();
        let others = others.map(|other| (other.name.as_str(), other.standing()));
        let all = std::iter::once(own).chain(others).enumerate();
        let doubts: Vec<String> = all
            .filter(|(place, _)| !domain.clusters.contains(place))
            .filter_map(|(_, (name, standing))| match standing {
                Standing::Live => None,
                Standing::Lost {
                    since: Some(since), ..
                } => {
                    let time = since.strftime("%H:%M:%S");
                    Some(format!("{name} does not answer, counted as of {time}"))
                }
                _ => Some(format!("{name} is not known yet and not counted")),
            })
            .collect();
        (!doubts.is_empty()).then(|| Line::of(doubts.join("; "), Role::Warning))
    }

    pub(super) fn service_words(&self, service: &Service) -> Vec<Line> {
        let name = |place: usize| {
            let domain = self.across.domains.get(place);
            domain.map_or("", |domain| domain.name.as_str())
        };
        let mut lines = Vec::new();
        match service.worst {
            Some(worst) => {
                let all = service.all.ready;
                let text = format!(
                    "worst loss {} of {all} ready with {}: {}",
                    worst.lost,
                    name(worst.domain),
                    percent(worst.share)
                );
                let role = if worst.lost == all {
                    Role::Bad
                } else {
                    Role::Text
                };
                lines.push(Line::of(text, role));
                lines.extend(self.even_words(service, worst.share));
            }
            None => lines.push(Line::of("no replica is ready", Role::Bad)),
        }
        if service.elsewhere > 0 {
            let replicas = counted(service.elsewhere as usize, "replica", "replicas");
            let text = format!("{replicas} in none: not placed, or the machine says no region");
            lines.push(Line::of(text, Role::Warning));
        }
        lines
    }

    fn even_words(&self, service: &Service, share: f64) -> Option<Line> {
        let domains = u32::try_from(self.across.domains.len()).ok()?;
        let ready = service.all.ready;
        if service.clusters < 2 {
            let text = "it runs in one cluster only";
            return Some(Line::of(text, Role::Warning));
        }
        let best = f64::from(ready.div_ceil(domains.max(1))) / f64::from(ready.max(1));
        (best + 1e-9 < share).then(|| {
            let what = self.across.cut.level().counted(self.across.domains.len());
            let text = format!("evenly over {what} it would be {}", percent(best));
            Line::of(text, Role::Dim)
        })
    }
}

/// Whether what is lost could be run elsewhere, by the sums.
fn room_words(domain: &Domain) -> Line {
    let (asked, free) = (domain.holding.asked, domain.free_elsewhere);
    let pods = counted(domain.holding.pods as usize, "pod", "pods");
    let fits = asked.cpu_milli <= free.cpu_milli && asked.memory_bytes <= free.memory_bytes;
    let (verdict, role) = if fits {
        ("there would be room", Role::Text)
    } else {
        ("not enough room", Role::Warning)
    };
    let text = format!(
        "its {pods} ask for {} cpu, {}; free elsewhere {} cpu, {}: {verdict}",
        milli(asked.cpu_milli),
        bytes(asked.memory_bytes),
        milli(free.cpu_milli),
        bytes(free.memory_bytes)
    );
    Line::of(text, role)
}
