//! Products of a query with rows: the one thing here that takes time, once for each variant. Rows are unsigned bytes; what
//! their offset adds is taken off at the end, or the offset first.

#[cfg(target_arch = "aarch64")]
mod arm;
mod portable;
#[cfg(target_arch = "x86_64")]
mod x86;

use super::query::Query;
use crate::prefetch::{LINE, prefetch};
use crate::simd::Variant;

/// Rows that are asked for before they are multiplied: they may lie anywhere.
const AHEAD: usize = 4;

/// The exact product of the query's codes with those of each row.
///
/// # Safety
/// Every row must be readable for as many bytes as the query has codes, at any alignment.
pub(super) unsafe fn dots(query: &Query, rows: &[*const u8], products: &mut [i32], variant: Variant) {
    assert_eq!(rows.len(), products.len());
    // SAFETY: whoever holds a variant can run it; the rest is passed on.
    unsafe {
        match variant {
            #[cfg(target_arch = "x86_64")]
            Variant::Avx512Vnni(_) => x86::avx512_vnni(query, rows, products),
            #[cfg(target_arch = "x86_64")]
            Variant::AvxVnni(_) => x86::avx_vnni(query, rows, products),
            #[cfg(target_arch = "x86_64")]
            Variant::Avx2(_) => x86::avx2(query, rows, products),
            #[cfg(target_arch = "aarch64")]
            Variant::NeonDotprod(_) | Variant::NeonI8mm(_) => arm::dotprod(query, rows, products),
            Variant::Portable => portable::run(query, rows, products),
        }
    }
}

/// Asks for the row that is multiplied [`AHEAD`] rows after this one.
#[inline(always)]
fn fetch_ahead(rows: &[*const u8], row: usize, bytes: usize) {
    if let Some(next) = rows.get(row + AHEAD) {
        for line in (0..bytes).step_by(LINE) {
            prefetch(next.wrapping_add(line));
        }
    }
}
