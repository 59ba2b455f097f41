//! The task that owns a World: requests in, durable answers and snapshots out.
//!
//! One round takes what is waiting, lets the World handle it and go a step on, makes all of that
//! durable in one transaction, publishes the new snapshot and only then answers. Rounds run on a
//! blocking thread, because they compute and wait for the disk.

use std::sync::Arc;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use tokio::sync::{mpsc, oneshot, watch};
use tokio_util::sync::CancellationToken;

use crate::apiserver::{Request, Response};
use crate::plane::{Published, World};
use crate::stdx::clock;

use super::journal::{Journal, JournalError};
use super::nodes::Nodes;
use super::pages::Pages;

/// Writes that wait for their round; more senders wait in turn.
const WAITING_MAX: usize = 1024;
/// Writes of one round, and of one transaction.
const BATCH_MAX: usize = 256;
/// Timers that fall due close together share a round: leases of a large fleet would otherwise make
/// hundreds of rounds a second.
const TIMER_GRAIN: Duration = Duration::from_millis(25);
/// Without any timer the World is still looked at once in a while.
const IDLE: Duration = Duration::from_secs(30);

/// Access to a running World; cheap to clone.
#[derive(Clone)]
pub struct Driver {
    writes: mpsc::Sender<Pending>,
    published: watch::Receiver<Arc<Published>>,
    pages: Pages,
    stopped: CancellationToken,
    nodes: Nodes,
}

struct Pending {
    request: Box<Request>,
    answer: oneshot::Sender<Response>,
}

/// Why the task ended by itself.
#[derive(Debug, thiserror::Error)]
pub enum DriverError {
    #[error(transparent)]
    Journal(#[from] JournalError),
    #[error("the control plane failed: {0}")]
    Bug(String),
}

/// The driver has stopped and answers nothing any more.
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error("the control plane has stopped")]
pub struct Stopped;

impl Driver {
    /// The kubelets of this process.
    pub fn nodes(&self) -> &Nodes {
        &self.nodes
    }

    /// Starts the task. It ends when `stop` is cancelled, after answering what it has taken, or
    /// with an error; the World and the journal are dropped (and the store's lock freed) then.
    pub fn start(
        world: World,
        journal: Option<Journal>,
        stop: CancellationToken,
    ) -> (Self, tokio::task::JoinHandle<Result<(), DriverError>>) {
        let (writes, inbox) = mpsc::channel(WAITING_MAX);
        let (publisher, published) = watch::channel(Arc::new(world.published()));
        let driver = Self {
            writes,
            published,
            pages: Pages::default(),
            stopped: stop.clone(),
            nodes: Nodes::default(),
        };
        let pages = driver.pages.clone();
        let core = Box::new(Core { world, journal });
        let task = tokio::spawn(async move {
            let result = run(core, inbox, (publisher, pages), &stop).await;
            // Watches and listeners end with the World, whatever ended it.
            stop.cancel();
            result
        });
        (driver, task)
    }

    /// What readers may see: durable, immutable.
    pub fn published(&self) -> Arc<Published> {
        Arc::clone(&self.published.borrow())
    }

    /// The snapshots of lists under way.
    pub fn pages(&self) -> &Pages {
        &self.pages
    }

    /// Notifies of every new snapshot.
    pub fn subscribe(&self) -> watch::Receiver<Arc<Published>> {
        self.published.clone()
    }

    /// Cancelled when the driver stops.
    pub fn stopped(&self) -> &CancellationToken {
        &self.stopped
    }

    /// Carries out a write; the answer comes when it is durable.
    pub async fn write(&self, request: Request) -> Result<Response, Stopped> {
        let (answer, answered) = oneshot::channel();
        let request = Box::new(request);
        let sent = self.writes.send(Pending { request, answer }).await;
        sent.map_err(|_closed| Stopped)?;
        answered.await.map_err(|_dropped| Stopped)
    }
}

struct Core {
    world: World,
    journal: Option<Journal>,
}

struct Round {
    answers: Vec<(oneshot::Sender<Response>, Response)>,
    published: Published,
    next_wake: Option<Timestamp>,
    more: bool,
}

impl Core {
    fn round(&mut self, batch: Vec<Pending>, now: Timestamp) -> Result<Round, JournalError> {
        let is_quiet = batch.is_empty();
        let answers = batch
            .into_iter()
            .map(|pending| {
                let response = self.world.handle(&pending.request, now);
                (pending.answer, response)
            })
            .collect();
        let step = self.world.step(now);
        if let Some(journal) = &mut self.journal {
            journal.commit(&step.journal)?;
            if is_quiet && !step.more {
                journal.tidy();
            }
        }
        Ok(Round {
            answers,
            published: self.world.published(),
            next_wake: step.next_wake,
            more: step.more,
        })
    }
}

async fn run(
    mut core: Box<Core>,
    mut inbox: mpsc::Receiver<Pending>,
    (publisher, pages): (watch::Sender<Arc<Published>>, Pages),
    stop: &CancellationToken,
) -> Result<(), DriverError> {
    let mut batch = Vec::new();
    let mut stopping = false;
    loop {
        let now = clock::now();
        let taken = std::mem::take(&mut batch);
        let (returned, round) = tokio::task::spawn_blocking(move || {
            let round = core.round(taken, now);
            (core, round)
        })
        .await
        .map_err(|error| DriverError::Bug(error.to_string()))?;
        core = returned;
        let round = round?;
        tracing::debug!(next_wake = ?round.next_wake, more = round.more, answers = round.answers.len(), "round");
        publisher.send_if_modified(|present| {
            let newer = round.published.snapshot.revision() != present.snapshot.revision();
            if newer {
                *present = Arc::new(round.published);
            }
            newer
        });
        pages.forget_old();
        for (sender, response) in round.answers {
            // Who asked may have hung up; the write is done all the same.
            let _gone = sender.send(response);
        }
        if stopping {
            return Ok(());
        }
        if !round.more {
            stopping = wait(&mut inbox, &mut batch, round.next_wake, stop).await;
        }
        if stop.is_cancelled() {
            stopping = true;
            inbox.close();
        }
        while batch.len() < BATCH_MAX
            && let Ok(pending) = inbox.try_recv()
        {
            batch.push(pending);
        }
    }
}

/// Waits for a write, a timer or the end; true at the end.
async fn wait(
    inbox: &mut mpsc::Receiver<Pending>,
    batch: &mut Vec<Pending>,
    next_wake: Option<Timestamp>,
    stop: &CancellationToken,
) -> bool {
    let pause = next_wake.map_or(IDLE, |wake| until(wake, clock::now()));
    tokio::select! {
        biased;
        () = stop.cancelled() => true,
        received = inbox.recv() => match received {
            Some(pending) => {
                batch.push(pending);
                false
            }
            None => true,
        },
        () = tokio::time::sleep(pause.clamp(TIMER_GRAIN, IDLE)) => false,
    }
}

fn until(wake: Timestamp, now: Timestamp) -> Duration {
    let left: SignedDuration = wake.duration_since(now);
    Duration::try_from(left).unwrap_or_default()
}
