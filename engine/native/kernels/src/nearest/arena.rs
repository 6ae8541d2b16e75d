//! Vectors in numbered rows.

use std::cmp::Ordering;
use std::collections::BinaryHeap;

use super::Neighbour;
use super::codes::{Quantized, quantize};
use super::dots::dots;
use super::query::{OFFSET, Query, STEP};
use crate::simd::Variant;

/// Rows that are allocated together: nothing is copied when an arena grows.
pub const SLAB_ROWS: usize = 4096;
/// Rows that are looked up before they are multiplied.
const BLOCK: usize = 256;
/// The most numbers in a vector: a product of so many codes fits into 32 bits, with what [`OFFSET`] adds.
const MOST_NUMBERS: usize = 1 << 16;

/// A cache line of codes.
#[derive(Clone, Copy)]
#[repr(align(64))]
struct Line(#[allow(dead_code, reason = "read through pointers")] [u8; STEP]);

struct Slab {
    /// Each with [`OFFSET`] added.
    codes: Vec<Line>,
    /// NaN where a row holds no vector.
    scales: Vec<f64>,
    used: usize,
}

/// Vectors of one width in rows that are numbered from 0. A slab in which no row is used takes no memory.
pub struct VectorArena {
    width: usize,
    slabs: Vec<Option<Slab>>,
    variant: Variant,
}

impl VectorArena {
    /// An arena for vectors of so many numbers.
    ///
    /// # Errors
    /// Where `width` is 0 or more than 65,536.
    pub fn new(width: usize, variant: Variant) -> Result<Self, String> {
        if !(1..=MOST_NUMBERS).contains(&width) {
            return Err(format!("a vector has 1 to {MOST_NUMBERS} numbers, not {width}"));
        }
        Ok(Self { width, slabs: Vec::new(), variant })
    }

    pub fn width(&self) -> usize {
        self.width
    }

    /// Memory that the rows take.
    pub fn bytes(&self) -> usize {
        let slabs = self.slabs.iter().flatten().count();
        slabs * SLAB_ROWS * (self.lines() * STEP + size_of::<f64>())
    }

    /// Puts a vector in a row, instead of what was there.
    ///
    /// # Errors
    /// Where it has another width or a number that is not finite, or the row is not in a slab that is there nor in the next.
    pub fn set(&mut self, row: u32, vector: &[f32]) -> Result<(), String> {
        self.check_width(vector)?;
        let (slab, place) = (row as usize / SLAB_ROWS, row as usize % SLAB_ROWS);
        if slab > self.slabs.len() {
            return Err(format!(
                "row {row} is too far: rows below {} can be set",
                (self.slabs.len() + 1) * SLAB_ROWS
            ));
        }
        let Quantized { codes, scale } = quantize(vector)?;
        let lines = self.lines();
        if slab == self.slabs.len() {
            self.slabs.push(None);
        }
        let slab = self.slabs[slab].get_or_insert_with(|| Slab {
            codes: vec![Line([OFFSET; STEP]); SLAB_ROWS * lines],
            scales: vec![f64::NAN; SLAB_ROWS],
            used: 0,
        });
        for (line, codes) in slab.codes[place * lines..][..lines].iter_mut().zip(codes.chunks(STEP)) {
            for (stored, code) in line.0.iter_mut().zip(codes) {
                *stored = *code as u8 ^ OFFSET;
            }
        }
        slab.used += usize::from(slab.scales[place].is_nan());
        slab.scales[place] = scale;
        Ok(())
    }

    /// Empties a row. @returns whether it held a vector.
    pub fn clear(&mut self, row: u32) -> bool {
        let place = row as usize % SLAB_ROWS;
        let Some(entry) = self.slabs.get_mut(row as usize / SLAB_ROWS) else { return false };
        let Some(slab) = entry else { return false };
        if slab.scales[place].is_nan() {
            return false;
        }
        slab.scales[place] = f64::NAN;
        slab.used -= 1;
        if slab.used == 0 {
            *entry = None;
        }
        true
    }

    /// A row's codes and their scale; None where it holds no vector.
    pub fn get(&self, row: u32) -> Option<Quantized> {
        let (lines, scale) = self.find(row)?;
        let codes = lines.iter().flat_map(|line| line.0).take(self.width);
        Some(Quantized { codes: codes.map(|code| (code ^ OFFSET) as i8).collect(), scale })
    }

    /// The best `k` of some rows whose similarity to a vector is at least `threshold`, best first, of equally similar ones
    /// the lowest row number first.
    ///
    /// # Errors
    /// Where the vector has another width or a number that is not finite, the threshold is NaN, or a row holds no vector.
    pub fn search(
        &self,
        vector: &[f32],
        rows: &[u32],
        k: usize,
        threshold: f64,
    ) -> Result<Vec<Neighbour>, String> {
        self.check_width(vector)?;
        if threshold.is_nan() {
            return Err("the threshold is not a number".to_owned());
        }
        let query = Query::new(vector)?;
        // The worst is on top.
        let mut best: BinaryHeap<Ranked> = BinaryHeap::with_capacity(k.min(rows.len()));
        let mut found = Vec::with_capacity(BLOCK.min(rows.len()));
        let mut scales = [0f64; BLOCK];
        let mut products = [0i32; BLOCK];
        for rows in rows.chunks(BLOCK) {
            found.clear();
            for (row, scale) in rows.iter().zip(&mut scales) {
                let lines = self.find(*row).ok_or_else(|| format!("row {row} holds no vector"))?;
                found.push(lines.0.as_ptr().cast::<u8>());
                *scale = lines.1;
            }
            let products = &mut products[..rows.len()];
            // SAFETY: each pointer is to the lines of a row, as many as the query's codes fill, and the arena is borrowed.
            unsafe { dots(&query, &found, products, self.variant) };
            for ((row, product), scale) in rows.iter().zip(products).zip(scales) {
                let similarity = (f64::from(*product) * (query.scale * scale)) as f32;
                if f64::from(similarity) < threshold {
                    continue;
                }
                let ranked = Ranked(Neighbour { row: *row, similarity });
                if best.len() < k {
                    best.push(ranked);
                } else if let Some(mut worst) = best.peek_mut()
                    && ranked < *worst
                {
                    *worst = ranked;
                }
            }
        }
        Ok(best.into_sorted_vec().into_iter().map(|Ranked(neighbour)| neighbour).collect())
    }

    /// The lines and the scale of a row that holds a vector.
    fn find(&self, row: u32) -> Option<(&[Line], f64)> {
        let slab = self.slabs.get(row as usize / SLAB_ROWS)?.as_ref()?;
        let place = row as usize % SLAB_ROWS;
        let scale = slab.scales[place];
        let lines = self.lines();
        (!scale.is_nan()).then(|| (&slab.codes[place * lines..][..lines], scale))
    }

    /// Cache lines of a row.
    fn lines(&self) -> usize {
        self.width.div_ceil(STEP)
    }

    fn check_width(&self, vector: &[f32]) -> Result<(), String> {
        if vector.len() == self.width {
            return Ok(());
        }
        Err(format!("a vector has {} numbers here, not {}", self.width, vector.len()))
    }
}

/// Ordered by what comes first in a result.
#[derive(PartialEq)]
struct Ranked(Neighbour);

impl Eq for Ranked {}

impl Ord for Ranked {
    fn cmp(&self, other: &Self) -> Ordering {
        let (Self(a), Self(b)) = (self, other);
        b.similarity.total_cmp(&a.similarity).then(a.row.cmp(&b.row))
    }
}

impl PartialOrd for Ranked {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}
