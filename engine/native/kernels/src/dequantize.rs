//! Stored tensor types of safetensors and GGUF files, and their values as float32.
//!
//! The block layouts are ggml's (`ggml-common.h`); values are computed in the order of the reference
//! `gguf` Python package, so they agree with it bit for bit.

use half::{bf16, f16};
use std::fmt;

/// How a tensor's values are stored. Quantized types come in blocks along a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TensorType {
    F32,
    F16,
    Bf16,
    /// 32 values: f16 scale, 32 signed bytes.
    Q8_0,
    /// 32 values: f16 scale, 32 nibbles with offset 8.
    Q4_0,
    /// 32 values: f16 scale, f16 minimum, 32 nibbles.
    Q4_1,
    /// 256 values: f16 scale and minimum of 8 packed 6-bit scales and minima, 256 nibbles.
    Q4K,
    /// 256 values: 4 low and 2 high bits of each value, 16 signed 8-bit scales, f16 scale of those.
    Q6K,
}

/// Why bytes could not be read as a tensor's values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DequantizeError {
    /// The number of values is no multiple of the type's block length.
    PartialBlock { values: usize, block: usize },
    /// The number of bytes does not fit the number of values.
    WrongLength { bytes: usize, expected: usize },
}

impl fmt::Display for DequantizeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::PartialBlock { values, block } => {
                write!(f, "{values} values do not fill blocks of {block}")
            }
            Self::WrongLength { bytes, expected } => {
                write!(f, "{bytes} bytes where {expected} are needed")
            }
        }
    }
}

impl std::error::Error for DequantizeError {}

impl TensorType {
    /// Looks a type up by its name in GGUF files (`F16`, `Q4_K`, …), which safetensors shares.
    pub fn from_name(name: &str) -> Option<Self> {
        Some(match name {
            "F32" => Self::F32,
            "F16" => Self::F16,
            "BF16" => Self::Bf16,
            "Q8_0" => Self::Q8_0,
            "Q4_0" => Self::Q4_0,
            "Q4_1" => Self::Q4_1,
            "Q4_K" => Self::Q4K,
            "Q6_K" => Self::Q6K,
            _ => return None,
        })
    }

    /// Values per block.
    pub const fn block_len(self) -> usize {
        match self {
            Self::F32 | Self::F16 | Self::Bf16 => 1,
            Self::Q8_0 | Self::Q4_0 | Self::Q4_1 => 32,
            Self::Q4K | Self::Q6K => 256,
        }
    }

    /// Bytes per block.
    pub const fn block_bytes(self) -> usize {
        match self {
            Self::F32 => 4,
            Self::F16 | Self::Bf16 => 2,
            Self::Q8_0 => 34,
            Self::Q4_0 => 18,
            Self::Q4_1 => 20,
            Self::Q4K => 144,
            Self::Q6K => 210,
        }
    }

    /// Bytes that `values` values take; `None` where they do not fill blocks, or on overflow.
    pub fn bytes_for(self, values: usize) -> Option<usize> {
        if !values.is_multiple_of(self.block_len()) {
            return None;
        }
        (values / self.block_len()).checked_mul(self.block_bytes())
    }
}

/// Reads `out.len()` values of type `kind` from `bytes`, which must hold exactly those.
pub fn dequantize(kind: TensorType, bytes: &[u8], out: &mut [f32]) -> Result<(), DequantizeError> {
    let block = kind.block_len();
    if !out.len().is_multiple_of(block) {
        return Err(DequantizeError::PartialBlock { values: out.len(), block });
    }
    let expected = out.len() / block * kind.block_bytes();
    if bytes.len() != expected {
        return Err(DequantizeError::WrongLength { bytes: bytes.len(), expected });
    }
    match kind {
        TensorType::F32 => {
            each_block(bytes, out, |b: &[u8; 4], o: &mut [f32; 1]| o[0] = f32::from_le_bytes(*b))
        }
        TensorType::F16 => each_block(bytes, out, |b: &[u8; 2], o: &mut [f32; 1]| o[0] = half_at(b, 0)),
        TensorType::Bf16 => each_block(bytes, out, |b: &[u8; 2], o: &mut [f32; 1]| {
            o[0] = bf16::from_le_bytes(*b).to_f32();
        }),
        TensorType::Q8_0 => each_block(bytes, out, q8_0),
        TensorType::Q4_0 => each_block(bytes, out, q4_0),
        TensorType::Q4_1 => each_block(bytes, out, q4_1),
        TensorType::Q4K => each_block(bytes, out, q4_k),
        TensorType::Q6K => each_block(bytes, out, q6_k),
    }
    Ok(())
}

fn each_block<const B: usize, const N: usize>(
    bytes: &[u8],
    out: &mut [f32],
    read: impl Fn(&[u8; B], &mut [f32; N]),
) {
    for (block, values) in bytes.as_chunks::<B>().0.iter().zip(out.as_chunks_mut::<N>().0) {
        read(block, values);
    }
}

fn half_at(block: &[u8], at: usize) -> f32 {
    f16::from_le_bytes([block[at], block[at + 1]]).to_f32()
}

fn q8_0(block: &[u8; 34], out: &mut [f32; 32]) {
    let scale = half_at(block, 0);
    for (value, &code) in out.iter_mut().zip(&block[2..]) {
        *value = scale * f32::from(code as i8);
    }
}

fn q4_0(block: &[u8; 18], out: &mut [f32; 32]) {
    let scale = half_at(block, 0);
    for (i, &pair) in block[2..].iter().enumerate() {
        out[i] = scale * (f32::from(pair & 15) - 8.0);
        out[i + 16] = scale * (f32::from(pair >> 4) - 8.0);
    }
}

fn q4_1(block: &[u8; 20], out: &mut [f32; 32]) {
    let (scale, minimum) = (half_at(block, 0), half_at(block, 2));
    for (i, &pair) in block[4..].iter().enumerate() {
        out[i] = scale * f32::from(pair & 15) + minimum;
        out[i + 16] = scale * f32::from(pair >> 4) + minimum;
    }
}

/// The `i`-th of 8 six-bit scales and minima in a Q4_K block's 12 packed bytes.
fn q4_k_scale(packed: &[u8], i: usize) -> (f32, f32) {
    let (scale, minimum) = if i < 4 {
        (packed[i] & 63, packed[i + 4] & 63)
    } else {
        ((packed[i + 4] & 15) | ((packed[i - 4] >> 6) << 4), (packed[i + 4] >> 4) | ((packed[i] >> 6) << 4))
    };
    (f32::from(scale), f32::from(minimum))
}

fn q4_k(block: &[u8; 144], out: &mut [f32; 256]) {
    let (scale, minimum) = (half_at(block, 0), half_at(block, 2));
    let (packed, codes) = (&block[4..16], &block[16..]);
    for (i, values) in out.as_chunks_mut::<32>().0.iter_mut().enumerate() {
        let (s, m) = q4_k_scale(packed, i);
        let (s, m) = (scale * s, minimum * m);
        let shift = if i % 2 == 0 { 0 } else { 4 };
        for (value, &pair) in values.iter_mut().zip(&codes[i / 2 * 32..]) {
            *value = s * f32::from((pair >> shift) & 15) - m;
        }
    }
}

fn q6_k(block: &[u8; 210], out: &mut [f32; 256]) {
    let (low, high, scales) = (&block[..128], &block[128..192], &block[192..208]);
    let scale = half_at(block, 208);
    for (i, value) in out.iter_mut().enumerate() {
        // Each half of 128 values: four runs of 32, which share 64 low bytes and 32 high bytes.
        let (half, run, lane) = (i / 128, i / 32 % 4, i % 32);
        let nibble = (low[half * 64 + run % 2 * 32 + lane] >> (run / 2 * 4)) & 15;
        let upper = (high[half * 32 + lane] >> (run * 2)) & 3;
        let code = f32::from((nibble | (upper << 4)) as i8) - 32.0;
        *value = scale * f32::from(scales[i / 16] as i8) * code;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Blocks of random bytes, then their values as float32 by the `gguf` Python package
    /// (testdata/dequantize/make.py).
    fn agrees_with_reference(kind: TensorType, fixture: &[u8]) {
        let values = 1024;
        let (bytes, expected) = fixture.split_at(kind.bytes_for(values).unwrap());
        let mut out = vec![0.0; values];
        dequantize(kind, bytes, &mut out).unwrap();
        assert_eq!(expected.len(), values * 4);
        for (i, (value, bits)) in out.iter().zip(expected.as_chunks::<4>().0).enumerate() {
            assert_eq!(value.to_bits(), u32::from_le_bytes(*bits), "{kind:?} value {i}");
        }
    }

    #[test]
    fn every_type_agrees_with_the_reference_bit_for_bit() {
        agrees_with_reference(TensorType::F16, include_bytes!("../testdata/dequantize/F16.bin"));
        agrees_with_reference(TensorType::Bf16, include_bytes!("../testdata/dequantize/BF16.bin"));
        agrees_with_reference(TensorType::Q8_0, include_bytes!("../testdata/dequantize/Q8_0.bin"));
        agrees_with_reference(TensorType::Q4_0, include_bytes!("../testdata/dequantize/Q4_0.bin"));
        agrees_with_reference(TensorType::Q4_1, include_bytes!("../testdata/dequantize/Q4_1.bin"));
        agrees_with_reference(TensorType::Q4K, include_bytes!("../testdata/dequantize/Q4_K.bin"));
        agrees_with_reference(TensorType::Q6K, include_bytes!("../testdata/dequantize/Q6_K.bin"));
    }

    #[test]
    fn float32_is_read_as_it_stands() {
        let bytes: Vec<u8> = [1.5f32, -0.0, f32::MAX].iter().flat_map(|v| v.to_le_bytes()).collect();
        let mut out = [0.0; 3];
        dequantize(TensorType::F32, &bytes, &mut out).unwrap();
        assert_eq!(out.map(f32::to_bits), [1.5f32, -0.0, f32::MAX].map(f32::to_bits));
    }

    #[test]
    fn wrong_lengths_are_refused() {
        let mut out = [0.0; 32];
        assert_eq!(
            dequantize(TensorType::Q8_0, &[0; 33], &mut out),
            Err(DequantizeError::WrongLength { bytes: 33, expected: 34 })
        );
        assert_eq!(
            dequantize(TensorType::Q4K, &[0; 144], &mut out),
            Err(DequantizeError::PartialBlock { values: 32, block: 256 })
        );
        assert_eq!(TensorType::Q6K.bytes_for(300), None);
        assert_eq!(TensorType::Q6K.bytes_for(512), Some(420));
        assert_eq!(TensorType::F32.bytes_for(usize::MAX), None);
    }

    #[test]
    fn every_supported_name_is_known_and_others_are_not() {
        for name in ["F32", "F16", "BF16", "Q8_0", "Q4_0", "Q4_1", "Q4_K", "Q6_K"] {
            assert!(TensorType::from_name(name).is_some(), "{name}");
        }
        assert_eq!(TensorType::from_name("IQ4_XS"), None);
    }
}
