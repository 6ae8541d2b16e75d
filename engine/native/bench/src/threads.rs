//! Threads that stay and spin between calls, as ONNX Runtime's do while a model runs: a kernel is measured as it
//! runs in the product, where starting a parallel loop takes a microsecond and no system call.

use std::cell::UnsafeCell;
use std::hint::spin_loop;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use polylora_kernels::parallel::Parallel;

/// A parallel loop that is running.
#[derive(Clone, Copy)]
struct Job {
    items: usize,
    /// Lives as long as the loop.
    work: &'static (dyn Fn(usize) + Sync),
}

/// The calling thread and `threads - 1` workers. A worker that comes too late, as another program has its processor,
/// is not waited for.
pub struct SpinningThreads {
    threads: usize,
    /// Written by the caller while no worker is in a loop, read by those that enter one.
    job: UnsafeCell<Option<Job>>,
    /// How many workers are in the loop, [`OPEN`] while more may enter, and above that how many loops were started.
    state: AtomicUsize,
    next: AtomicUsize,
    /// Workers that have begun.
    ready: AtomicUsize,
    stop: AtomicBool,
}

const OPEN: usize = 1 << 16;
const WORKERS: usize = OPEN - 1;
const GENERATION: usize = OPEN << 1;

// SAFETY: `job` is written only while the loop is closed and no worker is in it (`for_each` is called by one thread at
// a time), and read only by workers that entered, which `for_each` waits for.
unsafe impl Sync for SpinningThreads {}

/// Starts the workers, waits until they run, lets `body` use them, and ends them: beyond it, they take no time from others.
pub fn with_spinning_threads<R>(threads: usize, body: impl FnOnce(&SpinningThreads) -> R) -> R {
    let pool = SpinningThreads {
        threads,
        job: UnsafeCell::new(None),
        state: AtomicUsize::new(0),
        next: AtomicUsize::new(0),
        ready: AtomicUsize::new(0),
        stop: AtomicBool::new(false),
    };
    std::thread::scope(|scope| {
        for _ in 1..threads {
            scope.spawn(|| pool.serve());
        }
        let _stop = Finally(|| pool.stop.store(true, Ordering::Release));
        while pool.ready.load(Ordering::Acquire) < threads - 1 {
            spin_loop();
        }
        body(&pool)
    })
}

/// Calls a function when it is dropped, also by a panic.
struct Finally<F: Fn()>(F);

impl<F: Fn()> Drop for Finally<F> {
    fn drop(&mut self) {
        (self.0)();
    }
}

impl SpinningThreads {
    /// A worker: enters each loop once, if it is there in time.
    fn serve(&self) {
        let mut seen = 0;
        self.ready.fetch_add(1, Ordering::Release);
        while !self.stop.load(Ordering::Acquire) {
            let state = self.state.load(Ordering::Relaxed);
            let generation = state / GENERATION;
            let enter = generation != seen
                && state & OPEN != 0
                && self
                    .state
                    .compare_exchange(state, state + 1, Ordering::Acquire, Ordering::Relaxed)
                    .is_ok();
            if !enter {
                spin_loop();
                continue;
            }
            seen = generation;
            let _leave = Finally(|| _ = self.state.fetch_sub(1, Ordering::Release));
            // SAFETY: the caller wrote the job before it opened the loop, and waits for this worker.
            let job = unsafe { *self.job.get() }.expect("an open loop has a job");
            self.take_items(job);
        }
    }

    fn take_items(&self, job: Job) {
        loop {
            let item = self.next.fetch_add(1, Ordering::Relaxed);
            if item >= job.items {
                return;
            }
            (job.work)(item);
        }
    }
}

// SAFETY: the counter gives each item out once, and `for_each` waits for all that entered, also when an item panics.
unsafe impl Parallel for SpinningThreads {
    fn for_each(&self, items: usize, work: &(dyn Fn(usize) + Sync)) {
        if items <= 1 || self.threads <= 1 {
            return (0..items).for_each(work);
        }
        // SAFETY: only the lifetime changes; nobody uses the function after the loop, which is waited for below.
        let work =
            unsafe { std::mem::transmute::<&(dyn Fn(usize) + Sync), &'static (dyn Fn(usize) + Sync)>(work) };
        let job = Job { items, work };
        // SAFETY: the loop is closed and nobody is in it.
        unsafe { *self.job.get() = Some(job) };
        self.next.store(0, Ordering::Relaxed);
        let generation = self.state.load(Ordering::Relaxed) / GENERATION + 1;
        self.state.store(generation * GENERATION + OPEN, Ordering::Release);
        let _wait = Finally(|| {
            self.state.fetch_and(!OPEN, Ordering::Relaxed);
            while self.state.load(Ordering::Acquire) & WORKERS > 0 {
                spin_loop();
            }
        });
        self.take_items(job);
    }

    fn threads(&self) -> usize {
        self.threads
    }
}
