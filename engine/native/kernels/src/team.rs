//! Threads that wait for the next job without sleeping, as long as somebody says that more will come.
//!
//! A small model's pass is a hundred loops of some tens of microseconds each: to wake a thread, or to go through a general pool's
//! queues, would take as long as the loop.

use std::any::Any;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::atomic::Ordering::{AcqRel, Acquire, Relaxed, Release, SeqCst};
use std::sync::atomic::{AtomicBool, AtomicPtr, AtomicU64, AtomicUsize};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

use crate::parallel::Parallel;

/// Of [`State::door`]: a job can be joined. The bits below count who is at it, those above which job it is.
const OPEN: u64 = 1 << 16;
const INSIDE: u64 = OPEN - 1;
const NEXT_JOB: u64 = OPEN << 1;
/// Looks at the door before others get the processor, which may be the thread that the job waits for.
const LOOKS: u32 = 4_000;

/// A loop that is shared out: on the stack of who called for it, who waits until nobody is at it.
struct Job<'a> {
    work: &'a (dyn Fn(usize) + Sync),
    items: usize,
    next: AtomicUsize,
    /// The first.
    panic: Mutex<Option<Box<dyn Any + Send>>>,
}

impl Job<'_> {
    /// Does items as long as there are some. A panic is kept for who called: it must neither end a helper, nor leave it counted.
    fn run(&self) {
        let items = || {
            loop {
                let item = self.next.fetch_add(1, Relaxed);
                if item >= self.items {
                    return;
                }
                (self.work)(item);
            }
        };
        if let Err(panic) = catch_unwind(AssertUnwindSafe(items)) {
            // Nobody is to begin another.
            self.next.store(self.items, Relaxed);
            self.panic.lock().expect("nothing panics with it").get_or_insert(panic);
        }
    }
}

struct State {
    door: AtomicU64,
    /// The job behind the open door.
    job: AtomicPtr<Job<'static>>,
    /// How many expect jobs, so that helpers stay awake.
    awake: AtomicUsize,
    is_over: AtomicBool,
}

/// The calling thread and some helpers, which last as long as it does.
pub struct Team {
    state: Arc<State>,
    helpers: Vec<JoinHandle<()>>,
    /// Held by who uses the team: one at a time.
    used: Mutex<()>,
}

/// Helpers stay awake as long as this lives.
pub struct Awake<'a>(&'a Team);

impl Team {
    /// Of so many threads, the calling one included.
    ///
    /// # Errors
    /// When the operating system gives no more threads.
    pub fn new(threads: usize) -> io::Result<Self> {
        let state = Arc::new(State {
            door: AtomicU64::new(0),
            job: AtomicPtr::new(std::ptr::null_mut()),
            awake: AtomicUsize::new(0),
            is_over: AtomicBool::new(false),
        });
        // Where one cannot be started, the others end with the team.
        let mut team = Self { state, helpers: Vec::new(), used: Mutex::new(()) };
        for _ in 1..threads {
            let state = team.state.clone();
            let helper = std::thread::Builder::new().name("polylora-team".into());
            team.helpers.push(helper.spawn(move || state.help())?);
        }
        Ok(team)
    }

    /// Wakes the helpers. Jobs are done without it as well, by the calling thread alone.
    pub fn stay_awake(&self) -> Awake<'_> {
        self.state.awake.fetch_add(1, SeqCst);
        self.helpers.iter().for_each(|helper| helper.thread().unpark());
        Awake(self)
    }
}

impl Drop for Awake<'_> {
    fn drop(&mut self) {
        self.0.state.awake.fetch_sub(1, SeqCst);
    }
}

impl Drop for Team {
    fn drop(&mut self) {
        self.state.is_over.store(true, SeqCst);
        for helper in self.helpers.drain(..) {
            helper.thread().unpark();
            helper.join().expect("a helper does not panic");
        }
    }
}

impl State {
    /// A helper's life.
    fn help(&self) {
        let mut seen = 0;
        while !self.is_over.load(Acquire) {
            if self.awake.load(Acquire) == 0 {
                std::thread::park();
                continue;
            }
            for _ in 0..LOOKS {
                let door = self.door.load(Acquire);
                if door & OPEN != 0 && door / NEXT_JOB != seen {
                    seen = door / NEXT_JOB;
                    self.join(door);
                }
                std::hint::spin_loop();
            }
            std::thread::yield_now();
        }
    }

    /// Takes part in the job that was behind the door, if it still is.
    fn join(&self, mut door: u64) {
        let job = door / NEXT_JOB;
        while let Err(now) = self.door.compare_exchange_weak(door, door + 1, AcqRel, Acquire) {
            if now & OPEN == 0 || now / NEXT_JOB != job {
                return;
            }
            door = now;
        }
        // SAFETY: who called for the job waits until nobody is inside.
        unsafe { &*self.job.load(Acquire) }.run();
        self.door.fetch_sub(1, Release);
    }

    /// Closes the door, and waits for those inside.
    fn close(&self) {
        let mut door = self.door.fetch_and(!OPEN, AcqRel) & !OPEN;
        let mut looks = 0;
        while door & INSIDE != 0 {
            looks += 1;
            if looks % LOOKS == 0 {
                std::thread::yield_now();
            }
            std::hint::spin_loop();
            door = self.door.load(Acquire);
        }
    }
}

// SAFETY: the counter gives each item out once; also when an item panics, it is waited until no helper is at the job, and none can
// join it after that.
unsafe impl Parallel for Team {
    /// `work` must not call the same team: it would wait for itself.
    fn for_each(&self, items: usize, work: &(dyn Fn(usize) + Sync)) {
        if items <= 1 || self.helpers.is_empty() {
            return (0..items).for_each(work);
        }
        let _used = self.used.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        let job = Job { work, items, next: AtomicUsize::new(0), panic: Mutex::new(None) };
        let State { door, job: current, .. } = &*self.state;
        current.store(std::ptr::from_ref(&job).cast_mut().cast(), Release);
        let closed = door.load(Relaxed);
        door.store((closed + NEXT_JOB) | OPEN, Release);
        job.run();
        self.state.close();
        if let Some(panic) = job.panic.into_inner().expect("nothing panics with it") {
            resume_unwind(panic);
        }
    }

    fn threads(&self) -> usize {
        self.helpers.len() + 1
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counts(team: &Team, items: usize) -> Vec<usize> {
        let counts: Vec<AtomicUsize> = (0..items).map(|_| AtomicUsize::new(0)).collect();
        team.for_each(items, &|item| {
            counts[item].fetch_add(1, Relaxed);
        });
        counts.into_iter().map(AtomicUsize::into_inner).collect()
    }

    #[test]
    fn each_item_is_done_once_awake_or_not() {
        for threads in [1, 2, 5] {
            let team = Team::new(threads).unwrap();
            for round in 0..2_000 {
                let awake = (round % 3 != 0).then(|| team.stay_awake());
                let items = round % 7;
                assert_eq!(counts(&team, items), vec![1; items]);
                drop(awake);
            }
        }
    }

    #[test]
    fn all_threads_take_part() {
        let team = Team::new(3).unwrap();
        let _awake = team.stay_awake();
        let inside = AtomicUsize::new(0);
        team.for_each(3, &|_| {
            inside.fetch_add(1, SeqCst);
            while inside.load(SeqCst) < 3 {
                std::thread::yield_now();
            }
        });
    }

    #[test]
    fn several_callers_take_turns() {
        let team = Team::new(2).unwrap();
        let _awake = team.stay_awake();
        std::thread::scope(|scope| {
            for _ in 0..3 {
                scope.spawn(|| (0..500).for_each(|_| assert_eq!(counts(&team, 5), vec![1; 5])));
            }
        });
    }

    #[test]
    fn a_panic_reaches_the_caller_and_the_team_goes_on() {
        let team = Team::new(2).unwrap();
        let _awake = team.stay_awake();
        for panicking in 0..4 {
            let failed = catch_unwind(AssertUnwindSafe(|| {
                team.for_each(4, &|item| {
                    std::thread::sleep(std::time::Duration::from_millis(2));
                    assert_ne!(item, panicking);
                });
            }));
            assert!(failed.is_err());
            assert_eq!(counts(&team, 4), vec![1; 4]);
        }
    }
}
