//! Networks that compare texts token by token, for JavaScript.

use napi::bindgen_prelude::{Error, Float32Array, Result, Status, Uint8Array};
use napi_derive::napi;
use polylora_kernels::comparison;
use polylora_kernels::simd::Variant;

/// How large the networks are, and what makes the mean of their logits a probability.
#[napi(object)]
pub struct ComparisonShape {
    /// Of a token's state.
    pub width: u32,
    /// Of a state as it is compared.
    pub d: u32,
    pub hidden: u32,
    /// Numbers that are told of a pair beside its tokens.
    pub extra: u32,
    pub members: u32,
    pub slope: f64,
    pub offset: f64,
}

/// A few small networks that compare two texts token by token; what they say is averaged.
#[napi]
pub struct TokenComparison(comparison::Comparison);

#[napi]
impl TokenComparison {
    /// `tensors`: of each network project, key, sharpness, compare, combine, output; of layers the weight `[outputs, inputs]` and,
    /// but for the key's, the bias. `version`: four bytes that tell these weights from others. Throws where the tensors do not fit.
    #[napi(constructor)]
    pub fn new(shape: ComparisonShape, tensors: Float32Array, version: Uint8Array) -> Result<Self> {
        let ComparisonShape { width, d, hidden, extra, members, slope, offset } = shape;
        let shape = comparison::Shape {
            width: width as usize,
            d: d as usize,
            hidden: hidden as usize,
            extra: extra as usize,
            members: members as usize,
            slope: slope as f32,
            offset: offset as f32,
        };
        let version =
            <[u8; 4]>::try_from(&*version).map_err(|_| invalid("a version has four bytes".into()))?;
        let variant = Variant::detect().map_err(invalid)?;
        Ok(Self(comparison::Comparison::new(shape, &tensors, version, variant).map_err(invalid)?))
    }

    /// The probability that two texts ask for the same, by their signatures and `extra` numbers of the pair; the same whichever
    /// comes first. null: one was signed with other weights. Throws where there are not as many numbers.
    #[napi]
    pub fn compare(&self, a: Uint8Array, b: Uint8Array, extra: Float32Array) -> Result<Option<f64>> {
        self.0.compare(&a, &b, &extra).map_err(invalid)
    }
}

impl TokenComparison {
    /// What is kept of a text to compare it, as [`comparison::Comparison::sign`].
    pub fn sign(&self, ids: &[u32], states: &[f32]) -> std::result::Result<Vec<u8>, String> {
        self.0.sign(ids, states)
    }
}

fn invalid(reason: String) -> Error {
    Error::new(Status::InvalidArg, reason)
}
