//! The nearest of many unit vectors to another: for the semantic cache.
//!
//! A vector is kept as int8 codes and a scale of its own ([`quantize`]). The similarity of two is the cosine of their
//! codes: the product of the codes is exact in 32-bit integers, and is then multiplied with both scales in double
//! precision, in one order. So every variant gives the same bits, and a vector is similar to itself by exactly 1.
//!
//! A [`VectorArena`] keeps vectors in rows that are numbered from 0. It knows nothing of what they stand for: whoever
//! searches says in which rows.

mod arena;
mod codes;
mod dots;
mod query;
#[cfg(test)]
mod tests;

pub use arena::{SLAB_ROWS, VectorArena};
pub use codes::{Quantized, quantize};

/// A row and how similar it is to what was asked for.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Neighbour {
    pub row: u32,
    /// The cosine.
    pub similarity: f32,
}
