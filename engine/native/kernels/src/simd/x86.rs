//! The eight-lane float vector in AVX2.

use super::{Lanes, Pair};
use std::arch::x86_64::*;

#[derive(Clone, Copy)]
pub(crate) struct Avx2Lanes(__m256);

// SAFETY of every intrinsic below: this type is only named inside functions compiled with
// `target_feature(enable = "avx2,f16c")`, which `dispatch!` enters only on a processor that has both.
impl Lanes for Avx2Lanes {
    type Wide = Pair<Self>;
    #[inline(always)]
    fn splat(value: f32) -> Self {
        // SAFETY: see above.
        Self(unsafe { _mm256_set1_ps(value) })
    }
    #[inline(always)]
    unsafe fn load(source: *const f32) -> Self {
        // SAFETY: see above; the caller promises eight readable floats.
        Self(unsafe { _mm256_loadu_ps(source) })
    }
    #[inline(always)]
    unsafe fn load_fours(low: *const f32, high: *const f32) -> Self {
        // SAFETY: see above; the caller promises four readable floats each.
        Self(unsafe { _mm256_loadu2_m128(high, low) })
    }
    #[inline(always)]
    unsafe fn load_half(source: *const u16) -> Self {
        // SAFETY: see above; the caller promises eight readable half floats.
        Self(unsafe { _mm256_cvtph_ps(_mm_loadu_si128(source.cast())) })
    }
    #[inline(always)]
    unsafe fn load_i8(source: *const i8) -> Self {
        // SAFETY: see above; the caller promises eight readable bytes.
        Self(unsafe { _mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(_mm_loadl_epi64(source.cast()))) })
    }
    #[inline(always)]
    unsafe fn store(self, target: *mut f32) {
        // SAFETY: see above; the caller promises room for eight floats.
        unsafe { _mm256_storeu_ps(target, self.0) }
    }
    #[inline(always)]
    unsafe fn store_half(self, target: *mut u16) {
        // SAFETY: see above; the caller promises room for eight half floats.
        unsafe {
            let halves = _mm256_cvtps_ph::<_MM_FROUND_TO_NEAREST_INT>(self.0);
            _mm_storeu_si128(target.cast(), halves);
        }
    }
    #[inline(always)]
    fn add(self, other: Self) -> Self {
        // SAFETY: see above.
        Self(unsafe { _mm256_add_ps(self.0, other.0) })
    }
    #[inline(always)]
    fn mul(self, other: Self) -> Self {
        // SAFETY: see above.
        Self(unsafe { _mm256_mul_ps(self.0, other.0) })
    }
    #[inline(always)]
    fn max(self, other: Self) -> Self {
        // SAFETY: see above.
        Self(unsafe { _mm256_max_ps(self.0, other.0) })
    }
    #[inline(always)]
    fn sum(self) -> f32 {
        // SAFETY: see above.
        unsafe {
            let low = _mm256_castps256_ps128(self.0);
            let high = _mm256_extractf128_ps(self.0, 1);
            let four = _mm_add_ps(low, high);
            let two = _mm_add_ps(four, _mm_movehl_ps(four, four));
            _mm_cvtss_f32(_mm_add_ss(two, _mm_movehdup_ps(two)))
        }
    }
}
