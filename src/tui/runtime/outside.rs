//! Carries out effects against the cluster, and brings back messages.
//!
//! Owns the tasks that it starts: a feed for each watched kind, a stream for each followed log.
//! Dropping it ends them all.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tokio::sync::mpsc::{Sender, channel};
use tokio::task::{AbortHandle, spawn, spawn_blocking};

use super::beside::{self, Together};
use super::feed::{Followed, Start, follow};
use super::logs::{self, LogEvent};
use super::send::{Mode, apply, evict, fetch, send};
use super::{discovery, feed, rehearsals, tables};
use crate::connect::{Notice as Failure, Rehearsal};
use crate::k8s::{Cluster, Name, ObjectKey, Op, Resource, resources};
use crate::tui::answer::Answer;
use crate::tui::beside::Beside;
use crate::tui::cache::KindInfo;
use crate::tui::effect::{Computation, Effect, LogOrder, PastOrder, Work};
use crate::tui::msg::Msg;
use crate::tui::notice::Notice;
use crate::tui::rehearsal::Wish;
use crate::tui::view::{Target, View};

/// Batches under way from feeds and log streams; a full channel slows them down.
const IN_FLIGHT: usize = 64;

/// Kinds of the core group that are watched before discovery has answered: the first frame needs
/// them, and their version has never been another.
static AT_ONCE: [(Resource, &str); 3] = [
    (resources::NODES, "Node"),
    (resources::PODS, "Pod"),
    (resources::NAMESPACES, "Namespace"),
];

pub struct Outside {
    client: kube::Client,
    out: Sender<Msg>,
    /// `None` until discovery has answered.
    kinds: Option<Arc<Vec<KindInfo>>>,
    wanted: BTreeSet<Resource>,
    feeds: BTreeMap<Resource, AbortHandle>,
    logs: BTreeMap<LogOrder, AbortHandle>,
    /// What the server prints of the kind that is looked at.
    table: Option<AbortHandle>,
    /// Jitter of back-offs.
    seed: u64,
    /// Tells of the rehearsal that is shown.
    told: Option<AbortHandle>,
    /// Follow the clusters that are shown beside this one.
    beside: Vec<AbortHandle>,
    /// What the first feeds begin with, in place of their lists.
    given: Option<Cluster>,
}

impl Outside {
    /// Begins with discovery; its answer comes as [`Msg::Kinds`].
    pub fn open(client: kube::Client, out: Sender<Msg>, seed: u64) -> Self {
        let outside = Self {
            client,
            out,
            kinds: None,
            wanted: BTreeSet::new(),
            feeds: BTreeMap::new(),
            logs: BTreeMap::new(),
            table: None,
            seed,
            told: None,
            beside: Vec::new(),
            given: None,
        };
        outside.discover();
        outside
    }

    /// Tells the console of every change of this rehearsal.
    pub fn follow_rehearsal(&mut self, rehearsal: &Rehearsal) {
        let mut progress = rehearsal.progress();
        let out = self.out.clone();
        let telling = async move {
            loop {
                let now = progress.borrow_and_update().clone();
                tell(&out, Msg::Rehearsed(now)).await;
                if progress.changed().await.is_err() {
                    return;
                }
            }
        };
        self.told = Some(spawn(telling).abort_handle());
    }

    /// Follows these clusters too.
    pub fn stand_beside(&mut self, others: &[Beside], together: &Together) {
        for other in others {
            let file = together.kubeconfig.clone();
            let standing = beside::stand(other.name.clone(), file, self.out.clone(), self.seed);
            self.beside.push(spawn(standing).abort_handle());
        }
    }

    /// The first feeds begin with these objects of the session's own cluster and go on from there.
    pub fn begin_with(&mut self, objects: Cluster) {
        self.given = Some(objects);
    }

    /// Something about the rehearsal that is shown; its answer comes as a message.
    pub fn rehearse(&self, rehearsal: &Rehearsal, wish: Wish) {
        let (rehearsal, out) = (rehearsal.clone(), self.out.clone());
        spawn(async move {
            let answer = match rehearsals::carry_out(&rehearsal, wish).await {
                Ok(answer) => answer,
                Err(why) => Some(Msg::Notice(Notice::failure(why))),
            };
            if let Some(answer) = answer {
                tell(&out, answer).await;
            }
        });
    }

    /// What came of a rehearsal that is being ended, for the next one to be compared with.
    pub fn keep_outcome(&self, rehearsal: &Rehearsal) {
        let (rehearsal, out) = (rehearsal.clone(), self.out.clone());
        spawn(async move {
            if let Ok(outcome) = rehearsal.outcome().await {
                tell(&out, Msg::LastOutcome(Box::new(outcome))).await;
            }
        });
    }

    fn discover(&self) {
        let (client, out) = (self.client.clone(), self.out.clone());
        spawn(async move {
            let mut pause = std::time::Duration::from_millis(250);
            loop {
                match discovery::discover(&client).await {
                    Ok(kinds) => return tell(&out, Msg::Kinds(kinds)).await,
                    Err(failure) => {
                        let text = format!("the server does not list its kinds: {failure}");
                        tell(&out, Msg::Notice(Notice::warning(text))).await;
                    }
                }
                tokio::time::sleep(pause).await;
                pause = (pause * 2).min(std::time::Duration::from_secs(30));
            }
        });
    }

    /// The loop passes [`Msg::Kinds`] through here on its way to the model.
    pub fn know(&mut self, kinds: &[KindInfo]) {
        self.kinds = Some(Arc::new(kinds.to_vec()));
        self.begin_feeds();
        // Later ones would go on from too long ago.
        self.given = None;
    }

    /// Carries out everything that concerns the cluster or files; hands back what concerns the
    /// terminal or the loop itself.
    pub fn carry_out(&mut self, effect: Effect) -> Option<Effect> {
        match effect {
            Effect::Watch(wanted) => self.watch(wanted),
            Effect::Print(resource) => self.print(resource),
            Effect::Send { number, ops } => self.send(number, ops),
            Effect::Apply {
                number,
                key,
                object,
            } => self.apply(number, key, object),
            Effect::DryRun { view, op } => self.dry_run(view, op),
            Effect::Fetch { view, key } => self.fetch(view, key),
            Effect::Evict { number, pod } => self.evict(number, pod),
            Effect::Work(work) => self.work(work),
            Effect::Compute(computation) => self.compute(computation),
            Effect::Logs { view, streams } => self.follow_logs(view, streams),
            Effect::Past { view, orders } => self.look_back(view, orders),
            Effect::Save { name, text } => self.save(name, text),
            local => return Some(local),
        }
        None
    }

    fn watch(&mut self, wanted: Vec<Resource>) {
        self.wanted = wanted.into_iter().collect();
        let wanted = &self.wanted;
        self.feeds.retain(|resource, task| {
            let keep = wanted.contains(resource);
            if !keep {
                task.abort();
            }
            keep
        });
        self.begin_feeds();
    }

    /// Before discovery has answered there is nothing to ask for; the order comes again then.
    fn print(&mut self, resource: Option<Resource>) {
        if let Some(task) = self.table.take() {
            task.abort();
        }
        let followed = resource.and_then(|resource| self.followed(&resource));
        if let Some(followed) = followed.filter(|_| self.kinds.is_some()) {
            let following = tables::follow(self.client.clone(), followed, self.out.clone());
            self.table = Some(spawn(following).abort_handle());
        }
    }

    fn begin_feeds(&mut self) {
        let missing: Vec<Resource> = self
            .wanted
            .iter()
            .filter(|resource| !self.feeds.contains_key(*resource))
            .cloned()
            .collect();
        for resource in missing {
            if let Some(followed) = self.followed(&resource) {
                self.feeds.insert(resource, self.begin_feed(followed));
            }
        }
    }

    fn followed(&self, resource: &Resource) -> Option<Followed> {
        let discovered = self.kinds.as_ref().and_then(|kinds| {
            let kind = kinds.iter().find(|kind| kind.resource == *resource)?;
            Some((Name::new(&kind.version), Name::new(&kind.kind)))
        });
        let (version, kind) = discovered.or_else(|| {
            let (_, kind) = AT_ONCE.iter().find(|(known, _)| known == resource)?;
            Some((Name::new_static("v1"), Name::new_static(kind)))
        })?;
        Some(Followed {
            resource: resource.clone(),
            version,
            kind,
            namespace: Name::default(),
        })
    }

    fn begin_feed(&self, followed: Followed) -> AbortHandle {
        let (sender, mut receiver) = channel::<feed::Fed>(IN_FLIGHT);
        let out = self.out.clone();
        let client = self.client.clone();
        let start = Start {
            seed: self.seed,
            given: self.given.clone(),
        };
        let both = async move {
            let forward = async {
                while let Some((resource, event)) = receiver.recv().await {
                    tell(&out, Msg::Feed(resource, event)).await;
                }
            };
            tokio::join!(follow(client, followed, sender, start), forward);
        };
        spawn(both).abort_handle()
    }

    /// One write after the other; each is answered, and a refused one does not stop the rest: the
    /// journal shows which were refused.
    fn send(&self, number: u64, ops: Vec<Op>) {
        let (client, out, kinds) = (self.client.clone(), self.out.clone(), self.known());
        spawn(async move {
            for op in ops {
                let result = send(&client, &kinds, &op, Mode::Effective).await;
                let result = result.map(|_object| ()).map_err(|failure| failure.message);
                tell(&out, Msg::Sent { number, result }).await;
            }
        });
    }

    fn apply(&self, number: u64, key: ObjectKey, object: serde_json::Value) {
        let (client, out, kinds) = (self.client.clone(), self.out.clone(), self.known());
        spawn(async move {
            let result = apply(&client, &kinds, &key, &object).await;
            let result = result.map(|_object| ()).map_err(|failure| failure.message);
            tell(&out, Msg::Sent { number, result }).await;
        });
    }

    fn dry_run(&self, view: View, op: Op) {
        let (client, out, kinds) = (self.client.clone(), self.out.clone(), self.known());
        spawn(async move {
            let result = send(&client, &kinds, &op, Mode::DryRun).await;
            let answer = Answer::DryRun(result.map_err(|failure| failure.message));
            tell(&out, Msg::Answer(view, answer)).await;
        });
    }

    fn fetch(&self, view: View, key: ObjectKey) {
        let (client, out, kinds) = (self.client.clone(), self.out.clone(), self.known());
        spawn(async move {
            let result = fetch(&client, &kinds, &key)
                .await
                .map_err(|failure| failure.message);
            tell(&out, Msg::Answer(view, Answer::Fetched { key, result })).await;
        });
    }

    fn work(&self, work: Work) {
        let out = self.out.clone();
        spawn(async move {
            let view = work.view;
            match spawn_blocking(work.run).await {
                Ok(answer) => tell(&out, Msg::Answer(view, answer)).await,
                Err(error) => {
                    let text = format!("a computation for {} broke off: {error}", view.name());
                    tell(&out, Msg::Notice(Notice::failure(text))).await;
                }
            }
        });
    }

    fn compute(&self, computation: Computation) {
        let out = self.out.clone();
        spawn(async move {
            match spawn_blocking(computation.0).await {
                Ok(msg) => tell(&out, msg).await,
                Err(error) => {
                    let text = format!("a computation broke off: {error}");
                    tell(&out, Msg::Notice(Notice::failure(text))).await;
                }
            }
        });
    }

    fn evict(&self, number: u64, pod: Target) {
        let (client, out, kinds) = (self.client.clone(), self.out.clone(), self.known());
        spawn(async move {
            let answer = evict(&client, &kinds, &pod).await;
            tell(&out, Msg::Evicted { number, answer }).await;
        });
    }

    fn follow_logs(&mut self, view: View, streams: Vec<LogOrder>) {
        let wanted: BTreeSet<LogOrder> = streams.into_iter().collect();
        self.logs.retain(|order, task| {
            let keep = wanted.contains(order);
            if !keep {
                task.abort();
            }
            keep
        });
        for order in wanted {
            if !self.logs.contains_key(&order) {
                let task = self.begin_log(view, order.clone());
                self.logs.insert(order, task);
            }
        }
    }

    fn look_back(&self, view: View, orders: Vec<PastOrder>) {
        let (client, out) = (self.client.clone(), self.out.clone());
        spawn(async move {
            let found = logs::past(&client, &orders).await;
            let answer = Answer::Past(found.map_err(|failure| failure.message));
            tell(&out, Msg::Answer(view, answer)).await;
        });
    }

    fn begin_log(&self, view: View, order: LogOrder) -> AbortHandle {
        let (sender, mut receiver) = channel(IN_FLIGHT);
        let out = self.out.clone();
        let client = self.client.clone();
        let both = async move {
            let forward = async {
                while let Some(event) = receiver.recv().await {
                    tell(&out, Msg::Answer(view, log_answer(event))).await;
                }
            };
            tokio::join!(logs::follow(client, order, sender), forward);
        };
        spawn(both).abort_handle()
    }

    fn save(&self, name: String, text: String) {
        let out = self.out.clone();
        spawn(async move {
            let notice = match write_new(&name, text.as_bytes()).await {
                Ok(path) => Notice::done(format!("saved to {}", path.display())),
                Err(error) => Notice::failure(format!("cannot save `{name}`: {error}")),
            };
            tell(&out, Msg::Notice(notice)).await;
        });
    }

    fn known(&self) -> Arc<Vec<KindInfo>> {
        self.kinds.clone().unwrap_or_default()
    }
}

impl Drop for Outside {
    fn drop(&mut self) {
        for task in self
            .feeds
            .values()
            .chain(self.logs.values())
            .chain(&self.table)
            .chain(&self.told)
            .chain(&self.beside)
        {
            task.abort();
        }
    }
}

fn log_answer(event: LogEvent) -> Answer {
    match event {
        LogEvent::Lines { order, lines } => Answer::LogLines { order, lines },
        LogEvent::Ended { order, failure } => Answer::LogEnded {
            order,
            failure: failure.map(|failure: Failure| failure.message),
        },
    }
}

/// Writes into the current directory and never over something: a number is put before the ending.
pub(super) async fn write_new(name: &str, content: &[u8]) -> std::io::Result<PathBuf> {
    use tokio::io::AsyncWriteExt;
    const TRIES: u32 = 1_000;
    let plain = name.replace(['/', '\\', '\0'], "-");
    let (stem, ending) = plain.rsplit_once('.').unwrap_or((&plain, "txt"));
    for number in 0..TRIES {
        let candidate = match number {
            0 => format!("{stem}.{ending}"),
            number => format!("{stem}-{number}.{ending}"),
        };
        let path = std::path::absolute(Path::new(&candidate))?;
        let opened = tokio::fs::OpenOptions::new()
            .write(true)
            .create_new(true)
            .open(&path)
            .await;
        match opened {
            Ok(mut file) => {
                file.write_all(content).await?;
                file.flush().await?;
                return Ok(path);
            }
            Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {}
            Err(error) => return Err(error),
        }
    }
    Err(std::io::Error::from(std::io::ErrorKind::AlreadyExists))
}

/// The loop may have ended; then nobody listens, and nothing is lost.
async fn tell(out: &Sender<Msg>, msg: Msg) {
    let _ended = out.send(msg).await;
}
