//! The fused layer against its definition, and the promise: a row's bits depend on nothing but the row.

mod adapters;
mod case;

use polylora_kernels::adapted_linear::Epilogue;
use polylora_kernels::lora::LoraDtype;
use polylora_kernels::parallel::Threads;
use polylora_kernels::quantized_linear::PANEL;
use polylora_kernels::simd::Variant;

use adapters::{AdapterSet, Plain};
use case::{Base, Case, assert_same_bits};

/// The layer under test.
const LAYER: usize = 1;
const FORMATS: [LoraDtype; 2] = [LoraDtype::F16, LoraDtype::Int8];

fn numbers(count: usize, seed: usize) -> Vec<f32> {
    let number = |i: usize| ((i.wrapping_mul(2_654_435_761) >> 7) % 2001) as f32 / 1000.0 - 1.0;
    (0..count).map(|i| number(i + seed * 7919)).collect()
}

/// Sequences that share adapters, have none, and are long enough for several groups.
const PLAN: [(usize, Option<usize>); 7] =
    [(3, Some(0)), (1, None), (19, Some(2)), (1, Some(1)), (1, Some(2)), (2, Some(0)), (1, Some(3))];

#[test]
fn every_base_and_epilogue_with_and_without_norm_bias_and_adapters() {
    let k = 64;
    for (epilogue, widths) in [
        (Epilogue::Store, &[40, 9][..]),
        (Epilogue::Add, &[37]),
        (Epilogue::SwiGlu, &[23, 23]),
        (Epilogue::Gelu, &[19, 40]),
    ] {
        for base in [Base::Int8, Base::Float] {
            for (norm, bias) in [(false, false), (true, false), (false, true), (true, true)] {
                let case = Case::new(k, widths, base, epilogue, norm, bias);
                case.check(&PLAN, None);
                for format in FORMATS {
                    case.check(&PLAN, Some(&AdapterSet::new(format, &[1, 7, 33, 256], k, widths)));
                }
            }
        }
    }
}

#[test]
fn any_width_of_input_and_output() {
    for (k, widths) in [(1, vec![1]), (7, vec![3, 8]), (44, vec![37, 24]), (100, vec![300, 1, 16])] {
        for format in FORMATS {
            let adapters = AdapterSet::new(format, &[1, 7, 33, 256], k, &widths);
            for base in [Base::Float, Base::Int8] {
                Case::new(k, &widths, base, Epilogue::Add, true, false).check(&PLAN, Some(&adapters));
            }
        }
    }
}

#[test]
fn factors_and_rotations_of_any_projection() {
    let k = 72;
    for (epilogue, widths, group) in [
        (Epilogue::Store, &[48, 24, 24][..], 24),
        (Epilogue::Store, &[40, 8], 2),
        (Epilogue::Add, &[64], 64),
        (Epilogue::SwiGlu, &[96, 96], 12),
    ] {
        for base in [Base::Int8, Base::Float] {
            for (norm, bias) in [(false, false), (true, true)] {
                let case = Case::new(k, widths, base, epilogue, norm, bias);
                for format in FORMATS {
                    case.check(&PLAN, Some(&AdapterSet::element_wise(format, k, widths, group)));
                }
            }
        }
    }
}

#[test]
fn rotations_across_many_blocks() {
    let (k, widths) = (32, [PANEL * 40, 96]);
    let plan = [(150, Some(2)), (1, Some(1)), (33, None), (90, Some(3)), (20, Some(0))];
    let adapters = AdapterSet::element_wise(LoraDtype::F16, k, &widths, 32);
    Case::new(k, &widths, Base::Int8, Epilogue::Store, true, true).check(&plan, Some(&adapters));
}

#[test]
fn many_rows_and_columns_are_cut_into_blocks() {
    let (k, widths) = (32, [PANEL * 40 + 5, 70]);
    let plan = [(150, Some(0)), (1, Some(1)), (33, None), (90, Some(2)), (20, Some(0))];
    for format in FORMATS {
        let adapters = AdapterSet::new(format, &[5, 2, 16], k, &widths);
        Case::new(k, &widths, Base::Int8, Epilogue::Store, true, false).check(&plan, Some(&adapters));
    }
}

#[test]
fn an_adapter_of_nan_spoils_its_own_rows_only() {
    let (k, widths) = (64, [37]);
    let mut adapters = AdapterSet::new(LoraDtype::F16, &[4, 4, 4, 4], k, &widths);
    let clean = adapters.resident[2].clone();
    let poison = |length: usize| vec![vec![f32::NAN; length]; 4];
    adapters.add(vec![Some(Plain { scale: 1.0, a: poison(k), b: poison(widths[0]), ..Plain::default() })]);
    let poisoned = adapters.resident[4].clone();
    let case = Case::new(k, &widths, Base::Int8, Epilogue::Add, true, true);
    let (rows, n) = (28, widths[0]);
    let (x, before) = (numbers(rows * k, 31), numbers(rows * n, 37));
    for variant in Variant::available() {
        adapters.resident[2] = clean.clone();
        let healthy = case.run(&PLAN, Some(&adapters), &x, &before, variant, &Threads(3));
        adapters.resident[2] = poisoned.clone();
        let out = case.run(&PLAN, Some(&adapters), &x, &before, variant, &Threads(3));
        let mut row = 0;
        for (count, which) in PLAN {
            let values = row * n..(row + count) * n;
            row += count;
            match which {
                Some(2) => assert!(out[values].iter().all(|value| value.is_nan())),
                _ => assert_same_bits(&out[values.clone()], &healthy[values]),
            }
        }
    }
}
