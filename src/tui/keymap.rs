//! Keys to commands: the command table with the user's own keys laid over it.

use crate::config::keymap::{Binding, KeymapNotice};

use super::command::Entry;
use super::command::table;
use super::key::Chord;
use super::view::View;

#[derive(Clone, Debug, Default)]
pub struct Keymap {
    bindings: Vec<(Vec<Chord>, &'static Entry)>,
}

/// What a row of pressed keys means so far.
#[derive(Clone, Copy, Debug)]
pub enum Meaning {
    Command(&'static Entry),
    /// The beginning of something longer.
    Beginning,
    Nothing,
}

impl Keymap {
    /// The table's own keys.
    pub fn standard() -> Self {
        let entries = table::ALL.iter().copied().flatten();
        let bindings = entries
            .flat_map(|entry| {
                let sequences = entry
                    .keys
                    .iter()
                    .filter_map(|keys| Chord::parse_sequence(keys));
                sequences.map(move |keys| (keys, entry))
            })
            .collect();
        Self { bindings }
    }

    /// Lays the user's keys over the table's: a named command has exactly the keys that the user
    /// gives it, and a key that the user gives away is taken from whoever had it in that view.
    pub fn with(mut self, file: &str, overrides: &[Binding]) -> (Self, Vec<KeymapNotice>) {
        let mut notices = Vec::new();
        for binding in overrides {
            let mut note = |what: String| {
                notices.push(KeymapNotice {
                    file: file.to_owned(),
                    line: binding.line,
                    what,
                });
            };
            let entries: Vec<&'static Entry> = table::ALL
                .iter()
                .copied()
                .flatten()
                .filter(|entry| entry.word == binding.word)
                .collect();
            if entries.is_empty() {
                note(format!(
                    "no command `{}`{}; `?` shows the words",
                    binding.word,
                    near(&binding.word)
                ));
                continue;
            }
            self.bindings
                .retain(|(_, entry)| entry.word != binding.word);
            for text in &binding.keys {
                let Some(keys) = Chord::parse_sequence(text) else {
                    note(format!(
                        "`{text}` is no key: write a letter, `!d` for two in a row, `ctrl-x`, `alt-x`, `f1` or a name such as `enter`, `esc`, `tab`, `space`, `pageup`"
                    ));
                    continue;
                };
                for entry in &entries {
                    self.bindings
                        .retain(|(had, other)| *had != keys || !overlap(entry, other));
                    self.bindings.push((keys.clone(), entry));
                }
            }
        }
        (self, notices)
    }

    pub fn meaning(&self, pressed: &[Chord], view: View, read_only: bool) -> Meaning {
        let mut beginning = false;
        for (keys, entry) in &self.bindings {
            if !entry.is_available(view, read_only) {
                continue;
            }
            if keys == pressed {
                return Meaning::Command(entry);
            }
            beginning |= keys.starts_with(pressed);
        }
        if beginning {
            Meaning::Beginning
        } else {
            Meaning::Nothing
        }
    }

    /// The first key of the command that has this word.
    pub fn key_of(&self, word: &str) -> Option<String> {
        let (keys, _) = self.bindings.iter().find(|(_, entry)| entry.word == word)?;
        Some(keys.iter().map(Chord::to_string).collect())
    }

    /// The keys of a command as people read them.
    pub fn keys_of(&self, entry: &Entry) -> Vec<String> {
        self.bindings
            .iter()
            .filter(|(_, other)| other.word == entry.word && overlap(entry, other))
            .map(|(keys, _)| keys.iter().map(Chord::to_string).collect())
            .collect()
    }
}

/// A guess at what was meant: the word that begins most like this one.
fn near(word: &str) -> String {
    let alike = |known: &str| {
        let same = known.chars().zip(word.chars());
        same.take_while(|(one, other)| one == other).count()
    };
    table::ALL
        .iter()
        .copied()
        .flatten()
        .map(|entry| entry.word)
        .max_by_key(|known| (alike(known), std::cmp::Reverse(known.len())))
        .filter(|known| alike(known) >= 3)
        .map_or_else(String::new, |known| format!(", did you mean `{known}`?"))
}

fn overlap(one: &Entry, other: &Entry) -> bool {
    View::ALL
        .into_iter()
        .any(|view| one.is_for(view) && other.is_for(view))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::config::keymap::read;

    #[test]
    fn every_key_of_the_table_can_be_read() {
        for entry in table::ALL.iter().copied().flatten() {
            for keys in entry.keys {
                assert!(
                    Chord::parse_sequence(keys).is_some(),
                    "{}: {keys}",
                    entry.word
                );
            }
        }
    }

    #[test]
    fn texts_name_the_keys_that_the_user_has() {
        let key = |keymap: &Keymap, word| keymap.key_of(word);
        let standard = Keymap::standard();
        assert_eq!(key(&standard, "yaml").as_deref(), Some("y"));
        let (bindings, _) = read("keymap.yaml", "describe: y\nwhy: ctrl-y\n");
        let (keymap, notices) = standard.with("keymap.yaml", &bindings);
        assert!(notices.is_empty(), "{notices:?}");
        assert_eq!(key(&keymap, "why").as_deref(), Some("ctrl-y"));
        assert_eq!(key(&keymap, "yaml"), None);
    }

    /// Words that pages ask the keys of, in `context.key("…")`.
    #[test]
    fn every_word_that_a_text_names_the_key_of_is_a_command() {
        for word in [
            "back",
            "edit",
            "filter",
            "level",
            "mark",
            "open-logs",
            "place-back",
            "why",
            "yaml",
        ] {
            assert!(Keymap::standard().key_of(word).is_some(), "{word}");
        }
    }

    #[test]
    fn a_key_has_one_meaning_in_a_view() {
        for view in View::ALL {
            let mut taken: BTreeMap<Vec<Chord>, &str> = BTreeMap::new();
            for entry in table::entries(view, false) {
                for keys in entry
                    .keys
                    .iter()
                    .filter_map(|keys| Chord::parse_sequence(keys))
                {
                    if let Some(other) = taken.insert(keys, entry.word) {
                        panic!("{view:?}: `{}` and `{other}` share a key", entry.word);
                    }
                }
            }
        }
    }

    #[test]
    fn a_word_has_one_meaning_in_a_view() {
        for view in View::ALL {
            let mut words: Vec<&str> = table::entries(view, false)
                .flat_map(|entry| entry.aliases.iter().copied().chain([entry.word]))
                .collect();
            words.sort_unstable();
            let twice: Vec<_> = words.windows(2).filter(|pair| pair[0] == pair[1]).collect();
            assert!(twice.is_empty(), "{view:?}: {twice:?}");
        }
    }

    #[test]
    fn nothing_that_changes_the_cluster_is_one_key_without_a_panel() {
        // Those of one key open an editor or a panel first.
        let open_something = [
            "scale",
            "edit",
            "undo",
            "shell",
            "attach",
            "port-forward",
            "changes",
        ];
        for entry in table::entries(View::Pods, false)
            .filter(|entry| entry.availability == crate::tui::command::Availability::Change)
        {
            for keys in entry.keys {
                let long = Chord::parse_sequence(keys).is_some_and(|keys| keys.len() > 1);
                assert!(
                    long || open_something.contains(&entry.word),
                    "{}",
                    entry.word
                );
            }
        }
    }

    #[test]
    fn read_only_mode_knows_no_changing_key() {
        let keymap = Keymap::standard();
        let keys = Chord::parse_sequence("!d").unwrap();
        assert!(matches!(
            keymap.meaning(&keys, View::Pods, false),
            Meaning::Command(_)
        ));
        assert!(matches!(
            keymap.meaning(&keys, View::Pods, true),
            Meaning::Nothing
        ));
        assert!(matches!(
            keymap.meaning(&keys[..1], View::Pods, true),
            Meaning::Nothing
        ));
    }

    #[test]
    fn users_may_move_keys() {
        let (bindings, _) = read(
            "k",
            "describe: ['D']\nyaml: ['d']\nnonsense: [x]\nwhy: ['ctrl-']\n",
        );
        let (keymap, notices) = Keymap::standard().with("k", &bindings);
        let told: Vec<String> = notices.iter().map(ToString::to_string).collect();
        assert_eq!(
            told,
            [
                "k:3: no command `nonsense`; `?` shows the words",
                "k:4: `ctrl-` is no key: write a letter, `!d` for two in a row, `ctrl-x`, `alt-x`, `f1` or a name such as `enter`, `esc`, `tab`, `space`, `pageup`"
            ]
        );
        let (bindings, _) = read("k", "descibe: D\n");
        let (_, notices) = Keymap::standard().with("k", &bindings);
        assert!(
            notices[0].what.contains("did you mean `describe`?"),
            "{notices:?}"
        );
        let word = |text: &str| match keymap.meaning(
            &Chord::parse_sequence(text).unwrap(),
            View::Pods,
            false,
        ) {
            Meaning::Command(entry) => entry.word,
            _ => "",
        };
        assert_eq!((word("D"), word("d"), word("y")), ("describe", "yaml", ""));
    }
}
