//! The loop of the console: wait, take everything in, settle, draw once.

use std::time::Duration;

use jiff::Timestamp;
use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use tokio::sync::mpsc::{Receiver, channel};
use tokio::time::Instant;

use super::appearance::Appearance;
use super::input::{Input, Inputs};
use super::outside::Outside;
use super::terminal::{Terminal, TerminalError};
use crate::connect::Session;
use crate::stdx::clock;
use crate::tui::effect::Effect;
use crate::tui::model::Model;
use crate::tui::msg::Msg;
use crate::tui::notice::Notice;
use crate::tui::present::present;
use crate::tui::render::render;
use crate::tui::screen::Screen;
use crate::tui::theme::Palette;
use crate::tui::update::{next_wake, settle, start, update};
use crate::tui::view::{Scope, View};

/// What the console is opened with.
#[derive(Clone, Debug)]
pub struct Options {
    pub view: View,
    pub scope: Scope,
    pub appearance: Appearance,
    /// What is to be said at the start: broken settings, an unknown theme.
    pub notices: Vec<Notice>,
}

/// Messages under way. When it is full the senders wait: a burst slows the feeds, never the screen.
const IN_FLIGHT: usize = 256;
/// Messages taken in before a frame is drawn, so that a storm cannot starve the screen.
const DRAIN_MAX: usize = 4 * IN_FLIGHT;
/// Frames that no key asked for come at most this often.
const FRAME: Duration = Duration::from_millis(33);
/// Nothing is awaited longer than this without a look at the clock: ages on screen move.
const LONGEST_WAIT: Duration = Duration::from_secs(10);

/// Runs until the user quits, the process is asked to end, or the terminal is gone. The terminal is
/// given back in every case.
pub async fn run(session: Session, options: Options) -> Result<(), TerminalError> {
    let terminal = Terminal::enter()?;
    let inputs = Inputs::open()?;
    let (out, messages) = channel(IN_FLIGHT);
    let (palette, theme_notices) = options.appearance.palette();
    let size = Terminal::size()?;
    let seed = u64::try_from(clock::now().as_nanosecond() & i128::from(u64::MAX)).unwrap_or(0);
    let outside = Outside::open(session.client().clone(), out, seed);
    let model = Model::new(
        session.identity().clone(),
        options.scope,
        options.view,
        size,
    );
    let mut console = Console {
        model,
        outside,
        terminal,
        appearance: options.appearance,
        palette,
        shown: None,
        over: false,
    };
    let notices = options.notices.into_iter().chain(theme_notices);
    console.begin(notices)?;
    console.work(inputs, messages).await
}

struct Console {
    model: Model,
    outside: Outside,
    terminal: Terminal,
    appearance: Appearance,
    palette: Palette,
    shown: Option<Screen>,
    over: bool,
}

/// Who asked for the next frame.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Urgency {
    /// A key: now.
    Key,
    /// The cluster or the clock: with the next frame that is due.
    World,
}

impl Console {
    fn begin(&mut self, notices: impl Iterator<Item = Notice>) -> Result<(), TerminalError> {
        let now = clock::now();
        let effects = start(&mut self.model, now);
        self.carry_out(effects)?;
        for notice in notices {
            self.take(Msg::Notice(notice), now)?;
        }
        self.frame(now)
    }

    async fn work(
        &mut self,
        mut inputs: Inputs,
        mut messages: Receiver<Msg>,
    ) -> Result<(), TerminalError> {
        let mut drawn = Instant::now();
        while !self.over {
            let (msg, urgency) = self.wait(&mut inputs, &mut messages).await?;
            let now = clock::now();
            let mut urgency = urgency;
            if let Some(msg) = msg {
                self.take(msg, now)?;
            }
            // More of the world may come until the frame is due; a key ends the wait.
            while urgency == Urgency::World && drawn.elapsed() < FRAME && !self.over {
                let due = tokio::time::sleep_until(drawn + FRAME);
                let input = tokio::select! {
                    biased;
                    input = inputs.next() => input,
                    Some(msg) = messages.recv() => { self.take(msg, now)?; continue; }
                    () = due => break,
                };
                urgency = Urgency::Key;
                if let Some(msg) = self.translate(input)? {
                    self.take(msg, now)?;
                }
            }
            for _ in 0..DRAIN_MAX {
                let Ok(msg) = messages.try_recv() else { break };
                self.take(msg, now)?;
            }
            self.frame(clock::now())?;
            drawn = Instant::now();
        }
        Ok(())
    }

    async fn wait(
        &mut self,
        inputs: &mut Inputs,
        messages: &mut Receiver<Msg>,
    ) -> Result<(Option<Msg>, Urgency), TerminalError> {
        let wake = Instant::now() + self.until_wake();
        tokio::select! {
            biased;
            input = inputs.next() => Ok((self.translate(input)?, Urgency::Key)),
            Some(msg) = messages.recv() => Ok((Some(msg), Urgency::World)),
            () = tokio::time::sleep_until(wake) => Ok((Some(Msg::Tick), Urgency::World)),
        }
    }

    fn until_wake(&self) -> Duration {
        let now = clock::now();
        let wake = next_wake(&self.model, now);
        let wait = wake.map_or(LONGEST_WAIT, |wake| {
            Duration::try_from(wake.duration_since(now)).unwrap_or(Duration::ZERO)
        });
        wait.clamp(FRAME, LONGEST_WAIT)
    }

    fn translate(&mut self, input: Input) -> Result<Option<Msg>, TerminalError> {
        Ok(Some(match input {
            Input::Key(chord) => Msg::Key(chord),
            Input::Paste(text) => Msg::Paste(text),
            Input::Resize { columns, lines } => Msg::Resize(columns, lines),
            Input::End => Msg::Ended,
            Input::Continued => {
                self.terminal.resume()?;
                self.shown = None;
                let (columns, lines) = Terminal::size()?;
                Msg::Resize(columns, lines)
            }
        }))
    }

    fn take(&mut self, msg: Msg, now: Timestamp) -> Result<(), TerminalError> {
        if let Msg::Kinds(kinds) = &msg {
            self.outside.know(kinds);
        }
        let effects = update(&mut self.model, msg, now);
        self.carry_out(effects)
    }

    fn carry_out(&mut self, effects: Vec<Effect>) -> Result<(), TerminalError> {
        for effect in effects {
            match self.outside.carry_out(effect) {
                None => {}
                Some(Effect::Quit) => self.over = true,
                Some(Effect::Redraw) => {
                    self.terminal.forget();
                    self.shown = None;
                }
                Some(Effect::Mouse(on)) => self.terminal.mouse(on)?,
                Some(Effect::Copy(text)) => self.terminal.copy(&text)?,
                Some(Effect::Suspend) => suspend()?,
                Some(Effect::Theme(name)) => self.change_theme(name)?,
                Some(other) => tracing::warn!(?other, "effect without a performer"),
            }
        }
        Ok(())
    }

    fn change_theme(&mut self, name: String) -> Result<(), TerminalError> {
        let chosen = Appearance {
            theme: name,
            ..self.appearance.clone()
        };
        let (palette, notices) = chosen.palette();
        self.palette = palette;
        self.appearance = chosen;
        self.shown = None;
        let now = clock::now();
        for notice in notices {
            self.take(Msg::Notice(notice), now)?;
        }
        Ok(())
    }

    /// Settles and draws, if anything on the screen is different.
    fn frame(&mut self, now: Timestamp) -> Result<(), TerminalError> {
        let effects = settle(&mut self.model, now);
        self.carry_out(effects)?;
        let screen = present(&self.model, now);
        let (columns, lines) = self.model.size;
        if self.shown.as_ref() == Some(&screen) {
            return Ok(());
        }
        let area = Rect::new(0, 0, columns, lines);
        let mut buffer = Buffer::empty(area);
        let caret = render(&screen, &self.palette, area, &mut buffer);
        self.shown = Some(screen);
        self.terminal.draw(buffer, caret)
    }
}

/// Stops this process as `ctrl-z` does; the shell's `fg` sends SIGCONT.
fn suspend() -> Result<(), TerminalError> {
    Terminal::pause();
    rustix::process::kill_current_process_group(rustix::process::Signal::TSTP)
        .map_err(std::io::Error::from)?;
    Ok(())
}
