//! An object's YAML under the hands: typed, tried on the server, compared, and only then proposed.
//!
//! ```text
//! Typing ──ctrl-s──► Trying ──server says what it would store──► Review ──enter──► panel ──► sent
//!    ▲                 │ refused                                    │ esc
//!    └─────────────────┴────────────────────────────────────────────┘
//! ```

use std::sync::Arc;

use tui_textarea::{Input, Key as AreaKey, TextArea};

use super::edit::{self, EditError};
use crate::k8s::{Object, Op};
use crate::tui::actions::Action;
use crate::tui::diff::Diff;
use crate::tui::effect::Draft;
use crate::tui::key::{Chord, Key};
use crate::tui::view::Target;

#[derive(Debug)]
pub struct Editor {
    pub target: Target,
    /// The object as it was when the text was opened; its revision guards the write.
    pub opened: Arc<Object>,
    area: TextArea<'static>,
    pub stage: Stage,
    /// First line in view.
    pub first: usize,
    /// What is wrong with the text, or what the server said.
    pub complaint: Option<String>,
}

#[derive(Debug)]
pub enum Stage {
    Typing,
    /// The server is asked what it would store.
    Trying(Box<Action>),
    /// What the server would store, against what there is.
    Review {
        action: Box<Action>,
        diff: Diff,
    },
}

/// What a key did.
#[derive(Debug)]
pub enum Step {
    Nothing,
    Leave,
    /// Ask the server what would come of it.
    Try(Box<Op>),
    /// On in the user's own editor.
    Compose(Draft),
    /// Everything was seen: open the panel that sends.
    Propose(Box<Action>),
}

impl Editor {
    pub fn new(opened: Arc<Object>) -> Self {
        let text = edit::text_of(&opened);
        Self {
            target: Target::of(&opened),
            opened,
            area: area(&text),
            stage: Stage::Typing,
            first: 0,
            complaint: None,
        }
    }

    pub fn lines(&self) -> &[String] {
        self.area.lines()
    }

    /// Line and column of the caret.
    pub fn caret(&self) -> (usize, usize) {
        let cursor = self.area.cursor();
        (cursor.0, cursor.1)
    }

    pub fn text(&self) -> String {
        let mut text = self.area.lines().join("\n");
        text.push('\n');
        text
    }

    pub fn is_changed(&self) -> bool {
        edit::parse(&self.opened, &self.text()) != Err(EditError::Unchanged)
    }

    /// Keeps the caret among `height` visible lines.
    pub fn scroll_to_caret(&mut self, height: usize) {
        let (line, _) = self.caret();
        let last_first = line;
        let least_first = (line + 1).saturating_sub(height.max(1));
        self.first = self.first.clamp(least_first, last_first);
    }

    pub fn key(&mut self, chord: Chord) -> Step {
        match (&self.stage, chord.key) {
            (Stage::Typing, Key::Esc) => Step::Leave,
            (_, Key::Esc) => {
                self.stage = Stage::Typing;
                Step::Nothing
            }
            (Stage::Review { action, .. }, Key::Enter) => Step::Propose(action.clone()),
            (Stage::Typing, Key::Char('s')) if chord.ctrl => self.try_it(),
            (Stage::Typing, Key::Char('o')) if chord.ctrl => Step::Compose(Draft {
                name: format!("{}.yaml", self.target.key.name.replace('/', "-")),
                text: self.text(),
            }),
            (Stage::Typing, _) => {
                self.complaint = None;
                if let Some(input) = area_input(chord) {
                    self.area.input(input);
                }
                Step::Nothing
            }
            _ => Step::Nothing,
        }
    }

    /// What the user's own editor made of the text: tried at once, as the text was meant to be done.
    pub fn composed(&mut self, answer: Result<String, String>) -> Step {
        match answer {
            Ok(text) => {
                self.area = area(&text);
                self.first = 0;
                self.try_it()
            }
            Err(why) => {
                self.complaint = Some(why);
                Step::Nothing
            }
        }
    }

    /// Puts text in at the caret. Terminals end the lines of what is pasted as their enter key does.
    pub fn insert(&mut self, text: &str) {
        if matches!(self.stage, Stage::Typing) {
            self.complaint = None;
            self.area
                .insert_str(text.replace("\r\n", "\n").replace('\r', "\n"));
        }
    }

    fn try_it(&mut self) -> Step {
        match edit::parse(&self.opened, &self.text()) {
            Ok(action) => {
                // The stamp is for actions that carry a time; an edit carries none.
                let op = action.ops(jiff::Timestamp::UNIX_EPOCH).pop();
                self.complaint = None;
                self.stage = Stage::Trying(Box::new(action));
                op.map_or(Step::Nothing, |op| Step::Try(Box::new(op)))
            }
            Err(error) => {
                if let EditError::Syntax { line, .. } = &error {
                    let row = u16::try_from(line.saturating_sub(1)).unwrap_or(u16::MAX);
                    self.area
                        .move_cursor(tui_textarea::CursorMove::Jump(row, 0));
                }
                self.complaint = Some(error.to_string());
                Step::Nothing
            }
        }
    }

    /// The server's answer to the try.
    pub fn tried(&mut self, answer: Result<serde_json::Value, String>, current: Option<&Object>) {
        let Stage::Trying(action) = &self.stage else {
            return;
        };
        match answer {
            Ok(stored) => {
                let diff = edit::dry_run_diff(&self.opened, &stored);
                if diff.is_empty() {
                    self.complaint =
                        Some("the server would store what is there already".to_owned());
                    self.stage = Stage::Typing;
                } else {
                    self.stage = Stage::Review {
                        action: action.clone(),
                        diff,
                    };
                }
            }
            Err(why) => {
                let foreign = current
                    .filter(|current| current.revision != self.opened.revision)
                    .map(|current| edit::foreign_change(&self.opened, current))
                    .filter(|diff| !diff.is_empty());
                self.complaint = Some(match foreign {
                    Some(diff) => format!(
                        "{why}; it was changed by somebody else meanwhile ({}): open it anew and put your change on top",
                        diff.summary()
                    ),
                    None => why,
                });
                self.stage = Stage::Typing;
            }
        }
    }
}

fn area(text: &str) -> TextArea<'static> {
    let mut area = TextArea::new(text.lines().map(str::to_owned).collect());
    area.set_tab_length(2);
    area
}

fn area_input(chord: Chord) -> Option<Input> {
    let key = match chord.key {
        Key::Char(letter) => AreaKey::Char(letter),
        Key::Enter => AreaKey::Enter,
        Key::Tab => AreaKey::Tab,
        Key::Backspace => AreaKey::Backspace,
        Key::Delete => AreaKey::Delete,
        Key::Up => AreaKey::Up,
        Key::Down => AreaKey::Down,
        Key::Left => AreaKey::Left,
        Key::Right => AreaKey::Right,
        Key::Home => AreaKey::Home,
        Key::End => AreaKey::End,
        Key::PageUp => AreaKey::PageUp,
        Key::PageDown => AreaKey::PageDown,
        Key::Esc | Key::BackTab | Key::Function(_) => return None,
    };
    Some(Input {
        key,
        ctrl: chord.ctrl,
        alt: chord.alt,
        shift: false,
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::k8s::build;

    fn type_text(editor: &mut Editor, text: &str) {
        for letter in text.chars() {
            editor.key(Chord::char(letter));
        }
    }

    fn ctrl(letter: char) -> Chord {
        Chord {
            ctrl: true,
            ..Chord::char(letter)
        }
    }

    fn editor() -> Editor {
        let cart = build::deployment("shop/cart").with(&json!({"spec": {"replicas": 3}}));
        Editor::new(cart.build())
    }

    /// Puts the caret behind `replicas: 3` and makes it 35.
    fn change(editor: &mut Editor) {
        let line = editor
            .lines()
            .iter()
            .position(|line| line.contains("replicas"))
            .unwrap();
        for _ in 0..line {
            editor.key(Chord::plain(Key::Down));
        }
        editor.key(Chord::plain(Key::End));
        type_text(editor, "5");
    }

    #[test]
    fn nothing_is_proposed_before_the_server_was_asked_and_the_difference_seen() {
        let mut editor = editor();
        assert!(!editor.is_changed());
        assert!(matches!(editor.key(ctrl('s')), Step::Nothing));
        assert_eq!(editor.complaint.as_deref(), Some("nothing was changed"));
        change(&mut editor);
        let Step::Try(op) = editor.key(ctrl('s')) else {
            panic!("a try");
        };
        let Op::Update { object, .. } = *op else {
            panic!("an update");
        };
        assert_eq!(object.pointer("/spec/replicas"), Some(&json!(35)));
        assert!(matches!(
            editor.key(Chord::plain(Key::Enter)),
            Step::Nothing
        ));
        editor.tried(Ok(object), None);
        let Stage::Review { diff, .. } = &editor.stage else {
            panic!("a review");
        };
        assert_eq!((diff.removed, diff.added), (1, 1));
        assert!(matches!(
            editor.key(Chord::plain(Key::Enter)),
            Step::Propose(_)
        ));
    }

    #[test]
    fn refusal_leads_back_to_the_text_and_names_a_foreign_change() {
        let mut editor = editor();
        change(&mut editor);
        editor.key(ctrl('s'));
        let other = build::deployment("shop/cart")
            .with(&json!({"spec": {"replicas": 9}}))
            .revision(8)
            .build();
        editor.tried(Err("the object has been modified".to_owned()), Some(&other));
        assert!(matches!(editor.stage, Stage::Typing));
        let complaint = editor.complaint.clone().unwrap();
        assert!(
            complaint.contains("changed by somebody else"),
            "{complaint}"
        );
        assert!(editor.is_changed());
    }

    #[test]
    fn pasted_lines_are_text_and_ones_own_editor_goes_on_with_it() {
        let mut editor = editor();
        let lines = editor.lines().len();
        editor.insert("# from the clipboard\r# two lines\r\n");
        assert_eq!(editor.lines().len(), lines + 2);
        let Step::Compose(draft) = editor.key(ctrl('o')) else {
            panic!("no draft");
        };
        assert!(draft.text.starts_with("# from the clipboard\n"));
        let text = draft.text.replace("replicas: 3", "replicas: 4");
        assert_ne!(text, draft.text);
        assert!(matches!(editor.composed(Ok(text)), Step::Try(_)));
        assert!(matches!(editor.stage, Stage::Trying(_)));
        // While the server is asked, what is pasted is not of the text that it was asked about.
        let kept = editor.text();
        editor.insert("more\n");
        assert_eq!(editor.text(), kept);
    }

    #[test]
    fn an_editor_that_failed_leaves_the_text_and_says_why() {
        let mut editor = editor();
        change(&mut editor);
        let text = editor.text();
        let step = editor.composed(Err("`vi` cannot be started".to_owned()));
        assert!(matches!(step, Step::Nothing));
        assert_eq!(editor.text(), text);
        assert_eq!(editor.complaint.as_deref(), Some("`vi` cannot be started"));
    }
}
