//! The names that a mistyped one may have meant.

/// At most `most` of `names`, the nearest first: those within a third of the word's length, or that
/// contain it.
pub fn nearest<'a>(word: &str, names: impl Iterator<Item = &'a str>, most: usize) -> Vec<&'a str> {
    let bound = (word.chars().count() / 3).max(2);
    let mut found: Vec<(usize, &str)> = names
        .filter_map(|name| {
            let distance = distance(word, name);
            let is_near = distance <= bound;
            let contains = word.len() > 2 && name.contains(word);
            (is_near || contains).then_some((distance, name))
        })
        .collect();
    found.sort_unstable();
    found.dedup();
    found.truncate(most);
    found.into_iter().map(|(_, name)| name).collect()
}

/// Levenshtein's distance.
fn distance(left: &str, right: &str) -> usize {
    let right: Vec<char> = right.chars().collect();
    let mut row: Vec<usize> = (0..=right.len()).collect();
    for (place, letter) in left.chars().enumerate() {
        let mut diagonal = place;
        let mut before = place + 1;
        if let Some(first) = row.first_mut() {
            *first = before;
        }
        for (cell, other) in row.iter_mut().skip(1).zip(&right) {
            let replaced = diagonal + usize::from(letter != *other);
            diagonal = *cell;
            before = replaced.min(*cell + 1).min(before + 1);
            *cell = before;
        }
    }
    row.last().copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_names_come_first() {
        assert_eq!(distance("kitten", "sitting"), 3);
        assert_eq!(distance("", "abc"), 3);
        let names = ["a01-h01", "a01-h11", "b07-h01", "z"];
        assert_eq!(
            nearest("a01-h1", names.into_iter(), 3),
            ["a01-h01", "a01-h11"]
        );
        assert!(nearest("quite-different", names.into_iter(), 3).is_empty());
    }
}
