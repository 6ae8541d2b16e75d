//! Low-rank adapters for any mix of adapters, ranks and rows in one call: y += scale · B·(A·x).
//!
//! An adapter lies in pages of the pool as rank rows: row j of A directly before column j of B, both half
//! floats, no row crossing a page (S-LoRA's unified paging). So one pass over a rank row does all the work
//! that row is good for, and each adapter is read once for all its rows of the batch.

use std::ops::Range;

use crate::pool::PagePool;
use crate::simd::{Lanes, Variant, dispatch, half_to_float};

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

impl Pair {
    pub fn rank(&self) -> usize {
        self.rows.len()
    }

    /// The halves of a rank row: row j of A, column j of B.
    ///
    /// # Panics
    /// When the row does not lie inside the pool, at an even byte.
    fn rank_row<'a>(&self, j: usize, pool: &'a PagePool) -> (&'a [u16], &'a [u16]) {
        let address = self.rows[j];
        assert!(address.offset as usize + row_bytes(self.inputs, self.outputs) <= pool.page_bytes());
        assert!(address.offset.is_multiple_of(2), "a rank row at odd byte {}", address.offset);
        // SAFETY: in bounds and aligned by the assertions; the pages belong to this adapter while it is resident
        // and are only read.
        let row = unsafe {
            let start = pool.page(address.page).add(address.offset as usize).cast::<u16>();
            std::slice::from_raw_parts(start, self.inputs + self.outputs)
        };
        row.split_at(self.inputs)
    }

    /// The first half, for some ranks: `factors[(j - ranks.start) * x.len() + row] = scale · a_j·x[row]`.
    ///
    /// # Panics
    /// When a row of `x` is not `inputs` long, or `factors` has not a value for each rank and row.
    pub fn shrink(
        &self,
        ranks: Range<usize>,
        x: &[&[f32]],
        factors: &mut [f32],
        pool: &PagePool,
        variant: Variant,
    ) {
        assert!(x.iter().all(|row| row.len() == self.inputs));
        assert_eq!(factors.len(), ranks.len() * x.len());
        for (j, factors) in ranks.zip(factors.chunks_exact_mut(x.len())) {
            let (a, _) = self.rank_row(j, pool);
            // SAFETY: the variant was detected on this processor; the lengths fit.
            unsafe { dispatch!(variant, dots_body(a: &[u16], x: &[&[f32]], factors: &mut [f32])) };
            factors.iter_mut().for_each(|factor| *factor *= self.scale);
        }
    }

    /// The second half, for some columns: `out[row * stride + i] += Σ_j factors[j * rows + row] · b_j[columns.start + i]`,
    /// added in ascending order of j.
    ///
    /// # Panics
    /// When the lengths do not fit.
    pub fn expand(
        &self,
        columns: Range<usize>,
        factors: &[f32],
        rows: usize,
        out: &mut [f32],
        stride: usize,
        pool: &PagePool,
        variant: Variant,
    ) {
        assert_eq!(factors.len(), self.rank() * rows);
        for (j, factors) in factors.chunks_exact(rows).enumerate() {
            let (_, b) = self.rank_row(j, pool);
            let b = &b[columns.clone()];
            for (row, factor) in factors.iter().copied().enumerate() {
                let out = &mut out[row * stride..][..b.len()];
                // SAFETY: the variant was detected on this processor; the lengths are equal.
                unsafe { dispatch!(variant, add_body(b: &[u16], factor: f32, out: &mut [f32])) };
            }
        }
    }
}

/// # Safety
/// Each row of `x` must be as long as `a`, and `factors` have a value for each.
#[inline(always)]
unsafe fn dots_body<L: Lanes>(a: &[u16], x: &[&[f32]], factors: &mut [f32]) {
    for (x, factor) in x.iter().zip(factors) {
        let mut sums = [L::splat(0.0); 4];
        let whole = x.len() / 32 * 32;
        for i in (0..whole).step_by(32) {
            for (j, sum) in sums.iter_mut().enumerate() {
                // SAFETY: i + 32 <= length.
                unsafe {
                    let at = i + j * 8;
                    *sum = sum.add(L::load(x.as_ptr().add(at)).mul(L::load_half(a.as_ptr().add(at))));
                }
            }
        }
        let vectors = (sums[0].add(sums[1])).add(sums[2].add(sums[3])).sum();
        let rest = x[whole..].iter().zip(&a[whole..]);
        *factor = rest.fold(vectors, |sum, (x, a)| sum + x * half_to_float(*a));
    }
}

/// # Safety
/// `b` and `out` must be equally long.
#[inline(always)]
unsafe fn add_body<L: Lanes>(b: &[u16], factor: f32, out: &mut [f32]) {
    let lanes = L::splat(factor);
    let whole = out.len() / 8 * 8;
    for i in (0..whole).step_by(8) {
        // SAFETY: i + 8 <= length.
        unsafe {
            let sum = L::load(out.as_ptr().add(i)).add(L::load_half(b.as_ptr().add(i)).mul(lanes));
            sum.store(out.as_mut_ptr().add(i));
        }
    }
    for (out, b) in out[whole..].iter_mut().zip(&b[whole..]) {
        *out += half_to_float(*b) * factor;
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use half::f16;

    use super::*;
    use crate::adapted_linear::{AdaptedLinear, Adapters, Epilogue, Scratch, Weights};
    use crate::parallel::{Parallel, Serial, Threads};
    use crate::step::{BLOCK_TOKENS, SequenceInput, Step};

    const K: usize = 44;
    const WIDTHS: [usize; 2] = [37, 24];
    const N: usize = WIDTHS[0] + WIDTHS[1];
    /// The module that each projection is.
    const MODULES: [usize; 2] = [0, 2];

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
        let layer = AdaptedLinear {
            k: K,
            widths: &WIDTHS,
            weights: Weights::None,
            bias: None,
            norm: None,
            adapters: Some(Adapters { layer: 1, modules: &MODULES, pool }),
            epilogue: Epilogue::Add,
        };
        layer.forward(x, step.order(), &mut out, &mut Scratch::default(), variant, parallel);
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
                for (first, (module, width)) in
                    [0, WIDTHS[0]].into_iter().zip(MODULES.into_iter().zip(WIDTHS))
                {
                    let pair = which.and_then(|i| adapters[i].get(1, module));
                    for c in 0..width {
                        let column = first + c;
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
