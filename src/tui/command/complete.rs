//! What a half-typed line may become: words of commands, views, kinds, namespaces, and, in the
//! palette, every object by name.

use crate::k8s::Object;
use crate::tui::filter::fuzzy;
use crate::tui::keymap::Keymap;
use crate::tui::view::{Opening, Place, View};

use super::line::{Surroundings, place_of};
use super::{Command, Make, table};

/// Proposals shown at once are fewer; more than this nobody walks through.
const SHOWN_MAX: usize = 50;

#[derive(Clone, PartialEq, Debug)]
pub struct Completion {
    /// What the line becomes, in the `:` line.
    pub text: String,
    pub about: String,
    pub keys: String,
    /// What choosing it does, in the palette.
    pub command: Option<Command>,
    score: u32,
}

/// Completions of the `:` line: of its first word, else of the argument.
pub fn line(
    text: &str,
    around: Surroundings,
    keymap: &Keymap,
    contexts: &[String],
) -> Vec<Completion> {
    let text = text.trim_start_matches(':');
    let Some((word, argument)) = text.split_once(' ') else {
        return first_word(text, around, keymap);
    };
    let last = argument.rsplit([' ', ',']).next().unwrap_or_default();
    let head = text.strip_suffix(last).unwrap_or(text);
    let choices: Vec<&str> = match word {
        "ctx" | "context" => contexts.iter().map(String::as_str).collect(),
        "theme" => crate::config::theme::names().collect(),
        _ if word == "ns" || super::line::place_named(word, around.cache).is_some() => around
            .cache
            .cluster
            .list(&crate::k8s::resources::NAMESPACES)
            .map(|namespace| namespace.name())
            .chain(["all"])
            .collect(),
        _ => Vec::new(),
    };
    let mut found: Vec<Completion> = choices
        .into_iter()
        .filter(|choice| choice.starts_with(last) && *choice != last)
        .map(|choice| Completion {
            text: format!("{head}{choice}"),
            about: String::new(),
            keys: String::new(),
            command: None,
            score: 0,
        })
        .collect();
    found.truncate(SHOWN_MAX);
    found
}

fn first_word(text: &str, around: Surroundings, keymap: &Keymap) -> Vec<Completion> {
    if text.is_empty() {
        return Vec::new();
    }
    let mut found: Vec<Completion> = words(around, keymap)
        .filter(|one| one.text.starts_with(text))
        .collect();
    found.sort_by(|one, other| (one.text.len(), &one.text).cmp(&(other.text.len(), &other.text)));
    found.dedup_by(|one, other| one.text == other.text);
    found.truncate(SHOWN_MAX);
    found
}

/// Views, commands and kinds.
fn words<'a>(
    around: Surroundings<'a>,
    keymap: &'a Keymap,
) -> impl Iterator<Item = Completion> + 'a {
    let views = View::ALL.into_iter().map(|view| Completion {
        text: view.name().to_owned(),
        about: "view".to_owned(),
        keys: view.key().to_string(),
        command: Some(Command::Show(view)),
        score: 0,
    });
    let commands = table::entries(around.view, around.read_only).map(|entry| Completion {
        text: entry.word.to_owned(),
        about: entry.help.to_owned(),
        keys: keymap.keys_of(entry).join(" "),
        command: match entry.make {
            Make::Plain(make) | Make::Both(make, _, _) => Some(make()),
            Make::Argument(_, _) => None,
        },
        score: 0,
    });
    let kinds = around.cache.kinds.iter().map(|kind| Completion {
        text: kind.resource.plural.to_string(),
        about: format!("kind {}", kind.kind),
        keys: kind.short_names.join(" "),
        command: Some(Command::Go(place_of(kind.resource.clone()))),
        score: 0,
    });
    views.chain(commands).chain(kinds)
}

/// The palette: everything by name, the best match first.
pub fn palette(text: &str, around: Surroundings, keymap: &Keymap) -> Vec<Completion> {
    let text = text.trim().to_lowercase();
    let mut found: Vec<Completion> = words(around, keymap)
        .filter(|one| one.command.is_some())
        .filter_map(|one| {
            let score = fuzzy(&one.text, &text)?;
            // A short word that matches wholly comes before a long one that only contains it.
            let whole = if one.text == text { 50 } else { 0 };
            Some(Completion {
                score: score + whole + 2,
                ..one
            })
        })
        .collect();
    if !text.is_empty() {
        for resource in around.cache.cluster.resources() {
            found.extend(
                around
                    .cache
                    .cluster
                    .list(resource)
                    .filter_map(|object| named(object, &text)),
            );
        }
    }
    found.sort_by(|one, other| {
        (other.score, one.text.len(), &one.text).cmp(&(one.score, other.text.len(), &other.text))
    });
    found.truncate(SHOWN_MAX);
    found
}

fn named(object: &Object, text: &str) -> Option<Completion> {
    let score = fuzzy(object.name(), text)?;
    let mut place = place_of(object.key.resource.clone());
    place.with = Opening {
        select: Some(object.uid.clone()),
        ..place.with
    };
    Some(Completion {
        text: if object.namespace().is_empty() {
            object.name().to_owned()
        } else {
            format!("{}/{}", object.namespace(), object.name())
        },
        about: object.key.resource.plural.to_string(),
        keys: String::new(),
        command: Some(Command::Go(Place { ..place })),
        score,
    })
}
