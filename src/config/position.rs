//! Where in a YAML text a value stands: line and column for errors that only show when the whole
//! file is known.

use std::fmt::{self, Write as _};

use serde::Deserializer;
use serde::de::{DeserializeSeed, Error as _, IgnoredAny, MapAccess, SeqAccess, Visitor};

/// From 1.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Position {
    pub line: usize,
    pub column: usize,
}

/// One step from a value to a value inside it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Step {
    Field(String),
    Item(usize),
}

/// `regions[0].zones[2].machines.huge`.
pub fn path_text(path: &[Step]) -> String {
    let mut text = String::new();
    for step in path {
        match step {
            Step::Field(name) if text.is_empty() => text.push_str(name),
            Step::Field(name) => {
                text.push('.');
                text.push_str(name);
            }
            Step::Item(index) => {
                let _ = write!(text, "[{index}]");
            }
        }
    }
    text
}

/// A field below a path.
pub fn field(path: &[Step], name: &str) -> Vec<Step> {
    let mut path = path.to_vec();
    path.push(Step::Field(name.to_owned()));
    path
}

/// An item below a path.
pub fn item(path: &[Step], index: usize) -> Vec<Step> {
    let mut path = path.to_vec();
    path.push(Step::Item(index));
    path
}

/// Finds the value at `path`; the beginning of the text where there is none.
pub fn locate(text: &str, path: &[Step]) -> Position {
    let search = Search { path };
    let found = search.deserialize(serde_yaml::Deserializer::from_str(text));
    // The parser itself knows where it stands: the search ends in an error at the right place.
    let location = found.err().and_then(|error| error.location());
    location.map_or(Position { line: 1, column: 1 }, |location| Position {
        line: location.line(),
        column: location.column(),
    })
}

/// What a reader's error says, without its position.
pub fn message(error: &serde_yaml::Error) -> (Position, String) {
    let position = error
        .location()
        .map_or(Position { line: 1, column: 1 }, |at| Position {
            line: at.line().max(1),
            column: at.column().max(1),
        });
    let text = error.to_string();
    let text = text.split(" at line ").next().unwrap_or_default();
    (position, in_words(text))
}

/// A type mismatch without the names that types have in the program.
fn in_words(text: &str) -> String {
    const WORDS: [(&str, &str); 10] = [
        ("u16", "a whole number"),
        ("u32", "a whole number"),
        ("u64", "a whole number"),
        ("usize", "a whole number"),
        ("i64", "a whole number"),
        ("f64", "a number"),
        ("a boolean", "true or false"),
        ("a sequence", "a list"),
        ("a map", "a map of fields"),
        ("path string", "a path"),
    ];
    let Some((found, expected)) = text.rsplit_once(", expected ") else {
        return text.to_owned();
    };
    let words = WORDS.iter().find(|(name, _)| *name == expected);
    let expected = match words {
        Some((_, words)) => words,
        None if expected.starts_with("struct ") => "a map of fields",
        None => expected,
    };
    format!("{found}, expected {expected}")
}

struct Search<'a> {
    path: &'a [Step],
}

impl<'de> DeserializeSeed<'de> for Search<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        if self.path.is_empty() {
            return deserializer.deserialize_any(Here);
        }
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Search<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value with the path's next step")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        while let Some(key) = map.next_key::<String>()? {
            match self.path.split_first() {
                Some((Step::Field(name), path)) if *name == key => {
                    map.next_value_seed(Search { path })?;
                }
                _ => {
                    map.next_value::<IgnoredAny>()?;
                }
            }
        }
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<(), A::Error> {
        let Some((Step::Item(wanted), path)) = self.path.split_first() else {
            return Ok(());
        };
        for _ in 0..*wanted {
            items.next_element::<IgnoredAny>()?;
        }
        items.next_element_seed(Search { path })?;
        Ok(())
    }
}

/// Refuses whatever it meets, so that the reader reports where it is.
struct Here;

impl<'de> Visitor<'de> for Here {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("nothing")
    }

    fn visit_map<A: MapAccess<'de>>(self, _: A) -> Result<(), A::Error> {
        Err(A::Error::custom("here"))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, _: A) -> Result<(), A::Error> {
        Err(A::Error::custom("here"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_found_by_its_path() {
        let text = "a:\n  - x: 1\n  - x: 1\n    y:\n      z: two\nb: {c: [1, 2, 3]}\n";
        let check = |path: &[Step], line, column| {
            assert_eq!(locate(text, path), Position { line, column }, "{path:?}");
        };
        let root = field(&[], "a");
        check(&field(&field(&item(&root, 1), "y"), "z"), 5, 10);
        check(&item(&root, 0), 2, 5);
        check(&item(&field(&field(&[], "b"), "c"), 2), 6, 15);
        check(&field(&[], "missing"), 1, 1);
        assert_eq!(path_text(&field(&item(&root, 1), "y")), "a[1].y");
    }
}
