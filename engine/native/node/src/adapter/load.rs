//! Puts an adapter's parts into their places, unpacked to what the kernels take: shared matrices and shards to rank rows,
//! magnitudes and angles to factors.

use polylora_kernels::adapter::{
    ModuleChange, OutputChange, Partners, ResidentAdapter, VECTOR_ALIGNMENT, Vector,
};
use polylora_kernels::lora::{LoraDtype, Pair, SLAB_ALIGNMENT, SLAB_RANKS, Slab};
use polylora_kernels::pool::PagePool;
use polylora_kernels::quantized_linear::panels;
use polylora_kernels::row_norms::LowRank;
use polylora_kernels::simd::Variant;
use polylora_kernels::sparse::{self, Sparse, SparsePlace};

use super::description::{
    AdapterFactor, AdapterLowRank, AdapterModule, AdapterOutput, AdapterSparse, AdapterTensor,
};
use super::files::Files;
use crate::operators::{BaseWeights, MODULES};

/// Half of the way from the largest half float to the next power of two: rounded, it is infinite.
const TOO_LARGE: f32 = 65520.0;

/// Where a part of an adapter lies: a vector, so many ranks, or so many panels.
#[derive(Clone, Copy)]
pub struct Place {
    pub page: u32,
    /// In bytes from the start of the page.
    pub offset: u32,
    pub count: u32,
}

/// What loading needs of the engine.
pub struct Target<'a> {
    pub pool: &'a PagePool,
    pub layers: usize,
    pub dtype: LoraDtype,
    pub base: &'a BaseWeights,
    pub variant: Variant,
}

/// A low-rank change as numbers: A `[rank][inputs]`, B `[outputs][rank]`.
struct Matrices {
    a: Vec<f32>,
    b: Vec<f32>,
    rank: usize,
    scale: f32,
}

struct Loader<'a> {
    target: &'a Target<'a>,
    files: Files,
    places: std::slice::Iter<'a, Place>,
}

/// Reads `modules` from `files` and writes them into `places`, in the order of the modules; of one module, its inputs'
/// factors come first, then its ranks, its sparse panels, and what is done to its outputs.
///
/// # Errors
/// When a file cannot be read, a value is not finite (in the pool's type), or a place leaves the pool.
pub fn load(
    target: &Target<'_>,
    files: &[String],
    modules: &[AdapterModule],
    places: &[Place],
) -> Result<ResidentAdapter, String> {
    let mut adapter = ResidentAdapter::new(target.layers, MODULES.len());
    let mut loader =
        Loader { target, files: Files::open(files, shared_tensors(modules))?, places: places.iter() };
    for module in modules {
        let (layer, number) = (module.layer as usize, module.module as usize);
        if layer >= target.layers || number >= MODULES.len() {
            return Err(format!("{}: layer {layer}, module {number} has no place", files.join(", ")));
        }
        let change = loader
            .module(module)
            .map_err(|error| format!("{}: layer {layer} {} {error}", files.join(", "), MODULES[number]))?;
        adapter.set(layer, number, change);
    }
    Ok(adapter)
}

/// Factors that may be larger than what one module takes of them are those of several.
fn shared_tensors(modules: &[AdapterModule]) -> impl Iterator<Item = &AdapterTensor> {
    modules
        .iter()
        .flat_map(|module| &module.low_rank)
        .flat_map(|change| [&change.a, &change.b])
        .filter(|factor| factor.pieces.is_some() || factor.row_scales.is_some())
        .map(|factor| &factor.tensor)
}

impl Loader<'_> {
    fn module(&mut self, module: &AdapterModule) -> Result<ModuleChange, String> {
        let (inputs, outputs) = (module.inputs as usize, module.outputs as usize);
        let mut change = ModuleChange::default();
        if let Some(factors) = &module.input {
            let values = self.vector(factors, inputs).map_err(|error| format!("input: {error}"))?;
            change.input = Some(self.put_vector(&values)?);
        }
        let mut matrices = Vec::with_capacity(module.low_rank.len());
        for low_rank in &module.low_rank {
            matrices.push(self.matrices(low_rank, inputs, outputs)?);
        }
        if !matrices.is_empty() {
            let mut slabs = Vec::new();
            for matrices in &matrices {
                self.put_ranks(matrices, inputs, outputs, &mut slabs)?;
            }
            change.pair = Some(Pair { inputs, outputs, dtype: self.target.dtype, slabs });
        }
        if let Some(sparse) = &module.sparse {
            change.sparse =
                Some(self.put_sparse(sparse, inputs, outputs).map_err(|error| format!("sparse: {error}"))?);
        }
        if let Some(output) = &module.output {
            let change_of_outputs = self.put_output(output, module, &matrices);
            change.output = Some(change_of_outputs.map_err(|error| format!("{}: {error}", output.kind))?);
        }
        Ok(change)
    }

    fn vector(&mut self, tensor: &AdapterTensor, length: usize) -> Result<Vec<f32>, String> {
        let values = self.files.floats(tensor)?;
        if values.len() != length {
            return Err(format!("has {} values, not {length}", values.len()));
        }
        Ok(values.to_vec())
    }

    fn matrices(
        &mut self,
        change: &AdapterLowRank,
        inputs: usize,
        outputs: usize,
    ) -> Result<Matrices, String> {
        let rank = change.rank as usize;
        let a = self.factor(&change.a, rank, inputs, false).and_then(|a| self.fitting(a));
        let b = self.factor(&change.b, outputs, rank, true).and_then(|b| self.fitting(b));
        Ok(Matrices {
            a: a.map_err(|error| format!("lora_A: {error}"))?,
            b: b.map_err(|error| format!("lora_B: {error}"))?,
            rank,
            scale: change.scale as f32,
        })
    }

    fn fitting(&self, values: Vec<f32>) -> Result<Vec<f32>, String> {
        let fits = |value: &f32| value.abs() < TOO_LARGE;
        if values.iter().fold(true, |all, value| all & fits(value)) {
            return Ok(values);
        }
        let index = values.iter().position(|value| !fits(value)).unwrap_or(0);
        Err(format!("value {index} is not finite as a 16-bit float"))
    }

    /// A factor `[rows][columns]`. Pieces are rank rows, which are B's columns.
    fn factor(
        &mut self,
        factor: &AdapterFactor,
        rows: usize,
        columns: usize,
        is_b: bool,
    ) -> Result<Vec<f32>, String> {
        let stored = self.files.floats(&factor.tensor)?;
        let width = factor.tensor.columns as usize;
        let mut values = match &factor.pieces {
            Some(pieces) => {
                let indices = self.files.indices(pieces, factor.tensor.rows)?;
                let ranks: Vec<f32> =
                    indices.iter().flat_map(|index| &stored[index * width..][..width]).copied().collect();
                if ranks.len() != rows * columns {
                    return Err(format!("has {} values, not {rows} · {columns}", ranks.len()));
                }
                if is_b { transposed(&ranks, columns, rows) } else { ranks }
            }
            None => {
                if stored.len() < rows * width || width < columns {
                    return Err(format!("is smaller than {rows} · {columns}"));
                }
                stored.chunks_exact(width).take(rows).flat_map(|row| &row[..columns]).copied().collect()
            }
        };
        if let Some(scales) = &factor.row_scales {
            let scales = self.vector(scales, rows)?;
            for (row, scale) in values.chunks_exact_mut(columns).zip(scales) {
                row.iter_mut().for_each(|value| *value *= scale);
            }
        }
        Ok(values)
    }

    /// The next place, and its bytes.
    fn place(
        &mut self,
        bytes_of: impl Fn(usize) -> usize,
        most: usize,
    ) -> Result<(Place, &mut [u8]), String> {
        const { assert!(SLAB_ALIGNMENT == VECTOR_ALIGNMENT) };
        let place = *self.places.next().ok_or("has no place")?;
        let pool = self.target.pool;
        let (offset, count) = (place.offset as usize, place.count as usize);
        let bytes = bytes_of(count);
        let is_inside = (place.page as usize) < pool.pages() && offset + bytes <= pool.page_bytes();
        if !is_inside || !offset.is_multiple_of(SLAB_ALIGNMENT) || count == 0 || count > most {
            return Err(format!("is out of place: {count} at page {} byte {offset}", place.page));
        }
        // SAFETY: in bounds by the check above; the block manager gave these pages to this adapter alone, and no step
        // reads them before the adapter is registered.
        Ok((place, unsafe { std::slice::from_raw_parts_mut(pool.page(place.page).add(offset), bytes) }))
    }

    fn put_vector(&mut self, values: &[f32]) -> Result<Vector, String> {
        let (Place { page, offset, .. }, bytes) = self.place(|_| size_of_val(values), 1)?;
        for (value, place) in values.iter().zip(bytes.chunks_exact_mut(4)) {
            place.copy_from_slice(&value.to_ne_bytes());
        }
        Ok(Vector { page, offset, length: values.len() })
    }

    fn put_ranks(
        &mut self,
        Matrices { a, b, rank, scale }: &Matrices,
        inputs: usize,
        outputs: usize,
        slabs: &mut Vec<Slab>,
    ) -> Result<(), String> {
        let dtype = self.target.dtype;
        let mut first = 0;
        while first < *rank {
            let most = SLAB_RANKS.min(rank - first);
            let (place, bytes) = self
                .place(|ranks| dtype.slab_bytes(ranks, inputs, outputs), most)
                .map_err(|error| format!("rank {first} {error}"))?;
            let next = first + place.count as usize;
            dtype.write(a, b, *rank, first..next, bytes);
            slabs.push(Slab { page: place.page, offset: place.offset, ranks: place.count, scale: *scale });
            first = next;
        }
        Ok(())
    }

    fn put_sparse(
        &mut self,
        AdapterSparse { codes, scales }: &AdapterSparse,
        inputs: usize,
        outputs: usize,
    ) -> Result<Sparse, String> {
        let codes = self.files.bytes(codes)?;
        let scales = self.vector(scales, outputs)?;
        if codes.len() * 4 != inputs * outputs {
            return Err(format!("has {} codes", codes.len()));
        }
        let all = panels(outputs);
        let mut places = Vec::new();
        let mut first = 0;
        while first < all {
            let (place, bytes) = self.place(|panels| sparse::place_bytes(panels, inputs), all - first)?;
            let next = first + place.count as usize;
            sparse::write(&codes, &scales, inputs, first..next, bytes);
            places.push(SparsePlace { page: place.page, offset: place.offset, panels: place.count });
            first = next;
        }
        Ok(Sparse { inputs, outputs, places })
    }

    fn put_output(
        &mut self,
        output: &AdapterOutput,
        module: &AdapterModule,
        matrices: &[Matrices],
    ) -> Result<OutputChange, String> {
        let outputs = module.outputs as usize;
        match output.kind.as_str() {
            "scale" => {
                let values = self.vector(&output.values, outputs)?;
                let factors = self.put_vector(&values)?;
                Ok(OutputChange { factors, partners: None, is_before_bias: false })
            }
            "magnitude" => {
                let magnitudes = self.vector(&output.values, outputs)?;
                let factors = self.magnitude_factors(module, matrices, &magnitudes)?;
                let factors = self.put_vector(&factors)?;
                Ok(OutputChange { factors, partners: None, is_before_bias: true })
            }
            "rotation" => {
                let Rotation { factors, multiples, group } = self.rotation(output, outputs)?;
                let factors = self.put_vector(&factors)?;
                let multiples = self.put_vector(&multiples)?;
                let partners = Some(Partners { multiples, group });
                Ok(OutputChange { factors, partners, is_before_bias: false })
            }
            other => Err(format!("{other} is not known")),
        }
    }

    /// Magnitudes ÷ the lengths of the rows of W + scale · B·A (Liu et al., 2024, section 4.3), with the weights that are
    /// served, as PEFT takes the quantized ones.
    fn magnitude_factors(
        &self,
        module: &AdapterModule,
        matrices: &[Matrices],
        magnitudes: &[f32],
    ) -> Result<Vec<f32>, String> {
        let (layer, number) = (module.layer as usize, module.module as usize);
        let changes: Vec<LowRank> =
            matrices.iter().map(|m| LowRank { a: &m.a, b: &m.b, rank: m.rank, scale: m.scale }).collect();
        let norms = self.target.base.row_norms(layer, number, &changes, self.target.variant);
        let norms = norms.ok_or("the base model has no such projection")?;
        let factors: Vec<f32> = magnitudes.iter().zip(norms).map(|(m, norm)| m / norm).collect();
        match factors.iter().position(|factor| !factor.is_finite()) {
            Some(output) => Err(format!("output {output} has only zero weights")),
            None => Ok(factors),
        }
    }

    /// As PEFT's `_prepare_cols` in `tuners/road/layer.py`.
    fn rotation(&mut self, output: &AdapterOutput, outputs: usize) -> Result<Rotation, String> {
        let group = output.group_size.unwrap_or(0) as usize;
        if group == 0 || !group.is_multiple_of(2) || !outputs.is_multiple_of(group) {
            return Err(format!("groups of {group} do not divide {outputs} outputs"));
        }
        let scales = output.scales.as_ref().ok_or("has no scales")?;
        let variant = output.variant.unwrap_or(0);
        let (length, index): (usize, fn(usize, usize, usize) -> usize) = match variant {
            // Both halves of a group share what they have.
            1 => (outputs / 2, |i, group, _| i / group * (group / 2) + i % (group / 2)),
            2 => (outputs, |i, _, _| i),
            // First a group's own factors, then those of the partners.
            4 => (outputs * 2, |i, group, part| i / group * 2 * group + part * group + i % group),
            other => return Err(format!("there is no variant {other}")),
        };
        let angles = self.vector(&output.values, length)?;
        let scales = self.vector(scales, length)?;
        let own = |i: usize| index(i, group, 0);
        let other = |i: usize| index(i, group, 1);
        let cosine = |i: usize| scales[own(i)] * f64::from(angles[own(i)]).cos() as f32;
        let sine = |i: usize| scales[other(i)] * f64::from(angles[other(i)]).sin() as f32;
        Ok(Rotation {
            factors: (0..outputs).map(cosine).collect(),
            multiples: (0..outputs).map(|i| if i % group < group / 2 { -sine(i) } else { sine(i) }).collect(),
            group,
        })
    }
}

struct Rotation {
    factors: Vec<f32>,
    multiples: Vec<f32>,
    group: usize,
}

/// `values` `[columns][rows]` as `[rows][columns]`.
fn transposed(values: &[f32], columns: usize, rows: usize) -> Vec<f32> {
    (0..rows).flat_map(|row| (0..columns).map(move |column| values[column * rows + row])).collect()
}
