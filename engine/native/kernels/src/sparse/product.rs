//! Dot products of some outputs' codes with some rows.

use super::code::{DECODED, GROUP};
use crate::simd::{Lanes, Variant, dispatch};

/// Outputs taken at once: each input value that is loaded serves all of them.
pub(super) const AT_ONCE: usize = 4;
/// Rows taken at once, by half as many outputs: each code that is looked up serves all of them. So many sums fill the registers.
const ROWS: usize = 4;

/// The levels of a code's inputs as floats, so that nothing is left to do with them but to multiply.
#[repr(align(64))]
struct Table([[f32; GROUP]; 256]);
static TABLE: Table = Table(table());

const fn table() -> [[f32; GROUP]; 256] {
    let mut table = [[0.0; GROUP]; 256];
    let mut index = 0;
    while index < 256 * GROUP {
        table[index / GROUP][index % GROUP] = DECODED[index / GROUP][index % GROUP] as f32;
        index += 1;
    }
    table
}

/// `dots[output * x.len() + row] = Σ level · x[row]` for four outputs; `codes` is `[output][inputs / 4]`. Each is one sum of
/// eight lanes over ascending inputs, the lanes added at the end, then the inputs beyond the last whole eight.
///
/// # Panics
/// When lengths differ.
pub(super) fn dots(codes: &[u8], x: &[&[f32]], dots: &mut [f32], variant: Variant) {
    #[inline(always)]
    unsafe fn body<L: Lanes>(codes: &[u8], x: &[&[f32]], dots: &mut [f32]) {
        // SAFETY: passed on.
        unsafe { all::<L>(codes, x, dots) }
    }
    assert!(x.iter().all(|x| x.len() * AT_ONCE == codes.len() * GROUP));
    assert_eq!(dots.len(), AT_ONCE * x.len());
    // SAFETY: the variant was detected on this processor; lengths are checked.
    unsafe { dispatch!(variant, body(codes: &[u8], x: &[&[f32]], dots: &mut [f32])) }
}

/// # Safety
/// The lengths must be checked.
#[inline(always)]
unsafe fn all<L: Lanes>(codes: &[u8], x: &[&[f32]], dots: &mut [f32]) {
    const HALF: usize = AT_ONCE / 2;
    let rows = x.len();
    let row_codes = codes.len() / AT_ONCE;
    let mut row = 0;
    // SAFETY: passed on.
    unsafe {
        while row + ROWS <= rows {
            for first in [0, HALF] {
                let codes = &codes[first * row_codes..][..HALF * row_codes];
                tile::<L, HALF, ROWS>(codes, x, row, &mut dots[first * rows..]);
            }
            row += ROWS;
        }
        if row + 2 <= rows {
            tile::<L, AT_ONCE, 2>(codes, x, row, dots);
            row += 2;
        }
        if row < rows {
            tile::<L, AT_ONCE, 1>(codes, x, row, dots);
        }
    }
}

/// `R` outputs by `T` rows.
///
/// # Safety
/// `codes` must have `R` outputs of as many inputs as the rows have, and `row + T` rows must be there.
#[inline(always)]
unsafe fn tile<L: Lanes, const R: usize, const T: usize>(
    codes: &[u8],
    x: &[&[f32]],
    row: usize,
    dots: &mut [f32],
) {
    let (rows, row_codes) = (x.len(), codes.len() / R);
    let x: [&[f32]; T] = std::array::from_fn(|t| x[row + t]);
    let mut sums = [[L::splat(0.0); T]; R];
    for pair in 0..row_codes / 2 {
        // SAFETY: two codes and eight inputs are there for each output and row; the table has every byte.
        unsafe {
            let inputs: [L; T] = std::array::from_fn(|t| L::load(x[t].as_ptr().add(pair * 2 * GROUP)));
            for (output, sums) in sums.iter_mut().enumerate() {
                let at = codes.as_ptr().add(output * row_codes + pair * 2);
                let [low, high] = [*at, *at.add(1)].map(|code| TABLE.0[code as usize].as_ptr());
                let levels = L::load_fours(low, high);
                for (sum, input) in sums.iter_mut().zip(inputs) {
                    *sum = sum.add(levels.mul(input));
                }
            }
        }
    }
    let whole = row_codes / 2 * 2;
    for (output, sums) in sums.iter().enumerate() {
        let rest = &codes[output * row_codes + whole..(output + 1) * row_codes];
        for (t, sum) in sums.iter().enumerate() {
            let levels = rest.iter().flat_map(|code| TABLE.0[*code as usize]);
            let products = x[t][whole * GROUP..].iter().zip(levels);
            dots[output * rows + row + t] = products.fold(sum.sum(), |sum, (x, level)| sum + x * level);
        }
    }
}
