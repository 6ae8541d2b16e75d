//! What one model step computes: which rows belong to which sequence, adapter and pages.

use std::ops::Range;
use std::sync::Arc;

use crate::adapter::ResidentAdapter;

/// Tokens in one KV block; a block fills one page.
pub const BLOCK_TOKENS: usize = 16;
/// The most rows in a [`RowGroup`].
const GROUP_ROWS: usize = 16;

/// One sequence's part of a step.
pub struct SequenceInput {
    /// New tokens in this step: one when decoding, a chunk of the prompt when prefilling.
    pub rows: usize,
    /// Tokens whose keys and values are already in the blocks.
    pub context: usize,
    /// Pages of the sequence's blocks, enough for `context + rows` tokens.
    pub blocks: Vec<u32>,
    /// The adapter's slot, the same number for the same adapter, with its weights.
    pub adapter: Option<(u32, Arc<ResidentAdapter>)>,
}

/// A sequence's rows and pages. No other sequence of the step has any of them, so its rows can be computed and
/// written beside those of others.
pub(crate) struct Sequence {
    pub(crate) rows: Range<usize>,
    pub(crate) context: usize,
    pub(crate) blocks: Vec<u32>,
}

/// Consecutive places in a [`RowOrder`] whose rows share an adapter, at most [`GROUP_ROWS`] of them, so that the
/// adapter is read once for all of them.
#[derive(Clone, Debug)]
pub(crate) struct RowGroup {
    pub(crate) adapter: Option<Arc<ResidentAdapter>>,
    pub(crate) places: Range<usize>,
}

/// Rows rearranged so that those of one adapter stand side by side. Each row has exactly one place, and each place
/// is in exactly one group.
#[derive(Clone, Default, Debug)]
pub struct RowOrder {
    /// The row at each place.
    pub(crate) rows: Vec<usize>,
    pub(crate) groups: Vec<RowGroup>,
}

impl RowOrder {
    /// `rows` rows without adapters, as they are.
    pub fn plain(rows: usize) -> Self {
        let mut order = Self::default();
        order.push(None, 0..rows);
        order
    }

    fn push(&mut self, adapter: Option<Arc<ResidentAdapter>>, rows: impl IntoIterator<Item = usize>) {
        let start = self.rows.len();
        self.rows.extend(rows);
        for first in (start..self.rows.len()).step_by(GROUP_ROWS) {
            let places = first..self.rows.len().min(first + GROUP_ROWS);
            self.groups.push(RowGroup { adapter: adapter.clone(), places });
        }
    }
}

/// A step's batch, laid out for the kernels. Kernels rely on its layout, so only [`Step::new`] makes one.
#[derive(Default)]
pub struct Step {
    pub(crate) rows: usize,
    pub(crate) sequences: Vec<Sequence>,
    pub(crate) order: RowOrder,
    /// Cosines then sines of the rotary embedding for each row, `[rows][2][head_dim / 2]`.
    pub(crate) rope: Vec<f32>,
}

impl Step {
    /// Lays out a batch; row numbers follow the order of `inputs`. `inverse_frequencies` are the rotary
    /// embedding's, `head_dim / 2` of them.
    ///
    /// # Errors
    /// When a sequence has no row, or fewer blocks than its tokens need, or when a page that is written occurs twice.
    pub fn new(inputs: Vec<SequenceInput>, inverse_frequencies: &[f32]) -> Result<Self, String> {
        if let Some(page) = contested_page(&inputs) {
            return Err(format!("page {page} is written and occurs twice in the step's blocks"));
        }
        let mut step = Step::default();
        let mut by_adapter: Vec<(u32, Arc<ResidentAdapter>, Vec<usize>)> = Vec::new();
        let mut without = Vec::new();
        for input in inputs {
            if input.rows == 0 || input.blocks.len() * BLOCK_TOKENS < input.context.saturating_add(input.rows)
            {
                return Err(format!(
                    "a sequence of {} + {} tokens has {} blocks",
                    input.context,
                    input.rows,
                    input.blocks.len()
                ));
            }
            let rows = step.rows..step.rows + input.rows;
            match input.adapter {
                None => without.extend(rows.clone()),
                Some((slot, adapter)) => match by_adapter.iter_mut().find(|(known, ..)| *known == slot) {
                    Some((.., list)) => list.extend(rows.clone()),
                    None => by_adapter.push((slot, adapter, rows.clone().collect())),
                },
            }
            for position in input.context..input.context + input.rows {
                push_rotation(&mut step.rope, position, inverse_frequencies);
            }
            step.rows = rows.end;
            step.sequences.push(Sequence { rows, context: input.context, blocks: input.blocks });
        }
        for (_, adapter, rows) in by_adapter {
            step.order.push(Some(adapter), rows);
        }
        step.order.push(None, without);
        Ok(step)
    }

    /// The step's rows by adapter.
    pub fn order(&self) -> &RowOrder {
        &self.order
    }

    /// New tokens of all sequences together.
    pub fn rows(&self) -> usize {
        self.rows
    }
}

/// A page that one sequence writes, now or later, and that occurs in another place too. Full blocks are only read, and
/// sequences that begin with the same tokens share them.
fn contested_page(inputs: &[SequenceInput]) -> Option<u32> {
    let mut pages: Vec<(u32, bool)> = inputs
        .iter()
        .flat_map(|input| {
            let full = input.context / BLOCK_TOKENS;
            input.blocks.iter().enumerate().map(move |(index, page)| (*page, index >= full))
        })
        .collect();
    // Of a page's places one that writes comes last.
    pages.sort_unstable();
    pages.windows(2).find(|pair| pair[0].0 == pair[1].0 && pair[1].1).map(|pair| pair[0].0)
}

fn push_rotation(rope: &mut Vec<f32>, position: usize, inverse_frequencies: &[f32]) {
    let angle = |frequency: &f32| f64::from(position as f32 * frequency);
    rope.extend(inverse_frequencies.iter().map(|f| angle(f).cos() as f32));
    rope.extend(inverse_frequencies.iter().map(|f| angle(f).sin() as f32));
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sequence(rows: usize, context: usize, blocks: &[u32]) -> SequenceInput {
        SequenceInput { rows, context, blocks: blocks.to_vec(), adapter: None }
    }

    fn refusal(inputs: Vec<SequenceInput>) -> String {
        Step::new(inputs, &[]).err().expect("such a step is refused")
    }

    #[test]
    fn a_page_that_is_written_belongs_to_one_place() {
        let twice = |page| format!("page {page} is written and occurs twice in the step's blocks");
        assert_eq!(refusal(vec![sequence(1, 0, &[4]), sequence(1, 16, &[7, 4])]), twice(4));
        assert_eq!(refusal(vec![sequence(1, 16, &[7, 4]), sequence(1, 15, &[7])]), twice(7));
        assert_eq!(refusal(vec![sequence(20, 0, &[9, 9])]), twice(9));
        // Also where the tokens do not reach that page yet.
        assert!(Step::new(vec![sequence(1, 0, &[1, 3]), sequence(1, 0, &[2, 3])], &[]).is_err());
        assert_eq!(Step::new(vec![sequence(3, 14, &[1, 3]), sequence(1, 0, &[2])], &[]).unwrap().rows(), 4);
    }

    #[test]
    fn full_blocks_may_be_shared() {
        let shared = vec![sequence(1, 16, &[7, 4]), sequence(5, 33, &[7, 5, 6]), sequence(1, 32, &[7, 5, 8])];
        assert_eq!(Step::new(shared, &[]).unwrap().rows(), 7);
    }

    #[test]
    fn blocks_must_hold_every_token() {
        assert_eq!(refusal(vec![sequence(2, 15, &[1])]), "a sequence of 15 + 2 tokens has 1 blocks");
        assert_eq!(refusal(vec![sequence(0, 1, &[1])]), "a sequence of 1 + 0 tokens has 1 blocks");
        assert!(Step::new(vec![sequence(2, usize::MAX, &[1])], &[]).is_err());
    }
}
