//! One part of the context against some query heads of one KV head: scores, softmax, sum of values.
//!
//! Several query heads ("states") are computed together, so that a key or value is loaded once for all of them.
//! That changes no bits: each state and token has sums of its own, in ascending order.

use super::code::{Code, KvCode};
use super::layout::HeadBlock;
use super::records::{padded, record_floats};
use super::soften::soften;
use super::{PART_BLOCKS, PART_TOKENS};
use crate::simd::Lanes;
use crate::step::BLOCK_TOKENS;
use crate::wide::Wide;

/// States computed together: as many as keep their sums in sixteen registers of eight floats.
const TOGETHER: usize = 4;

/// Calls `$function::<…, S>` with the number of states as a constant.
macro_rules! for_states {
    ($states:expr, $function:ident::<$($ty:ty),*>($($arg:expr),*)) => {
        match $states {
            1 => $function::<$($ty,)* 1>($($arg),*),
            2 => $function::<$($ty,)* 2>($($arg),*),
            3 => $function::<$($ty,)* 3>($($arg),*),
            _ => $function::<$($ty,)* TOGETHER>($($arg),*),
        }
    };
}

/// Some query heads and the tokens of a part that each attends to.
pub(super) struct Part<'a, C> {
    pub(super) head_dim: usize,
    /// `[state][head_dim]`, rotated and scaled.
    pub(super) queries: &'a [f32],
    /// For each state, how many of the part's tokens it attends to: at least one, ascending.
    pub(super) valid: &'a [usize],
    /// Those that hold the tokens; the rest are not read.
    pub(super) blocks: [HeadBlock<C>; PART_BLOCKS],
}

/// Buffers for one part.
#[derive(Default)]
pub(super) struct PartScratch {
    /// `[state][PART_TOKENS]`
    scores: Vec<f32>,
    /// A block's keys as floats.
    keys: Vec<f32>,
    /// Sixteen dimensions of the part's values as floats.
    values: Vec<f32>,
    value_scales: Vec<f32>,
}

impl PartScratch {
    /// Makes room for `states` query heads.
    pub(super) fn reserve(&mut self, head_dim: usize, states: usize) {
        let grow = |buffer: &mut Vec<f32>, floats: usize| buffer.resize(buffer.len().max(floats), 0.0);
        grow(&mut self.scores, states * PART_TOKENS);
        grow(&mut self.keys, head_dim * BLOCK_TOKENS);
        grow(&mut self.values, PART_TOKENS * 16);
        grow(&mut self.value_scales, PART_TOKENS);
    }
}

impl<C: KvCode> Part<'_, C> {
    /// Computes the states' records.
    ///
    /// # Safety
    /// `scratch` must have room for the states, `records` be as many whole records, and nobody write the part's
    /// tokens meanwhile.
    #[inline(always)]
    pub(super) unsafe fn compute<L: Lanes>(&self, scratch: &mut PartScratch, records: &mut [f32]) {
        let width = record_floats(self.head_dim);
        assert_eq!(records.len(), self.valid.len() * width);
        // SAFETY: passed on.
        unsafe { self.scores::<L>(scratch) };
        let tokens = self.tokens();
        if C::SCALED {
            for (block, scales) in scratch.value_scales.as_chunks_mut::<16>().0.iter_mut().enumerate() {
                if block * BLOCK_TOKENS < tokens {
                    // SAFETY: the block has sixteen scales, aligned as floats are.
                    *scales = unsafe { self.blocks[block].value_scales.cast::<[f32; 16]>().read() };
                }
            }
        }
        for (state, valid) in self.valid.iter().enumerate() {
            let scores = &mut scratch.scores[state * PART_TOKENS..][..valid.next_multiple_of(16)];
            let record = &mut records[(state + 1) * width - 2..][..2];
            (record[0], record[1]) = soften::<L::Wide>(scores, *valid);
            if C::SCALED {
                for (weight, scale) in scores.iter_mut().zip(&scratch.value_scales) {
                    *weight *= scale;
                }
            }
        }
        if self.reads_in_place() && self.head_dim.is_multiple_of(16) {
            // SAFETY: passed on.
            unsafe { self.values_in_place::<L>(scratch, records) };
        } else {
            // SAFETY: passed on.
            unsafe { self.values_widened::<L>(scratch, records) };
        }
    }

    /// Tokens that any state attends to.
    fn tokens(&self) -> usize {
        self.valid[self.valid.len() - 1]
    }

    /// Whether keys and values are read once only, so that widening them first would not pay.
    fn reads_in_place(&self) -> bool {
        self.valid.len() <= TOGETHER
    }

    /// The states in groups of up to [`TOGETHER`]: first, and how many.
    fn together(&self) -> impl Iterator<Item = (usize, usize)> + use<C> {
        let states = self.valid.len();
        (0..states).step_by(TOGETHER).map(move |first| (first, TOGETHER.min(states - first)))
    }

    /// # Safety
    /// As [`Part::compute`].
    #[inline(always)]
    unsafe fn scores<L: Lanes>(&self, scratch: &mut PartScratch) {
        let d = self.head_dim;
        assert!(scratch.scores.len() >= self.valid.len() * PART_TOKENS && scratch.keys.len() >= d * 16);
        assert_eq!(self.queries.len(), self.valid.len() * d);
        for (number, block) in self.blocks.iter().enumerate().take(self.tokens().div_ceil(BLOCK_TOKENS)) {
            let start = number * BLOCK_TOKENS;
            let scales = C::SCALED.then_some(block.key_scales.cast_const());
            if !self.reads_in_place() {
                for i in (0..d * BLOCK_TOKENS).step_by(16) {
                    // SAFETY: a block has head_dim · 16 keys, and there is room for as many.
                    unsafe { C::load::<L::Wide>(block.keys.add(i)).store(scratch.keys.as_mut_ptr().add(i)) };
                }
            }
            for (first, count) in self.together() {
                if self.valid[first + count - 1] <= start {
                    continue;
                }
                // SAFETY: `count` queries begin at `first`, and as many rows of scores, each PART_TOKENS apart.
                unsafe {
                    let queries = self.queries.as_ptr().add(first * d);
                    let out = scratch.scores.as_mut_ptr().add(first * PART_TOKENS + start);
                    if self.reads_in_place() {
                        for_states!(count, scores::<L::Wide, C>(queries, d, block.keys, scales, out));
                    } else {
                        let keys = scratch.keys.as_ptr();
                        for_states!(count, scores::<L::Wide, f32>(queries, d, keys, scales, out));
                    }
                }
            }
        }
    }

    /// # Safety
    /// As [`Part::compute`], with at most [`TOGETHER`] states and a head dimension of whole vectors.
    #[inline(always)]
    unsafe fn values_in_place<L: Lanes>(&self, scratch: &PartScratch, records: &mut [f32]) {
        let d = self.head_dim;
        let runs = self.blocks.map(|block| block.values.cast_const());
        let values = Values { runs: &runs, run_tokens: BLOCK_TOKENS, stride: d };
        let weights = scratch.scores.as_ptr();
        for dimension in (0..d).step_by(16) {
            // SAFETY: each state has a record and weights for its valid tokens, each token `d` values.
            unsafe { self.sum_values::<L::Wide, C>(0, weights, &values, dimension, records, dimension) };
        }
    }

    /// # Safety
    /// As [`Part::compute`].
    #[inline(always)]
    unsafe fn values_widened<L: Lanes>(&self, scratch: &mut PartScratch, records: &mut [f32]) {
        let d = self.head_dim;
        for dimension in (0..padded(d)).step_by(16) {
            for token in 0..self.tokens() {
                let block = self.blocks[token / BLOCK_TOKENS];
                // SAFETY: a token has `d` values, at least eight more after each whole vector; the buffer has
                // sixteen for each token.
                unsafe {
                    let source = block.values.add(token % BLOCK_TOKENS * d + dimension);
                    let target = scratch.values.as_mut_ptr().add(token * 16);
                    C::load_eight::<L>(source).store(target);
                    let rest =
                        if dimension + 16 <= d { C::load_eight::<L>(source.add(8)) } else { L::splat(0.0) };
                    rest.store(target.add(8));
                }
            }
            let runs = [scratch.values.as_ptr()];
            let values = Values { runs: &runs, run_tokens: PART_TOKENS, stride: 16 };
            for (first, _) in self.together() {
                // SAFETY: each state has a record and weights for its valid tokens; a token has sixteen values.
                unsafe {
                    let weights = scratch.scores.as_ptr().add(first * PART_TOKENS);
                    self.sum_values::<L::Wide, f32>(first, weights, &values, 0, records, dimension);
                }
            }
        }
    }

    /// Sums sixteen dimensions of the values for the states from `first` on that are computed together.
    ///
    /// # Safety
    /// See [`sum_values`].
    #[inline(always)]
    unsafe fn sum_values<W: Wide, V: Code>(
        &self,
        first: usize,
        weights: *const f32,
        values: &Values<'_, V>,
        offset: usize,
        records: &mut [f32],
        dimension: usize,
    ) {
        let width = record_floats(self.head_dim);
        let valid = &self.valid[first..self.valid.len().min(first + TOGETHER)];
        let records = records[first * width..][..valid.len() * width][dimension..].as_mut_ptr();
        // SAFETY: passed on.
        unsafe {
            // Tokens that all attend to, then the few that later rows have more.
            let common = 0..valid[0];
            for_states!(valid.len(), sum_values::<W, V>(weights, values, offset, common, records, width));
            for (state, more) in valid.iter().enumerate().skip(1) {
                let (weights, record) = (weights.add(state * PART_TOKENS), records.add(state * width));
                sum_values::<W, V, 1>(weights, values, offset, valid[0]..*more, record, width);
            }
        }
    }
}

/// Values of successive tokens: runs of `run_tokens`, in a run one token every `stride`.
struct Values<'a, V> {
    runs: &'a [*const V],
    run_tokens: usize,
    stride: usize,
}

/// Scores of `S` queries against a block's sixteen keys. The dimensions' first and second half are summed apart,
/// ascending, then together.
///
/// # Safety
/// There must be `S` queries of `head_dim` (even) floats, one after the other; as many keys of sixteen; sixteen
/// scales where there are any; and room for sixteen scores every [`PART_TOKENS`] floats.
#[inline(always)]
unsafe fn scores<W: Wide, K: Code, const S: usize>(
    queries: *const f32,
    head_dim: usize,
    keys: *const K,
    scales: Option<*const f32>,
    out: *mut f32,
) {
    let half = head_dim / 2;
    let mut low = [W::splat(0.0); S];
    let mut high = [W::splat(0.0); S];
    // SAFETY: all in bounds by the caller's promise.
    unsafe {
        if S <= 2 {
            // Side by side, for a few sums alone would wait for each other's additions.
            for d in 0..half {
                add_products(&mut low, queries.add(d), head_dim, keys.add(d * BLOCK_TOKENS));
                add_products(&mut high, queries.add(half + d), head_dim, keys.add((half + d) * BLOCK_TOKENS));
            }
        } else {
            for d in 0..half {
                add_products(&mut low, queries.add(d), head_dim, keys.add(d * BLOCK_TOKENS));
            }
            for d in half..head_dim {
                add_products(&mut high, queries.add(d), head_dim, keys.add(d * BLOCK_TOKENS));
            }
        }
        for s in 0..S {
            let mut score = low[s].add(high[s]);
            if let Some(scales) = scales {
                score = score.mul(W::load(scales));
            }
            score.store(out.add(s * PART_TOKENS));
        }
    }
}

/// `sums[s] += factors[s · apart] · vector[..16]`
///
/// # Safety
/// There must be `S` factors, `apart` floats apart, and sixteen elements.
#[inline(always)]
unsafe fn add_products<W: Wide, C: Code, const S: usize>(
    sums: &mut [W; S],
    factors: *const f32,
    apart: usize,
    vector: *const C,
) {
    // Loops, here and around, because closures are compiled without the variant's instructions.
    // SAFETY: all in bounds by the caller's promise.
    unsafe {
        let vector = C::load::<W>(vector);
        for (s, sum) in sums.iter_mut().enumerate() {
            *sum = sum.add(vector.mul(W::splat(*factors.add(s * apart))));
        }
    }
}

/// `records[s][..16] += Σ weights[s][t] · values[t][offset..][..16]` over `tokens`, ascending; the records start at
/// zero with token 0.
///
/// # Safety
/// There must be weights for `S` states every [`PART_TOKENS`] floats, the tokens' values, and a record every
/// `width` floats.
#[inline(always)]
unsafe fn sum_values<W: Wide, V: Code, const S: usize>(
    weights: *const f32,
    values: &Values<'_, V>,
    offset: usize,
    tokens: std::ops::Range<usize>,
    records: *mut f32,
    width: usize,
) {
    // SAFETY: all in bounds by the caller's promise.
    unsafe {
        let mut sums = [W::splat(0.0); S];
        if tokens.start > 0 {
            for (s, sum) in sums.iter_mut().enumerate() {
                *sum = W::load(records.add(s * width));
            }
        }
        let mut token = tokens.start;
        while token < tokens.end {
            let run = token / values.run_tokens;
            let end = tokens.end.min((run + 1) * values.run_tokens);
            let mut source = values.runs[run].add(token % values.run_tokens * values.stride + offset);
            while token < end {
                add_products(&mut sums, weights.add(token), PART_TOKENS, source);
                source = source.add(values.stride);
                token += 1;
            }
        }
        for (s, sum) in sums.iter().enumerate() {
            sum.store(records.add(s * width));
        }
    }
}
