//! The fused layer against its definition, and the promise: a row's bits depend on nothing but the row.

use std::sync::Arc;

use half::f16;
use polylora_kernels::adapted_linear::{AdaptedLinear, Adapters, Epilogue, Norm, Scratch, Weights};
use polylora_kernels::linear::{self, Linear};
use polylora_kernels::lora::{Pair, ResidentAdapter, RowAddress, row_bytes};
use polylora_kernels::parallel::{Parallel, Serial, Threads};
use polylora_kernels::pool::PagePool;
use polylora_kernels::quantized_linear::{self, PANEL, QuantizedLinear, panels};
use polylora_kernels::simd::Variant;
use polylora_kernels::step::{BLOCK_TOKENS, SequenceInput, Step};

const GROUP: usize = 32;
const LAYER: usize = 1;
const EPSILON: f32 = 1e-5;

fn number(i: usize) -> f32 {
    ((i.wrapping_mul(2_654_435_761) >> 7) % 2001) as f32 / 1000.0 - 1.0
}

fn numbers(count: usize, seed: usize) -> Vec<f32> {
    (0..count).map(|i| number(i + seed * 7919)).collect()
}

/// An adapter's matrices as plain numbers: A `[rank][k]`, B `[rank][width]`.
struct Plain {
    scale: f32,
    a: Vec<Vec<f32>>,
    b: Vec<Vec<f32>>,
}

/// Gives rank rows places in a pool, with gaps between them.
struct Pages {
    pool: PagePool,
    next: RowAddress,
}

impl Pages {
    fn new() -> Self {
        Self { pool: PagePool::new(4096, 2000).unwrap(), next: RowAddress { page: 0, offset: 64 } }
    }

    fn write(&mut self, plain: &Plain) -> Pair {
        let (inputs, outputs) = (plain.a[0].len(), plain.b[0].len());
        let bytes = row_bytes(inputs, outputs);
        let mut rows = Vec::new();
        for (a, b) in plain.a.iter().zip(&plain.b) {
            if self.next.offset as usize + bytes > self.pool.page_bytes() {
                self.next = RowAddress { page: self.next.page + 2, offset: 0 };
            }
            // SAFETY: within the page by the check above, and nothing refers to it yet.
            let row = unsafe {
                let start = self.pool.page(self.next.page).add(self.next.offset as usize).cast::<u16>();
                std::slice::from_raw_parts_mut(start, inputs + outputs)
            };
            for (target, value) in row.iter_mut().zip(a.iter().chain(b)) {
                *target = f16::from_f32(*value).to_bits();
            }
            rows.push(self.next);
            self.next.offset += (bytes as u32).next_multiple_of(64);
        }
        Pair { scale: plain.scale, inputs, outputs, rows }
    }
}

/// The modules that each projection is, in the layer under test.
fn modules(widths: &[usize]) -> Vec<usize> {
    (0..widths.len()).map(|i| 2 * i).collect()
}

/// Adapters of different ranks; the second has nothing for the last projection, where there are several.
struct AdapterSet {
    pages: Pages,
    plain: Vec<Vec<Option<Plain>>>,
    resident: Vec<Arc<ResidentAdapter>>,
}

impl AdapterSet {
    fn new(ranks: &[usize], k: usize, widths: &[usize]) -> Self {
        let mut set = Self { pages: Pages::new(), plain: Vec::new(), resident: Vec::new() };
        for (index, rank) in ranks.iter().enumerate() {
            let pairs = widths.iter().enumerate().map(|(projection, width)| {
                let matrix = |length: usize, seed: usize| -> Vec<Vec<f32>> {
                    let seed = seed + 11 * index + 101 * projection;
                    (0..*rank)
                        .map(|j| numbers(length, seed + 1009 * j).iter().map(|v| half(v * 0.2)).collect())
                        .collect()
                };
                let present = index != 1 || projection == 0;
                present.then(|| Plain {
                    scale: 1.5 / (*rank as f32).sqrt(),
                    a: matrix(k, 3),
                    b: matrix(*width, 5),
                })
            });
            set.add(pairs.collect());
        }
        set
    }

    fn add(&mut self, pairs: Vec<Option<Plain>>) {
        let mut resident = ResidentAdapter::new(LAYER + 1, 2 * pairs.len());
        for (projection, plain) in pairs.iter().enumerate() {
            if let Some(plain) = plain {
                resident.set(LAYER, 2 * projection, self.pages.write(plain));
            }
        }
        self.plain.push(pairs);
        self.resident.push(Arc::new(resident));
    }
}

fn half(value: f32) -> f32 {
    f16::from_f32(value).to_f32()
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Base {
    Int8,
    Float,
    None,
}

/// A layer with its numbers.
struct Case {
    k: usize,
    widths: Vec<usize>,
    base: Base,
    epilogue: Epilogue,
    norm: Option<Vec<f32>>,
    bias: Option<Vec<f32>>,
    /// `[channel][k]` for all projections.
    weights: Vec<f32>,
    codes: Vec<u8>,
    scales: Vec<f32>,
    floats: Vec<f32>,
    modules: Vec<usize>,
}

impl Case {
    fn new(k: usize, widths: &[usize], base: Base, epilogue: Epilogue, norm: bool, bias: bool) -> Self {
        let all: usize = widths.iter().sum();
        let weights: Vec<f32> = numbers(all * k, 17).iter().map(|w| w * 0.3).collect();
        let (mut codes, mut scales, mut floats) = (Vec::new(), Vec::new(), Vec::new());
        let mut rest = &weights[..];
        for width in widths {
            let (own, others) = rest.split_at(width * k);
            rest = others;
            if base == Base::Int8 {
                let packed = quantized_linear::pack(own, *width, k, GROUP);
                codes.extend(packed.codes);
                scales.extend(packed.scales);
            }
            floats.extend(linear::pack(own, *width, k));
        }
        Self {
            k,
            widths: widths.to_vec(),
            base,
            epilogue,
            norm: norm.then(|| numbers(k, 23).iter().map(|v| v + 1.5).collect()),
            bias: bias.then(|| numbers(all, 29)),
            weights,
            codes,
            scales,
            floats,
            modules: modules(widths),
        }
    }

    /// Runs it over the sequences' rows, each of so many rows with that adapter.
    fn run(
        &self,
        plan: &[(usize, Option<usize>)],
        adapters: Option<&AdapterSet>,
        x: &[f32],
        before: &[f32],
        variant: Variant,
        parallel: &dyn Parallel,
    ) -> Vec<f32> {
        let mut pages = 0..;
        let inputs = plan.iter().map(|(rows, which)| SequenceInput {
            rows: *rows,
            context: 0,
            blocks: pages.by_ref().take(rows.div_ceil(BLOCK_TOKENS)).collect(),
            adapter: adapters.and_then(|set| which.map(|i| (i as u32, set.resident[i].clone()))),
        });
        let step = Step::new(inputs.collect(), &[]).unwrap();
        let all = self.widths.iter().map(|width| panels(*width)).sum();
        let layer = AdaptedLinear {
            k: self.k,
            widths: &self.widths,
            weights: match self.base {
                Base::Int8 => Weights::Int8(QuantizedLinear {
                    codes: &self.codes,
                    scales: &self.scales,
                    panels: all,
                    k: self.k,
                    group: GROUP,
                }),
                Base::Float => Weights::Float(Linear { weights: &self.floats, panels: all, k: self.k }),
                Base::None => Weights::None,
            },
            bias: self.bias.as_deref(),
            norm: self.norm.as_deref().map(|weight| Norm { weight, epsilon: EPSILON }),
            adapters: adapters.map(|set| Adapters {
                layer: LAYER,
                modules: &self.modules,
                pool: &set.pages.pool,
            }),
            epilogue: self.epilogue,
        };
        let mut out = before.to_vec();
        layer.forward(x, step.order(), &mut out, &mut Scratch::default(), variant, parallel);
        out
    }

    fn out_width(&self) -> usize {
        if self.epilogue == Epilogue::SwiGlu { self.widths[0] } else { self.widths.iter().sum() }
    }

    /// One row in double precision.
    fn exact(&self, x: &[f32], before: &[f32], adapter: Option<&Vec<Option<Plain>>>) -> Vec<f64> {
        let mut x: Vec<f64> = x.iter().map(|v| f64::from(*v)).collect();
        if let Some(weight) = &self.norm {
            let mean = x.iter().map(|v| v * v).sum::<f64>() / x.len() as f64;
            let factor = 1.0 / (mean + f64::from(EPSILON)).sqrt();
            x.iter_mut().zip(weight).for_each(|(v, w)| *v *= factor * f64::from(*w));
        }
        let dot = |w: &[f32]| -> f64 { w.iter().zip(&x).map(|(w, x)| f64::from(*w) * x).sum() };
        let mut product = Vec::new();
        for (projection, width) in self.widths.iter().enumerate() {
            let plain = adapter.and_then(|pairs| pairs[projection].as_ref());
            let factors: Vec<f64> =
                plain.map_or_else(Vec::new, |p| p.a.iter().map(|a| dot(a) * f64::from(p.scale)).collect());
            for channel in 0..*width {
                let index = product.len();
                let base = match self.base {
                    Base::None => 0.0,
                    _ => dot(&self.weights[index * self.k..][..self.k]),
                };
                let bias = self.bias.as_ref().map_or(0.0, |bias| f64::from(bias[index]));
                let b = plain.iter().flat_map(|p| &p.b).map(|b| f64::from(b[channel]));
                let delta: f64 = factors.iter().zip(b).map(|(f, b)| f * b).sum();
                product.push(base + bias + delta);
            }
        }
        let before = before.iter().map(|v| f64::from(*v));
        match self.epilogue {
            Epilogue::Store => product,
            Epilogue::Add => product.iter().zip(before).map(|(p, b)| p + b).collect(),
            Epilogue::SwiGlu => {
                let (gate, up) = product.split_at(self.widths[0]);
                gate.iter().zip(up).map(|(g, u)| g / (1.0 + (-g).exp()) * u).collect()
            }
        }
    }

    /// Against the definition; every variant, split and neighbourhood against each other.
    fn check(&self, plan: &[(usize, Option<usize>)], adapters: Option<&AdapterSet>) {
        let rows: usize = plan.iter().map(|(rows, _)| rows).sum();
        let n = self.out_width();
        let (x, before) = (numbers(rows * self.k, 31), numbers(rows * n, 37));
        let expected = self.run(plan, adapters, &x, &before, Variant::Portable, &Serial);
        for variant in Variant::available() {
            let parallels: [&dyn Parallel; 3] = [&Serial, &Threads(1), &Threads(3)];
            for parallel in parallels {
                let out = self.run(plan, adapters, &x, &before, variant, parallel);
                assert_same_bits(&out, &expected);
            }
        }
        let tolerance = if self.base == Base::Int8 { 0.2 } else { 1e-3 };
        let which = plan.iter().flat_map(|(rows, which)| std::iter::repeat_n(which, *rows));
        for (row, which) in which.enumerate() {
            let (x, before) = (&x[row * self.k..][..self.k], &before[row * n..][..n]);
            let out = &expected[row * n..][..n];
            for variant in Variant::available() {
                assert_same_bits(&self.run(&[(1, *which)], adapters, x, before, variant, &Serial), out);
            }
            let plain = adapters.and_then(|set| which.map(|i| &set.plain[i]));
            for (value, exact) in out.iter().zip(self.exact(x, before, plain)) {
                let error = (f64::from(*value) - exact).abs();
                assert!(error < tolerance * (1.0 + exact.abs()), "{value} for {exact}");
            }
        }
    }
}

fn assert_same_bits(left: &[f32], right: &[f32]) {
    assert!(left.len() == right.len() && left.iter().zip(right).all(|(a, b)| a.to_bits() == b.to_bits()));
}

/// Sequences that share adapters, have none, and are long enough for several groups.
const PLAN: [(usize, Option<usize>); 7] =
    [(3, Some(0)), (1, None), (19, Some(2)), (1, Some(1)), (1, Some(2)), (2, Some(0)), (1, Some(3))];

#[test]
fn every_base_and_epilogue_with_and_without_norm_bias_and_adapters() {
    let k = 64;
    for (epilogue, widths) in
        [(Epilogue::Store, &[40, 9][..]), (Epilogue::Add, &[37]), (Epilogue::SwiGlu, &[23, 23])]
    {
        let adapters = AdapterSet::new(&[1, 7, 33, 256], k, widths);
        for base in [Base::Int8, Base::Float, Base::None] {
            if base == Base::None && epilogue != Epilogue::Add {
                continue;
            }
            for (norm, bias) in [(false, false), (true, false), (false, true), (true, true)] {
                let case = Case::new(k, widths, base, epilogue, norm, bias);
                case.check(&PLAN, None);
                case.check(&PLAN, Some(&adapters));
            }
        }
    }
}

#[test]
fn any_width_of_input_and_output() {
    for (k, widths) in [(1, vec![1]), (7, vec![3, 8]), (44, vec![37, 24]), (100, vec![300, 1, 16])] {
        let adapters = AdapterSet::new(&[1, 7, 33, 256], k, &widths);
        for base in [Base::Float, Base::None] {
            Case::new(k, &widths, base, Epilogue::Add, true, false).check(&PLAN, Some(&adapters));
        }
    }
}

#[test]
fn many_rows_and_columns_are_cut_into_blocks() {
    let (k, widths) = (32, [PANEL * 40 + 5, 70]);
    let adapters = AdapterSet::new(&[5, 2, 16], k, &widths);
    let plan = [(150, Some(0)), (1, Some(1)), (33, None), (90, Some(2)), (20, Some(0))];
    Case::new(k, &widths, Base::Int8, Epilogue::Store, true, false).check(&plan, Some(&adapters));
}

#[test]
fn an_adapter_of_nan_spoils_its_own_rows_only() {
    let (k, widths) = (64, [37]);
    let mut adapters = AdapterSet::new(&[4, 4, 4, 4], k, &widths);
    let clean = adapters.resident[2].clone();
    let poison = |length: usize| vec![vec![f32::NAN; length]; 4];
    adapters.add(vec![Some(Plain { scale: 1.0, a: poison(k), b: poison(widths[0]) })]);
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
