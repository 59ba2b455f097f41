//! Zoomed out: one cell a node.

use super::super::arrangement::{Arrangement, Block};
use super::super::colouring::{Colouring, NodeState, Tint};
use super::super::state::{State, View};
use super::super::words;
use super::summary;
use crate::k8s::lab;
use crate::stdx::humanize::{bytes_of, counted, thousands};
use crate::topology::survey::Row;
use crate::topology::{Domain, Domains, amounts};
use crate::tui::columns::REAL;
use crate::tui::forecast::need::Figure;
use crate::tui::screen::Canvas;
use crate::tui::text::{Line, Role, width};
use crate::tui::widgets::cell_map::{self, CellAt, CellMap, Room};
use crate::tui::widgets::{draw, ink};

/// The map's geometry for a body of this size; moving the cursor needs it too.
pub fn geometry(arrangement: &Arrangement, columns: u16, rows: u16) -> CellMap {
    let areas = Areas::of(columns, rows);
    let blocks: Vec<cell_map::Block> = arrangement
        .blocks
        .iter()
        .map(|block| cell_map::Block {
            rows: block.rows.iter().map(|row| row.nodes.len()).collect(),
        })
        .collect();
    let labels = arrangement.blocks.iter().flat_map(|block| &block.rows);
    let label = labels.map(|row| width(&row.label)).max().unwrap_or(0);
    let label = u16::try_from(label.min(14)).unwrap_or(14);
    CellMap::fit(
        &blocks,
        Room {
            width: columns.saturating_sub(2),
            height: areas.map_height,
            label: label + 2,
            title: areas.title_lines,
            block_min: 37,
        },
    )
}

/// The node at a cell.
pub fn node_at(arrangement: &Arrangement, at: CellAt) -> Option<Row> {
    let row = arrangement.blocks.get(at.block)?.rows.get(at.row)?;
    row.nodes.get(at.cell).copied()
}

/// The cell of a node.
pub fn cell_of(arrangement: &Arrangement, node: Row) -> Option<CellAt> {
    for (block, entry) in arrangement.blocks.iter().enumerate() {
        for (row, line) in entry.rows.iter().enumerate() {
            if let Some(cell) = line.nodes.iter().position(|row| *row == node) {
                return Some(CellAt { block, row, cell });
            }
        }
    }
    None
}

/// Which rows of the body carry what. Small screens give up the legend first.
struct Areas {
    map_top: u16,
    map_height: u16,
    title_lines: u16,
    legend: Option<u16>,
    /// Lines about the cursor's node.
    detail: u16,
    detail_lines: u16,
}

impl Areas {
    fn of(columns: u16, rows: u16) -> Self {
        let roomy = rows >= 24;
        let detail_lines = match (rows, columns) {
            (40.., 100..) => 10,
            (24.., _) => 4,
            (12.., _) => 2,
            _ => 1,
        };
        let map_top = if roomy { 2 } else { 1 };
        let legend_lines = u16::from(rows >= 14);
        let detail = rows.saturating_sub(detail_lines);
        let gap = u16::from(roomy);
        Self {
            map_top,
            map_height: detail.saturating_sub(map_top + legend_lines + gap).max(1),
            title_lines: if rows >= 34 { 2 } else { 1 },
            legend: (legend_lines > 0).then(|| detail.saturating_sub(1)),
            detail,
            detail_lines,
        }
    }
}

pub fn present(state: &State, view: View, columns: u16, rows: u16) -> Canvas {
    let mut canvas = Canvas::new(columns, rows);
    let arrangement = view.arrangement;
    let areas = Areas::of(columns, rows);
    head(&mut canvas, state, view, arrangement);
    let map = geometry(arrangement, columns, rows);
    let cursor = state.cursor_row(view.survey, arrangement);
    let at = cursor.and_then(|row| cell_of(arrangement, row));
    let cursor_y = at.and_then(|at| map.position(at)).map_or(0, |(_, y)| y);
    let scroll = scroll(cursor_y, map.height, areas.map_height);
    let mut painter = Painter {
        canvas: &mut canvas,
        state,
        view,
        map: &map,
        top: areas.map_top,
        scroll,
        height: areas.map_height,
    };
    painter.blocks(arrangement, areas.title_lines);
    painter.cells(arrangement, cursor);
    painter.more(columns);
    let free = areas.map_height.saturating_sub(map.height);
    if free >= 5 {
        let top = areas.map_top + map.height + 1;
        summary::present(&mut canvas, (top, free - 2), view, arrangement);
    }
    if let Some(y) = areas.legend {
        legend(&mut canvas, (y, map.cell_width), state, view, arrangement);
    }
    if let Some(row) = cursor {
        detail(&mut canvas, (areas.detail, areas.detail_lines), view, row);
    }
    canvas
}

/// The first visible line, so that the cursor's line is seen with some of its surroundings.
pub fn scroll(cursor: u16, total: u16, height: u16) -> u16 {
    if total <= height {
        0
    } else {
        cursor
            .saturating_sub(height / 2)
            .min(total.saturating_sub(height))
    }
}

/// Columns from which the head has room for everything.
const ROOMY: u16 = 120;

/// `by zone › rack   colour: …   order: …          stranded: …`; the right part says most.
pub fn head(canvas: &mut Canvas, state: &State, view: View, arrangement: &Arrangement) {
    let columns = canvas.width;
    let nodes: Vec<Row> = arrangement
        .blocks
        .iter()
        .flat_map(|block| block.domain.nodes.iter().copied())
        .collect();
    let count = nodes.len();
    let whole = Domains::sum(view.survey, crate::k8s::Name::default(), nodes);
    let stranded = words::stranded(whole.stranded);
    let mut line = words::need(view.need, columns >= ROOMY);
    if stranded.is_empty() {
        line.push("nothing stranded ", Role::Dim);
    } else {
        line.push("stranded ", Role::Dim);
        line.push(stranded, Role::Warning);
        if columns >= ROOMY || view.need == Figure::None {
            let on = counted(whole.stranded.nodes as usize, "node", "nodes");
            line.push(format!(" on {on}"), Role::Dim);
        }
        line.push(" ", Role::Dim);
    }
    let right = u16::try_from(line.width()).unwrap_or(columns);
    canvas.text_right(columns, 0, line);
    let mut parts = Vec::new();
    parts.push(("by", arrangement.title.clone()));
    parts.push(("colour", state.colouring.title().to_owned()));
    parts.push(("order", state.order.title().to_owned()));
    if !state.filter.is_empty() {
        parts.push(("filter", format!("/{} ({count} nodes)", state.filter)));
    }
    let mut x: u16 = 1;
    for (title, value) in parts {
        let needed = u16::try_from(width(title) + width(&value) + 4).unwrap_or(u16::MAX);
        if x.saturating_add(needed) > columns.saturating_sub(right) {
            continue;
        }
        x = canvas.text(x, 0, Line::of(format!("{title} "), Role::Dim));
        x = canvas.text(x, 0, Line::of(value, Role::Text)) + 3;
    }
}

struct Painter<'a> {
    canvas: &'a mut Canvas,
    state: &'a State,
    view: View<'a>,
    map: &'a CellMap,
    top: u16,
    scroll: u16,
    height: u16,
}

impl Painter<'_> {
    /// The canvas row of a map line, where it is visible.
    fn row(&self, y: u16) -> Option<u16> {
        let shown = y.checked_sub(self.scroll)?;
        (shown < self.height).then_some(self.top + shown)
    }

    fn blocks(&mut self, arrangement: &Arrangement, lines: u16) {
        for place in &self.map.titles {
            let Some(block) = arrangement.blocks.get(place.block) else {
                continue;
            };
            let x = place.x + 1;
            if let Some(y) = self.row(place.y) {
                self.block_title((x, y), block, lines);
            }
            if lines > 1
                && let Some(y) = self.row(place.y + 1)
            {
                self.block_bars((x, y), &block.domain);
            }
        }
    }

    fn block_title(&mut self, (x, y): (u16, u16), block: &Block, lines: u16) {
        let domain = &block.domain;
        let end = x + self.map.block_width.saturating_sub(1);
        let name = if domain.name.is_empty() {
            "all nodes"
        } else {
            domain.name.as_str()
        };
        let (cpu, memory) = domain.requested.shares_of(domain.allocatable);
        let mut parts: Vec<(String, Role)> = Vec::new();
        if domain.not_ready > 0 {
            parts.push((format!("✕ {}", domain.not_ready), Role::Bad));
        }
        if domain.cordoned > 0 {
            parts.push((format!("⊘ {}", domain.cordoned), Role::Warning));
        }
        if lines == 1 {
            let text = format!("cpu {:.0}% mem {:.0}%", cpu * 100.0, memory * 100.0);
            parts.push((text, Role::Text));
        }
        parts.push((counted(domain.nodes.len(), "node", "nodes"), Role::Dim));
        // What does not fit is left out from the end: trouble stays longest.
        let room = usize::from(end.saturating_sub(x)).saturating_sub(width(name).min(16) + 2);
        let mut right = Line::default();
        for (text, role) in parts {
            let gap = if right.is_empty() { "" } else { "  " };
            if right.width() + gap.len() + width(&text) <= room {
                right.push(gap, Role::Dim);
                right.push(text, role);
            }
        }
        let room = usize::from(end.saturating_sub(x)).saturating_sub(right.width() + 2);
        let room = u16::try_from(room).unwrap_or(0);
        draw::name(self.canvas, (x, y), room, name, Role::Strong);
        self.canvas.text_right(end, y, right);
    }

    fn block_bars(&mut self, (x, y): (u16, u16), domain: &Domain) {
        let (cpu, memory) = domain.requested.shares_of(domain.allocatable);
        let half = self.map.block_width.saturating_sub(1) / 2;
        let length = half.saturating_sub(11);
        for (offset, title, share) in [(0, "cpu", cpu), (half, "mem", memory)] {
            let from = x + offset;
            self.canvas.text(from, y, Line::of(title, Role::Dim));
            let step = super::super::colouring::step(share);
            draw::bar(self.canvas, (from + 4, y), length, share, ink::amount(step));
            let text = format!("{:.0}%", share * 100.0);
            draw::right(self.canvas, from + length + 9, y, &text, Role::Text);
        }
    }

    fn cells(&mut self, arrangement: &Arrangement, cursor: Option<Row>) {
        for line in &self.map.lines {
            let Some(y) = self.row(line.y) else {
                continue;
            };
            let row = arrangement
                .blocks
                .get(line.block)
                .and_then(|block| block.rows.get(line.row));
            let Some(row) = row else {
                continue;
            };
            if line.first == 0 {
                let room = line.cells_x.saturating_sub(line.x + 1);
                draw::name(self.canvas, (line.x + 1, y), room, &row.label, Role::Dim);
            }
            let nodes = row.nodes.iter().skip(line.first).take(line.count);
            for (offset, &node) in (0..).zip(nodes) {
                let x = line.cells_x + 1 + offset * self.map.cell_width;
                self.cell((x, y), node, cursor == Some(node));
            }
        }
    }

    fn cell(&mut self, (x, y): (u16, u16), node: Row, is_cursor: bool) {
        let survey = self.view.survey;
        let facts = survey.node(node);
        let tint = self.state.colouring.tint(survey, node, self.view.now);
        let state = NodeState::of(facts);
        let (mut glyph, mut role) = tint_ink(tint);
        if state != NodeState::Ready {
            glyph = words::state_glyph(state);
            role = words::state_role(state);
        }
        let percent = |part, whole| {
            let share = (amounts::share(part, whole) * 100.0).round().min(99.0);
            format!("{share:2.0}")
        };
        let cpu = percent(facts.requested.cpu_milli, facts.allocatable.cpu_milli);
        let memory = percent(facts.requested.memory_bytes, facts.allocatable.memory_bytes);
        let text = match self.map.cell_width {
            8 => format!("{glyph}{cpu}·{memory}"),
            4 => {
                let fullest = (facts.fullest() * 100.0).round().min(99.0);
                format!("{glyph}{fullest:2.0}")
            }
            _ => glyph.to_owned(),
        };
        self.canvas.text(x, y, Line::of(text, role));
        if lab::is_real(&facts.object) {
            // Beside the figures; where there is no room for any, in place of the amount.
            let beside = match self.map.cell_width {
                8 => 6,
                4 => 3,
                _ => 0,
            };
            if beside > 0 || state == NodeState::Ready {
                let role = if beside > 0 { Role::Strong } else { role };
                self.canvas.text(x + beside, y, Line::of(REAL, role));
            }
        }
        let is_marked = self.state.marks.contains(facts.name());
        if is_cursor || is_marked {
            let behind = if is_cursor { Role::Cursor } else { Role::Mark };
            let cells = match self.map.cell_width {
                8 => 6,
                4 => 3,
                _ => 1,
            };
            self.canvas.lay_behind(x, y, cells, behind);
        }
    }

    /// Says that there is more above or below the window.
    fn more(&mut self, columns: u16) {
        let below = self.map.height.saturating_sub(self.scroll + self.height);
        let end = columns.saturating_sub(1);
        if self.scroll > 0 {
            let text = format!("↑ {}", self.scroll);
            draw::right(self.canvas, end, self.top, &text, Role::Dim);
        }
        if below > 0 {
            let y = self.top + self.height.saturating_sub(1);
            draw::right(self.canvas, end, y, &format!("↓ {below}"), Role::Dim);
        }
    }
}

/// Glyph and role of a tint; the glyph alone tells it too.
pub fn tint_ink(tint: Tint) -> (&'static str, Role) {
    match tint {
        Tint::Amount(step) => (ink::amount_glyph(step), ink::amount(step)),
        Tint::Hue(hue) => (ink::hue_letter(hue), ink::hue(hue)),
        Tint::Good => ("●", Role::Good),
        Tint::Warning => ("◐", Role::Warning),
        Tint::Bad => ("○", Role::Bad),
        Tint::Empty => ("·", Role::Dim),
    }
}

fn legend(
    canvas: &mut Canvas,
    (y, cell_width): (u16, u16),
    state: &State,
    view: View,
    arrangement: &Arrangement,
) {
    let mut entries: Vec<(&str, Role, String)> = Vec::new();
    let ramp = |words: [&str; 5]| {
        (0..5_u8)
            .zip(words)
            .map(|(step, word)| (ink::amount_glyph(step), ink::amount(step), word.to_owned()))
            .collect::<Vec<_>>()
    };
    match state.colouring {
        Colouring::Utilisation => {
            entries.extend(ramp(["to 20%", "to 50%", "to 75%", "to 90%", "over"]));
        }
        Colouring::Qos => entries.extend(ramp(["best effort", "", "burstable", "", "guaranteed"])),
        Colouring::Age => entries.extend(ramp([
            "over 30 days",
            "to 30 days",
            "to 7 days",
            "to 1 day",
            "to 1 hour",
        ])),
        Colouring::Readiness => {
            for (tint, word) in [
                (Tint::Good, "all pods serve"),
                (Tint::Warning, "some"),
                (Tint::Bad, "none"),
                (Tint::Empty, "no pods"),
            ] {
                let (glyph, role) = tint_ink(tint);
                entries.push((glyph, role, word.to_owned()));
            }
        }
        Colouring::Workload | Colouring::Namespace => {
            entries.extend(identities(state.colouring, view, arrangement));
        }
    }
    let numbers = match cell_width {
        8 => "cpu·mem %   ",
        4 => "fullest %   ",
        _ => "",
    };
    let mut x = canvas.text(1, y, Line::of(numbers, Role::Dim));
    for (glyph, role, word) in entries {
        let needed = u16::try_from(width(&word))
            .unwrap_or(u16::MAX)
            .saturating_add(4);
        if x + needed > canvas.width {
            break;
        }
        x = canvas.text(
            x,
            y,
            Line::of(glyph, role).with(format!(" {word}  "), Role::Dim),
        );
    }
    let mut states = Line::default();
    let blocks = arrangement.blocks.iter();
    let mut nodes = blocks.flat_map(|block| &block.domain.nodes);
    if nodes.any(|row| lab::is_real(&view.survey.node(*row).object)) {
        states = states.with(REAL, Role::Strong).with(" real  ", Role::Dim);
    }
    let states = states
        .with("✕", Role::Bad)
        .with(" not ready  ", Role::Dim)
        .with("⊘", Role::Warning)
        .with(" cordoned ", Role::Dim);
    let needed = u16::try_from(states.width()).unwrap_or(u16::MAX);
    if x.saturating_add(needed) <= canvas.width {
        canvas.text_right(canvas.width, y, states);
    }
}

/// The workloads or namespaces that colour most nodes.
fn identities(
    colouring: Colouring,
    view: View,
    arrangement: &Arrangement,
) -> Vec<(&'static str, Role, String)> {
    use std::collections::BTreeMap;
    let mut seen: BTreeMap<u8, usize> = BTreeMap::new();
    let rows = arrangement.blocks.iter().flat_map(|block| &block.rows);
    for &node in rows.flat_map(|row| &row.nodes) {
        if let Tint::Hue(hue) = colouring.tint(view.survey, node, view.now) {
            *seen.entry(hue).or_default() += 1;
        }
    }
    let mut names: BTreeMap<u8, Vec<(i64, String)>> = BTreeMap::new();
    for (place, workload) in view.survey.workloads.iter().enumerate() {
        if !workload.is_displaced_with_its_node() {
            continue;
        }
        let row = Row::try_from(place).unwrap_or(Row::MAX);
        let asked = view
            .survey
            .pods_of(row)
            .iter()
            .map(|&pod| view.survey.pod(pod).request.cpu_milli)
            .sum();
        let (hue, name) = if colouring == Colouring::Namespace {
            let namespace = &workload.key.namespace;
            (
                super::super::colouring::namespace_hue(namespace),
                namespace.to_string(),
            )
        } else {
            (workload.hue, workload.key.name.to_string())
        };
        names.entry(hue).or_default().push((asked, name));
    }
    let mut hues: Vec<(usize, u8)> = seen.into_iter().map(|(hue, count)| (count, hue)).collect();
    hues.sort_by(|left, right| right.cmp(left));
    hues.into_iter()
        .map(|(_, hue)| {
            let mut list = names.remove(&hue).unwrap_or_default();
            list.sort_by(|left, right| right.cmp(left));
            let mut words: Vec<String> = list.into_iter().map(|(_, name)| name).collect();
            words.dedup();
            words.truncate(2);
            (ink::hue_letter(hue), ink::hue(hue), words.join(", "))
        })
        .collect()
}

/// What is known of the cursor's node, in as many lines as there are.
fn detail(canvas: &mut Canvas, (top, lines): (u16, u16), view: View, row: Row) {
    let facts = view.survey.node(row);
    let state = NodeState::of(facts);
    let mut line = Line::of("▸ ", Role::Strong)
        .with(facts.name(), Role::Strong)
        .with("  ", Role::Text)
        .with(
            format!(
                "{} {}",
                words::state_glyph(state),
                words::state(facts, view.now)
            ),
            words::state_role(state),
        )
        .with(words::real(facts), Role::Strong);
    let numbers = format!(
        "  cpu {}  mem {}  pods {}/{}",
        words::cores_of(facts.requested.cpu_milli, facts.allocatable.cpu_milli),
        bytes_of(facts.requested.memory_bytes, facts.allocatable.memory_bytes),
        thousands(view.survey.pods_on(row).len() as u64),
        facts.allocatable.pods,
    );
    line.push(numbers, Role::Text);
    view.gpus.tell(facts, "  ", &mut line);
    let x = canvas.text(1, top, line);
    let domains = words::domains(facts, view.levels);
    let end = canvas.width.saturating_sub(1);
    let fits = width(&domains) + usize::from(x) + 3 < usize::from(end);
    if fits {
        draw::right(canvas, end, top, &domains, Role::Dim);
    }
    if lines == 2 {
        let note = super::tiles::note(view, row);
        let x = canvas.text(3, top + 1, Line::of(note.0, note.1));
        if !fits {
            let room = end.saturating_sub(x + 3);
            draw::sentence(canvas, (x + 3, top + 1), room, &domains, Role::Dim);
        }
    }
    if lines >= 3 {
        super::tiles::strips(canvas, (3, top + 1), end.saturating_sub(3), view, row);
    }
    if lines >= 9 {
        let room = (end.saturating_sub(3), lines - 5);
        super::tiles::shares(canvas, (3, top + 5), room, view, row);
    }
}
