use super::codes::{Quantized, quantize};

/// Numbers that every variant takes at once; rows are filled up with zeros to a multiple of it.
pub(super) const STEP: usize = 64;
/// What is added to a row's code where it is stored, because x86 multiplies unsigned with signed bytes.
pub(super) const OFFSET: u8 = 128;

/// What is looked for, in the forms that the variants need.
pub(super) struct Query {
    /// Filled up with zeros, so what rows hold there does not matter.
    pub codes: Vec<i8>,
    /// The same in 16 bits.
    pub words: Vec<i16>,
    /// What [`OFFSET`] in every code of a row adds to a product.
    pub surplus: i32,
    pub scale: f64,
}

impl Query {
    /// # Errors
    /// As [`quantize`].
    pub fn new(vector: &[f32]) -> Result<Self, String> {
        let Quantized { mut codes, scale } = quantize(vector)?;
        codes.resize(codes.len().next_multiple_of(STEP), 0);
        let words: Vec<i16> = codes.iter().copied().map(i16::from).collect();
        let sum: i32 = words.iter().copied().map(i32::from).sum();
        Ok(Self { codes, words, surplus: i32::from(OFFSET) * sum, scale })
    }
}
