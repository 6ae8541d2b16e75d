//! The kernels of Polylora: everything that touches each byte of a tensor.
//!
//! The promise that holds for every function here: a row's result has the same bits whatever other rows,
//! adapters or sequences are computed beside it, however the work is split over threads, and on every
//! instruction-set variant. So sums have one fixed order, multiplications and additions are never fused,
//! and nothing is quantized across rows.

pub mod adapted_linear;
pub mod adapter;
pub mod attention;
pub mod comparison;
pub mod delta;
pub mod dequantize;
pub mod drafting;
pub mod encoder_attention;
mod gelu;
pub mod linear;
pub mod lora;
pub mod math;
pub mod nearest;
pub mod norm;
pub mod parallel;
pub mod pool;
pub mod pooling;
pub mod prefetch;
pub mod quantized_linear;
pub mod row_norms;
pub mod sampling;
pub mod simd;
pub mod sparse;
pub mod step;
pub mod swiglu;
pub mod team;
mod wide;
