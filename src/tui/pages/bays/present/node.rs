//! Zoomed in: one node as a plane of cpu and memory, its pods beside it, what is known of it below.

use jiff::Timestamp;

use super::super::colouring::NodeState;
use super::super::state::{State, View};
use super::super::words;
use super::tiles;
use crate::k8s::columns::QosClass;
use crate::k8s::{Uid, status};
use crate::stdx::humanize::{age_of, bytes, bytes_of, counted, milli};
use crate::topology::survey::Row;
use crate::topology::{Amounts, PodFacts, Stranded};
use crate::tui::forecast::why_here::WhyHere;
use crate::tui::screen::Canvas;
use crate::tui::text::{Line, Role, width};
use crate::tui::widgets::area_plane::{Patch, divide, used_cells};
use crate::tui::widgets::{draw, ink};

/// Pods of a node in the order of plane and table: workloads together, the largest first.
pub fn pods(view: View, node: Row) -> Vec<Row> {
    let rank: Vec<Row> = tiles::stacks(view, node)
        .into_iter()
        .map(|(workload, _)| workload)
        .collect();
    let place = |row: Row| {
        let workload = view.survey.pod(row).workload;
        rank.iter().position(|entry| *entry == workload)
    };
    let mut list = view.survey.pods_on(node).to_vec();
    list.sort_by_key(|&row| place(row));
    list
}

/// The pod under the cursor, or the first.
pub fn selected(state: &State, view: View, pods: &[Row]) -> Option<Row> {
    let is_wanted = |uid: &Uid| Some(uid) == state.pod.as_ref();
    pods.iter()
        .copied()
        .find(|&row| is_wanted(&view.survey.pod(row).object.uid))
        .or_else(|| pods.first().copied())
}

pub fn present(
    state: &State,
    view: View,
    why: Option<(&Uid, &WhyHere)>,
    (columns, rows): (u16, u16),
) -> Canvas {
    let mut canvas = Canvas::new(columns, rows);
    let arrangement = view.arrangement;
    let Some(node) = state.cursor_row(view.survey, arrangement) else {
        return canvas;
    };
    let pods = pods(view, node);
    let chosen = selected(state, view, &pods);
    let facts_lines = match rows {
        40.. => 10,
        26.. => 7,
        18.. => 4,
        _ => 0,
    };
    let middle = rows.saturating_sub(2 + facts_lines + u16::from(facts_lines > 0));
    head(&mut canvas, view, node);
    let plane_width = plane_width(columns);
    plane(
        &mut canvas,
        Patch {
            x: 1,
            y: 2,
            width: plane_width,
            height: middle,
        },
        view,
        (node, chosen, &pods),
    );
    let left = plane_width + 3;
    let table_width = columns.saturating_sub(left + 1);
    table(
        &mut canvas,
        Patch {
            x: left,
            y: 2,
            width: table_width,
            height: middle,
        },
        view,
        (&pods, chosen),
    );
    if facts_lines > 0 {
        let why = why
            .filter(|(uid, _)| chosen.is_some_and(|row| view.survey.pod(row).object.uid == **uid));
        let chosen = chosen.map(|row| (row, why.map(|(_, why)| why)));
        facts(
            &mut canvas,
            (rows - facts_lines, facts_lines),
            view,
            (node, chosen),
        );
    }
    canvas
}

fn plane_width(columns: u16) -> u16 {
    match columns {
        ..100 => columns * 2 / 5,
        100..160 => columns * 9 / 20,
        _ => (columns / 2).min(150),
    }
}

fn head(canvas: &mut Canvas, view: View, node: Row) {
    let facts = view.survey.node(node);
    let state = NodeState::of(facts);
    let role = words::state_role(state);
    let mut line = Line::of(format!("{} ", words::state_glyph(state)), role)
        .with(facts.name(), Role::Strong)
        .with(format!("  {}", words::state(facts, view.now)), role)
        .with(words::real(facts), Role::Strong)
        .with(
            format!(
                "   cpu {} cores   mem {}   pods {}/{}",
                words::cores_of(facts.requested.cpu_milli, facts.allocatable.cpu_milli),
                bytes_of(facts.requested.memory_bytes, facts.allocatable.memory_bytes),
                view.survey.pods_on(node).len(),
                facts.allocatable.pods
            ),
            Role::Text,
        );
    view.gpus.tell(facts, "   ", &mut line);
    let x = canvas.text(1, 0, line);
    let domains = words::domains(facts, view.levels);
    let room = canvas.width.saturating_sub(x + 4);
    if usize::from(room) >= width(&domains) {
        draw::right(
            canvas,
            canvas.width.saturating_sub(1),
            0,
            &domains,
            Role::Dim,
        );
    }
}

fn plane(
    canvas: &mut Canvas,
    area: Patch,
    view: View,
    (node, chosen, pods): (Row, Option<Row>, &[Row]),
) {
    let facts = view.survey.node(node);
    let columns = used_cells(
        facts.requested.cpu_milli,
        facts.allocatable.cpu_milli,
        area.width,
    );
    let lines = used_cells(
        facts.requested.memory_bytes,
        facts.allocatable.memory_bytes,
        area.height,
    );
    let stranded = Stranded::of(facts, view.survey.typical);
    // Free of one dimension alone is dotted finely, free of both is the hole for the next pod.
    for y in area.y..area.y + area.height {
        for x in area.x..area.x + area.width {
            let beyond_cpu = x >= area.x + columns;
            let beyond_memory = y >= area.y + lines;
            let glyph = if beyond_cpu && beyond_memory {
                " "
            } else if (x + y) % 2 == 0 {
                "·"
            } else {
                " "
            };
            let wasted = (beyond_cpu && stranded.cpu_milli > 0)
                || (beyond_memory && stranded.memory_bytes > 0);
            let role = if wasted { Role::Warning } else { Role::Dim };
            canvas.set(x, y, glyph, role);
        }
    }
    let used = Patch {
        x: area.x,
        y: area.y,
        width: columns.max(1),
        height: lines.max(1),
    };
    let weights: Vec<f64> = pods
        .iter()
        .map(|&row| {
            let (cpu, memory) = view.survey.pod(row).request.shares_of(facts.allocatable);
            cpu + memory
        })
        .collect();
    for (&row, patch) in pods.iter().zip(divide(&weights, used)) {
        pod_patch(canvas, patch, view, (row, chosen == Some(row)));
    }
    frame(canvas, area, used);
    free_words(canvas, area, used, view, node);
}

/// A pod's area: its workload's colour behind, thin lines at its right and lower edges, its name
/// where there is room.
fn pod_patch(canvas: &mut Canvas, patch: Patch, view: View, (row, is_chosen): (Row, bool)) {
    if patch.is_empty() {
        return;
    }
    let pod = view.survey.pod(row);
    let workload = view.survey.workload(pod.workload);
    let hue = ink::hue(workload.hue);
    let texture = if is_chosen { "▒" } else { "█" };
    let last_x = patch.x + patch.width - 1;
    let last_y = patch.y + patch.height - 1;
    for y in patch.y..=last_y {
        for x in patch.x..=last_x {
            let glyph = if x == last_x && patch.width > 1 {
                "│"
            } else if y == last_y && patch.height > 1 {
                "▀"
            } else {
                texture
            };
            canvas.set(x, y, glyph, hue);
        }
    }
    let room = usize::from(patch.width.saturating_sub(2));
    if room >= 4 {
        let shown = crate::tui::text::cut_middle(&workload.key.name, room);
        let role = if is_chosen { Role::Strong } else { hue };
        let mut text = Line::of(shown, role);
        if is_chosen {
            text.push(" ◂", Role::Strong);
        }
        let columns = u16::try_from(text.width())
            .unwrap_or(0)
            .min(patch.width - 1);
        canvas.fill((patch.x, patch.y, columns + 1, 1), " ", hue);
        canvas.text(patch.x, patch.y, text);
    } else if patch.width >= 1 {
        canvas.set(patch.x, patch.y, ink::hue_letter(workload.hue), hue);
    }
    if is_chosen {
        canvas.lay_behind(patch.x, patch.y, patch.width.min(2), Role::Cursor);
    }
}

/// Marks where the used part ends on both axes.
fn frame(canvas: &mut Canvas, area: Patch, used: Patch) {
    let right = used.x + used.width;
    if right < area.x + area.width {
        for y in used.y..used.y + used.height {
            canvas.set(right, y, "│", Role::Dim);
        }
    }
    let below = used.y + used.height;
    if below < area.y + area.height {
        for x in used.x..used.x + used.width {
            canvas.set(x, below, "─", Role::Dim);
        }
    }
    let axis = area.y.saturating_sub(1);
    canvas.text(area.x, axis, Line::of("cpu →  mem ↓", Role::Dim));
}

fn free_words(canvas: &mut Canvas, area: Patch, used: Patch, view: View, node: Row) {
    let facts = view.survey.node(node);
    let free = facts.free();
    let stranded = Stranded::of(facts, view.survey.typical);
    let end = area.x + area.width;
    let axis = area.y.saturating_sub(1);
    let fits = facts.free().fits(view.survey.typical);
    let (text, role) = if stranded.is_none() {
        (
            format!(
                "free {} cores × {}",
                milli(free.cpu_milli),
                bytes(free.memory_bytes)
            ),
            Role::Text,
        )
    } else {
        (
            format!("stranded {}", words::stranded(stranded)),
            Role::Warning,
        )
    };
    draw::right(canvas, end, axis, &text, role);
    let corner = Patch {
        x: used.x + used.width,
        y: used.y + used.height,
        width: end.saturating_sub(used.x + used.width),
        height: (area.y + area.height).saturating_sub(used.y + used.height),
    };
    let typical = words::shape(view.survey.typical);
    let lines = [
        format!(
            "room for {}",
            counted(usize::try_from(fits).unwrap_or(usize::MAX), "pod", "pods")
        ),
        format!("of {typical}"),
    ];
    let needed = lines.iter().map(|line| width(line)).max().unwrap_or(0);
    if usize::from(corner.width) > needed + 2 && corner.height >= 3 {
        let x = corner.x + corner.width / 2 - u16::try_from(needed / 2).unwrap_or(0);
        let y = corner.y + corner.height / 2 - 1;
        for (offset, line) in (0..).zip(lines) {
            canvas.text(x, y + offset, Line::of(line, Role::Dim));
        }
    }
}

/// A column of the table: title, width, whether it stays on narrow screens.
struct Column {
    title: &'static str,
    width: u16,
    text: fn(View, &PodFacts) -> (String, Role),
}

const COLUMNS: &[Column] = &[
    Column {
        title: "CPU",
        width: 6,
        text: |_, pod| (milli(pod.request.cpu_milli), Role::Text),
    },
    Column {
        title: "MEM",
        width: 8,
        text: |_, pod| (bytes(pod.request.memory_bytes), Role::Text),
    },
    Column {
        title: "STATUS",
        width: 17,
        text: status_text,
    },
    Column {
        title: "AGE",
        width: 6,
        text: |view, pod| (age_of(pod.object.created, view.now), Role::Dim),
    },
    Column {
        title: "LIM CPU",
        width: 8,
        text: |_, pod| limit(pod, |amounts| amounts.cpu_milli, milli),
    },
    Column {
        title: "LIM MEM",
        width: 8,
        text: |_, pod| limit(pod, |amounts| amounts.memory_bytes, bytes),
    },
    Column {
        title: "QOS",
        width: 11,
        text: qos,
    },
    Column {
        title: "PRIO",
        width: 6,
        text: |_, pod| {
            let priority = pod.columns().map_or(0, |columns| columns.priority);
            (priority.to_string(), Role::Dim)
        },
    },
    Column {
        title: "PEERS HERE/ALL",
        width: 15,
        text: peers,
    },
];

fn status_text(_: View, pod: &PodFacts) -> (String, Role) {
    match status::of_pod(&pod.object) {
        Some(status) => {
            let role = if status.health.is_trouble() {
                Role::Bad
            } else if pod.serves {
                Role::Good
            } else {
                Role::Text
            };
            (status.word.to_string(), role)
        }
        None => (String::new(), Role::Text),
    }
}

fn limit(pod: &PodFacts, part: fn(Amounts) -> i64, text: fn(i64) -> String) -> (String, Role) {
    let limits = pod.columns().map(|columns| Amounts::of(&columns.limits, 1));
    match limits.map(part) {
        Some(amount) if amount > 0 => (text(amount), Role::Dim),
        _ => ("-".to_owned(), Role::Dim),
    }
}

fn qos(_: View, pod: &PodFacts) -> (String, Role) {
    let word = match pod.columns().map(|columns| columns.qos) {
        Some(QosClass::Guaranteed) => "Guaranteed",
        Some(QosClass::Burstable) => "Burstable",
        _ => "BestEffort",
    };
    (word.to_owned(), Role::Dim)
}

/// Replicas of the same workload on this node, of all.
fn peers(view: View, pod: &PodFacts) -> (String, Role) {
    let all = view.survey.pods_of(pod.workload);
    let here = all
        .iter()
        .filter(|&&row| view.survey.pod(row).node == pod.node)
        .count();
    (format!("{here}/{}", all.len()), Role::Dim)
}

fn table(canvas: &mut Canvas, area: Patch, view: View, (pods, chosen): (&[Row], Option<Row>)) {
    let name_min = 22;
    let mut left = area.width.saturating_sub(name_min);
    let mut columns: Vec<&Column> = Vec::new();
    for column in COLUMNS {
        if column.width + 1 > left {
            break;
        }
        left -= column.width + 1;
        columns.push(column);
    }
    let name_width = area
        .width
        .saturating_sub(columns.iter().map(|column| column.width + 1).sum());
    let name_width = name_width.min(52);
    canvas.text(area.x + 2, area.y - 1, Line::of("POD", Role::Dim));
    let mut end = area.x + name_width;
    for column in &columns {
        end += column.width + 1;
        draw::right(canvas, end, area.y - 1, column.title, Role::Dim);
    }
    let height = usize::from(area.height);
    let place = pods
        .iter()
        .position(|row| Some(*row) == chosen)
        .unwrap_or(0);
    let first = place
        .saturating_sub(height / 2)
        .min(pods.len().saturating_sub(height));
    for (offset, &row) in (0..).zip(pods.iter().skip(first).take(height)) {
        let y = area.y + offset;
        let pod = view.survey.pod(row);
        let hue = view.survey.workload(pod.workload).hue;
        canvas.text(area.x, y, Line::of("■", ink::hue(hue)));
        let role = if Some(row) == chosen {
            Role::Strong
        } else {
            Role::Text
        };
        let room = name_width.saturating_sub(2);
        draw::name(canvas, (area.x + 2, y), room, pod.object.name(), role);
        let mut end = area.x + name_width;
        for column in &columns {
            end += column.width + 1;
            let (text, role) = (column.text)(view, pod);
            let text = crate::tui::text::cut_middle(&text, usize::from(column.width));
            draw::right(canvas, end, y, &text, role);
        }
        if Some(row) == chosen {
            canvas.lay_behind(area.x, y, end.saturating_sub(area.x), Role::Cursor);
        }
    }
    let hidden = pods.len().saturating_sub(first + height);
    if hidden > 0 {
        let y = area.y + area.height - 1;
        draw::right(
            canvas,
            area.x + area.width,
            y,
            &format!(" ↓ {hidden}"),
            Role::Dim,
        );
    }
}

/// Conditions, taints, labels, images: the most urgent first, one line each.
fn facts(
    canvas: &mut Canvas,
    (top, lines): (u16, u16),
    view: View,
    (node, chosen): (Row, Option<(Row, Option<&WhyHere>)>),
) {
    let facts = view.survey.node(node);
    let json = facts.object.json();
    let mut list: Vec<(&str, String, Role)> = Vec::new();
    if let Some((pod, why)) = chosen {
        let name = view.survey.pod(pod).object.name();
        let verdict = why.map_or("asking the scheduler …", |why| why.verdict.as_str());
        list.push(("why here", format!("{name} {verdict}"), Role::Text));
        if let Some(why) = why.filter(|why| !why.scores.is_empty()) {
            list.push(("", why.scores.clone(), Role::Dim));
        }
    }
    let (text, role) = conditions(&json, view.now);
    list.push(("conditions", text, role));
    let columns = facts.object.node();
    let taints: Vec<String> = columns
        .map(|columns| columns.taints.iter())
        .into_iter()
        .flatten()
        .map(|taint| {
            let value = if taint.value.is_empty() {
                String::new()
            } else {
                format!("={}", taint.value)
            };
            format!("{}{value}:{:?}", taint.key, taint.effect)
        })
        .collect();
    if taints.is_empty() {
        list.push(("taints", "none".to_owned(), Role::Dim));
    } else {
        list.push(("taints", taints.join("  "), Role::Warning));
    }
    let machine = [
        text_at(&json, "/metadata/labels/node.kubernetes.io~1instance-type"),
        text_at(&json, "/status/nodeInfo/kubeletVersion"),
        text_at(&json, "/status/nodeInfo/osImage"),
        text_at(&json, "/status/nodeInfo/containerRuntimeVersion"),
        columns.map_or("", |columns| columns.internal_ip.as_str()),
        columns.map_or("", |columns| columns.pod_cidr.as_str()),
    ];
    let machine: Vec<&str> = machine
        .into_iter()
        .filter(|text| !text.is_empty())
        .collect();
    list.push(("machine", machine.join("  "), Role::Text));
    let scalars: Vec<String> = columns
        .map(|columns| columns.allocatable.scalars.iter())
        .into_iter()
        .flatten()
        .map(|(name, total)| {
            let used: i64 = view
                .survey
                .pods_on(node)
                .iter()
                .filter_map(|&row| view.survey.pod(row).columns())
                .map(|pod| pod.requests.scalar(name))
                .sum();
            format!("{name} {used}/{total}")
        })
        .collect();
    if !scalars.is_empty() {
        list.push(("devices", scalars.join("  "), Role::Text));
    }
    let labels: Vec<String> = facts
        .object
        .labels
        .iter()
        .map(|(key, value)| format!("{key}={value}"))
        .collect();
    list.push(("labels", labels.join("  "), Role::Dim));
    let images = json
        .pointer("/status/images")
        .and_then(serde_json::Value::as_array);
    if let Some(images) = images.filter(|images| !images.is_empty()) {
        let size: i64 = images
            .iter()
            .filter_map(|image| image.get("sizeBytes").and_then(serde_json::Value::as_i64))
            .sum();
        let text = format!(
            "{}, {}",
            counted(images.len(), "image", "images"),
            bytes(size)
        );
        list.push(("images", text, Role::Dim));
    }
    canvas.fill(
        (1, top.saturating_sub(1), canvas.width - 2, 1),
        "─",
        Role::Dim,
    );
    for (y, (title, text, role)) in (top..top + lines).zip(list) {
        canvas.text(1, y, Line::of(title, Role::Dim));
        draw::sentence(
            canvas,
            (12, y),
            canvas.width.saturating_sub(13),
            &text,
            role,
        );
    }
}

fn conditions(json: &serde_json::Value, now: Timestamp) -> (String, Role) {
    let list = json
        .pointer("/status/conditions")
        .and_then(serde_json::Value::as_array);
    let mut bad = false;
    let words: Vec<String> = list
        .into_iter()
        .flatten()
        .filter_map(|condition| {
            let kind = text_at(condition, "/type");
            let status = text_at(condition, "/status");
            let healthy = if kind == "Ready" { "True" } else { "False" };
            if status == healthy && kind != "Ready" {
                return None;
            }
            bad |= status != healthy;
            let since: Option<Timestamp> = text_at(condition, "/lastTransitionTime").parse().ok();
            let age = since.map_or_else(String::new, |_| format!(" for {}", age_of(since, now)));
            let message = text_at(condition, "/message");
            let message = if message.is_empty() || status == healthy {
                String::new()
            } else {
                format!(" ({message})")
            };
            Some(format!("{kind} {status}{age}{message}"))
        })
        .collect();
    let role = if bad { Role::Bad } else { Role::Good };
    (words.join("  "), role)
}

fn text_at<'a>(json: &'a serde_json::Value, pointer: &str) -> &'a str {
    json.pointer(pointer)
        .and_then(serde_json::Value::as_str)
        .unwrap_or_default()
}
