//! What comes from the outside besides the cluster: keys, pastes, sizes, signals.

use crossterm::event::{
    Event, EventStream, KeyCode, KeyEvent, KeyEventKind, KeyModifiers, MouseEventKind,
};
use futures::StreamExt;
use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::tui::key::{Chord, Key};

/// One thing that happened to the terminal or the process.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Input {
    Key(Chord),
    Paste(String),
    /// Rows that the wheel moved, positive is down.
    Scroll(i16),
    Resize {
        columns: u16,
        lines: u16,
    },
    /// SIGCONT: the terminal is ours again.
    Continued,
    /// SIGTERM, SIGINT or SIGHUP, or the terminal is gone: end now.
    End,
}

/// All inputs as one stream.
pub struct Inputs {
    /// None while somebody else reads the keys.
    events: Option<EventStream>,
    terminate: Signal,
    interrupt: Signal,
    hang_up: Signal,
    proceed: Signal,
}

impl Inputs {
    pub fn open() -> std::io::Result<Self> {
        Ok(Self {
            events: Some(EventStream::new()),
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            hang_up: signal(SignalKind::hangup())?,
            proceed: signal(SignalKind::from_raw(rustix::process::Signal::CONT.as_raw()))?,
        })
    }

    /// Leaves the keys to somebody else.
    pub fn pause(&mut self) {
        self.events = None;
    }

    /// Reads keys again.
    pub fn resume(&mut self) {
        self.events = Some(EventStream::new());
    }

    /// The next input. Cancel-safe. After [`Input::End`] there is nothing more to wait for.
    pub async fn next(&mut self) -> Input {
        loop {
            let event = tokio::select! {
                biased;
                _ = self.terminate.recv() => return Input::End,
                _ = self.interrupt.recv() => return Input::End,
                _ = self.hang_up.recv() => return Input::End,
                _ = self.proceed.recv() => return Input::Continued,
                event = next(&mut self.events) => event,
            };
            match event {
                Some(Ok(event)) => {
                    if let Some(input) = translate(event) {
                        return input;
                    }
                }
                // The terminal is gone (EIO after a lost session, or end of file).
                Some(Err(_)) | None => return Input::End,
            }
        }
    }
}

async fn next(events: &mut Option<EventStream>) -> Option<std::io::Result<Event>> {
    match events {
        Some(events) => events.next().await,
        None => std::future::pending().await,
    }
}

fn translate(event: Event) -> Option<Input> {
    match event {
        Event::Key(key) if key.kind != KeyEventKind::Release => chord(key).map(Input::Key),
        Event::Paste(text) => Some(Input::Paste(text)),
        Event::Mouse(event) => wheel(event.kind).map(Input::Scroll),
        Event::Resize(columns, lines) => Some(Input::Resize { columns, lines }),
        _ => None,
    }
}

/// What terminals scroll by themselves for one notch.
const NOTCH: i16 = 3;

fn wheel(kind: MouseEventKind) -> Option<i16> {
    match kind {
        MouseEventKind::ScrollUp => Some(-NOTCH),
        MouseEventKind::ScrollDown => Some(NOTCH),
        _ => None,
    }
}

/// Shift is part of the character where there is one.
fn chord(event: KeyEvent) -> Option<Chord> {
    let key = match event.code {
        KeyCode::Char(letter) => Key::Char(letter),
        KeyCode::Enter => Key::Enter,
        KeyCode::Esc => Key::Esc,
        KeyCode::Tab => Key::Tab,
        KeyCode::BackTab => Key::BackTab,
        KeyCode::Backspace => Key::Backspace,
        KeyCode::Delete => Key::Delete,
        KeyCode::Up => Key::Up,
        KeyCode::Down => Key::Down,
        KeyCode::Left => Key::Left,
        KeyCode::Right => Key::Right,
        KeyCode::Home => Key::Home,
        KeyCode::End => Key::End,
        KeyCode::PageUp => Key::PageUp,
        KeyCode::PageDown => Key::PageDown,
        KeyCode::F(number) => Key::Function(number),
        KeyCode::Null => {
            return Some(Chord {
                key: Key::Char(' '),
                ctrl: true,
                alt: false,
            });
        }
        _ => return None,
    };
    Some(Chord {
        key,
        ctrl: event.modifiers.contains(KeyModifiers::CONTROL),
        alt: event.modifiers.contains(KeyModifiers::ALT),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(code: KeyCode, modifiers: KeyModifiers, expected: &str) {
        let chord = chord(KeyEvent::new(code, modifiers)).unwrap();
        assert_eq!(chord, Chord::parse(expected).unwrap());
    }

    #[test]
    fn keys_keep_their_modifiers_and_shift_is_in_the_letter() {
        check(KeyCode::Char('G'), KeyModifiers::SHIFT, "G");
        check(KeyCode::Char('d'), KeyModifiers::CONTROL, "ctrl-d");
        check(KeyCode::Null, KeyModifiers::NONE, "ctrl-space");
        check(KeyCode::BackTab, KeyModifiers::SHIFT, "backtab");
    }
}
