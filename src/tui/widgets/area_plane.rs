//! A node as a plane: cpu across, memory down. The used part is divided among its pods, the rest
//! stays empty, so that the hole for the next pod is seen in both dimensions at once.
//!
//! Geometry only: which pod has which cells. The page draws them.

/// A rectangle of terminal cells inside the plane, its top left cell being (0, 0).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Patch {
    pub x: u16,
    pub y: u16,
    pub width: u16,
    pub height: u16,
}

impl Patch {
    pub fn contains(self, x: u16, y: u16) -> bool {
        (self.x..self.x + self.width).contains(&x) && (self.y..self.y + self.height).contains(&y)
    }

    pub fn is_empty(self) -> bool {
        self.width == 0 || self.height == 0
    }
}

/// Cells of a dimension that are in use: at least one where anything is used, at least one free
/// where anything is free, so that neither is ever rounded away.
pub fn used_cells(used: i64, total: i64, cells: u16) -> u16 {
    if used <= 0 || cells == 0 {
        return 0;
    }
    if used >= total {
        return cells;
    }
    let exact = used as f64 / total as f64 * f64::from(cells);
    let most = cells.saturating_sub(1).max(1);
    rounded(exact).clamp(1, most)
}

/// Divides `whole` among the weights in their order: neighbours in the list are neighbours on the
/// screen, and a small change of a weight moves little. A weight too small for a cell gets an
/// empty patch.
pub fn divide(weights: &[f64], whole: Patch) -> Vec<Patch> {
    let mut patches = vec![Patch::default(); weights.len()];
    split(weights, whole, &mut patches);
    patches
}

fn split(weights: &[f64], whole: Patch, patches: &mut [Patch]) {
    let total: f64 = weights.iter().sum();
    if whole.is_empty() || total <= 0.0 {
        return;
    }
    if let [patch] = patches {
        *patch = whole;
        return;
    }
    let at = middle(weights, total);
    let (first_weights, second_weights) = weights.split_at(at);
    let (first_patches, second_patches) = patches.split_at_mut(at);
    let share = first_weights.iter().sum::<f64>() / total;
    // A terminal cell is about twice as high as it is wide.
    let (first, second) = if whole.width >= whole.height.saturating_mul(2) {
        let left = cut(share, whole.width);
        (
            Patch {
                width: left,
                ..whole
            },
            Patch {
                x: whole.x + left,
                width: whole.width - left,
                ..whole
            },
        )
    } else {
        let top = cut(share, whole.height);
        (
            Patch {
                height: top,
                ..whole
            },
            Patch {
                y: whole.y + top,
                height: whole.height - top,
                ..whole
            },
        )
    };
    split(first_weights, first, first_patches);
    split(second_weights, second, second_patches);
}

/// Where to cut the list so that both sides weigh most alike; never at its ends.
fn middle(weights: &[f64], total: f64) -> usize {
    let mut sum = 0.0;
    let mut best = (f64::INFINITY, 1);
    for (place, weight) in weights.iter().enumerate().take(weights.len() - 1) {
        sum += weight;
        let gap = (sum - total / 2.0).abs();
        if gap < best.0 {
            best = (gap, place + 1);
        }
    }
    best.1
}

fn cut(share: f64, cells: u16) -> u16 {
    rounded(share * f64::from(cells)).min(cells)
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a float cast saturates, and cells are few and positive"
)]
fn rounded(exact: f64) -> u16 {
    exact.round() as u16
}

#[cfg(test)]
mod tests {
    use super::*;

    const WHOLE: Patch = Patch {
        x: 0,
        y: 0,
        width: 20,
        height: 6,
    };

    #[test]
    fn patches_cover_the_whole_without_overlap() {
        let weights = [5.0, 1.0, 0.1, 3.0, 2.0, 0.0, 4.0];
        let patches = divide(&weights, WHOLE);
        for y in 0..WHOLE.height {
            for x in 0..WHOLE.width {
                let owners = patches.iter().filter(|patch| patch.contains(x, y)).count();
                assert_eq!(owners, 1, "cell {x},{y}");
            }
        }
        assert!(patches[5].is_empty(), "nothing gets no cell");
    }

    #[test]
    fn areas_follow_weights() {
        let patches = divide(&[1.0, 1.0, 2.0], WHOLE);
        let area = |patch: &Patch| patch.width * patch.height;
        assert_eq!(patches.iter().map(area).collect::<Vec<_>>(), [30, 30, 60]);
    }

    #[test]
    fn neither_use_nor_room_is_rounded_away() {
        assert_eq!(used_cells(0, 100, 10), 0);
        assert_eq!(used_cells(1, 100, 10), 1);
        assert_eq!(used_cells(50, 100, 10), 5);
        assert_eq!(used_cells(99, 100, 10), 9);
        assert_eq!(used_cells(100, 100, 10), 10);
        assert_eq!(used_cells(120, 100, 10), 10);
    }
}
