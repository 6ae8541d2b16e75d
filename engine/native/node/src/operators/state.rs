//! What the operators of one model share besides their tensors: the page pool and the current step.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, RwLock};
use std::time::Duration;

use polylora_kernels::adapted_linear::{self, Weights};
use polylora_kernels::attention::{AttentionScratch, KvDtype};
use polylora_kernels::linear::Linear;
use polylora_kernels::pool::PagePool;
use polylora_kernels::quantized_linear::QuantizedLinear;
use polylora_kernels::row_norms::{LowRank, row_norms, square_norms};
use polylora_kernels::simd::Variant;
use polylora_kernels::step::Step;
use polylora_kernels::team::Team;

use super::sample::{SampleJob, SampleOutcome};

/// Buffers that operators use while they compute. A graph's operators run one after another, so they share one
/// set, which stays in the cache, instead of keeping one each.
#[derive(Default)]
pub struct Scratch {
    pub linear: adapted_linear::Scratch,
    pub attention: AttentionScratch,
}

/// What operators' time is counted under.
#[derive(Clone, Copy)]
pub enum Kernel {
    /// Linear layers that adapters can change, with the adapters, norms and activations that they compute as they go; all of an
    /// encoder's.
    Projections,
    Attention,
    /// The linear layer that makes logits.
    Head,
    Sampling,
}

const KERNELS: usize = 4;

/// Time that operators have taken since the step began, by kernel.
#[derive(Default)]
pub struct KernelTimes([AtomicU64; KERNELS]);

impl KernelTimes {
    pub fn add(&self, kernel: Kernel, time: Duration) {
        self.0[kernel as usize].fetch_add(time.as_nanos() as u64, Ordering::Relaxed);
    }

    pub fn seconds(&self, kernel: Kernel) -> f64 {
        Duration::from_nanos(self.0[kernel as usize].load(Ordering::Relaxed)).as_secs_f64()
    }

    pub fn reset(&self) {
        for time in &self.0 {
            time.store(0, Ordering::Relaxed);
        }
    }
}

/// What a model's operators compute with.
pub struct Compute {
    pub variant: Variant,
    /// Threads of the session, the calling one included.
    pub threads: usize,
    /// In place of the session's threads.
    pub team: Option<Team>,
    pub scratch: Mutex<Scratch>,
    pub kernel_times: KernelTimes,
}

impl Compute {
    /// # Errors
    /// When the environment asks for a variant that cannot run here.
    pub fn new(threads: u32) -> Result<Arc<Self>, String> {
        Self::with(threads.max(1) as usize, None)
    }

    /// For a session of one thread, whose operators have a team of so many.
    ///
    /// # Errors
    /// As above, and when the operating system gives no more threads.
    pub fn with_team(threads: u32) -> Result<Arc<Self>, String> {
        let team = Team::new(threads.max(1) as usize).map_err(|error| format!("a thread: {error}"))?;
        Self::with(1, Some(team))
    }

    fn with(threads: usize, team: Option<Team>) -> Result<Arc<Self>, String> {
        Ok(Arc::new(Self {
            variant: Variant::detect()?,
            threads,
            team,
            scratch: Mutex::default(),
            kernel_times: KernelTimes::default(),
        }))
    }
}

/// A decoder's besides.
pub struct ExecutorState {
    pub compute: Arc<Compute>,
    pub pool: PagePool,
    pub kv_dtype: KvDtype,
    /// Of the rotary embedding, `head_dim / 2`; set by the first attention operator, the same for all.
    pub inverse_frequencies: OnceLock<Vec<f32>>,
    /// The base model's projections that adapters can change; known when the graph has been loaded.
    pub base: BaseWeights,
    /// Written between runs, read by the operators during one.
    pub step: RwLock<Step>,
    /// What to do with the rows of logits, and for each of these jobs what came of it.
    pub sampling: Mutex<(Vec<SampleJob>, Vec<Vec<SampleOutcome>>)>,
}

/// Where the base model's projections lie in the graph's own memory.
#[derive(Default)]
pub struct BaseWeights(Mutex<HashMap<(usize, usize), BaseProjection>>);

/// A projection's weights.
struct BaseProjection {
    weights: Constant,
    /// The panel that it begins with.
    first_panel: usize,
    outputs: usize,
    /// Of its rows' lengths; known when they were asked for once.
    squares: Option<Arc<Vec<f64>>>,
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
    pub unsafe fn set(
        &self,
        layer: usize,
        module: usize,
        weights: Constant,
        first_panel: usize,
        outputs: usize,
    ) {
        let projection = BaseProjection { weights, first_panel, outputs, squares: None };
        self.0.lock().expect("no reader panicked").insert((layer, module), projection);
    }

    /// The lengths of a projection's rows with some changes; `None` where there is no such projection.
    pub fn row_norms(
        &self,
        layer: usize,
        module: usize,
        changes: &[LowRank<'_>],
        variant: Variant,
    ) -> Option<Vec<f32>> {
        let (weights, first_panel, outputs, known) = {
            let projections = self.0.lock().expect("no reader panicked");
            let BaseProjection { weights, first_panel, outputs, squares } =
                projections.get(&(layer, module))?;
            (*weights, *first_panel, *outputs, squares.clone())
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
        let squares = known.unwrap_or_else(|| {
            let squares = Arc::new(square_norms(weights, first_panel, outputs));
            let mut projections = self.0.lock().expect("no reader panicked");
            if let Some(projection) = projections.get_mut(&(layer, module)) {
                projection.squares = Some(squares.clone());
            }
            squares
        });
        Some(row_norms(weights, first_panel, &squares, changes, variant))
    }
}
