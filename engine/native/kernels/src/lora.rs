//! Low-rank adapters for any mix of adapters, ranks and rows in one call: y += scale · B·(A·x).
//!
//! An adapter lies in pages of the pool as rank rows: row j of A directly before column j of B, both half
//! floats, no row crossing a page (S-LoRA's unified paging). So one pass over a rank row does all the work
//! that row is good for, and each adapter is read once for all its rows of the batch.

use crate::parallel::{Parallel, Shared};
use crate::pool::PagePool;
use crate::simd::{Lanes, Variant, dispatch, half_to_float};
use crate::step::{LoraChunk, Step};

/// Where a rank row begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RowAddress {
    pub page: u32,
    /// In bytes from the start of the page.
    pub offset: u32,
}

/// One projection of one layer that an adapter changes.
#[derive(Clone, Debug)]
pub struct Pair {
    pub scale: f32,
    pub inputs: usize,
    pub outputs: usize,
    /// One address for each rank.
    pub rows: Vec<RowAddress>,
}

/// An adapter whose weights are in the pool.
#[derive(Default, Debug)]
pub struct ResidentAdapter {
    /// Indexed `[layer * modules + module]`; `None` where the adapter changes nothing.
    pairs: Vec<Option<Pair>>,
    modules: usize,
}

/// Bytes of a rank row: `inputs` values of A, then `outputs` of B.
pub const fn row_bytes(inputs: usize, outputs: usize) -> usize {
    (inputs + outputs) * 2
}

impl ResidentAdapter {
    pub fn new(layers: usize, modules: usize) -> Self {
        Self { pairs: vec![None; layers * modules], modules }
    }

    /// # Panics
    /// When there is no such layer or module.
    pub fn set(&mut self, layer: usize, module: usize, pair: Pair) {
        assert!(module < self.modules);
        self.pairs[layer * self.modules + module] = Some(pair);
    }

    pub fn get(&self, layer: usize, module: usize) -> Option<&Pair> {
        self.pairs.get(layer * self.modules + module)?.as_ref()
    }
}

/// One projection inside a fused output row.
#[derive(Clone, Copy, Debug)]
pub struct Projection {
    /// The module's number in every adapter.
    pub module: usize,
    /// First output column.
    pub column: usize,
    pub width: usize,
}

/// Adds every adapter's contribution to `out[rows, n]`, given the projections' common input `x[rows, k]`.
///
/// # Panics
/// When shapes do not fit, projections overlap or do not ascend, or an adapter's pair does not have `k` inputs and
/// its projection's width, or lies outside the pool or at an odd byte.
pub fn batched_lora(
    x: &[f32],
    k: usize,
    out: &mut [f32],
    n: usize,
    layer: usize,
    projections: &[Projection],
    step: &Step,
    pool: &PagePool,
    variant: Variant,
    parallel: &dyn Parallel,
) {
    assert_eq!(x.len(), step.rows * k);
    assert_eq!(out.len(), step.rows * n);
    assert!(projections.iter().all(|p| p.column <= n && p.width <= n - p.column));
    assert!(projections.windows(2).all(|pair| pair[0].column + pair[0].width <= pair[1].column));
    let out = Shared::new(out);
    parallel.for_each(step.lora_chunks.len() * projections.len(), &|item| {
        let chunk = &step.lora_chunks[item / projections.len()];
        let projection = projections[item % projections.len()];
        if let Some(pair) = chunk.adapter.get(layer, projection.module) {
            assert_eq!((pair.inputs, pair.outputs), (k, projection.width));
            add_pair(chunk, pair, x, &out, n, projection.column, pool, variant);
        }
    });
}

fn add_pair(
    chunk: &LoraChunk,
    pair: &Pair,
    x: &[f32],
    out: &Shared<f32>,
    n: usize,
    column: usize,
    pool: &PagePool,
    variant: Variant,
) {
    let (k, width) = (pair.inputs, pair.outputs);
    // SAFETY: a row is in one chunk only, as `Step::new` lays them out; a column is in one projection.
    let target = |row: usize| unsafe { out.range(row * n + column, width) };
    let input = |row: usize| &x[row * k..][..k];
    let mut widened = vec![0f32; if chunk.rows.len() > 1 { k + width } else { 0 }];
    for address in &pair.rows {
        assert!(address.offset as usize + row_bytes(k, width) <= pool.page_bytes());
        assert!(address.offset.is_multiple_of(2), "a rank row at odd byte {}", address.offset);
        // SAFETY: in bounds and aligned by the assertions; the pages belong to this adapter while it is resident
        // and are only read.
        let rank_row = unsafe {
            let start = pool.page(address.page).add(address.offset as usize).cast::<u16>();
            std::slice::from_raw_parts(start, k + width)
        };
        if let [row] = chunk.rows[..] {
            add_rank_half(input(row), rank_row, pair.scale, target(row), variant);
            continue;
        }
        // Converting once for all rows gives the same numbers, so the same bits.
        widen(rank_row, &mut widened, variant);
        for &row in &chunk.rows {
            add_rank_float(input(row), &widened, pair.scale, target(row), variant);
        }
    }
}

fn widen(source: &[u16], target: &mut [f32], variant: Variant) {
    assert_eq!(source.len(), target.len());
    // SAFETY: the variant was detected on this processor; the lengths are equal.
    unsafe { dispatch!(variant, widen_body(source: &[u16], target: &mut [f32])) }
}

/// # Safety
/// The lengths must be equal.
#[inline(always)]
unsafe fn widen_body<L: Lanes>(source: &[u16], target: &mut [f32]) {
    let whole = target.len() / 8 * 8;
    for i in (0..whole).step_by(8) {
        // SAFETY: i + 8 <= length.
        unsafe { L::load_half(source.as_ptr().add(i)).store(target.as_mut_ptr().add(i)) };
    }
    for (target, source) in target[whole..].iter_mut().zip(&source[whole..]) {
        *target = half_to_float(*source);
    }
}

/// A number in a rank row, stored as half or widened before.
trait Weight: Copy {
    /// # Safety
    /// `source` must be readable for eight values.
    unsafe fn load<L: Lanes>(source: *const Self) -> L;
    fn value(self) -> f32;
}

impl Weight for u16 {
    #[inline(always)]
    unsafe fn load<L: Lanes>(source: *const u16) -> L {
        // SAFETY: passed on.
        unsafe { L::load_half(source) }
    }
    #[inline(always)]
    fn value(self) -> f32 {
        half_to_float(self)
    }
}

impl Weight for f32 {
    #[inline(always)]
    unsafe fn load<L: Lanes>(source: *const f32) -> L {
        // SAFETY: passed on.
        unsafe { L::load(source) }
    }
    #[inline(always)]
    fn value(self) -> f32 {
        self
    }
}

/// `out += scale · (a·x) · b` for a rank row of a, then b.
fn add_rank_half(x: &[f32], row: &[u16], scale: f32, out: &mut [f32], variant: Variant) {
    assert_eq!(row.len(), x.len() + out.len());
    // SAFETY: the variant was detected on this processor; the lengths fit.
    unsafe { dispatch!(variant, half_body(x: &[f32], row: &[u16], scale: f32, out: &mut [f32])) }
}

/// [`add_rank_half`] for a widened row.
fn add_rank_float(x: &[f32], row: &[f32], scale: f32, out: &mut [f32], variant: Variant) {
    assert_eq!(row.len(), x.len() + out.len());
    // SAFETY: the variant was detected on this processor; the lengths fit.
    unsafe { dispatch!(variant, float_body(x: &[f32], row: &[f32], scale: f32, out: &mut [f32])) }
}

/// # Safety
/// As [`rank_body`].
#[inline(always)]
unsafe fn half_body<L: Lanes>(x: &[f32], row: &[u16], scale: f32, out: &mut [f32]) {
    // SAFETY: passed on.
    unsafe { rank_body::<L, u16>(x, row, scale, out) }
}

/// # Safety
/// As [`rank_body`].
#[inline(always)]
unsafe fn float_body<L: Lanes>(x: &[f32], row: &[f32], scale: f32, out: &mut [f32]) {
    // SAFETY: passed on.
    unsafe { rank_body::<L, f32>(x, row, scale, out) }
}

/// # Safety
/// `row` must be as long as `x` and `out` together.
#[inline(always)]
unsafe fn rank_body<L: Lanes, W: Weight>(x: &[f32], row: &[W], scale: f32, out: &mut [f32]) {
    let (a, b) = row.split_at(x.len());
    let mut sums = [L::splat(0.0); 4];
    let whole = x.len() / 32 * 32;
    for i in (0..whole).step_by(32) {
        for (j, sum) in sums.iter_mut().enumerate() {
            // SAFETY: i + 32 <= length.
            unsafe {
                let (x, a) = (L::load(x.as_ptr().add(i + j * 8)), W::load::<L>(a.as_ptr().add(i + j * 8)));
                *sum = sum.add(x.mul(a));
            }
        }
    }
    let vectors = (sums[0].add(sums[1])).add(sums[2].add(sums[3])).sum();
    let dot = x[whole..].iter().zip(&a[whole..]).fold(vectors, |sum, (x, a)| sum + x * a.value());
    let factor = dot * scale;
    let lanes = L::splat(factor);
    let whole = out.len() / 8 * 8;
    for i in (0..whole).step_by(8) {
        // SAFETY: i + 8 <= length.
        unsafe {
            let sum = L::load(out.as_ptr().add(i)).add(W::load::<L>(b.as_ptr().add(i)).mul(lanes));
            sum.store(out.as_mut_ptr().add(i));
        }
    }
    for (out, b) in out[whole..].iter_mut().zip(&b[whole..]) {
        *out += b.value() * factor;
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use half::f16;

    use super::*;
    use crate::parallel::{Serial, Threads};
    use crate::step::{BLOCK_TOKENS, SequenceInput};

    const K: usize = 44;
    const WIDTHS: [usize; 2] = [37, 24];
    const N: usize = WIDTHS[0] + WIDTHS[1];
    const PROJECTIONS: [Projection; 2] = [
        Projection { module: 0, column: 0, width: WIDTHS[0] },
        Projection { module: 2, column: WIDTHS[0], width: WIDTHS[1] },
    ];

    fn number(i: usize) -> f32 {
        ((i.wrapping_mul(2_654_435_761) >> 7) % 2001) as f32 / 1000.0 - 1.0
    }

    /// Fills pages with an adapter of the given rank on module 0 (and 2 when `both`), rows not contiguous.
    fn adapter(
        pool: &PagePool,
        first_page: u32,
        rank: usize,
        both: bool,
        seed: usize,
    ) -> Arc<ResidentAdapter> {
        let mut adapter = ResidentAdapter::new(2, 3);
        let mut cursor = RowAddress { page: first_page, offset: 0 };
        for (module, width) in [(0, WIDTHS[0]), (2, WIDTHS[1])].into_iter().take(if both { 2 } else { 1 }) {
            let bytes = row_bytes(K, width);
            let mut rows = Vec::new();
            for j in 0..rank {
                if cursor.offset as usize + bytes > pool.page_bytes() {
                    cursor = RowAddress { page: cursor.page + 2, offset: 0 };
                }
                for i in 0..K + width {
                    let value = f16::from_f32(number(seed + module * 7919 + j * 131 + i) * 0.2);
                    // SAFETY: within the page by the check above.
                    unsafe {
                        pool.page(cursor.page)
                            .add(cursor.offset as usize)
                            .cast::<u16>()
                            .add(i)
                            .write(value.to_bits())
                    };
                }
                rows.push(cursor);
                cursor.offset += (bytes as u32).next_multiple_of(64);
            }
            adapter.set(1, module, Pair { scale: 0.5 + seed as f32, inputs: K, outputs: width, rows });
        }
        Arc::new(adapter)
    }

    fn sequence(rows: usize, adapter: Option<(u32, Arc<ResidentAdapter>)>) -> SequenceInput {
        SequenceInput { rows, context: 0, blocks: Vec::new(), adapter }
    }

    fn run(
        mut inputs: Vec<SequenceInput>,
        x: &[f32],
        base: &[f32],
        pool: &PagePool,
        variant: Variant,
        parallel: &dyn Parallel,
    ) -> Vec<f32> {
        let mut pages = 0..;
        for input in &mut inputs {
            input.blocks = pages.by_ref().take(input.rows.div_ceil(BLOCK_TOKENS)).collect();
        }
        let step = Step::new(inputs, &[]).unwrap();
        let mut out = base.to_vec();
        batched_lora(x, K, &mut out, N, 1, &PROJECTIONS, &step, pool, variant, parallel);
        out
    }

    #[test]
    fn any_mix_equals_each_row_alone_and_the_definition() {
        let pool = PagePool::new(512, 200).unwrap();
        let adapters =
            [adapter(&pool, 0, 1, true, 1), adapter(&pool, 20, 7, false, 2), adapter(&pool, 60, 33, true, 3)];
        let plan = [(3, Some(0)), (1, None), (19, Some(2)), (1, Some(1)), (1, Some(2)), (2, Some(0))];
        let with = |which: Option<usize>| which.map(|i| (i as u32, adapters[i].clone()));
        let rows: usize = plan.iter().map(|p| p.0).sum();
        let x: Vec<f32> = (0..rows * K).map(number).collect();
        let base: Vec<f32> = (0..rows * N).map(|i| number(i + 5)).collect();
        let inputs = || plan.iter().map(|(rows, which)| sequence(*rows, with(*which))).collect();
        let expected = run(inputs(), &x, &base, &pool, Variant::Portable, &Serial);

        let mut row = 0;
        for (count, which) in plan {
            for row in row..row + count {
                for variant in Variant::available() {
                    let alone = run(
                        vec![sequence(1, with(which))],
                        &x[row * K..][..K],
                        &base[row * N..][..N],
                        &pool,
                        variant,
                        &Serial,
                    );
                    assert_eq!(alone, expected[row * N..][..N]);
                }
                for projection in PROJECTIONS {
                    let pair = which.and_then(|i| adapters[i].get(1, projection.module));
                    for c in 0..projection.width {
                        let column = projection.column + c;
                        let delta: f64 = pair.map_or(0.0, |pair| delta(&pool, pair, &x[row * K..][..K], c));
                        let exact = f64::from(base[row * N + column]) + delta;
                        assert!((f64::from(expected[row * N + column]) - exact).abs() < 2e-4);
                    }
                }
            }
            row += count;
        }
        for variant in Variant::available() {
            assert_eq!(run(inputs(), &x, &base, &pool, variant, &Threads(3)), expected);
        }
    }

    #[test]
    #[should_panic(expected = "a rank row at odd byte 3")]
    fn a_rank_row_at_an_odd_byte_is_refused() {
        let pool = PagePool::new(512, 1).unwrap();
        let mut adapter = ResidentAdapter::new(2, 3);
        let rows = vec![RowAddress { page: 0, offset: 3 }];
        adapter.set(1, 0, Pair { scale: 1.0, inputs: K, outputs: WIDTHS[0], rows });
        let inputs = vec![sequence(1, Some((0, Arc::new(adapter))))];
        run(inputs, &[0.0; K], &[0.0; N], &pool, Variant::Portable, &Serial);
    }

    fn delta(pool: &PagePool, pair: &Pair, x: &[f32], column: usize) -> f64 {
        let value = |address: &RowAddress, i: usize| {
            // SAFETY: written by `adapter` above.
            let bits =
                unsafe { pool.page(address.page).add(address.offset as usize).cast::<u16>().add(i).read() };
            f16::from_bits(bits).to_f64()
        };
        pair.rows
            .iter()
            .map(|row| {
                let dot: f64 = x.iter().enumerate().map(|(i, x)| f64::from(*x) * value(row, i)).sum();
                dot * f64::from(pair.scale) * value(row, K + column)
            })
            .sum()
    }
}
