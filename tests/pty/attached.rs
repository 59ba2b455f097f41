//! What the console asks of a cluster that others need too, and what it does when that cluster is
//! slow, refuses or goes away.

#![expect(
    clippy::indexing_slicing,
    reason = "a test that cannot go on has failed"
)]

use std::collections::BTreeSet;
use std::time::Duration;

use bayplan::connect::{Access, Session, Target};
use bayplan::k8s::{Name, Resource, resources};
use bayplan::stdx::clock;
use bayplan::tui::cache::{FeedEvent, FeedState};
use bayplan::tui::command::table;
use bayplan::tui::key::{Chord, Key};
use bayplan::tui::runtime::feed::{Fed, Followed, Start, follow};
use bayplan::tui::view::View;
use serde_json::{Value, json};
use tokio::sync::mpsc::{Receiver, channel};

use super::proxy::{Asked, Fate, Proxy};
use super::{Console, PATIENCE};

const MAPS: &str = "/api/v1/configmaps";
const DEPLOYMENT: &str = "/apis/apps/v1/namespaces/default/deployments/cart";

fn shop() -> Vec<Value> {
    let labels = json!({"app": "cart"});
    vec![
        json!({"apiVersion": "lab.bayplan.dev/v1alpha1", "kind": "NodePool",
            "metadata": {"name": "r1"}, "spec": {"count": 3, "zone": "za", "rack": "r1",
                "machineType": {"name": "m", "capacity":
                    {"cpu": "4", "memory": "16Gi", "pods": "20"}}}}),
        json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "cart"},
            "spec": {"replicas": 6, "selector": {"matchLabels": labels}, "template": {
                "metadata": {"labels": labels}, "spec": {"containers": [{"name": "app",
                    "image": "cart:1", "resources": {"requests": {"cpu": "500m"}}}]}}}}),
    ]
}

fn session(proxy: &Proxy) -> Session {
    let target = Target::Kubeconfig {
        context: None,
        file: Some(proxy.kubeconfig.clone()),
    };
    let opening = Session::open(target, Access::ReadWrite, None);
    proxy.runtime.block_on(opening).unwrap()
}

/// One kind followed through the proxy.
struct Feed<'a> {
    proxy: &'a Proxy,
    fed: Receiver<Fed>,
}

impl<'a> Feed<'a> {
    fn of(proxy: &'a Proxy, resource: Resource, kind: &str) -> Self {
        let (sender, fed) = channel(64);
        let followed = Followed {
            resource,
            version: "v1".into(),
            kind: kind.into(),
            namespace: Name::default(),
        };
        let start = Start {
            seed: 1,
            given: None,
        };
        let client = session(proxy).client().clone();
        proxy.runtime.spawn(follow(client, followed, sender, start));
        Self { proxy, fed }
    }

    #[track_caller]
    fn wait_until(&mut self, what: &str, holds: impl Fn(&FeedEvent) -> bool) {
        let fed = &mut self.fed;
        let found = self.proxy.runtime.block_on(async {
            tokio::time::timeout(PATIENCE, async {
                loop {
                    match fed.recv().await {
                        Some((_, event)) if holds(&event) => return true,
                        Some(_) => {}
                        None => return false,
                    }
                }
            })
            .await
        });
        assert!(found.unwrap_or(false), "waited in vain until {what}");
    }

    fn is_live(&mut self) {
        self.wait_until("it is live", |event| {
            matches!(event, FeedEvent::State(FeedState::Live { .. }))
        });
    }

    fn has(&mut self, name: &str) {
        self.wait_until("an object came", |event| match event {
            FeedEvent::Changed(changes) => {
                changes.iter().any(|(_, object)| object.key.name == *name)
            }
            _ => false,
        });
    }
}

fn send(session: &Session, proxy: &Proxy, name: &str) -> Result<Value, kube::Error> {
    let map = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}});
    let request = http::Request::post("/api/v1/namespaces/default/configmaps")
        .header("content-type", "application/json")
        .body(map.to_string().into_bytes())
        .unwrap();
    proxy
        .runtime
        .block_on(session.client().request::<Value>(request))
}

fn watches(proxy: &Proxy, path: &str) -> Vec<Asked> {
    let asked = proxy.asked();
    asked
        .into_iter()
        .filter(|one| one.is("watch", path))
        .collect()
}

#[test]
fn a_watch_that_was_cut_goes_on_from_its_last_revision() {
    let proxy = Proxy::start(Vec::new());
    let writer = session(&proxy);
    let mut feed = Feed::of(&proxy, resources::CONFIG_MAPS, "ConfigMap");
    feed.is_live();
    send(&writer, &proxy, "before").unwrap();
    feed.has("before");
    proxy.cut();
    feed.is_live();
    send(&session(&proxy), &proxy, "after").unwrap();
    feed.has("after");
    assert_eq!(proxy.count("list", MAPS), 1);
    let watches = watches(&proxy, MAPS);
    let revisions: Vec<u64> = watches.iter().map(Asked::revision).collect();
    assert!(
        matches!(revisions.as_slice(), [first, second] if second > first),
        "{revisions:?}"
    );
}

#[test]
fn a_revision_that_is_too_old_is_listed_again_once() {
    let proxy = Proxy::start(Vec::new());
    let mut feed = Feed::of(&proxy, resources::CONFIG_MAPS, "ConfigMap");
    feed.is_live();
    let gone = std::sync::atomic::AtomicBool::new(false);
    proxy.behave(move |asked| {
        let is_first =
            asked.is("watch", MAPS) && !gone.swap(true, std::sync::atomic::Ordering::SeqCst);
        if is_first {
            Fate::Status(410)
        } else {
            Fate::Pass
        }
    });
    proxy.cut();
    feed.is_live();
    assert_eq!(proxy.count("list", MAPS), 2);
    assert_eq!(proxy.count("watch", MAPS), 3);
}

/// What a server that is away is asked: at least so long after the question before.
const PAUSES: [Duration; 3] = [
    Duration::from_millis(250),
    Duration::from_millis(500),
    Duration::from_secs(1),
];

#[track_caller]
fn pauses_grow(asked: &[Asked]) {
    assert!(asked.len() > PAUSES.len(), "{asked:?}");
    for (pair, least) in asked.windows(2).zip(PAUSES) {
        let pause = pair[1].at.duration_since(pair[0].at);
        assert!(pause >= least, "{pause:?} is less than {least:?}");
    }
}

#[test]
fn a_server_that_refuses_is_asked_ever_less_often() {
    let proxy = Proxy::start(Vec::new());
    let kinds = [
        (resources::CONFIG_MAPS, "ConfigMap", MAPS, 429),
        (resources::SERVICES, "Service", "/api/v1/services", 500),
        (resources::SECRETS, "Secret", "/api/v1/secrets", 503),
    ];
    let left = std::sync::Mutex::new([3; 3]);
    proxy.behave(move |asked| {
        let place = kinds_of(&asked.path);
        let mut left = left.lock().unwrap();
        match place {
            Some((place, code)) if left[place] > 0 => {
                left[place] -= 1;
                Fate::Status(code)
            }
            _ => Fate::Pass,
        }
    });
    let feeds = kinds.map(|(resource, kind, path, _)| (Feed::of(&proxy, resource, kind), path));
    for (mut feed, path) in feeds {
        feed.is_live();
        let asked = proxy.asked();
        let lists: Vec<Asked> = asked
            .into_iter()
            .filter(|one| one.is("list", path))
            .collect();
        assert_eq!(lists.len(), 4, "{path}");
        pauses_grow(&lists);
    }
}

fn kinds_of(path: &str) -> Option<(usize, u16)> {
    match path {
        MAPS => Some((0, 429)),
        "/api/v1/services" => Some((1, 500)),
        "/api/v1/secrets" => Some((2, 503)),
        _ => None,
    }
}

#[test]
fn watches_that_end_at_once_are_not_opened_without_a_pause() {
    let proxy = Proxy::start(Vec::new());
    proxy.behave(|asked| match asked.verb() {
        "watch" => Fate::Empty,
        _ => Fate::Pass,
    });
    let mut feed = Feed::of(&proxy, resources::CONFIG_MAPS, "ConfigMap");
    for _ in 0..=PAUSES.len() {
        feed.is_live();
    }
    pauses_grow(&watches(&proxy, MAPS));
    assert_eq!(proxy.count("list", MAPS), 1);
}

#[test]
fn a_write_whose_answer_is_lost_is_sent_once() {
    let proxy = Proxy::start(Vec::new());
    let session = session(&proxy);
    // The connection is known to be good.
    send(&session, &proxy, "first").unwrap();
    for fate in [
        Fate::AnswerLost,
        Fate::Truncated(20),
        Fate::Status(429),
        Fate::Status(503),
        Fate::Status(504),
    ] {
        let before = proxy.asked().len();
        proxy.behave(move |_| fate);
        send(&session, &proxy, &format!("second-{before}")).unwrap_err();
        assert_eq!(proxy.asked().len(), before + 1, "{fate:?}");
    }
}

fn console(proxy: &Proxy, arguments: &[&str]) -> Console {
    let kubeconfig = proxy.kubeconfig.to_str().unwrap();
    Console::start(&[arguments, &["--kubeconfig", kubeconfig]].concat(), &[])
}

/// Waits for three seconds without a request.
#[track_caller]
fn nothing_is_asked(proxy: &Proxy, console: &mut Console) {
    let deadline = clock::instant() + PATIENCE;
    let mut since = (proxy.asked().len(), clock::instant());
    while since.1.elapsed() < Duration::from_secs(3) {
        console.take(Duration::from_millis(100));
        let count = proxy.asked().len();
        if count != since.0 {
            since = (count, clock::instant());
        }
        assert!(clock::instant() < deadline, "{:?}", proxy.asked().last());
    }
}

#[test]
fn a_lost_connection_keeps_its_picture_and_says_so() {
    let proxy = Proxy::start(shop());
    let mut console = console(&proxy, &["workloads"]);
    let shows = |console: &Console, text: &str| console.text().contains(text);
    console.wait_until("cart runs", |console| {
        shows(console, "live") && shows(console, "6/6")
    });
    nothing_is_asked(&proxy, &mut console);
    let lists = proxy.counts("list");
    for (path, count) in proxy.counts("watch") {
        assert_eq!(count, 1, "watches of {path}");
    }
    proxy.behave(|_| Fate::Status(503));
    proxy.cut();
    console.wait_until("the picture is dated", |console| {
        shows(console, "CONNECTION LOST: this picture is ") && shows(console, "6/6")
    });
    proxy.behave(|_| Fate::Pass);
    console.wait_until("it is live again", |console| {
        !shows(console, "CONNECTION LOST") && shows(console, "live") && shows(console, "6/6")
    });
    assert_eq!(proxy.counts("list"), lists, "nothing is listed again");
    console.keys("\u{3}");
    console.wait_for_end();
}

fn bytes(chord: Chord) -> String {
    let plain = match chord.key {
        Key::Char(letter) if chord.ctrl => {
            char::from(u8::try_from(letter).unwrap() & 0x1f).to_string()
        }
        Key::Char(letter) => letter.to_string(),
        Key::Enter => "\r".into(),
        Key::Esc => "\u{1b}".into(),
        Key::Tab => "\t".into(),
        Key::BackTab => "\u{1b}[Z".into(),
        Key::Backspace => "\u{7f}".into(),
        Key::Delete => "\u{1b}[3~".into(),
        Key::Up => "\u{1b}[A".into(),
        Key::Down => "\u{1b}[B".into(),
        Key::Right => "\u{1b}[C".into(),
        Key::Left => "\u{1b}[D".into(),
        Key::Home => "\u{1b}[H".into(),
        Key::End => "\u{1b}[F".into(),
        Key::PageUp => "\u{1b}[5~".into(),
        Key::PageDown => "\u{1b}[6~".into(),
        Key::Function(number @ 1..=4) => format!("\u{1b}O{}", char::from(b'O' + number)),
        Key::Function(number) => {
            let code = [15, 17, 18, 19, 20, 21, 23, 24][usize::from(number) - 5];
            format!("\u{1b}[{code}~")
        }
    };
    if chord.alt {
        format!("\u{1b}{plain}")
    } else {
        plain
    }
}

/// All keys of all commands but those that leave the program or its views.
fn keys() -> BTreeSet<String> {
    let entries = table::ALL.iter().copied().flatten();
    let left_out = ["quit", "suspend", "rehearse"];
    entries
        .filter(|entry| !left_out.contains(&entry.word))
        .flat_map(|entry| {
            entry
                .keys
                .iter()
                .filter_map(|keys| Chord::parse_sequence(keys))
        })
        .map(|chords| chords.into_iter().map(bytes).collect())
        .collect()
}

#[test]
fn a_read_only_console_only_reads_whatever_is_pressed() {
    let proxy = Proxy::start(shop());
    let mut console = console(&proxy, &["pods", "--read-only"]);
    console.wait_for_data();
    let keys = keys();
    assert!(keys.contains("!d") && keys.len() > 60, "{keys:?}");
    for view in View::ALL {
        for key in &keys {
            // What asks is answered, but for the question whether to quit.
            let answer = if key == "q" { "" } else { "\ry" };
            console.keys(&format!("{}{key}{answer}\u{1b}\u{1b}\u{1b}", view.key()));
            while console.take(Duration::ZERO) {}
        }
        console.keys("?");
        console.wait_until("all was pressed", |console| {
            console.text().contains("keys and words")
        });
        console.keys("\u{1b}");
    }
    console.signal(rustix::process::Signal::TERM);
    console.wait_for_end();
    let asked = proxy.asked();
    let writes: Vec<&Asked> = asked.iter().filter(|one| one.is_write()).collect();
    assert!(writes.is_empty(), "{writes:?}");
    let acts = ["/exec", "/attach", "/portforward", "/proxy"];
    for one in &asked {
        assert!(!acts.iter().any(|act| one.path.ends_with(act)), "{one:?}");
    }
    assert!(!proxy.counts("watch").is_empty() && !proxy.counts("list").is_empty());
}

#[test]
fn a_change_in_the_console_whose_answer_is_lost_is_sent_once() {
    let proxy = Proxy::start(shop());
    let mut console = console(&proxy, &["workloads"]);
    let shows = |console: &Console, text: &str| console.text().contains(text);
    console.wait_until("cart runs", |console| {
        shows(console, "live") && shows(console, "6/6")
    });
    proxy.behave(|asked| {
        let is_real = asked.is_write() && !asked.query.contains("dryRun");
        if is_real {
            Fate::AnswerLost
        } else {
            Fate::Delayed(Duration::from_millis(50))
        }
    });
    console.keys("s");
    console.wait_until("the editor is open", |console| shows(console, "replicas 6"));
    console.keys("\u{8}7\r");
    console.wait_until("it is scaled or asks", |console| {
        shows(console, "7/7") || shows(console, "enter send")
    });
    if !shows(&console, "7/7") {
        console.keys("\r");
    }
    console.wait_until("the server did it", |console| shows(console, "7/7"));
    nothing_is_asked(&proxy, &mut console);
    let asked = proxy.asked();
    let sent = asked.iter().filter(|one| {
        one.is_write() && one.path.starts_with(DEPLOYMENT) && !one.query.contains("dryRun")
    });
    assert_eq!(sent.count(), 1);
    console.keys("\u{3}");
    console.wait_for_end();
}
