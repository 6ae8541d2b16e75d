use super::*;
use crate::simd::Variant;

fn numbers(count: usize, seed: u32) -> Vec<f32> {
    let mut state = seed.wrapping_mul(2_654_435_761).wrapping_add(1);
    (0..count)
        .map(|_| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 8) as f32 / 8_388_608.0 - 1.0
        })
        .collect()
}

fn arena(width: usize, vectors: &[f32], variant: Variant) -> VectorArena {
    let mut arena = VectorArena::new(width, variant).unwrap();
    for (row, vector) in vectors.chunks_exact(width).enumerate() {
        arena.set(row as u32, vector).unwrap();
    }
    arena
}

/// The similarity of two vectors by the definition.
fn similarity(a: &[f32], b: &[f32]) -> f32 {
    let (a, b) = (quantize(a).unwrap(), quantize(b).unwrap());
    let product: i64 = a.codes.iter().zip(&b.codes).map(|(a, b)| i64::from(*a) * i64::from(*b)).sum();
    (product as f64 * (a.scale * b.scale)) as f32
}

fn cosine(a: &[f32], b: &[f32]) -> f64 {
    let product =
        |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum::<f64>();
    product(a, b) / (product(a, a) * product(b, b)).sqrt()
}

#[test]
fn every_variant_gives_the_bits_of_the_definition() {
    for width in [1, 7, 16, 63, 64, 65, 384, 1000] {
        let rows = 300;
        let (vectors, asked) = (numbers(rows * width, 7), numbers(width, 3));
        let mut expected: Vec<_> = vectors
            .chunks_exact(width)
            .enumerate()
            .map(|(row, vector)| Neighbour { row: row as u32, similarity: similarity(&asked, vector) })
            .collect();
        expected.sort_by(|a, b| b.similarity.total_cmp(&a.similarity).then(a.row.cmp(&b.row)));
        let numbers: Vec<_> = (0..rows as u32).rev().collect();
        for variant in Variant::available() {
            let found = arena(width, &vectors, variant).search(&asked, &numbers, rows, -2.0).unwrap();
            assert_eq!(found.len(), rows);
            for (found, expected) in found.iter().zip(&expected) {
                assert_eq!(found.row, expected.row, "{variant:?}, {width} numbers");
                assert_eq!(found.similarity.to_bits(), expected.similarity.to_bits(), "{variant:?}");
            }
        }
    }
}

#[test]
fn the_largest_products_do_not_overflow() {
    let width = 1 << 16;
    let ones = vec![1f32; width];
    let opposite = vec![-1f32; width];
    for variant in Variant::available() {
        let arena = arena(width, &[ones.clone(), opposite.clone()].concat(), variant);
        let found = arena.search(&opposite, &[0, 1], 2, -1.0).unwrap();
        assert_eq!(found, [Neighbour { row: 1, similarity: 1.0 }, Neighbour { row: 0, similarity: -1.0 }]);
    }
}

#[test]
fn a_vector_is_similar_to_itself_by_exactly_one() {
    let variant = Variant::available()[0];
    for width in [2, 5, 384] {
        let vectors = numbers(200 * width, 11);
        let arena = arena(width, &vectors, variant);
        for (row, vector) in vectors.chunks_exact(width).enumerate() {
            let found = arena.search(vector, &[row as u32], 1, 1.0).unwrap();
            assert_eq!(found, [Neighbour { row: row as u32, similarity: 1.0 }]);
        }
    }
}

#[test]
fn codes_are_near_the_vector_and_stay_what_they_are() {
    let width = 384;
    let (vectors, asked) = (numbers(100 * width, 5), numbers(width, 6));
    for vector in vectors.chunks_exact(width) {
        let quantized = quantize(vector).unwrap();
        let back: Vec<_> =
            quantized.codes.iter().map(|code| (f64::from(*code) * quantized.scale) as f32).collect();
        assert!((cosine(&back, &back) - 1.0).abs() < 1e-6);
        assert_eq!(quantize(&back).unwrap(), quantized);
        assert!((f64::from(similarity(&asked, vector)) - cosine(&asked, vector)).abs() < 2e-3);
    }
}

#[test]
fn the_length_of_a_vector_does_not_matter() {
    let vector = numbers(48, 9);
    let longer: Vec<_> = vector.iter().map(|value| value * 4.0).collect();
    assert_eq!(quantize(&longer).unwrap(), quantize(&vector).unwrap());
}

#[test]
fn equally_similar_rows_come_in_the_order_of_their_numbers() {
    let same = numbers(32, 1).repeat(6);
    for variant in Variant::available() {
        let arena = arena(32, &same, variant);
        let found = arena.search(&same[..32], &[4, 1, 5, 0, 3, 2], 4, 0.5).unwrap();
        assert_eq!(found.iter().map(|neighbour| neighbour.row).collect::<Vec<_>>(), [0, 1, 2, 3]);
    }
}

#[test]
fn only_what_is_asked_for_is_found() {
    let (vectors, asked) = (numbers(50 * 16, 2), numbers(16, 8));
    for variant in Variant::available() {
        let arena = arena(16, &vectors, variant);
        let all: Vec<_> = (0..50).collect();
        let best = arena.search(&asked, &all, 50, 0.2).unwrap();
        assert!(!best.is_empty() && best.len() < 50);
        assert!(best.iter().all(|neighbour| neighbour.similarity >= 0.2));
        assert_eq!(arena.search(&asked, &all, 3, 0.2).unwrap(), best[..3]);
        let others: Vec<_> = all.iter().copied().filter(|row| *row != best[0].row).collect();
        assert_eq!(arena.search(&asked, &others, 50, 0.2).unwrap(), best[1..]);
        assert_eq!(arena.search(&asked, &[], 3, -1.0).unwrap(), []);
        assert_eq!(arena.search(&asked, &all, 0, -1.0).unwrap(), []);
    }
}

#[test]
fn rows_are_set_replaced_and_cleared() {
    let variant = Variant::available()[0];
    let mut arena = VectorArena::new(8, variant).unwrap();
    let (first, second) = (numbers(8, 1), numbers(8, 2));
    assert_eq!((arena.bytes(), arena.get(0), arena.clear(0)), (0, None, false));
    arena.set(3, &first).unwrap();
    assert_eq!(arena.get(3), Some(quantize(&first).unwrap()));
    assert_eq!((arena.get(2), arena.get(u32::MAX)), (None, None));
    arena.set(3, &second).unwrap();
    assert_eq!(arena.get(3), Some(quantize(&second).unwrap()));
    let slab = arena.bytes();
    arena.set(SLAB_ROWS as u32, &first).unwrap();
    assert_eq!(arena.bytes(), 2 * slab);
    assert!(arena.clear(3) && !arena.clear(3));
    assert_eq!((arena.bytes(), arena.get(3)), (slab, None));
    assert!(arena.clear(SLAB_ROWS as u32));
    assert_eq!(arena.bytes(), 0);
    arena.set(SLAB_ROWS as u32 + 1, &first).unwrap();
}

#[test]
fn zeros_are_similar_to_nothing() {
    let variant = Variant::available()[0];
    let arena = arena(4, &[0.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1e-38, 0.0, 0.0, 0.0], variant);
    let found = arena.search(&[0.0; 4], &[0, 1, 2], 3, -1.0).unwrap();
    assert!(found.iter().all(|neighbour| neighbour.similarity == 0.0));
    assert_eq!(arena.search(&[1.0, 0.0, 0.0, 0.0], &[0, 1, 2], 3, 0.5).unwrap().len(), 1);
}

#[test]
fn what_is_wrong_is_refused() {
    let variant = Variant::available()[0];
    assert!(VectorArena::new(0, variant).is_err() && VectorArena::new((1 << 16) + 1, variant).is_err());
    let mut arena = VectorArena::new(4, variant).unwrap();
    assert!(arena.set(0, &[1.0; 3]).unwrap_err().contains("4 numbers here, not 3"));
    assert!(arena.set(0, &[1.0, f32::NAN, 0.0, 0.0]).unwrap_err().contains("number 1"));
    assert!(arena.set(0, &[f32::INFINITY; 4]).is_err());
    assert!(arena.set(SLAB_ROWS as u32, &[1.0; 4]).unwrap_err().contains("too far"));
    assert_eq!(arena.bytes(), 0);
    arena.set(0, &[1.0; 4]).unwrap();
    assert!(arena.search(&[1.0; 5], &[0], 1, 0.0).is_err());
    assert!(arena.search(&[f32::NAN; 4], &[0], 1, 0.0).is_err());
    assert!(arena.search(&[1.0; 4], &[0], 1, f64::NAN).is_err());
    for row in [1, SLAB_ROWS as u32, u32::MAX] {
        assert!(arena.search(&[1.0; 4], &[0, row], 1, 0.0).unwrap_err().contains("holds no vector"));
    }
}
