//! What a slab looks like in a page: up to [`SLAB_RANKS`] ranks of one pair, in one run of bytes.
//!
//! With int8, first two floats for each rank: the scales of A's row and of B's column. Then A, `[rank][input]`. Then B in
//! panels of sixteen outputs, `[panel][rank][16]`, as the base product's blocks are cut: what a block needs lies in
//! one run. Each part begins on a cache line; outputs beyond the last are zero.

use std::ops::Range;

use half::slice::HalfFloatSliceExt;

use crate::prefetch::LINE;
use crate::quantized_linear::{PANEL, panels};
use crate::simd::{Lanes, half_to_float};

/// The most ranks in a slab.
pub const SLAB_RANKS: usize = 16;
/// Slabs begin at multiples of this many bytes.
pub const SLAB_ALIGNMENT: usize = LINE;

/// How an adapter's numbers are kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LoraDtype {
    F16,
    /// A byte for each number: code · scale, symmetric, with a scale for each row of A and column of B.
    Int8,
}

impl LoraDtype {
    /// Bytes of a number.
    const fn width(self) -> usize {
        match self {
            Self::F16 => 2,
            Self::Int8 => 1,
        }
    }

    /// Where A begins in a slab.
    const fn a_offset(self, ranks: usize) -> usize {
        match self {
            Self::F16 => 0,
            Self::Int8 => (ranks * size_of::<[f32; 2]>()).next_multiple_of(SLAB_ALIGNMENT),
        }
    }

    /// Where a rank's row of A begins in a slab.
    pub(super) const fn a_row(self, ranks: usize, rank: usize, inputs: usize) -> usize {
        self.a_offset(ranks) + rank * inputs * self.width()
    }

    /// Where B begins in a slab.
    pub(super) const fn b_offset(self, ranks: usize, inputs: usize) -> usize {
        (self.a_offset(ranks) + ranks * inputs * self.width()).next_multiple_of(SLAB_ALIGNMENT)
    }

    /// Bytes of a panel of B.
    pub(super) const fn panel_bytes(self, ranks: usize) -> usize {
        ranks * PANEL * self.width()
    }

    /// Bytes of a slab.
    pub const fn slab_bytes(self, ranks: usize, inputs: usize, outputs: usize) -> usize {
        self.b_offset(ranks, inputs) + panels(outputs) * self.panel_bytes(ranks)
    }

    /// Writes some of a pair's ranks into a slab; `a` is `[rank][inputs]` and `b` `[outputs][rank]`. Numbers that a half
    /// float or a code cannot hold are rounded to the nearest, ties to even; codes are −127 to 127.
    ///
    /// # Panics
    /// When the lengths do not fit the shapes, or `slab` is not [`LoraDtype::slab_bytes`] long.
    pub fn write(self, a: &[f32], b: &[f32], rank: usize, ranks: Range<usize>, slab: &mut [u8]) {
        assert!(a.len().is_multiple_of(rank) && b.len().is_multiple_of(rank) && ranks.end <= rank);
        let (inputs, outputs) = (a.len() / rank, b.len() / rank);
        assert_eq!(slab.len(), self.slab_bytes(ranks.len(), inputs, outputs));
        match self {
            Self::F16 => write_halves(a, b, rank, ranks, slab),
            Self::Int8 => self.write_codes(a, b, rank, ranks, slab),
        }
    }

    fn write_codes(self, a: &[f32], b: &[f32], rank: usize, ranks: Range<usize>, slab: &mut [u8]) {
        let inputs = a.len() / rank;
        slab.fill(0);
        let count = ranks.len();
        let (front, b_slab) = slab.split_at_mut(self.b_offset(count, inputs));
        let (header, a_slab) = front.split_at_mut(self.a_offset(count));
        for (index, j) in ranks.enumerate() {
            let column: Vec<f32> = b[j..].iter().step_by(rank).copied().collect();
            let row = quantize(&a[j * inputs..][..inputs]);
            let column = quantize(&column);
            a_slab[index * inputs..][..inputs].copy_from_slice(&row.numbers);
            for (panel, part) in column.numbers.chunks(PANEL).enumerate() {
                b_slab[(panel * count + index) * PANEL..][..part.len()].copy_from_slice(part);
            }
            let scales = &mut header[index * size_of::<[f32; 2]>()..];
            scales[..4].copy_from_slice(&row.scale.to_ne_bytes());
            scales[4..8].copy_from_slice(&column.scale.to_ne_bytes());
        }
    }
}

/// An adapter is written whenever it comes back, beside the steps of others: a run of numbers at a time, and B in one pass.
fn write_halves(a: &[f32], b: &[f32], rank: usize, ranks: Range<usize>, slab: &mut [u8]) {
    let inputs = a.len() / rank;
    let count = ranks.len();
    let (a_slab, b_slab) = slab.split_at_mut(LoraDtype::F16.b_offset(count, inputs));
    let rows = &a[ranks.start * inputs..ranks.end * inputs];
    let (row_bytes, gap) = a_slab.split_at_mut(2 * rows.len());
    put_halves(rows, row_bytes);
    gap.fill(0);
    let mut panel = vec![0f32; count * PANEL];
    let outputs = b.chunks(rank * PANEL);
    for (outputs, place) in outputs.zip(b_slab.chunks_exact_mut(LoraDtype::F16.panel_bytes(count))) {
        // Only the last panel may lack outputs.
        panel.fill(0.0);
        for (output, values) in outputs.chunks_exact(rank).enumerate() {
            for (index, value) in values[ranks.clone()].iter().enumerate() {
                panel[index * PANEL + output] = *value;
            }
        }
        put_halves(&panel, place);
    }
}

fn put_halves(values: &[f32], place: &mut [u8]) {
    const AT_ONCE: usize = 256;
    let mut halves = [half::f16::ZERO; AT_ONCE];
    for (values, place) in values.chunks(AT_ONCE).zip(place.chunks_mut(2 * AT_ONCE)) {
        let halves = &mut halves[..values.len()];
        halves.convert_from_f32_slice(values);
        for (half, place) in halves.iter().zip(place.chunks_exact_mut(2)) {
            place.copy_from_slice(&half.to_ne_bytes());
        }
    }
}

/// Numbers as codes.
struct Coded {
    numbers: Vec<u8>,
    scale: f32,
}

fn quantize(values: &[f32]) -> Coded {
    let largest = values.iter().fold(0f32, |largest, value| largest.max(value.abs()));
    let scale = largest / 127.0;
    let code = |value: &f32| {
        let rounded = if scale > 0.0 { (value / scale).round_ties_even() } else { 0.0 };
        (rounded.clamp(-127.0, 127.0) as i8).cast_unsigned()
    };
    Coded { numbers: values.iter().map(code).collect(), scale }
}

/// A number in a slab. Its value is the stored one times the scale that [`Weight::scale`] finds.
pub(crate) trait Weight: Copy {
    const DTYPE: LoraDtype;

    /// # Safety
    /// `source` must be readable for eight values.
    unsafe fn load<L: Lanes>(source: *const Self) -> L;

    fn value(self) -> f32;

    /// The scale of A's row times that of B's column.
    ///
    /// # Safety
    /// A slab of this type must begin at `slab`, at a multiple of [`SLAB_ALIGNMENT`], and have that rank.
    unsafe fn scale(slab: *const u8, rank: usize) -> f32;
}

impl Weight for u16 {
    const DTYPE: LoraDtype = LoraDtype::F16;

    #[inline(always)]
    unsafe fn load<L: Lanes>(source: *const u16) -> L {
        // SAFETY: passed on.
        unsafe { L::load_half(source) }
    }

    #[inline(always)]
    fn value(self) -> f32 {
        half_to_float(self)
    }

    unsafe fn scale(_: *const u8, _: usize) -> f32 {
        1.0
    }
}

impl Weight for i8 {
    const DTYPE: LoraDtype = LoraDtype::Int8;

    #[inline(always)]
    unsafe fn load<L: Lanes>(source: *const i8) -> L {
        // SAFETY: passed on.
        unsafe { L::load_i8(source) }
    }

    #[inline(always)]
    fn value(self) -> f32 {
        f32::from(self)
    }

    unsafe fn scale(slab: *const u8, rank: usize) -> f32 {
        // SAFETY: the header holds two aligned floats for each rank.
        let [a, b] = unsafe { slab.cast::<[f32; 2]>().add(rank).read() };
        a * b
    }
}

/// The numbers of a slab.
pub(super) struct Numbers<'a, W> {
    pub(super) a: &'a [W],
    pub(super) b: &'a [W],
}

impl<W: Weight> Numbers<'_, W> {
    /// # Safety
    /// A slab of that many ranks and this shape must lie at `slab`, and not be written while the numbers are in use.
    #[inline(always)]
    pub(super) unsafe fn of(slab: *const u8, ranks: usize, inputs: usize, outputs: usize) -> Self {
        let (a, b) = (W::DTYPE.a_offset(ranks), W::DTYPE.b_offset(ranks, inputs));
        // SAFETY: inside the slab; parts begin on cache lines.
        unsafe {
            Self {
                a: std::slice::from_raw_parts(slab.add(a).cast(), ranks * inputs),
                b: std::slice::from_raw_parts(slab.add(b).cast(), panels(outputs) * ranks * PANEL),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_within_half_a_step_and_rounded_to_even() {
        let coded = quantize(&[0.0, 1.27, -1.27, 0.005, 0.0149, -0.0251]);
        let codes: Vec<i8> = coded.numbers.iter().map(|code| code.cast_signed()).collect();
        assert_eq!(codes, [0, 127, -127, 0, 1, -3]);
        assert_eq!(coded.scale, 1.27 / 127.0);
    }

    #[test]
    fn tiny_and_huge_numbers_are_quantized_too() {
        for largest in [f32::MIN_POSITIVE, f32::from_bits(1), 65504.0, 1e38] {
            let values = [largest, -largest, largest / 2.0];
            let coded = quantize(&values);
            for (code, value) in coded.numbers.iter().zip(values) {
                let error = f32::from(code.cast_signed()) * coded.scale - value;
                assert!(error.abs() <= largest / 254.0 * 1.001 + 1e-42, "{largest} {error}");
            }
        }
    }

    #[test]
    fn a_slab_holds_rows_of_a_and_panels_of_b() {
        // Rank 3, two inputs, seventeen outputs; the slab has the last two ranks.
        let a: Vec<f32> = (0..6).map(|i| i as f32).collect();
        let b: Vec<f32> = (0..51).map(|i| 100.0 + i as f32).collect();
        let bytes = LoraDtype::F16.slab_bytes(2, 2, 17);
        assert_eq!(bytes, 64 + 2 * 2 * 16 * 2);
        let mut slab = vec![1u8; bytes];
        LoraDtype::F16.write(&a, &b, 3, 1..3, &mut slab);
        let halves: Vec<f32> =
            slab.chunks_exact(2).map(|h| half_to_float(u16::from_ne_bytes([h[0], h[1]]))).collect();
        assert_eq!(halves[..4], [2.0, 3.0, 4.0, 5.0]);
        assert!(halves[4..32].iter().all(|padding| *padding == 0.0));
        assert_eq!(halves[32..34], [101.0, 104.0]);
        assert_eq!(halves[48..50], [102.0, 105.0]);
        assert_eq!((halves[64], halves[65], halves[80], halves[81]), (149.0, 0.0, 150.0, 0.0));
    }
}
