//! Elementary functions with the same bits on every processor.
//!
//! The platform's libm picks variants by CPU feature, some of which fuse multiply-add, so its results differ in
//! the last bit between machines. These use only additions, multiplications and integer operations in a fixed
//! order, which IEEE 754 defines exactly, and no branches, so that loops over them vectorise.

const LOG2_E: f32 = std::f32::consts::LOG2_E;
/// ln 2 in two parts; the first has so few bits that multiplying it by an exponent is exact.
const LN_2_HIGH: f32 = 0.693_359_4;
const LN_2_LOW: f32 = -2.121_944_4e-4;
/// Adding 1.5·2²³ rounds to the nearest integer and leaves it in the low bits.
const ROUND: f32 = 12_582_912.0;

/// Below this, [`exp`] is exactly 0: results would soon be subnormal, which some processors flush.
pub const EXP_LOWEST: f32 = -87.3;
/// Above this, the result exceeds `f32::MAX`: [`exp`] is +∞.
const EXP_HIGHEST: f32 = 88.722_83;

/// e^x within 2 ulp; 0 below [`EXP_LOWEST`], +∞ on overflow, NaN for NaN.
#[inline(always)]
pub fn exp(x: f32) -> f32 {
    // Written as comparisons, which are single instructions; `f32::clamp` would add NaN handling.
    let inside = if x < EXP_LOWEST { EXP_LOWEST } else { x };
    let inside = if inside > EXP_HIGHEST { EXP_HIGHEST } else { inside };
    let (p, rounded) = reduce(inside);
    // `rounded` and ROUND have the same exponent, so their bits differ by n, which is added to the exponent.
    let exponent = rounded.to_bits().wrapping_sub(ROUND.to_bits()) << 23;
    let value = f32::from_bits(p.to_bits().wrapping_add(exponent));
    let value = if x < EXP_LOWEST { 0.0 } else { value };
    let value = if x > EXP_HIGHEST { f32::INFINITY } else { value };
    if x.is_nan() { x } else { value }
}

/// x = n·ln 2 + r with |r| ≤ ln 2 / 2: e^r by the polynomial of Cephes' `expf`, and n + ROUND.
#[inline(always)]
fn reduce(x: f32) -> (f32, f32) {
    let rounded = x * LOG2_E + ROUND;
    let n = rounded - ROUND;
    let r = (x - n * LN_2_HIGH) - n * LN_2_LOW;
    let mut p = 1.987_569_1e-4;
    p = p * r + 1.398_199_9e-3;
    p = p * r + 8.333_452e-3;
    p = p * r + 4.166_579_6e-2;
    p = p * r + 1.666_666_5e-1;
    p = p * r + 0.5;
    ((p * (r * r) + r) + 1.0, rounded)
}

/// [`exp`] of what is not positive, with the same bits and fewer instructions. Other values give anything but a
/// trap; NaN gives NaN.
#[inline(always)]
pub fn exp_not_positive(x: f32) -> f32 {
    let inside = if x < EXP_LOWEST { EXP_LOWEST } else { x };
    let (p, rounded) = reduce(inside);
    // 2ⁿ, whose product is exact and keeps NaN.
    let power = f32::from_bits((rounded.to_bits() << 23).wrapping_add(1f32.to_bits()));
    if x < EXP_LOWEST { 0.0 } else { p * power }
}

/// `values[i] = exp(values[i])`, for a fixed number of lanes that the compiler keeps in registers.
#[inline(always)]
pub fn exp_lanes<const N: usize>(values: &mut [f32; N]) {
    for value in values {
        *value = exp(*value);
    }
}

/// Natural logarithm of a positive normal number, within 1e-14 relative to max(1, |ln x|).
///
/// x = 2^e·m with m in [√½, √2); ln m = 2·artanh((m − 1)/(m + 1)) by its series.
pub fn ln(x: f64) -> f64 {
    debug_assert!(x.is_normal() && x > 0.0);
    // Offset by the bits of √½, so that the exponent field counts from there.
    const SQRT_HALF_BITS: u64 = std::f64::consts::FRAC_1_SQRT_2.to_bits();
    let offset = x.to_bits().wrapping_sub(SQRT_HALF_BITS);
    let e = (offset as i64) >> 52;
    let m = f64::from_bits(x.to_bits().wrapping_sub((e as u64) << 52));
    let s = (m - 1.0) / (m + 1.0);
    let square = s * s;
    let mut series = 0.0;
    for k in (0..10).rev() {
        series = series * square + 1.0 / f64::from(2 * k + 1);
    }
    e as f64 * std::f64::consts::LN_2 + 2.0 * s * series
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ulps_off(x: f32) -> f64 {
        let exact = f64::from(x).exp();
        let ours = exp(x);
        let ulp = f64::from(f32::from_bits(ours.to_bits() + 1)) - f64::from(ours);
        ((f64::from(ours) - exact) / ulp).abs()
    }

    #[test]
    fn exp_is_within_two_ulp() {
        let (low, high) = (EXP_LOWEST.to_bits(), EXP_HIGHEST.to_bits());
        let negative = (0x8000_0000..=low).step_by(257);
        let positive = (0..=high).step_by(257);
        let worst = negative.chain(positive).map(|bits| ulps_off(f32::from_bits(bits))).fold(0.0, f64::max);
        assert!(worst <= 2.0, "{worst} ulp");
        assert!(ulps_off(EXP_LOWEST) <= 2.0 && ulps_off(EXP_HIGHEST) <= 2.0);
    }

    #[test]
    fn exp_at_the_edges() {
        assert_eq!(exp(0.0).to_bits(), 1.0f32.to_bits());
        assert_eq!(exp(-0.0).to_bits(), 1.0f32.to_bits());
        for x in [f32::NEG_INFINITY, f32::MIN, -1e4, -87.300_01] {
            assert_eq!(exp(x).to_bits(), 0, "{x}");
        }
        for x in [f32::INFINITY, f32::MAX, 1e4, 88.722_84] {
            assert_eq!(exp(x), f32::INFINITY, "{x}");
        }
        assert!(exp(EXP_LOWEST) > f32::MIN_POSITIVE);
        assert!(exp(EXP_HIGHEST) < f32::INFINITY);
        assert!(exp(f32::NAN).is_nan() && exp(-f32::NAN).is_nan());
        assert!(exp(f32::from_bits(0x7f80_0001)).is_nan());
    }

    #[test]
    fn exp_not_positive_has_the_bits_of_exp() {
        let lowest = f32::NEG_INFINITY.to_bits();
        for bits in (0x8000_0000..=lowest).step_by(97).chain([0, lowest, EXP_LOWEST.to_bits()]) {
            let x = f32::from_bits(bits);
            assert_eq!(exp_not_positive(x).to_bits(), exp(x).to_bits(), "{x}");
        }
        assert!(exp_not_positive(f32::NAN).is_nan() && exp_not_positive(-f32::NAN).is_nan());
    }

    #[test]
    fn exp_never_decreases_by_more_than_its_error() {
        let mut last = 0.0;
        for step in 0..200_000 {
            let value = exp(-88.0 + step as f32 * 8.8e-4);
            assert!(value >= last, "at step {step}");
            last = value;
        }
    }

    #[test]
    fn lanes_have_the_bits_of_single_values() {
        let mut lanes: [f32; 16] = std::array::from_fn(|i| i as f32 * 1.37 - 11.0);
        let single = lanes.map(exp);
        exp_lanes(&mut lanes);
        assert_eq!(lanes.map(f32::to_bits), single.map(f32::to_bits));
    }

    #[test]
    fn ln_agrees_with_the_standard_library() {
        for step in -2000..2000 {
            let x = 1.013f64.powi(step) * 1.234_567;
            let expected = x.ln();
            assert!((ln(x) - expected).abs() <= 1e-14 * expected.abs().max(1.0), "ln({x})");
        }
        assert_eq!(ln(1.0), 0.0);
    }
}
