//! What one model step computes: which rows belong to which sequence, adapter and pages.

use std::ops::Range;
use std::sync::Arc;

use crate::lora::ResidentAdapter;

/// Tokens in one KV block; a block fills one page.
pub const BLOCK_TOKENS: usize = 16;
/// Rows that one LoRA work item takes, so that an adapter's rows are read once for all of them.
const LORA_CHUNK_ROWS: usize = 16;

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

pub struct Sequence {
    pub rows: Range<usize>,
    pub context: usize,
    pub blocks: Vec<u32>,
}

/// Rows that share an adapter, at most [`LORA_CHUNK_ROWS`].
pub struct LoraChunk {
    pub adapter: Arc<ResidentAdapter>,
    pub rows: Vec<usize>,
}

/// A step's batch, laid out for the kernels.
#[derive(Default)]
pub struct Step {
    pub rows: usize,
    pub sequences: Vec<Sequence>,
    pub lora_chunks: Vec<LoraChunk>,
    /// Cosines then sines of the rotary embedding for each row, `[rows][2][head_dim / 2]`.
    pub rope: Vec<f32>,
}

impl Step {
    /// Lays out a batch; row numbers follow the order of `inputs`. `inverse_frequencies` are the rotary
    /// embedding's, `head_dim / 2` of them.
    ///
    /// # Errors
    /// When a sequence has no row, or fewer blocks than its tokens need.
    pub fn new(inputs: Vec<SequenceInput>, inverse_frequencies: &[f32]) -> Result<Self, String> {
        let mut step = Step::default();
        let mut by_adapter: Vec<(u32, Arc<ResidentAdapter>, Vec<usize>)> = Vec::new();
        for input in inputs {
            let rows = step.rows..step.rows + input.rows;
            if input.rows == 0 || input.blocks.len() * BLOCK_TOKENS < input.context + input.rows {
                return Err(format!(
                    "a sequence of {} + {} tokens has {} blocks",
                    input.context,
                    input.rows,
                    input.blocks.len()
                ));
            }
            if let Some((slot, adapter)) = input.adapter {
                match by_adapter.iter_mut().find(|(known, ..)| *known == slot) {
                    Some((.., list)) => list.extend(rows.clone()),
                    None => by_adapter.push((slot, adapter, rows.clone().collect())),
                }
            }
            for position in input.context..input.context + input.rows {
                push_rotation(&mut step.rope, position, inverse_frequencies);
            }
            step.rows = rows.end;
            step.sequences.push(Sequence { rows, context: input.context, blocks: input.blocks });
        }
        for (_, adapter, rows) in by_adapter {
            step.lora_chunks.extend(
                rows.chunks(LORA_CHUNK_ROWS)
                    .map(|rows| LoraChunk { adapter: adapter.clone(), rows: rows.to_vec() }),
            );
        }
        Ok(step)
    }
}

fn push_rotation(rope: &mut Vec<f32>, position: usize, inverse_frequencies: &[f32]) {
    let angle = |frequency: &f32| f64::from(position as f32 * frequency);
    rope.extend(inverse_frequencies.iter().map(|f| angle(f).cos() as f32));
    rope.extend(inverse_frequencies.iter().map(|f| angle(f).sin() as f32));
}
