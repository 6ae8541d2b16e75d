//! Causal self-attention over a paged KV cache, with rotary embedding and grouped query heads.
//!
//! A page holds one block of [`BLOCK_TOKENS`] tokens for all layers, as half floats:
//! `[layer][kv head]{ keys [head_dim][16], values [16][head_dim] }`. Keys lie transposed, so that sixteen
//! scores come out side by side without a horizontal sum. Each query row walks its own blocks in ascending
//! order with an online softmax (Milakov & Gimelshein, 2018), so its bits depend on nothing but its context.

use crate::math::exp;
use crate::norm::rms_norm_row;
use crate::parallel::{Parallel, Shared};
use crate::pool::PagePool;
use crate::simd::{Lanes, Variant, dispatch};
use crate::step::{BLOCK_TOKENS, Sequence, Step};

/// Query rows that one work item takes, so that a block is widened once for all of them.
const TILE_ROWS: usize = 16;

#[derive(Clone, Copy, Debug)]
pub struct AttentionShape {
    pub heads: usize,
    pub kv_heads: usize,
    /// A multiple of 8.
    pub head_dim: usize,
    /// Multiplies every score, usually 1/√head_dim.
    pub scale: f32,
}

impl AttentionShape {
    /// Columns of a fused q, k, v row.
    pub const fn qkv_width(&self) -> usize {
        (self.heads + 2 * self.kv_heads) * self.head_dim
    }

    /// Bytes of one KV block over `layers` layers: what a page must hold.
    pub const fn block_bytes(&self, layers: usize) -> usize {
        layers * self.kv_heads * 2 * self.head_dim * BLOCK_TOKENS * 2
    }

    /// Half floats from the start of a page to a head's keys; its values follow them.
    const fn block_offset(&self, layer: usize, head: usize) -> usize {
        (layer * self.kv_heads + head) * 2 * self.head_dim * BLOCK_TOKENS
    }
}

/// Weights of a per-head normalization of queries and keys (Qwen3).
#[derive(Clone, Copy)]
pub struct HeadNorm<'a> {
    pub q: &'a [f32],
    pub k: &'a [f32],
    pub epsilon: f32,
}

/// Rotates and scales the queries in `qkv`, writes keys and values to the step's pages, and leaves each
/// row's attention output in `out[rows, heads * head_dim]`. `queries` is scratch.
///
/// # Panics
/// When shapes do not fit, or a page is too small for `layer`.
pub fn paged_attention(
    shape: AttentionShape,
    layer: usize,
    qkv: &[f32],
    norm: Option<HeadNorm<'_>>,
    step: &Step,
    pool: &PagePool,
    queries: &mut Vec<f32>,
    out: &mut [f32],
    variant: Variant,
    parallel: &dyn Parallel,
) {
    let AttentionShape { heads, kv_heads, head_dim, .. } = shape;
    let q_width = heads * head_dim;
    assert_eq!(qkv.len(), step.rows * shape.qkv_width());
    assert_eq!(out.len(), step.rows * q_width);
    assert_eq!(step.rope.len(), step.rows * head_dim);
    assert!(head_dim.is_multiple_of(8) && heads.is_multiple_of(kv_heads));
    assert!(shape.block_bytes(layer + 1) <= pool.page_bytes());
    assert!(norm.is_none_or(|norm| norm.q.len() == head_dim && norm.k.len() == head_dim));

    queries.resize(queries.len().max(step.rows * q_width), 0.0);
    let writer = Writer { shape, layer, qkv, norm, step, pool, variant };
    let shared_queries = Shared::new(queries);
    let tiles: Vec<(&Sequence, usize, usize)> = tiles(step);
    parallel.for_each(tiles.len(), &|item| {
        let (sequence, first, count) = tiles[item];
        for row in first..first + count {
            // SAFETY: each row belongs to exactly one tile.
            writer.row(sequence, row, unsafe { shared_queries.range(row * q_width, q_width) });
        }
    });

    let queries: &[f32] = queries;
    let out = Shared::new(out);
    parallel.for_each(tiles.len() * kv_heads, &|item| {
        let (sequence, first, count) = tiles[item / kv_heads];
        let mut tile =
            Tile { shape, layer, head: item % kv_heads, sequence, first, count, queries, pool, out: &out };
        tile.attend(variant);
    });
}

/// All rows of the step as (sequence, first row, rows), at most [`TILE_ROWS`] each.
fn tiles(step: &Step) -> Vec<(&Sequence, usize, usize)> {
    let mut tiles = Vec::new();
    for sequence in &step.sequences {
        for first in sequence.rows.clone().step_by(TILE_ROWS) {
            tiles.push((sequence, first, TILE_ROWS.min(sequence.rows.end - first)));
        }
    }
    tiles
}

/// The first half: rotary embedding, and keys and values into the pages.
struct Writer<'a> {
    shape: AttentionShape,
    layer: usize,
    qkv: &'a [f32],
    norm: Option<HeadNorm<'a>>,
    step: &'a Step,
    pool: &'a PagePool,
    variant: Variant,
}

impl Writer<'_> {
    fn row(&self, sequence: &Sequence, row: usize, queries: &mut [f32]) {
        let AttentionShape { kv_heads, head_dim, scale, .. } = self.shape;
        let qkv = &self.qkv[row * self.shape.qkv_width()..][..self.shape.qkv_width()];
        let (q, kv) = qkv.split_at(queries.len());
        let (k, v) = kv.split_at(kv_heads * head_dim);
        let rope = &self.step.rope[row * head_dim..][..head_dim];
        queries.copy_from_slice(q);
        for query in queries.chunks_exact_mut(head_dim) {
            if let Some(norm) = self.norm {
                rms_norm_row(query, norm.q, norm.epsilon, self.variant);
            }
            rotate(query, rope);
            query.iter_mut().for_each(|q| *q *= scale);
        }
        let position = sequence.context + row - sequence.rows.start;
        let page = self.pool.page(sequence.blocks[position / BLOCK_TOKENS]).cast::<u16>();
        let slot = position % BLOCK_TOKENS;
        let mut key = vec![0f32; head_dim];
        for head in 0..kv_heads {
            key.copy_from_slice(&k[head * head_dim..][..head_dim]);
            if let Some(norm) = self.norm {
                rms_norm_row(&mut key, norm.k, norm.epsilon, self.variant);
            }
            rotate(&mut key, rope);
            let value = &v[head * head_dim..][..head_dim];
            // SAFETY: the block fits the page (asserted by the caller), and this token's slot of this layer
            // and head is written by this row only; nobody reads it before all rows are written.
            unsafe {
                let keys = page.add(self.shape.block_offset(self.layer, head));
                let values = keys.add((BLOCK_TOKENS + slot) * head_dim);
                for d in 0..head_dim {
                    keys.add(d * BLOCK_TOKENS + slot).write(float_to_half(key[d]));
                    values.add(d).write(float_to_half(value[d]));
                }
            }
        }
    }
}

/// Rotary embedding (Su et al., 2021) in the half-split form of Hugging Face: `rope` is cosines, then sines.
fn rotate(head: &mut [f32], rope: &[f32]) {
    let half = head.len() / 2;
    let (low, high) = head.split_at_mut(half);
    let (cos, sin) = rope.split_at(half);
    for i in 0..half {
        let (a, b) = (low[i], high[i]);
        low[i] = a * cos[i] - b * sin[i];
        high[i] = b * cos[i] + a * sin[i];
    }
}

/// Single to half, ties to even, without branches.
#[inline(always)]
fn float_to_half(value: f32) -> u16 {
    let bits = value.to_bits();
    let sign = (bits >> 16) & 0x8000;
    let magnitude = bits & 0x7fff_ffff;
    let normal = magnitude.wrapping_add(0xc800_0fff + ((magnitude >> 13) & 1)) >> 13;
    // Adding one half shifts a subnormal's bits into place, rounded by the addition itself.
    let subnormal = (f32::from_bits(magnitude) + 0.5).to_bits().wrapping_sub(0x3f00_0000);
    let special = if magnitude > 0x7f80_0000 { 0x7e00 } else { 0x7c00 };
    let finite = if magnitude < 0x3880_0000 { subnormal } else { normal };
    (sign | if magnitude >= 0x4780_0000 { special } else { finite }) as u16
}

/// The second half: up to [`TILE_ROWS`] query rows of one sequence against one KV head.
struct Tile<'a> {
    shape: AttentionShape,
    layer: usize,
    head: usize,
    sequence: &'a Sequence,
    first: usize,
    count: usize,
    queries: &'a [f32],
    pool: &'a PagePool,
    out: &'a Shared<f32>,
}

impl Tile<'_> {
    fn attend(&mut self, variant: Variant) {
        let tile = self;
        // SAFETY: the variant was detected on this processor; shapes were checked by `paged_attention`.
        unsafe { dispatch!(variant, attend_body(tile: &mut Tile<'_>)) }
    }

    /// Position of a row in its sequence.
    fn position(&self, row: usize) -> usize {
        self.sequence.context + row - self.sequence.rows.start
    }
}

/// # Safety
/// The tile's queries, pages and outputs must have the lengths its shape says.
#[inline(always)]
unsafe fn attend_body<L: Lanes>(tile: &mut Tile<'_>) {
    let AttentionShape { heads, kv_heads, head_dim, .. } = tile.shape;
    let group = heads / kv_heads;
    let states = tile.count * group;
    let mut maxima = vec![f32::NEG_INFINITY; states];
    let mut sums = vec![0f32; states];
    let mut sum_of_values = vec![0f32; states * head_dim];
    let mut keys = vec![0f32; head_dim * BLOCK_TOKENS];
    let mut values = vec![0f32; head_dim * BLOCK_TOKENS];
    let last = tile.position(tile.first + tile.count - 1);
    for (block, &page) in tile.sequence.blocks.iter().enumerate().take(last / BLOCK_TOKENS + 1) {
        let start = block * BLOCK_TOKENS;
        // SAFETY: a block holds head_dim * 16 keys, then as many values; nobody writes them now.
        unsafe {
            let source =
                tile.pool.page(page).cast::<u16>().add(tile.shape.block_offset(tile.layer, tile.head));
            for i in (0..head_dim * BLOCK_TOKENS).step_by(8) {
                L::load_half(source.add(i)).store(keys.as_mut_ptr().add(i));
                L::load_half(source.add(head_dim * BLOCK_TOKENS + i)).store(values.as_mut_ptr().add(i));
            }
        }
        for state in 0..states {
            let row = tile.first + state / group;
            let position = tile.position(row);
            if position < start {
                continue;
            }
            // Slots beyond may hold another owner's leftovers, even NaN: they must not enter any sum.
            let valid = BLOCK_TOKENS.min(position + 1 - start);
            let query =
                &tile.queries[(row * heads + tile.head * group + state % group) * head_dim..][..head_dim];
            // SAFETY: sixteen scores for each of head_dim dimensions; head_dim values for each token.
            unsafe {
                let mut scores = scores::<L>(query, &keys);
                let correction = soften(&mut scores, valid, &mut maxima[state], &mut sums[state]);
                let target = &mut sum_of_values[state * head_dim..][..head_dim];
                accumulate::<L>(&scores[..valid], &values, correction, target);
            }
        }
    }
    for state in 0..states {
        let column = (tile.head * group + state % group) * head_dim;
        // SAFETY: this row's columns of this head are written by this tile only.
        let target =
            unsafe { tile.out.range((tile.first + state / group) * heads * head_dim + column, head_dim) };
        for (target, value) in target.iter_mut().zip(&sum_of_values[state * head_dim..][..head_dim]) {
            *target = value / sums[state];
        }
    }
}

/// The query against sixteen transposed keys: even and odd dimensions summed apart, then together.
///
/// # Safety
/// `keys` must hold sixteen values for each of the query's dimensions, an even number of them.
#[inline(always)]
unsafe fn scores<L: Lanes>(query: &[f32], keys: &[f32]) -> [f32; BLOCK_TOKENS] {
    let mut sums = [L::splat(0.0); 4];
    for d in (0..query.len()).step_by(2) {
        let (even, odd) = (L::splat(query[d]), L::splat(query[d + 1]));
        // SAFETY: dimensions d and d + 1 have sixteen keys each.
        unsafe {
            let keys = keys.as_ptr().add(d * BLOCK_TOKENS);
            sums[0] = sums[0].add(L::load(keys).mul(even));
            sums[1] = sums[1].add(L::load(keys.add(8)).mul(even));
            sums[2] = sums[2].add(L::load(keys.add(16)).mul(odd));
            sums[3] = sums[3].add(L::load(keys.add(24)).mul(odd));
        }
    }
    let mut scores = [0f32; BLOCK_TOKENS];
    // SAFETY: eight floats fit at 0 and at 8 of sixteen.
    unsafe {
        sums[0].add(sums[2]).store(scores.as_mut_ptr());
        sums[1].add(sums[3]).store(scores.as_mut_ptr().add(8));
    }
    scores
}

/// Turns the first `valid` scores into weights relative to the running maximum; returns the factor by which
/// what was summed before must shrink.
#[inline(always)]
fn soften(scores: &mut [f32; BLOCK_TOKENS], valid: usize, maximum: &mut f32, sum: &mut f32) -> f32 {
    for score in scores.iter_mut().skip(valid) {
        *score = f32::NEG_INFINITY;
    }
    let largest = scores.iter().fold(*maximum, |m, s| if *s > m { *s } else { m });
    let correction = exp(*maximum - largest);
    for score in scores.iter_mut() {
        *score = exp(*score - largest);
    }
    let mut pairs: [f32; 8] = std::array::from_fn(|i| scores[i] + scores[i + 8]);
    for width in [4, 2, 1] {
        for i in 0..width {
            pairs[i] += pairs[i + width];
        }
    }
    *maximum = largest;
    *sum = *sum * correction + pairs[0];
    correction
}

/// `target = target · correction + Σ weights[t] · values[t]`
///
/// # Safety
/// `values` must hold `target.len()` values for each weight, and `target.len()` be a multiple of 8.
#[inline(always)]
unsafe fn accumulate<L: Lanes>(weights: &[f32], values: &[f32], correction: f32, target: &mut [f32]) {
    let width = target.len();
    for d in (0..width).step_by(8) {
        // SAFETY: d + 8 <= width, and each token has `width` values.
        unsafe {
            let mut sum = L::load(target.as_ptr().add(d)).mul(L::splat(correction));
            for (token, weight) in weights.iter().enumerate() {
                sum = sum.add(L::load(values.as_ptr().add(token * width + d)).mul(L::splat(*weight)));
            }
            sum.store(target.as_mut_ptr().add(d));
        }
    }
}

#[cfg(test)]
mod tests {
    use half::f16;

    use super::*;
    use crate::parallel::{Serial, Threads};
    use crate::step::SequenceInput;

    const SHAPE: AttentionShape = AttentionShape { heads: 4, kv_heads: 2, head_dim: 24, scale: 0.2 };
    const LAYER: usize = 1;

    fn number(i: usize) -> f32 {
        ((i.wrapping_mul(2_654_435_761) >> 5) % 4001) as f32 / 1000.0 - 2.0
    }

    fn frequencies() -> Vec<f32> {
        (0..SHAPE.head_dim / 2).map(|i| 0.5f32.powi(i as i32)).collect()
    }

    fn poisoned_pool(pages: usize) -> PagePool {
        let pool = PagePool::new(SHAPE.block_bytes(2), pages).unwrap();
        for page in 0..pages as u32 {
            for i in 0..pool.page_bytes() / 2 {
                // SAFETY: within the page.
                unsafe { pool.page(page).cast::<u16>().add(i).write(f16::NAN.to_bits()) };
            }
        }
        pool
    }

    /// Runs one sequence's rows `[0, tokens)` cut into `chunks`, beside a neighbour, and returns its outputs.
    fn run(
        tokens: usize,
        chunks: &[usize],
        seed: usize,
        neighbour: usize,
        variant: Variant,
        parallel: &dyn Parallel,
    ) -> Vec<f32> {
        let pool = poisoned_pool(40);
        let width = SHAPE.qkv_width();
        let mut result = Vec::new();
        let mut done = 0;
        for &rows in chunks {
            let ours = SequenceInput {
                rows,
                context: done,
                blocks: (0..tokens.div_ceil(16) as u32).map(|i| i * 2).collect(),
                adapter: None,
            };
            let other = SequenceInput {
                rows: neighbour,
                context: 0,
                blocks: (0..neighbour.div_ceil(16) as u32).map(|i| i * 2 + 1).collect(),
                adapter: None,
            };
            let step = Step::new(if neighbour > 0 { vec![other, ours] } else { vec![ours] }, &frequencies())
                .unwrap();
            let mut qkv: Vec<f32> = (0..neighbour * width).map(|i| number(i + 99)).collect();
            qkv.extend((done * width..(done + rows) * width).map(|i| number(i + seed)));
            let mut out = vec![0f32; step.rows * SHAPE.heads * SHAPE.head_dim];
            paged_attention(
                SHAPE,
                LAYER,
                &qkv,
                None,
                &step,
                &pool,
                &mut Vec::new(),
                &mut out,
                variant,
                parallel,
            );
            result.extend_from_slice(&out[neighbour * SHAPE.heads * SHAPE.head_dim..]);
            done += rows;
        }
        assert_eq!(done, tokens);
        result
    }

    #[test]
    fn equals_the_definition() {
        let tokens = 37;
        let out = run(tokens, &[tokens], 0, 0, Variant::Portable, &Serial);
        let (width, d) = (SHAPE.qkv_width(), SHAPE.head_dim);
        let rotated = |position: usize, column: usize| -> Vec<f32> {
            let mut head: Vec<f32> = (0..d).map(|i| number(position * width + column + i)).collect();
            let mut rope: Vec<f32> = frequencies().iter().map(|f| (position as f32 * f).cos()).collect();
            rope.extend(frequencies().iter().map(|f| (position as f32 * f).sin()));
            rotate(&mut head, &rope);
            head
        };
        for position in 0..tokens {
            for head in 0..SHAPE.heads {
                let kv = head / 2;
                let q = rotated(position, head * d);
                let scores: Vec<f64> = (0..=position)
                    .map(|p| {
                        let k = rotated(p, (SHAPE.heads + kv) * d);
                        q.iter()
                            .zip(&k)
                            .map(|(q, k)| f64::from(*q * SHAPE.scale * f16::from_f32(*k).to_f32()))
                            .sum::<f64>()
                            .exp()
                    })
                    .collect();
                for i in 0..d {
                    let value =
                        |p: usize| f16::from_f32(number(p * width + (SHAPE.heads + 2 + kv) * d + i)).to_f64();
                    let exact = scores.iter().enumerate().map(|(p, s)| s * value(p)).sum::<f64>()
                        / scores.iter().sum::<f64>();
                    let ours = out[position * SHAPE.heads * d + head * d + i];
                    assert!((f64::from(ours) - exact).abs() < 1e-4, "{ours} {exact}");
                }
            }
        }
    }

    #[test]
    fn chunks_neighbours_threads_and_variants_change_no_bit() {
        let expected = run(70, &[70], 3, 0, Variant::Portable, &Serial);
        assert!(expected.iter().all(|v| v.is_finite()));
        for variant in Variant::available() {
            for chunks in [&[70usize][..], &[1, 69], &[16, 16, 38], &[7, 9, 33, 20, 1]] {
                for neighbour in [0, 1, 50] {
                    assert_eq!(run(70, chunks, 3, neighbour, variant, &Threads(2)), expected);
                }
            }
        }
    }

    #[test]
    fn halves_round_as_the_standard_says() {
        for i in 0..4_000_000u32 {
            let value = f32::from_bits(i.wrapping_mul(1_073_741_827));
            let (ours, theirs) = (float_to_half(value), f16::from_f32(value).to_bits());
            assert!(
                ours == theirs || value.is_nan() && f16::from_bits(ours).is_nan(),
                "{value} {ours:#x} {theirs:#x}"
            );
        }
    }
}
