//! The linear layers of SmolLM2-135M, each with weights of its own, so that nothing is in a cache when its turn comes.

use polylora_kernels::adapted_linear::Weights;
use polylora_kernels::quantized_linear::{PackedWeights, QuantizedLinear, pack, panels};

pub const LAYERS: usize = 30;
pub const HIDDEN: usize = 576;
pub const INTERMEDIATE: usize = 1536;
pub const HEADS: usize = 9;
pub const KV_HEADS: usize = 3;
pub const HEAD_DIM: usize = 64;
pub const VOCABULARY: usize = 49_152;
/// Input channels that share a scale.
const GROUP: usize = 64;

/// Projections that are computed at once.
pub struct Shape {
    pub name: &'static str,
    pub k: usize,
    pub widths: &'static [usize],
    /// Their numbers as an adapter's modules; none for the head.
    pub modules: &'static [usize],
}

/// Of a decoder layer, in the order of the computation.
pub const LAYER_SHAPES: [Shape; 4] = [
    Shape {
        name: "qkv",
        k: HIDDEN,
        widths: &[HEADS * HEAD_DIM, KV_HEADS * HEAD_DIM, KV_HEADS * HEAD_DIM],
        modules: &[0, 1, 2],
    },
    Shape { name: "o", k: HEADS * HEAD_DIM, widths: &[HIDDEN], modules: &[3] },
    Shape { name: "gate, up", k: HIDDEN, widths: &[INTERMEDIATE, INTERMEDIATE], modules: &[4, 5] },
    Shape { name: "down", k: INTERMEDIATE, widths: &[HIDDEN], modules: &[6] },
];

pub const HEAD_SHAPE: Shape = Shape { name: "lm_head", k: HIDDEN, widths: &[VOCABULARY], modules: &[] };

/// Projections with their weights.
pub struct Matrix {
    pub shape: &'static Shape,
    packed: PackedWeights,
}

impl Matrix {
    pub fn weights(&self) -> Weights<'_> {
        Weights::Int8(QuantizedLinear {
            codes: &self.packed.codes,
            scales: &self.packed.scales,
            panels: self.shape.widths.iter().map(|width| panels(*width)).sum(),
            k: self.shape.k,
            group: GROUP,
        })
    }

    pub fn bytes(&self) -> usize {
        size_of_val(self.packed.codes.as_slice()) + size_of_val(self.packed.scales.as_slice())
    }

    /// Multiply-accumulates for each row.
    pub fn products(&self) -> usize {
        self.shape.k * self.shape.widths.iter().sum::<usize>()
    }
}

pub struct Model {
    pub layers: Vec<[Matrix; 4]>,
    pub head: Matrix,
}

impl Model {
    /// Every layer has the same values, in memory of its own.
    pub fn new() -> Self {
        let first = LAYER_SHAPES.each_ref().map(matrix);
        let copy = |matrix: &Matrix| Matrix {
            shape: matrix.shape,
            packed: PackedWeights {
                codes: matrix.packed.codes.clone(),
                scales: matrix.packed.scales.clone(),
            },
        };
        let layers = (0..LAYERS).map(|_| first.each_ref().map(copy)).collect();
        Self { layers, head: matrix(&HEAD_SHAPE) }
    }
}

fn matrix(shape: &'static Shape) -> Matrix {
    let n = shape.widths.iter().sum();
    Matrix { shape, packed: pack(&numbers(n * shape.k), n, shape.k, GROUP) }
}

/// Numbers between -1 and 1, always the same.
pub fn numbers(count: usize) -> Vec<f32> {
    let mut state = 1u32;
    let mut next = || {
        // A linear congruential generator (Numerical Recipes).
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 8) as f32 / 8_388_608.0 - 1.0
    };
    (0..count).map(|_| next()).collect()
}
