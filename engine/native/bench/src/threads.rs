//! A team that stays awake between calls: a kernel is measured as it runs in the product, where starting a parallel loop takes a
//! microsecond and no system call.

use polylora_kernels::team::Team;

/// Starts the helpers, lets `body` use them, and ends them: beyond it, they take no time from others.
pub fn with_spinning_threads<R>(threads: usize, body: impl FnOnce(&Team) -> R) -> R {
    let team = Team::new(threads).expect("the operating system gives threads");
    let _awake = team.stay_awake();
    body(&team)
}
