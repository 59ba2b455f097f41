//! One frame of a view without a terminal: what screenshots and scripts use.

use std::time::Duration;

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use tokio::sync::mpsc::{Receiver, channel};
use tokio::time::{Instant, timeout_at};

use super::console::Options;
use super::outside::Outside;
use crate::connect::Session;
use crate::stdx::clock;
use crate::tui::beside::Standing;
use crate::tui::effect::Effect;
use crate::tui::export::{self, Frame};
use crate::tui::key::Chord;
use crate::tui::model::Model;
use crate::tui::msg::Msg;
use crate::tui::present::present;
use crate::tui::render::render;
use crate::tui::summary::Summary;
use crate::tui::theme::Palette;
use crate::tui::update::{settle, start, update};

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Format {
    Text,
    Ansi,
    Svg,
    Png,
}

/// Why there is no picture.
#[derive(Debug, thiserror::Error)]
pub enum SnapshotError {
    #[error("the cluster did not show anything within {} s: {why}", LOAD.as_secs())]
    NoData { why: String },
    #[error(transparent)]
    Picture(#[from] export::PngError),
}

/// How long the data may take to arrive.
const LOAD: Duration = Duration::from_secs(20);
/// No message for this long means that the picture is complete: forecasts and dry runs answer well
/// within it.
const QUIET: Duration = Duration::from_millis(400);
const IN_FLIGHT: usize = 256;

/// The frame after everything that the view watches has arrived and `keys` were pressed.
pub async fn snapshot(
    session: Session,
    options: Options,
    keys: &[Chord],
    size: (u16, u16),
    format: Format,
) -> Result<Vec<u8>, SnapshotError> {
    let (out, mut messages) = channel(IN_FLIGHT);
    let (palette, _) = options.appearance.palette();
    let mut model = Model::new(
        session.identity().clone(),
        options.scope,
        options.view,
        size,
    );
    let settings = &options.preferences.settings;
    model.keymap = options.preferences.keymap;
    model.colour = settings.color(&session.identity().cluster);
    model.bound_logs(&settings.logs);
    let mut still = Still {
        model,
        outside: Outside::open(session.client().clone(), out, 1),
    };
    let here = &session.identity().cluster;
    still.model.beside = options.together.beside(here, settings);
    still
        .outside
        .stand_beside(&still.model.beside, &options.together);
    let effects = start(&mut still.model, clock::now());
    still.carry_out(effects);
    still.load(&mut messages).await?;
    for key in keys {
        still.take(Msg::Key(*key));
        still.quiet(&mut messages).await;
    }
    still.count();
    let screen = present(&still.model, clock::now());
    let area = Rect::new(0, 0, size.0, size.1);
    let mut buffer = Buffer::empty(area);
    render(&screen, &palette, area, &mut buffer);
    Ok(match format {
        Format::Text => export::text(&buffer).into_bytes(),
        Format::Ansi => export::ansi(&buffer).into_bytes(),
        Format::Svg => export::svg(&buffer, &frame(&palette)).into_bytes(),
        Format::Png => export::png(&buffer, &frame(&palette))?,
    })
}

fn frame(palette: &Palette) -> Frame {
    let standard = Frame::default();
    Frame {
        foreground: palette.foreground.unwrap_or(standard.foreground),
        background: palette.background.unwrap_or(standard.background),
        ..standard
    }
}

struct Still {
    model: Model,
    outside: Outside,
}

impl Still {
    /// Until every watched kind is complete (or refused), and nothing more comes.
    async fn load(&mut self, messages: &mut Receiver<Msg>) -> Result<(), SnapshotError> {
        let deadline = Instant::now() + LOAD;
        loop {
            self.quiet(messages).await;
            if self.is_loaded() {
                return Ok(());
            }
            let Ok(Some(msg)) = timeout_at(deadline, messages.recv()).await else {
                let why = self.model.lost().map_or("no answer", |(_, why)| why);
                return Err(SnapshotError::NoData {
                    why: why.to_owned(),
                });
            };
            self.take(msg);
        }
    }

    fn is_loaded(&self) -> bool {
        use crate::tui::cache::FeedState;
        let cache = &self.model.cache;
        let others = self.model.beside.iter();
        let mut waiting =
            others.filter(|beside| matches!(beside.standing(), Standing::Loading { .. }));
        waiting.next().is_none()
            && !cache.kinds.is_empty()
            && self.model.watched.iter().all(|resource| {
                cache.kind(resource).is_none()
                    || matches!(
                        cache.feed(resource),
                        Some(
                            FeedState::Live { .. }
                                | FeedState::Forbidden { .. }
                                | FeedState::Unknown
                        )
                    )
            })
    }

    /// The header's figures, now: live, they follow within a second, and a still has no second.
    fn count(&mut self) {
        let cache = &self.model.cache;
        let summary = Summary::of(&cache.cluster, cache.version(), clock::now());
        self.model.summary.take(summary);
        for beside in &mut self.model.beside {
            beside.look_now(clock::now());
        }
        self.model.unsettled = true;
        let effects = settle(&mut self.model, clock::now());
        self.carry_out(effects);
    }

    /// Takes messages until none comes for a while; a log that never rests is cut off.
    async fn quiet(&mut self, messages: &mut Receiver<Msg>) {
        let latest = Instant::now() + QUIET * 8;
        while let Ok(Some(msg)) =
            timeout_at((Instant::now() + QUIET).min(latest), messages.recv()).await
        {
            self.take(msg);
            if Instant::now() >= latest {
                break;
            }
        }
        let effects = settle(&mut self.model, clock::now());
        let more = !effects.is_empty();
        self.carry_out(effects);
        if more && Instant::now() < latest {
            Box::pin(self.quiet(messages)).await;
        }
    }

    fn take(&mut self, msg: Msg) {
        if let Msg::Kinds(kinds) = &msg {
            self.outside.know(kinds);
        }
        let effects = update(&mut self.model, msg, clock::now());
        self.carry_out(effects);
        let effects = settle(&mut self.model, clock::now());
        self.carry_out(effects);
    }

    /// A still frame has no terminal: what concerns one is left out.
    fn carry_out(&mut self, effects: Vec<Effect>) {
        for effect in effects {
            let _terminal_only = self.outside.carry_out(effect);
        }
    }
}
