//! Rows that were kept up change by change stand as a plain sort and filter of them would put them.

use std::cmp::Reverse;

use jiff::{SignedDuration, Timestamp};

use super::*;
use crate::k8s::Name;
use crate::stdx::rng::Stream;
use crate::tui::page::Surroundings;
use crate::tui::screen::Cell;
use crate::tui::table::Unit;

const START: Timestamp = Timestamp::UNIX_EPOCH;

#[derive(Clone, PartialEq, Debug)]
struct Item {
    id: u64,
    /// Its natural order; many share one.
    rank: u64,
    /// Some have none.
    size: Option<i64>,
    name: Name,
    since: Timestamp,
}

impl Record for Item {
    fn id(&self) -> Uid {
        Uid(Name::from(self.id.to_string()))
    }

    fn texts(&self, each: &mut dyn FnMut(&str)) {
        each(&self.name);
    }

    fn health(&self) -> Option<Health> {
        match self.rank {
            0 => Some(Health::Bad),
            1 => Some(Health::Good),
            _ => None,
        }
    }

    fn compare(&self, other: &Self) -> Ordering {
        self.rank.cmp(&other.rank)
    }
}

const COLUMNS: &[Column<Item>] = &[
    Column::new(
        "SIZE",
        |_, _| Cell::default(),
        |item: &Item, _| item.size.map_or(SortKey::Nothing, SortKey::Number),
    ),
    Column::new(
        "NAME",
        |_, _| Cell::default(),
        |item: &Item, _| SortKey::Text(item.name.clone()),
    ),
    Column::new(
        "AGE",
        |_, _| Cell::default(),
        |item: &Item, _| SortKey::Age(Reverse(item.since)),
    )
    .number(Unit::Seconds),
];
const SORTS: [Option<(usize, Sorted)>; 5] = [
    None,
    Some((0, Sorted::Ascending)),
    Some((0, Sorted::Descending)),
    Some((1, Sorted::Descending)),
    Some((2, Sorted::Ascending)),
];
/// The second and the third let through less than the one before.
const FILTERS: [&str; 5] = ["", "a", "ab", "size>2", "!b"];

fn filter(text: &str) -> Filter {
    Filter::parse(text, &["size", "name", "age"]).unwrap()
}

fn rules<'a>(
    sort: Option<(usize, Sorted)>,
    filter: &'a Filter,
    context: &'a Context<'a>,
) -> Rules<'a, Item> {
    Rules {
        columns: COLUMNS,
        sort,
        filter,
        context,
    }
}

fn item(id: u64, random: &mut Stream) -> Item {
    let letters = ["ab", "ba", "aab", "ccc", "b"];
    Item {
        id,
        rank: random.below(4),
        size: i64::try_from(random.below(6)).ok().filter(|size| *size > 0),
        name: Name::new_static(random.pick(&letters).unwrap()),
        since: START - SignedDuration::from_secs(i64::try_from(random.below(5)).unwrap()),
    }
}

/// What the rows should be, worked out without any of their short cuts.
struct Expected {
    /// Each with when it came.
    items: Vec<(usize, Item)>,
    came: usize,
}

impl Expected {
    fn put(&mut self, item: Item) {
        let known = self.items.iter_mut().find(|(_, known)| known.id == item.id);
        if let Some((_, known)) = known {
            *known = item;
        } else {
            self.came += 1;
            self.items.push((self.came, item));
        }
    }

    fn shown(&self, rules: &Rules<Item>) -> Vec<&Item> {
        let mut rows: Vec<&(usize, Item)> = self.items.iter().collect();
        rows.sort_by(|(came, item), (other_came, other)| {
            order(&rules.key(item), &rules.key(other), rules.direction())
                .then(item.rank.cmp(&other.rank))
                .then(came.cmp(other_came))
        });
        let items = rows.into_iter().map(|(_, item)| item);
        items.filter(|item| rules.lets_through(item)).collect()
    }
}

#[track_caller]
fn check(rows: &Rows<Item>, expected: &Expected, rules: &Rules<Item>) {
    let shown = expected.shown(rules);
    assert_eq!(rows.from(0).collect::<Vec<_>>(), shown);
    assert_eq!(
        (rows.len(), rows.all()),
        (shown.len(), expected.items.len())
    );
    for (_, item) in &expected.items {
        let place = shown.iter().position(|other| other.id == item.id);
        assert_eq!(rows.position(&item.id()), place);
        assert_eq!(rows.get(&item.id()), place.map(|_| item));
    }
    for health in [Health::Bad, Health::Good, Health::Waiting] {
        let count = shown.iter().filter(|item| item.health() == Some(health));
        assert_eq!(rows.count(health), count.count(), "{health:?}");
    }
}

#[test]
fn rows_that_come_change_and_go_stand_in_their_order() {
    let around = Surroundings::default();
    let context = around.context(START);
    for seed in 0..12 {
        let mut random = Stream::new(seed, "rows");
        let (mut sort, mut filtered) = (None, filter(""));
        let mut rows = Rows::default();
        let first: Vec<Item> = (0..seed * 3).map(|id| item(id, &mut random)).collect();
        let mut expected = Expected {
            items: first.iter().cloned().enumerate().collect(),
            came: first.len(),
        };
        rows.replace(first, &rules(sort, &filtered, &context));
        for _ in 0..300 {
            match random.below(20) {
                0 => {
                    sort = *random.pick(&SORTS).unwrap();
                    rows.sort(&rules(sort, &filtered, &context));
                }
                1 | 2 => {
                    let next = filter(random.pick(&FILTERS).unwrap());
                    let narrower = next.is_narrower(&filtered);
                    filtered = next;
                    rows.filter(&rules(sort, &filtered, &context), narrower);
                }
                3..8 => {
                    let id = random.below(50);
                    let known = expected.items.iter().position(|(_, item)| item.id == id);
                    let was_there = rows.remove(&Uid(Name::from(id.to_string())));
                    assert_eq!(was_there, known.is_some());
                    known.map(|index| expected.items.remove(index));
                }
                _ => {
                    let item = item(random.below(50), &mut random);
                    let rules = rules(sort, &filtered, &context);
                    let shown = rows.put(item.clone(), &rules);
                    assert_eq!(shown, rules.lets_through(&item));
                    expected.put(item);
                }
            }
            check(&rows, &expected, &rules(sort, &filtered, &context));
        }
    }
}

#[test]
fn amended_rows_stand_by_what_they_say_now() {
    let around = Surroundings::default();
    let context = around.context(START);
    let all = filter("");
    let rules = rules(Some((0, Sorted::Ascending)), &all, &context);
    let mut random = Stream::new(1, "rows");
    let mut rows = Rows::default();
    let items: Vec<Item> = (0..3).map(|id| item(id, &mut random)).collect();
    let mut expected = Expected {
        items: items.iter().cloned().enumerate().collect(),
        came: items.len(),
    };
    rows.replace(items, &rules);
    rows.amend(|item| item.size = item.size.map(|size| -size));
    rows.sort(&rules);
    for (_, item) in &mut expected.items {
        item.size = item.size.map(|size| -size);
    }
    check(&rows, &expected, &rules);
}

#[test]
fn the_order_of_ages_holds_while_a_filter_on_them_lets_more_through() {
    let around = Surroundings::default();
    let old_enough = filter("age>=60s");
    let oldest_first = Some((2, Sorted::Descending));
    let mut random = Stream::new(2, "rows");
    let mut rows = Rows::default();
    let items = (0..4).map(|id| Item {
        since: START - SignedDuration::from_secs(i64::try_from(id).unwrap() * 20),
        ..item(id, &mut random)
    });
    let first = around.context(START);
    rows.replace(items, &rules(oldest_first, &old_enough, &first));
    let shown = |rows: &Rows<Item>| rows.from(0).map(|item| item.id).collect::<Vec<_>>();
    assert_eq!(shown(&rows), [3]);
    let later = around.context(START + SignedDuration::from_secs(25));
    rows.filter(&rules(oldest_first, &old_enough, &later), false);
    assert_eq!(shown(&rows), [3, 2]);
}
