//! A stacked strip: parts of a whole side by side in one row of cells, to an eighth of a cell.
//!
//! Geometry only: what each cell shows. The page gives parts their hues.

/// One cell of a strip: up to two parts meet in it.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct StripCell {
    /// The part on the left, `None` for free.
    pub left: Option<usize>,
    /// The part on the right; the same as `left` where no border is in the cell.
    pub right: Option<usize>,
    /// How many eighths the left part has, 1..=8.
    pub eighths: u8,
}

/// Cells for `parts` (amounts, in order) of `total` over `width` cells. Parts beyond the total are
/// cut off; where three parts meet in a cell, the middle one is not seen.
pub fn strip(parts: &[i64], total: i64, width: u16) -> Vec<StripCell> {
    let scale = f64::from(width) * 8.0 / total.max(1) as f64;
    let mut ends = Vec::with_capacity(parts.len());
    let mut sum = 0_i64;
    for part in parts {
        sum = sum.saturating_add((*part).max(0));
        ends.push(eighths(sum as f64 * scale));
    }
    // Something never looks like nothing: the last used eighth is kept.
    if sum > 0
        && let Some(last) = ends.last_mut()
    {
        *last = (*last).max(1);
    }
    let part_at = |eighth: u32| ends.iter().position(|end| eighth < *end);
    (0..u32::from(width))
        .map(|cell| {
            let from = cell * 8;
            let left = part_at(from);
            let right = part_at(from + 7);
            let border = left
                .and_then(|part| ends.get(part))
                .map_or(8, |end| end.saturating_sub(from).clamp(1, 8));
            StripCell {
                left,
                right,
                eighths: if left == right {
                    8
                } else {
                    u8::try_from(border).unwrap_or(8)
                },
            }
        })
        .collect()
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a float cast saturates, and eighths are few and positive"
)]
fn eighths(exact: f64) -> u32 {
    exact.round() as u32
}

/// The block of `count` eighths from the left: `▏` to `█`.
pub fn left_block(count: u8) -> &'static str {
    match count {
        0 => " ",
        1 => "▏",
        2 => "▎",
        3 => "▍",
        4 => "▌",
        5 => "▋",
        6 => "▊",
        7 => "▉",
        _ => "█",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(parts: &[i64], total: i64, width: u16, expected: &str) {
        let letter = |part: Option<usize>| match part {
            Some(0) => 'a',
            Some(1) => 'b',
            Some(2) => 'c',
            Some(_) => '?',
            None => '.',
        };
        let shown: String = strip(parts, total, width)
            .iter()
            .map(|cell| {
                if cell.left == cell.right {
                    format!("{} ", letter(cell.left))
                } else {
                    format!(
                        "{}{}{} ",
                        letter(cell.left),
                        cell.eighths,
                        letter(cell.right)
                    )
                }
            })
            .collect();
        assert_eq!(shown.trim_end(), expected);
    }

    #[test]
    fn parts_lie_side_by_side_to_an_eighth() {
        check(&[10, 20], 40, 4, "a b b .");
        check(&[15, 5], 40, 4, "a a4b . .");
        check(&[5], 40, 4, "a4. . . .");
        check(&[], 40, 2, ". .");
        check(&[40, 40], 40, 2, "a a");
        check(&[1], 100_000, 4, "a1. . . .");
    }
}
