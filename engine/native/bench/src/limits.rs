//! What this machine can do at most: bytes from memory, 8-bit products, float products. No kernel is faster than
//! the work it must do divided by these.

use std::hint::black_box;
use std::sync::Barrier;
use std::time::Instant;

use polylora_kernels::pool::PagePool;

use crate::peak::{self, Peak};

/// Of each thread; no cache holds it.
const BUFFER_BYTES: usize = 128 << 20;
const BUFFER_WORDS: usize = BUFFER_BYTES / size_of::<u64>();
/// The fastest of some passes counts: other programs only make one slower.
const PASSES: usize = 3;

/// Per second, all threads together.
pub struct Limits {
    pub bytes: f64,
    /// Multiply-accumulates of the best 8-bit dot-product instruction; none known on other processors.
    pub int8: Option<f64>,
    /// Single-precision multiplications, each followed by an addition (never fused, as in the kernels).
    pub float: Option<f64>,
}

/// What an item of work needs at least.
#[derive(Clone, Copy, Default)]
pub struct Work {
    /// Read from memory, and written.
    pub bytes: usize,
    /// 8-bit multiply-accumulates.
    pub int8: usize,
    /// Single-precision multiplications with an addition each.
    pub float: usize,
}

/// Measures the limits again and again; a thread's share of the reading stays its own.
pub struct LimitProbe {
    /// A page for each thread: of the memory that KV blocks and adapters lie in.
    pool: PagePool,
}

impl LimitProbe {
    pub fn new(threads: usize) -> Self {
        let pool = PagePool::new(BUFFER_BYTES, threads).expect("the buffers can be allocated");
        for thread in 0..threads {
            // SAFETY: a page's bytes, aligned; nobody else uses the pool yet.
            let words = unsafe {
                std::slice::from_raw_parts_mut(pool.page(thread as u32).cast::<u64>(), BUFFER_WORDS)
            };
            // Memory that was never written is one page of zeros.
            words.fill(1);
        }
        Self { pool }
    }

    /// A thread's buffer.
    fn buffer(&self, thread: usize) -> &[u64] {
        // SAFETY: a page's bytes, aligned and written by `new`; from then on they are only read.
        unsafe { std::slice::from_raw_parts(self.pool.page(thread as u32).cast::<u64>(), BUFFER_WORDS) }
    }

    /// The limits now; whatever caches held is gone afterwards.
    pub fn measure(&self) -> Limits {
        let threads = self.pool.pages();
        let rate = |peak: Peak| {
            let seconds = self.fastest(|_| (peak.run)());
            (threads * peak.operations) as f64 / seconds
        };
        Limits {
            int8: peak::int8().map(rate),
            float: peak::float().map(rate),
            bytes: (threads * BUFFER_BYTES) as f64 / self.fastest(|words| _ = black_box(sum(words))),
        }
    }

    /// Seconds of the fastest pass: from when all threads began until the last was done.
    fn fastest(&self, work: impl Fn(&[u64]) + Sync) -> f64 {
        let barrier = Barrier::new(self.pool.pages());
        let passes_of = &|words: &[u64]| -> [f64; PASSES] {
            std::array::from_fn(|_| {
                barrier.wait();
                let started = Instant::now();
                work(words);
                started.elapsed().as_secs_f64()
            })
        };
        std::thread::scope(|scope| {
            let threads: Vec<_> = (0..self.pool.pages())
                .map(|thread| scope.spawn(move || passes_of(self.buffer(thread))))
                .collect();
            let seconds: Vec<_> =
                threads.into_iter().map(|thread| thread.join().expect("no probe panics")).collect();
            (0..PASSES)
                .map(|pass| seconds.iter().map(|of_thread| of_thread[pass]).fold(0.0, f64::max))
                .fold(f64::INFINITY, f64::min)
        })
    }
}

/// Independent sums, so that the additions never wait for one another.
fn sum(words: &[u64]) -> u64 {
    let mut sums = [0u64; 16];
    for chunk in words.chunks_exact(sums.len()) {
        for (sum, word) in sums.iter_mut().zip(chunk) {
            *sum = sum.wrapping_add(*word);
        }
    }
    sums.iter().fold(0, |total, sum| total.wrapping_add(*sum))
}
