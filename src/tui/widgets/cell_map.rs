//! A map of many small cells in labelled rows in titled blocks: nodes in racks in zones.
//!
//! Geometry only: how wide a cell may be so that all fit, where each lies, and what lies next to
//! it in a direction. The page draws them.

/// What is to be laid out: how many cells each row of a block has.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Block {
    pub rows: Vec<usize>,
}

/// The room and the fixed measures.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Room {
    pub width: u16,
    pub height: u16,
    /// Width of the row labels with the space after them.
    pub label: u16,
    /// Lines of a block's title.
    pub title: u16,
    /// No block is narrower, so that its title has room.
    pub block_min: u16,
}

/// Where everything lies; `y` may be beyond the room's height, then the map scrolls.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct CellMap {
    pub cell_width: u16,
    pub block_width: u16,
    pub height: u16,
    pub titles: Vec<Place>,
    pub lines: Vec<Line>,
}

/// A block's title.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Place {
    pub block: usize,
    pub x: u16,
    pub y: u16,
}

/// One line of cells of a row; long rows take several.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Line {
    pub block: usize,
    pub row: usize,
    /// The first cell of the row in this line, and how many there are.
    pub first: usize,
    pub count: usize,
    /// Where the row's label begins; cells follow after it.
    pub x: u16,
    pub y: u16,
    /// Where the first cell begins.
    pub cells_x: u16,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Direction {
    Left,
    Right,
    Up,
    Down,
}

/// A cell by block, row and place in the row.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Default)]
pub struct CellAt {
    pub block: usize,
    pub row: usize,
    pub cell: usize,
}

/// Cell widths from the most telling to the smallest: glyph with both shares, glyph with one,
/// glyph with a gap, glyph.
pub const CELL_WIDTHS: [u16; 4] = [8, 4, 2, 1];

impl CellMap {
    /// The widest cells with which everything fits; the smallest where nothing does. A row that
    /// stays on one line is worth more than wide blocks, and less than wide cells.
    pub fn fit(blocks: &[Block], room: Room) -> Self {
        let most = (room.width / room.block_min.max(1)).max(1);
        let most = most
            .min(u16::try_from(blocks.len()).unwrap_or(u16::MAX))
            .max(1);
        let rows: usize = blocks.iter().map(|block| block.rows.len()).sum();
        let mut last: Option<Self> = None;
        for cell_width in CELL_WIDTHS {
            let mut fitting: Option<Self> = None;
            for columns in (1..=most).rev() {
                let map = Self::lay_out(blocks, room, cell_width, columns);
                let wraps = map.lines.len() > rows;
                if map.height <= room.height && !wraps {
                    return map;
                }
                if map.height <= room.height && fitting.is_none() {
                    fitting = Some(map);
                } else if last
                    .as_ref()
                    .is_none_or(|least| cell_width < least.cell_width || map.height < least.height)
                {
                    last = Some(map);
                }
            }
            if let Some(map) = fitting {
                return map;
            }
        }
        last.unwrap_or_default()
    }

    fn lay_out(blocks: &[Block], room: Room, cell_width: u16, columns: u16) -> Self {
        /// Columns between blocks, and lines.
        const GAP: u16 = 2;
        let block_width = (room.width.saturating_sub(GAP * (columns - 1)) / columns).max(1);
        let per_line = (block_width.saturating_sub(room.label) / cell_width).max(1);
        // A block that stands alone is no wider than its rows, so that its title stays beside them.
        let longest = blocks.iter().flat_map(|block| &block.rows).copied().max();
        let longest = u16::try_from(longest.unwrap_or(0)).unwrap_or(u16::MAX);
        let content = room
            .label
            .saturating_add(longest.saturating_mul(cell_width));
        let block_width = if columns == 1 {
            block_width.min(content.max(room.block_min))
        } else {
            block_width
        };
        let mut map = Self {
            cell_width,
            block_width,
            ..Self::default()
        };
        let mut top = 0;
        for (band, members) in blocks.chunks(usize::from(columns)).enumerate() {
            let mut bottom = top;
            let mut x = 0;
            for (offset, block) in members.iter().enumerate() {
                let place = band * usize::from(columns) + offset;
                let end = map.block(place, block, (x, top), room, usize::from(per_line));
                bottom = bottom.max(end);
                x += block_width + GAP;
            }
            top = bottom.saturating_add(1);
        }
        map.height = top.saturating_sub(1);
        map
    }

    /// Lays out one block and returns the line after it.
    fn block(
        &mut self,
        place: usize,
        block: &Block,
        (x, top): (u16, u16),
        room: Room,
        per_line: usize,
    ) -> u16 {
        self.titles.push(Place {
            block: place,
            x,
            y: top,
        });
        let mut y = top.saturating_add(room.title);
        for (row, &cells) in block.rows.iter().enumerate() {
            let mut first = 0;
            while first < cells.max(1) {
                let count = cells.saturating_sub(first).min(per_line);
                self.lines.push(Line {
                    block: place,
                    row,
                    first,
                    count,
                    x,
                    y,
                    cells_x: x + room.label,
                });
                y = y.saturating_add(1);
                first += per_line;
            }
        }
        y
    }

    /// The top left of a cell.
    pub fn position(&self, at: CellAt) -> Option<(u16, u16)> {
        let line = self.lines.iter().find(|line| {
            line.block == at.block
                && line.row == at.row
                && (line.first..line.first + line.count).contains(&at.cell)
        })?;
        let offset = u16::try_from(at.cell - line.first).ok()?;
        Some((line.cells_x + offset * self.cell_width, line.y))
    }

    pub fn cell_at(&self, x: u16, y: u16) -> Option<CellAt> {
        let line = self.lines.iter().find(|line| {
            let end = usize::from(line.cells_x) + line.count * usize::from(self.cell_width);
            line.y == y && x >= line.cells_x && usize::from(x) < end
        })?;
        Some(CellAt {
            block: line.block,
            row: line.row,
            cell: line.first + usize::from((x - line.cells_x) / self.cell_width.max(1)),
        })
    }

    /// The neighbour that the eye expects: the nearest cell on that side, straight ahead before
    /// askew. `None` at the edge.
    pub fn neighbour(&self, from: CellAt, direction: Direction) -> Option<CellAt> {
        let (x, y) = self.position(from)?;
        let mut best: Option<(u32, CellAt)> = None;
        for line in &self.lines {
            for offset in 0..line.count {
                let shift = u16::try_from(offset).unwrap_or(u16::MAX);
                let cell_x = line.cells_x + shift * self.cell_width;
                let ahead = match direction {
                    Direction::Left => cell_x < x,
                    Direction::Right => cell_x > x,
                    Direction::Up => line.y < y,
                    Direction::Down => line.y > y,
                };
                if !ahead {
                    continue;
                }
                let across = u32::from(cell_x.abs_diff(x));
                let down = u32::from(line.y.abs_diff(y));
                let cost = match direction {
                    Direction::Left | Direction::Right => across + down * 1000,
                    Direction::Up | Direction::Down => down * 4 + across * 3,
                };
                // Changing the line sideways means leaving the block at its edge.
                let sideways = matches!(direction, Direction::Left | Direction::Right);
                if sideways && line.y != y && line.block == from.block {
                    continue;
                }
                if best.is_none_or(|(least, _)| cost < least) {
                    let at = CellAt {
                        block: line.block,
                        row: line.row,
                        cell: line.first + offset,
                    };
                    best = Some((cost, at));
                }
            }
        }
        best.map(|(_, at)| at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn room(width: u16, height: u16) -> Room {
        Room {
            width,
            height,
            label: 4,
            title: 1,
            block_min: 20,
        }
    }

    fn zones() -> Vec<Block> {
        vec![
            Block { rows: vec![5, 5] },
            Block { rows: vec![5, 3] },
            Block { rows: vec![40] },
        ]
    }

    #[test]
    fn cells_are_as_wide_as_the_room_allows() {
        let map = CellMap::fit(&zones(), room(200, 40));
        assert_eq!(map.cell_width, 8);
        let map = CellMap::fit(&zones(), room(66, 8));
        assert_eq!(map.cell_width, 2, "{map:?}");
        let map = CellMap::fit(&zones(), room(66, 4));
        assert_eq!(map.cell_width, 1);
        assert_eq!(map.lines.iter().map(|line| line.count).sum::<usize>(), 58);
    }

    #[test]
    fn every_cell_has_one_place() {
        let map = CellMap::fit(&zones(), room(80, 10));
        for (block, rows) in zones().iter().enumerate() {
            for (row, &cells) in rows.rows.iter().enumerate() {
                for cell in 0..cells {
                    let at = CellAt { block, row, cell };
                    let (x, y) = map.position(at).unwrap();
                    assert!(x + map.cell_width <= 80);
                    assert_eq!(map.cell_at(x, y), Some(at));
                }
            }
        }
    }

    #[test]
    fn arrows_move_as_the_eye_expects() {
        let map = CellMap::fit(&zones(), room(200, 40));
        let at = |block, row, cell| CellAt { block, row, cell };
        let go = |from, direction| map.neighbour(from, direction);
        assert_eq!(go(at(0, 0, 0), Direction::Right), Some(at(0, 0, 1)));
        assert_eq!(go(at(0, 0, 4), Direction::Right), Some(at(1, 0, 0)));
        assert_eq!(go(at(0, 0, 2), Direction::Down), Some(at(0, 1, 2)));
        assert_eq!(go(at(1, 0, 4), Direction::Down), Some(at(1, 1, 2)));
        assert_eq!(go(at(0, 0, 0), Direction::Up), None);
        assert_eq!(go(at(0, 0, 0), Direction::Left), None);
    }
}
