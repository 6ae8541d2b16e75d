//! The linear layers with their norms and epilogues as a decode step runs them, without adapters and with one adapter
//! for each row.

use std::rc::Rc;
use std::sync::Arc;

use polylora_kernels::adapted_linear::{AdaptedLinear, Adapters, Epilogue, Norm, Scratch};
use polylora_kernels::adapter::{ModuleChange, ResidentAdapter};
use polylora_kernels::lora::{LoraDtype, Pair, SLAB_ALIGNMENT, Slab};
use polylora_kernels::pool::PagePool;
use polylora_kernels::simd::Variant;
use polylora_kernels::step::{SequenceInput, Step};

use crate::limits::Work;
use crate::model::{HIDDEN, INTERMEDIATE, LAYER_SHAPES, LAYERS, Matrix, Model, numbers};
use crate::side::{Case, Part, Side, time};
use crate::threads::with_spinning_threads;

const ROWS: usize = 16;
const RANK: usize = 16;
const PASSES: usize = 3;
const MODULES: usize = 7;
/// As the product's with this model: a KV block of 16 tokens.
const PAGE_BYTES: usize = 368_640;
/// What every number of an adapter is.
const WEIGHT: f32 = 1.0 / 256.0;

pub fn cases(variant: Variant) -> Vec<Case> {
    let model = Rc::new(Model::new());
    let [halves, codes] = [LoraDtype::F16, LoraDtype::Int8].map(|dtype| Rc::new(Pages::new(ROWS, dtype)));
    let side = |name, pages: &Rc<Pages>, adapters: &[Adapter]| -> Box<dyn Side> {
        Box::new(Pass {
            name,
            model: model.clone(),
            pages: pages.clone(),
            step: step(adapters),
            adapter_bytes: adapters.iter().map(|adapter| adapter.bytes).sum(),
            adapter_numbers: adapters.len()
                * LAYERS
                * RANK
                * projections().map(|(k, n, _)| k + n).sum::<usize>(),
            x: numbers(ROWS * INTERMEDIATE),
            out: vec![0.0; ROWS * INTERMEDIATE],
            scratch: Scratch::default(),
            variant,
        })
    };
    let sides = vec![
        side("no adapter", &halves, &[]),
        side("16 adapters of rank 16, f16", &halves, &halves.adapters),
        side("16 adapters of rank 16, int8", &codes, &codes.adapters),
    ];
    vec![Case { kernel: "AdaptedLinear", name: format!("{ROWS} rows"), sides }]
}

/// The pool and what lies in it.
struct Pages {
    pool: PagePool,
    adapters: Vec<Adapter>,
}

struct Adapter {
    resident: Arc<ResidentAdapter>,
    bytes: usize,
}

impl Pages {
    fn new(count: usize, dtype: LoraDtype) -> Self {
        let bytes: usize = projections().map(|(k, n, _)| aligned(dtype.slab_bytes(RANK, k, n))).sum();
        // What stays free at the end of a page is less than a fifth of it.
        let pages = (LAYERS * bytes).div_ceil(PAGE_BYTES) * 5 / 4 + 1;
        let pool = PagePool::new(PAGE_BYTES, count * pages).expect("the pool can be allocated");
        let adapters = (0..count).map(|index| adapter(&pool, (index * pages) as u32, dtype)).collect();
        Self { pool, adapters }
    }
}

/// Input width, output width and module of each projection of a layer.
fn projections() -> impl Iterator<Item = (usize, usize, usize)> {
    LAYER_SHAPES.iter().flat_map(|shape| {
        shape.widths.iter().zip(shape.modules).map(|(width, module)| (shape.k, *width, *module))
    })
}

fn aligned(bytes: usize) -> usize {
    bytes.next_multiple_of(SLAB_ALIGNMENT)
}

/// An adapter on all projections, in consecutive pages.
fn adapter(pool: &PagePool, first_page: u32, dtype: LoraDtype) -> Adapter {
    let mut resident = ResidentAdapter::new(LAYERS, MODULES);
    let mut end = Slab { page: first_page, offset: 0, ranks: RANK as u32, scale: 1.0 };
    let mut bytes = 0;
    for layer in 0..LAYERS {
        for (inputs, outputs, module) in projections() {
            let mut numbers = vec![0; dtype.slab_bytes(RANK, inputs, outputs)];
            let (a, b) = (vec![WEIGHT; RANK * inputs], vec![WEIGHT; RANK * outputs]);
            dtype.write(&a, &b, RANK, 0..RANK, &mut numbers);
            bytes += numbers.len();
            let slabs = vec![put(pool, &mut end, &numbers)];
            let pair = Some(Pair { inputs, outputs, dtype, slabs });
            resident.set(layer, module, ModuleChange { pair, ..ModuleChange::default() });
        }
    }
    Adapter { resident: Arc::new(resident), bytes }
}

/// Puts a slab after the last one.
fn put(pool: &PagePool, end: &mut Slab, numbers: &[u8]) -> Slab {
    if end.offset as usize + numbers.len() > PAGE_BYTES {
        *end = Slab { page: end.page + 1, offset: 0, ..*end };
    }
    let slab = *end;
    // SAFETY: inside the page, and nobody else uses the pool yet.
    let place = unsafe {
        let start = pool.page(slab.page).add(slab.offset as usize);
        std::slice::from_raw_parts_mut(start, numbers.len())
    };
    place.copy_from_slice(numbers);
    end.offset += aligned(numbers.len()) as u32;
    slab
}

/// A decode step of [`ROWS`] sequences, with an adapter each where there are some.
fn step(adapters: &[Adapter]) -> Step {
    let inputs = (0..ROWS).map(|row| SequenceInput {
        rows: 1,
        context: 0,
        blocks: vec![row as u32],
        adapter: adapters.get(row).map(|adapter| (row as u32, adapter.resident.clone())),
    });
    Step::new(inputs.collect(), &[]).expect("the step is sound")
}

struct Pass {
    name: &'static str,
    model: Rc<Model>,
    pages: Rc<Pages>,
    step: Step,
    adapter_bytes: usize,
    adapter_numbers: usize,
    x: Vec<f32>,
    out: Vec<f32>,
    scratch: Scratch,
    variant: Variant,
}

impl Side for Pass {
    fn name(&self) -> String {
        self.name.into()
    }

    fn measure(&mut self, threads: usize) -> Vec<Part> {
        let model = self.model.clone();
        let matrices = || model.layers.iter().flatten().enumerate();
        let seconds = with_spinning_threads(threads, |threads| {
            let mut pass = || {
                for (index, matrix) in matrices() {
                    self.run(index / LAYER_SHAPES.len(), matrix, threads);
                }
            };
            pass();
            time(|| (0..PASSES).for_each(|_| pass()))
        });
        let work = Work {
            bytes: matrices().map(|(_, matrix)| matrix.bytes()).sum::<usize>() + self.adapter_bytes,
            int8: matrices().map(|(_, matrix)| ROWS * matrix.products()).sum(),
            // Each adapter's numbers are multiplied once, for its one row.
            float: self.adapter_numbers,
        };
        vec![Part::new("all", seconds / PASSES as f64, work)]
    }
}

impl Pass {
    fn run(&mut self, layer: usize, matrix: &Matrix, threads: &dyn polylora_kernels::parallel::Parallel) {
        let shape = matrix.shape;
        let norm_weight = [1.0; HIDDEN];
        let (norm, epilogue) = match shape.name {
            "qkv" => (true, Epilogue::Store),
            "gate, up" => (true, Epilogue::SwiGlu),
            _ => (false, Epilogue::Add),
        };
        let linear = AdaptedLinear {
            k: shape.k,
            widths: shape.widths,
            weights: matrix.weights(),
            bias: None,
            norm: norm.then_some(Norm { weight: &norm_weight, epsilon: 1e-5 }),
            adapters: Some(Adapters { layer, modules: shape.modules, pool: &self.pages.pool }),
            epilogue,
        };
        let x = &self.x[..ROWS * shape.k];
        let out = &mut self.out[..ROWS * linear.out_width()];
        linear.forward(x, self.step.order(), out, &mut self.scratch, self.variant, threads);
    }
}
