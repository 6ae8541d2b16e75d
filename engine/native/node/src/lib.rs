//! Binds the kernels to ONNX Runtime, as custom operators, and to Node. Conversions only: what is computed is
//! in `polylora-kernels`, what is decided is in TypeScript.

mod adapter;
mod delta;
mod executor;
mod operators;
mod tokenizer;
mod weights;
