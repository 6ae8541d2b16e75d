//! Masks computed beside the steps, in a thread of their own.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Sender, channel};
use std::sync::{Arc, Mutex, Weak};
use std::thread;
use std::time::{Duration, Instant};

use napi_derive::napi;
use polylora_grammar::{Cursor, Refused};

/// Upper ends of the buckets in which masks are counted by the time they took, in microseconds.
const BUCKETS: [u64; 10] = [25, 50, 100, 250, 500, 1_000, 2_500, 5_000, 10_000, 50_000];

/// What masks took since the start. Counters only grow.
#[napi(object)]
pub struct MaskStats {
    pub count: f64,
    pub seconds: f64,
    /// How long samplers waited for them.
    pub waited_seconds: f64,
    /// How many took no longer than so many seconds.
    pub buckets: Vec<MaskBucket>,
}

#[napi(object)]
pub struct MaskBucket {
    pub seconds: f64,
    pub count: f64,
}

#[derive(Default)]
struct Times {
    count: AtomicU64,
    nanoseconds: AtomicU64,
    waited: AtomicU64,
    buckets: [AtomicU64; BUCKETS.len()],
}

/// Computes masks. A sampler that comes before its mask is done waits for it, or computes it itself.
pub struct Masks {
    times: Arc<Times>,
    queue: Mutex<Sender<Weak<Mutex<Cursor>>>>,
}

impl Masks {
    pub fn new() -> Self {
        let times = Arc::new(Times::default());
        let (queue, jobs) = channel::<Weak<Mutex<Cursor>>>();
        let counted = times.clone();
        let work = move || {
            // Ends with the queue's sender.
            for job in jobs {
                let Some(cursor) = job.upgrade() else { continue };
                let mut cursor = cursor.lock().expect("no mask panicked before");
                // A failure is met again by the sampler.
                let _ = counted.compute(&mut cursor);
            }
        };
        thread::Builder::new().name("masks".to_owned()).spawn(work).expect("a thread can be made");
        Self { times, queue: Mutex::new(queue) }
    }

    /// Has the mask of an answer's next token computed beside whatever else is done.
    pub fn begin(&self, cursor: &Arc<Mutex<Cursor>>) {
        let queue = self.queue.lock().expect("sending does not panic");
        queue.send(Arc::downgrade(cursor)).expect("the thread lives as long as the queue");
    }

    /// Computes it here and now, unless it is done.
    pub fn compute(&self, cursor: &mut Cursor) -> Result<(), Refused> {
        self.times.compute(cursor)
    }

    /// Counts the time that a sampler waited.
    pub fn waited(&self, time: Duration) {
        self.times.waited.fetch_add(time.as_nanos() as u64, Ordering::Relaxed);
    }

    pub fn stats(&self) -> MaskStats {
        let load = |counter: &AtomicU64| counter.load(Ordering::Relaxed) as f64;
        let bucket = |(ceiling, counter): (&u64, &AtomicU64)| MaskBucket {
            seconds: *ceiling as f64 / 1e6,
            count: load(counter),
        };
        MaskStats {
            count: load(&self.times.count),
            seconds: load(&self.times.nanoseconds) / 1e9,
            waited_seconds: load(&self.times.waited) / 1e9,
            buckets: BUCKETS.iter().zip(&self.times.buckets).map(bucket).collect(),
        }
    }
}

impl Times {
    fn compute(&self, cursor: &mut Cursor) -> Result<(), Refused> {
        if cursor.is_ready() {
            return Ok(());
        }
        let started = Instant::now();
        let outcome = cursor.mask().map(|_| ());
        let took = started.elapsed();
        self.count.fetch_add(1, Ordering::Relaxed);
        self.nanoseconds.fetch_add(took.as_nanos() as u64, Ordering::Relaxed);
        for (ceiling, counter) in BUCKETS.iter().zip(&self.buckets) {
            if took.as_micros() as u64 <= *ceiling {
                counter.fetch_add(1, Ordering::Relaxed);
            }
        }
        outcome
    }
}
