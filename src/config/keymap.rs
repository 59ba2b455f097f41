//! The user's own keys: a map from command word to keys.
//!
//! ```yaml
//! delete: ["!D"]
//! help: ["?", "f1"]
//! undo: []          # no key at all
//! ```
//!
//! Which words and keys there are is the console's to know; this only reads the file.

/// Keys for one command, and the line that says so.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Binding {
    pub word: String,
    pub keys: Vec<String>,
    pub line: usize,
}

/// Something in the file that was not understood; the rest of it holds.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("{file}:{line}: {what}")]
pub struct KeymapNotice {
    pub file: String,
    pub line: usize,
    pub what: String,
}

/// Reads the file's text.
pub fn read(file: &str, text: &str) -> (Vec<Binding>, Vec<KeymapNotice>) {
    let mut bindings = Vec::new();
    let mut notices = Vec::new();
    let mut note = |line: usize, what: String| {
        notices.push(KeymapNotice {
            file: file.to_owned(),
            line,
            what,
        });
    };
    let map = match serde_yaml::from_str::<serde_yaml::Value>(text) {
        Ok(serde_yaml::Value::Mapping(map)) => map,
        Ok(serde_yaml::Value::Null) => return (bindings, notices),
        Ok(_) => {
            note(1, "a key map is a map of command to keys".to_owned());
            return (bindings, notices);
        }
        Err(error) => {
            let line = error.location().map_or(1, |place| place.line());
            note(line, format!("not YAML: {error}"));
            return (bindings, notices);
        }
    };
    for (key, value) in map {
        let word = key.as_str().unwrap_or_default().to_owned();
        let line = text
            .lines()
            .position(|line| {
                line.strip_prefix(word.as_str())
                    .is_some_and(|rest| rest.trim_start().starts_with(':'))
            })
            .map_or(1, |place| place + 1);
        let keys: Option<Vec<String>> = match &value {
            serde_yaml::Value::String(key) => Some(vec![key.clone()]),
            serde_yaml::Value::Sequence(keys) => keys
                .iter()
                .map(|key| key.as_str().map(str::to_owned))
                .collect(),
            _ => None,
        };
        match keys {
            Some(keys) => bindings.push(Binding { word, keys, line }),
            None => note(
                line,
                format!("`{word}` needs a key or a list of keys, in quotes: [\"D\", \"ctrl-d\"]"),
            ),
        }
    }
    (bindings, notices)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_lead_to_keys_with_their_line() {
        let text = "help: ['?', f1]\nundo: []\nquit: ctrl-q\nfilter: 3\n";
        let (bindings, notices) = read("keymap.yaml", text);
        assert_eq!(bindings.len(), 3);
        assert_eq!(bindings[2].keys, ["ctrl-q"]);
        assert_eq!(bindings[2].line, 3);
        assert_eq!(
            notices[0].to_string(),
            "keymap.yaml:4: `filter` needs a key or a list of keys, in quotes: [\"D\", \"ctrl-d\"]"
        );
    }
}
