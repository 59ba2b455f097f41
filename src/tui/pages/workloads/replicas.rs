//! The number of replicas that is being typed under a row, and what is known of its outcome.

use crate::tui::actions::proposal::{Consequence, Weight};
use crate::tui::cache::StillLoading;
use crate::tui::forecast::replicas::ReplicasForecast;
use crate::tui::key::{Chord, Key};
use crate::tui::view::Target;

#[derive(Clone, PartialEq, Debug)]
pub struct ReplicasEditor {
    /// Fixed when the line opens: re-sorting rows never change what is scaled.
    pub target: Target,
    pub from: i64,
    /// Whether enter sends the number; a read-only session only asks what would come of it.
    pub sends: bool,
    typed: String,
    pub outcome: Outcome,
}

/// What would come of the typed number.
#[derive(Clone, PartialEq, Debug)]
pub enum Outcome {
    /// The number is what is there.
    Nothing,
    /// A list that the scheduler reads is not complete yet: nothing can be said.
    Loading(StillLoading),
    Computing,
    /// The answer for this number; an answer for another is not shown.
    Known(Box<ReplicasForecast>),
    /// The scheduler here cannot tell.
    Unknown,
}

/// What a key did.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Step {
    /// Another number: its outcome is to be computed.
    Changed,
    Unchanged,
    Send(i64),
    Leave,
}

/// Digits of the largest number that makes sense; a slip of the finger is not a million pods.
const DIGITS_MAX: usize = 5;

impl ReplicasEditor {
    pub fn new(target: Target, from: i64, sends: bool) -> Self {
        Self {
            target,
            from,
            sends,
            typed: String::new(),
            outcome: Outcome::Nothing,
        }
    }

    /// The number as typed so far; `None` before the first digit.
    pub fn number(&self) -> Option<i64> {
        self.typed.parse().ok()
    }

    /// What speaks against sending without asking: nothing, where the outcome that is shown is
    /// harmless.
    pub fn concerns(&self) -> Vec<Consequence> {
        let unknown = |text: String| {
            vec![Consequence {
                weight: Weight::Warning,
                text,
            }]
        };
        match &self.outcome {
            Outcome::Known(forecast) => forecast.concerns(),
            Outcome::Loading(loading) => {
                unknown(format!("{loading}: what would come of it is not known"))
            }
            Outcome::Nothing | Outcome::Computing => {
                unknown("what would come of it was not known when enter was pressed".into())
            }
            Outcome::Unknown => unknown("what would come of it cannot be told".into()),
        }
    }

    pub fn typed(&self) -> &str {
        &self.typed
    }

    pub fn key(&mut self, chord: Chord) -> Step {
        let before = self.number();
        match chord.key {
            Key::Esc => return Step::Leave,
            Key::Enter => {
                return match self.number() {
                    Some(to) if to != self.from && self.sends => Step::Send(to),
                    _ => Step::Leave,
                };
            }
            Key::Backspace => {
                self.typed.pop();
            }
            Key::Up | Key::Char('+') => self.set(before.unwrap_or(self.from) + 1),
            Key::Down | Key::Char('-') => self.set(before.unwrap_or(self.from) - 1),
            Key::Char(digit) if digit.is_ascii_digit() && !chord.ctrl && !chord.alt => {
                if self.typed == "0" {
                    self.typed.clear();
                }
                if self.typed.len() < DIGITS_MAX {
                    self.typed.push(digit);
                }
            }
            _ => return Step::Unchanged,
        }
        if self.number() == before {
            return Step::Unchanged;
        }
        self.outcome = match self.number() {
            Some(to) if to != self.from => Outcome::Computing,
            _ => Outcome::Nothing,
        };
        Step::Changed
    }

    fn set(&mut self, number: i64) {
        self.typed = number.max(0).to_string();
    }

    /// Takes an answer in, if it is for the number that stands there now.
    pub fn answer(&mut self, target: &Target, to: i64, answer: Option<Box<ReplicasForecast>>) {
        if *target == self.target && self.number() == Some(to) {
            self.outcome = answer.map_or(Outcome::Unknown, Outcome::Known);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::k8s::build;

    fn editor() -> ReplicasEditor {
        ReplicasEditor::new(Target::of(&build::deployment("cart").build()), 12, true)
    }

    #[test]
    fn digits_make_a_number_and_enter_sends_it() {
        let mut editor = editor();
        assert_eq!(editor.key(Chord::char('2')), Step::Changed);
        assert_eq!(editor.key(Chord::char('0')), Step::Changed);
        assert_eq!(editor.outcome, Outcome::Computing);
        assert_eq!(editor.key(Chord::plain(Key::Enter)), Step::Send(20));
        assert_eq!(editor.key(Chord::plain(Key::Esc)), Step::Leave);
        assert_eq!(editor.key(Chord::char('x')), Step::Unchanged);
    }

    #[test]
    fn a_read_only_session_never_sends() {
        let mut editor = ReplicasEditor {
            sends: false,
            ..editor()
        };
        assert_eq!(editor.key(Chord::char('9')), Step::Changed);
        assert_eq!(editor.outcome, Outcome::Computing);
        assert_eq!(editor.key(Chord::plain(Key::Enter)), Step::Leave);
    }

    #[test]
    fn same_number_is_nothing_to_send() {
        let mut editor = editor();
        assert_eq!(editor.key(Chord::plain(Key::Enter)), Step::Leave);
        editor.key(Chord::char('+'));
        assert_eq!(editor.number(), Some(13));
        editor.key(Chord::char('-'));
        assert_eq!(editor.outcome, Outcome::Nothing);
        assert_eq!(editor.key(Chord::plain(Key::Enter)), Step::Leave);
    }

    #[test]
    fn late_answer_for_another_number_is_not_shown() {
        let mut editor = editor();
        editor.key(Chord::char('2'));
        let target = editor.target.clone();
        editor.key(Chord::char('0'));
        editor.answer(&target, 2, Some(Box::default()));
        assert_eq!(editor.outcome, Outcome::Computing);
        editor.answer(&target, 20, Some(Box::default()));
        assert!(matches!(editor.outcome, Outcome::Known(_)));
    }
}
