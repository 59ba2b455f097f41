//! The task that owns an [`Engine`]: requests in, durable answers and snapshots out.
//!
//! One round takes what is waiting, lets the engine handle it and go a step on, publishes the new
//! snapshot and only then answers. Rounds run on a blocking thread, because they compute and wait
//! for the disk. The engine of a cluster is a World with its journal; a rehearsal brings its own,
//! and its own time.

use std::sync::Arc;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use tokio::sync::{mpsc, oneshot, watch};
use tokio_util::sync::CancellationToken;

use crate::apiserver::{Request, Response};
use crate::plane::{Published, World};
use crate::stdx::clock;

use super::journal::{Journal, JournalError};
use super::logs::Logs;
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

/// What a driver drives.
pub trait Engine: Send + 'static {
    /// Carries the writes out, goes a step on and makes all of it durable.
    fn round(&mut self, writes: &[Request]) -> Result<Round, JournalError>;

    /// What there is to read before the first round.
    fn published(&self) -> Published;
}

/// What came of a round.
pub struct Round {
    /// To each write, in order.
    pub answers: Vec<Response>,
    pub published: Published,
    /// How long nothing is due; `None`: the next round is due now.
    pub pause: Option<Duration>,
}

/// What time it is for those who read.
pub type Time = Arc<dyn Fn() -> Timestamp + Send + Sync>;

/// Access to a running engine; cheap to clone.
#[derive(Clone)]
pub struct Driver {
    writes: mpsc::Sender<Pending>,
    published: watch::Receiver<Arc<Published>>,
    pages: Pages,
    stopped: CancellationToken,
    nodes: Nodes,
    logs: Logs,
    time: Time,
    looks: mpsc::Sender<Look>,
}

/// Somebody waits until readers see what the engine is now.
type Look = oneshot::Sender<()>;

struct Pending {
    request: Request,
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

    /// The log store, where one is kept.
    pub fn logs(&self) -> &Logs {
        &self.logs
    }

    /// Starts the task. It ends when `stop` is cancelled, after answering what it has taken, or
    /// with an error; the World and the journal are dropped (and the store's lock freed) then.
    pub fn start(
        world: World,
        journal: Option<Journal>,
        stop: CancellationToken,
    ) -> (Self, Driving) {
        Self::drive(Core { world, journal }, Arc::new(clock::now), stop)
    }

    /// The same with another engine, in its time.
    pub fn drive(engine: impl Engine, time: Time, stop: CancellationToken) -> (Self, Driving) {
        let (writes, inbox) = mpsc::channel(WAITING_MAX);
        let (looks, looked) = mpsc::channel(WAITING_MAX);
        let (publisher, published) = watch::channel(Arc::new(engine.published()));
        let driver = Self {
            writes,
            published,
            pages: Pages::default(),
            stopped: stop.clone(),
            nodes: Nodes::default(),
            logs: Logs::default(),
            time,
            looks,
        };
        let pages = driver.pages.clone();
        let engine: Box<dyn Engine> = Box::new(engine);
        let task = tokio::spawn(async move {
            let inbox = Inbox {
                writes: inbox,
                looks: looked,
            };
            let result = run(engine, inbox, (publisher, pages), &stop).await;
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

    /// What time it is in the cluster.
    pub fn now(&self) -> Timestamp {
        (self.time)()
    }

    pub fn time(&self) -> Time {
        Arc::clone(&self.time)
    }

    /// The engine was changed by its owner: a round is due now. Returns when readers see what came
    /// of it, or when the driver has stopped.
    pub async fn look(&self) {
        let (look, shown) = oneshot::channel();
        if self.looks.send(look).await.is_ok() {
            let _stopped = shown.await;
        }
    }

    /// Opens connections to the cluster inside this process.
    pub fn connector(&self) -> Connector {
        Connector(self.clone())
    }

    /// Cancelled when the driver stops.
    pub fn stopped(&self) -> &CancellationToken {
        &self.stopped
    }

    /// Carries out a write; the answer comes when it is durable.
    pub async fn write(&self, request: Request) -> Result<Response, Stopped> {
        let (answer, answered) = oneshot::channel();
        let sent = self.writes.send(Pending { request, answer }).await;
        sent.map_err(|_closed| Stopped)?;
        answered.await.map_err(|_dropped| Stopped)
    }
}

/// A running driver; ends when it is stopped, or with an error.
pub type Driving = tokio::task::JoinHandle<Result<(), DriverError>>;

/// Connects to an engine in this process, as its administrator; outlives it, in vain.
#[derive(Clone)]
pub struct Connector(Driver);

impl Connector {
    pub fn connect(&self) -> tokio::io::DuplexStream {
        super::listener::memory(&self.0)
    }
}

/// The engine of a cluster: its World, and where it becomes durable.
struct Core {
    world: World,
    journal: Option<Journal>,
}

impl Engine for Core {
    fn round(&mut self, writes: &[Request]) -> Result<Round, JournalError> {
        let now = clock::now();
        let answers = writes
            .iter()
            .map(|request| self.world.handle(request, now))
            .collect();
        let step = self.world.step(now);
        if let Some(journal) = &mut self.journal {
            journal.commit(&step.journal)?;
            if writes.is_empty() && !step.more {
                journal.tidy();
            }
        }
        let pause = step
            .next_wake
            .map_or(IDLE, |wake| until(wake, clock::now()));
        Ok(Round {
            answers,
            published: self.world.published(),
            pause: (!step.more).then_some(pause),
        })
    }

    fn published(&self) -> Published {
        self.world.published()
    }
}

struct Inbox {
    writes: mpsc::Receiver<Pending>,
    looks: mpsc::Receiver<Look>,
}

async fn run(
    mut engine: Box<dyn Engine>,
    mut inbox: Inbox,
    (publisher, pages): (watch::Sender<Arc<Published>>, Pages),
    stop: &CancellationToken,
) -> Result<(), DriverError> {
    let mut batch: Vec<Pending> = Vec::new();
    let mut looks: Vec<Look> = Vec::new();
    let mut stopping = false;
    loop {
        let (writes, senders): (Vec<Request>, Vec<oneshot::Sender<Response>>) =
            std::mem::take(&mut batch)
                .into_iter()
                .map(|pending| (pending.request, pending.answer))
                .unzip();
        let (returned, round) = tokio::task::spawn_blocking(move || {
            let round = engine.round(&writes);
            (engine, round)
        })
        .await
        .map_err(|error| DriverError::Bug(error.to_string()))?;
        engine = returned;
        let round = round?;
        tracing::debug!(pause = ?round.pause, answers = round.answers.len(), "round");
        publisher.send_if_modified(|present| {
            let newer = round.published.snapshot.revision() != present.snapshot.revision();
            if newer {
                *present = Arc::new(round.published);
            }
            newer
        });
        pages.forget_old();
        for look in looks.drain(..) {
            let _gone = look.send(());
        }
        for (sender, response) in senders.into_iter().zip(round.answers) {
            // Who asked may have hung up; the write is done all the same.
            let _gone = sender.send(response);
        }
        if stopping {
            return Ok(());
        }
        if let Some(pause) = round.pause {
            stopping = wait(&mut inbox, (&mut batch, &mut looks), pause, stop).await;
        }
        if stop.is_cancelled() {
            stopping = true;
            inbox.writes.close();
        }
        while batch.len() < BATCH_MAX
            && let Ok(pending) = inbox.writes.try_recv()
        {
            batch.push(pending);
        }
        while looks.len() < BATCH_MAX
            && let Ok(look) = inbox.looks.try_recv()
        {
            looks.push(look);
        }
    }
}

/// Waits for a write, a look, a timer or the end; true at the end.
async fn wait(
    inbox: &mut Inbox,
    (batch, looks): (&mut Vec<Pending>, &mut Vec<Look>),
    pause: Duration,
    stop: &CancellationToken,
) -> bool {
    tokio::select! {
        biased;
        () = stop.cancelled() => true,
        received = inbox.writes.recv() => match received {
            Some(pending) => {
                batch.push(pending);
                false
            }
            None => true,
        },
        Some(look) = inbox.looks.recv() => {
            looks.push(look);
            false
        }
        () = tokio::time::sleep(pause.clamp(TIMER_GRAIN, IDLE)) => false,
    }
}

fn until(wake: Timestamp, now: Timestamp) -> Duration {
    let left: SignedDuration = wake.duration_since(now);
    Duration::try_from(left).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use std::sync::{Mutex, PoisonError};

    use serde_json::json;

    use super::*;
    use crate::apiserver::{Target, User, Verb};

    /// An engine whose owner changes it from outside, as a rehearsal's does.
    #[derive(Clone)]
    struct Owned(Arc<Mutex<World>>);

    impl Owned {
        fn with<T>(&self, work: impl FnOnce(&mut World) -> T) -> T {
            work(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
        }
    }

    impl Engine for Owned {
        fn round(&mut self, _writes: &[Request]) -> Result<Round, JournalError> {
            Ok(Round {
                answers: Vec::new(),
                published: self.published(),
                pause: Some(IDLE),
            })
        }

        fn published(&self) -> Published {
            self.with(|world| world.published())
        }
    }

    #[tokio::test]
    async fn what_the_owner_changed_is_seen_by_readers_when_the_look_returns() {
        let now = Timestamp::from_second(1_800_000_000).unwrap();
        let owned = Owned(Arc::new(Mutex::new(World::new(1, now))));
        let stop = CancellationToken::new();
        let (driver, task) = Driver::drive(owned.clone(), Arc::new(move || now), stop.clone());
        driver.look().await;
        for name in ["first", "second"] {
            let target = Target::resource("", "v1", "namespaces");
            let request = Request::internal(Verb::Create, target, User::system("test")).with_body(
                "application/json",
                json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}})
                    .to_string(),
            );
            let response = owned.with(|world| world.handle(&request, now));
            assert!(response.is_success(), "{}", response.value());
            let revision = owned.published().snapshot.revision();
            assert_ne!(driver.published().snapshot.revision(), revision);
            driver.look().await;
            assert_eq!(driver.published().snapshot.revision(), revision);
        }
        stop.cancel();
        task.await.unwrap().unwrap();
        driver.look().await;
    }
}
