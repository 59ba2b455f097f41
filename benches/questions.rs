//! The operator's questions at full size: from the key to the frame that holds the answer.
//!
//! `cargo bench --bench questions` asks each of them with the keys of `tests/tui/questions.rs`, read-only,
//! of 5,000 nodes with 100,000 pods of 5,000 services. Before each asking a pod comes, so that no answer
//! is one that was there already; the answer counts once it knows of that pod. Pass a size
//! (`1000 20000`) for another one, `--frames` to see what was answered, a word to ask only what has it.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a benchmark that cannot be set up has nothing to say"
)]
#![expect(clippy::print_stdout, reason = "results go to the standard output")]

use std::cell::Cell;
use std::time::Duration;

use bayplan::k8s::{Change, ChangeKind};
use bayplan::tui::key::Chord;
use bayplan::tui::view::View;

#[path = "questions/incident.rs"]
mod incident;
#[path = "questions/session.rs"]
mod session;

use incident::{NODES_A_RACK, PENDING, machine, newcomer};
use session::Session;

const ASKINGS: usize = 7;
/// What the console makes in the background of the change before is over by then.
const QUIET: Duration = Duration::from_millis(2_500);
const LIMIT: Duration = Duration::from_mins(1);
/// Newcomers go to the racks from this one on.
const FIRST_RACK: usize = 17;

/// The world as the questions change it.
struct World {
    nodes: usize,
    newcomers: usize,
}

impl World {
    fn last_node(&self) -> usize {
        (FIRST_RACK * NODES_A_RACK + self.newcomers - 1) % self.nodes
    }

    fn last_rack(&self) -> usize {
        self.last_node() / NODES_A_RACK
    }

    /// A pod comes, and makes its machine the fullest.
    fn change(&mut self, session: &mut Session) {
        self.newcomers += 1;
        let node = self.last_node();
        let cluster = &session.model.cache.cluster;
        let pods = cluster.pods_on(&machine(node)).filter_map(|pod| pod.pod());
        let requested: i64 = pods.map(|pod| pod.requests.cpu_milli).sum();
        let least = i64::try_from(self.newcomers).unwrap();
        // The pod's second container asks for the rest.
        let cpu = 31_000 + 2 * least - requested - 100;
        let object = newcomer(self.newcomers, node, cpu);
        session.change(vec![Change {
            kind: ChangeKind::Added,
            object,
            previous: None,
        }]);
    }
}

/// What is asked, and how.
struct Question {
    name: &'static str,
    /// Where it is asked from, and what is typed before the clock runs.
    from: View,
    /// Keys; `"` types what follows it, `{}` in that is of this asking.
    keys: &'static str,
    word: fn(&World, usize) -> String,
    /// Whether the frame holds the answer.
    answered: fn(&Session, &World, &str) -> bool,
}

fn none(_: &World, _: usize) -> String {
    String::new()
}

/// The rack's row tells of all pods that the rack has now.
fn rack_answered(session: &Session, world: &World, _: &str) -> bool {
    let rack = world.last_rack();
    let first = rack * NODES_A_RACK;
    let cluster = &session.model.cache.cluster;
    let pods: usize = (first..first + NODES_A_RACK)
        .map(|node| cluster.pods_on(&machine(node)).count())
        .sum();
    let text = session.text();
    let name = format!(" r-{rack} ");
    let row = text
        .lines()
        .find(|line| line.contains(&name) && !line.contains("is lost"));
    let number = pods.to_string();
    row.is_some_and(|row| {
        row.split_whitespace()
            .filter(|word| *word == number)
            .count()
            >= 2
    })
}

fn pulse_answered(session: &Session, _: &World, words: &str) -> bool {
    session.model.summary.shown.version >= session.model.cache.version() && session.shows(words)
}

const QUESTIONS: &[Question] = &[
    Question {
        name: "3 why is this pod pending, what would let it run",
        from: View::Pods,
        keys: "/ \"{} enter W",
        word: |_, asking| format!("report-{:02}", asking % PENDING),
        answered: |session, _, word| session.shows(word) && session.shows("nodes fit"),
    },
    Question {
        name: "4 where would the pods of a drained node go, what breaks",
        from: View::Pods,
        keys: "/ \"{} enter A",
        word: |_, asking| format!("service-{}-6c9f8-07", 123 + 17 * asking),
        answered: |session, _, _| session.shows("requested of what is left"),
    },
    Question {
        name: "5 what does losing a rack cost",
        from: View::Pods,
        keys: "3 / \"{} enter",
        word: |world, _| format!("r-{}", world.last_rack()),
        answered: rack_answered,
    },
    Question {
        name: "  the same for all racks, kept up while it is looked at",
        from: View::Domains,
        keys: "",
        word: none,
        answered: rack_answered,
    },
    Question {
        name: "8 does it fit when it is scaled, and where",
        from: View::Workloads,
        keys: "/ \"{} enter s \"30",
        word: |_, asking| format!("service-{}", 1_200 + 17 * asking),
        answered: |session, _, _| session.shows("20 → 30") && session.shows("10 new pods: "),
    },
    Question {
        name: "  where would 5,000 more go, how many fit at most",
        from: View::Workloads,
        keys: "/ \"{} enter s \"5020",
        word: |_, asking| format!("service-{}", 1_201 + 20 * asking),
        answered: |session, _, _| session.shows("20 → 5020") && session.shows("5,000 new pods: "),
    },
    Question {
        name: "10 which nodes are full, how large is the largest hole",
        from: View::Pods,
        keys: "2",
        word: none,
        answered: |session, world, _| {
            session.shows("ROOM FOR MORE PODS OF") && session.shows(&machine(world.last_node()))
        },
    },
    Question {
        name: "11 what do failing pods share",
        from: View::Pods,
        keys: "1",
        word: none,
        answered: |session, world, _| pulse_answered(session, world, "failing pods share"),
    },
    Question {
        name: "12 which pods are on dead nodes, when do they leave",
        from: View::Pods,
        keys: "1",
        word: none,
        answered: |session, world, _| pulse_answered(session, world, "NotReady"),
    },
    Question {
        name: "13 which services have no ready endpoint or no budget left",
        from: View::Pods,
        keys: "1",
        word: none,
        answered: |session, world, _| pulse_answered(session, world, "no endpoint"),
    },
    Question {
        name: "  what are the fewest machines",
        from: View::Bays,
        keys: "m",
        word: none,
        answered: |session, _, _| {
            session.rests(None) && session.shows("machine") && !session.shows("is asked")
        },
    },
];

/// Of all askings but the first, which finds nothing ready.
struct Times {
    name: &'static str,
    first: Option<Duration>,
    rest: Vec<Option<Duration>>,
    /// The longest that a key on the way took to its frame.
    key: Duration,
}

fn main() {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let mut numbers = words.iter().filter_map(|word| word.parse::<usize>().ok());
    let (nodes, pods) = match (numbers.next(), numbers.next()) {
        (Some(nodes), Some(pods)) => (nodes, pods),
        _ => (5_000, 100_000),
    };
    let frames = words.iter().any(|word| word == "--frames");
    let wanted = |name: &str| {
        let mut parts = words
            .iter()
            .filter(|word| !word.starts_with("--") && word.parse::<usize>().is_err())
            .peekable();
        parts.peek().is_none() || parts.any(|part| name.contains(part.as_str()))
    };
    let mut session = Session::open(incident::objects(nodes, pods));
    session.rest(QUIET);
    let mut world = World {
        nodes,
        newcomers: 0,
    };
    println!("{nodes} nodes, {pods} pods; milliseconds from the last key to the answer's frame");
    println!("| | first | median | most | longest key before |\n|---|--:|--:|--:|--:|");
    for question in QUESTIONS.iter().filter(|question| wanted(question.name)) {
        let times = ask(question, &mut session, &mut world, frames);
        println!("{}", row(times));
    }
}

fn ask(question: &Question, session: &mut Session, world: &mut World, frames: bool) -> Times {
    let key = Cell::new(Duration::ZERO);
    let press = |session: &mut Session, chord: Chord| {
        let took = session.press(chord);
        key.set(key.get().max(took));
        took
    };
    let mut took = Vec::new();
    for asking in 0..ASKINGS {
        for _ in 0..4 {
            session.press(Chord::parse_sequence("esc").unwrap()[0]);
        }
        session.press(Chord::char(question.from.key()));
        session.press(Chord::parse_sequence("esc").unwrap()[0]);
        session.rest(QUIET);
        world.change(session);
        let word = (question.word)(world, asking);
        let mut chords = chords(question.keys, &word);
        let last = chords.pop();
        for chord in chords {
            press(session, chord);
        }
        let first_frame = last.map_or(Duration::ZERO, |chord| press(session, chord));
        let answered = session.until(LIMIT, &|session| (question.answered)(session, world, &word));
        took.push(answered.map(|more| first_frame + more));
        if frames && asking + 1 == ASKINGS || answered.is_none() {
            println!("{}", session.text());
        }
        if answered.is_none() {
            break;
        }
    }
    let rest = took.split_off(1);
    Times {
        name: question.name,
        first: took[0],
        rest,
        key: key.get(),
    }
}

fn chords(keys: &str, word: &str) -> Vec<Chord> {
    let mut chords = Vec::new();
    for part in keys.split(' ').filter(|part| !part.is_empty()) {
        match part.strip_prefix('"') {
            Some(text) => chords.extend(text.replace("{}", word).chars().map(Chord::char)),
            None => chords.extend(Chord::parse_sequence(part).unwrap()),
        }
    }
    chords
}

fn row(mut times: Times) -> String {
    let words = |time: Option<Duration>| match time {
        Some(time) => format!("{:.0}", time.as_secs_f64() * 1_000.0),
        None => format!("> {}", LIMIT.as_millis()),
    };
    // `None` is longer than anything.
    times.rest.sort_by_key(|time| time.unwrap_or(Duration::MAX));
    let middle = times.rest.get(times.rest.len() / 2).copied();
    let most = times.rest.last().copied();
    format!(
        "| {} | {} | {} | {} | {} |",
        times.name,
        words(times.first),
        middle.map_or("-".to_owned(), words),
        most.map_or("-".to_owned(), words),
        words(Some(times.key))
    )
}
