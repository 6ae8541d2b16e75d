use super::*;

fn numbers(count: usize, seed: u32) -> Vec<f32> {
    let mut state = seed.wrapping_mul(2_654_435_761).wrapping_add(1);
    (0..count)
        .map(|_| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 8) as f32 / 8_388_608.0 - 1.0
        })
        .collect()
}

#[derive(Clone, Copy)]
struct Shape {
    n: usize,
    k: usize,
    group: usize,
}

/// The codes and scales of a row or channel by the definition, its groups one after the other.
fn quantize(x: &[f32], group: usize) -> (Vec<i64>, Vec<f32>) {
    let (mut codes, mut scales) = (Vec::new(), Vec::new());
    for x in x.chunks_exact(group) {
        let largest = x.iter().fold(0f32, |m, v| m.max(v.abs()));
        let inverse = if largest >= TINY { 127.0 / largest } else { 0.0 };
        codes.extend(x.iter().map(|v| (v * inverse).round_ties_even() as i64));
        scales.push(largest / 127.0);
    }
    (codes, scales)
}

/// The product `[rows, n]` by the definition: each group's products added exactly, groups in ascending order.
fn reference(weights: &[f32], x: &[f32], Shape { k, group, .. }: Shape) -> Vec<f32> {
    let channels: Vec<_> = weights.chunks_exact(k).map(|w| quantize(w, group)).collect();
    let mut out = Vec::new();
    for x in x.chunks_exact(k) {
        let (x_codes, x_scales) = quantize(x, group);
        for (codes, scales) in &channels {
            let mut sum = 0f32;
            for g in 0..k / group {
                let range = g * group..(g + 1) * group;
                let dot: i64 = x_codes[range.clone()].iter().zip(&codes[range]).map(|(x, w)| x * w).sum();
                sum += (dot as f32 * scales[g]) * x_scales[g];
            }
            out.push(sum);
        }
    }
    out
}

/// The product `[rows, n]` by a variant's kernel.
fn product(weights: &[f32], x: &[f32], Shape { n, k, group }: Shape, variant: Variant) -> Vec<f32> {
    let packed = pack(weights, n, k, group);
    let layer = QuantizedLinear { codes: &packed.codes, scales: &packed.scales, panels: panels(n), k, group };
    let mut quantized = QuantizedRows::default();
    let rows = x.len() / k;
    let writer = quantized.writer(rows, k, group, variant);
    for (row, x) in x.chunks_exact(k).enumerate() {
        // SAFETY: one thread, and the rows stay where they are.
        unsafe { writer.write(row, x) };
    }
    let stride = panels(n) * PANEL;
    let mut out = vec![f32::NAN; rows * stride];
    layer.block(0..panels(n), 0..rows, &quantized, &mut out, stride, &FetchQueue::default(), variant);
    out.chunks_exact(stride).flat_map(|row| &row[..n]).copied().collect()
}

fn assert_equal_bits(actual: &[f32], expected: &[f32], what: &str) {
    assert_eq!(actual.len(), expected.len());
    for (i, (a, b)) in actual.iter().zip(expected).enumerate() {
        assert_eq!(a.to_bits(), b.to_bits(), "{what}: {a} for {b} at {i}");
    }
}

#[test]
fn every_variant_gives_the_bits_of_the_reference() {
    for (n, k, group) in [(16, 64, 64), (33, 96, 32), (307, 576, 64), (48, 1536, 64), (21, 2560, 32)] {
        let shape = Shape { n, k, group };
        let (weights, x) = (numbers(n * k, 7), numbers(33 * k, 3));
        let expected = reference(&weights, &x, shape);
        for variant in Variant::available() {
            for rows in [1, 2, 7, 8, 16, 33] {
                let out = product(&weights, &x[..rows * k], shape, variant);
                assert_equal_bits(&out, &expected[..rows * n], &format!("{variant:?} {rows}×{n}×{k}"));
            }
        }
    }
}

#[test]
fn every_number_of_rows_gives_the_same_bits() {
    let shape = Shape { n: 40, k: 128, group: 64 };
    let (weights, x) = (numbers(shape.n * shape.k, 7), numbers(33 * shape.k, 3));
    let expected = reference(&weights, &x, shape);
    for variant in Variant::available() {
        for rows in 1..=33 {
            let out = product(&weights, &x[..rows * shape.k], shape, variant);
            assert_equal_bits(&out, &expected[..rows * shape.n], &format!("{variant:?} {rows} rows"));
        }
    }
}

#[test]
fn a_part_of_the_rows_and_panels_has_the_bits_of_the_whole() {
    let (n, k, group, rows) = (80, 128, 32, 20);
    let (weights, x) = (numbers(n * k, 9), numbers(rows * k, 4));
    let expected = reference(&weights, &x, Shape { n, k, group });
    let packed = pack(&weights, n, k, group);
    let layer = QuantizedLinear { codes: &packed.codes, scales: &packed.scales, panels: panels(n), k, group };
    for variant in Variant::available() {
        let mut quantized = QuantizedRows::default();
        let writer = quantized.writer(rows, k, group, variant);
        for (row, x) in x.chunks_exact(k).enumerate() {
            // SAFETY: one thread, and the rows stay where they are.
            unsafe { writer.write(row, x) };
        }
        let (part, width, stride) = (3..18, 3 * PANEL, 51);
        let mut out = vec![5f32; part.len() * stride];
        layer.block(1..4, part.clone(), &quantized, &mut out, stride, &FetchQueue::default(), variant);
        for (row, out) in part.zip(out.chunks_exact(stride)) {
            assert_equal_bits(&out[..width], &expected[row * n + PANEL..][..width], variant.name());
            assert_eq!(out[width..], [5.0; 3], "beyond the panels");
        }
    }
}

#[test]
fn extreme_codes_do_not_saturate() {
    let shape = Shape { n: 17, k: 192, group: 64 };
    let patterns: [fn(usize) -> f32; 4] = [
        |_| 1.0,
        |_| -1.0,
        |i| if i.is_multiple_of(2) { 1.0 } else { -1.0 },
        |i| if i % 4 < 2 { -1.0 } else { 1.0 },
    ];
    let x: Vec<f32> = patterns.iter().flat_map(|pattern| (0..shape.k).map(pattern)).collect();
    for pattern in patterns {
        let weights: Vec<f32> = (0..shape.n * shape.k).map(|i| pattern(i % shape.k)).collect();
        let expected = reference(&weights, &x, shape);
        assert!(expected.iter().any(|v| (v.abs() - shape.k as f32).abs() < 1e-3));
        for variant in Variant::available() {
            assert_equal_bits(&product(&weights, &x, shape, variant), &expected, variant.name());
        }
    }
}

#[test]
fn zeros_and_tiny_values_give_zero() {
    let shape = Shape { n: 16, k: 64, group: 32 };
    let mut x = vec![0.0; shape.k];
    x.fill(f32::MIN_POSITIVE / 8.0);
    let weights = numbers(shape.n * shape.k, 2);
    for variant in Variant::available() {
        assert!(product(&weights, &x, shape, variant).iter().all(|v| *v == 0.0));
        assert!(product(&vec![1e-40; shape.n * shape.k], &x, shape, variant).iter().all(|v| *v == 0.0));
    }
}

#[test]
fn a_poisoned_row_is_nan_and_its_neighbours_do_not_change() {
    let (rows, shape) = (9, Shape { n: 20, k: 192, group: 64 });
    let (n, k) = (shape.n, shape.k);
    let weights = numbers(n * k, 7);
    let clean = numbers(rows * k, 5);
    let expected = reference(&weights, &clean, shape);
    for poison in [f32::NAN, -f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
        let mut x = clean.clone();
        x[k + 67] = poison;
        for variant in Variant::available() {
            let out = product(&weights, &x, shape, variant);
            assert_equal_bits(&out[..n], &expected[..n], variant.name());
            assert_equal_bits(&out[2 * n..], &expected[2 * n..], variant.name());
            assert!(out[n..2 * n].iter().all(|v| v.is_nan()));
        }
    }
}

#[test]
fn is_close_to_the_float_product() {
    let (rows, shape) = (5, Shape { n: 37, k: 128, group: 64 });
    let (weights, x) = (numbers(shape.n * shape.k, 7), numbers(rows * shape.k, 1));
    let out = product(&weights, &x, shape, Variant::Portable);
    for (x, out) in x.chunks_exact(shape.k).zip(out.chunks_exact(shape.n)) {
        for (weights, out) in weights.chunks_exact(shape.k).zip(out) {
            let exact: f32 = x.iter().zip(weights).map(|(x, w)| x * w).sum();
            assert!((out - exact).abs() < 0.12, "{out} for {exact}");
        }
    }
}
