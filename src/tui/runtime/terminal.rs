//! The terminal: taken over on entry, given back in every way that a program can end.
//!
//! Nothing is ever asked of the terminal (no cursor queries): a terminal that does not answer must
//! not be able to hang the console.

use std::io::{self, IsTerminal, Write};
use std::sync::Once;
use std::sync::atomic::{AtomicBool, Ordering};

use ratatui::buffer::Buffer;

use super::paint::paint;

/// Alternate screen, no cursor, no line wrap, bracketed paste.
const ENTER: &str = "\u{1b}[?1049h\u{1b}[?25l\u{1b}[?7l\u{1b}[?2004h";
/// The reverse, with mouse reporting off whether it was on or not.
const LEAVE: &str = "\u{1b}[m\u{1b}[?1000l\u{1b}[?1002l\u{1b}[?1006l\u{1b}[?2004l\u{1b}[?7h\u{1b}[?25h\u{1b}[?1049l";
const MOUSE_ON: &str = "\u{1b}[?1000h\u{1b}[?1006h";
const MOUSE_OFF: &str = "\u{1b}[?1006l\u{1b}[?1000l";
/// Synchronized output: the terminal shows the frame when it is whole.
const BEGIN_FRAME: &str = "\u{1b}[?2026h";
const END_FRAME: &str = "\u{1b}[?2026l";

/// Whether the terminal is ours now. Process-wide, because a panic on any thread must give the one
/// terminal back; nothing else is kept in it.
static TAKEN: AtomicBool = AtomicBool::new(false);

/// Why there is no screen.
#[derive(Debug, thiserror::Error)]
pub enum TerminalError {
    #[error("the console needs a terminal: standard input and output must be one")]
    NoTerminal,
    #[error("the terminal does not take commands")]
    Io(#[from] io::Error),
}

/// The terminal while the console has it. Dropping it gives it back.
pub struct Terminal {
    out: io::Stdout,
    shown: Option<Buffer>,
    caret: Option<(u16, u16)>,
}

impl Terminal {
    /// Takes the terminal over, and sees to it that a panic gives it back before it prints.
    pub fn enter() -> Result<Self, TerminalError> {
        let out = io::stdout();
        if !out.is_terminal() || !io::stdin().is_terminal() {
            return Err(TerminalError::NoTerminal);
        }
        restore_on_panic();
        crossterm::terminal::enable_raw_mode()?;
        TAKEN.store(true, Ordering::SeqCst);
        let mut terminal = Self {
            out,
            shown: None,
            caret: None,
        };
        terminal.send(ENTER)?;
        Ok(terminal)
    }

    /// Columns and lines.
    pub fn size() -> Result<(u16, u16), TerminalError> {
        Ok(crossterm::terminal::size()?)
    }

    /// Shows a frame; writes nothing at all when it is the one that is shown.
    pub fn draw(&mut self, frame: Buffer, caret: Option<(u16, u16)>) -> Result<(), TerminalError> {
        let mut bytes = paint(self.shown.as_ref(), &frame);
        if caret != self.caret || (caret.is_some() && !bytes.is_empty()) {
            bytes.push_str(&caret_sequence(caret));
        }
        self.shown = Some(frame);
        self.caret = caret;
        if bytes.is_empty() {
            return Ok(());
        }
        self.send(&[BEGIN_FRAME, &bytes, END_FRAME].concat())
    }

    /// Forgets what is shown: the next frame is drawn whole.
    pub fn forget(&mut self) {
        self.shown = None;
    }

    pub fn mouse(&mut self, on: bool) -> Result<(), TerminalError> {
        self.send(if on { MOUSE_ON } else { MOUSE_OFF })
    }

    /// To the clipboard of the terminal that the user sits at (OSC 52), also over SSH.
    pub fn copy(&mut self, text: &str) -> Result<(), TerminalError> {
        use base64::Engine;
        let encoded = base64::engine::general_purpose::STANDARD.encode(text);
        self.send(&format!("\u{1b}]52;c;{encoded}\u{7}"))
    }

    /// The plain screen for somebody else, who gets every key: [`Terminal::resume`] takes it back.
    pub fn lend(&mut self, greeting: &str) -> io::Result<()> {
        self.shown = None;
        self.pass_on(LEAVE.as_bytes())?;
        self.pass_on(greeting.as_bytes())
    }

    /// What somebody else says, as it is.
    pub fn pass_on(&mut self, bytes: &[u8]) -> io::Result<()> {
        let mut out = self.out.lock();
        out.write_all(bytes)?;
        out.flush()
    }

    /// Gives the terminal back for a while (job control).
    pub fn pause() {
        restore();
    }

    /// Takes it over again after [`Terminal::pause`].
    pub fn resume(&mut self) -> Result<(), TerminalError> {
        crossterm::terminal::enable_raw_mode()?;
        TAKEN.store(true, Ordering::SeqCst);
        self.shown = None;
        self.send(ENTER)
    }

    /// One write for one frame: a terminal over SSH gets it in one packet where it fits.
    fn send(&mut self, bytes: &str) -> Result<(), TerminalError> {
        let mut out = self.out.lock();
        out.write_all(bytes.as_bytes())?;
        out.flush()?;
        Ok(())
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        restore();
    }
}

/// Gives the terminal back if it is taken. May be called from anywhere, any number of times.
pub fn restore() {
    if !TAKEN.swap(false, Ordering::SeqCst) {
        return;
    }
    let mut out = io::stdout();
    // The terminal may be gone (a lost SSH session); then there is nothing left to restore.
    let _lost = out.write_all(LEAVE.as_bytes()).and_then(|()| out.flush());
    let _lost = crossterm::terminal::disable_raw_mode();
}

fn restore_on_panic() {
    static HOOK: Once = Once::new();
    HOOK.call_once(|| {
        let previous = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            restore();
            previous(panic);
        }));
    });
}

fn caret_sequence(caret: Option<(u16, u16)>) -> String {
    match caret {
        Some((column, line)) => format!("\u{1b}[{};{}H\u{1b}[?25h", line + 1, column + 1),
        None => "\u{1b}[?25l".to_owned(),
    }
}
