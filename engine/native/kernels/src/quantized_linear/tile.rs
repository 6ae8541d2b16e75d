//! A tile: some rows against some panels over some groups, which a variant's kernel computes in registers.

use std::ops::Range;

#[cfg(target_arch = "aarch64")]
use super::arm;
#[cfg(target_arch = "x86_64")]
use super::x86;
use super::{PANEL, QuantizedLinear, QuantizedRows, portable};
use crate::prefetch::FetchQueue;
use crate::simd::Variant;

/// How many bytes of weights ahead of their use to ask for. A panel is too short a stream for the processor's own
/// prefetching: weights that come from memory arrive a third faster so (Zen 3).
const AHEAD: usize = 2048;

/// Groups from one portion of what is fetched beside to the next.
pub(super) const FETCH_GROUPS: usize = 4;

/// Where a tile's operands lie. Sums are added to `out`, one group after the other.
#[derive(Clone, Copy)]
#[cfg_attr(not(target_arch = "x86_64"), allow(dead_code, reason = "only x86 takes several panels"))]
pub(super) struct Tile<'a> {
    pub(super) codes: *const u8,
    pub(super) scales: *const f32,
    /// From one panel's codes to the next's, and the same for scales.
    pub(super) panel_codes: usize,
    pub(super) panel_scales: usize,
    pub(super) groups: usize,
    pub(super) group: usize,
    pub(super) x: *const u8,
    pub(super) x_scales: *const f32,
    pub(super) x_starts: *const i32,
    /// From one row's codes to the next's, and the same for scales and starts.
    pub(super) row_bytes: usize,
    pub(super) row_groups: usize,
    pub(super) out: *mut f32,
    pub(super) stride: usize,
    /// How many bytes of weights ahead of their use to ask for.
    pub(super) ahead: usize,
    /// The same for all rows but the first ones: these find the tile's weights in the first-level cache, and have time to ask for the
    /// next tile's.
    next: usize,
    /// What to fetch meanwhile.
    pub(super) beside: &'a FetchQueue,
}

impl<'a> Tile<'a> {
    /// The tile that begins at a panel and row, with its outputs at `out`. The weights of the next one lie `next` bytes further.
    ///
    /// # Safety
    /// These must lie inside the weights and rows.
    pub(super) unsafe fn new(
        weights: &QuantizedLinear<'_>,
        panel: usize,
        groups: Range<usize>,
        x: &QuantizedRows,
        row: usize,
        out: *mut f32,
        stride: usize,
        next: usize,
        beside: &'a FetchQueue,
    ) -> Self {
        let (group, all) = (weights.group, weights.k / weights.group);
        let (panel_codes, panel_scales, row_bytes) = (PANEL * weights.k, PANEL * all, x.row_bytes());
        let bytes_per_group = row_bytes / all;
        // SAFETY: inside their slices, which the caller promises.
        unsafe {
            Self {
                codes: weights.codes.as_ptr().add(panel * panel_codes + groups.start * group * PANEL),
                scales: weights.scales.as_ptr().add(panel * panel_scales + groups.start * PANEL),
                panel_codes,
                panel_scales,
                groups: groups.len(),
                group,
                x: x.codes.as_ptr().add(row * row_bytes + groups.start * bytes_per_group),
                x_scales: x.scales.as_ptr().add(row * all + groups.start),
                x_starts: x.starts.as_ptr().add(row * all + groups.start),
                row_bytes,
                row_groups: all,
                out,
                stride,
                ahead: AHEAD,
                next,
                beside,
            }
        }
    }

    /// To be called for each group: asks for a portion of what is needed next.
    #[inline(always)]
    #[cfg_attr(
        not(any(target_arch = "x86_64", target_arch = "aarch64")),
        allow(dead_code, reason = "portable")
    )]
    pub(super) fn fetch_beside(&self, g: usize) {
        if g.is_multiple_of(FETCH_GROUPS) {
            self.beside.advance();
        }
    }

    /// What is left from a row on.
    ///
    /// # Safety
    /// The tile must have that row.
    pub(super) unsafe fn at_row(&self, row: usize) -> Self {
        // SAFETY: inside the tile, which the caller promises.
        unsafe {
            Self {
                x: self.x.add(row * self.row_bytes),
                x_scales: self.x_scales.add(row * self.row_groups),
                x_starts: self.x_starts.add(row * self.row_groups),
                out: self.out.add(row * self.stride),
                ahead: if row == 0 { self.ahead } else { self.next },
                ..*self
            }
        }
    }
}

/// How a variant computes tiles.
pub(super) struct Kernel {
    /// At most so many panels at a time.
    pub(super) panels: usize,
    /// At most so many rows at a time.
    pub(super) rows: usize,
    run: unsafe fn(&Tile<'_>, usize, usize),
}

impl Kernel {
    pub(super) fn of(variant: Variant) -> Self {
        let (panels, rows, run): (_, _, unsafe fn(&Tile<'_>, usize, usize)) = match variant {
            Variant::Portable => (1, usize::MAX, portable::run),
            #[cfg(target_arch = "x86_64")]
            Variant::Avx2(_) => (1, 4, x86::avx2::run),
            #[cfg(target_arch = "x86_64")]
            Variant::AvxVnni(_) => (1, 6, x86::avx_vnni::run),
            #[cfg(target_arch = "x86_64")]
            Variant::Avx512Vnni(_) => (x86::avx512_vnni::PANELS, 8, x86::avx512_vnni::run),
            #[cfg(target_arch = "aarch64")]
            Variant::NeonDotprod(_) => (1, 4, arm::dotprod::run),
            #[cfg(target_arch = "aarch64")]
            Variant::NeonI8mm(_) => (1, 4, arm::i8mm::run),
        };
        Self { panels, rows, run }
    }

    /// # Safety
    /// The tile must hold so many rows and panels, and the kernel's variant have been detected on this processor.
    pub(super) unsafe fn run(&self, tile: &Tile<'_>, rows: usize, panels: usize) {
        // SAFETY: passed on.
        unsafe { (self.run)(tile, rows, panels) }
    }
}

/// Cuts a tile's rows as evenly as possible into tiles of at most as many as the last number listed, and evaluates
/// an expression for each, compiled for its number of rows: `by_rows!(tile, rows, [1, 2, 3], |R, tile| …)`.
macro_rules! by_rows {
    ($whole:expr, $rows:expr, [$($count:literal),+], |$r:ident, $tile:ident| $kernel:expr) => {
        let (rows, most) = ($rows, [$($count),+].len());
        let tiles = usize::div_ceil(rows, most);
        for tile in 0..tiles {
            let (start, end) = (rows * tile / tiles, rows * (tile + 1) / tiles);
            let $tile = $whole.at_row(start);
            match end - start {
                $($count => {
                    const $r: usize = $count;
                    $kernel
                })+
                rows => unreachable!("no kernel for {rows} rows"),
            }
        }
    };
}
#[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
pub(super) use by_rows;
