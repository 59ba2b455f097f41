//! A rehearsal to work in: a fork of a session's cluster, served in this process in its own time.
//!
//! ```text
//!   Session (real) ── census, reads only ──► Fork ◄── Engine ◄── Driver ◄── kube::Client of the fork
//!      │ held: its guard lets no write out     ▲
//!      ▼                                       └── orders: run faster, let time pass, take a step
//! ```
//!
//! A fork holds no way back to its source, and the client of a rehearsal dials nothing but memory.
//! The session that was forked is held by whoever shows the rehearsal ([`Session::hold`]).

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::census::{self, Asked};
use super::guard::Access;
use super::notice::Notice;
use super::session::{Identity, Kind, Session};
use crate::apiserver::Request;
use crate::k8s::{Cluster, Resource};
use crate::plane::Published;
use crate::rehearse::archive::Archive;
use crate::rehearse::clock::Clock;
use crate::rehearse::walk::{self, Stride};
use crate::rehearse::{Fork, KINDS, Options, Outcome, Step};
use crate::serve::{Connector, Driver, Engine, JournalError, Round};
use crate::stdx::clock;

/// How long a round may compute: writes wait for it.
const BUDGET: Duration = Duration::from_millis(50);
/// Without anything due the fork is looked at once in a while.
const IDLE: Duration = Duration::from_secs(30);

/// What a fork begins with: objects that are at hand, and of which kinds they are all there are.
#[derive(Clone, Debug, Default)]
pub struct AtHand {
    pub cluster: Cluster,
    pub whole: Vec<Resource>,
}

/// What is told about a rehearsal whenever it changes.
#[derive(Clone, PartialEq, Debug)]
pub struct Progress {
    pub forked_at: Timestamp,
    pub clock: Clock,
    /// What was done, in order.
    pub steps: Vec<String>,
    /// Its controllers and its scheduler have looked at everything once; until then its time stands
    /// still, and orders wait.
    pub is_ready: bool,
}

/// What can be asked of a rehearsal beside what its API does.
#[derive(Clone, Debug)]
pub enum Order {
    /// How many times as fast as outside.
    Rate(u32),
    Pass(SignedDuration),
    /// Until nothing is due any more.
    Rest,
    Take(Box<Step>),
}

/// A fork that runs; clones are the same one.
#[derive(Clone)]
pub struct Rehearsal {
    shared: Arc<Shared>,
    driver: Driver,
    stop: CancellationToken,
}

struct Shared {
    running: Mutex<Running>,
    progress: watch::Sender<Progress>,
    /// What was forked, for the file.
    source: Cluster,
    origin: Origin,
}

/// Where the objects of a rehearsal came from.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Origin {
    Cluster,
    File,
}

struct Running {
    fork: Fork,
    clock: Clock,
}

impl Session {
    /// Forks the cluster: what is at hand is taken as it is, the rest is listed. Nothing is written.
    pub async fn rehearse(&self, at_hand: AtHand, seed: u64) -> Result<Self, Notice> {
        let missing: Vec<Asked> = KINDS
            .iter()
            .filter(|kind| !at_hand.whole.contains(&kind.resource))
            .map(|kind| Asked {
                resource: kind.resource.clone(),
                version: kind.version,
                kind: kind.kind,
            })
            .collect();
        let began = clock::instant();
        let mut known = at_hand.cluster;
        for kind in &missing {
            known.clear(&kind.resource);
        }
        let census = census::add(self.client(), &missing, known).await?;
        tracing::info!(took = ?began.elapsed(), listed = missing.len(), "read for a rehearsal");
        let options = Options {
            source: self.identity().cluster.clone(),
            seed,
            now: clock::now(),
        };
        let gaps = match census.forbidden.as_slice() {
            [] => Vec::new(),
            kinds => {
                let kinds: Vec<String> = kinds.iter().map(ToString::to_string).collect();
                let user = &self.identity().user;
                let kinds = kinds.join(", ");
                vec![format!(
                    "{user} may not list {kinds}: they are missing here"
                )]
            }
        };
        let source = census.cluster;
        if source.nodes().next().is_none() {
            return Err(Notice::settings("there are no nodes to rehearse on"));
        }
        let forking = source.clone();
        let fork = tokio::task::spawn_blocking(move || Fork::begun(&forking, options, gaps))
            .await
            .map_err(|error| Notice::settings(&format!("the fork broke off: {error}")))?;
        tracing::info!(took = ?began.elapsed(), "forked");
        let rehearsal = Rehearsal::run(fork, source, Origin::Cluster);
        Ok(Self::of_rehearsal(self.identity().clone(), rehearsal))
    }

    /// A rehearsal that somebody has saved, its steps taken again; no cluster is asked. `name` is
    /// what the file is called.
    pub async fn of_saved(name: &str, bytes: Vec<u8>) -> Result<Self, String> {
        let taken = tokio::task::spawn_blocking(move || {
            let archive = Archive::decode(&bytes).map_err(|error| error.to_string())?;
            let fork = archive.fork()?;
            Ok::<_, String>((archive, fork))
        });
        let (archive, fork) = taken.await.map_err(|error| error.to_string())??;
        let identity = Identity {
            kind: Kind::Rehearsal,
            cluster: archive.source.clone(),
            user: "nobody".to_owned(),
            server: name.to_owned(),
            namespace: "default".to_owned(),
            access: Access::ReadWrite,
        };
        let rehearsal = Rehearsal::run(fork, archive.cluster, Origin::File);
        Ok(Self::of_rehearsal(identity, rehearsal))
    }
}

impl Rehearsal {
    fn run(fork: Fork, source: Cluster, origin: Origin) -> Self {
        let clock = Clock::new(clock::now());
        let mut running = Running { fork, clock };
        running.clock.set(running.fork.now(), clock::now());
        let (progress, _) = watch::channel(running.progress());
        let shared = Arc::new(Shared {
            running: Mutex::new(running),
            progress,
            source,
            origin,
        });
        let stop = CancellationToken::new();
        let timed = Arc::clone(&shared);
        let time = Arc::new(move || timed.progress.borrow().clock.read(clock::now()));
        let (driver, _ends_with_stop) =
            Driver::drive(Served(Arc::clone(&shared)), time, stop.clone());
        Self {
            shared,
            driver,
            stop,
        }
    }

    pub(super) fn connector(&self) -> Connector {
        self.driver.connector()
    }

    /// The fork's objects at this moment, as its API would list them.
    pub fn objects(&self) -> Cluster {
        let published = self.shared.lock().fork.published();
        published.snapshot.cluster.clone()
    }

    /// Tells of every change.
    pub fn progress(&self) -> watch::Receiver<Progress> {
        self.shared.progress.subscribe()
    }

    /// Carries an order out, away from this thread; says what came of it, where that is not plain.
    pub async fn order(&self, order: Order) -> Result<Option<String>, String> {
        let told = self.carry_out(order).await;
        // Whoever hears of the answer reads what came of the order.
        self.driver.look().await;
        told
    }

    async fn carry_out(&self, order: Order) -> Result<Option<String>, String> {
        self.portions(Fork::look).await?;
        let length = match order {
            Order::Rate(rate) => {
                let mut running = self.shared.lock();
                running.clock.set_rate(rate, clock::now());
                self.shared.tell(&running);
                return Ok(None);
            }
            Order::Take(step) => match *step {
                Step::Wait(length) => Some(length),
                step => {
                    self.apart(move |shared| shared.take(&step)).await??;
                    return Ok(None);
                }
            },
            Order::Pass(length) => Some(length),
            Order::Rest => None,
        };
        let (began, bound) = {
            let running = self.shared.lock();
            (running.fork.now(), running.fork.bound())
        };
        let Some(length) = length else {
            let settled = self.portions(move |fork| fork.rest(bound)).await?;
            let passed = self.shared.lock().fork.now().duration_since(began);
            let passed = crate::rehearse::duration_text(passed);
            return Ok(Some(if settled {
                format!("settled: {passed} passed")
            } else {
                format!("{passed} passed, and things still happen")
            }));
        };
        let end = began
            .checked_add(length)
            .map_err(|error| error.to_string())?;
        let until = move |fork: &mut Fork| {
            let is_over = !fork.advance(end);
            is_over.then(|| fork.stand_at(end))
        };
        self.portions(until).await?;
        Ok(None)
    }

    /// Goes on until `portion` has an answer; between two budgets others have their turn, and the
    /// clock is seen to move.
    async fn portions<T: Send + 'static>(
        &self,
        portion: impl FnMut(&mut Fork) -> Option<T> + Clone + Send + 'static,
    ) -> Result<T, String> {
        loop {
            let mut portion = portion.clone();
            let within_budget = move |shared: &Shared| {
                let mut running = shared.lock();
                let began = clock::instant();
                let mut answer = None;
                while answer.is_none() && began.elapsed() < BUDGET {
                    answer = portion(&mut running.fork);
                }
                running.stand();
                shared.tell(&running);
                answer
            };
            if let Some(answer) = self.apart(within_budget).await? {
                return Ok(answer);
            }
        }
    }

    async fn apart<T: Send + 'static>(
        &self,
        run: impl FnOnce(&Shared) -> T + Send + 'static,
    ) -> Result<T, String> {
        let shared = Arc::clone(&self.shared);
        tokio::task::spawn_blocking(move || run(&shared))
            .await
            .map_err(|error| format!("the rehearsal broke off: {error}"))
    }

    /// What came of everything so far.
    pub async fn outcome(&self) -> Result<Outcome, String> {
        self.portions(Fork::look).await?;
        // A copy is computed with, so that nobody waits.
        self.apart(|shared| {
            let copy = shared.lock().fork.clone();
            copy.so_far(0)
        })
        .await
    }

    /// Its steps as they can be taken in reality: taken once more from what was forked.
    pub async fn strides(&self) -> Result<Vec<Stride>, String> {
        if self.shared.origin == Origin::File {
            let why = "this rehearsal was opened from a file: it is no fork of what is there now";
            return Err(why.to_owned());
        }
        self.apart(|shared| {
            let (taken, options) = {
                let running = shared.lock();
                (running.fork.taken(), running.fork.options().clone())
            };
            walk::of(&shared.source, options, &taken)
        })
        .await
    }

    /// The rehearsal as a file: what was forked, and the steps.
    pub async fn archive(&self, pseudonymise: bool) -> Result<Vec<u8>, String> {
        self.apart(move |shared| {
            let (steps, options) = {
                let running = shared.lock();
                (running.fork.again(), running.fork.options().clone())
            };
            let steps = steps.map_err(|text| {
                format!("`{text}` is no step that could be taken again: this cannot be saved")
            })?;
            let archive = Archive {
                source: options.source,
                forked_at: options.now,
                seed: options.seed,
                cluster: shared.source.clone(),
                steps,
            };
            let bytes = archive.encode(pseudonymise);
            bytes.map_err(|error| error.to_string())
        })
        .await?
    }

    /// The fork is dropped; nothing of it stays.
    pub fn end(&self) {
        self.stop.cancel();
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Running> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn take(&self, step: &Step) -> Result<(), String> {
        let mut running = self.lock();
        let taken = running.fork.start(step);
        // A drain takes virtual time of its own.
        running.stand();
        self.tell(&running);
        taken.map_err(|refused| refused.to_string())
    }

    fn tell(&self, running: &Running) {
        let progress = running.progress();
        self.progress.send_if_modified(|told| {
            let is_new = *told != progress;
            *told = progress;
            is_new
        });
    }
}

impl Running {
    fn progress(&self) -> Progress {
        Progress {
            forked_at: self.fork.options().now,
            clock: self.clock,
            steps: self.fork.done(),
            is_ready: self.fork.is_ready(),
        }
    }

    /// It is as late as the fork is.
    fn stand(&mut self) {
        self.clock.set(self.fork.now(), clock::now());
    }

    /// As far as the clock says, or as far as can be computed in one go: then time runs slower.
    fn catch_up(&mut self) -> bool {
        let began = clock::instant();
        let target = self.clock.read(clock::now());
        while self.fork.advance(target) {
            if began.elapsed() > BUDGET {
                self.stand();
                return false;
            }
        }
        self.fork.stand_at(target);
        true
    }

    /// How long nothing is due, outside.
    fn pause(&self) -> Duration {
        let wake = self.fork.due().and_then(|due| self.clock.outside(due));
        wake.map_or(IDLE, |wake| {
            Duration::try_from(wake.duration_since(clock::now())).unwrap_or_default()
        })
    }
}

/// A rehearsal as a driver's engine.
struct Served(Arc<Shared>);

impl Engine for Served {
    fn round(&mut self, writes: &[Request]) -> Result<Round, JournalError> {
        let mut running = self.0.lock();
        let mut caught_up = running.catch_up();
        let answers = writes
            .iter()
            .map(|request| running.fork.handle(request))
            .collect();
        if !writes.is_empty() {
            caught_up &= running.catch_up();
        }
        self.0.tell(&running);
        Ok(Round {
            answers,
            published: running.fork.published(),
            pause: caught_up.then(|| running.pause()),
        })
    }

    fn published(&self) -> Published {
        self.0.lock().fork.published()
    }
}
