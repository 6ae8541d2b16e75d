//! Placeholder until the branch `delta` is merged.
use crate::pool::PagePool;
use crate::simd::Variant;
use std::ops::Range;
#[derive(Clone, Copy, Debug)]
pub struct SparsePlace {
    pub page: u32,
    pub offset: u32,
    pub panels: u32,
}
#[derive(Clone, Debug)]
pub struct Sparse {
    pub inputs: usize,
    pub outputs: usize,
    pub places: Vec<SparsePlace>,
}
pub const fn place_bytes(panels: usize, inputs: usize) -> usize {
    panels * 16 * 4 + panels * 16 * inputs / 4
}
pub fn write(_codes: &[u8], _scales: &[f32], _inputs: usize, _panels: Range<usize>, _place: &mut [u8]) {
    unimplemented!()
}
impl Sparse {
    pub fn add(
        &self,
        _panels: Range<usize>,
        _x: &[&[f32]],
        _out: &mut [f32],
        _stride: usize,
        _pool: &PagePool,
        _variant: Variant,
    ) {
        unimplemented!()
    }
}
