//! Causal self-attention over a paged KV cache, with rotary embedding and grouped query heads.
//!
//! A row's context is cut into parts of [`PART_TOKENS`] tokens, always the same ones. Each part has a softmax of
//! its own, and parts are merged in ascending order by one formula (Milakov & Gimelshein, 2018; over parts as in
//! Flash-Decoding, Dao et al., 2023). So a row's bits depend on nothing but its context, although parts may be
//! computed by different threads (decode of few, long sequences) or many rows at once (prefill).

mod code;
mod item;
mod layout;
mod part;
mod plan;
mod records;
mod soften;
#[cfg(test)]
mod tests;
mod write;

use std::sync::Mutex;

use crate::parallel::{Parallel, Shared};
use crate::pool::PagePool;
use crate::simd::{Variant, dispatch};
use crate::step::{BLOCK_TOKENS, Step};

pub use layout::{AttentionShape, KvDtype};

use item::{Workspace, attend, write};
use plan::Plan;

/// Tokens that have one softmax. Small enough that few long sequences keep many threads busy, and that a head's
/// values stay in the first-level cache while they are read once for each sixteen dimensions.
const PART_TOKENS: usize = 128;
const PART_BLOCKS: usize = PART_TOKENS / BLOCK_TOKENS;

/// Weights of a per-head normalization of queries and keys (Qwen3).
#[derive(Clone, Copy)]
pub struct HeadNorm<'a> {
    pub q: &'a [f32],
    pub k: &'a [f32],
    pub epsilon: f32,
}

/// Buffers that calls share, so that they allocate nothing once warm.
#[derive(Default)]
pub struct AttentionScratch {
    /// One for each item that runs at the same time.
    workspaces: Mutex<Vec<Workspace>>,
    /// Results of parts that different items compute.
    partials: Vec<f32>,
}

/// What every work item of a call reads, and where it writes.
struct Call<'a> {
    shape: AttentionShape,
    layer: usize,
    qkv: &'a [f32],
    norm: Option<HeadNorm<'a>>,
    step: &'a Step,
    pool: &'a PagePool,
    variant: Variant,
    plan: &'a Plan<'a>,
    partials: Shared<f32>,
    out: Shared<f32>,
}

/// Rotates and scales the queries in `qkv`, writes keys and values to the step's pages, and leaves each
/// row's attention output in `out[rows, heads * head_dim]`. `scratch` only saves allocations.
///
/// # Panics
/// When shapes do not fit, or a page is too small for `layer`.
pub fn paged_attention(
    shape: AttentionShape,
    layer: usize,
    qkv: &[f32],
    norm: Option<HeadNorm<'_>>,
    step: &Step,
    pool: &PagePool,
    scratch: &mut AttentionScratch,
    out: &mut [f32],
    variant: Variant,
    parallel: &dyn Parallel,
) {
    let AttentionShape { heads, kv_heads, head_dim, .. } = shape;
    assert_eq!(qkv.len(), step.rows * shape.qkv_width());
    assert_eq!(out.len(), step.rows * heads * head_dim);
    assert_eq!(step.rope.len(), step.rows * head_dim);
    assert!(head_dim.is_multiple_of(8) && heads.is_multiple_of(kv_heads));
    assert!(shape.block_bytes(layer + 1) <= pool.page_bytes());
    assert!(norm.is_none_or(|norm| norm.q.len() == head_dim && norm.k.len() == head_dim));

    let plan = Plan::new(shape, step, parallel.threads());
    let AttentionScratch { workspaces, partials } = scratch;
    let workspaces: &Mutex<_> = workspaces;
    // Only ever grown: whoever reads a result wrote it in this call.
    partials.resize(partials.len().max(plan.partial_floats), 0.0);
    let (partials, out) = (Shared::new(partials), Shared::new(out));
    let call = Call { shape, layer, qkv, norm, step, pool, variant, plan: &plan, partials, out };
    let call = &call;
    let with_workspace = |work: &dyn Fn(&mut Workspace)| {
        let taken = workspaces.lock().expect("no item panics while it holds the lock").pop();
        let mut workspace = taken.unwrap_or_default();
        work(&mut workspace);
        workspaces.lock().expect("no item panics while it holds the lock").push(workspace);
    };
    parallel.for_each(plan.writes.len(), &|index| {
        with_workspace(&|space| {
            // SAFETY: the variant was detected on this processor. No other item writes these rows, and none reads
            // them before all are written.
            unsafe { dispatch!(variant, write(call: &Call<'_>, index: usize, space: &mut Workspace)) }
        });
    });
    parallel.for_each(plan.items.len(), &|index| {
        with_workspace(&|space| {
            // SAFETY: the variant was detected on this processor; the shapes were checked above; each item runs
            // once, after all writes.
            unsafe { dispatch!(variant, attend(call: &Call<'_>, index: usize, space: &mut Workspace)) }
        });
    });
}
