//! Sampling from rows of logits, from so many of them that no cache holds them.

use std::cell::RefCell;
use std::sync::Mutex;

use polylora_kernels::parallel::Parallel;
use polylora_kernels::sampling::{Sampler, SamplerParams, Scratch};

use crate::limits::Work;
use crate::model::{VOCABULARY, numbers};
use crate::side::{Case, Part, Side, time};
use crate::threads::with_spinning_threads;

const ROWS: usize = 16;
/// Batches that are sampled from in one measurement, after another one that does not count.
const BATCHES: usize = 16;

thread_local! {
    static SCRATCH: RefCell<Scratch> = RefCell::default();
}

pub fn cases() -> Vec<Case> {
    let greedy = SamplerParams { temperature: 0.0, ..SamplerParams::default() };
    let all = SamplerParams::default();
    let truncated = SamplerParams { temperature: 0.8, top_k: 50, top_p: 0.9, ..SamplerParams::default() };
    [("argmax", greedy), ("temperature 1", all), ("top-k 50, top-p 0.9", truncated)]
        .into_iter()
        .map(|(name, params)| Case {
            kernel: "Sample",
            name: format!("{ROWS} rows of {VOCABULARY}, {name}"),
            sides: vec![Box::new(Sampling {
                logits: numbers((1 + BATCHES) * ROWS * VOCABULARY).into_iter().map(|x| x * 10.0).collect(),
                samplers: (0..ROWS)
                    .map(|_| Mutex::new(Sampler::new(params.clone(), &[], VOCABULARY)))
                    .collect(),
            })],
        })
        .collect()
}

struct Sampling {
    logits: Vec<f32>,
    samplers: Vec<Mutex<Sampler>>,
}

impl Side for Sampling {
    fn name(&self) -> String {
        "f32".into()
    }

    fn measure(&mut self, threads: usize) -> Vec<Part> {
        let Self { logits, samplers } = self;
        let sample = |batch: &[f32], threads: &dyn Parallel| {
            threads.for_each(ROWS, &|row| {
                let mut sampler = samplers[row].lock().expect("no sampler panics");
                let logits = &batch[row * VOCABULARY..][..VOCABULARY];
                SCRATCH
                    .with_borrow_mut(|scratch| sampler.sample(logits, scratch))
                    .expect("the logits are finite");
            });
        };
        let (first, others) = logits.split_at(ROWS * VOCABULARY);
        let seconds = with_spinning_threads(threads, |threads| {
            sample(first, threads);
            time(|| others.chunks_exact(ROWS * VOCABULARY).for_each(|batch| sample(batch, threads)))
        });
        let work = Work { bytes: size_of_val(first), ..Work::default() };
        vec![Part::new("all", seconds / BATCHES as f64, work)]
    }
}
