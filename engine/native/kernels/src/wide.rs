//! The sixteen-lane float vector: a pair of [`Lanes`].

use crate::simd::Lanes;

/// Sixteen 32-bit floats. Lane by lane the same operations as [`Lanes`], so the same bits.
pub(crate) trait Wide: Copy {
    fn splat(value: f32) -> Self;
    /// # Safety
    /// `source` must be readable for sixteen floats, at any alignment.
    unsafe fn load(source: *const f32) -> Self;
    /// # Safety
    /// `source` must be readable for sixteen half floats, at any alignment.
    unsafe fn load_half(source: *const u16) -> Self;
    /// # Safety
    /// `source` must be readable for sixteen bytes.
    unsafe fn load_i8(source: *const i8) -> Self;
    /// # Safety
    /// `target` must be writable for sixteen floats, at any alignment.
    unsafe fn store(self, target: *mut f32);
    fn add(self, other: Self) -> Self;
    fn mul(self, other: Self) -> Self;
    /// As [`Lanes::max`].
    fn max(self, other: Self) -> Self;
    /// Lanes 8 to 15 added to lanes 0 to 7, and those as [`Lanes::sum`] does.
    fn sum(self) -> f32;
}

/// Sixteen lanes as two times eight.
#[derive(Clone, Copy)]
pub(crate) struct Pair<L>(L, L);

impl<L: Lanes> Wide for Pair<L> {
    #[inline(always)]
    fn splat(value: f32) -> Self {
        Self(L::splat(value), L::splat(value))
    }
    #[inline(always)]
    unsafe fn load(source: *const f32) -> Self {
        // SAFETY: the caller promises sixteen readable floats.
        unsafe { Self(L::load(source), L::load(source.add(8))) }
    }
    #[inline(always)]
    unsafe fn load_half(source: *const u16) -> Self {
        // SAFETY: the caller promises sixteen readable half floats.
        unsafe { Self(L::load_half(source), L::load_half(source.add(8))) }
    }
    #[inline(always)]
    unsafe fn load_i8(source: *const i8) -> Self {
        // SAFETY: the caller promises sixteen readable bytes.
        unsafe { Self(L::load_i8(source), L::load_i8(source.add(8))) }
    }
    #[inline(always)]
    unsafe fn store(self, target: *mut f32) {
        // SAFETY: the caller promises room for sixteen floats.
        unsafe {
            self.0.store(target);
            self.1.store(target.add(8));
        }
    }
    #[inline(always)]
    fn add(self, other: Self) -> Self {
        Self(self.0.add(other.0), self.1.add(other.1))
    }
    #[inline(always)]
    fn mul(self, other: Self) -> Self {
        Self(self.0.mul(other.0), self.1.mul(other.1))
    }
    #[inline(always)]
    fn max(self, other: Self) -> Self {
        Self(self.0.max(other.0), self.1.max(other.1))
    }
    #[inline(always)]
    fn sum(self) -> f32 {
        self.0.add(self.1).sum()
    }
}
