//! Pictures of losses, drawn as text.

use std::sync::Arc;

use super::present::present;
use super::state::{Answered, Cursor, State};
use crate::k8s::Cluster;
use crate::sched::Snapshot;
use crate::topology::Survey;
use crate::topology::level::levels;
use crate::tui::forecast::domain_loss::lose;
use crate::tui::pages::bays::tests::{fleet, plain};

fn state(cluster: &Cluster) -> State {
    let mut state = State {
        survey: Arc::new(Survey::of(cluster)),
        levels: levels(cluster, &[]),
        ..State::default()
    };
    state.rate();
    answer(cluster, &mut state);
    state
}

fn answer(cluster: &Cluster, state: &mut State) {
    let snapshot = Snapshot::of(cluster);
    let domains = state.domains.clone().unwrap();
    for domain in &domains.list {
        let loss = lose(&snapshot, &state.survey, &domain.nodes);
        state.answers.insert(domain.name.clone(), (1, loss));
    }
    state.answered = Some(Answered {
        at: "2026-01-01T02:00:00Z".parse().unwrap(),
        seconds: 0.08,
        version: 1,
    });
    state.sort();
}

#[test]
#[ignore = "shows pictures"]
fn pictures() {
    let cluster = fleet();
    let mut state = state(&cluster);
    for (columns, rows) in [(80, 20), (120, 32), (200, 56)] {
        println!(
            "== {columns}x{rows}\n{}",
            plain(&present(&state, 1, (columns, rows)))
        );
    }
    state.set_cursor(12);
    println!(
        "{:?}\n{}",
        state.cursor,
        plain(&present(&state, 1, (120, 32)))
    );
    state.shift_level(-1);
    answer(&cluster, &mut state);
    println!("== zones\n{}", plain(&present(&state, 1, (120, 32))));
}

#[test]
fn the_worst_domain_comes_first_and_the_cursor_goes_on_into_the_matrix() {
    let cluster = fleet();
    let mut state = state(&cluster);
    let name = |place: usize| state.name(state.order[place]);
    assert_eq!(name(0), "a02", "both replicas of auth are there");
    assert_eq!(name(1), "a01", "two of three voters are there");
    assert_eq!(state.blasts[state.order[1]].quorums_broken, 1);
    assert_eq!(state.blasts[state.order[2]].quorums_broken, 0);
    state.set_cursor(0);
    assert_eq!(state.cursor, Some(Cursor::Domain("a02".into())));
    state.set_cursor(state.order.len());
    assert!(matches!(state.cursor, Some(Cursor::Workload(_))));
    assert_eq!(state.place_of_cursor(), state.order.len());
    assert!(state.shift_level(-1), "zones are larger than racks");
    assert_eq!(state.level().unwrap().title, "zone");
    state.shift_level(-1);
    assert!(!state.shift_level(-1), "regions are the largest");
}
