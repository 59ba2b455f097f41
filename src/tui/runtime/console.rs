//! The loop of the console: wait, take everything in, settle, draw once.

use std::time::Duration;

use jiff::Timestamp;
use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use tokio::sync::mpsc::{Receiver, channel};
use tokio::task::JoinHandle;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::appearance::Appearance;
use super::beside::Together;
use super::compose;
use super::history::History;
use super::input::{Input, Inputs};
use super::lend::{self, Guest, Parting};
use super::outside::Outside;
use super::preferences::Preferences;
use super::terminal::{Terminal, TerminalError};
use crate::config::settings::Settings;
use crate::connect::{Access, Catalogue, ConnectError, Kind, Session};
use crate::stdx::clock;
use crate::tui::answer::Answer;
use crate::tui::effect::{Draft, Effect, Visit};
use crate::tui::model::Model;
use crate::tui::msg::Msg;
use crate::tui::notice::Notice;
use crate::tui::present::present;
use crate::tui::rehearsal::walk::Walk;
use crate::tui::rehearsal::{Rehearsing, Wish};
use crate::tui::render::render;
use crate::tui::screen::Screen;
use crate::tui::theme::Palette;
use crate::tui::update::rehearse::Kept;
use crate::tui::update::{next_wake, settle, start, update};
use crate::tui::view::{Scope, View};

/// What the console is opened with.
#[derive(Clone, Debug)]
pub struct Options {
    pub view: View,
    pub scope: Scope,
    pub appearance: Appearance,
    pub preferences: Preferences,
    /// Where the `:` line's history is kept, if at all.
    pub history: Option<History>,
    /// The user's own editor, as the environment names it.
    pub editor: Option<String>,
    /// What `:ctx` can open.
    pub catalogue: Option<Catalogue>,
    /// Contexts that pulse and domains show at once.
    pub together: Together,
    /// What is said once at the start, unless there is something worse to say.
    pub note: Option<String>,
    /// Cancelled when the cluster was first shown: what may wait for that begins then.
    pub shown: CancellationToken,
}

/// Messages under way. When it is full the senders wait: a burst slows the feeds, never the screen.
const IN_FLIGHT: usize = 256;
/// Messages taken in before a frame is drawn, so that a storm cannot starve the screen.
const DRAIN_MAX: usize = 4 * IN_FLIGHT;
/// Nothing is awaited longer than this without a look at the clock: ages on screen move.
const LONGEST_WAIT: Duration = Duration::from_secs(10);

/// Runs until the user quits, the process is asked to end, or the terminal is gone. The terminal is
/// given back in every case.
pub async fn run(session: Session, options: Options) -> Result<(), TerminalError> {
    let terminal = Terminal::enter()?;
    let inputs = Inputs::open()?;
    let (palette, theme_notices) = options.appearance.palette();
    let size = Terminal::size()?;
    let (outside, messages) = connect(&session);
    let mut model = Model::new(
        session.identity().clone(),
        options.scope,
        options.view,
        size,
    );
    let Preferences {
        settings,
        keymap,
        mut problems,
    } = options.preferences;
    if let Some(rehearsal) = session.rehearsal() {
        let progress = rehearsal.progress().borrow().clone();
        model.rehearsal = Some(Rehearsing::new(progress));
    }
    model.keymap = keymap;
    model.mouse = settings.mouse;
    model.colour = settings.color(&session.identity().cluster);
    model.bound_logs(&settings.logs);
    if let Some(catalogue) = &options.catalogue {
        model.contexts = catalogue.names();
    }
    problems.extend(theme_notices.into_iter().map(|notice| notice.text));
    match options.history.as_ref().map(History::load) {
        Some(Ok(lines)) => model.history = lines,
        Some(Err(error)) => problems.push(format!("the `:` history cannot be read: {error}")),
        None => {}
    }
    model.problems = problems;
    model.notice = options.note.map(Notice::note);
    let mut console = Console {
        model,
        session,
        outside,
        messages,
        settings: settings.clone(),
        together: options.together,
        catalogue: options.catalogue,
        opening: None,
        visiting: None,
        home: None,
        first_shown: options.shown,
        terminal,
        appearance: options.appearance,
        palette,
        frame: Duration::from_millis(settings.refresh_ms),
        history: options.history,
        editor: options.editor.unwrap_or_else(|| compose::EDITOR.to_owned()),
        composing: None,
        shown: None,
        stirred: true,
        over: false,
    };
    let outcome = match console.begin() {
        Ok(()) => console.work(inputs).await,
        Err(error) => Err(error),
    };
    let session = console.session.clone();
    let home = console.home.take();
    // The terminal first: closing a cluster may take a moment, and a shell must not wait in raw mode.
    drop(console);
    session.close().await;
    if let Some(home) = home {
        home.session.close().await;
    }
    outcome
}

/// The outside of a session, and what it says.
fn connect(session: &Session) -> (Outside, Receiver<Msg>) {
    let (out, messages) = channel(IN_FLIGHT);
    let seed = u64::try_from(clock::now().as_nanosecond() & i128::from(u64::MAX)).unwrap_or(0);
    let mut outside = Outside::open(session.client().clone(), out, seed);
    if let Some(rehearsal) = session.rehearsal() {
        outside.follow_rehearsal(rehearsal);
    }
    (outside, messages)
}

struct Console {
    model: Model,
    session: Session,
    outside: Outside,
    messages: Receiver<Msg>,
    settings: Settings,
    together: Together,
    catalogue: Option<Catalogue>,
    /// Another cluster that is being opened.
    opening: Option<Opening>,
    /// A process that is to get the terminal, on its way.
    visiting: Option<JoinHandle<Result<Guest, String>>>,
    /// The user's own editor, with words if need be.
    editor: String,
    /// A text that it is to have before the next frame.
    composing: Option<(View, Draft)>,
    /// The cluster that the rehearsal that is shown is a fork of.
    home: Option<Home>,
    first_shown: CancellationToken,
    terminal: Terminal,
    appearance: Appearance,
    palette: Palette,
    /// Frames that no key asked for come at most this often.
    frame: Duration,
    history: Option<History>,
    shown: Option<Screen>,
    /// Something has come since the last frame that may show.
    stirred: bool,
    over: bool,
}

/// What a rehearsal ends in: the session is open, and held, so that nothing is written meanwhile.
struct Home {
    session: Session,
    kept: Kept,
}

/// A cluster on its way to take the place of the one that is shown.
struct Opening {
    name: String,
    task: JoinHandle<Result<Session, String>>,
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
    fn begin(&mut self) -> Result<(), TerminalError> {
        let now = clock::now();
        self.stand_beside();
        let effects = start(&mut self.model, now);
        self.carry_out(effects)?;
        if self.model.mouse {
            self.terminal.mouse(true)?;
        }
        self.frame(now)
    }

    async fn work(&mut self, mut inputs: Inputs) -> Result<(), TerminalError> {
        let mut drawn = Instant::now();
        while !self.over {
            let (msg, urgency) = self.wait(&mut inputs).await?;
            let now = clock::now();
            let mut urgency = urgency;
            if let Some(msg) = msg {
                self.take(msg, now)?;
            }
            // More of the world may come until the frame is due; a key ends the wait.
            while urgency == Urgency::World && drawn.elapsed() < self.frame && !self.over {
                let due = tokio::time::sleep_until(drawn + self.frame);
                let input = tokio::select! {
                    biased;
                    input = inputs.next() => input,
                    Some(msg) = self.messages.recv() => { self.take(msg, now)?; continue; }
                    () = due => break,
                };
                urgency = Urgency::Key;
                if let Some(msg) = self.translate(input)? {
                    self.take(msg, now)?;
                }
            }
            for _ in 0..DRAIN_MAX {
                let Ok(msg) = self.messages.try_recv() else {
                    break;
                };
                self.take(msg, now)?;
            }
            if let Some((view, draft)) = self.composing.take() {
                self.compose(view, draft, &mut inputs).await?;
            }
            if !std::mem::take(&mut self.stirred) && urgency == Urgency::World {
                continue;
            }
            self.frame(clock::now())?;
            self.first_shown.cancel();
            drawn = Instant::now();
        }
        Ok(())
    }

    async fn wait(&mut self, inputs: &mut Inputs) -> Result<(Option<Msg>, Urgency), TerminalError> {
        let wake = Instant::now() + self.until_wake();
        tokio::select! {
            biased;
            input = inputs.next() => Ok((self.translate(input)?, Urgency::Key)),
            opened = opened(&mut self.opening) => {
                self.take_over(opened).await?;
                Ok((None, Urgency::Key))
            }
            guest = arrived(&mut self.visiting) => {
                self.lend(guest, inputs).await?;
                Ok((None, Urgency::Key))
            }
            Some(msg) = self.messages.recv() => Ok((Some(msg), Urgency::World)),
            () = tokio::time::sleep_until(wake) => Ok((Some(Msg::Tick), Urgency::World)),
        }
    }

    fn until_wake(&self) -> Duration {
        let now = clock::now();
        let wake = next_wake(&self.model, now);
        let wait = wake.map_or(LONGEST_WAIT, |wake| {
            Duration::try_from(wake.duration_since(now)).unwrap_or(Duration::ZERO)
        });
        wait.clamp(self.frame, LONGEST_WAIT)
    }

    fn translate(&mut self, input: Input) -> Result<Option<Msg>, TerminalError> {
        Ok(Some(match input {
            Input::Key(chord) => Msg::Key(chord),
            Input::Paste(text) => Msg::Paste(text),
            Input::Scroll(rows) => Msg::Scroll(rows),
            Input::Resize { columns, lines } => Msg::Resize(columns, lines),
            Input::End => Msg::Ended,
            Input::Continued => {
                self.terminal.resume()?;
                self.terminal.mouse(self.model.mouse)?;
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
        let from_feed = matches!(msg, Msg::Feed(..) | Msg::Beside { .. });
        let effects = update(&mut self.model, msg, now);
        // What a feed brings is drawn where it is news.
        self.stirred |= !from_feed || self.model.unsettled;
        self.follow_role();
        self.carry_out(effects)
    }

    /// Whoever takes the cluster over must know it: quitting then ends the cluster too.
    fn follow_role(&mut self) {
        if !self.session.follow_role() {
            return;
        }
        let identity = self.session.identity();
        let cluster = &identity.cluster;
        self.model.notice = Some(match identity.kind {
            Kind::Embedded => Notice::warning(format!(
                "whoever ran `{cluster}` is gone: this console runs it now, and it stops when you quit"
            )),
            _ => Notice::note(format!("another process runs `{cluster}` now")),
        });
        self.model.identity = identity.clone();
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
                Some(Effect::Connect(name)) => self.open(name),
                Some(Effect::Rehearse(wish)) => self.rehearse(wish)?,
                Some(Effect::Lend(visit)) => self.invite(visit),
                Some(Effect::Compose { view, draft }) => self.composing = Some((view, draft)),
                Some(Effect::Remember(line)) => self.remember(line),
                Some(other) => tracing::warn!(?other, "effect without a performer"),
            }
        }
        Ok(())
    }

    /// Begins to open another cluster; the one that is shown stays until it has answered.
    fn open(&mut self, name: String) {
        let Some(catalogue) = self.catalogue.clone() else {
            return;
        };
        self.stop_opening();
        let asked = name.clone();
        let task = tokio::spawn(async move {
            let opened = catalogue.open(&asked).await;
            opened.map_err(|error: ConnectError| error.sentence())
        });
        self.opening = Some(Opening { name, task });
    }

    /// The screen stays until the process is there.
    fn invite(&mut self, visit: Visit) {
        if let Some(earlier) = self.visiting.take() {
            earlier.abort();
        }
        let client = self.session.client().clone();
        self.visiting = Some(tokio::spawn(lend::invite(client, visit)));
    }

    /// Lends the terminal to a process, and takes it back whatever happens.
    async fn lend(
        &mut self,
        guest: Result<Guest, String>,
        inputs: &mut Inputs,
    ) -> Result<(), TerminalError> {
        let guest = match guest {
            Ok(guest) => guest,
            Err(why) => return self.take(Msg::Notice(Notice::failure(why)), clock::now()),
        };
        inputs.pause();
        let parting = guest.entertain(&mut self.terminal).await;
        inputs.resume();
        self.terminal.resume()?;
        self.terminal.mouse(self.model.mouse)?;
        self.shown = None;
        let notice = match parting {
            Ok(Parting::Ended(notice)) => notice,
            Ok(Parting::Terminated) => {
                self.over = true;
                return Ok(());
            }
            Err(error) => Notice::failure(format!("the terminal could not be lent: {error}")),
        };
        let (columns, lines) = Terminal::size()?;
        self.take(Msg::Resize(columns, lines), clock::now())?;
        self.take(Msg::Notice(notice), clock::now())
    }

    /// Leaves the terminal to the user's own editor, and takes in what it made of the text.
    async fn compose(
        &mut self,
        view: View,
        draft: Draft,
        inputs: &mut Inputs,
    ) -> Result<(), TerminalError> {
        inputs.pause();
        Terminal::pause();
        let ended = compose::compose(&self.editor, &draft).await;
        self.terminal.resume()?;
        self.terminal.mouse(self.model.mouse)?;
        self.shown = None;
        // Opened anew: what the editor's user interrupted there was not this program.
        *inputs = Inputs::open()?;
        let Some(composed) = ended else {
            self.over = true;
            return Ok(());
        };
        let now = clock::now();
        let (columns, lines) = Terminal::size()?;
        self.take(Msg::Resize(columns, lines), now)?;
        self.take(Msg::Answer(view, Answer::Composed(composed)), now)
    }

    /// What is wished about rehearsals.
    fn rehearse(&mut self, wish: Wish) -> Result<(), TerminalError> {
        match wish {
            Wish::Fork(at_hand) => {
                self.stop_opening();
                let session = self.session.clone();
                let name = format!("a rehearsal of {}", self.model.identity.cluster);
                let task = tokio::spawn(async move {
                    let forked = session.rehearse(*at_hand, 0).await;
                    forked.map_err(|notice| notice.message)
                });
                self.opening = Some(Opening { name, task });
            }
            Wish::Open(file) => {
                self.stop_opening();
                let name = file.clone();
                let task = tokio::spawn(async move {
                    let bytes = tokio::fs::read(&file).await;
                    let bytes = bytes.map_err(|error| error.to_string())?;
                    Session::of_saved(&file, bytes).await
                });
                self.opening = Some(Opening { name, task });
            }
            Wish::Discard if self.home.is_none() => {
                let text = "nothing but this rehearsal is open here; `:q` ends it";
                self.take(Msg::Notice(Notice::note(text)), clock::now())?;
            }
            Wish::Discard => self.come_back()?,
            Wish::Walk(walk) => self.walk(*walk)?,
            wish => {
                if let Some(rehearsal) = self.session.rehearsal() {
                    self.outside.rehearse(rehearsal, wish);
                }
            }
        }
        Ok(())
    }

    /// A fork takes the place of its cluster. From here on nothing is written to the real one.
    fn enter(&mut self, fork: Session) -> Result<(), TerminalError> {
        let now = clock::now();
        let Some(rehearsal) = fork.rehearsal() else {
            return Ok(());
        };
        let progress = rehearsal.progress().borrow().clone();
        self.session.hold(true);
        let objects = rehearsal.objects();
        let (mut outside, messages) = connect(&fork);
        outside.begin_with(objects);
        self.outside = outside;
        self.messages = messages;
        let session = std::mem::replace(&mut self.session, fork);
        let identity = self.session.identity().clone();
        let colour = self.settings.color(&identity.cluster);
        let logs = &self.settings.logs;
        let kept = self.model.enter((identity, progress), colour, logs, now);
        self.home = Some(Home { session, kept });
        let effects = start(&mut self.model, now);
        self.carry_out(effects)?;
        let text =
            "this is a fork, nothing is real: `>` runs time faster, `w` lists what can be done";
        self.take(Msg::Notice(Notice::done(text)), now)?;
        self.frame(now)
    }

    /// Back to the real cluster; the fork is dropped.
    fn come_back(&mut self) -> Result<(), TerminalError> {
        let now = clock::now();
        let Some(Home { session, kept }) = self.home.take() else {
            return Ok(());
        };
        self.stop_opening();
        session.hold(false);
        let (outside, messages) = connect(&session);
        self.outside = outside;
        self.messages = messages;
        let fork = std::mem::replace(&mut self.session, session);
        if let Some(rehearsal) = fork.rehearsal() {
            self.outside.keep_outcome(rehearsal);
            rehearsal.end();
        }
        let identity = self.session.identity().clone();
        let colour = self.settings.color(&identity.cluster);
        let logs = &self.settings.logs;
        self.model.come_back(kept, identity, colour, logs, now);
        self.stand_beside();
        let effects = start(&mut self.model, now);
        self.carry_out(effects)?;
        let text = format!(
            "the rehearsal is over; this is {}",
            self.model.identity.cluster
        );
        self.take(Msg::Notice(Notice::done(text)), now)
    }

    /// From the rehearsal into reality, one step after the other.
    fn walk(&mut self, walk: Walk) -> Result<(), TerminalError> {
        let now = clock::now();
        let access = self
            .home
            .as_ref()
            .map(|home| home.session.identity().access);
        if access != Some(Access::ReadWrite) {
            let text = "this session may only read; the steps stay a rehearsal";
            return self.take(Msg::Notice(Notice::warning(text)), now);
        }
        self.come_back()?;
        self.model.begin_walk(walk);
        Ok(())
    }

    /// The other clusters begin anew with the one that the console works in. A rehearsal stands alone.
    fn stand_beside(&mut self) {
        if self.session.rehearsal().is_some() {
            return;
        }
        let here = &self.session.identity().cluster;
        self.model.beside = self.together.beside(here, &self.settings);
        self.outside
            .stand_beside(&self.model.beside, &self.together);
    }

    fn stop_opening(&mut self) {
        if let Some(opening) = self.opening.take() {
            opening.task.abort();
        }
    }

    /// The other cluster has answered, or will not: then the old one stays as it is.
    async fn take_over(&mut self, opened: Opened) -> Result<(), TerminalError> {
        let now = clock::now();
        let (name, outcome) = opened;
        let session = match outcome {
            Ok(session) if session.rehearsal().is_some() => return self.enter(session),
            Ok(session) => session,
            Err(why) => {
                let text = format!(
                    "`{name}` cannot be opened: {why}; still on {}",
                    self.model.identity.cluster
                );
                return self.take(Msg::Notice(Notice::failure(text)), now);
            }
        };
        let (outside, messages) = connect(&session);
        // What the old session still says is heard by nobody; its feeds end with it.
        self.outside = outside;
        self.messages = messages;
        let old = std::mem::replace(&mut self.session, session);
        let identity = self.session.identity().clone();
        let colour = self.settings.color(&identity.cluster);
        self.model.turn_to(identity, colour, &self.settings.logs);
        if let Some(catalogue) = &self.catalogue {
            self.model.contexts = catalogue.names();
        }
        self.stand_beside();
        let effects = start(&mut self.model, now);
        self.carry_out(effects)?;
        let text = format!(
            "now on {} as {}",
            self.model.identity.cluster, self.model.identity.user
        );
        self.take(Msg::Notice(Notice::done(text)), now)?;
        self.frame(now)?;
        old.close().await;
        Ok(())
    }

    /// Away from the screen's thread: a home directory may be on a slow disk.
    fn remember(&self, line: String) {
        if let Some(history) = self.history.clone() {
            tokio::task::spawn_blocking(move || {
                if let Err(error) = history.append(&line) {
                    tracing::warn!(%error, "the `:` history cannot be kept");
                }
            });
        }
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

/// The process that was asked for, or why there is none; never, while nothing is. Cancel-safe.
async fn arrived(
    visiting: &mut Option<JoinHandle<Result<Guest, String>>>,
) -> Result<Guest, String> {
    let Some(under_way) = visiting else {
        return std::future::pending().await;
    };
    let guest = under_way.await;
    *visiting = None;
    guest.unwrap_or_else(|broken| Err(broken.to_string()))
}

/// A name, and the session or why there is none.
type Opened = (String, Result<Session, String>);

/// The end of what is being opened; never, while nothing is. Cancel-safe.
async fn opened(opening: &mut Option<Opening>) -> Opened {
    let Some(under_way) = opening else {
        return std::future::pending().await;
    };
    let outcome = match (&mut under_way.task).await {
        Ok(Ok(session)) => Ok(session),
        Ok(Err(why)) => Err(why),
        Err(broken) => Err(broken.to_string()),
    };
    let name = std::mem::take(&mut under_way.name);
    *opening = None;
    (name, outcome)
}

/// Stops this process as `ctrl-z` does; the shell's `fg` sends SIGCONT.
fn suspend() -> Result<(), TerminalError> {
    Terminal::pause();
    rustix::process::kill_current_process_group(rustix::process::Signal::TSTP)
        .map_err(std::io::Error::from)?;
    Ok(())
}
