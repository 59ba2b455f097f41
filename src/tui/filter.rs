//! The grammar of `/`: words that all must hold.
//!
//! `cart` text anywhere in the row · `!cart` not · `~crt` letters in this order · `l:app=web` a label
//! selector · `cpu>500m age<2h ready=1 node=a1-*` typed terms on columns. Letters match in any case
//! unless the term has a capital.

use crate::k8s::LabelSelector;
use crate::k8s::object::Labels;
use crate::k8s::selector_text;

use super::table::{SortKey, Unit};

#[derive(Clone, PartialEq, Debug, Default)]
pub struct Filter {
    pub text: String,
    terms: Vec<Term>,
}

#[derive(Clone, PartialEq, Debug)]
enum Term {
    Contains {
        text: String,
        wanted: bool,
    },
    Fuzzy(String),
    Labels(LabelSelector),
    Column {
        name: String,
        test: Test,
        value: String,
    },
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Test {
    Is,
    IsNot,
    Less,
    LessOrIs,
    More,
    MoreOrIs,
}

/// What a filter reads of a row.
pub trait Filterable {
    /// All texts that are searched. A word has no spaces, so each is searched for itself.
    fn texts(&self, each: &mut dyn FnMut(&str));
    fn labels(&self) -> Option<&Labels>;
    /// The value of a column by its lower-case name; `None` where there is no such column.
    fn column(&self, name: &str) -> Option<(SortKey, Unit)>;
}

impl Filter {
    pub fn is_empty(&self) -> bool {
        self.terms.is_empty()
    }

    /// Reads a filter; `columns` are the names that typed terms may use.
    pub fn parse(text: &str, columns: &[&str]) -> Result<Self, String> {
        let terms = text
            .split_whitespace()
            .map(|word| Term::parse(word, columns))
            .collect::<Result<_, _>>()?;
        Ok(Self {
            text: text.to_owned(),
            terms,
        })
    }

    /// Whether all that this lets through was let through by another: more was typed behind it.
    pub fn is_narrower(&self, than: &Self) -> bool {
        !than.is_empty()
            && self.terms.len() >= than.terms.len()
            && self
                .terms
                .iter()
                .zip(&than.terms)
                .all(|(term, other)| term.is_narrower(other))
    }

    /// The columns that it asks for.
    pub fn columns(&self) -> impl Iterator<Item = &str> {
        self.terms.iter().filter_map(|term| match term {
            Term::Column { name, .. } => Some(name.as_str()),
            _ => None,
        })
    }

    pub fn matches(&self, row: &dyn Filterable) -> bool {
        self.terms.iter().all(|term| term.matches(row))
    }
}

impl Term {
    fn parse(word: &str, columns: &[&str]) -> Result<Self, String> {
        if let Some(selector) = word.strip_prefix("l:") {
            return selector_text::parse_labels(selector)
                .map(Self::Labels)
                .map_err(|error| format!("`{word}`: {error}"));
        }
        if let Some(text) = word.strip_prefix('~').filter(|text| !text.is_empty()) {
            return Ok(Self::Fuzzy(text.to_ascii_lowercase()));
        }
        if let Some(term) = Self::typed(word, columns) {
            return term;
        }
        let (text, wanted) = match word.strip_prefix('!').filter(|text| !text.is_empty()) {
            Some(text) => (text, false),
            None => (word, true),
        };
        Ok(Self::Contains {
            text: text.to_owned(),
            wanted,
        })
    }

    /// `None`: not of this form at all.
    fn typed(word: &str, columns: &[&str]) -> Option<Result<Self, String>> {
        let at = word.find(['<', '>', '=', '!'])?;
        let (name, rest) = word.split_at(at);
        let (test, value) = [
            ("<=", Test::LessOrIs),
            (">=", Test::MoreOrIs),
            ("!=", Test::IsNot),
            ("==", Test::Is),
            ("<", Test::Less),
            (">", Test::More),
            ("=", Test::Is),
        ]
        .into_iter()
        .find_map(|(sign, test)| rest.strip_prefix(sign).map(|value| (test, value)))?;
        if name.is_empty() {
            return None;
        }
        let name = name.to_ascii_lowercase();
        if !columns
            .iter()
            .any(|column| column.eq_ignore_ascii_case(&name))
        {
            let known = columns.join(", ").to_ascii_lowercase();
            return Some(Err(format!("no column `{name}`; there are {known}")));
        }
        if value.is_empty() {
            return Some(Err(format!("`{word}`: a value must follow")));
        }
        Some(Ok(Self::Column {
            name,
            test,
            value: value.to_owned(),
        }))
    }

    fn is_narrower(&self, than: &Self) -> bool {
        match (self, than) {
            (
                Self::Contains { text, wanted: true },
                Self::Contains {
                    text: begun,
                    wanted: true,
                },
            )
            | (Self::Fuzzy(text), Self::Fuzzy(begun)) => text.starts_with(begun.as_str()),
            _ => self == than,
        }
    }

    fn matches(&self, row: &dyn Filterable) -> bool {
        match self {
            Self::Contains { text, wanted } => {
                let mut found = false;
                row.texts(&mut |part| found = found || contains(part, text));
                found == *wanted
            }
            Self::Fuzzy(letters) => {
                let mut whole = String::new();
                row.texts(&mut |part| {
                    whole.push_str(part);
                    whole.push(' ');
                });
                fuzzy(&whole, letters).is_some()
            }
            Self::Labels(selector) => row.labels().is_some_and(|labels| selector.matches(labels)),
            Self::Column { name, test, value } => row
                .column(name)
                .is_some_and(|(key, unit)| test.holds(&key, unit, value)),
        }
    }
}

impl Test {
    fn holds(self, key: &SortKey, unit: Unit, value: &str) -> bool {
        use std::cmp::Ordering::{Equal, Greater, Less};
        let order = match key {
            // An age has no number before a time is given, see `SortKey::at`.
            SortKey::Nothing | SortKey::Age(_) => return matches!(self, Self::IsNot),
            SortKey::Number(number) => match unit.parse(value) {
                Some(wanted) => number.cmp(&wanted),
                None => return false,
            },
            SortKey::Text(text) => {
                if value.contains('*') || matches!(self, Self::Is | Self::IsNot) {
                    let same = glob(&text.to_ascii_lowercase(), &value.to_ascii_lowercase());
                    return same == matches!(self, Self::Is | Self::LessOrIs | Self::MoreOrIs);
                }
                text.as_str().cmp(value)
            }
        };
        match self {
            Self::Is => order == Equal,
            Self::IsNot => order != Equal,
            Self::Less => order == Less,
            Self::LessOrIs => order != Greater,
            Self::More => order == Greater,
            Self::MoreOrIs => order != Less,
        }
    }
}

/// Any case, unless the pattern has a capital.
pub fn contains(text: &str, pattern: &str) -> bool {
    if pattern.chars().any(char::is_uppercase) {
        text.contains(pattern)
    } else if text
        .bytes()
        .all(|byte| byte.is_ascii() && !byte.is_ascii_uppercase())
    {
        // Names are in small letters already.
        text.contains(pattern)
    } else {
        text.to_lowercase().contains(pattern)
    }
}

/// Letters in this order; the score rises with letters that follow each other or begin words.
pub fn fuzzy(text: &str, letters: &str) -> Option<u32> {
    let mut score = 0;
    let mut wanted = letters.chars().peekable();
    let mut follows = false;
    let mut starts_word = true;
    for letter in text.chars() {
        let Some(next) = wanted.peek() else { break };
        if letter.to_ascii_lowercase() == *next {
            score += 1 + u32::from(follows) * 3 + u32::from(starts_word) * 4;
            wanted.next();
            follows = true;
        } else {
            follows = false;
        }
        starts_word = !letter.is_alphanumeric();
    }
    wanted.peek().is_none().then_some(score)
}

/// `*` stands for any letters.
pub fn glob(text: &str, pattern: &str) -> bool {
    match pattern.split_once('*') {
        None => text == pattern,
        Some((head, tail)) => {
            let Some(rest) = text.strip_prefix(head) else {
                return false;
            };
            if tail.is_empty() {
                return true;
            }
            (0..=rest.len())
                .filter(|at| rest.is_char_boundary(*at))
                .any(|at| rest.get(at..).is_some_and(|rest| glob(rest, tail)))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::k8s::Name;

    struct Row(Labels);

    impl Filterable for Row {
        fn texts(&self, each: &mut dyn FnMut(&str)) {
            for text in ["shop", "cart-7f9", "Running", "a01-h01"] {
                each(text);
            }
        }
        fn labels(&self) -> Option<&Labels> {
            Some(&self.0)
        }
        fn column(&self, name: &str) -> Option<(SortKey, Unit)> {
            match name {
                "cpu" => Some((SortKey::Number(750), Unit::Milli)),
                "mem" => Some((SortKey::Number(1 << 30), Unit::Bytes)),
                "age" => Some((SortKey::Number(5400), Unit::Seconds)),
                "node" => Some((SortKey::Text("a01-h01".into()), Unit::None)),
                _ => None,
            }
        }
    }

    #[track_caller]
    fn check(text: &str, expected: bool) {
        let labels = [(Name::new("app"), Name::new("cart"))]
            .into_iter()
            .collect();
        let filter = Filter::parse(text, &["CPU", "MEM", "AGE", "NODE"]).unwrap();
        assert_eq!(filter.matches(&Row(labels)), expected, "{text}");
    }

    #[test]
    fn terms_all_hold() {
        check("", true);
        check("cart", true);
        check("cart running", true);
        check("RUNNING", false);
        check("!cart", false);
        check("!web", true);
        check("~crtrun", true);
        check("~xyz", false);
        check("l:app=cart", true);
        check("l:app!=cart", false);
        check("cpu>500m", true);
        check("cpu>1", false);
        check("cpu=0.75", true);
        check("mem<=1Gi", true);
        check("age<2h", true);
        check("age<1h30m", false);
        check("age<=1h30m", true);
        check("node=a01-*", true);
        check("node!=a01-*", false);
        check("node=b*", false);
        check("cart cpu>500m !web", true);
    }

    #[test]
    fn typing_on_narrows() {
        let narrower = |one: &str, than: &str| {
            let parse = |text| Filter::parse(text, &["CPU"]).unwrap();
            parse(one).is_narrower(&parse(than))
        };
        assert!(narrower("car", "ca"));
        assert!(narrower("ca web", "ca"));
        assert!(narrower("~crt", "~cr"));
        assert!(!narrower("c", "ca"));
        assert!(!narrower("!car", "!ca"));
        assert!(!narrower("cpu>10", "cpu>1"));
        assert!(!narrower("ca", ""));
    }

    #[test]
    fn errors_say_what_is_allowed() {
        let error = Filter::parse("cpuu>1", &["CPU", "AGE"]).unwrap_err();
        assert_eq!(error, "no column `cpuu`; there are cpu, age");
        let error = Filter::parse("cpu>", &["CPU"]).unwrap_err();
        assert_eq!(error, "`cpu>`: a value must follow");
    }
}
