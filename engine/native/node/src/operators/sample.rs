//! `Sample`: turns rows of logits into tokens, or scores given ones, on ONNX Runtime's threads.

use std::cell::RefCell;
use std::sync::Arc;

use ort::operator::{BoxedKernel, ComputeContext, KernelContext};
use polylora_kernels::parallel::{Parallel, Shared};
use polylora_kernels::sampling::{Sampled, Scratch, score};

use super::{ExecutorState, OperatorThreads, required};
use crate::grammar::{Chooser, Unchosen};

/// What to do with a row of logits, or with some that follow each other.
pub enum SampleJob {
    /// Choose the request's next token and, as long as it is the one that was drafted, the token after it from the next
    /// row: a row for each draft and one more.
    Next { chooser: Arc<Chooser>, drafts: Vec<u32> },
    /// Report how probable a given token is, and the `top` most probable ones.
    Score { target: u32, top: u32 },
}

impl SampleJob {
    /// Tokens drafted for it.
    pub fn drafted(&self) -> i32 {
        self.rows() as i32 - 1
    }

    fn rows(&self) -> usize {
        match self {
            SampleJob::Next { drafts, .. } => drafts.len() + 1,
            SampleJob::Score { .. } => 1,
        }
    }
}

pub type SampleOutcome = Result<Sampled, Unchosen>;

thread_local! {
    static SCRATCH: RefCell<Scratch> = RefCell::default();
}

pub fn sample<'a>(_: &KernelContext<'a>, state: &Arc<ExecutorState>) -> ort::Result<BoxedKernel<'a>> {
    let state = state.clone();
    Ok(Box::new(move |context: &ComputeContext| {
        let logits = required(context, 0)?;
        let (shape, logits) = logits.try_extract_tensor::<f32>()?;
        let (rows, vocab) = (shape[0] as usize, shape[1] as usize);
        let mut tokens = context.output(0, [rows])?.ok_or_else(|| ort::Error::new("no output"))?;
        let (_, tokens) = tokens.try_extract_tensor_mut::<i64>()?;
        let mut sampling = state.sampling.lock().expect("no operator panicked before");
        let (jobs, outcomes) = &mut *sampling;
        let ends: Vec<usize> = jobs
            .iter()
            .scan(0, |end, job| {
                *end += job.rows();
                Some(*end)
            })
            .collect();
        if ends.last().copied().unwrap_or(0) != rows {
            return Err(ort::Error::new(format!("{rows} rows of logits for {} jobs", jobs.len())));
        }
        outcomes.clear();
        outcomes.resize(jobs.len(), Vec::new());
        let results = Shared::new(outcomes);
        let threads = OperatorThreads { context, compute: &state.compute };
        threads.for_each(jobs.len(), &|index| {
            let job = &jobs[index];
            let logits = &logits[(ends[index] - job.rows()) * vocab..ends[index] * vocab];
            let outcomes = SCRATCH.with_borrow_mut(|scratch| run(job, logits, vocab, scratch));
            // SAFETY: each job is one work item.
            let slot = unsafe { results.range(index, 1) };
            slot[0] = outcomes;
        });
        // What the graph gives is for who reads it: rows that were not sampled have -1.
        tokens.fill(-1);
        for ((job, end), outcomes) in jobs.iter().zip(&ends).zip(&*outcomes) {
            let rows = &mut tokens[end - job.rows()..*end];
            for (token, outcome) in rows.iter_mut().zip(outcomes) {
                *token = outcome.as_ref().map_or(-1, |sampled| i64::from(sampled.token));
            }
        }
        Ok(())
    }))
}

/// One outcome at least; each but the last is a draft that was right.
fn run(job: &SampleJob, logits: &[f32], vocab: usize, scratch: &mut Scratch) -> Vec<SampleOutcome> {
    match job {
        SampleJob::Next { chooser, drafts } => {
            let mut outcomes = Vec::with_capacity(drafts.len() + 1);
            for (index, logits) in logits.chunks_exact(vocab).enumerate() {
                let outcome = chooser.choose(logits, scratch);
                let right = outcome.as_ref().is_ok_and(|sampled| drafts.get(index) == Some(&sampled.token));
                outcomes.push(outcome);
                if !right {
                    break;
                }
            }
            outcomes
        }
        SampleJob::Score { target, top } => {
            vec![score(logits, *target, *top, scratch).map_err(Unchosen::from)]
        }
    }
}
