//! The objects view as widgets.

use serde_json::Value;

use super::describe::{Section, describe};
use super::editor::{Editor, Stage};
use super::state::{KindRow, ObjectsPage, OpenObject};
use super::tree::tree;
use crate::k8s::{Object, resources};
use crate::stdx::humanize::{counted, thousands};
use crate::tui::cache::FeedState;
use crate::tui::columns::{glyph, role, text_key};
use crate::tui::diff::{self, Diff, LineKind, Noise};
use crate::tui::listing::Source;
use crate::tui::page::{Context, PageHint};
use crate::tui::pages::timeline::entry::Tone;
use crate::tui::screen::{Cell, Document, EditorPanel, Empty, Extent, Widget};
use crate::tui::table::{Column, SortKey, Unit};
use crate::tui::text::{Line, Role};
use crate::tui::view::{Aspect, Scope};

pub(super) const KIND_COLUMNS: &[Column<KindRow>] = &[
    Column::new(
        "NAME",
        |row: &KindRow, _| Cell::new(row.info.resource.plural.as_str(), Role::Text),
        |row: &KindRow, _| text_key(row.info.resource.plural.clone()),
    )
    .name(),
    Column::new(
        "SHORT",
        |row: &KindRow, _| Cell::new(row.info.short_names.join(","), Role::Dim),
        |row: &KindRow, _| text_key(row.info.short_names.join(",")),
    )
    .width(5, 12)
    .priority(3),
    Column::new(
        "KIND",
        |row: &KindRow, _| Cell::from(row.info.kind.as_str()),
        |row: &KindRow, _| text_key(row.info.kind.as_str()),
    )
    .width(10, 36)
    .priority(2),
    Column::new(
        "GROUP",
        |row: &KindRow, _| {
            let group = &row.info.resource.group;
            let text = if group.is_empty() {
                row.info.version.clone()
            } else {
                format!("{group}/{}", row.info.version)
            };
            Cell::new(text, Role::Dim)
        },
        |row: &KindRow, _| text_key(row.info.resource.group.clone()),
    )
    .width(8, 44)
    .priority(1),
    Column::new(
        "SCOPE",
        |row: &KindRow, _| {
            let scope = if row.info.namespaced {
                "namespace"
            } else {
                "cluster"
            };
            Cell::new(scope, Role::Dim)
        },
        |row: &KindRow, _| {
            text_key(if row.info.namespaced {
                "namespace"
            } else {
                "cluster"
            })
        },
    )
    .width(9, 9)
    .priority(4),
    Column::new(
        "OBJECTS",
        |row: &KindRow, _| {
            if row.watched {
                Cell::from(thousands(row.count as u64))
            } else {
                Cell::new("-", Role::Dim)
            }
        },
        |row: &KindRow, _| {
            if row.watched {
                SortKey::Number(i64::try_from(row.count).unwrap_or(i64::MAX))
            } else {
                SortKey::Nothing
            }
        },
    )
    .number(Unit::None)
    .width(7, 9)
    .priority(0),
];

pub(super) fn present(page: &ObjectsPage, context: &Context) -> Widget {
    if let Some(editor) = page.open_editor() {
        return editor_widget(editor, context);
    }
    if let Some(open) = &page.open {
        return Widget::Document(Document {
            title: title(open),
            lines: open
                .lines
                .iter()
                .skip(open.first)
                .take(usize::from(context.area.height.saturating_sub(1)))
                .cloned()
                .collect(),
            first: open.first,
            total: open.lines.len(),
            ..Document::default()
        });
    }
    if page.list.source.resource.is_some() {
        let empty = list_empty(page, context);
        return Widget::Table(page.list.table.present(
            page.list.source.columns(),
            context,
            empty,
            |_| Vec::new(),
        ));
    }
    let empty = Empty {
        why: "the server's kinds are not known yet".into(),
        press: Line::default(),
    };
    Widget::Table(
        page.kinds
            .present(KIND_COLUMNS, context, empty, |_| Vec::new()),
    )
}

fn list_empty(page: &ObjectsPage, context: &Context) -> Empty {
    let Some(resource) = &page.list.source.resource else {
        return Empty::default();
    };
    let why = match context.cache.feed(resource) {
        None | Some(FeedState::Loading { .. }) => format!("loading {resource}"),
        Some(FeedState::Forbidden { why }) => format!("you may not list {resource}: {why}"),
        Some(FeedState::Unknown) => format!("the server does not know {resource}"),
        Some(FeedState::Lost { why, .. }) => format!("no connection: {why}"),
        Some(FeedState::Live { .. }) if page.list.table.filter().is_empty() => {
            format!("no {resource} in {}", context.scope.words())
        }
        Some(FeedState::Live { .. }) => format!("none matches `{}`", page.list.table.filter()),
    };
    Empty {
        why: why.into(),
        press: match context.scope {
            Scope::All => "`bayplan apply -f FILE` brings some; 0 lists the kinds".into(),
            Scope::Namespaces(_) => ":ns all shows every namespace; 0 lists the kinds".into(),
        },
    }
}

fn title(open: &OpenObject) -> Line {
    let word = match open.aspect {
        Aspect::Yaml => "yaml",
        Aspect::Tree => "tree",
        Aspect::Edit => "edit",
        _ => "describe",
    };
    Line::of(open.target.path(), Role::Title)
        .with(format!("  {}  {word}", open.target.key.resource), Role::Dim)
}

/// The text of what is looked at.
pub(super) fn lines(open: &OpenObject, context: &Context) -> Vec<Line> {
    let cached = context
        .cluster
        .get(&open.target.key)
        .filter(|object| object.uid == open.target.uid);
    let whole = open.whole.as_ref().and_then(|whole| whole.as_ref().ok());
    let Some(object) = cached.or(whole) else {
        return vec![match &open.whole {
            Some(Err(why)) => Line::of(why.as_str(), Role::Bad),
            Some(Ok(_)) => Line::of("it is gone", Role::Warning),
            None => Line::of("asking the server", Role::Dim),
        }];
    };
    match open.aspect {
        Aspect::Yaml => {
            // The server's whole object, unless the cache has a newer one.
            let newest = whole
                .filter(|whole| whole.revision >= object.revision)
                .unwrap_or(object);
            yaml_lines(newest, open.everything)
        }
        Aspect::Tree => tree(context.cluster, object)
            .into_iter()
            .map(|row| {
                let stem = if row.depth == 0 {
                    String::new()
                } else {
                    let corner = if row.last { "└ " } else { "├ " };
                    format!("{}{corner}", "  ".repeat(row.depth - 1))
                };
                let here = row.uid == open.target.uid;
                let mut line = Line::of(format!(" {stem}"), Role::Rule)
                    .with(format!("{} ", row.key.resource.plural), Role::Dim)
                    .with(
                        row.key.name.as_str(),
                        if here { Role::Strong } else { Role::Text },
                    );
                if let Some(health) = row.health {
                    line.push(format!("  {} {}", glyph(health), row.word), role(health));
                }
                line
            })
            .collect(),
        _ => describe(context.cluster, object, context.now)
            .iter()
            .flat_map(section_lines)
            .collect(),
    }
}

fn section_lines(section: &Section) -> Vec<Line> {
    let widest = section
        .facts
        .iter()
        .map(|fact| crate::tui::text::width(&fact.label))
        .max()
        .unwrap_or(0)
        .clamp(12, 44);
    let mut lines = Vec::new();
    if !section.title.is_empty() {
        lines.push(Line::default());
        lines.push(Line::of(format!(" {}", section.title), Role::Title));
    }
    for fact in &section.facts {
        let blanks = widest.saturating_sub(crate::tui::text::width(&fact.label));
        let role = match fact.tone {
            Tone::Plain => Role::Text,
            Tone::Good => Role::Good,
            Tone::Warning => Role::Warning,
            Tone::Bad => Role::Bad,
        };
        lines.push(
            Line::of(
                format!("   {}{}  ", fact.label, " ".repeat(blanks)),
                Role::Dim,
            )
            .with(fact.value.as_str(), role),
        );
    }
    lines
}

/// YAML with its keys set apart. Managed fields, and what a secret holds, only on demand.
fn yaml_lines(object: &Object, everything: bool) -> Vec<Line> {
    let mut json = object.json();
    if !everything {
        if let Some(metadata) = json.get_mut("metadata").and_then(Value::as_object_mut) {
            metadata.remove("managedFields");
        }
        if object.key.resource == resources::SECRETS {
            hide_values(&mut json);
        }
    }
    diff::yaml(&json, Noise::Shown)
        .lines()
        .map(yaml_line)
        .collect()
}

fn hide_values(secret: &mut Value) {
    for field in ["data", "stringData"] {
        let values = secret.get_mut(field).and_then(Value::as_object_mut);
        for value in values.into_iter().flat_map(serde_json::Map::values_mut) {
            let length = value.as_str().map_or(0, str::len);
            *value = format!("({length} characters, :wide shows them)").into();
        }
    }
}

fn yaml_line(text: &str) -> Line {
    let start = text.len() - text.trim_start_matches([' ', '-']).len();
    let key_end = text
        .get(start..)
        .and_then(|rest| {
            rest.find(": ")
                .or_else(|| rest.strip_suffix(':').map(str::len))
        })
        .map(|length| start + length);
    match key_end {
        Some(end) if !text.get(start..end).unwrap_or_default().contains(' ') => {
            Line::of(text.get(..=end).unwrap_or_default(), Role::Accent)
                .with(text.get(end + 1..).unwrap_or_default(), Role::Text)
        }
        _ => Line::of(text, Role::Text),
    }
}

fn editor_widget(editor: &Editor, context: &Context) -> Widget {
    let height = context.area.height;
    let note = match (&editor.complaint, &editor.stage) {
        (Some(why), _) => Line::of(format!(" {why}"), Role::Bad),
        (None, Stage::Trying(_)) => Line::of(" the server is asked what it would store", Role::Dim),
        (None, Stage::Review { diff, .. }) => Line::of(
            format!(
                " {}: this is what the server would store. enter goes on to send, esc back to the text",
                diff.summary()
            ),
            Role::Strong,
        ),
        (None, Stage::Typing) => Line::of(
            " ctrl-s shows what it would change; nothing is sent before that. esc leaves",
            Role::Dim,
        ),
    };
    let body = if let Stage::Review { diff, .. } = &editor.stage {
        Widget::Document(Document::whole(diff_lines(diff)))
    } else {
        let (line, column) = editor.caret();
        Widget::Editor(EditorPanel {
            title: Line::of(format!("edit {}", editor.target.path()), Role::Title),
            lines: editor
                .lines()
                .iter()
                .skip(editor.first)
                .take(usize::from(height))
                .map(|text| yaml_line(text))
                .collect(),
            first: editor.first,
            caret: (
                u16::try_from(column).unwrap_or(u16::MAX),
                u16::try_from(line.saturating_sub(editor.first)).unwrap_or(u16::MAX),
            ),
        })
    };
    Widget::down([(Extent::Cells(1), Widget::line(note)), (Extent::Rest, body)])
}

/// A difference as lines with their signs.
pub fn diff_lines(diff: &Diff) -> Vec<Line> {
    diff.lines
        .iter()
        .map(|line| {
            let (sign, role) = match line.kind {
                LineKind::Same => (" ", Role::Dim),
                LineKind::Removed => ("-", Role::Removed),
                LineKind::Added => ("+", Role::Added),
                LineKind::Gap => ("⋯", Role::Rule),
            };
            Line::of(format!(" {sign} {}", line.text), role)
        })
        .collect()
}

pub(super) fn hints(page: &ObjectsPage) -> Option<Vec<PageHint>> {
    if let Some(editor) = page.open_editor() {
        return Some(match editor.stage {
            Stage::Review { .. } => vec![
                PageHint::Keys("enter", "go on to send"),
                PageHint::Keys("esc", "back to the text"),
            ],
            _ => vec![
                PageHint::Keys("ctrl-s", "what would change"),
                PageHint::Keys("ctrl-o", "on in $EDITOR"),
                PageHint::Keys("ctrl-k", "cut to the line's end"),
                PageHint::Keys("ctrl-u", "take back"),
                PageHint::Keys("esc", "leave"),
            ],
        });
    }
    page.open.as_ref().map(|open| match open.aspect {
        Aspect::Yaml => vec![
            PageHint::Command(&["describe"], "describe"),
            PageHint::Command(&["tree"], "tree"),
            PageHint::Command(&["wide"], "everything"),
            PageHint::Command(&["back"], "back"),
        ],
        _ => vec![
            PageHint::Command(&["yaml"], "yaml"),
            PageHint::Command(&["tree"], "tree"),
            PageHint::Command(&["owner"], "owner"),
            PageHint::Command(&["back"], "back"),
        ],
    })
}

pub(super) fn status(page: &ObjectsPage, _context: &Context) -> Line {
    if let Some(open) = &page.open {
        let editor = page.editor.as_ref().filter(|_| open.aspect == Aspect::Edit);
        let Some(editor) = editor else {
            return Line::of(counted(open.lines.len(), "line", "lines"), Role::Dim);
        };
        let (line, _) = editor.caret();
        let all = editor.lines().len();
        return Line::of(format!("line {} of {all}", line + 1), Role::Dim);
    }
    match &page.list.source.resource {
        Some(resource) => {
            let mut line = Line::of(resource.to_string(), Role::Accent).with(
                format!("  {}", counted(page.list.table.len(), "object", "objects")),
                Role::Text,
            );
            if page.list.table.len() < page.list.table.unfiltered() {
                line.push(format!(" of {}", page.list.table.unfiltered()), Role::Dim);
            }
            line
        }
        None => Line::of(
            format!(
                "{}; enter lists one",
                counted(page.kinds.len(), "kind", "kinds")
            ),
            Role::Text,
        ),
    }
}
