//! The kernels of Polylora: everything that touches each byte of a tensor.
//!
//! The promise that holds for every function here: a row's result has the same bits whatever other rows,
//! adapters or sequences are computed beside it, however the work is split over threads, and on every
//! instruction-set variant. So sums have one fixed order, multiplications and additions are never fused,
//! and nothing is quantized across rows.

//attention
//dequantize
pub mod linear;
//lora
//math
//norm
pub mod parallel;
//pool
pub mod quantized_linear;
//sampling
pub mod simd;
//step
//swiglu
