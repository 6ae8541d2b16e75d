//! Vectors as int8 codes.

/// Vectors whose largest magnitude is below this count as zero: its inverse would overflow.
const TINY: f32 = 1e-30;

/// A vector of length 1: its codes times the scale.
#[derive(Clone, Debug, PartialEq)]
pub struct Quantized {
    /// From −127 to 127.
    pub codes: Vec<i8>,
    /// What makes the codes a vector of length 1; 0 where all are 0. In double precision, so that the codes' product with
    /// themselves, scaled twice, rounds to 1.
    pub scale: f64,
}

/// Quantizes a vector of any length other than 0 to one of length 1: the largest magnitude is 127, the others are rounded,
/// ties to even. What was quantized before has the same codes again.
///
/// # Errors
/// Where a number is not finite.
pub fn quantize(vector: &[f32]) -> Result<Quantized, String> {
    // Adding and subtracting 1.5·2²³ rounds to the nearest integer, ties to even, without a libm call.
    const ROUND: f32 = 12_582_912.0;
    if let Some(place) = vector.iter().position(|value| !value.is_finite()) {
        return Err(format!("number {place} of the vector is {}, which is not finite", vector[place]));
    }
    let largest = vector.iter().fold(0f32, |largest, value| largest.max(value.abs()));
    if largest < TINY {
        return Ok(Quantized { codes: vec![0; vector.len()], scale: 0.0 });
    }
    let inverse = 127.0 / largest;
    // At most 127 in magnitude but for a rounding of the product, which the sum rounds off.
    let codes: Vec<i8> = vector.iter().map(|value| ((value * inverse + ROUND) - ROUND) as i8).collect();
    Ok(Quantized { scale: scale(&codes), codes })
}

/// 1 ÷ the length of some codes.
fn scale(codes: &[i8]) -> f64 {
    let square: u64 = codes.iter().map(|code| u64::from(code.unsigned_abs()).pow(2)).sum();
    1.0 / (square as f64).sqrt()
}
