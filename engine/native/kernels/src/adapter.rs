//! What an adapter does to a layer's projections, with its numbers in pages of the pool:
//! y = output(W·(input ⊙ x) + b + low-rank + sparse), each part where the adapter has it.
//!
//! So LoRA and full fine-tunes (sums), (IA)³ (Liu et al., 2022; factors), DoRA (Liu et al., 2024; factors of a sum) and RoAd
//! (Liao & Monz, 2024; rotated pairs of outputs) run side by side in one step: what is element-wise is done to a block of the
//! product while it is in the cache.

use crate::lora::Pair;
use crate::pool::PagePool;
use crate::sparse::Sparse;

/// Vectors begin at multiples of this many bytes.
pub const VECTOR_ALIGNMENT: usize = 64;

/// Floats in one page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Vector {
    pub page: u32,
    /// In bytes from the start of the page, a multiple of [`VECTOR_ALIGNMENT`].
    pub offset: u32,
    pub length: usize,
}

impl Vector {
    /// # Panics
    /// When it lies outside the pool or between alignments.
    pub fn values<'a>(&self, pool: &'a PagePool) -> &'a [f32] {
        let offset = self.offset as usize;
        assert!(offset + self.length * size_of::<f32>() <= pool.page_bytes(), "a vector crosses its page");
        assert!(offset.is_multiple_of(VECTOR_ALIGNMENT), "a vector at byte {offset}");
        // SAFETY: inside the page and aligned; the pages belong to this adapter while it is resident and are only read.
        unsafe { std::slice::from_raw_parts(pool.page(self.page).add(offset).cast(), self.length) }
    }
}

/// What is done with a projection's outputs z.
#[derive(Clone, Debug)]
pub struct OutputChange {
    /// y_i = factors_i · z_i, and what a partner adds.
    pub factors: Vector,
    pub partners: Option<Partners>,
    /// The bias is left out of it: y = factors ⊙ (z − b) + b.
    pub is_before_bias: bool,
}

/// Each output of the first half of a group gets a multiple of its partner in the second half, and the other way round:
/// y_i = factors_i · z_i + multiples_i · z_partner(i).
#[derive(Clone, Copy, Debug)]
pub struct Partners {
    pub multiples: Vector,
    /// Outputs in a group; even, and divides their number.
    pub group: usize,
}

impl OutputChange {
    /// Changes some columns of `rows`, each beginning `stride` values after the one before. `first` is the first column's number;
    /// `bias` belongs to these columns.
    ///
    /// # Panics
    /// When the columns are not whole groups of partners, or beyond the vectors.
    pub fn apply(
        &self,
        rows: &mut [f32],
        stride: usize,
        first: usize,
        count: usize,
        bias: Option<&[f32]>,
        pool: &PagePool,
    ) {
        let factors = &self.factors.values(pool)[first..first + count];
        let bias = if self.is_before_bias { bias } else { None };
        for row in rows.chunks_mut(stride) {
            let row = &mut row[..count];
            if let Some(bias) = bias {
                row.iter_mut().zip(bias).for_each(|(value, bias)| *value -= bias);
            }
            match &self.partners {
                None => row.iter_mut().zip(factors).for_each(|(value, factor)| *value *= factor),
                Some(partners) => partners.apply(row, factors, first, pool),
            }
            if let Some(bias) = bias {
                row.iter_mut().zip(bias).for_each(|(value, bias)| *value += bias);
            }
        }
    }
}

impl Partners {
    fn apply(&self, row: &mut [f32], factors: &[f32], first: usize, pool: &PagePool) {
        let group = self.group;
        assert!(first.is_multiple_of(group) && row.len().is_multiple_of(group), "a group of partners is cut");
        let multiples = &self.multiples.values(pool)[first..first + row.len()];
        let groups = row.chunks_exact_mut(group).zip(factors.chunks_exact(group));
        for ((outputs, factors), multiples) in groups.zip(multiples.chunks_exact(group)) {
            let (low, high) = outputs.split_at_mut(group / 2);
            let (low_factors, high_factors) = factors.split_at(group / 2);
            let (low_multiples, high_multiples) = multiples.split_at(group / 2);
            for i in 0..group / 2 {
                let (a, b) = (low[i], high[i]);
                low[i] = low_factors[i] * a + low_multiples[i] * b;
                high[i] = high_factors[i] * b + high_multiples[i] * a;
            }
        }
    }
}

/// One projection of one layer that an adapter changes.
#[derive(Clone, Default, Debug)]
pub struct ModuleChange {
    /// A factor for each input.
    pub input: Option<Vector>,
    pub pair: Option<Pair>,
    pub sparse: Option<Sparse>,
    pub output: Option<OutputChange>,
}

impl ModuleChange {
    /// # Panics
    /// When a part does not fit a projection of that shape.
    pub fn check(&self, inputs: usize, outputs: usize) {
        if let Some(input) = &self.input {
            assert_eq!(input.length, inputs);
        }
        if let Some(pair) = &self.pair {
            assert_eq!((pair.inputs, pair.outputs), (inputs, outputs));
        }
        if let Some(sparse) = &self.sparse {
            assert_eq!((sparse.inputs, sparse.outputs), (inputs, outputs));
        }
        if let Some(output) = &self.output {
            assert_eq!(output.factors.length, outputs);
            if let Some(partners) = &output.partners {
                assert_eq!(partners.multiples.length, outputs);
                assert!(partners.group > 0 && partners.group.is_multiple_of(2));
                assert!(outputs.is_multiple_of(partners.group));
            }
        }
    }

    /// Neighbouring outputs that must be computed together.
    pub fn output_group(&self) -> usize {
        self.output.as_ref().and_then(|output| output.partners).map_or(1, |partners| partners.group)
    }
}

/// An adapter whose weights are in the pool.
#[derive(Default, Debug)]
pub struct ResidentAdapter {
    /// Indexed `[layer * modules + module]`; `None` where the adapter changes nothing.
    changes: Vec<Option<ModuleChange>>,
    modules: usize,
}

impl ResidentAdapter {
    pub fn new(layers: usize, modules: usize) -> Self {
        Self { changes: vec![None; layers * modules], modules }
    }

    /// # Panics
    /// When there is no such layer or module.
    pub fn set(&mut self, layer: usize, module: usize, change: ModuleChange) {
        assert!(module < self.modules);
        self.changes[layer * self.modules + module] = Some(change);
    }

    pub fn get(&self, layer: usize, module: usize) -> Option<&ModuleChange> {
        self.changes.get(layer * self.modules + module)?.as_ref()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn vector(pool: &PagePool, page: u32, values: &[f32]) -> Vector {
        // SAFETY: the page is longer, and nothing else refers to it.
        unsafe { std::slice::from_raw_parts_mut(pool.page(page).cast(), values.len()) }
            .copy_from_slice(values);
        Vector { page, offset: 0, length: values.len() }
    }

    #[test]
    fn partners_are_rotated() {
        let pool = PagePool::new(256, 2).unwrap();
        let (sin, cos) = (0.6f32, 0.8f32);
        let change = OutputChange {
            factors: vector(&pool, 0, &[9.0, 9.0, 9.0, 9.0, cos, 1.0, cos, 2.0]),
            partners: Some(Partners {
                multiples: vector(&pool, 1, &[9.0, 9.0, 9.0, 9.0, -sin, 0.0, sin, 0.0]),
                group: 4,
            }),
            is_before_bias: false,
        };
        let mut rows = [5.0, 1.0, 10.0, 3.0, -1.0, 0.0, 7.0, 1.0, 1.0, -1.0];
        change.apply(&mut rows, 5, 4, 4, None, &pool);
        let expected = [-2.0, 1.0, 11.0, 6.0, -1.0, -0.6, 7.0, 0.8, 2.0, -1.0];
        assert!(rows.iter().zip(expected).all(|(value, exact)| (value - exact).abs() < 1e-6), "{rows:?}");
    }

    #[test]
    fn a_bias_may_be_left_as_it_is() {
        let pool = PagePool::new(256, 1).unwrap();
        let factors = vector(&pool, 0, &[2.0, 4.0]);
        let mut change = OutputChange { factors, partners: None, is_before_bias: true };
        let mut row = [3.0, 5.0];
        change.apply(&mut row, 2, 0, 2, Some(&[1.0, 1.0]), &pool);
        assert_eq!(row, [5.0, 17.0]);
        change.is_before_bias = false;
        change.apply(&mut row, 2, 0, 2, Some(&[1.0, 1.0]), &pool);
        assert_eq!(row, [10.0, 68.0]);
    }

    #[test]
    #[should_panic(expected = "a vector crosses its page")]
    fn a_vector_that_crosses_its_page_is_refused() {
        let pool = PagePool::new(256, 2).unwrap();
        Vector { page: 0, offset: 128, length: 33 }.values(&pool);
    }

    #[test]
    #[should_panic(expected = "a group of partners is cut")]
    fn a_group_is_never_cut() {
        let pool = PagePool::new(256, 2).unwrap();
        let factors = vector(&pool, 0, &[1.0; 8]);
        let multiples = vector(&pool, 1, &[1.0; 8]);
        let change =
            OutputChange { factors, partners: Some(Partners { multiples, group: 4 }), is_before_bias: false };
        change.apply(&mut [0.0; 6], 6, 0, 6, None, &pool);
    }
}
