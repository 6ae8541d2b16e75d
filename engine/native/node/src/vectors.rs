//! Vectors in numbered rows, and the nearest of some of them, for JavaScript.

use napi::bindgen_prelude::{Error, Float32Array, Int8Array, Result, Status, Uint32Array};
use napi_derive::napi;
use polylora_kernels::nearest;
use polylora_kernels::simd::Variant;

/// Rows and how similar each is to what was asked for, best first.
#[napi(object)]
pub struct Neighbours {
    pub rows: Uint32Array,
    /// Cosines.
    pub similarities: Float32Array,
}

/// Vectors of one width, kept as int8 codes, each in a row with a number. A vector's length does not matter: it counts as
/// one of length 1. Rows are allocated in slabs; one in which no row is used takes no memory.
#[napi]
pub struct VectorArena(nearest::VectorArena);

#[napi]
impl VectorArena {
    /// Throws where `width` is 0 or more than 65,536.
    #[napi(constructor)]
    pub fn new(width: u32) -> Result<Self> {
        let variant = Variant::detect().map_err(invalid)?;
        Ok(Self(nearest::VectorArena::new(width as usize, variant).map_err(invalid)?))
    }

    /// Memory that the rows take.
    #[napi(getter)]
    pub fn bytes(&self) -> f64 {
        self.0.bytes() as f64
    }

    /// Puts a vector in a row, instead of what was there. Throws where it has another width or a number that is not finite,
    /// or the row is more than a slab of 4,096 beyond the highest that was ever set.
    #[napi]
    pub fn set(&mut self, row: u32, vector: Float32Array) -> Result<()> {
        self.0.set(row, &vector).map_err(invalid)
    }

    /// A row's vector, of length 1 and as exact as its codes; null where it holds none.
    #[napi]
    pub fn get(&self, row: u32) -> Option<Float32Array> {
        let nearest::Quantized { codes, scale } = self.0.get(row)?;
        let numbers = codes.into_iter().map(|code| (f64::from(code) * scale) as f32);
        Some(numbers.collect::<Vec<_>>().into())
    }

    /// A row's codes; null where it holds no vector.
    #[napi]
    pub fn codes(&self, row: u32) -> Option<Int8Array> {
        self.0.get(row).map(|vector| vector.codes.into())
    }

    /// Empties a row. Returns whether it held a vector.
    #[napi]
    pub fn clear(&mut self, row: u32) -> bool {
        self.0.clear(row)
    }

    /// The best `k` of some rows whose similarity to a vector is at least `threshold`, best first, of equally similar ones
    /// the lowest row number first. Throws where the vector has another width or a number that is not finite, the
    /// threshold is NaN, or a row holds no vector.
    #[napi]
    pub fn search(
        &self,
        vector: Float32Array,
        rows: Uint32Array,
        k: u32,
        threshold: f64,
    ) -> Result<Neighbours> {
        let found = self.0.search(&vector, &rows, k as usize, threshold).map_err(invalid)?;
        Ok(Neighbours {
            rows: found.iter().map(|neighbour| neighbour.row).collect::<Vec<_>>().into(),
            similarities: found.iter().map(|neighbour| neighbour.similarity).collect::<Vec<_>>().into(),
        })
    }
}

/// The codes that a vector has in an arena. Throws where a number is not finite.
#[napi]
pub fn vector_codes(vector: Float32Array) -> Result<Int8Array> {
    Ok(nearest::quantize(&vector).map_err(invalid)?.codes.into())
}

fn invalid(reason: String) -> Error {
    Error::new(Status::InvalidArg, reason)
}
