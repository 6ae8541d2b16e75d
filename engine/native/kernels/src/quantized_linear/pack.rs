//! Quantizes and packs weights, once per model.

use super::{OFFSET, PANEL, QUAD, TINY, is_group, panels};

/// Weights as [`pack`] makes them.
pub struct PackedWeights {
    pub codes: Vec<u8>,
    pub scales: Vec<f32>,
}

/// Quantizes and packs weights `[n, k]`, row-major. Rows are filled up to whole groups with zeros.
///
/// # Panics
/// When `weights` is not `n * k` long, or `group` is not a multiple of 32 up to 512.
pub fn pack(weights: &[f32], n: usize, k: usize, group: usize) -> PackedWeights {
    assert_eq!(weights.len(), n * k);
    assert!(is_group(group));
    let groups = k.div_ceil(group);
    let mut codes = vec![OFFSET; panels(n) * PANEL * groups * group];
    let mut scales = vec![0f32; panels(n) * PANEL * groups];
    for channel in 0..n {
        let (panel, lane) = (channel / PANEL, channel % PANEL);
        for g in 0..groups {
            let source = &weights[channel * k..][g * group..k.min((g + 1) * group)];
            let largest = source.iter().fold(0f32, |m, w| m.max(w.abs()));
            let inverse = if largest >= TINY { 127.0 / largest } else { 0.0 };
            scales[(panel * groups + g) * PANEL + lane] = largest / 127.0;
            let target = &mut codes[(panel * groups + g) * group * PANEL..][..group * PANEL];
            for (i, w) in source.iter().enumerate() {
                let code = (w * inverse).round_ties_even() as i8;
                target[(i / QUAD * PANEL + lane) * QUAD + i % QUAD] = OFFSET.wrapping_add_signed(code);
            }
        }
    }
    PackedWeights { codes, scales }
}
