//! Products in plain Rust.

use super::super::query::Query;
use super::fetch_ahead;

/// # Safety
/// As [`super::dots`].
pub(super) unsafe fn run(query: &Query, rows: &[*const u8], products: &mut [i32]) {
    let bytes = query.codes.len();
    for (index, product) in products.iter_mut().enumerate() {
        fetch_ahead(rows, index, bytes);
        // SAFETY: the caller promises that many bytes.
        let row = unsafe { std::slice::from_raw_parts(rows[index], bytes) };
        let sum: i32 = query.words.iter().zip(row).map(|(a, b)| i32::from(*a) * i32::from(*b)).sum();
        *product = sum - query.surplus;
    }
}
