//! Instruction-set variants, chosen at run time, and the eight-lane float vector that kernels are written in.
//!
//! A kernel is one generic body over [`Lanes`]; [`dispatch!`] compiles it for plain Rust, AVX2 and NEON. The
//! variants beyond those differ only in integer dot products ([`crate::quantized_linear`]). All give the same
//! bits: lanes are combined in one fixed order and multiply-add is never fused.

use std::sync::OnceLock;

use crate::wide::{Pair, Wide};

/// Which instructions a kernel may use. Kernels rely on it that whoever holds a variant can run it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Variant {
    /// Plain Rust, for every processor; the compiler uses what the target guarantees (SSE2, NEON).
    Portable,
    /// AVX2 and F16C.
    #[cfg(target_arch = "x86_64")]
    Avx2(Detected),
    /// The same and 8-bit dot products of 256 bits (Alder Lake and later).
    #[cfg(target_arch = "x86_64")]
    AvxVnni(Detected),
    /// The same and 8-bit dot products of 512 bits (Ice Lake, Zen 4 and later).
    #[cfg(target_arch = "x86_64")]
    Avx512Vnni(Detected),
    /// 8-bit dot products (Armv8.2: Neoverse N1, Apple M1 and later).
    #[cfg(target_arch = "aarch64")]
    NeonDotprod(Detected),
    /// The same and 8-bit matrix products (Armv8.6: Neoverse V1, Apple M2 and later).
    #[cfg(target_arch = "aarch64")]
    NeonI8mm(Detected),
}

/// Proof that this processor can run the variant; only [`Variant::available`] makes one.
#[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Detected(());

impl Variant {
    /// Every variant that this processor can run, slowest first.
    pub fn available() -> Vec<Variant> {
        #[allow(unused_mut, reason = "not every architecture has another")]
        let mut variants = vec![Variant::Portable];
        #[cfg(target_arch = "x86_64")]
        if is_x86_feature_detected!("avx2") && is_x86_feature_detected!("f16c") {
            variants.push(Variant::Avx2(Detected(())));
            if is_x86_feature_detected!("avxvnni") {
                variants.push(Variant::AvxVnni(Detected(())));
            }
            if is_x86_feature_detected!("avx512f") && is_x86_feature_detected!("avx512vnni") {
                variants.push(Variant::Avx512Vnni(Detected(())));
            }
        }
        #[cfg(target_arch = "aarch64")]
        if std::arch::is_aarch64_feature_detected!("dotprod") {
            variants.push(Variant::NeonDotprod(Detected(())));
            if std::arch::is_aarch64_feature_detected!("i8mm") {
                variants.push(Variant::NeonI8mm(Detected(())));
            }
        }
        variants
    }

    /// The best variant here, unless `POLYLORA_KERNEL_VARIANT` names another available one.
    ///
    /// # Errors
    /// When the environment variable names a variant that this processor cannot run.
    pub fn detect() -> Result<Variant, String> {
        static DETECTED: OnceLock<Result<Variant, String>> = OnceLock::new();
        DETECTED
            .get_or_init(|| {
                let available = Self::available();
                let Ok(wanted) = std::env::var("POLYLORA_KERNEL_VARIANT") else {
                    return Ok(available[available.len() - 1]);
                };
                available.iter().copied().find(|v| v.name() == wanted).ok_or_else(|| {
                    let names: Vec<_> = available.iter().map(|v| v.name()).collect();
                    format!(
                        "POLYLORA_KERNEL_VARIANT={wanted} cannot run here; choose one of {}",
                        names.join(", ")
                    )
                })
            })
            .clone()
    }

    pub fn name(self) -> &'static str {
        match self {
            Variant::Portable => "portable",
            #[cfg(target_arch = "x86_64")]
            Variant::Avx2(_) => "avx2",
            #[cfg(target_arch = "x86_64")]
            Variant::AvxVnni(_) => "avx-vnni",
            #[cfg(target_arch = "x86_64")]
            Variant::Avx512Vnni(_) => "avx512-vnni",
            #[cfg(target_arch = "aarch64")]
            Variant::NeonDotprod(_) => "neon-dotprod",
            #[cfg(target_arch = "aarch64")]
            Variant::NeonI8mm(_) => "neon-i8mm",
        }
    }
}

/// Eight 32-bit floats.
pub(crate) trait Lanes: Copy {
    /// Sixteen floats: one register where there is one so wide.
    type Wide: Wide;
    fn splat(value: f32) -> Self;
    /// # Safety
    /// `source` must be readable for eight floats, at any alignment.
    unsafe fn load(source: *const f32) -> Self;
    /// Four floats, then four others.
    ///
    /// # Safety
    /// Both must be readable for four floats, at any alignment.
    unsafe fn load_fours(low: *const f32, high: *const f32) -> Self;
    /// # Safety
    /// `source` must be readable for eight half floats, at any alignment.
    unsafe fn load_half(source: *const u16) -> Self;
    /// # Safety
    /// `source` must be readable for eight bytes.
    unsafe fn load_i8(source: *const i8) -> Self;
    /// # Safety
    /// `target` must be writable for eight floats, at any alignment.
    unsafe fn store(self, target: *mut f32);
    /// Rounds to half floats as [`float_to_half`] does.
    ///
    /// # Safety
    /// `target` must be writable for eight half floats, at any alignment.
    unsafe fn store_half(self, target: *mut u16);
    fn add(self, other: Self) -> Self;
    fn mul(self, other: Self) -> Self;
    /// In each lane `self` where it is greater, else `other`, also where one is NaN.
    fn max(self, other: Self) -> Self;
    /// All eight added as ((0+4)+(2+6))+((1+5)+(3+7)).
    fn sum(self) -> f32;
}

#[derive(Clone, Copy)]
pub(crate) struct PortableLanes([f32; 8]);

impl Lanes for PortableLanes {
    type Wide = Pair<Self>;
    #[inline(always)]
    fn splat(value: f32) -> Self {
        Self([value; 8])
    }
    #[inline(always)]
    unsafe fn load(source: *const f32) -> Self {
        // SAFETY: the caller promises eight readable floats.
        Self(unsafe { source.cast::<[f32; 8]>().read_unaligned() })
    }
    #[inline(always)]
    unsafe fn load_fours(low: *const f32, high: *const f32) -> Self {
        // SAFETY: the caller promises four readable floats each.
        let fours = unsafe { [low, high].map(|four| four.cast::<[f32; 4]>().read_unaligned()) };
        Self(std::array::from_fn(|i| fours[i / 4][i % 4]))
    }
    #[inline(always)]
    unsafe fn load_half(source: *const u16) -> Self {
        // SAFETY: the caller promises eight readable half floats.
        let halves = unsafe { source.cast::<[u16; 8]>().read_unaligned() };
        Self(halves.map(half_to_float))
    }
    #[inline(always)]
    unsafe fn load_i8(source: *const i8) -> Self {
        // SAFETY: the caller promises eight readable bytes.
        Self(unsafe { source.cast::<[i8; 8]>().read() }.map(f32::from))
    }
    #[inline(always)]
    unsafe fn store(self, target: *mut f32) {
        // SAFETY: the caller promises room for eight floats.
        unsafe { target.cast::<[f32; 8]>().write_unaligned(self.0) }
    }
    #[inline(always)]
    unsafe fn store_half(self, target: *mut u16) {
        // SAFETY: the caller promises room for eight half floats.
        unsafe { target.cast::<[u16; 8]>().write_unaligned(self.0.map(float_to_half)) }
    }
    #[inline(always)]
    fn add(self, other: Self) -> Self {
        Self(std::array::from_fn(|i| self.0[i] + other.0[i]))
    }
    #[inline(always)]
    fn mul(self, other: Self) -> Self {
        Self(std::array::from_fn(|i| self.0[i] * other.0[i]))
    }
    #[inline(always)]
    fn max(self, other: Self) -> Self {
        Self(std::array::from_fn(|i| if self.0[i] > other.0[i] { self.0[i] } else { other.0[i] }))
    }
    #[inline(always)]
    fn sum(self) -> f32 {
        let v = self.0;
        ((v[0] + v[4]) + (v[2] + v[6])) + ((v[1] + v[5]) + (v[3] + v[7]))
    }
}

/// IEEE half to single without branches, so that it vectorises; exact for every value, NaN stays NaN.
#[inline(always)]
pub(crate) fn half_to_float(half: u16) -> f32 {
    let magnitude = u32::from(half & 0x7fff);
    let sign = u32::from(half & 0x8000) << 16;
    // Shifting the exponent into place and scaling by 2^112 handles subnormals exactly.
    let scaled = f32::from_bits(magnitude << 13) * f32::from_bits(0x7780_0000);
    let special = if magnitude >= 0x7c00 { 0x7f80_0000 } else { 0 };
    f32::from_bits(scaled.to_bits() | special | sign)
}

/// Single to IEEE half, ties to even, without branches; NaN is made quiet and keeps its payload's high bits, as
/// processors do.
#[inline(always)]
pub(crate) fn float_to_half(value: f32) -> u16 {
    let bits = value.to_bits();
    let sign = (bits >> 16) & 0x8000;
    let magnitude = bits & 0x7fff_ffff;
    let normal = magnitude.wrapping_add(0xc800_0fff + ((magnitude >> 13) & 1)) >> 13;
    // Adding one half shifts a subnormal's bits into place, rounded by the addition itself.
    let subnormal = (f32::from_bits(magnitude) + 0.5).to_bits().wrapping_sub(0x3f00_0000);
    let quiet_nan = 0x7e00 | ((magnitude >> 13) & 0x03ff);
    let special = if magnitude > 0x7f80_0000 { quiet_nan } else { 0x7c00 };
    let finite = if magnitude < 0x3880_0000 { subnormal } else { normal };
    (sign | if magnitude >= 0x4780_0000 { special } else { finite }) as u16
}

#[cfg(target_arch = "x86_64")]
mod x86;
#[cfg(target_arch = "x86_64")]
pub(crate) use x86::Avx2Lanes;

#[cfg(target_arch = "aarch64")]
mod arm;
#[cfg(target_arch = "aarch64")]
pub(crate) use arm::NeonLanes;

/// Calls `$body::<L>(args)` compiled for the variant. `$body` must be `#[inline(always)] unsafe fn`.
macro_rules! dispatch {
    ($variant:expr, $body:ident($($arg:ident: $ty:ty),* $(,)?)) => {{
        #[cfg(target_arch = "x86_64")]
        #[target_feature(enable = "avx2,f16c")]
        unsafe fn avx2($($arg: $ty),*) {
            // SAFETY: passed on to the caller of `dispatch!`.
            unsafe { $body::<$crate::simd::Avx2Lanes>($($arg),*) }
        }
        match $variant {
            $crate::simd::Variant::Portable => $body::<$crate::simd::PortableLanes>($($arg),*),
            #[cfg(target_arch = "x86_64")]
            _ => avx2($($arg),*),
            #[cfg(target_arch = "aarch64")]
            _ => $body::<$crate::simd::NeonLanes>($($arg),*),
        }
    }};
}
pub(crate) use dispatch;

/// As [`dispatch!`], for a body of plain loops that the compiler vectorises. `$body` must be `#[inline(always)] fn`.
macro_rules! vectorise {
    ($variant:expr, $body:ident($($arg:ident: $ty:ty),* $(,)?)) => {{
        #[cfg(target_arch = "x86_64")]
        #[target_feature(enable = "avx2")]
        fn avx2($($arg: $ty),*) {
            $body($($arg),*)
        }
        match $variant {
            $crate::simd::Variant::Portable => $body($($arg),*),
            // SAFETY: whoever holds a variant other than the portable one has a processor with AVX2.
            #[cfg(target_arch = "x86_64")]
            _ => unsafe { avx2($($arg),*) },
            #[cfg(target_arch = "aarch64")]
            _ => $body($($arg),*),
        }
    }};
}
pub(crate) use vectorise;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_half_converts_exactly() {
        for bits in 0..=u16::MAX {
            let ours = half_to_float(bits);
            let theirs = half::f16::from_bits(bits).to_f32();
            assert!(ours.to_bits() == theirs.to_bits() || (ours.is_nan() && theirs.is_nan()), "{bits:#06x}");
        }
    }

    /// # Safety
    /// None; `dispatch!` takes unsafe functions only.
    #[inline(always)]
    unsafe fn round_trip<L: Lanes>(values: &[f32; 8], halves: &mut [u16; 8], codes: &mut [f32; 8]) {
        // SAFETY: each array has eight elements.
        unsafe {
            L::load(values.as_ptr()).store_half(halves.as_mut_ptr());
            L::load_i8(values.as_ptr().cast()).store(codes.as_mut_ptr());
        }
    }

    #[test]
    fn every_variant_rounds_to_halves_as_the_standard_says() {
        for variant in Variant::available() {
            for i in 0..500_000u32 {
                let values: [f32; 8] =
                    std::array::from_fn(|j| f32::from_bits((i * 8 + j as u32).wrapping_mul(1_073_741_827)));
                let (mut halves, mut codes) = ([0u16; 8], [0f32; 8]);
                let (v, h, c) = (&values, &mut halves, &mut codes);
                // SAFETY: the variant is available.
                unsafe {
                    dispatch!(variant, round_trip(v: &[f32; 8], h: &mut [u16; 8], c: &mut [f32; 8]));
                }
                assert_eq!(halves, values.map(|value| half::f16::from_f32(value).to_bits()), "{values:?}");
                let bytes: Vec<u8> = values.iter().flat_map(|value| value.to_ne_bytes()).take(8).collect();
                assert_eq!(codes.to_vec(), bytes.iter().map(|b| f32::from(*b as i8)).collect::<Vec<_>>());
            }
        }
    }
}
