//! How the second pass is cut into work items: bands of rows by columns of panels.

use std::ops::Range;

use crate::quantized_linear::{PANEL, panels};
use crate::step::RowOrder;

/// Rows that one work item of the second pass takes at most: their codes stay in the second-level cache while the
/// weights pass by.
const BLOCK_ROWS: usize = 128;
/// Values of the second pass that stay in the first-level cache from the product to the epilogue.
const BLOCK_VALUES: usize = 8 * 1024;
/// Some panels of a projection (with SwiGLU: and the same ones of the next).
pub(super) struct Columns {
    pub(super) projection: usize,
    pub(super) panels: Range<usize>,
}

/// Groups of rows, together at most [`BLOCK_ROWS`] rows.
pub(super) fn bands(order: &RowOrder) -> Vec<Range<usize>> {
    let mut bands: Vec<Range<usize>> = Vec::new();
    let mut rows = usize::MAX;
    for (index, group) in order.groups.iter().enumerate() {
        match bands.last_mut() {
            Some(band) if rows + group.places.len() <= BLOCK_ROWS => {
                band.end = index + 1;
                rows += group.places.len();
            }
            _ => {
                bands.push(index..index + 1);
                rows = group.places.len();
            }
        }
    }
    bands
}

/// The columns of projections of some widths, cut so that all threads have work and a block stays in the cache. No cut divides
/// neighbouring outputs that belong `together`, groups of so many.
pub(super) fn columns(
    widths: &[usize],
    together: impl Iterator<Item = usize>,
    bands: usize,
    threads: usize,
) -> Vec<Columns> {
    let all: usize = widths.iter().map(|width| panels(*width)).sum();
    let rows = BLOCK_ROWS; // A block's rows are rarely fewer when there is more than one band.
    let largest = if bands > 1 { BLOCK_VALUES / (rows * PANEL) } else { 16 };
    let together = together.fold(PANEL, least_common_multiple) / PANEL;
    let per_item = (all * bands / (threads * 4)).clamp(1, largest).next_multiple_of(together);
    let mut columns = Vec::new();
    for (projection, width) in widths.iter().enumerate() {
        let end = panels(*width);
        columns.extend(
            (0..end)
                .step_by(per_item)
                .map(|start| Columns { projection, panels: start..end.min(start + per_item) }),
        );
    }
    columns
}

fn least_common_multiple(a: usize, b: usize) -> usize {
    let (mut divisor, mut rest) = (a, b);
    while rest > 0 {
        (divisor, rest) = (rest, divisor % rest);
    }
    a / divisor * b
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_cover_every_panel_once_and_cut_no_group() {
        for (widths, group) in [(vec![576, 192, 192], 64), (vec![1536], 24), (vec![40, 7], 1), (vec![96], 96)]
        {
            let columns = columns(&widths, [group, 2].into_iter(), 3, 2);
            for (projection, width) in widths.iter().enumerate() {
                let mut next = 0;
                for cut in columns.iter().filter(|columns| columns.projection == projection) {
                    assert_eq!(cut.panels.start, next);
                    assert!((next * PANEL).is_multiple_of(group));
                    next = cut.panels.end;
                }
                assert_eq!(next, panels(*width));
            }
        }
    }
}
