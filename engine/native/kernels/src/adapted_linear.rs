//! A linear layer with everything that surrounds it in a decoder, in two passes over the rows:
//!
//! 1. *Prepare*, by rows: RMSNorm, quantization, and each adapter's first half (A·x, "shrink").
//! 2. *Multiply*, by columns: the product with the base weights and, while it is in the cache, the adapters' second
//!    half (B·(A·x), "expand"), then the residual sum or the gated activation.
//!
//! So an adapter's pages are read once for all its rows of the step, and nothing between the norm and the next
//! layer's input goes through memory.

use std::ops::Range;

use crate::linear::Linear;
use crate::lora::{Pair, ResidentAdapter};
use crate::norm::rms_norm_row;
use crate::parallel::{Parallel, Serial, Shared};
use crate::pool::PagePool;
use crate::prefetch::FetchQueue;
use crate::quantized_linear::{PANEL, QuantizedLinear, QuantizedRows, RowWriter, panels};
use crate::simd::Variant;
use crate::step::{RowGroup, RowOrder};
use crate::swiglu::swiglu_row;

/// Rows that one work item of the second pass takes at most: their codes stay in the second-level cache while the
/// weights pass by.
const BLOCK_ROWS: usize = 128;
/// Values of the second pass that stay in the first-level cache from the product to the epilogue.
const BLOCK_VALUES: usize = 8 * 1024;
/// Values below which the first pass is not worth sharing out.
const SERIAL_VALUES: usize = 8 * 1024;

/// The base model's weights; `None` for what another operator has computed and left in the output.
#[derive(Clone, Copy)]
pub enum Weights<'a> {
    Int8(QuantizedLinear<'a>),
    Float(Linear<'a>),
    None,
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
    quantized: QuantizedRows,
    /// Prepared rows for float weights, by place.
    floats: Vec<f32>,
    /// What the adapters' first half gave: for each group of rows and projection, `[rank][row of the group]`.
    factors: Vec<f32>,
}

/// A group's adapter on one projection, and where its factors lie.
struct Site<'a> {
    pair: &'a Pair,
    factors: Range<usize>,
}

impl AdaptedLinear<'_> {
    /// Columns of the output.
    pub fn out_width(&self) -> usize {
        match self.epilogue {
            Epilogue::SwiGlu => self.widths[0],
            Epilogue::Store | Epilogue::Add => self.widths.iter().sum(),
        }
    }

    /// Computes `out[rows, out_width]` from `x[rows, k]`.
    ///
    /// # Panics
    /// When shapes do not fit, or an adapter's pair has not `k` inputs and its projection's width, or lies outside the
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
        self.prepare(x, order, &sites, scratch, variant, parallel);
        self.multiply(order, &sites, scratch, out, variant, parallel);
    }

    fn check(&self, x: &[f32], order: &RowOrder, out: &[f32]) {
        let rows = order.rows.len();
        assert_eq!(x.len(), rows * self.k);
        assert_eq!(out.len(), rows * self.out_width());
        let all: usize = self.widths.iter().map(|width| panels(*width)).sum();
        match self.weights {
            Weights::Int8(weights) => {
                weights.check();
                assert_eq!((weights.k, weights.panels), (self.k, all));
            }
            Weights::Float(weights) => {
                weights.check();
                assert_eq!((weights.k, weights.panels), (self.k, all));
            }
            Weights::None => assert!(self.epilogue == Epilogue::Add),
        }
        assert!(self.bias.is_none_or(|bias| bias.len() == self.widths.iter().sum::<usize>()));
        assert!(self.norm.is_none_or(|norm| norm.weight.len() == self.k));
        assert!(self.adapters.is_none_or(|adapters| adapters.modules.len() == self.widths.len()));
        assert!(
            self.epilogue != Epilogue::SwiGlu || (self.widths.len() == 2 && self.widths[0] == self.widths[1])
        );
    }

    /// For each group and projection, the adapter's pair if it has one; and how many factors there are in all.
    fn sites<'s>(&self, order: &'s RowOrder) -> (Vec<Option<Site<'s>>>, usize) {
        let Some(adapters) = self.adapters else {
            return (Vec::new(), 0);
        };
        let mut sites = Vec::with_capacity(order.groups.len() * self.widths.len());
        let mut end = 0;
        for group in &order.groups {
            for (module, width) in adapters.modules.iter().zip(self.widths) {
                let pair = group
                    .adapter
                    .as_deref()
                    .and_then(|adapter: &ResidentAdapter| adapter.get(adapters.layer, *module));
                sites.push(pair.map(|pair| {
                    assert_eq!((pair.inputs, pair.outputs), (self.k, *width));
                    let start = end;
                    end += pair.rank() * group.places.len();
                    Site { pair, factors: start..end }
                }));
            }
        }
        (sites, end)
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
        scratch: &mut Scratch,
        variant: Variant,
        parallel: &dyn Parallel,
    ) {
        let rows = order.rows.len();
        let adapted = sites.iter().any(Option::is_some);
        let prepared = match self.weights {
            Weights::Int8(weights) => {
                PreparedRows::Int8(scratch.quantized.writer(rows, self.k, weights.group, variant))
            }
            Weights::Float(_) => {
                scratch.floats.resize(scratch.floats.len().max(rows * self.k), 0.0);
                PreparedRows::Float(Shared::new(&mut scratch.floats))
            }
            Weights::None if !adapted => return,
            Weights::None => PreparedRows::None,
        };
        let factors = Shared::new(&mut scratch.factors);
        let pool = self.adapters.map(|adapters| adapters.pool);
        // A few groups of large rank are shared out by rank.
        let parts = if adapted { (2 * parallel.threads()).div_ceil(order.groups.len()) } else { 1 };
        let serial = !adapted && rows * self.k <= SERIAL_VALUES;
        let parallel: &dyn Parallel = if serial { &Serial } else { parallel };
        parallel.for_each(order.groups.len() * parts, &|item| {
            let (index, part) = (item / parts, item % parts);
            let group = &order.groups[index];
            let sites = self.sites_of(sites, index);
            if part > 0 && sites.iter().all(Option::is_none) {
                return;
            }
            let pairs = self.pairs_of(sites, part, parts);
            let mut normed = Vec::new();
            let rows = self.normalize(x, order, group, &mut normed, variant);
            if part == 0 {
                for (place, row) in group.places.clone().zip(&rows) {
                    // SAFETY: a place is in one group, and its first part alone writes it.
                    unsafe { prepared.write(place, row) };
                }
            }
            let Some(pool) = pool else { return };
            for (index, (pair, ranks, start)) in pairs.iter().enumerate() {
                let start = start + ranks.start * rows.len();
                // SAFETY: a site's factors belong to one group, and its ranks to one part each.
                let factors = unsafe { factors.range(start, ranks.len() * rows.len()) };
                let next = pairs.get(index + 1).map(|(pair, ranks, _)| (*pair, ranks.start));
                pair.shrink(ranks.clone(), &rows, factors, next, pool, variant);
            }
        });
    }

    /// The part of a group's pairs that one work item of the first pass takes: each pair's ranks in it, and where the
    /// pair's factors start.
    fn pairs_of<'p>(
        &self,
        sites: &[Option<Site<'p>>],
        part: usize,
        parts: usize,
    ) -> Vec<(&'p Pair, Range<usize>, usize)> {
        let pairs = sites.iter().flatten().map(|site| {
            let (rank, per_part) = (site.pair.rank(), site.pair.rank().div_ceil(parts));
            let ranks = rank.min(part * per_part)..rank.min((part + 1) * per_part);
            (site.pair, ranks, site.factors.start)
        });
        pairs.filter(|(_, ranks, _)| !ranks.is_empty()).collect()
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
        scratch: &Scratch,
        out: &mut [f32],
        variant: Variant,
        parallel: &dyn Parallel,
    ) {
        let bands = bands(order);
        let columns = self.columns(bands.len(), parallel.threads());
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
                let mut beside = FetchQueue::default();
                if let Some(adapters) = self.adapters {
                    for (_, site) in &adapted {
                        site.pair.queue_outputs(columns.panels.clone(), adapters.pool, &mut beside);
                    }
                }
                self.product(projection, &columns.panels, &places, scratch, block, &beside, variant);
                let Some(adapters) = self.adapters else { continue };
                for (group, site) in &adapted {
                    let own = &order.groups[*group].places;
                    let target = &mut block[(own.start - places.start) * stride..][..own.len() * stride];
                    let factors = &scratch.factors[site.factors.clone()];
                    site.pair.expand(columns.panels.clone(), factors, target, stride, adapters.pool, variant);
                }
            }
            self.finish(&order.rows[places], columns, &block, stride, &out, variant);
        });
    }

    /// The base product of one projection's panels, bias included.
    fn product(
        &self,
        projection: usize,
        panels_of_it: &Range<usize>,
        places: &Range<usize>,
        scratch: &Scratch,
        block: &mut [f32],
        beside: &FetchQueue,
        variant: Variant,
    ) {
        let first: usize = self.widths[..projection].iter().map(|width| panels(*width)).sum();
        let all = first + panels_of_it.start..first + panels_of_it.end;
        let stride = panels_of_it.len() * PANEL;
        match self.weights {
            Weights::Int8(weights) => {
                weights.block(all, places.clone(), &scratch.quantized, block, stride, beside, variant);
            }
            Weights::Float(weights) => {
                let x = &scratch.floats[places.start * self.k..places.end * self.k];
                weights.block(all, x, block, stride, variant);
            }
            Weights::None => {}
        }
        if let Some(bias) = self.bias {
            let column: usize = self.widths[..projection].iter().sum();
            let bias = &bias[column..][..self.widths[projection]][panels_of_it.start * PANEL..];
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
            }
        }
    }

    /// The second pass's columns, cut so that all threads have work and a block stays in the cache.
    fn columns(&self, bands: usize, threads: usize) -> Vec<Columns> {
        let projections = if self.epilogue == Epilogue::SwiGlu { 1 } else { self.widths.len() };
        let all: usize = self.widths[..projections].iter().map(|width| panels(*width)).sum();
        let rows = BLOCK_ROWS; // A block's rows are rarely fewer when there is more than one band.
        let largest = if bands > 1 { BLOCK_VALUES / (rows * PANEL) } else { 16 };
        let per_item = (all * bands / (threads * 4)).clamp(1, largest);
        let mut columns = Vec::new();
        for (projection, width) in self.widths[..projections].iter().enumerate() {
            let end = panels(*width);
            columns.extend(
                (0..end)
                    .step_by(per_item)
                    .map(|start| Columns { projection, panels: start..end.min(start + per_item) }),
            );
        }
        columns
    }
}

/// Some panels of a projection (with SwiGLU: and the same ones of the next).
struct Columns {
    projection: usize,
    panels: Range<usize>,
}

/// Groups of rows, together at most [`BLOCK_ROWS`] rows.
fn bands(order: &RowOrder) -> Vec<Range<usize>> {
    let mut bands: Vec<Range<usize>> = Vec::new();
    let mut rows = usize::MAX;
    for (index, group) in order.groups.iter().enumerate() {
        match bands.last_mut() {
            Some(band) if rows + group.places.len() <= BLOCK_ROWS => {
                band.end = index + 1;
                rows += group.places.len();
            }
            _ => {
                bands.push(index..index + 1);
                rows = group.places.len();
            }
        }
    }
    bands
}

enum PreparedRows {
    Int8(RowWriter),
    Float(Shared<f32>),
    None,
}

impl PreparedRows {
    /// # Safety
    /// No other thread may use this row meanwhile.
    unsafe fn write(&self, place: usize, x: &[f32]) {
        match self {
            // SAFETY: passed on; the scratch outlives the pass.
            Self::Int8(writer) => unsafe { writer.write(place, x) },
            // SAFETY: as above.
            Self::Float(rows) => unsafe { rows.range(place * x.len(), x.len()) }.copy_from_slice(x),
            Self::None => {}
        }
    }
}
