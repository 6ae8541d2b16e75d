//! The types that keys and values are stored as, or computed with: half floats, eight-bit codes, floats.

use crate::simd::Lanes;
use crate::wide::Wide;

/// A stored key or value.
pub(super) trait Code: Copy {
    /// # Safety
    /// `source` must be readable for sixteen of them.
    unsafe fn load<W: Wide>(source: *const Self) -> W;
    /// # Safety
    /// `source` must be readable for eight of them.
    unsafe fn load_eight<L: Lanes>(source: *const Self) -> L;
}

impl Code for f32 {
    #[inline(always)]
    unsafe fn load<W: Wide>(source: *const f32) -> W {
        // SAFETY: passed on.
        unsafe { W::load(source) }
    }
    #[inline(always)]
    unsafe fn load_eight<L: Lanes>(source: *const f32) -> L {
        // SAFETY: passed on.
        unsafe { L::load(source) }
    }
}

impl Code for u16 {
    #[inline(always)]
    unsafe fn load<W: Wide>(source: *const u16) -> W {
        // SAFETY: passed on.
        unsafe { W::load_half(source) }
    }
    #[inline(always)]
    unsafe fn load_eight<L: Lanes>(source: *const u16) -> L {
        // SAFETY: passed on.
        unsafe { L::load_half(source) }
    }
}

impl Code for i8 {
    #[inline(always)]
    unsafe fn load<W: Wide>(source: *const i8) -> W {
        // SAFETY: passed on.
        unsafe { W::load_i8(source) }
    }
    #[inline(always)]
    unsafe fn load_eight<L: Lanes>(source: *const i8) -> L {
        // SAFETY: passed on.
        unsafe { L::load_i8(source) }
    }
}

/// A type that pages hold.
pub(super) trait KvCode: Code + Default {
    /// Whether each token has a scale, by which codes must be multiplied.
    const SCALED: bool;

    /// Encodes one token's key or value, whose length is a multiple of 8, and returns its scale.
    fn encode<L: Lanes>(values: &[f32], codes: &mut [Self]) -> f32;

    /// The code, NaN where it is infinite: an infinite key can have a score of -∞, which a softmax ignores.
    fn infinite_is_nan(self) -> Self;
}

impl KvCode for u16 {
    const SCALED: bool = false;

    #[inline(always)]
    fn encode<L: Lanes>(values: &[f32], codes: &mut [u16]) -> f32 {
        for (values, codes) in values.as_chunks::<8>().0.iter().zip(codes.as_chunks_mut::<8>().0) {
            // SAFETY: both have eight elements.
            unsafe { L::load(values.as_ptr()).store_half(codes.as_mut_ptr()) };
        }
        1.0
    }

    #[inline(always)]
    fn infinite_is_nan(self) -> u16 {
        if self & 0x7c00 == 0x7c00 { self | 0x0200 } else { self }
    }
}

impl KvCode for i8 {
    const SCALED: bool = true;

    /// A token that holds NaN or infinity gets a NaN scale, so that whoever attends to it becomes NaN (and its
    /// request fails) rather than plausible.
    #[inline(always)]
    fn encode<L: Lanes>(values: &[f32], codes: &mut [i8]) -> f32 {
        // Adding 1.5·2²³ rounds to the nearest integer, ties to even, and leaves it in the low bits.
        const ROUND: f32 = 12_582_912.0;
        // Below this everything is zero, or the quotient would overflow.
        const SMALLEST: f32 = 1e-30;
        let mut largest = [0f32; 8];
        let mut poison = [0f32; 8];
        for eight in values.as_chunks::<8>().0 {
            for lane in 0..8 {
                let magnitude = eight[lane].abs();
                largest[lane] = if magnitude > largest[lane] { magnitude } else { largest[lane] };
                // Zero for every finite value, NaN for NaN and infinity.
                poison[lane] += eight[lane] * 0.0;
            }
        }
        let largest = largest.iter().fold(0f32, |m, v| if *v > m { *v } else { m });
        let poison: f32 = poison.iter().sum();
        let (scale, inverse) =
            if largest > SMALLEST { (largest / 127.0, 127.0 / largest) } else { (0.0, 0.0) };
        for (code, value) in codes.iter_mut().zip(values) {
            *code = (value * inverse + ROUND).to_bits() as i8;
        }
        scale + poison
    }

    /// The scale says it already.
    #[inline(always)]
    fn infinite_is_nan(self) -> i8 {
        self
    }
}
