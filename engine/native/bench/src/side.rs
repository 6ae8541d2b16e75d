//! What is measured: sides of a comparison, each of one or more parts.

use std::time::Instant;

use crate::limits::Work;

/// One thing that is measured, beside others that do the same.
pub trait Side {
    fn name(&self) -> String;

    /// Runs once on so many threads.
    fn measure(&mut self, threads: usize) -> Vec<Part>;
}

/// What a part of a side took, and what it had to do.
pub struct Part {
    pub name: String,
    pub seconds: f64,
    pub work: Work,
}

impl Part {
    pub fn new(name: impl Into<String>, seconds: f64, work: Work) -> Self {
        Self { name: name.into(), seconds, work }
    }
}

/// Sides that are measured in turn.
pub struct Case {
    pub kernel: &'static str,
    pub name: String,
    pub sides: Vec<Box<dyn Side>>,
}

/// Seconds that `work` takes.
pub fn time(work: impl FnOnce()) -> f64 {
    let started = Instant::now();
    work();
    started.elapsed().as_secs_f64()
}
