//! An adapter as TypeScript describes it; `engine/src/types.ts` says what each part means.

use napi_derive::napi;

/// A row-major tensor in one of an adapter's files; a vector has one row.
#[napi(object)]
#[derive(Clone)]
pub struct AdapterTensor {
    /// Its number among the adapter's files.
    pub file: u32,
    /// `F32`, `F16`, `BF16`, `I32` or `U8`.
    pub dtype: String,
    pub rows: u32,
    pub columns: u32,
    /// Of the first byte, from the start of the file.
    pub begin: i64,
}

/// One factor of a low-rank change: A `[rank, inputs]` or B `[outputs, rank]`.
#[napi(object)]
#[derive(Clone)]
pub struct AdapterFactor {
    pub tensor: AdapterTensor,
    /// `[rank, pieces per rank]`: which rows of the tensor make up a rank. Absent: the tensor begins with the factor.
    pub pieces: Option<AdapterTensor>,
    /// A factor for each of its rows.
    pub row_scales: Option<AdapterTensor>,
}

#[napi(object)]
#[derive(Clone)]
pub struct AdapterLowRank {
    pub rank: u32,
    pub scale: f64,
    pub a: AdapterFactor,
    pub b: AdapterFactor,
}

#[napi(object)]
#[derive(Clone)]
pub struct AdapterSparse {
    pub codes: AdapterTensor,
    pub scales: AdapterTensor,
}

#[napi(object)]
#[derive(Clone)]
pub struct AdapterOutput {
    /// `scale`, `magnitude` or `rotation`.
    pub kind: String,
    /// Factors, magnitudes or angles.
    pub values: AdapterTensor,
    /// Of a rotation.
    pub scales: Option<AdapterTensor>,
    /// Of a rotation: 1, 2 or 4.
    pub variant: Option<u32>,
    /// Of a rotation.
    pub group_size: Option<u32>,
}

/// What an adapter does to one projection.
#[napi(object)]
#[derive(Clone)]
pub struct AdapterModule {
    pub layer: u32,
    /// Its number in `LORA_MODULES`.
    pub module: u32,
    pub inputs: u32,
    pub outputs: u32,
    pub input: Option<AdapterTensor>,
    pub low_rank: Vec<AdapterLowRank>,
    pub sparse: Option<AdapterSparse>,
    pub output: Option<AdapterOutput>,
}
