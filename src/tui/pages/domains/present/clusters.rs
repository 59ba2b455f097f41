//! Clusters side by side: what each holds, what is left when one is lost, service by cluster.

mod matrix;
mod words;

use crate::stdx::humanize::thousands;
use crate::topology::across::{Across, Cut, Domain};
use crate::topology::spread::percent;
use crate::tui::beside::{Standing, mark};
use crate::tui::page::Context;
use crate::tui::screen::Canvas;
use crate::tui::text::{Line, Role, cut_middle, width};
use crate::tui::widgets::{draw, ink};

use super::super::clusters::Clusters;
use super::super::state::State;
use super::{hidden, level_line, window};

pub fn present(state: &State, context: &Context) -> Canvas {
    let (columns, rows) = (context.area.width, context.area.height);
    let mut canvas = Canvas::new(columns, rows);
    let picture = Picture {
        state,
        clusters: &state.clusters,
        across: &state.clusters.across,
        context,
    };
    picture.head(&mut canvas);
    let roomy = u16::from(rows >= 26);
    let meaning = if rows >= 26 { 5 } else { 4 };
    let fixed = 2 + roomy + 1 + meaning + 1;
    let room = rows.saturating_sub(fixed);
    let domains = u16::try_from(picture.across.domains.len()).unwrap_or(u16::MAX);
    let services = u16::try_from(picture.clusters.shown.len()).unwrap_or(u16::MAX);
    let half = room / 2;
    let table = domains.min(half.max(room.saturating_sub(services))).max(2);
    let top = 1 + roomy;
    picture.losses(&mut canvas, (top, table));
    let y = top + 1 + table;
    picture.meaning(&mut canvas, (y, meaning));
    let y = y + 1 + meaning;
    picture.matrix(&mut canvas, (y, rows.saturating_sub(y)));
    canvas
}

struct Picture<'a> {
    state: &'a State,
    clusters: &'a Clusters,
    across: &'a Across,
    context: &'a Context<'a>,
}

/// A figure of a row: title, width, text.
struct Figure {
    title: &'static str,
    width: u16,
    cell: fn(&Domain, &Gone) -> (String, Role),
}

/// What would be down altogether with a domain.
struct Gone {
    shared: usize,
    only_here: usize,
}

const FIGURES: &[Figure] = &[
    Figure {
        title: "NODES",
        width: 8,
        cell: |domain, _| {
            let holding = &domain.holding;
            if holding.not_ready > 0 {
                let text = format!("✕{}/{}", holding.not_ready, holding.nodes);
                (text, Role::Bad)
            } else {
                (thousands(u64::from(holding.nodes)), Role::Text)
            }
        },
    },
    Figure {
        title: "CPU",
        width: 5,
        cell: |domain, _| {
            let holding = &domain.holding;
            let (cpu, _) = holding.requested.shares_of(holding.allocatable);
            (format!("{:.0}%", cpu * 100.0), Role::Text)
        },
    },
    Figure {
        title: "MEM",
        width: 5,
        cell: |domain, _| {
            let holding = &domain.holding;
            let (_, memory) = holding.requested.shares_of(holding.allocatable);
            (format!("{:.0}%", memory * 100.0), Role::Text)
        },
    },
    Figure {
        title: "PODS",
        width: 8,
        cell: |domain, _| (thousands(u64::from(domain.holding.pods)), Role::Text),
    },
    Figure {
        title: "GONE",
        width: 6,
        cell: |_, gone| match gone.shared {
            0 => ("0".to_owned(), Role::Good),
            more => (more.to_string(), Role::Bad),
        },
    },
    Figure {
        title: "ONLY HERE",
        width: 11,
        cell: |_, gone| match gone.only_here {
            0 => ("0".to_owned(), Role::Good),
            more => (more.to_string(), Role::Warning),
        },
    },
];

impl Picture<'_> {
    fn head(&self, canvas: &mut Canvas) {
        let mut line = level_line(self.state);
        let count = self.across.domains.len();
        let level = self.across.cut.level();
        line.push(format!("   {}", level.counted(count)), Role::Text);
        if !self.state.filter.is_empty() {
            line.push(format!("   /{}", self.state.filter), Role::Match);
        }
        let left = canvas.text(1, 0, line);
        let text = "nothing moves from one cluster to another by itself";
        let needed = u16::try_from(width(text)).unwrap_or(u16::MAX);
        let end = canvas.width.saturating_sub(1);
        if left.saturating_add(needed + 2) <= end {
            draw::right(canvas, end, 0, text, Role::Dim);
        }
    }

    /// How the clusters of a domain stand, where not all of them answer.
    fn standing(&self, domain: &Domain) -> Option<(String, Standing)> {
        let around = &self.context.around;
        let all = domain.clusters.iter().filter_map(|place| {
            let Some(other) = place.checked_sub(1) else {
                return Some((around.here.to_owned(), Standing::of(self.context.cache)));
            };
            let other = around.others.get(other)?;
            Some((other.name.to_string(), other.standing()))
        });
        let mut troubled = all.filter(|(_, standing)| *standing != Standing::Live);
        troubled.next()
    }

    /// A region has no colour: several clusters are in it.
    fn mark(&self, domain: &Domain) -> Role {
        let around = &self.context.around;
        match (self.across.cut, domain.clusters.as_slice()) {
            (Cut::Cluster, [0]) => mark(around.colour),
            (Cut::Cluster, [place]) => {
                let other = around.others.get(place.saturating_sub(1));
                mark(other.and_then(|other| other.colour))
            }
            _ => Role::Strong,
        }
    }

    fn gone(&self, place: usize) -> Gone {
        let (shared, only_here) = self.across.gone_with(place);
        Gone {
            shared: shared.len(),
            only_here: only_here.len(),
        }
    }

    fn losses(&self, canvas: &mut Canvas, (top, rows): (u16, u16)) {
        let names = self.across.domains.iter().map(|domain| width(&domain.name));
        let longest = names.max().unwrap_or(8);
        let name = u16::try_from(longest + 2).unwrap_or(24).clamp(9, 26);
        let title = self.across.cut.level().title.to_uppercase();
        draw::name(canvas, (3, top), name, &title, Role::Head);
        let mut x = 3 + name;
        let mut ends = Vec::new();
        let narrow = canvas.width < 100;
        for figure in FIGURES {
            x += if narrow {
                figure.width - 1
            } else {
                figure.width + 1
            };
            draw::right(canvas, x, top, figure.title, Role::Head);
            ends.push(x);
        }
        let hurt = x + 3;
        let room = canvas.width.saturating_sub(hurt);
        draw::sentence(canvas, (hurt, top), room, "SERVICES HURT MOST", Role::Head);
        let place = self.clusters.place();
        let cursor = self.clusters.service().is_none().then_some(place);
        let domains = self.across.domains.len();
        let first = window(cursor.unwrap_or(0), domains, usize::from(rows));
        let shown = self.across.domains.iter().enumerate().skip(first);
        for (offset, (place, domain)) in (0..rows).zip(shown) {
            let y = top + 1 + offset;
            let gone = self.gone(place);
            let (glyph, role) = match self.standing(domain) {
                Some((_, standing)) => standing.sign(),
                None if gone.shared > 0 => ("✕", Role::Bad),
                None if gone.only_here > 0 => ("◐", Role::Warning),
                None => ("●", Role::Good),
            };
            canvas.set(1, y, glyph, role);
            let text = cut_middle(&domain.name, usize::from(name - 2));
            canvas.text(3, y, Line::of(format!(" {text} "), self.mark(domain)));
            if cursor == Some(place) {
                canvas.lay_behind(0, y, canvas.width, Role::Cursor);
            }
            if domain.holding.nodes == 0
                && let Some((_, standing)) = self.standing(domain)
            {
                let words = standing.words(self.context.now);
                let x = 3 + name + 2;
                draw::sentence(
                    canvas,
                    (x, y),
                    canvas.width.saturating_sub(x + 1),
                    &words,
                    role,
                );
                continue;
            }
            for (figure, &end) in FIGURES.iter().zip(&ends) {
                let (text, role) = (figure.cell)(domain, &gone);
                draw::right(canvas, end, y, &text, role);
            }
            self.hurt_most(canvas, (hurt, y), domain);
        }
        let below = domains.saturating_sub(first + usize::from(rows));
        hidden(canvas, (top, top + rows), first, below);
    }

    /// `-75% cart (1 left)  -50% search`, as many as fit.
    fn hurt_most(&self, canvas: &mut Canvas, (x, y): (u16, u16), domain: &Domain) {
        let mut x = x;
        let end = canvas.width.saturating_sub(1);
        let losses = domain.losses.iter().filter_map(|loss| {
            let service = self.across.services.get(loss.service)?;
            (service.clusters > 1).then_some((loss, service))
        });
        let mut first = true;
        for (loss, service) in losses {
            let (note, role) = match loss.left {
                0 => (" (all of it)".to_owned(), Role::Bad),
                left => (format!(" ({left} left)"), Role::Text),
            };
            let name = &service.key.name;
            let share = format!("-{} ", percent(loss.share));
            let needed = u16::try_from(width(&share) + width(name) + width(&note) + 2);
            if x.saturating_add(needed.unwrap_or(u16::MAX)) > end {
                let text = if first {
                    format!("{share}{name}{note}")
                } else {
                    "…".to_owned()
                };
                draw::sentence(canvas, (x, y), end.saturating_sub(x), &text, role);
                return;
            }
            first = false;
            x = canvas.text(x, y, Line::of(share, role));
            let hue = ink::hue(service.key.hue());
            x = canvas.text(x, y, Line::of(name.to_string(), hue));
            x = canvas.text(x, y, Line::of(note, role)) + 2;
        }
        if first {
            let text = "none of those that run in several clusters";
            draw::sentence(canvas, (x, y), end.saturating_sub(x), text, Role::Dim);
        }
    }

    fn meaning(&self, canvas: &mut Canvas, (top, rows): (u16, u16)) {
        canvas.fill((0, top, canvas.width, 1), "─", Role::Rule);
        let lines = if let Some(service) = self.clusters.service() {
            let title = format!(" {} {} ", service.key.kind, service.key);
            canvas.text(2, top, Line::of(title, Role::Title));
            self.service_words(service)
        } else {
            let place = self.clusters.domain();
            let Some(domain) = self.across.domains.get(place) else {
                return;
            };
            let level = match self.across.cut {
                Cut::Cluster => "cluster",
                Cut::Region => "region",
            };
            let title = format!(" if {level} {} is lost ", domain.name);
            canvas.text(2, top, Line::of(title, Role::Title));
            self.domain_words(place, domain)
        };
        let room = canvas.width.saturating_sub(3);
        for (y, line) in (top + 1..=top + rows).zip(lines) {
            let plain = line.plain();
            let role = line.spans.first().map_or(Role::Text, |span| span.role);
            draw::sentence(canvas, (2, y), room, &plain, role);
        }
    }
}
