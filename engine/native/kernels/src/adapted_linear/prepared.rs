//! A step's rows as projections take them: normalized, multiplied with an adapter's factors, quantized.

use std::ops::Range;

use super::Weights;
use crate::parallel::Shared;
use crate::quantized_linear::{QuantizedRows, RowWriter};
use crate::simd::Variant;

/// Rows as a projection takes them, by place.
#[derive(Default)]
pub(super) struct PreparedInput {
    pub(super) quantized: QuantizedRows,
    /// For float weights; beside quantized ones only the rows of adapters with a sparse part.
    pub(super) floats: Vec<f32>,
}

impl PreparedInput {
    /// Makes room for so many rows, to be written in any order. `sparse`: some of them as floats too.
    pub(super) fn writer(
        &mut self,
        rows: usize,
        k: usize,
        weights: Weights<'_>,
        sparse: bool,
        variant: Variant,
    ) -> InputWriter {
        let is_float = matches!(weights, Weights::Float(_));
        if is_float || sparse {
            self.floats.resize(self.floats.len().max(rows * k), 0.0);
        }
        InputWriter {
            codes: match weights {
                Weights::Int8(weights) => {
                    Some(self.quantized.writer(rows, weights.k, weights.group, variant))
                }
                Weights::Float(_) => None,
            },
            floats: Shared::new(&mut self.floats),
        }
    }

    /// Rows that were written as floats.
    pub(super) fn rows(&self, places: Range<usize>, k: usize) -> Vec<&[f32]> {
        self.floats[places.start * k..places.end * k].chunks_exact(k).collect()
    }
}

/// Writes rows of a [`PreparedInput`].
pub(super) struct InputWriter {
    codes: Option<RowWriter>,
    floats: Shared<f32>,
}

impl InputWriter {
    /// # Safety
    /// No other thread may use this row meanwhile.
    pub(super) unsafe fn write(&self, place: usize, x: &[f32], keeps_floats: bool) {
        if let Some(codes) = &self.codes {
            // SAFETY: passed on; the scratch outlives the pass.
            unsafe { codes.write(place, x) };
        }
        if self.codes.is_none() || keeps_floats {
            // SAFETY: as above; there is room for floats wherever they are kept.
            unsafe { self.floats.range(place * x.len(), x.len()) }.copy_from_slice(x);
        }
    }
}
