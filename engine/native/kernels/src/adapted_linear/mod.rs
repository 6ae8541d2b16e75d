//! A linear layer with everything that surrounds it in a decoder, in two passes over the rows:
//!
//! 1. *Prepare*, by rows: RMSNorm, the adapters' factors of inputs, quantization, and each adapter's first half (A·x,
//!    "shrink").
//! 2. *Multiply*, by columns: the product with the base weights and, while it is in the cache, the adapters' second
//!    half (B·(A·x), "expand"), sparse parts and changes of outputs, then the residual sum or the gated activation.
//!
//! So an adapter's pages are read once for all its rows of the step, and nothing between the norm and the next
//! layer's input goes through memory.

mod blocks;
mod prepared;

use std::borrow::Cow;
use std::ops::Range;

use crate::adapter::{ModuleChange, ResidentAdapter};
use crate::gelu::gelu_row;
use crate::linear::Linear;
use crate::lora::Pair;
use crate::norm::rms_norm_row;
use crate::parallel::{Parallel, Serial, Shared};
use crate::pool::PagePool;
use crate::prefetch::FetchQueue;
use crate::quantized_linear::{PANEL, QuantizedLinear, panels};
use crate::simd::Variant;
use crate::step::{RowGroup, RowOrder};
use crate::swiglu::swiglu_row;
use blocks::{Columns, bands, columns};
use prepared::{InputWriter, PreparedInput};

/// Values below which the first pass is not worth sharing out.
const SERIAL_VALUES: usize = 8 * 1024;

/// The base model's weights.
#[derive(Clone, Copy)]
pub enum Weights<'a> {
    /// Their width is that of the input, filled up to whole groups.
    Int8(QuantizedLinear<'a>),
    Float(Linear<'a>),
}

/// Root-mean-square normalization of the input.
#[derive(Clone, Copy)]
pub struct Norm<'a> {
    pub weight: &'a [f32],
    pub epsilon: f32,
}

/// The adapters of a layer.
#[derive(Clone, Copy)]
pub struct Adapters<'a> {
    pub layer: usize,
    /// The number, in every adapter, of the module that each projection is.
    pub modules: &'a [usize],
    pub pool: &'a PagePool,
}

/// What happens to the product.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Epilogue {
    Store,
    /// Added to what is in the output.
    Add,
    /// Two projections of equal width become silu(first) · second.
    SwiGlu,
    Gelu,
}

/// Projections of one input. Each projection's panels begin anew, so that its width need not be a multiple of 16.
#[derive(Clone, Copy)]
pub struct AdaptedLinear<'a> {
    pub k: usize,
    /// Output channels of each projection.
    pub widths: &'a [usize],
    pub weights: Weights<'a>,
    /// For all projections, one after the other.
    pub bias: Option<&'a [f32]>,
    pub norm: Option<Norm<'a>>,
    pub adapters: Option<Adapters<'a>>,
    pub epilogue: Epilogue,
}

/// Buffers that only save allocations.
#[derive(Default)]
pub struct Scratch {
    /// One for each input that is prepared; see [`AdaptedLinear::prepared_inputs`].
    inputs: Vec<PreparedInput>,
    /// What the adapters' first half gave: for each group of rows and projection, `[rank][row of the group]`.
    factors: Vec<f32>,
}

/// What a group's adapter does to one projection, and where its factors lie.
struct Site<'a> {
    change: &'a ModuleChange,
    factors: Range<usize>,
}

/// Some ranks of a group's pair on a projection.
struct Part<'a> {
    projection: usize,
    pair: &'a Pair,
    ranks: Range<usize>,
    /// Where the ranks' factors start.
    start: usize,
}

impl AdaptedLinear<'_> {
    /// Columns of the output.
    pub fn out_width(&self) -> usize {
        match self.epilogue {
            Epilogue::SwiGlu => self.widths[0],
            Epilogue::Store | Epilogue::Add | Epilogue::Gelu => self.widths.iter().sum(),
        }
    }

    /// Computes `out[rows, out_width]` from `x[rows, k]`.
    ///
    /// # Panics
    /// When shapes do not fit, or an adapter's change has not `k` inputs and its projection's width, or lies outside the
    /// pool.
    pub fn forward(
        &self,
        x: &[f32],
        order: &RowOrder,
        out: &mut [f32],
        scratch: &mut Scratch,
        variant: Variant,
        parallel: &dyn Parallel,
    ) {
        self.check(x, order, out);
        if order.rows.is_empty() {
            return;
        }
        let (sites, factors) = self.sites(order);
        scratch.factors.resize(scratch.factors.len().max(factors), 0.0);
        let inputs = self.prepared_inputs(&sites);
        scratch.inputs.resize_with(scratch.inputs.len().max(inputs), PreparedInput::default);
        self.prepare(x, order, &sites, inputs, scratch, variant, parallel);
        self.multiply(order, &sites, inputs, scratch, out, variant, parallel);
    }

    fn check(&self, x: &[f32], order: &RowOrder, out: &[f32]) {
        let rows = order.rows.len();
        assert_eq!(x.len(), rows * self.k);
        assert_eq!(out.len(), rows * self.out_width());
        let all: usize = self.widths.iter().map(|width| panels(*width)).sum();
        match self.weights {
            Weights::Int8(weights) => {
                weights.check();
                assert_eq!((weights.k, weights.panels), (self.k.next_multiple_of(weights.group), all));
            }
            Weights::Float(weights) => {
                weights.check();
                assert_eq!((weights.k, weights.panels), (self.k, all));
            }
        }
        assert!(self.bias.is_none_or(|bias| bias.len() == self.widths.iter().sum::<usize>()));
        assert!(self.norm.is_none_or(|norm| norm.weight.len() == self.k));
        assert!(self.adapters.is_none_or(|adapters| adapters.modules.len() == self.widths.len()));
        assert!(
            self.epilogue != Epilogue::SwiGlu || (self.widths.len() == 2 && self.widths[0] == self.widths[1])
        );
    }

    /// For each group and projection, what the adapter does if anything; and how many factors there are in all.
    fn sites<'s>(&self, order: &'s RowOrder) -> (Vec<Option<Site<'s>>>, usize) {
        let Some(adapters) = self.adapters else {
            return (Vec::new(), 0);
        };
        let mut sites = Vec::with_capacity(order.groups.len() * self.widths.len());
        let mut end = 0;
        for group in &order.groups {
            for (module, width) in adapters.modules.iter().zip(self.widths) {
                let change = group
                    .adapter
                    .as_deref()
                    .and_then(|adapter: &ResidentAdapter| adapter.get(adapters.layer, *module));
                sites.push(change.map(|change| {
                    change.check(self.k, *width);
                    let start = end;
                    end += change.pair.as_ref().map_or(0, Pair::rank) * group.places.len();
                    Site { change, factors: start..end }
                }));
            }
        }
        (sites, end)
    }

    /// How many inputs are prepared: one for all projections or, where an adapter has factors for the inputs of some, one for
    /// each. A row is the same in all of them unless its own adapter says otherwise.
    fn prepared_inputs(&self, sites: &[Option<Site<'_>>]) -> usize {
        let own = self.widths.len() > 1 && sites.iter().flatten().any(|site| site.change.input.is_some());
        if own { self.widths.len() } else { 1 }
    }

    /// The sites of a group; none without adapters.
    fn sites_of<'s, 'p>(&self, sites: &'s [Option<Site<'p>>], group: usize) -> &'s [Option<Site<'p>>] {
        if sites.is_empty() { &[] } else { &sites[group * self.widths.len()..][..self.widths.len()] }
    }

    /// The groups of a band that have an adapter on a projection.
    fn adapted<'s, 'p>(
        &self,
        sites: &'s [Option<Site<'p>>],
        band: Range<usize>,
        projection: usize,
    ) -> Vec<(usize, &'s Site<'p>)> {
        let site = |group| Some((group, self.sites_of(sites, group).get(projection)?.as_ref()?));
        band.filter_map(site).collect()
    }

    fn prepare(
        &self,
        x: &[f32],
        order: &RowOrder,
        sites: &[Option<Site<'_>>],
        inputs: usize,
        scratch: &mut Scratch,
        variant: Variant,
        parallel: &dyn Parallel,
    ) {
        let rows = order.rows.len();
        let adapted = sites.iter().any(Option::is_some);
        let sparse = sites.iter().flatten().any(|site| site.change.sparse.is_some());
        let inputs = &mut scratch.inputs[..inputs];
        let prepared: Vec<InputWriter> = inputs
            .iter_mut()
            .map(|input| input.writer(rows, self.k, self.weights, sparse, variant))
            .collect();
        let factors = Shared::new(&mut scratch.factors);
        // A few groups of large rank are shared out by rank.
        let parts = if adapted { (2 * parallel.threads()).div_ceil(order.groups.len()) } else { 1 };
        let serial = !adapted && rows * self.k <= SERIAL_VALUES;
        let parallel: &dyn Parallel = if serial { &Serial } else { parallel };
        parallel.for_each(order.groups.len() * parts, &|item| {
            let (index, part) = (item / parts, item % parts);
            let group = &order.groups[index];
            let sites = self.sites_of(sites, index);
            let own = parts_of(sites, part, parts);
            if part > 0 && own.is_empty() {
                return;
            }
            let mut normed = Vec::new();
            let rows = self.normalize(x, order, group, &mut normed, variant);
            let multiplied = self.multiply_inputs(&rows, sites);
            let rows_of = |projection: usize| -> Cow<'_, [&[f32]]> {
                match multiplied.get(projection) {
                    Some(Some(own)) => own.chunks_exact(self.k).collect(),
                    _ => Cow::Borrowed(&rows),
                }
            };
            if part == 0 {
                for (number, input) in prepared.iter().enumerate() {
                    let keeps_floats = sites.iter().enumerate().any(|(projection, site)| {
                        input_of(projection, prepared.len()) == number
                            && site.as_ref().is_some_and(|site| site.change.sparse.is_some())
                    });
                    for (place, row) in group.places.clone().zip(rows_of(number).iter()) {
                        // SAFETY: a place is in one group, and its first part alone writes it.
                        unsafe { input.write(place, row, keeps_floats) };
                    }
                }
            }
            let Some(adapters) = self.adapters else { return };
            for (index, Part { projection, pair, ranks, start }) in own.iter().enumerate() {
                let rows = rows_of(*projection);
                // SAFETY: a site's factors belong to one group, and its ranks to one part each.
                let factors =
                    unsafe { factors.range(start + ranks.start * rows.len(), ranks.len() * rows.len()) };
                let next = own.get(index + 1).map(|next| (next.pair, next.ranks.start));
                pair.shrink(ranks.clone(), &rows, factors, next, adapters.pool, variant);
            }
        });
    }

    /// For each projection whose inputs the adapter multiplies, the rows after that.
    fn multiply_inputs(&self, rows: &[&[f32]], sites: &[Option<Site<'_>>]) -> Vec<Option<Vec<f32>>> {
        let Some(adapters) = self.adapters else {
            return Vec::new();
        };
        if sites.iter().flatten().all(|site| site.change.input.is_none()) {
            return Vec::new();
        }
        let multiplied = sites.iter().map(|site| {
            let factors = site.as_ref()?.change.input.as_ref()?.values(adapters.pool);
            Some(rows.iter().flat_map(|row| row.iter().zip(factors).map(|(x, factor)| x * factor)).collect())
        });
        multiplied.collect()
    }

    /// A group's input rows, normalized into `normed` where there is a norm.
    fn normalize<'b>(
        &self,
        x: &'b [f32],
        order: &RowOrder,
        group: &RowGroup,
        normed: &'b mut Vec<f32>,
        variant: Variant,
    ) -> Vec<&'b [f32]> {
        let rows = order.rows[group.places.clone()].iter().map(|row| &x[row * self.k..][..self.k]);
        let Some(norm) = self.norm else {
            return rows.collect();
        };
        normed.reserve_exact(group.places.len() * self.k);
        rows.for_each(|row| normed.extend_from_slice(row));
        for row in normed.chunks_exact_mut(self.k) {
            rms_norm_row(row, norm.weight, norm.epsilon, variant);
        }
        normed.chunks_exact(self.k).collect()
    }

    fn multiply(
        &self,
        order: &RowOrder,
        sites: &[Option<Site<'_>>],
        inputs: usize,
        scratch: &Scratch,
        out: &mut [f32],
        variant: Variant,
        parallel: &dyn Parallel,
    ) {
        let bands = bands(order);
        // With SwiGLU, a block takes the same panels of both projections.
        let widths = if self.epilogue == Epilogue::SwiGlu { &self.widths[..1] } else { self.widths };
        // Outputs that an adapter rotates against each other stay together.
        let together = sites.iter().flatten().map(|site| site.change.output_group());
        let columns = columns(widths, together, bands.len(), parallel.threads());
        let out = Shared::new(out);
        parallel.for_each(bands.len() * columns.len(), &|item| {
            let (band, columns) = (&bands[item / columns.len()], &columns[item % columns.len()]);
            let places = order.groups[band.start].places.start..order.groups[band.end - 1].places.end;
            let stride = columns.panels.len() * PANEL;
            let parts = if self.epilogue == Epilogue::SwiGlu { 2 } else { 1 };
            let mut block = vec![0f32; parts * places.len() * stride];
            for (projection, block) in
                (columns.projection..).zip(block.chunks_exact_mut(places.len() * stride))
            {
                let adapted = self.adapted(sites, band.clone(), projection);
                let input = &scratch.inputs[input_of(projection, inputs)];
                let mut beside = FetchQueue::default();
                if let Some(adapters) = self.adapters {
                    for pair in adapted.iter().filter_map(|(_, site)| site.change.pair.as_ref()) {
                        pair.queue_outputs(columns.panels.clone(), adapters.pool, &mut beside);
                    }
                }
                self.product(projection, &columns.panels, &places, input, block, &beside, variant);
                let Some(adapters) = self.adapters else { continue };
                for (group, site) in &adapted {
                    let own = &order.groups[*group].places;
                    let target = &mut block[(own.start - places.start) * stride..][..own.len() * stride];
                    let factors = &scratch.factors[site.factors.clone()];
                    let rows = || input.rows(own.clone(), self.k);
                    let cut = ChangedColumns { projection, panels: columns.panels.clone(), stride };
                    self.change(&cut, site.change, factors, rows, target, adapters.pool, variant);
                }
            }
            self.finish(&order.rows[places], columns, &block, stride, &out, variant);
        });
    }

    /// What an adapter does to a projection's panels of some rows.
    fn change<'r>(
        &self,
        columns: &ChangedColumns,
        change: &ModuleChange,
        factors: &[f32],
        rows: impl Fn() -> Vec<&'r [f32]>,
        target: &mut [f32],
        pool: &PagePool,
        variant: Variant,
    ) {
        let ChangedColumns { projection, panels, stride } = columns;
        if let Some(pair) = &change.pair {
            pair.expand(panels.clone(), factors, target, *stride, pool, variant);
        }
        if let Some(sparse) = &change.sparse {
            sparse.add(panels.clone(), &rows(), target, *stride, pool, variant);
        }
        if let Some(output) = &change.output {
            let first = panels.start * PANEL;
            let count = self.widths[*projection].min(panels.end * PANEL) - first;
            let bias = self.bias_of(*projection).map(|bias| &bias[first..first + count]);
            output.apply(target, *stride, first, count, bias, pool);
        }
    }

    fn bias_of(&self, projection: usize) -> Option<&[f32]> {
        let column: usize = self.widths[..projection].iter().sum();
        self.bias.map(|bias| &bias[column..][..self.widths[projection]])
    }

    /// The base product of one projection's panels, bias included.
    fn product(
        &self,
        projection: usize,
        panels_of_it: &Range<usize>,
        places: &Range<usize>,
        input: &PreparedInput,
        block: &mut [f32],
        beside: &FetchQueue,
        variant: Variant,
    ) {
        let first: usize = self.widths[..projection].iter().map(|width| panels(*width)).sum();
        let all = first + panels_of_it.start..first + panels_of_it.end;
        let stride = panels_of_it.len() * PANEL;
        match self.weights {
            Weights::Int8(weights) => {
                weights.block(all, places.clone(), &input.quantized, block, stride, beside, variant);
            }
            Weights::Float(weights) => {
                let x = &input.floats[places.start * self.k..places.end * self.k];
                weights.block(all, x, block, stride, variant);
            }
        }
        if let Some(bias) = self.bias_of(projection) {
            let bias = &bias[panels_of_it.start * PANEL..];
            for row in block.chunks_exact_mut(stride) {
                row.iter_mut().zip(bias).for_each(|(value, bias)| *value += bias);
            }
        }
    }

    fn finish(
        &self,
        rows: &[usize],
        columns: &Columns,
        block: &[f32],
        stride: usize,
        out: &Shared<f32>,
        variant: Variant,
    ) {
        let n = self.out_width();
        let width = self.widths[columns.projection];
        let first: usize = self.widths[..columns.projection].iter().sum();
        let start = columns.panels.start * PANEL;
        let count = width.min(columns.panels.end * PANEL) - start;
        for (i, row) in rows.iter().enumerate() {
            let values = &block[i * stride..][..count];
            // SAFETY: a row has one place, and these columns of it are written by this item only.
            let target = unsafe { out.range(row * n + first + start, count) };
            match self.epilogue {
                Epilogue::Store => target.copy_from_slice(values),
                Epilogue::Add => target.iter_mut().zip(values).for_each(|(t, v)| *t += v),
                Epilogue::SwiGlu => {
                    let up = &block[(rows.len() + i) * stride..][..count];
                    swiglu_row(values, up, target, variant);
                }
                Epilogue::Gelu => gelu_row(values, target, variant),
            }
        }
    }
}

/// Which of so many prepared inputs a projection takes.
fn input_of(projection: usize, inputs: usize) -> usize {
    if inputs == 1 { 0 } else { projection }
}

/// The part of a group's pairs that one work item of the first pass takes.
fn parts_of<'p>(sites: &[Option<Site<'p>>], part: usize, parts: usize) -> Vec<Part<'p>> {
    let parts = sites.iter().enumerate().filter_map(|(projection, site)| {
        let Site { change, factors } = site.as_ref()?;
        let pair = change.pair.as_ref()?;
        let (rank, per_part) = (pair.rank(), pair.rank().div_ceil(parts));
        let ranks = rank.min(part * per_part)..rank.min((part + 1) * per_part);
        Some(Part { projection, pair, ranks, start: factors.start })
    });
    parts.filter(|part| !part.ranks.is_empty()).collect()
}

/// Some panels of a projection in a block of rows `stride` values apart.
struct ChangedColumns {
    projection: usize,
    panels: Range<usize>,
    stride: usize,
}
