//! Rotary embedding, and keys and values into the pages.

use std::ops::Range;

use super::Call;
use super::code::KvCode;
use super::layout::{AttentionShape, HeadBlock};
use crate::norm::rms_norm_row;
use crate::simd::Lanes;
use crate::step::{BLOCK_TOKENS, Sequence};

impl Call<'_> {
    /// A head's keys and values in the sequence's block of that number.
    pub(super) fn block<C: KvCode>(&self, sequence: &Sequence, block: usize, head: usize) -> HeadBlock<C> {
        // SAFETY: `paged_attention` asserted that a page holds this layer, and made `C` the shape's type.
        unsafe { HeadBlock::new(&self.shape, self.pool.page(sequence.blocks[block]), self.layer, head) }
    }

    /// Copies a head of row `row` that begins at `column`, and normalizes and rotates it.
    #[inline(always)]
    pub(super) fn rotated(&self, row: usize, column: usize, norm: Option<(&[f32], f32)>, head: &mut [f32]) {
        let width = self.shape.head_dim;
        head.copy_from_slice(&self.qkv[row * self.shape.qkv_width() + column..][..width]);
        if let Some((weight, epsilon)) = norm {
            rms_norm_row(head, weight, epsilon, self.variant);
        }
        rotate(head, &self.step.rope[row * width..][..width]);
    }

    /// Writes the keys and values of some rows of a sequence for one head. `key` is room for one key.
    ///
    /// # Safety
    /// Nobody else may read or write these rows' slots of this layer and head meanwhile.
    #[inline(always)]
    pub(super) unsafe fn write_rows<L: Lanes, C: KvCode>(
        &self,
        sequence: &Sequence,
        rows: Range<usize>,
        head: usize,
        key: &mut [f32],
        codes: &mut [C],
    ) {
        let AttentionShape { heads, kv_heads, head_dim, .. } = self.shape;
        for row in rows {
            let position = sequence.context + row - sequence.rows.start;
            let slot = position % BLOCK_TOKENS;
            let block = self.block::<C>(sequence, position / BLOCK_TOKENS, head);
            let norm = self.norm.map(|norm| (norm.k, norm.epsilon));
            self.rotated(row, (heads + head) * head_dim, norm, key);
            let key_scale = C::encode::<L>(key, codes);
            let column = (heads + kv_heads + head) * head_dim;
            let value = &self.qkv[row * self.shape.qkv_width() + column..][..head_dim];
            // SAFETY: the slot is inside the block, and nobody else uses it (the caller's promise).
            unsafe {
                for (d, code) in codes.iter().enumerate() {
                    block.keys.add(d * BLOCK_TOKENS + slot).write(code.infinite_is_nan());
                }
                let values = std::slice::from_raw_parts_mut(block.values.add(slot * head_dim), head_dim);
                let value_scale = C::encode::<L>(value, values);
                if C::SCALED {
                    block.key_scales.add(slot).write(key_scale);
                    block.value_scales.add(slot).write(value_scale);
                }
            }
        }
    }
}

/// Rotary embedding (Su et al., 2021) in the half-split form of Hugging Face: `rope` is cosines, then sines.
#[inline(always)]
pub(super) fn rotate(head: &mut [f32], rope: &[f32]) {
    let half = head.len() / 2;
    let (low, high) = head.split_at_mut(half);
    let (cos, sin) = rope.split_at(half);
    for (((low, high), cos), sin) in low.iter_mut().zip(high).zip(cos).zip(sin) {
        let (a, b) = (*low, *high);
        *low = a * cos - b * sin;
        *high = b * cos + a * sin;
    }
}
