//! Products with int8 weights: y = x·Wᵀ.
//!
//! Weights are quantized symmetrically in groups along the input, activations at run time per row and group.
//! A group's products add up exactly in 32-bit integers, and groups are combined in ascending order in float,
//! so every variant gives the same bits and no row sees another.
//!
//! Packed layout, for all variants: panels of [`PANEL`] output channels; in a panel, groups; in a group,
//! steps of [`QUAD`] inputs; in a step, the channels, four inputs each: `codes[panel][group][step][channel][4]`
//! and `scales[panel][group][channel]`. A code is stored with [`OFFSET`] added, because x86 multiplies unsigned
//! with signed bytes; what that adds to a product, `OFFSET` times the sum of the group's activation codes, is known
//! when a row is quantized and is where its sums start. Channels beyond `n` are zero.

#[cfg(target_arch = "aarch64")]
mod arm;
mod pack;
mod portable;
mod rows;
#[cfg(test)]
mod tests;
mod tile;
#[cfg(target_arch = "x86_64")]
mod x86;

use std::ops::Range;

use crate::prefetch::FetchQueue;
use crate::simd::Variant;

pub use pack::{PackedWeights, pack};
pub use rows::QuantizedRows;
pub(crate) use rows::RowWriter;
use tile::{FETCH_GROUPS, Kernel, Tile};

/// Output channels stored side by side.
pub const PANEL: usize = 16;
/// Inputs that one 32-bit lane holds.
pub const QUAD: usize = 4;
/// What is added to a weight's code where it is stored.
const OFFSET: u8 = 128;
/// A group's length is a multiple of this.
const GROUP_STEP: usize = 32;
/// Inputs that all rows of a block pass over before the next ones, so that their weights stay in the first-level
/// cache; also the longest group.
const CHUNK: usize = 512;
/// So few rows pass over all inputs at once: their weights are read from memory, best in one run.
const FEW_ROWS: usize = 8;
/// Groups whose largest magnitude is below this count as zero: its inverse would overflow.
const TINY: f32 = 1e-30;
/// Packed weights borrowed from wherever they lie (a memory-mapped file, in the product).
#[derive(Clone, Copy)]
pub struct QuantizedLinear<'a> {
    pub codes: &'a [u8],
    pub scales: &'a [f32],
    /// Of sixteen output channels each.
    pub panels: usize,
    /// Inputs, a multiple of `group`: [`pack`] fills rows up with zeros.
    pub k: usize,
    pub group: usize,
}

/// Number of panels that hold `n` output channels.
pub const fn panels(n: usize) -> usize {
    n.div_ceil(PANEL)
}

/// Whether values can be grouped so.
const fn is_group(group: usize) -> bool {
    group > 0 && group <= CHUNK && group.is_multiple_of(GROUP_STEP)
}

impl QuantizedLinear<'_> {
    /// # Panics
    /// When the lengths do not fit the shapes.
    pub fn check(&self) {
        let Self { codes, scales, panels, k, group } = *self;
        assert!(is_group(group) && k.is_multiple_of(group));
        assert_eq!(codes.len(), panels * PANEL * k);
        assert_eq!(scales.len(), panels * PANEL * (k / group));
    }

    /// The square of the length of each of a panel's rows.
    pub fn square_norms(&self, panel: usize) -> [f64; PANEL] {
        let groups = self.k / self.group;
        let codes = &self.codes[panel * PANEL * self.k..][..PANEL * self.k];
        let scales = &self.scales[panel * groups * PANEL..][..groups * PANEL];
        let mut squares = [0f64; PANEL];
        for (codes, scales) in codes.chunks_exact(self.group * PANEL).zip(scales.chunks_exact(PANEL)) {
            let mut sums = [0i32; PANEL];
            for quads in codes.chunks_exact(QUAD * PANEL) {
                for (sum, quad) in sums.iter_mut().zip(quads.chunks_exact(QUAD)) {
                    for code in quad {
                        let code = i32::from(*code) - i32::from(OFFSET);
                        *sum += code * code;
                    }
                }
            }
            for ((square, sum), scale) in squares.iter_mut().zip(sums).zip(scales) {
                *square += f64::from(sum) * f64::from(*scale) * f64::from(*scale);
            }
        }
        squares
    }

    /// Multiplies some rows with some panels: `out[(row - rows.start) * stride + (panel - panels.start) * 16 + lane]`,
    /// the panels' padding included. Meanwhile what `beside` lists is fetched.
    ///
    /// # Panics
    /// When a range lies outside the weights, the rows or `out`, or the rows were quantized for another width, group
    /// or variant.
    pub fn block(
        &self,
        panels: Range<usize>,
        rows: Range<usize>,
        x: &QuantizedRows,
        out: &mut [f32],
        stride: usize,
        beside: &FetchQueue,
        variant: Variant,
    ) {
        if panels.is_empty() || rows.is_empty() {
            return;
        }
        let width = panels.len() * PANEL;
        self.check();
        x.check(rows.end, self.k, self.group, variant);
        assert!(panels.end <= self.panels && width <= stride);
        assert!(out.len() >= (rows.len() - 1) * stride + width);
        for row in out.chunks_mut(stride).take(rows.len()) {
            row[..width].fill(0.0);
        }
        let kernel = Kernel::of(variant);
        let groups = self.k / self.group;
        let chunk = if rows.len() <= FEW_ROWS { groups } else { CHUNK / self.group };
        beside.spread(
            panels.len().div_ceil(kernel.panels)
                * groups.div_ceil(FETCH_GROUPS)
                * rows.len().div_ceil(kernel.rows),
        );
        for panel in panels.clone().step_by(kernel.panels) {
            let count = kernel.panels.min(panels.end - panel);
            for first in (0..groups).step_by(chunk) {
                let range = first..groups.min(first + chunk);
                let next = if range.end < groups {
                    range.len() * self.group * PANEL
                } else {
                    kernel.panels * PANEL * self.k - first * self.group * PANEL
                };
                let column = (panel - panels.start) * PANEL;
                // SAFETY: the assertions above bound the tile's panels, rows, groups and outputs.
                unsafe {
                    let tile = Tile::new(
                        self,
                        panel,
                        range,
                        x,
                        rows.start,
                        out.as_mut_ptr().add(column),
                        stride,
                        next,
                        beside,
                    );
                    kernel.run(&tile, rows.len(), count);
                }
            }
        }
    }
}
