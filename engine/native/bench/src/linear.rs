//! `QuantizedLinear` on every linear layer of the model, beside ONNX Runtime's `MatMulNBits` on the same ones.

use std::path::Path;
use std::rc::Rc;

use polylora_kernels::adapted_linear::{AdaptedLinear, Epilogue, Scratch};
use polylora_kernels::parallel::Parallel;
use polylora_kernels::simd::Variant;
use polylora_kernels::step::RowOrder;

use crate::limits::Work;
use crate::matmul_nbits::MatMulNBits;
use crate::model::{INTERMEDIATE, LAYER_SHAPES, Matrix, Model, VOCABULARY, numbers};
use crate::side::{Case, Part, Side, time};
use crate::threads::with_spinning_threads;

/// One sequence, the same with three drafted tokens, sixteen, and prompts.
const ROWS: [usize; 5] = [1, 4, 16, 128, 512];
/// Rows beyond are prompts', of which only the last are sampled from.
const MOST_SAMPLED_ROWS: usize = 16;
/// A pass over the model with few rows is so short that some are measured together.
const FEW_ROWS: usize = 16;
const PASSES_OF_FEW: usize = 3;

pub fn rows_name(rows: usize) -> String {
    if rows == 1 { "1 row".into() } else { format!("{rows} rows") }
}

/// Rows of which the head is computed.
pub fn sampled_rows(rows: usize) -> usize {
    rows.min(MOST_SAMPLED_ROWS)
}

/// How often the model is passed through in one measurement.
pub fn passes(rows: usize) -> usize {
    if rows <= FEW_ROWS { PASSES_OF_FEW } else { 1 }
}

/// One case for each number of rows.
pub fn cases(threads: usize, ort_library: &Path, matmul_nbits: &Path, variant: Variant) -> Vec<Case> {
    let model = Rc::new(Model::new());
    let other = MatMulNBits::open(threads, ort_library, matmul_nbits);
    ROWS.into_iter()
        .map(|rows| {
            let ours = Pass {
                model: model.clone(),
                rows,
                x: numbers(rows * INTERMEDIATE),
                out: vec![0.0; (rows * 2 * INTERMEDIATE).max(sampled_rows(rows) * VOCABULARY)],
                scratch: Scratch::default(),
                variant,
            };
            let sides: Vec<Box<dyn Side>> = vec![Box::new(ours), Box::new(other.with_rows(rows))];
            Case { kernel: "QuantizedLinear", name: rows_name(rows), sides }
        })
        .collect()
}

/// All layers and the head, one after the other.
struct Pass {
    model: Rc<Model>,
    rows: usize,
    x: Vec<f32>,
    out: Vec<f32>,
    scratch: Scratch,
    variant: Variant,
}

impl Side for Pass {
    fn name(&self) -> String {
        "QuantizedLinear".into()
    }

    fn measure(&mut self, threads: usize) -> Vec<Part> {
        let passes = passes(self.rows);
        let model = self.model.clone();
        with_spinning_threads(threads, |threads| {
            if passes > 1 {
                self.pass(&model, threads);
            }
            let mut parts = self.pass(&model, threads);
            for _ in 1..passes {
                for (sum, part) in parts.iter_mut().zip(self.pass(&model, threads)) {
                    sum.seconds += part.seconds;
                }
            }
            parts.iter_mut().for_each(|part| part.seconds /= passes as f64);
            parts
        })
    }
}

impl Pass {
    /// Every shape's time over all layers, then the head's, then all together.
    fn pass(&mut self, model: &Model, threads: &dyn Parallel) -> Vec<Part> {
        let (rows, sampled) = (self.rows, sampled_rows(self.rows));
        let mut parts = LAYER_SHAPES.each_ref().map(|shape| Part::new(shape.name, 0.0, Work::default()));
        for layer in &model.layers {
            for (matrix, part) in layer.iter().zip(&mut parts) {
                self.add(matrix, rows, threads, part);
            }
        }
        let mut head = Part::new(model.head.shape.name, 0.0, Work::default());
        self.add(&model.head, sampled, threads, &mut head);
        let mut parts: Vec<Part> = parts.into_iter().chain([head]).collect();
        let sum = |of: fn(&Work) -> usize| parts.iter().map(|part| of(&part.work)).sum();
        let work = Work { bytes: sum(|work| work.bytes), int8: sum(|work| work.int8), float: 0 };
        parts.push(Part::new("all", parts.iter().map(|part| part.seconds).sum(), work));
        parts
    }

    fn add(&mut self, matrix: &Matrix, rows: usize, threads: &dyn Parallel, part: &mut Part) {
        let layer = AdaptedLinear {
            k: matrix.shape.k,
            widths: matrix.shape.widths,
            weights: matrix.weights(),
            bias: None,
            norm: None,
            adapters: None,
            epilogue: Epilogue::Store,
        };
        let x = &self.x[..rows * layer.k];
        let out = &mut self.out[..rows * layer.out_width()];
        let order = RowOrder::plain(rows);
        part.seconds += time(|| layer.forward(x, &order, out, &mut self.scratch, self.variant, threads));
        part.work.bytes += matrix.bytes();
        part.work.int8 += rows * matrix.products();
    }
}
