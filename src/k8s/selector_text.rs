//! Selectors as list requests write them: `app=web,tier in (a,b),!gone` and
//! `metadata.name=web,status.phase!=Running`.
//!
//! Grammar and messages: `k8s.io/apimachinery/pkg/labels` and `…/fields`.

use super::key::Name;
use super::selector::{LabelOperator, LabelRequirement, LabelSelector};

/// Why a text is no selector.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum SelectorError {
    #[error("found '{found}', expected: {expected}")]
    Unexpected {
        found: String,
        expected: &'static str,
    },
    #[error("invalid selector: '{0}'; can't understand '{1}'")]
    Term(String, String),
}

/// Reads a label selector; the empty text selects everything.
pub fn parse_labels(text: &str) -> Result<LabelSelector, SelectorError> {
    let mut tokens = Tokens::of(text);
    let mut selector = LabelSelector::default();
    if tokens.peek() == &Token::End {
        return Ok(selector);
    }
    loop {
        selector.match_expressions.push(requirement(&mut tokens)?);
        match tokens.next() {
            Token::End => return Ok(selector),
            Token::Comma => {}
            other => return Err(other.unexpected("',' or 'end of string'")),
        }
    }
}

/// One term of a field selector.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct FieldTerm {
    pub field: String,
    pub value: String,
    pub equal: bool,
}

/// Reads a field selector: terms with `=`, `==` or `!=`, joined by commas; `\` escapes.
pub fn parse_fields(text: &str) -> Result<Vec<FieldTerm>, SelectorError> {
    split_terms(text)
        .into_iter()
        .filter(|term| !term.is_empty())
        .map(|term| {
            let (field, value, equal) = if let Some((field, value)) = term.split_once("!=") {
                (field, value, false)
            } else if let Some((field, value)) = term.split_once("==") {
                (field, value, true)
            } else if let Some((field, value)) = term.split_once('=') {
                (field, value, true)
            } else {
                return Err(SelectorError::Term(text.to_owned(), term));
            };
            Ok(FieldTerm {
                field: field.to_owned(),
                value: unescape(value),
                equal,
            })
        })
        .collect()
}

fn split_terms(text: &str) -> Vec<String> {
    let mut terms = vec![String::new()];
    let mut escaped = false;
    for letter in text.chars() {
        if letter == ',' && !escaped {
            terms.push(String::new());
            continue;
        }
        escaped = letter == '\\' && !escaped;
        if let Some(term) = terms.last_mut() {
            term.push(letter);
        }
    }
    terms
}

fn unescape(value: &str) -> String {
    let mut out = String::with_capacity(value.len());
    let mut letters = value.chars();
    while let Some(letter) = letters.next() {
        match letter {
            '\\' => out.extend(letters.next()),
            other => out.push(other),
        }
    }
    out
}

fn requirement(tokens: &mut Tokens) -> Result<LabelRequirement, SelectorError> {
    if tokens.peek() == &Token::Not {
        tokens.next();
        let key = tokens.word("identifier")?;
        return Ok(LabelRequirement {
            key,
            operator: LabelOperator::DoesNotExist,
            values: Vec::new(),
        });
    }
    let key = tokens.word("!, identifier, or 'end of string'")?;
    let (operator, values) = match tokens.peek() {
        Token::Comma | Token::End => (LabelOperator::Exists, Vec::new()),
        Token::Equal => {
            tokens.next();
            (LabelOperator::In, vec![tokens.value()?])
        }
        Token::NotEqual => {
            tokens.next();
            (LabelOperator::NotIn, vec![tokens.value()?])
        }
        Token::Word(word) if word == "in" => {
            tokens.next();
            (LabelOperator::In, tokens.set()?)
        }
        Token::Word(word) if word == "notin" => {
            tokens.next();
            (LabelOperator::NotIn, tokens.set()?)
        }
        other => {
            return Err(other.clone().unexpected("in, notin, =, ==, !=, gt, lt"));
        }
    };
    Ok(LabelRequirement {
        key,
        operator,
        values,
    })
}

#[derive(Clone, PartialEq, Eq, Debug)]
enum Token {
    Word(Name),
    Equal,
    NotEqual,
    Not,
    Comma,
    Open,
    Close,
    End,
}

impl Token {
    fn unexpected(self, expected: &'static str) -> SelectorError {
        let found = match self {
            Self::Word(word) => word.to_string(),
            Self::Equal => "=".into(),
            Self::NotEqual => "!=".into(),
            Self::Not => "!".into(),
            Self::Comma => ",".into(),
            Self::Open => "(".into(),
            Self::Close => ")".into(),
            Self::End => String::new(),
        };
        SelectorError::Unexpected { found, expected }
    }
}

struct Tokens {
    list: std::vec::IntoIter<Token>,
    ahead: Token,
}

impl Tokens {
    fn of(text: &str) -> Self {
        let mut list = tokens(text).into_iter();
        let ahead = list.next().unwrap_or(Token::End);
        Self { list, ahead }
    }

    fn peek(&self) -> &Token {
        &self.ahead
    }

    fn next(&mut self) -> Token {
        let following = self.list.next().unwrap_or(Token::End);
        std::mem::replace(&mut self.ahead, following)
    }

    fn word(&mut self, expected: &'static str) -> Result<Name, SelectorError> {
        match self.next() {
            Token::Word(word) => Ok(word),
            other => Err(other.unexpected(expected)),
        }
    }

    /// The right side of `=`: a word, or nothing.
    fn value(&mut self) -> Result<Name, SelectorError> {
        match self.peek() {
            Token::Comma | Token::End => Ok(Name::default()),
            _ => self.word("identifier"),
        }
    }

    fn set(&mut self) -> Result<Vec<Name>, SelectorError> {
        match self.next() {
            Token::Open => {}
            other => return Err(other.unexpected("'('")),
        }
        let mut values = Vec::new();
        loop {
            match self.next() {
                Token::Word(word) => {
                    values.push(word);
                    match self.next() {
                        Token::Comma => {}
                        Token::Close => return Ok(values),
                        other => return Err(other.unexpected("',' or ')'")),
                    }
                }
                Token::Comma => values.push(Name::default()),
                Token::Close => {
                    values.push(Name::default());
                    return Ok(values);
                }
                other => return Err(other.unexpected("identifier")),
            }
        }
    }
}

fn tokens(text: &str) -> Vec<Token> {
    let mut out = Vec::new();
    let mut letters = text.chars().peekable();
    while let Some(letter) = letters.next() {
        let token = match letter {
            letter if letter.is_whitespace() => continue,
            '=' => {
                letters.next_if_eq(&'=');
                Token::Equal
            }
            '!' if letters.next_if_eq(&'=').is_some() => Token::NotEqual,
            '!' => Token::Not,
            ',' => Token::Comma,
            '(' => Token::Open,
            ')' => Token::Close,
            first => {
                let mut word = String::from(first);
                while let Some(letter) =
                    letters.next_if(|letter| !letter.is_whitespace() && !"=!,()".contains(*letter))
                {
                    word.push(letter);
                }
                Token::Word(word.into())
            }
        };
        out.push(token);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::k8s::object::Labels;

    #[track_caller]
    fn check(text: &str, expected: bool) {
        let labels: Labels = [("app", "web"), ("tier", "front")]
            .into_iter()
            .map(|(key, value)| (key.into(), value.into()))
            .collect();
        assert_eq!(
            parse_labels(text).unwrap().matches(&labels),
            expected,
            "{text}"
        );
    }

    #[test]
    fn label_selectors() {
        check("", true);
        check("app=web", true);
        check("app==web,tier!=back", true);
        check("app = api", false);
        check("app in (web, api)", true);
        check("app notin (web,api)", false);
        check("app", true);
        check("!app", false);
        check("!gone", true);
        check("gone!=x", true);
        check("app in ()", false);
        check("example.com/a-b in (x),app", false);
    }

    #[test]
    fn broken_label_selectors_say_what_was_expected() {
        let error = parse_labels("app in web").unwrap_err();
        assert_eq!(error.to_string(), "found 'web', expected: '('");
        assert!(parse_labels("app=web,").is_err());
        assert!(parse_labels("=web").is_err());
        assert!(parse_labels("app web").is_err());
    }

    #[test]
    fn field_selectors() {
        let terms = parse_fields("metadata.name=web,status.phase!=Running,reason=a\\,b").unwrap();
        let shown: Vec<(&str, &str, bool)> = terms
            .iter()
            .map(|term| (term.field.as_str(), term.value.as_str(), term.equal))
            .collect();
        assert_eq!(
            shown,
            [
                ("metadata.name", "web", true),
                ("status.phase", "Running", false),
                ("reason", "a,b", true)
            ]
        );
        assert!(parse_fields("metadata.name").is_err());
    }
}
