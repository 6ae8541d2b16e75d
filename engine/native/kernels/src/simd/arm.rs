//! The eight-lane float vector in NEON.

use super::{Lanes, Pair};
use std::arch::aarch64::*;

/// NEON is part of every aarch64 target that has an operating system, so nothing has to be detected.
#[derive(Clone, Copy)]
pub(crate) struct NeonLanes(float32x4_t, float32x4_t);

impl Lanes for NeonLanes {
    type Wide = Pair<Self>;
    #[inline(always)]
    fn splat(value: f32) -> Self {
        // SAFETY: NEON is there.
        unsafe { Self(vdupq_n_f32(value), vdupq_n_f32(value)) }
    }
    #[inline(always)]
    unsafe fn load(source: *const f32) -> Self {
        // SAFETY: the caller promises eight readable floats.
        unsafe { Self(vld1q_f32(source), vld1q_f32(source.add(4))) }
    }
    #[inline(always)]
    unsafe fn load_fours(low: *const f32, high: *const f32) -> Self {
        // SAFETY: the caller promises four readable floats each.
        unsafe { Self(vld1q_f32(low), vld1q_f32(high)) }
    }
    #[inline(always)]
    unsafe fn load_half(source: *const u16) -> Self {
        // SAFETY: the caller promises eight readable half floats.
        unsafe {
            let halves = vld1q_u16(source);
            let (low, high): (float32x4_t, float32x4_t);
            std::arch::asm!(
                "fcvtl {low:v}.4s, {halves:v}.4h",
                "fcvtl2 {high:v}.4s, {halves:v}.8h",
                halves = in(vreg) halves,
                low = out(vreg) low,
                high = lateout(vreg) high,
                options(pure, nomem, nostack, preserves_flags),
            );
            Self(low, high)
        }
    }
    #[inline(always)]
    unsafe fn load_i8(source: *const i8) -> Self {
        // SAFETY: the caller promises eight readable bytes.
        unsafe {
            let words = vmovl_s8(vld1_s8(source));
            let (low, high) = (vmovl_s16(vget_low_s16(words)), vmovl_s16(vget_high_s16(words)));
            Self(vcvtq_f32_s32(low), vcvtq_f32_s32(high))
        }
    }
    #[inline(always)]
    unsafe fn store_half(self, target: *mut u16) {
        // SAFETY: the caller promises room for eight half floats.
        unsafe {
            let halves: uint16x8_t;
            std::arch::asm!(
                "fcvtn {halves:v}.4h, {low:v}.4s",
                "fcvtn2 {halves:v}.8h, {high:v}.4s",
                halves = out(vreg) halves,
                low = in(vreg) self.0,
                high = in(vreg) self.1,
                options(pure, nomem, nostack, preserves_flags),
            );
            vst1q_u16(target, halves);
        }
    }
    #[inline(always)]
    unsafe fn store(self, target: *mut f32) {
        // SAFETY: the caller promises room for eight floats.
        unsafe {
            vst1q_f32(target, self.0);
            vst1q_f32(target.add(4), self.1);
        }
    }
    #[inline(always)]
    fn add(self, other: Self) -> Self {
        // SAFETY: NEON is there.
        unsafe { Self(vaddq_f32(self.0, other.0), vaddq_f32(self.1, other.1)) }
    }
    #[inline(always)]
    fn mul(self, other: Self) -> Self {
        // SAFETY: NEON is there.
        unsafe { Self(vmulq_f32(self.0, other.0), vmulq_f32(self.1, other.1)) }
    }
    #[inline(always)]
    fn max(self, other: Self) -> Self {
        // SAFETY: NEON is there.
        unsafe {
            Self(
                vbslq_f32(vcgtq_f32(self.0, other.0), self.0, other.0),
                vbslq_f32(vcgtq_f32(self.1, other.1), self.1, other.1),
            )
        }
    }
    #[inline(always)]
    fn sum(self) -> f32 {
        // SAFETY: NEON is there.
        unsafe {
            let four = vaddq_f32(self.0, self.1);
            let two = vadd_f32(vget_low_f32(four), vget_high_f32(four));
            vget_lane_f32(two, 0) + vget_lane_f32(two, 1)
        }
    }
}
