//! Adapters with known numbers.

use std::sync::Arc;

use half::f16;
use polylora_kernels::lora::{LoraDtype, Pair, ResidentAdapter, Slab};
use polylora_kernels::pool::PagePool;

use super::{LAYER, numbers};

/// An adapter's matrices as plain numbers: A `[rank][k]`, B `[rank][width]`.
pub struct Plain {
    pub scale: f32,
    pub a: Vec<Vec<f32>>,
    pub b: Vec<Vec<f32>>,
}

/// Gives slabs places in a pool, with gaps between them.
pub struct Pages {
    pub pool: PagePool,
    dtype: LoraDtype,
    next: Slab,
}

impl Pages {
    fn new(dtype: LoraDtype) -> Self {
        let next = Slab { page: 0, offset: 64, ranks: 0 };
        Self { pool: PagePool::new(16384, 2000).unwrap(), dtype, next }
    }

    /// In slabs of one to five ranks.
    fn write(&mut self, plain: &Plain) -> Pair {
        let (rank, inputs, outputs) = (plain.a.len(), plain.a[0].len(), plain.b[0].len());
        let dtype = self.dtype;
        let columns: Vec<f32> = (0..outputs).flat_map(|i| plain.b.iter().map(move |b| b[i])).collect();
        let mut slabs = Vec::new();
        let mut first = 0;
        while first < rank {
            let ranks = (slabs.len() % 5 + 1).min(rank - first);
            let bytes = dtype.slab_bytes(ranks, inputs, outputs);
            if self.next.offset as usize + bytes > self.pool.page_bytes() {
                self.next = Slab { page: self.next.page + 2, offset: 0, ranks: 0 };
            }
            let slab = Slab { ranks: ranks as u32, ..self.next };
            // SAFETY: within the page by the check above, and nothing refers to it yet.
            let place = unsafe {
                let start = self.pool.page(slab.page).add(slab.offset as usize);
                std::slice::from_raw_parts_mut(start, bytes)
            };
            dtype.write(&plain.a.concat(), &columns, rank, first..first + ranks, place);
            slabs.push(slab);
            self.next.offset += (bytes as u32).next_multiple_of(64);
            first += ranks;
        }
        Pair { scale: plain.scale, inputs, outputs, dtype, slabs }
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
                })
            });
            set.add(pairs.collect());
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
