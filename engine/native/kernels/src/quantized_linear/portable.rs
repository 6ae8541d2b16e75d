//! Tiles in plain Rust.

use super::tile::Tile;
use super::{PANEL, QUAD};

/// # Safety
/// The tile must hold so many rows, and one panel.
pub(super) unsafe fn run(tile: &Tile<'_>, rows: usize, panels: usize) {
    debug_assert_eq!(panels, 1);
    let group = tile.group;
    for g in 0..tile.groups {
        // SAFETY: the tile holds these groups of its rows and its panel.
        unsafe {
            let codes = std::slice::from_raw_parts(tile.codes.add(g * group * PANEL), group * PANEL);
            let scales = &*tile.scales.add(g * PANEL).cast::<[f32; PANEL]>();
            for row in 0..rows {
                let x = std::slice::from_raw_parts(tile.x.add(row * tile.row_bytes + g * group), group);
                let mut dots = [*tile.x_starts.add(row * tile.row_groups + g); PANEL];
                for (quad, step) in x.chunks_exact(QUAD).zip(codes.chunks_exact(PANEL * QUAD)) {
                    for (dot, weights) in dots.iter_mut().zip(step.chunks_exact(QUAD)) {
                        let products =
                            quad.iter().zip(weights).map(|(x, w)| i32::from(*x as i8) * i32::from(*w));
                        *dot += products.sum::<i32>();
                    }
                }
                let x_scale = *tile.x_scales.add(row * tile.row_groups + g);
                let out = &mut *tile.out.add(row * tile.stride).cast::<[f32; PANEL]>();
                for lane in 0..PANEL {
                    out[lane] += (dots[lane] as f32 * scales[lane]) * x_scale;
                }
            }
        }
    }
}
