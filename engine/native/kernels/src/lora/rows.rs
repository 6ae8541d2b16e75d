//! What a rank row looks like in a page.

use crate::simd::{Lanes, half_to_float};

/// Rank rows begin at multiples of this many bytes.
pub const ROW_ALIGNMENT: usize = 4;

/// How an adapter's numbers are kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RowFormat {
    /// `inputs` half floats of A, then `outputs` of B.
    F16,
    /// Two floats, the scales of A's row and of B's column; then a byte for each number: code · scale.
    Int8,
}

impl RowFormat {
    /// Bytes before the numbers.
    const fn header(self) -> usize {
        match self {
            Self::F16 => 0,
            Self::Int8 => 2 * size_of::<f32>(),
        }
    }

    /// Bytes of a rank row.
    pub const fn row_bytes(self, inputs: usize, outputs: usize) -> usize {
        let width = match self {
            Self::F16 => 2,
            Self::Int8 => 1,
        };
        self.header() + (inputs + outputs) * width
    }

    /// Writes row j of A and column j of B into `row`. Numbers that a half float or a code cannot hold are rounded
    /// to the nearest, ties to even; codes are symmetric, −127 to 127.
    ///
    /// # Panics
    /// When `row` is not [`RowFormat::row_bytes`] long.
    pub fn write(self, a: &[f32], b: &[f32], row: &mut [u8]) {
        assert_eq!(row.len(), self.row_bytes(a.len(), b.len()));
        let (header, numbers) = row.split_at_mut(self.header());
        match self {
            Self::F16 => {
                for (target, value) in numbers.chunks_exact_mut(2).zip(a.iter().chain(b)) {
                    target.copy_from_slice(&half::f16::from_f32(*value).to_ne_bytes());
                }
            }
            Self::Int8 => {
                let (a_codes, b_codes) = numbers.split_at_mut(a.len());
                let (a_scale, b_scale) = header.split_at_mut(size_of::<f32>());
                a_scale.copy_from_slice(&quantize(a, a_codes).to_ne_bytes());
                b_scale.copy_from_slice(&quantize(b, b_codes).to_ne_bytes());
            }
        }
    }
}

/// Writes the codes and returns their scale.
fn quantize(values: &[f32], codes: &mut [u8]) -> f32 {
    let largest = values.iter().fold(0f32, |largest, value| largest.max(value.abs()));
    let scale = largest / 127.0;
    for (code, value) in codes.iter_mut().zip(values) {
        let rounded = if scale > 0.0 { (value / scale).round_ties_even() } else { 0.0 };
        *code = (rounded.clamp(-127.0, 127.0) as i8).cast_unsigned();
    }
    scale
}

/// A number in a rank row. Its value is the stored one times the scale that [`Weight::scale`] finds.
pub(super) trait Weight: Copy {
    const FORMAT: RowFormat;

    /// # Safety
    /// `source` must be readable for eight values.
    unsafe fn load<L: Lanes>(source: *const Self) -> L;

    fn value(self) -> f32;

    /// The scale of A's row times that of B's column.
    ///
    /// # Safety
    /// A row of this format must begin at `row`, at a multiple of [`ROW_ALIGNMENT`].
    unsafe fn scale(row: *const u8) -> f32;

    /// Where the numbers begin in a row.
    fn offset() -> usize {
        Self::FORMAT.header()
    }
}

impl Weight for u16 {
    const FORMAT: RowFormat = RowFormat::F16;

    #[inline(always)]
    unsafe fn load<L: Lanes>(source: *const u16) -> L {
        // SAFETY: passed on.
        unsafe { L::load_half(source) }
    }

    #[inline(always)]
    fn value(self) -> f32 {
        half_to_float(self)
    }

    unsafe fn scale(_: *const u8) -> f32 {
        1.0
    }
}

impl Weight for i8 {
    const FORMAT: RowFormat = RowFormat::Int8;

    #[inline(always)]
    unsafe fn load<L: Lanes>(source: *const i8) -> L {
        // SAFETY: passed on.
        unsafe { L::load_i8(source) }
    }

    #[inline(always)]
    fn value(self) -> f32 {
        f32::from(self)
    }

    unsafe fn scale(row: *const u8) -> f32 {
        // SAFETY: the header holds two aligned floats.
        let [a, b] = unsafe { row.cast::<[f32; 2]>().read() };
        a * b
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_within_half_a_step_and_rounded_to_even() {
        let (a, b) = ([0.0, 1.27, -1.27, 0.005, 0.0149, -0.0251], [0.0, 0.0]);
        let mut row = vec![0u8; RowFormat::Int8.row_bytes(a.len(), b.len())];
        assert_eq!(row.len(), 16);
        RowFormat::Int8.write(&a, &b, &mut row);
        let codes: Vec<i8> = row[8..].iter().map(|code| code.cast_signed()).collect();
        assert_eq!(codes, [0, 127, -127, 0, 1, -3, 0, 0]);
        assert_eq!(f32::from_ne_bytes(row[..4].try_into().unwrap()), 1.27 / 127.0);
        assert_eq!(row[4..8], [0; 4]);
    }

    #[test]
    fn tiny_and_huge_numbers_are_quantized_too() {
        for largest in [f32::MIN_POSITIVE, f32::from_bits(1), 65504.0, 1e38] {
            let a = [largest, -largest, largest / 2.0];
            let mut row = vec![0u8; RowFormat::Int8.row_bytes(3, 0)];
            RowFormat::Int8.write(&a, &[], &mut row);
            let scale = f32::from_ne_bytes(row[..4].try_into().unwrap());
            for (code, value) in row[8..].iter().zip(a) {
                let error = f32::from(code.cast_signed()) * scale - value;
                assert!(error.abs() <= largest / 254.0 * 1.001 + 1e-42, "{largest} {error}");
            }
        }
    }
}
