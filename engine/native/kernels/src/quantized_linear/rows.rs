//! Rows of activations, quantized at run time.

use super::{OFFSET, TINY, is_group};
use crate::parallel::Shared;
use crate::simd::Variant;

/// How a variant's tiles read a row's codes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Form {
    /// One byte per input, in order.
    #[default]
    Bytes,
    #[cfg_attr(not(target_arch = "x86_64"), allow(dead_code, reason = "only AVX2 wants it"))]
    /// 16 bits per input, each four in the order 0, 2, 1, 3: the even and the odd ones of four unpacked weights.
    Words,
}

impl Form {
    fn of(variant: Variant) -> Self {
        match variant {
            #[cfg(target_arch = "x86_64")]
            Variant::Avx2(_) => Self::Words,
            _ => Self::Bytes,
        }
    }

    const fn bytes(self) -> usize {
        match self {
            Self::Bytes => 1,
            Self::Words => 2,
        }
    }
}

/// Rows of activations in eight bits with one scale per row and group.
#[derive(Default)]
pub struct QuantizedRows {
    form: Form,
    k: usize,
    group: usize,
    pub(super) codes: Vec<u8>,
    pub(super) scales: Vec<f32>,
    /// Where the integer sum of a row and group starts: less what the weights' offset adds to it.
    pub(super) starts: Vec<i32>,
}

impl QuantizedRows {
    /// Makes room for `rows` rows of `k` values in groups of `group`, to be written in any order, also from
    /// several threads, and multiplied by the same variant. Only ever grown: what lies beyond is not read.
    pub(crate) fn writer(&mut self, rows: usize, k: usize, group: usize, variant: Variant) -> RowWriter {
        assert!(is_group(group) && k.is_multiple_of(group));
        (self.form, self.k, self.group) = (Form::of(variant), k, group);
        let groups = k / group;
        self.codes.resize(self.codes.len().max(rows * self.row_bytes()), 0);
        self.scales.resize(self.scales.len().max(rows * groups), 0.0);
        self.starts.resize(self.starts.len().max(rows * groups), 0);
        RowWriter {
            codes: Shared::new(&mut self.codes),
            scales: Shared::new(&mut self.scales),
            starts: Shared::new(&mut self.starts),
            k,
            group,
            variant,
        }
    }

    /// From one row's codes to the next's.
    pub(super) fn row_bytes(&self) -> usize {
        self.k * self.form.bytes()
    }

    /// # Panics
    /// When these are not `rows` or more rows made for such weights and this variant.
    pub(super) fn check(&self, rows: usize, k: usize, group: usize, variant: Variant) {
        assert_eq!((self.form, self.k, self.group), (Form::of(variant), k, group));
        assert!(self.codes.len() >= rows * self.row_bytes());
        assert!(self.scales.len() >= rows * (k / group) && self.starts.len() >= rows * (k / group));
    }
}

/// Writes rows of [`QuantizedRows`].
pub(crate) struct RowWriter {
    codes: Shared<u8>,
    scales: Shared<f32>,
    starts: Shared<i32>,
    k: usize,
    group: usize,
    variant: Variant,
}

impl RowWriter {
    /// Quantizes `x` into row `row`; inputs missing from the last group count as zero. A group that holds NaN or infinity gets a NaN scale, so that the row's
    /// results are NaN (and its request fails) rather than plausible; other rows are untouched.
    ///
    /// # Safety
    /// The [`QuantizedRows`] must be alive and unmoved, and no other thread may write or read this row.
    pub(crate) unsafe fn write(&self, row: usize, x: &[f32]) {
        let filled;
        let x = if x.len() == self.k {
            x
        } else {
            assert!(x.len() < self.k && x.len() > self.k - self.group);
            filled = [x, &vec![0.0; self.k - x.len()]].concat();
            &filled
        };
        let (groups, bytes) = (self.k / self.group, self.k * Form::of(self.variant).bytes());
        // SAFETY: passed on.
        let (codes, scales, starts) = unsafe {
            (
                self.codes.range(row * bytes, bytes),
                self.scales.range(row * groups, groups),
                self.starts.range(row * groups, groups),
            )
        };
        let row = Row { x, codes, scales, starts, group: self.group };
        match self.variant {
            #[cfg(target_arch = "x86_64")]
            // SAFETY: the variant was detected on this processor.
            Variant::Avx2(_) => unsafe { x86::words(row) },
            #[cfg(target_arch = "x86_64")]
            // SAFETY: as above; both have AVX2.
            Variant::AvxVnni(_) | Variant::Avx512Vnni(_) => unsafe { x86::bytes(row) },
            _ => portable(row),
        }
    }
}

/// One row and where its codes go; as many bytes as the form needs.
struct Row<'a> {
    x: &'a [f32],
    codes: &'a mut [u8],
    scales: &'a mut [f32],
    starts: &'a mut [i32],
    group: usize,
}

/// Bits of +∞; the bits of other magnitudes are below it if finite, above it if NaN.
const INFINITY: u32 = f32::INFINITY.to_bits();

/// A group's scale, and what its values are multiplied by.
#[inline(always)]
fn scale(largest_bits: u32) -> (f32, f32) {
    let largest = f32::from_bits(largest_bits);
    if largest_bits >= INFINITY {
        (f32::NAN, 0.0)
    } else {
        (largest / 127.0, if largest >= TINY { 127.0 / largest } else { 0.0 })
    }
}

#[inline(always)]
const fn start(sum: i32) -> i32 {
    -(OFFSET as i32) * sum
}

fn portable(row: Row<'_>) {
    // Adding and subtracting 1.5·2²³ rounds to the nearest integer, ties to even, without a libm call.
    const ROUND: f32 = 12_582_912.0;
    let groups = row.x.chunks_exact(row.group).zip(row.codes.chunks_exact_mut(row.group));
    for ((x, codes), (scale_out, start_out)) in groups.zip(row.scales.iter_mut().zip(row.starts)) {
        let magnitudes = x.iter().map(|value| value.abs().to_bits());
        let (scale, inverse) = scale(magnitudes.fold(0, u32::max));
        *scale_out = scale;
        if inverse == 0.0 {
            // NaN has no code; and a group of zeros needs no work.
            codes.fill(0);
            *start_out = 0;
            continue;
        }
        let mut sum = 0;
        for (code, value) in codes.iter_mut().zip(x) {
            let rounded = (value * inverse + ROUND) - ROUND;
            // SAFETY: finite, and at most 127 in magnitude but for a rounding.
            let integer: i32 = unsafe { rounded.to_int_unchecked() };
            *code = integer as u8;
            sum += integer;
        }
        *start_out = start(sum);
    }
}

#[cfg(target_arch = "x86_64")]
mod x86 {
    use std::arch::x86_64::*;

    use super::{Row, scale, start};

    /// Quantizes to [`super::Form::Bytes`].
    #[target_feature(enable = "avx2")]
    pub(super) fn bytes(row: Row<'_>) {
        let groups = row.x.chunks_exact(row.group).zip(row.codes.chunks_exact_mut(row.group));
        for ((x, codes), (scale_out, start_out)) in groups.zip(row.scales.iter_mut().zip(row.starts)) {
            let (scale, inverse) = scale(largest(x));
            *scale_out = scale;
            let mut sum = _mm256_setzero_si256();
            if inverse == 0.0 {
                codes.fill(0);
            } else {
                let inverse = _mm256_set1_ps(inverse);
                for (x, codes) in x.chunks_exact(32).zip(codes.chunks_exact_mut(32)) {
                    let [a, b, c, d] = integers(x, inverse, &mut sum);
                    let packed = _mm256_packs_epi16(_mm256_packs_epi32(a, b), _mm256_packs_epi32(c, d));
                    // Packing works on halves: undo what that did to the order of the fours.
                    let order = _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7);
                    let packed = _mm256_permutevar8x32_epi32(packed, order);
                    // SAFETY: the chunk holds 32 bytes.
                    unsafe { _mm256_storeu_si256(codes.as_mut_ptr().cast(), packed) };
                }
            }
            *start_out = start(total(sum));
        }
    }

    /// Quantizes to [`super::Form::Words`].
    #[target_feature(enable = "avx2")]
    pub(super) fn words(row: Row<'_>) {
        let groups = row.x.chunks_exact(row.group).zip(row.codes.chunks_exact_mut(2 * row.group));
        for ((x, codes), (scale_out, start_out)) in groups.zip(row.scales.iter_mut().zip(row.starts)) {
            let (scale, inverse) = scale(largest(x));
            *scale_out = scale;
            let mut sum = _mm256_setzero_si256();
            if inverse == 0.0 {
                codes.fill(0);
            } else {
                let inverse = _mm256_set1_ps(inverse);
                for (x, codes) in x.chunks_exact(32).zip(codes.chunks_exact_mut(64)) {
                    let [a, b, c, d] = integers(x, inverse, &mut sum);
                    for (pair, codes) in [(a, b), (c, d)].into_iter().zip(codes.chunks_exact_mut(32)) {
                        let packed = _mm256_packs_epi32(pair.0, pair.1);
                        let packed = _mm256_permute4x64_epi64(packed, 0b11_01_10_00);
                        let packed = _mm256_shufflelo_epi16(packed, 0b11_01_10_00);
                        let packed = _mm256_shufflehi_epi16(packed, 0b11_01_10_00);
                        // SAFETY: the chunk holds 32 bytes.
                        unsafe { _mm256_storeu_si256(codes.as_mut_ptr().cast(), packed) };
                    }
                }
            }
            *start_out = start(total(sum));
        }
    }

    /// Bits of the largest magnitude; as integers, NaN and infinity are above the finite ones.
    #[target_feature(enable = "avx2")]
    #[inline]
    fn largest(x: &[f32]) -> u32 {
        let magnitude = _mm256_set1_epi32(0x7fff_ffff);
        let mut largest = [_mm256_setzero_si256(); 4];
        for x in x.chunks_exact(32) {
            for (largest, x) in largest.iter_mut().zip(x.chunks_exact(8)) {
                // SAFETY: the chunk holds eight floats.
                let bits = unsafe { _mm256_loadu_si256(x.as_ptr().cast()) };
                *largest = _mm256_max_epi32(*largest, _mm256_and_si256(bits, magnitude));
            }
        }
        let [a, b, c, d] = largest;
        let eight = _mm256_max_epi32(_mm256_max_epi32(a, b), _mm256_max_epi32(c, d));
        let four = _mm_max_epi32(_mm256_castsi256_si128(eight), _mm256_extracti128_si256(eight, 1));
        let two = _mm_max_epi32(four, _mm_shuffle_epi32(four, 0b00_00_11_10));
        _mm_cvtsi128_si32(_mm_max_epi32(two, _mm_shuffle_epi32(two, 1))) as u32
    }

    /// The codes of 32 values, which are also added to `sum`.
    #[target_feature(enable = "avx2")]
    #[inline]
    fn integers(x: &[f32], inverse: __m256, sum: &mut __m256i) -> [__m256i; 4] {
        let mut codes = [_mm256_setzero_si256(); 4];
        for (code, x) in codes.iter_mut().zip(x.chunks_exact(8)) {
            // SAFETY: the chunk holds eight floats.
            let x = unsafe { _mm256_loadu_ps(x.as_ptr()) };
            *code = _mm256_cvtps_epi32(_mm256_mul_ps(x, inverse));
            *sum = _mm256_add_epi32(*sum, *code);
        }
        codes
    }

    #[target_feature(enable = "avx2")]
    #[inline]
    fn total(sum: __m256i) -> i32 {
        let four = _mm_add_epi32(_mm256_castsi256_si128(sum), _mm256_extracti128_si256(sum, 1));
        let two = _mm_add_epi32(four, _mm_shuffle_epi32(four, 0b00_00_11_10));
        _mm_cvtsi128_si32(_mm_add_epi32(two, _mm_shuffle_epi32(two, 1)))
    }
}
