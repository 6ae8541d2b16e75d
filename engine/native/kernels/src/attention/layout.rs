//! How keys and values lie in a page: one block of [`BLOCK_TOKENS`] tokens for all layers,
//! `[layer][kv head]{ keys [head_dim][16], key scales [16], values [16][head_dim], value scales [16] }`;
//! half floats have no scales. Keys lie transposed, so that sixteen scores come out side by side without a
//! horizontal sum.

use std::str::FromStr;

use super::code::KvCode;
use crate::step::BLOCK_TOKENS;

/// What a key or value is stored as.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum KvDtype {
    #[default]
    F16,
    /// Eight bits with one float scale for each token and head, keys and values apart (as KIVI's values: Liu et
    /// al., 2024). A token is quantized by itself.
    Int8,
}

impl FromStr for KvDtype {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        match name {
            "f16" => Ok(KvDtype::F16),
            "int8" => Ok(KvDtype::Int8),
            _ => Err(format!("keys and values cannot be kept as {name}; choose f16 or int8")),
        }
    }
}

impl KvDtype {
    const fn code_bytes(self) -> usize {
        match self {
            KvDtype::F16 => 2,
            KvDtype::Int8 => 1,
        }
    }

    const fn scale_bytes(self) -> usize {
        match self {
            KvDtype::F16 => 0,
            KvDtype::Int8 => 4,
        }
    }
}

#[derive(Clone, Copy, Debug)]
pub struct AttentionShape {
    pub heads: usize,
    pub kv_heads: usize,
    /// A multiple of 8.
    pub head_dim: usize,
    /// Multiplies every score, usually 1/√head_dim.
    pub scale: f32,
    pub kv_dtype: KvDtype,
}

impl AttentionShape {
    /// Columns of a fused q, k, v row.
    pub const fn qkv_width(&self) -> usize {
        (self.heads + 2 * self.kv_heads) * self.head_dim
    }

    /// Bytes of one KV block over `layers` layers: what a page must hold.
    pub const fn block_bytes(&self, layers: usize) -> usize {
        layers * self.kv_heads * 2 * self.side_bytes()
    }

    /// Query heads that share a KV head.
    pub(super) const fn group(&self) -> usize {
        self.heads / self.kv_heads
    }

    /// Bytes of one head's keys, or values, in a block of one layer. A multiple of 64.
    const fn side_bytes(&self) -> usize {
        (self.head_dim * self.kv_dtype.code_bytes() + self.kv_dtype.scale_bytes()) * BLOCK_TOKENS
    }
}

/// Where a head's keys and values of one block and layer lie. Scales are there only where `C` has them.
#[derive(Clone, Copy)]
pub(super) struct HeadBlock<C> {
    /// `[head_dim][16]`
    pub(super) keys: *mut C,
    pub(super) key_scales: *mut f32,
    /// `[16][head_dim]`
    pub(super) values: *mut C,
    pub(super) value_scales: *mut f32,
}

impl<C: KvCode> HeadBlock<C> {
    /// # Safety
    /// `page` must hold a block of at least `layer + 1` layers of this shape, whose codes are of type `C`.
    pub(super) unsafe fn new(shape: &AttentionShape, page: *mut u8, layer: usize, head: usize) -> Self {
        let side = shape.side_bytes();
        let codes = shape.head_dim * BLOCK_TOKENS * size_of::<C>();
        // SAFETY: in bounds by the caller's promise. All offsets are multiples of 64 bytes, as pages are.
        unsafe {
            let keys = page.add((layer * shape.kv_heads + head) * 2 * side);
            let values = keys.add(side);
            Self {
                keys: keys.cast(),
                key_scales: keys.add(codes).cast(),
                values: values.cast(),
                value_scales: values.add(codes).cast(),
            }
        }
    }
}
