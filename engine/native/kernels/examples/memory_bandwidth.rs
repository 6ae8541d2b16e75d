//! `memory_bandwidth <threads>`: prints how many bytes per second that many threads read from memory together,
//! the limit of every kernel that reads its weights once. Each thread sums a buffer of its own that no cache holds;
//! the best of some passes counts, as other programs only make a pass slower.

use std::hint::black_box;
use std::sync::Barrier;
use std::time::Instant;

const BYTES_PER_THREAD: usize = 256 << 20;
const PASSES: usize = 12;

fn main() {
    let argument = std::env::args().nth(1).and_then(|text| text.parse().ok());
    let Some(threads @ 1..) = argument else {
        eprintln!("usage: memory_bandwidth <threads>");
        std::process::exit(1);
    };
    let fastest = best_pass_seconds(threads);
    println!("{:.0}", (threads * BYTES_PER_THREAD) as f64 / fastest);
}

/// Seconds of the fastest pass, from when all threads began until the last was done.
fn best_pass_seconds(threads: usize) -> f64 {
    let barrier = Barrier::new(threads);
    std::thread::scope(|scope| {
        let handles: Vec<_> = (0..threads).map(|_| scope.spawn(|| thread_passes(&barrier))).collect();
        let passes: Vec<_> =
            handles.into_iter().map(|handle| handle.join().expect("a reader panicked")).collect();
        (0..PASSES)
            .map(|pass| passes.iter().map(|seconds| seconds[pass]).fold(0.0, f64::max))
            .fold(f64::INFINITY, f64::min)
    })
}

fn thread_passes(barrier: &Barrier) -> [f64; PASSES] {
    let words = vec![1u64; BYTES_PER_THREAD / size_of::<u64>()];
    std::array::from_fn(|_| {
        barrier.wait();
        let started = Instant::now();
        black_box(sum(&words));
        started.elapsed().as_secs_f64()
    })
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
