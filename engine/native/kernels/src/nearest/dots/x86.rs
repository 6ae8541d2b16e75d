//! Products by x86's vector instructions.

use std::arch::x86_64::*;

use super::super::query::{Query, STEP};
use super::fetch_ahead;

/// By `vpdpbusd` on 512 bits.
///
/// # Safety
/// The processor must have AVX-512 VNNI; the rest as [`super::dots`].
#[target_feature(enable = "avx512f,avx512vnni")]
pub(super) unsafe fn avx512_vnni(query: &Query, rows: &[*const u8], products: &mut [i32]) {
    for (index, product) in products.iter_mut().enumerate() {
        fetch_ahead(rows, index, query.codes.len());
        let row = rows[index];
        // Each waits for itself: two are faster than one.
        let mut sums = [_mm512_setzero_si512(); 2];
        for (step, codes) in query.codes.chunks_exact(STEP).enumerate() {
            // SAFETY: the caller promises as many bytes as there are codes.
            let (row, codes) = unsafe {
                (_mm512_loadu_si512(row.add(step * STEP).cast()), _mm512_loadu_si512(codes.as_ptr().cast()))
            };
            sums[step % 2] = _mm512_dpbusd_epi32(sums[step % 2], row, codes);
        }
        *product = _mm512_reduce_add_epi32(_mm512_add_epi32(sums[0], sums[1])) - query.surplus;
    }
}

/// By `vpdpbusd` on 256 bits.
///
/// # Safety
/// The processor must have AVX-VNNI; the rest as [`super::dots`].
#[target_feature(enable = "avx2,avxvnni")]
pub(super) unsafe fn avx_vnni(query: &Query, rows: &[*const u8], products: &mut [i32]) {
    for (index, product) in products.iter_mut().enumerate() {
        fetch_ahead(rows, index, query.codes.len());
        let row = rows[index];
        let mut sums = [_mm256_setzero_si256(); 2];
        for (step, codes) in query.codes.chunks_exact(STEP).enumerate() {
            for (half, sum) in sums.iter_mut().enumerate() {
                // SAFETY: the caller promises as many bytes as there are codes; a step is two halves.
                let (row, codes) = unsafe {
                    (
                        _mm256_loadu_si256(row.add(step * STEP + half * 32).cast()),
                        _mm256_loadu_si256(codes.as_ptr().add(half * 32).cast()),
                    )
                };
                *sum = _mm256_dpbusd_avx_epi32(*sum, row, codes);
            }
        }
        *product = total(_mm256_add_epi32(sums[0], sums[1])) - query.surplus;
    }
}

/// By `vpmaddwd`: rows are unpacked to 16 bits. (`vpmaddubsw` would saturate.)
///
/// # Safety
/// The processor must have AVX2; the rest as [`super::dots`].
#[target_feature(enable = "avx2")]
pub(super) unsafe fn avx2(query: &Query, rows: &[*const u8], products: &mut [i32]) {
    for (index, product) in products.iter_mut().enumerate() {
        fetch_ahead(rows, index, query.codes.len());
        let row = rows[index];
        let mut sums = [_mm256_setzero_si256(); 4];
        for (step, words) in query.words.chunks_exact(STEP).enumerate() {
            for (quarter, sum) in sums.iter_mut().enumerate() {
                // SAFETY: the caller promises as many bytes as there are codes; a step is four quarters.
                let (row, words) = unsafe {
                    (
                        _mm_loadu_si128(row.add(step * STEP + quarter * 16).cast()),
                        _mm256_loadu_si256(words.as_ptr().add(quarter * 16).cast()),
                    )
                };
                *sum = _mm256_add_epi32(*sum, _mm256_madd_epi16(_mm256_cvtepu8_epi16(row), words));
            }
        }
        let [a, b, c, d] = sums;
        *product = total(_mm256_add_epi32(_mm256_add_epi32(a, b), _mm256_add_epi32(c, d))) - query.surplus;
    }
}

#[target_feature(enable = "avx2")]
#[inline]
fn total(sum: __m256i) -> i32 {
    let four = _mm_add_epi32(_mm256_castsi256_si128(sum), _mm256_extracti128_si256(sum, 1));
    let two = _mm_add_epi32(four, _mm_shuffle_epi32(four, 0b00_00_11_10));
    _mm_cvtsi128_si32(_mm_add_epi32(two, _mm_shuffle_epi32(two, 1)))
}
