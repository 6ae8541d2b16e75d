//! How a kernel spreads its work: the caller brings the threads (ONNX Runtime's own pool, or a [team](crate::team)), so that nothing is
//! oversubscribed.

/// Runs independent work items on some threads.
///
/// # Safety
/// Kernels write shared memory on the strength of [`Parallel::for_each`]: it must call `work(i)` exactly once for
/// every `i` in `0..items`, with no other `i`, and not return or unwind while a call is still running.
pub unsafe trait Parallel: Sync {
    /// Calls `work(i)` once for every `i` in `0..items`, in any order, and returns when all are done.
    fn for_each(&self, items: usize, work: &(dyn Fn(usize) + Sync));

    /// How many threads take part, at least 1. Only a hint for how finely to cut.
    fn threads(&self) -> usize;
}

/// Everything on the calling thread.
pub struct Serial;

// SAFETY: a loop over the items, on this thread.
unsafe impl Parallel for Serial {
    fn for_each(&self, items: usize, work: &(dyn Fn(usize) + Sync)) {
        for item in 0..items {
            work(item);
        }
    }

    fn threads(&self) -> usize {
        1
    }
}

/// Scoped operating-system threads, for tests and for work outside a model step.
pub struct Threads(pub usize);

// SAFETY: the counter gives each item out once, and the scope waits for all threads.
unsafe impl Parallel for Threads {
    fn for_each(&self, items: usize, work: &(dyn Fn(usize) + Sync)) {
        let next = std::sync::atomic::AtomicUsize::new(0);
        std::thread::scope(|scope| {
            for _ in 0..self.0.clamp(1, items.max(1)) {
                scope.spawn(|| {
                    loop {
                        let item = next.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
                        if item >= items {
                            break;
                        }
                        work(item);
                    }
                });
            }
        });
    }

    fn threads(&self) -> usize {
        self.0
    }
}

/// A mutable slice that several work items write to, each in a place of its own.
pub struct Shared<T> {
    data: *mut T,
    len: usize,
}

// SAFETY: access goes through the unsafe `range`, whose caller promises that ranges in use never overlap.
unsafe impl<T: Send> Sync for Shared<T> {}
// SAFETY: as above; the pointer itself has no thread affinity.
unsafe impl<T: Send> Send for Shared<T> {}

impl<T> Shared<T> {
    pub fn new(slice: &mut [T]) -> Self {
        Self { data: slice.as_mut_ptr(), len: slice.len() }
    }

    /// The elements `start..start + len`.
    ///
    /// # Safety
    /// No other live reference may overlap that range, and the slice given to [`Shared::new`] must outlive it.
    #[allow(clippy::mut_from_ref)]
    #[inline(always)]
    pub unsafe fn range(&self, start: usize, len: usize) -> &mut [T] {
        assert!(start <= self.len && len <= self.len - start);
        // SAFETY: in bounds by the assertion; unaliased by the caller's promise.
        unsafe { std::slice::from_raw_parts_mut(self.data.add(start), len) }
    }
}
