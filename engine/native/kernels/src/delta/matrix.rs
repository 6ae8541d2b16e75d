//! A matrix and its products with a few vectors.

use crate::linear::{Linear, pack};
use crate::parallel::{Parallel, Shared};
use crate::quantized_linear::{PANEL, panels};
use crate::simd::Variant;

/// Rows of a matrix in a piece of work.
const BLOCK: usize = 32;

/// Row-major.
#[derive(Clone)]
pub(super) struct Matrix {
    values: Vec<f32>,
    rows: usize,
    columns: usize,
}

impl Matrix {
    pub(super) fn new(values: Vec<f32>, rows: usize, columns: usize) -> Self {
        assert_eq!(values.len(), rows * columns);
        Self { values, rows, columns }
    }

    pub(super) fn rows(&self) -> usize {
        self.rows
    }

    pub(super) fn columns(&self) -> usize {
        self.columns
    }

    pub(super) fn values(&self) -> &[f32] {
        &self.values
    }

    pub(super) fn values_mut(&mut self) -> &mut [f32] {
        &mut self.values
    }

    pub(super) fn row(&self, row: usize) -> &[f32] {
        &self.values[row * self.columns..][..self.columns]
    }

    pub(super) fn transposed(&self) -> Self {
        /// Both sides of a square that stays in the first-level cache.
        const SIDE: usize = 32;
        let mut values = vec![0f32; self.values.len()];
        for first_row in (0..self.rows).step_by(SIDE) {
            for first_column in (0..self.columns).step_by(SIDE) {
                for row in first_row..self.rows.min(first_row + SIDE) {
                    for column in first_column..self.columns.min(first_column + SIDE) {
                        values[column * self.rows + row] = self.values[row * self.columns + column];
                    }
                }
            }
        }
        Self { values, rows: self.columns, columns: self.rows }
    }

    /// The product with each vector (`[vector][column]`), as `[vector][row]`.
    pub(super) fn times(&self, vectors: &[f32], parallel: &dyn Parallel, variant: Variant) -> Vec<f32> {
        let count = vectors.len() / self.columns;
        let packed = pack(vectors, count, self.columns);
        let layer = Linear { weights: &packed, panels: panels(count), k: self.columns };
        layer.check();
        let stride = panels(count) * PANEL;
        let mut products = vec![0f32; count * self.rows];
        let shared = Shared::new(&mut products);
        parallel.for_each(self.rows.div_ceil(BLOCK), &|block| {
            let rows = block * BLOCK..self.rows.min((block + 1) * BLOCK);
            let x = &self.values[rows.start * self.columns..rows.end * self.columns];
            let mut out = vec![0f32; rows.len() * stride];
            layer.block(0..panels(count), x, &mut out, stride, variant);
            for vector in 0..count {
                // SAFETY: each block has rows of its own.
                let place = unsafe { shared.range(vector * self.rows + rows.start, rows.len()) };
                for (place, out) in place.iter_mut().zip(out.chunks_exact(stride)) {
                    *place = out[vector];
                }
            }
        });
        products
    }
}
