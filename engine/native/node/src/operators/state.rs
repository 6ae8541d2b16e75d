//! What the operators of one model share besides their tensors: the page pool and the current step.

use std::sync::atomic::AtomicU64;
use std::sync::{Mutex, OnceLock, RwLock};

use polylora_kernels::adapted_linear;
use polylora_kernels::attention::{AttentionScratch, KvDtype};
use polylora_kernels::pool::PagePool;
use polylora_kernels::simd::Variant;
use polylora_kernels::step::Step;

use super::sample::{SampleJob, SampleOutcome};

/// Buffers that operators use while they compute. A graph's operators run one after another, so they share one
/// set, which stays in the cache, instead of keeping one each.
#[derive(Default)]
pub struct Scratch {
    pub linear: adapted_linear::Scratch,
    pub attention: AttentionScratch,
}

pub struct ExecutorState {
    pub pool: PagePool,
    pub kv_dtype: KvDtype,
    pub variant: Variant,
    /// Threads of the session, the calling one included.
    pub threads: usize,
    /// Of the rotary embedding, `head_dim / 2`; set by the first attention operator, the same for all.
    pub inverse_frequencies: OnceLock<Vec<f32>>,
    /// Written between runs, read by the operators during one.
    pub step: RwLock<Step>,
    pub scratch: Mutex<Scratch>,
    /// What to do with each row of logits, and what came of it.
    pub sampling: Mutex<(Vec<SampleJob>, Vec<SampleOutcome>)>,
    /// Time that operators have taken since the step began.
    pub operator_nanoseconds: AtomicU64,
}
