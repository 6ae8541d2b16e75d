//! How a call's work is cut into items. It decides only who computes what: never in which order a row is summed.

use std::ops::Range;
use std::sync::atomic::AtomicUsize;

use super::PART_TOKENS;
use super::layout::AttentionShape;
use super::records::record_floats;
use crate::step::{Sequence, Step};

/// Query heads of one KV head that an item takes together, so that a key is widened once for all of them.
const TILE_STATES: usize = 48;
/// Items for each thread, so that one that got longer ones does not finish much later.
const ITEMS_PER_THREAD: usize = 4;

/// Some rows of one sequence.
#[derive(Clone, Copy)]
pub(super) struct Tile<'a> {
    pub(super) sequence: &'a Sequence,
    /// The first row's number in the step.
    pub(super) first: usize,
    pub(super) rows: usize,
}

impl Tile<'_> {
    /// Position of the first row in its sequence; the others follow.
    pub(super) fn position(&self) -> usize {
        self.sequence.context + self.first - self.sequence.rows.start
    }

    /// Parts that the last row, which has the longest context, attends to.
    pub(super) fn parts(&self) -> usize {
        (self.position() + self.rows).div_ceil(PART_TOKENS)
    }

    /// Whether these are all of the sequence's new rows. Then whoever attends to a part can write its keys and
    /// values right before, for no other item reads them.
    pub(super) fn is_whole_sequence(&self) -> bool {
        self.rows == self.sequence.rows.len()
    }
}

/// A tile against one KV head, over all parts or some.
pub(super) struct Item {
    pub(super) tile: usize,
    pub(super) head: usize,
    pub(super) parts: Range<usize>,
    /// Where it meets the items with the other parts; `None` when it has all of them.
    pub(super) meeting: Option<usize>,
}

/// Where the items with the parts of one tile and head leave their results.
pub(super) struct Meeting {
    /// First float in the call's partials: `[part][state]` records.
    pub(super) start: usize,
    pub(super) items: usize,
    /// Items that are done. Whoever is last merges.
    pub(super) done: AtomicUsize,
}

pub(super) struct Plan<'a> {
    pub(super) tiles: Vec<Tile<'a>>,
    /// Tiles whose keys and values must be written before any item runs.
    pub(super) writes: Vec<usize>,
    pub(super) items: Vec<Item>,
    pub(super) meetings: Vec<Meeting>,
    pub(super) partial_floats: usize,
}

impl<'a> Plan<'a> {
    pub(super) fn new(shape: AttentionShape, step: &'a Step, threads: usize) -> Self {
        let tiles = tiles(shape, step);
        let writes = (0..tiles.len()).filter(|tile| !tiles[*tile].is_whole_sequence()).collect();
        let parts = tiles.iter().map(Tile::parts).sum::<usize>() * shape.kv_heads;
        let per_item = if threads > 1 { (parts / (threads * ITEMS_PER_THREAD)).max(1) } else { usize::MAX };
        let mut plan = Plan { tiles, writes, items: Vec::new(), meetings: Vec::new(), partial_floats: 0 };
        for tile in 0..plan.tiles.len() {
            for head in 0..shape.kv_heads {
                plan.add_items(shape, tile, head, per_item);
            }
        }
        plan
    }

    fn add_items(&mut self, shape: AttentionShape, tile: usize, head: usize, per_item: usize) {
        let Tile { rows, .. } = self.tiles[tile];
        let parts = self.tiles[tile].parts();
        let items = parts.div_ceil(per_item);
        let meeting = (items > 1).then(|| {
            let start = self.partial_floats;
            self.partial_floats += parts * rows * shape.group() * record_floats(shape.head_dim);
            self.meetings.push(Meeting { start, items, done: AtomicUsize::new(0) });
            self.meetings.len() - 1
        });
        for item in 0..items {
            let parts = item * per_item..parts.min((item + 1).saturating_mul(per_item));
            self.items.push(Item { tile, head, parts, meeting });
        }
    }
}

fn tiles(shape: AttentionShape, step: &Step) -> Vec<Tile<'_>> {
    let most = (TILE_STATES / shape.group()).max(1);
    let mut tiles = Vec::new();
    for sequence in &step.sequences {
        for first in sequence.rows.clone().step_by(most) {
            tiles.push(Tile { sequence, first, rows: most.min(sequence.rows.end - first) });
        }
    }
    tiles
}
