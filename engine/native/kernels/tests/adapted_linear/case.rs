//! A layer with its numbers, and what it should give.

use polylora_kernels::adapted_linear::{AdaptedLinear, Adapters, Epilogue, Norm, Scratch, Weights};
use polylora_kernels::linear::{self, Linear};
use polylora_kernels::parallel::{Parallel, Serial, Threads};
use polylora_kernels::quantized_linear::{self, QuantizedLinear, panels};
use polylora_kernels::simd::Variant;
use polylora_kernels::step::{BLOCK_TOKENS, SequenceInput, Step};

use super::adapters::{AdapterSet, Plain, PlainOutput, modules};
use super::{LAYER, numbers};

/// Inputs in an int8 group.
const GROUP: usize = 32;
const EPSILON: f32 = 1e-5;

#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Base {
    Int8,
    Float,
}

/// A layer with its numbers.
pub struct Case {
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
    pub fn new(k: usize, widths: &[usize], base: Base, epilogue: Epilogue, norm: bool, bias: bool) -> Self {
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
    pub fn run(
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
                    k: self.k.next_multiple_of(GROUP),
                    group: GROUP,
                }),
                Base::Float => Weights::Float(Linear { weights: &self.floats, panels: all, k: self.k }),
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
        let mut product = Vec::new();
        for (projection, width) in self.widths.iter().enumerate() {
            let plain = adapter.and_then(|changes| changes[projection].as_ref());
            let mut x = x.clone();
            if let Some(factors) = plain.and_then(|plain| plain.input.as_ref()) {
                x.iter_mut().zip(factors).for_each(|(x, factor)| *x *= f64::from(*factor));
            }
            let dot = |w: &[f32]| -> f64 { w.iter().zip(&x).map(|(w, x)| f64::from(*w) * x).sum() };
            let factors: Vec<f64> =
                plain.map_or_else(Vec::new, |p| p.a.iter().map(|a| dot(a) * f64::from(p.scale)).collect());
            let first = product.len();
            for channel in 0..*width {
                let index = first + channel;
                let base = dot(&self.weights[index * self.k..][..self.k]);
                let bias = self.bias.as_ref().map_or(0.0, |bias| f64::from(bias[index]));
                let b = plain.iter().flat_map(|p| &p.b).map(|b| f64::from(b[channel]));
                let delta: f64 = factors.iter().zip(b).map(|(f, b)| f * b).sum();
                product.push(base + bias + delta);
            }
            if let Some(output) = plain.and_then(|plain| plain.output.as_ref()) {
                self.change_outputs(output, first, &mut product[first..]);
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
            Epilogue::Gelu => product.into_iter().map(gelu).collect(),
        }
    }

    fn change_outputs(&self, output: &PlainOutput, first: usize, values: &mut [f64]) {
        let bias = |i: usize| match &self.bias {
            Some(bias) if output.is_before_bias => f64::from(bias[first + i]),
            _ => 0.0,
        };
        let before: Vec<f64> = values.iter().enumerate().map(|(i, value)| value - bias(i)).collect();
        for (i, value) in values.iter_mut().enumerate() {
            *value = f64::from(output.factors[i]) * before[i] + bias(i);
            if let Some((multiples, group)) = &output.partners {
                let (half, within) = (group / 2, i % group);
                let partner = if within < half { i + half } else { i - half };
                *value += f64::from(multiples[i]) * before[partner];
            }
        }
    }

    /// Against the definition; every variant, split and neighbourhood against each other.
    pub fn check(&self, plan: &[(usize, Option<usize>)], adapters: Option<&AdapterSet>) {
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

pub fn assert_same_bits(left: &[f32], right: &[f32]) {
    assert!(left.len() == right.len() && left.iter().zip(right).all(|(a, b)| a.to_bits() == b.to_bits()));
}

/// x·Φ(x), by the Taylor series of Φ.
fn gelu(x: f64) -> f64 {
    if x.abs() > 8.0 {
        return x.max(0.0);
    }
    let (mut term, mut sum) = (x, x);
    for k in 1..200 {
        term *= x * x / f64::from(2 * k + 1);
        sum += term;
    }
    x * (0.5 + sum * (-x * x / 2.0).exp() / (2.0 * std::f64::consts::PI).sqrt())
}
