//! The linear layers with their norms and epilogues as a decode step runs them, without adapters and with one adapter
//! for each row.

use std::rc::Rc;
use std::sync::Arc;

use polylora_kernels::adapted_linear::{AdaptedLinear, Adapters, Epilogue, Norm, Scratch};
use polylora_kernels::lora::{Pair, ResidentAdapter, RowAddress, row_bytes};
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
/// Rank rows start on cache lines.
const ROW_ALIGNMENT: usize = 64;
/// 2⁻⁸ as a half float.
const WEIGHT: u16 = 0x1c00;

pub fn cases(variant: Variant) -> Vec<Case> {
    let model = Rc::new(Model::new());
    let shared = Rc::new(Pages::new(ROWS));
    let side = |name, adapters| -> Box<dyn Side> {
        Box::new(Pass {
            name,
            model: model.clone(),
            shared: shared.clone(),
            step: step(adapters),
            adapter_bytes: adapters.iter().map(|adapter| adapter.bytes).sum(),
            x: numbers(ROWS * INTERMEDIATE),
            out: vec![0.0; ROWS * INTERMEDIATE],
            scratch: Scratch::default(),
            variant,
        })
    };
    let sides = vec![side("no adapter", &[]), side("16 adapters of rank 16, f16", &shared.adapters)];
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
    fn new(count: usize) -> Self {
        let bytes: usize = projections().map(|(k, n, _)| RANK * aligned(row_bytes(k, n))).sum();
        // What stays free at the end of a page is less than a twentieth of it.
        let pages = (LAYERS * bytes).div_ceil(PAGE_BYTES) * 21 / 20 + 1;
        let pool = PagePool::new(PAGE_BYTES, count * pages).expect("the pool can be allocated");
        let adapters = (0..count).map(|index| adapter(&pool, (index * pages) as u32)).collect();
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
    bytes.next_multiple_of(ROW_ALIGNMENT)
}

/// An adapter on all projections, in consecutive pages.
fn adapter(pool: &PagePool, first_page: u32) -> Adapter {
    let mut resident = ResidentAdapter::new(LAYERS, MODULES);
    let mut end = RowAddress { page: first_page, offset: 0 };
    let mut bytes = 0;
    for layer in 0..LAYERS {
        for (inputs, outputs, module) in projections() {
            let length = row_bytes(inputs, outputs);
            let rows: Vec<RowAddress> = (0..RANK).map(|_| take_row(pool, &mut end, length)).collect();
            bytes += RANK * length;
            resident.set(layer, module, Pair { scale: 1.0, inputs, outputs, rows });
        }
    }
    Adapter { resident: Arc::new(resident), bytes }
}

/// Puts a rank row of so many bytes after the last one.
fn take_row(pool: &PagePool, end: &mut RowAddress, bytes: usize) -> RowAddress {
    if end.offset as usize + bytes > PAGE_BYTES {
        *end = RowAddress { page: end.page + 1, offset: 0 };
    }
    let address = *end;
    // SAFETY: inside the page, aligned, and nobody else uses the pool yet.
    let row = unsafe {
        let start = pool.page(address.page).add(address.offset as usize).cast::<u16>();
        std::slice::from_raw_parts_mut(start, bytes / 2)
    };
    row.fill(WEIGHT);
    end.offset += aligned(bytes) as u32;
    address
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
    shared: Rc<Pages>,
    step: Step,
    adapter_bytes: usize,
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
            // Each adapter's values are multiplied once, for its one row.
            float: self.adapter_bytes / size_of::<u16>(),
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
            adapters: Some(Adapters { layer, modules: shape.modules, pool: &self.shared.pool }),
            epilogue,
        };
        let x = &self.x[..ROWS * shape.k];
        let out = &mut self.out[..ROWS * linear.out_width()];
        linear.forward(x, self.step.order(), out, &mut self.scratch, self.variant, threads);
    }
}
