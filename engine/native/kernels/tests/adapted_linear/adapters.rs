//! Adapters with known numbers.

use std::sync::Arc;

use half::f16;
use polylora_kernels::adapter::{ModuleChange, OutputChange, Partners, ResidentAdapter, Vector};
use polylora_kernels::lora::{LoraDtype, Pair, Slab};
use polylora_kernels::pool::PagePool;

use super::{LAYER, numbers};

/// What an adapter does to a projection, as plain numbers: A `[rank][k]`, B `[rank][width]`.
#[derive(Clone, Default)]
pub struct Plain {
    pub scale: f32,
    pub a: Vec<Vec<f32>>,
    pub b: Vec<Vec<f32>>,
    pub input: Option<Vec<f32>>,
    pub output: Option<PlainOutput>,
}

#[derive(Clone)]
pub struct PlainOutput {
    pub factors: Vec<f32>,
    /// Multiples of the partners, and how many outputs are in a group of them.
    pub partners: Option<(Vec<f32>, usize)>,
    pub is_before_bias: bool,
}

/// Gives slabs places in a pool, with gaps between them.
pub struct Pages {
    pub pool: PagePool,
    dtype: LoraDtype,
    next: Slab,
}

impl Pages {
    fn new(dtype: LoraDtype) -> Self {
        let next = Slab { page: 0, offset: 64, ranks: 0, scale: 0.0 };
        Self { pool: PagePool::new(16384, 2000).unwrap(), dtype, next }
    }

    /// A place of so many bytes, in a page that others may have left room in.
    fn place(&mut self, bytes: usize) -> (Slab, &mut [u8]) {
        if self.next.offset as usize + bytes > self.pool.page_bytes() {
            self.next = Slab { page: self.next.page + 2, offset: 0, ..self.next };
        }
        let slab = self.next;
        self.next.offset += (bytes as u32).next_multiple_of(64);
        // SAFETY: within the page by the check above, and nothing refers to it yet.
        let place = unsafe {
            let start = self.pool.page(slab.page).add(slab.offset as usize);
            std::slice::from_raw_parts_mut(start, bytes)
        };
        (slab, place)
    }

    fn write(&mut self, plain: &Plain) -> ModuleChange {
        let output = plain.output.as_ref().map(|output| OutputChange {
            factors: self.write_vector(&output.factors),
            partners: output.partners.as_ref().map(|(multiples, group)| Partners {
                multiples: self.write_vector(multiples),
                group: *group,
            }),
            is_before_bias: output.is_before_bias,
        });
        ModuleChange {
            input: plain.input.as_ref().map(|factors| self.write_vector(factors)),
            pair: (!plain.a.is_empty()).then(|| self.write_pair(plain)),
            sparse: None,
            output,
        }
    }

    fn write_vector(&mut self, values: &[f32]) -> Vector {
        let (Slab { page, offset, .. }, place) = self.place(values.len() * 4);
        for (value, place) in values.iter().zip(place.chunks_exact_mut(4)) {
            place.copy_from_slice(&value.to_ne_bytes());
        }
        Vector { page, offset, length: values.len() }
    }

    /// In slabs of one to five ranks.
    fn write_pair(&mut self, plain: &Plain) -> Pair {
        let (rank, inputs, outputs) = (plain.a.len(), plain.a[0].len(), plain.b[0].len());
        let dtype = self.dtype;
        let columns: Vec<f32> = (0..outputs).flat_map(|i| plain.b.iter().map(move |b| b[i])).collect();
        let mut slabs: Vec<Slab> = Vec::new();
        let mut first = 0;
        while first < rank {
            let ranks = (slabs.len() % 5 + 1).min(rank - first);
            let (slab, place) = self.place(dtype.slab_bytes(ranks, inputs, outputs));
            dtype.write(&plain.a.concat(), &columns, rank, first..first + ranks, place);
            slabs.push(Slab { ranks: ranks as u32, scale: plain.scale, ..slab });
            first += ranks;
        }
        Pair { inputs, outputs, dtype, slabs }
    }
}

/// The modules that each projection is, in the layer under test.
pub fn modules(widths: &[usize]) -> Vec<usize> {
    (0..widths.len()).map(|i| 2 * i).collect()
}

/// Adapters of different ranks; the second has nothing for the last projection, where there are several.
pub struct AdapterSet {
    pub pages: Pages,
    pub plain: Vec<Vec<Option<Plain>>>,
    pub resident: Vec<Arc<ResidentAdapter>>,
}

impl AdapterSet {
    pub fn new(dtype: LoraDtype, ranks: &[usize], k: usize, widths: &[usize]) -> Self {
        let mut set = Self { pages: Pages::new(dtype), plain: Vec::new(), resident: Vec::new() };
        for (index, rank) in ranks.iter().enumerate() {
            let pairs = widths.iter().enumerate().map(|(projection, width)| {
                let matrix = |length: usize, seed: usize| -> Vec<Vec<f32>> {
                    let seed = seed + 11 * index + 101 * projection;
                    (0..*rank).map(|j| exact(dtype, &numbers(length, seed + 1009 * j))).collect()
                };
                let present = index != 1 || projection == 0;
                present.then(|| Plain {
                    scale: 1.5 / (*rank as f32).sqrt(),
                    a: matrix(k, 3),
                    b: matrix(*width, 5),
                    ..Plain::default()
                })
            });
            set.add(pairs.collect());
        }
        set
    }

    /// Four adapters: a sum with factors beside the bias; factors of inputs, of one projection only; pairs of outputs rotated
    /// in groups of `group`; and all of it at once.
    pub fn element_wise(dtype: LoraDtype, k: usize, widths: &[usize], group: usize) -> Self {
        let sums = Self::new(dtype, &[7, 1, 1, 20], k, widths).plain;
        let factors = |length: usize, seed: usize| -> Vec<f32> {
            numbers(length, seed).iter().map(|value| 1.0 + 0.5 * value).collect()
        };
        let mut set = Self { pages: Pages::new(dtype), plain: Vec::new(), resident: Vec::new() };
        for (kind, sums) in sums.into_iter().enumerate() {
            let changes = sums.into_iter().zip(widths).enumerate().map(|(projection, (sum, width))| {
                let seed = 7 * kind + projection;
                let output = |partners: bool, is_before_bias: bool| PlainOutput {
                    factors: factors(*width, 300 + seed),
                    partners: partners.then(|| (numbers(*width, 400 + seed), group)),
                    is_before_bias,
                };
                let input = Some(factors(k, 500 + seed));
                match kind {
                    0 => sum.map(|sum| Plain { output: Some(output(false, true)), ..sum }),
                    1 if projection + 1 == widths.len() => Some(Plain { input, ..Plain::default() }),
                    1 => Some(Plain { output: Some(output(false, false)), ..Plain::default() }),
                    2 => Some(Plain { output: Some(output(true, false)), ..Plain::default() }),
                    _ => sum.map(|sum| Plain { input, output: Some(output(true, true)), ..sum }),
                }
            });
            set.add(changes.collect());
        }
        set
    }

    pub fn add(&mut self, pairs: Vec<Option<Plain>>) {
        let mut resident = ResidentAdapter::new(LAYER + 1, 2 * pairs.len());
        for (projection, plain) in pairs.iter().enumerate() {
            if let Some(plain) = plain {
                resident.set(LAYER, 2 * projection, self.pages.write(plain));
            }
        }
        self.plain.push(pairs);
        self.resident.push(Arc::new(resident));
    }
}

/// Numbers that a dtype keeps exactly, or as nearly as its tests can tell.
fn exact(dtype: LoraDtype, values: &[f32]) -> Vec<f32> {
    let largest = values.iter().fold(0f32, |largest, value| largest.max(value.abs()));
    let step = largest / 127.0;
    let kept = values.iter().map(|value| match dtype {
        LoraDtype::F16 => f16::from_f32(value * 0.2).to_f32(),
        LoraDtype::Int8 => (value / step).round() * step * 0.2,
    });
    kept.collect()
}
