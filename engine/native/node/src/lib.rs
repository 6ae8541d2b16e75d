//! Binds the kernels to ONNX Runtime, as custom operators, and to Node. Conversions only: what is computed is
//! in `polylora-kernels` and `polylora-grammar`, what is decided is in TypeScript.

mod adapter;
mod comparison;
mod delta;
mod encoder;
mod executor;
mod grammar;
mod operators;
mod ort_session;
mod tokenizer;
mod vectors;
mod weights;
