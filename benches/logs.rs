//! The log store: lines in, bytes on disk, and how long a search through a gigabyte takes.
//!
//! One JSON line a case. `cargo bench --bench logs -- 200` writes 200 MB of text instead of 1,000. The
//! text is that of services (access logs, JSON, a stack trace now and then) with numbers that do not
//! repeat. Beside it, in the same run, `gzip -1` and `grep` over the same text as one plain file.

#![expect(clippy::print_stdout, reason = "the lines are the result")]
#![expect(clippy::disallowed_methods, reason = "a benchmark reads the clock")]
#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a benchmark")]

use std::fmt::Write as _;
use std::fs::{self, File};
use std::io::{BufWriter, Write};
use std::ops::ControlFlow;
use std::path::Path;
use std::process::Command;
use std::time::Instant;

use bayplan::logstore::{Bounds, Grep, Labels, Query, Store};
use bayplan::stdx::rng::Stream;

const PODS: u64 = 40;
/// Lines of all containers a second, in the time that the text tells of.
const LINES_A_SECOND: i64 = 5_000;
const SECOND: i64 = 1_000_000_000;
const RARE: &str = "order 4711-0815 vanished";

fn main() {
    let megabytes: usize = std::env::args()
        .skip(1)
        .find_map(|argument| argument.parse().ok())
        .unwrap_or(1_000);
    let folder = std::env::temp_dir().join(format!("bayplan-bench-logs-{}", std::process::id()));
    fs::create_dir_all(&folder).unwrap();
    let (text_bytes, lines) = ingest(&folder, megabytes << 20);
    search(&folder.join("store"), lines);
    beside(&folder.join("plain.txt"), text_bytes);
    fs::remove_dir_all(&folder).unwrap();
}

fn labels(pod: u64, container: &str) -> Labels {
    Labels {
        namespace: "shop".into(),
        pod: format!("service-{pod}"),
        uid: format!("uid-{pod}"),
        container: container.into(),
        node: "here".into(),
        labels: [("app".to_owned(), format!("service-{}", pod / 4))].into(),
    }
}

fn line(out: &mut String, random: &mut Stream) {
    const PATHS: [&str; 6] = [
        "/",
        "/cart",
        "/checkout",
        "/api/items",
        "/api/search",
        "/healthz",
    ];
    out.clear();
    let path = random.pick(&PATHS).unwrap();
    let (id, ms) = (random.next_u64(), random.below(2_000));
    let _infallible = match random.below(20) {
        0..12 => write!(
            out,
            "10.42.{}.{} - - \"GET {path}?id={} HTTP/1.1\" 200 {} \"-\" \"Mozilla/5.0 (X11; Linux x86_64)\" {ms}ms",
            random.below(4),
            random.below(250),
            id % 1_000_000,
            random.below(90_000),
        ),
        12..19 => write!(
            out,
            "{{\"level\":\"info\",\"msg\":\"request served\",\"path\":\"{path}\",\"trace\":\"{id:016x}\",\"ms\":{ms},\"user\":{}}}",
            id % 50_000,
        ),
        _ => write!(
            out,
            "WARN  upstream timeout after {ms}ms route={path} trace={id:016x} at com.example.shop.Client.call(Client.java:{})",
            id % 900,
        ),
    };
}

/// Writes the same text into the store and into a plain file; only the store is timed.
fn ingest(folder: &Path, bytes: usize) -> (usize, u64) {
    let bounds = Bounds {
        bytes: u64::MAX,
        ..Bounds::default()
    };
    let (mut store, _) = Store::open(&folder.join("store"), bounds).unwrap();
    let mut plain = BufWriter::new(File::create(folder.join("plain.txt")).unwrap());
    let mut random = Stream::new(7, "bench logs");
    let streams: Vec<u32> = (0..PODS)
        .map(|pod| store.stream(&labels(pod, "app")))
        .collect();
    let (mut size, mut count) = (0, 0);
    let mut spent = std::time::Duration::ZERO;
    let mut batch: Vec<(u64, String)> = Vec::new();
    let mut text = String::new();
    while size < bytes {
        batch.clear();
        for _ in 0..10_000 {
            line(&mut text, &mut random);
            batch.push((random.below(PODS), text.clone()));
        }
        batch[0].1 = if count == 0 {
            RARE.to_owned()
        } else {
            batch[0].1.clone()
        };
        for (_, text) in &batch {
            writeln!(plain, "{text}").unwrap();
            size += text.len() + 1;
        }
        let began = Instant::now();
        for (pod, text) in &batch {
            let stream = streams[usize::try_from(*pod).unwrap()];
            let at = i64::try_from(count).unwrap() * (SECOND / LINES_A_SECOND);
            store.append(stream, at, false, text.as_bytes());
            count += 1;
            if store.is_full() {
                store.flush().unwrap();
            }
        }
        spent += began.elapsed();
    }
    let began = Instant::now();
    store.flush().unwrap();
    store.sync().unwrap();
    spent += began.elapsed();
    plain.flush().unwrap();
    let seconds = spent.as_secs_f64();
    let megabytes = size as f64 / 1e6;
    println!(
        "{{\"case\":\"ingest\",\"text_mb\":{megabytes:.0},\"lines\":{count},\"lines_per_s\":{:.0},\"mb_per_s\":{:.0},\"disk_bytes_per_mb\":{:.0}}}",
        count as f64 / seconds,
        megabytes / seconds,
        store.bytes() as f64 / megabytes,
    );
    (size, count)
}

fn search(folder: &Path, lines: u64) {
    let began = Instant::now();
    let (store, problems) = Store::open(folder, Bounds::default()).unwrap();
    println!(
        "{{\"case\":\"open\",\"ms\":{:.1},\"problems\":{}}}",
        began.elapsed().as_secs_f64() * 1e3,
        problems.len()
    );
    let reader = store.reader();
    let end = i64::try_from(lines).unwrap() * (SECOND / LINES_A_SECOND);
    let grep = |text: &str| Some(Grep::parse(text).unwrap());
    let cases: [(&str, Query); 5] = [
        (
            "text that occurs once, all",
            Query {
                grep: grep(RARE),
                ..Query::default()
            },
        ),
        (
            "text that never occurs, all",
            Query {
                grep: grep("no such text"),
                ..Query::default()
            },
        ),
        (
            "expression, all",
            Query {
                grep: grep("/timeout after 1\\d{3}ms .*checkout/"),
                ..Query::default()
            },
        ),
        (
            "a pod's lines of one minute",
            Query {
                pods: vec!["service-7".to_owned()],
                since: Some(end / 2),
                until: Some(end / 2 + 60 * SECOND),
                ..Query::default()
            },
        ),
        ("everything", Query::default()),
    ];
    for (name, query) in cases {
        let began = Instant::now();
        let answer = reader.search(&query, &mut |_line| ControlFlow::Continue(()));
        tell(name, began, answer.lines);
    }
    let began = Instant::now();
    let query = Query {
        pods: vec!["service-7".to_owned()],
        ..Query::default()
    };
    let (last, _) = reader.last(&query, 1_000);
    tell("a pod's last 1,000 lines", began, last.len() as u64);
}

fn tell(name: &str, began: Instant, found: u64) {
    let ms = began.elapsed().as_secs_f64() * 1e3;
    println!("{{\"case\":\"search\",\"what\":\"{name}\",\"found\":{found},\"ms\":{ms:.1}}}");
}

/// The plain tools over the plain text.
fn beside(plain: &Path, bytes: usize) {
    for (name, program, arguments) in [
        (
            "grep -cF of the text that occurs once",
            "grep",
            vec!["-cF", RARE],
        ),
        (
            "grep -cE of the expression",
            "grep",
            vec!["-cE", "timeout after 1[0-9]{3}ms .*checkout"],
        ),
        ("gzip -1", "gzip", vec!["-1", "-c"]),
    ] {
        let began = Instant::now();
        let output = Command::new(program).args(&arguments).arg(plain).output();
        let Ok(output) = output else {
            println!("{{\"case\":\"beside\",\"what\":\"{name}\",\"skipped\":true}}");
            continue;
        };
        println!(
            "{{\"case\":\"beside\",\"what\":\"{name}\",\"ms\":{:.1},\"bytes_per_mb\":{:.0}}}",
            began.elapsed().as_secs_f64() * 1e3,
            output.stdout.len() as f64 / (bytes as f64 / 1e6),
        );
    }
}
