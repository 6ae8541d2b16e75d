//! What the operators of one model share besides their tensors: the page pool and the current step.

use std::collections::HashMap;
use std::sync::atomic::AtomicU64;
use std::sync::{Mutex, OnceLock, RwLock};

use polylora_kernels::adapted_linear::{self, Weights};
use polylora_kernels::attention::{AttentionScratch, KvDtype};
use polylora_kernels::linear::Linear;
use polylora_kernels::pool::PagePool;
use polylora_kernels::quantized_linear::QuantizedLinear;
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
    /// The base model's projections that adapters can change; known when the graph has been loaded.
    pub base: BaseWeights,
    /// Written between runs, read by the operators during one.
    pub step: RwLock<Step>,
    pub scratch: Mutex<Scratch>,
    /// What to do with each row of logits, and what came of it.
    pub sampling: Mutex<(Vec<SampleJob>, Vec<SampleOutcome>)>,
    /// Time that operators have taken since the step began.
    pub operator_nanoseconds: AtomicU64,
}

/// Where the base model's projections lie in the graph's own memory.
#[derive(Default)]
pub struct BaseWeights(Mutex<HashMap<(usize, usize), BaseProjection>>);

/// A projection's weights, and the panel that it begins with.
struct BaseProjection {
    weights: Constant,
    first_panel: usize,
}

/// A layer's weights in a constant of the graph. ONNX Runtime keeps constants where they are as long as the session lives.
#[derive(Clone, Copy)]
pub enum Constant {
    Int8 { codes: *const [u8], scales: *const [f32], panels: usize, k: usize, group: usize },
    Float { weights: *const [f32], panels: usize, k: usize },
}

// SAFETY: constants are only read.
unsafe impl Send for Constant {}

impl BaseWeights {
    /// # Safety
    /// The session with these weights must live as long as these are used.
    pub unsafe fn set(&self, layer: usize, module: usize, weights: Constant, first_panel: usize) {
        let projection = BaseProjection { weights, first_panel };
        self.0.lock().expect("no reader panicked").insert((layer, module), projection);
    }

    /// Calls `read` with a projection's weights and its first panel; `None` where there is no such projection.
    pub fn with<R>(
        &self,
        layer: usize,
        module: usize,
        read: impl FnOnce(Weights<'_>, usize) -> R,
    ) -> Option<R> {
        let (weights, first_panel) = {
            let projections = self.0.lock().expect("no reader panicked");
            let projection = projections.get(&(layer, module))?;
            (projection.weights, projection.first_panel)
        };
        // SAFETY: promised where it was set.
        let weights = unsafe {
            match weights {
                Constant::Int8 { codes, scales, panels, k, group } => {
                    Weights::Int8(QuantizedLinear { codes: &*codes, scales: &*scales, panels, k, group })
                }
                Constant::Float { weights, panels, k } => {
                    Weights::Float(Linear { weights: &*weights, panels, k })
                }
            }
        };
        Some(read(weights, first_panel))
    }
}
