//! The grammar of the `:` line, as hands that know k9s type it.
//!
//! ```text
//! :pods shop /cart        a view or kind, namespaces, a filter
//! :po app=web @prod       labels, another cluster
//! :scale 12  :ns shop     a command with its argument
//! :/cart                  a filter alone
//! ```

use crate::k8s::{Resource, resources};
use crate::tui::cache::Cache;
use crate::tui::view::{Opening, Place, Scope, View};

use super::{Command, Make, Section, table};

/// What the line is read against.
#[derive(Clone, Copy)]
pub struct Surroundings<'a> {
    pub view: View,
    pub read_only: bool,
    pub cache: &'a Cache,
}

/// The commands that a line means, in order.
pub fn parse(text: &str, around: Surroundings) -> Result<Vec<Command>, String> {
    let text = text.trim().trim_start_matches(':').trim_start();
    if text.is_empty() {
        return Ok(Vec::new());
    }
    if let Some(filter) = text.strip_prefix('/') {
        return Ok(vec![Command::Filter(filter.trim().to_owned())]);
    }
    if let Some(context) = text.strip_prefix('@') {
        return Ok(vec![Command::Contexts(Some(context.to_owned()))]);
    }
    if let Some(length) = text.strip_prefix('+') {
        return table::pass(length.trim()).map(|one| vec![one]);
    }
    let (word, rest) = text.split_once(char::is_whitespace).unwrap_or((text, ""));
    let rest = rest.trim();
    let entry = table::entries(around.view, around.read_only)
        .find(|entry| entry.word == word || entry.aliases.contains(&word));
    // `ns` is also how a kind is called for short; the program's own words come first.
    let is_own = entry.is_some_and(|entry| entry.section == Section::Program);
    if !is_own && let Some(place) = place_named(word, around.cache) {
        return Ok(visit(place, rest));
    }
    let Some(entry) = entry else {
        return Err(unknown(word, around));
    };
    match (entry.make, rest) {
        (Make::Plain(make) | Make::Both(make, _, _), "") => Ok(vec![make()]),
        (Make::Plain(_), _) => Err(format!("`{word}` takes no argument")),
        (Make::Argument(_, usage), "") => Err(format!("`{word}` needs {usage}")),
        (Make::Argument(make, _) | Make::Both(_, make, _), rest) => make(rest).map(|one| vec![one]),
    }
}

fn unknown(word: &str, around: Surroundings) -> String {
    let elsewhere = table::ALL.iter().copied().flatten().find(|entry| {
        (entry.word == word || entry.aliases.contains(&word)) && !entry.is_for(around.view)
    });
    if let Some(view) = elsewhere.and_then(|entry| entry.views.first()) {
        return format!("`{word}` is a command of {}", view.name());
    }
    format!("no view, kind or command `{word}`; `?` lists them")
}

/// A view by its name, or the view that shows a kind.
pub fn place_named(word: &str, cache: &Cache) -> Option<Place> {
    let view = match word {
        "pu" | "hz" => Some(View::Pulse),
        "wk" | "wl" | "workload" => Some(View::Workloads),
        "events" | "event" | "ev" => Some(View::Timeline),
        "log" => Some(View::Logs),
        "domain" => Some(View::Domains),
        "bay" => Some(View::Bays),
        _ => View::named(word),
    };
    if let Some(view) = view {
        return Some(Place::of(view));
    }
    let resource = match word {
        "dp" => Some(resources::DEPLOYMENTS),
        "sec" => Some(resources::SECRETS),
        "jo" => Some(resources::JOBS),
        "cr" => Some(resources::CLUSTER_ROLES),
        "crb" => Some(resources::CLUSTER_ROLE_BINDINGS),
        "ro" => Some(resources::ROLES),
        "rb" => Some(resources::ROLE_BINDINGS),
        _ => cache.kind_named(word).map(|kind| kind.resource.clone()),
    };
    resource.map(place_of)
}

/// The view that shows a kind best.
pub fn place_of(resource: Resource) -> Place {
    let view = match &resource {
        pods if *pods == resources::PODS => View::Pods,
        services if *services == resources::SERVICES => View::Services,
        _ => View::Objects,
    };
    Place {
        view,
        with: Opening {
            resource: (view == View::Objects).then_some(resource),
            ..Opening::default()
        },
    }
}

fn visit(mut place: Place, rest: &str) -> Vec<Command> {
    let mut commands = Vec::new();
    let (words, filter) = match rest.find('/') {
        // A filter begins with `/` at a word's beginning; label keys have theirs inside.
        Some(at) if at == 0 || rest.get(..at).is_some_and(|head| head.ends_with(' ')) => {
            (rest.get(..at).unwrap_or_default(), rest.get(at + 1..))
        }
        _ => (rest, None),
    };
    let mut filters: Vec<String> = Vec::new();
    let mut names = Vec::new();
    for word in words.split_whitespace() {
        if let Some(context) = word.strip_prefix('@') {
            commands.push(Command::Contexts(Some(context.to_owned())));
        } else if word.contains('=') {
            filters.push(format!("l:{word}"));
        } else {
            names.extend(word.split(',').filter(|name| !name.is_empty()));
        }
    }
    filters.extend(filter.map(|text| text.trim().to_owned()));
    if !filters.is_empty() {
        place.with.filter = Some(filters.join(" "));
    }
    if !names.is_empty() {
        let all = names.iter().any(|name| matches!(*name, "all" | "*" | "-"));
        let scope = if all { Scope::All } else { Scope::of(&names) };
        commands.push(Command::Namespaces(Some(scope)));
    }
    commands.push(Command::Go(place));
    commands
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tui::cache::KindInfo;

    fn cache() -> Cache {
        let kind = |resource: Resource, kind: &str, short: &[&str]| KindInfo {
            resource,
            version: "v1".into(),
            kind: kind.into(),
            namespaced: true,
            short_names: short.iter().map(|name| (*name).to_owned()).collect(),
            verbs: vec![],
        };
        let mut cache = Cache::default();
        cache.set_kinds(vec![
            kind(resources::PODS, "Pod", &["po"]),
            kind(resources::NODES, "Node", &["no"]),
            kind(resources::NAMESPACES, "Namespace", &["ns"]),
            kind(resources::DEPLOYMENTS, "Deployment", &["deploy"]),
        ]);
        cache
    }

    fn line(text: &str, read_only: bool) -> Result<Vec<Command>, String> {
        let cache = cache();
        parse(
            text,
            Surroundings {
                view: View::Workloads,
                read_only,
                cache: &cache,
            },
        )
    }

    fn go(view: View, filter: Option<&str>, resource: Option<Resource>) -> Command {
        Command::Go(Place {
            view,
            with: Opening {
                filter: filter.map(str::to_owned),
                resource,
                ..Opening::default()
            },
        })
    }

    #[test]
    fn lines_that_k9s_users_type() {
        let scope = |names: &[&str]| Command::Namespaces(Some(Scope::of(names)));
        let rows = [
            ("pods", vec![go(View::Pods, None, None)]),
            (":po", vec![go(View::Pods, None, None)]),
            (
                "pods shop /cart x",
                vec![scope(&["shop"]), go(View::Pods, Some("cart x"), None)],
            ),
            (
                "po shop app=web",
                vec![scope(&["shop"]), go(View::Pods, Some("l:app=web"), None)],
            ),
            (
                "po app.kubernetes.io/name=web",
                vec![go(View::Pods, Some("l:app.kubernetes.io/name=web"), None)],
            ),
            (
                "dp",
                vec![go(View::Objects, None, Some(resources::DEPLOYMENTS))],
            ),
            ("no", vec![go(View::Objects, None, Some(resources::NODES))]),
            (
                "po all",
                vec![
                    Command::Namespaces(Some(Scope::All)),
                    go(View::Pods, None, None),
                ],
            ),
            ("ns shop,web", vec![scope(&["shop", "web"])]),
            ("ns", vec![Command::Namespaces(None)]),
            ("@prod", vec![Command::Contexts(Some("prod".into()))]),
            ("/cart", vec![Command::Filter("cart".into())]),
            ("scale 12", vec![Command::Replicas(Some(12))]),
            ("scale cart 12", vec![Command::Replicas(Some(12))]),
            ("q", vec![Command::Quit]),
            ("", vec![]),
        ];
        for (text, expected) in rows {
            assert_eq!(line(text, false), Ok(expected), "{text}");
        }
    }

    #[test]
    fn errors_say_what_to_do() {
        assert_eq!(
            line("frobnicate", false).unwrap_err(),
            "no view, kind or command `frobnicate`; `?` lists them"
        );
        assert_eq!(
            line("quit now", false).unwrap_err(),
            "`quit` takes no argument"
        );
        assert_eq!(
            line("zoom-in", false).unwrap_err(),
            "`zoom-in` is a command of bays"
        );
        assert_eq!(
            line("scale x", false).unwrap_err(),
            "`x` is no number of replicas"
        );
    }

    #[test]
    fn changing_words_do_not_exist_in_read_only_mode() {
        assert!(line("delete", true).unwrap_err().starts_with("no view"));
        assert!(line("restart", true).unwrap_err().starts_with("no view"));
    }
}
