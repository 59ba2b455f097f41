//! The fewest bins, on 1,620 published vector packing instances and on the one-dimensional u120.
//!
//! The reference of an instance is its known optimum; where none is known it is the published lower
//! bound, and such instances are counted apart. `-- vectors 5000` spends 5,000 steps a bin instead
//! of the default, `-- vectors 5000 20` takes every 20th instance.

use std::collections::BTreeMap;
use std::io::Read;
use std::path::Path;

use bayplan::packing::vectors::{Effort, Instance, check, construct, fewest};
use bayplan::stdx::clock::instant;
use serde_json::json;

#[derive(Default)]
struct Sums {
    count: usize,
    first_fit: usize,
    published: usize,
    greedy: usize,
    ours: usize,
    reference: usize,
    proven: usize,
    better: usize,
    worse: usize,
    seconds: f64,
    seconds_max: f64,
}

/// The folder is `vbp/`; `bpp-1d/` lies beside it.
pub fn run(folder: &Path, arguments: &[String]) {
    let traces = folder.parent().unwrap_or(folder);
    let number = |place: usize| arguments.get(place).and_then(|text| text.parse().ok());
    let effort = Effort {
        steps: number(0).unwrap_or(Effort::default().steps),
        ..Effort::default()
    };
    let stride = number(1).map_or(1, |stride| usize::try_from(stride).unwrap_or(1).max(1));
    one_dimension(traces, effort);
    published(traces, effort, stride);
}

fn one_dimension(traces: &Path, effort: Effort) {
    let Ok(text) = std::fs::read_to_string(traces.join("bpp-1d/binpack1.txt")) else {
        println!("vectors: no bpp-1d/binpack1.txt, skipped");
        return;
    };
    let mut words = text.split_whitespace();
    let mut next = || words.next().unwrap_or_default();
    let instances: usize = next().parse().unwrap_or(0);
    let (mut optimal, mut ours, mut best) = (0, 0, 0);
    let start = instant();
    for _ in 0..instances {
        let _name = next();
        let capacity = next().parse().unwrap_or(0);
        let items = next().parse().unwrap_or(0);
        let known: usize = next().parse().unwrap_or(0);
        let items = (0..items)
            .map(|_| vec![next().parse().unwrap_or(0)])
            .collect();
        let Some(bins) = bins(&Instance::new(vec![capacity], items), effort) else {
            continue;
        };
        ours += bins.0;
        best += known;
        optimal += usize::from(bins.0 == known);
    }
    let line = json!({
        "case": "bpp-1d u120", "instances": instances, "optimal": optimal, "bins": ours,
        "optimum": best, "seconds": start.elapsed().as_secs_f64(),
    });
    println!("{line}");
}

/// Bins, the greedy start's bins, and whether they are proven the fewest.
fn bins<E: std::fmt::Display>(
    instance: &Result<Instance, E>,
    effort: Effort,
) -> Option<(usize, usize, bool)> {
    let instance = match instance {
        Ok(instance) => instance,
        Err(error) => {
            println!("vectors: {error}");
            return None;
        }
    };
    let found = fewest(instance, effort, &mut || true);
    if let Err(error) = check(instance, &found.packing) {
        println!("vectors: WRONG PACKING: {error}");
        return None;
    }
    Some((found.packing.bins.len(), found.greedy, found.is_proven()))
}

fn published(traces: &Path, effort: Effort, stride: usize) {
    let summary = std::fs::read_to_string(traces.join("vbp/Panigrahy_summary_known.csv"));
    let archive = std::fs::read(traces.join("vbp/Panigrahy_instances.tar.gz"));
    let (Ok(summary), Ok(archive)) = (summary, archive) else {
        println!("vectors: no vbp/Panigrahy_*, skipped");
        return;
    };
    let instances = unpack(&archive);
    let mut groups: BTreeMap<(String, bool), Sums> = BTreeMap::new();
    for row in summary.lines().skip(1).step_by(stride) {
        let cells: Vec<&str> = row.split('\t').collect();
        let [name, bound, optimum, published, ..] = cells.as_slice() else {
            continue;
        };
        let Some(text) = instances.get(*name) else {
            println!("vectors: {name} is not in the archive");
            continue;
        };
        let Some(instance) = parse(text) else {
            println!("vectors: {name} cannot be read");
            continue;
        };
        let known: Option<usize> = optimum.parse().ok();
        let Some(reference) = known.or_else(|| bound.parse().ok()) else {
            continue;
        };
        let published: usize = published.parse().unwrap_or(0);
        let start = instant();
        let instance = Ok::<_, std::convert::Infallible>(instance);
        let Some((ours, greedy, proven)) = bins(&instance, effort) else {
            continue;
        };
        let seconds = start.elapsed().as_secs_f64();
        let first_fit = instance.as_ref().map_or(0, |instance| {
            construct::first_fit_decreasing(instance).bins.len()
        });
        let class = name.split('_').next().unwrap_or_default().to_owned();
        for group in [class, "all".to_owned()] {
            let sums = groups.entry((group, known.is_some())).or_default();
            sums.count += 1;
            sums.first_fit += first_fit;
            sums.published += published;
            sums.greedy += greedy;
            sums.ours += ours;
            sums.reference += reference;
            sums.proven += usize::from(proven || known == Some(ours));
            sums.better += usize::from(ours < published);
            sums.worse += usize::from(ours > published);
            sums.seconds += seconds;
            sums.seconds_max = sums.seconds_max.max(seconds);
        }
    }
    report(&groups);
}

fn report(groups: &BTreeMap<(String, bool), Sums>) {
    let mean =
        |bins: usize, sums: &Sums| (bins as f64 - sums.reference as f64) / sums.count.max(1) as f64;
    for ((group, known), sums) in groups {
        let line = json!({
            "case": format!("vbp {group}"),
            "reference": if *known { "optimum" } else { "lower bound" },
            "instances": sums.count,
            "ffd_over": mean(sums.first_fit, sums),
            "best_of_351_over": mean(sums.published, sums),
            "greedy_over": mean(sums.greedy, sums),
            "ours_over": mean(sums.ours, sums),
            "optimal": sums.proven,
            "better_than_published": sums.better,
            "worse_than_published": sums.worse,
            "seconds": sums.seconds,
            "seconds_max": sums.seconds_max,
        });
        println!("{line}");
    }
    println!();
    println!(
        "mean bins over the reference       inst    FFD  best351  greedy   ours  optimal  better  worse  s max"
    );
    for ((group, known), sums) in groups {
        println!(
            "{group:8} {:24} {:6} {:6.3} {:8.3} {:7.3} {:6.3} {:8} {:7} {:6} {:6.2}",
            if *known { "optimum" } else { "lower bound" },
            sums.count,
            mean(sums.first_fit, sums),
            mean(sums.published, sums),
            mean(sums.greedy, sums),
            mean(sums.ours, sums),
            sums.proven,
            sums.better,
            sums.worse,
            sums.seconds_max,
        );
    }
}

/// The texts of a gzipped tar by file name without folder and ending.
fn unpack(archive: &[u8]) -> BTreeMap<String, String> {
    let mut bytes = Vec::new();
    let mut files = BTreeMap::new();
    if flate2::read::MultiGzDecoder::new(archive)
        .read_to_end(&mut bytes)
        .is_err()
    {
        return files;
    }
    let field = |header: &[u8]| {
        let text = header.split(|&byte| byte == 0).next().unwrap_or_default();
        String::from_utf8_lossy(text).trim().to_owned()
    };
    let mut rest = bytes.as_slice();
    while let Some((header, after)) = rest.split_at_checked(512) {
        let size = usize::from_str_radix(&field(&header[124..136]), 8).unwrap_or(0);
        let Some((body, _)) = after.split_at_checked(size) else {
            break;
        };
        let name = field(&header[..100]);
        if let Some(name) = name
            .rsplit('/')
            .next()
            .and_then(|name| name.strip_suffix(".vbp"))
        {
            files.insert(name.to_owned(), String::from_utf8_lossy(body).into_owned());
        }
        rest = after.get(size.next_multiple_of(512)..).unwrap_or_default();
    }
    files
}

fn parse(text: &str) -> Option<Instance> {
    let mut numbers = text.split_whitespace().map(|word| word.parse::<u64>().ok());
    let mut next = || numbers.next().flatten();
    let dimensions = next()?;
    let capacity = (0..dimensions)
        .map(|_| next())
        .collect::<Option<Vec<u64>>>()?;
    let mut items = Vec::new();
    for _ in 0..next()? {
        let sizes = (0..dimensions)
            .map(|_| next())
            .collect::<Option<Vec<u64>>>()?;
        items.extend(std::iter::repeat_n(sizes, usize::try_from(next()?).ok()?));
    }
    Instance::new(capacity, items).ok()
}
