//! `Sample`: turns rows of logits into tokens, or scores given ones, on ONNX Runtime's threads.

use std::cell::RefCell;
use std::sync::Arc;

use ort::operator::{BoxedKernel, ComputeContext, KernelContext};
use polylora_kernels::parallel::{Parallel, Shared};
use polylora_kernels::sampling::{Sampled, Scratch, score};

use super::{ExecutorState, OrtThreads, required};
use crate::grammar::{Chooser, Unchosen};

/// What to do with one row of logits.
pub enum SampleJob {
    /// Choose the request's next token.
    Next(Arc<Chooser>),
    /// Report how probable a given token is, and the `top` most probable ones.
    Score { target: u32, top: u32 },
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
        if jobs.len() != rows {
            return Err(ort::Error::new(format!("{rows} rows of logits for {} jobs", jobs.len())));
        }
        outcomes.clear();
        outcomes.resize(rows, Err(Unchosen::NotFinite));
        let results = Shared::new(outcomes);
        let threads = OrtThreads { context, threads: state.threads };
        threads.for_each(rows, &|row| {
            let logits = &logits[row * vocab..][..vocab];
            let outcome = SCRATCH.with_borrow_mut(|scratch| run(&jobs[row], logits, scratch));
            // SAFETY: each row is one work item.
            let slot = unsafe { results.range(row, 1) };
            slot[0] = outcome;
        });
        for (token, outcome) in tokens.iter_mut().zip(&*outcomes) {
            *token = outcome.as_ref().map_or(-1, |sampled| i64::from(sampled.token));
        }
        Ok(())
    }))
}

fn run(job: &SampleJob, logits: &[f32], scratch: &mut Scratch) -> SampleOutcome {
    match job {
        SampleJob::Next(chooser) => chooser.choose(logits, scratch),
        SampleJob::Score { target, top } => Ok(score(logits, *target, *top, scratch)?),
    }
}
