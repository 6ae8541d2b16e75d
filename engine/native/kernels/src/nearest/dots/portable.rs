//! Products in plain Rust.

use super::super::query::{OFFSET, Query};
use super::fetch_ahead;

/// # Safety
/// As [`super::dots`].
pub(super) unsafe fn run(query: &Query, rows: &[*const u8], products: &mut [i32]) {
    let bytes = query.codes.len();
    for (index, product) in products.iter_mut().enumerate() {
        fetch_ahead(rows, index, bytes);
        // SAFETY: the caller promises that many bytes.
        let row = unsafe { std::slice::from_raw_parts(rows[index], bytes) };
        let codes = row.iter().map(|code| i16::from((code ^ OFFSET) as i8));
        *product = query.words.iter().zip(codes).map(|(a, b)| i32::from(*a) * i32::from(b)).sum();
    }
}
