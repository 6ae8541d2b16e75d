//! Adapters with known numbers.

use std::sync::Arc;

use half::f16;
use polylora_kernels::lora::{Pair, ResidentAdapter, RowAddress, RowFormat};
use polylora_kernels::pool::PagePool;

use super::{LAYER, numbers};

/// An adapter's matrices as plain numbers: A `[rank][k]`, B `[rank][width]`.
pub struct Plain {
    pub scale: f32,
    pub a: Vec<Vec<f32>>,
    pub b: Vec<Vec<f32>>,
}

/// Gives rank rows places in a pool, with gaps between them.
pub struct Pages {
    pub pool: PagePool,
    format: RowFormat,
    next: RowAddress,
}

impl Pages {
    fn new(format: RowFormat) -> Self {
        let next = RowAddress { page: 0, offset: 64 };
        Self { pool: PagePool::new(4096, 2000).unwrap(), format, next }
    }

    fn write(&mut self, plain: &Plain) -> Pair {
        let (inputs, outputs) = (plain.a[0].len(), plain.b[0].len());
        let format = self.format;
        let bytes = format.row_bytes(inputs, outputs);
        let mut rows = Vec::new();
        for (a, b) in plain.a.iter().zip(&plain.b) {
            if self.next.offset as usize + bytes > self.pool.page_bytes() {
                self.next = RowAddress { page: self.next.page + 2, offset: 0 };
            }
            // SAFETY: within the page by the check above, and nothing refers to it yet.
            let row = unsafe {
                let start = self.pool.page(self.next.page).add(self.next.offset as usize);
                std::slice::from_raw_parts_mut(start, bytes)
            };
            format.write(a, b, row);
            rows.push(self.next);
            self.next.offset += (bytes as u32).next_multiple_of(64);
        }
        Pair { scale: plain.scale, inputs, outputs, format, rows }
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
    pub fn new(format: RowFormat, ranks: &[usize], k: usize, widths: &[usize]) -> Self {
        let mut set = Self { pages: Pages::new(format), plain: Vec::new(), resident: Vec::new() };
        for (index, rank) in ranks.iter().enumerate() {
            let pairs = widths.iter().enumerate().map(|(projection, width)| {
                let matrix = |length: usize, seed: usize| -> Vec<Vec<f32>> {
                    let seed = seed + 11 * index + 101 * projection;
                    (0..*rank).map(|j| exact(format, &numbers(length, seed + 1009 * j))).collect()
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

/// Numbers that a format keeps exactly, or as nearly as its tests can tell.
fn exact(format: RowFormat, values: &[f32]) -> Vec<f32> {
    let largest = values.iter().fold(0f32, |largest, value| largest.max(value.abs()));
    let step = largest / 127.0;
    let kept = values.iter().map(|value| match format {
        RowFormat::F16 => f16::from_f32(value * 0.2).to_f32(),
        RowFormat::Int8 => (value / step).round() * step * 0.2,
    });
    kept.collect()
}
