//! Pictures of a small fleet, drawn as text.

use super::colouring::Colouring;
use super::gpus::Gpus;
use super::present::present;
use super::state::{State, View, Zoom};
use crate::k8s::Cluster;
use crate::k8s::build::{Draft, budget, cluster, node, pod, replica_set, stateful_set};
use crate::topology::Survey;
use crate::topology::level::levels;
use crate::tui::forecast::need::Figure;
use crate::tui::screen::Canvas;

/// Three zones, twelve racks, sixty machines of four shapes, and services of several kinds.
pub fn fleet() -> Cluster {
    let mut drafts: Vec<Draft> = Vec::new();
    let shapes = [
        ("16", "64Gi"),
        ("32", "64Gi"),
        ("16", "128Gi"),
        ("8", "32Gi"),
    ];
    let mut names = Vec::new();
    for zone in ["a", "b", "c"] {
        for rack in 1..=4 {
            for host in 1..=5 {
                let name = format!("{zone}{rack:02}-h{host:02}");
                let (cpu, memory) = shapes[(rack + host) % shapes.len()];
                let mut draft = node(&name)
                    .region("eu-west-1")
                    .zone(&format!("eu-west-1{zone}"))
                    .rack(&format!("{zone}{rack:02}"))
                    .power(&format!("p{}", rack % 2 + 1))
                    .cpu(cpu)
                    .memory(memory);
                if name == "a01-h03" {
                    draft = draft.not_ready();
                } else if name == "b02-h02" || name == "c04-h05" {
                    draft = draft.cordoned();
                }
                drafts.push(draft);
                names.push(name);
            }
        }
    }
    let services: &[(&str, &str, &str, usize, usize)] = &[
        ("shop/cart", "500m", "1Gi", 40, 1),
        ("shop/checkout", "1", "2Gi", 24, 7),
        ("shop/search", "2", "6Gi", 36, 11),
        ("shop/catalog", "250m", "3Gi", 50, 13),
        ("data/ledger", "4", "16Gi", 9, 17),
        ("data/cache", "1", "12Gi", 20, 3),
        ("core/auth", "500m", "512Mi", 2, 1),
        ("core/mail", "250m", "256Mi", 6, 5),
        ("ml/train", "7", "24Gi", 8, 9),
    ];
    for (place, (name, cpu, memory, count, stride)) in services.iter().enumerate() {
        let (namespace, app) = name.split_once('/').unwrap();
        drafts.push(replica_set(&format!("{name}-5c9")).owner("Deployment", app));
        drafts.push(budget(name).max_unavailable("20%"));
        for replica in 0..*count {
            let target = if app == "auth" {
                7
            } else {
                (place * 5 + replica * stride) % names.len()
            };
            drafts.push(
                pod(&format!("{namespace}/{app}-5c9-x{replica:02}q"))
                    .label("app", app)
                    .owner("ReplicaSet", &format!("{app}-5c9"))
                    .cpu(cpu)
                    .memory(memory)
                    .sidecar("proxy", "50m", "64Mi")
                    .node(&names[target]),
            );
        }
    }
    drafts.push(stateful_set("data/quorum").replicas(3));
    for (n, target) in [0, 1, 30].into_iter().enumerate() {
        drafts.push(
            pod(&format!("data/quorum-{n}"))
                .label("app", "quorum")
                .owner("StatefulSet", "quorum")
                .cpu("1")
                .memory("4Gi")
                .node(&names[target]),
        );
    }
    for name in &names {
        drafts.push(
            pod(&format!("kube-system/logs-{name}"))
                .owner("DaemonSet", "logs")
                .cpu("100m")
                .memory("128Mi")
                .node(name),
        );
    }
    cluster(&drafts)
}

pub fn plain(canvas: &Canvas) -> String {
    let mut out = String::new();
    for y in 0..canvas.height {
        let line: String = (0..canvas.width)
            .filter_map(|x| canvas.cell(x, y))
            .map(|cell| cell.glyph.as_str())
            .collect();
        out.push_str(line.trim_end());
        out.push('\n');
    }
    out
}

#[track_caller]
fn draw(state: &State, columns: u16, rows: u16) -> String {
    draw_of(&fleet(), state, columns, rows)
}

fn draw_of(cluster: &Cluster, state: &State, columns: u16, rows: u16) -> String {
    let survey = Survey::of(cluster);
    let levels = levels(cluster, &[]);
    let arrangement = state.arrangement(&survey, &levels);
    let view = View {
        survey: &survey,
        gpus: &Gpus::default(),
        levels: &levels,
        arrangement: &arrangement,
        need: Figure::Known {
            needs: 41,
            machines: 60,
        },
        now: "2026-01-01T02:00:00Z".parse().unwrap(),
    };
    plain(&present(state, view, None, (columns, rows)))
}

#[test]
fn a_real_machine_is_told_from_the_simulated_in_every_zoom() {
    let machine = |name: &str, runtime: &str| node(name).label("bayplan.dev/runtime", runtime);
    let mixed = cluster(&[machine("vm", "container"), machine("a01", "simulated")]);
    let simulated = cluster(&[machine("a01", "simulated"), node("a02")]);
    for zoom in [Zoom::Map, Zoom::Tiles, Zoom::Node] {
        let state = State {
            zoom,
            cursor: Some("vm".into()),
            ..State::default()
        };
        for (columns, rows) in [(80, 20), (120, 32)] {
            let picture = draw_of(&mixed, &state, columns, rows);
            assert!(picture.contains("◆ real"), "{picture}");
            let picture = draw_of(&simulated, &state, columns, rows);
            assert!(!picture.contains('◆'), "{picture}");
        }
    }
}

#[test]
#[ignore = "shows pictures"]
fn pictures() {
    let zoom: String = "map".to_owned();
    let state = State {
        cursor: Some("a01-h03".into()),
        ..State::default()
    };
    for (columns, rows) in [(80, 20), (120, 32), (200, 56)] {
        println!(
            "== {zoom} {columns}x{rows}\n{}",
            draw(&state, columns, rows)
        );
    }
    let state = State {
        colouring: Colouring::Workload,
        ..state
    };
    println!("== workload\n{}", draw(&state, 120, 32));
    let state = State {
        zoom: Zoom::Tiles,
        ..state
    };
    println!("== tiles\n{}", draw(&state, 80, 20));
    println!("== tiles\n{}", draw(&state, 120, 32));
    let state = State {
        zoom: Zoom::Node,
        cursor: Some("a01-h01".into()),
        ..state
    };
    println!("== node\n{}", draw(&state, 80, 20));
    println!("== node\n{}", draw(&state, 120, 32));
    println!("== node\n{}", draw(&state, 200, 56));
}
