//! Sparse matrices whose weights are few bits each, for fine-tunes kept as deltas: y += scale · Σ level · x.
//!
//! Of four neighbouring inputs two count, and a byte says which and how much ([`code`]). The matrix lies in pages of the
//! pool as runs of panels of sixteen outputs. A table that stays in the first-level cache has each code's levels as floats, so
//! that a code costs a look-up, whatever it says, and no conversion.

pub mod code;
mod product;

use std::ops::Range;

use crate::lora::SLAB_ALIGNMENT;
use crate::pool::PagePool;
use crate::quantized_linear::{PANEL, panels};
use crate::simd::Variant;
use code::{GROUP, ZERO};
use product::AT_ONCE;

/// A run of panels in one page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SparsePlace {
    pub page: u32,
    /// In bytes from the start of the page, a multiple of [`SLAB_ALIGNMENT`].
    pub offset: u32,
    /// Of sixteen outputs each.
    pub panels: u32,
}

/// The sparse part of one projection of one layer.
#[derive(Clone, Debug)]
pub struct Sparse {
    /// A multiple of four.
    pub inputs: usize,
    pub outputs: usize,
    /// In ascending panels.
    pub places: Vec<SparsePlace>,
}

/// Where the codes begin in a place: after the outputs' scales.
const fn codes_offset(panels: usize) -> usize {
    (panels * PANEL * size_of::<f32>()).next_multiple_of(SLAB_ALIGNMENT)
}

/// Bytes of a run of panels.
pub const fn place_bytes(panels: usize, inputs: usize) -> usize {
    codes_offset(panels) + panels * PANEL * (inputs / GROUP)
}

/// Writes some panels of a matrix into their place; `codes` is `[output][inputs / 4]` and `scales` has a number for each
/// output. Outputs beyond the last are zero.
///
/// # Panics
/// When the lengths do not fit the shapes, or `place` is not [`place_bytes`] long.
pub fn write(codes: &[u8], scales: &[f32], inputs: usize, panels: Range<usize>, place: &mut [u8]) {
    let (outputs, row) = (scales.len(), inputs / GROUP);
    assert!(inputs.is_multiple_of(GROUP) && codes.len() == outputs * row);
    assert!(panels.start <= panels.end && panels.end <= self::panels(outputs));
    assert_eq!(place.len(), place_bytes(panels.len(), inputs));
    let (scales_place, codes_place) = place.split_at_mut(codes_offset(panels.len()));
    scales_place.fill(0);
    codes_place.fill(ZERO);
    let own = panels.start * PANEL..outputs.min(panels.end * PANEL);
    for (scale, place) in scales[own.clone()].iter().zip(scales_place.chunks_exact_mut(size_of::<f32>())) {
        place.copy_from_slice(&scale.to_ne_bytes());
    }
    codes_place[..own.len() * row].copy_from_slice(&codes[own.start * row..own.end * row]);
}

impl Sparse {
    /// Adds the product of some panels with some rows: `out[row * stride + (panel - panels.start) * 16 + lane] +=
    /// scale · Σ level · x[row]`; the last panel's padding becomes whatever it was plus 0.
    ///
    /// # Panics
    /// When lengths differ, there are no such panels, or a place lies outside the pool.
    pub fn add(
        &self,
        panels: Range<usize>,
        x: &[&[f32]],
        out: &mut [f32],
        stride: usize,
        pool: &PagePool,
        variant: Variant,
    ) {
        if x.is_empty() || panels.is_empty() {
            return;
        }
        let columns = panels.len() * PANEL;
        assert!(x.iter().all(|x| x.len() == self.inputs));
        assert!(columns <= stride && out.len() >= (x.len() - 1) * stride + columns);
        let mut dots = vec![0f32; AT_ONCE * x.len()];
        let mut done = panels.start;
        for (first, place) in self.numbered_places() {
            let from = panels.start.max(first);
            let to = panels.end.min(first + place.panels as usize);
            if from >= to {
                continue;
            }
            assert_eq!(from, done);
            done = to;
            let (scales, codes) = self.numbers(place, pool);
            for output in ((from - first) * PANEL..(to - first) * PANEL).step_by(AT_ONCE) {
                let row = self.inputs / GROUP;
                product::dots(&codes[output * row..][..AT_ONCE * row], x, &mut dots, variant);
                let column = output + first * PANEL - panels.start * PANEL;
                for (lane, dots) in dots.chunks_exact(x.len()).enumerate() {
                    for (row, dot) in dots.iter().enumerate() {
                        out[row * stride + column + lane] += scales[output + lane] * dot;
                    }
                }
            }
        }
        assert_eq!(done, panels.end, "the matrix has no panel {done}");
    }

    /// Each place with its first panel.
    fn numbered_places(&self) -> impl Iterator<Item = (usize, &SparsePlace)> {
        self.places.iter().scan(0, |next, place| {
            let first = *next;
            *next += place.panels as usize;
            Some((first, place))
        })
    }

    /// Scales and codes of a place.
    ///
    /// # Panics
    /// When it lies outside the pool or between alignments.
    #[inline(always)]
    fn numbers<'a>(&self, place: &SparsePlace, pool: &'a PagePool) -> (&'a [f32], &'a [u8]) {
        let (offset, panels) = (place.offset as usize, place.panels as usize);
        let bytes = place_bytes(panels, self.inputs);
        assert!(
            offset + bytes <= pool.page_bytes(),
            "{panels} panels of {bytes} bytes at byte {offset} of a page"
        );
        assert!(offset.is_multiple_of(SLAB_ALIGNMENT), "panels at byte {offset}");
        // SAFETY: inside the page, whose start is aligned; the pages belong to this adapter while it is resident and are
        // only read.
        unsafe {
            let start = pool.page(place.page).add(offset);
            let codes = start.add(codes_offset(panels));
            (
                std::slice::from_raw_parts(start.cast(), panels * PANEL),
                std::slice::from_raw_parts(codes, panels * PANEL * (self.inputs / GROUP)),
            )
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const K: usize = 76;
    const N: usize = 45;
    /// Columns from one row of sums to the next.
    const STRIDE: usize = panels(N) * PANEL + 3;

    fn numbers(count: usize, seed: usize) -> Vec<f32> {
        let number = |i: usize| ((i.wrapping_mul(2_654_435_761) >> 7) % 2001) as f32 / 1000.0 - 1.0;
        (0..count).map(|i| number(i + seed * 7919)).collect()
    }

    fn matrix() -> (Vec<u8>, Vec<f32>) {
        let codes = (0..N * K / GROUP).map(|i| (i.wrapping_mul(2_654_435_761) >> 9) % 217).map(|c| c as u8);
        (codes.collect(), numbers(N, 5))
    }

    /// The matrix in runs of the given numbers of panels.
    fn sparse(runs: &[u32], pool: &PagePool) -> Sparse {
        let (codes, scales) = matrix();
        let mut sparse = Sparse { inputs: K, outputs: N, places: Vec::new() };
        let mut first = 0;
        for (index, panels) in runs.iter().enumerate() {
            let place =
                SparsePlace { page: 2 * index as u32, offset: 64 * (index as u32 % 3), panels: *panels };
            // SAFETY: within the page, and nothing else refers to it.
            let bytes = unsafe {
                let start = pool.page(place.page).add(place.offset as usize);
                std::slice::from_raw_parts_mut(start, place_bytes(*panels as usize, K))
            };
            write(&codes, &scales, K, first..first + *panels as usize, bytes);
            first += *panels as usize;
            sparse.places.push(place);
        }
        sparse
    }

    /// The sums for rows `x`, with the panels cut at `cut`.
    fn run(sparse: &Sparse, x: &[&[f32]], cut: usize, pool: &PagePool, variant: Variant) -> Vec<f32> {
        let mut sums: Vec<f32> = (0..x.len()).flat_map(|_| numbers(STRIDE, 99)).collect();
        sparse.add(0..cut, x, &mut sums, STRIDE, pool, variant);
        sparse.add(cut..panels(N), x, &mut sums[cut * PANEL..], STRIDE, pool, variant);
        sums
    }

    #[test]
    fn a_row_has_the_same_bits_in_any_company_cut_places_and_variant() {
        let pool = PagePool::new(8192, 8).unwrap();
        let values: Vec<Vec<f32>> = (0..7).map(|row| numbers(K, 1000 + row)).collect();
        let x: Vec<&[f32]> = values.iter().map(Vec::as_slice).collect();
        let sums = run(&sparse(&[3], &pool), &x, 1, &pool, Variant::Portable);
        for (row, sums) in sums.chunks(STRIDE).enumerate() {
            assert_eq!(sums[N..], numbers(STRIDE, 99)[N..], "the padding of row {row} is not what it was");
        }
        for runs in [&[3][..], &[1, 2], &[2, 1], &[1, 1, 1]] {
            let sparse = sparse(runs, &pool);
            for (variant, cut) in Variant::available().into_iter().flat_map(|v| [0, 1, 2, 3].map(|c| (v, c)))
            {
                assert_eq!(run(&sparse, &x, cut, &pool, variant), sums);
                for (row, x) in x.iter().enumerate() {
                    assert_eq!(run(&sparse, &[x], cut, &pool, variant), sums[row * STRIDE..][..STRIDE]);
                }
            }
        }
    }

    #[test]
    fn it_is_the_product_with_the_decoded_matrix() {
        let pool = PagePool::new(8192, 2).unwrap();
        let (codes, scales) = matrix();
        let x = numbers(K, 3);
        let sums = run(&sparse(&[3], &pool), &[&x], 1, &pool, Variant::Portable);
        for (output, sum) in sums[..N].iter().enumerate() {
            let levels =
                codes[output * K / GROUP..][..K / GROUP].iter().flat_map(|c| code::decode(*c).unwrap());
            let dot: f64 = levels.zip(&x).map(|(level, x)| f64::from(level) * f64::from(*x)).sum();
            let exact = f64::from(numbers(STRIDE, 99)[output]) + f64::from(scales[output]) * dot;
            assert!((f64::from(*sum) - exact).abs() < 1e-3, "{output}: {sum} {exact}");
        }
    }

    fn misplaced(offset: u32) -> Sparse {
        Sparse { inputs: K, outputs: N, places: vec![SparsePlace { page: 0, offset, panels: 3 }] }
    }

    fn add_all(sparse: &Sparse, pool: &PagePool) {
        sparse.add(0..3, &[&[0.0; K]], &mut [0.0; 48], 48, pool, Variant::Portable);
    }

    #[test]
    #[should_panic(expected = "panels at byte 3")]
    fn panels_between_alignments_are_refused() {
        add_all(&misplaced(3), &PagePool::new(2048, 1).unwrap());
    }

    #[test]
    #[should_panic(expected = "3 panels of 1104 bytes at byte 64 of a page")]
    fn panels_that_cross_their_page_are_refused() {
        add_all(&misplaced(64), &PagePool::new(1152, 2).unwrap());
    }

    #[test]
    #[should_panic(expected = "page 1 of 1")]
    fn a_page_that_is_not_there_is_refused() {
        let mut sparse = misplaced(0);
        sparse.places[0].page = 1;
        add_all(&sparse, &PagePool::new(2048, 1).unwrap());
    }

    #[test]
    #[should_panic(expected = "the matrix has no panel 3")]
    fn panels_that_are_not_there_are_refused() {
        let pool = PagePool::new(2048, 1).unwrap();
        misplaced(0).add(0..4, &[&[0.0; K]], &mut [0.0; 64], 64, &pool, Variant::Portable);
    }
}
