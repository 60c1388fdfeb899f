//! The thread that writes all log files.

use std::sync::{Arc, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::file::LogFile;
use crate::manager::{FilesystemStats, Shared, State};

/// What one pass has to do.
struct Orders {
    files: Vec<Arc<LogFile>>,
    /// Buffers below this many bytes are left alone.
    threshold: usize,
    by_timer: bool,
    reopen: bool,
    /// The pass to be reported as complete.
    pass: u64,
    stop: bool,
}

/// Writes until it is told to stop. Real time is right here: nothing but the age of a buffer depends on it.
pub(crate) fn run(shared: &Shared) {
    let stats = shared.stats.local();
    let mut spare = Vec::new();
    let mut next_flush = Instant::now() + shared.options.interval;
    loop {
        let orders = wait(shared, &mut next_flush);
        for file in &orders.files {
            if orders.by_timer {
                stats.inc(FilesystemStats::FLUSHED_BY_TIMER);
            }
            file.drain(orders.threshold, &mut spare);
            if orders.reopen {
                file.reopen();
            }
        }
        drop(orders.files);
        let mut state = shared.state();
        close_unused(&mut state, &mut spare);
        state.completed = state.completed.max(orders.pass);
        if orders.stop {
            state.ended = true;
            // Files hold what holds them: without this, neither would ever be freed.
            state.files.clear();
        }
        drop(state);
        shared.done.notify_all();
        if orders.stop {
            return;
        }
    }
}

/// Sleeps until there is something to do.
fn wait(shared: &Shared, next_flush: &mut Instant) -> Orders {
    let mut state = shared.state();
    loop {
        let now = Instant::now();
        let by_timer = now >= *next_flush;
        if by_timer {
            *next_flush = now + shared.options.interval;
        }
        if by_timer || state.large || state.reopen || state.stop || state.asked > state.completed {
            let large = std::mem::take(&mut state.large);
            let reopen = std::mem::take(&mut state.reopen);
            let everything = by_timer || reopen || state.stop || state.asked > state.completed;
            let only_large = large && !everything;
            return Orders {
                files: state.files.values().cloned().collect(),
                threshold: if only_large {
                    shared.options.min_size
                } else {
                    0
                },
                by_timer,
                reopen,
                pass: if everything {
                    state.asked
                } else {
                    state.completed
                },
                stop: state.stop,
            };
        }
        state = sleep(shared, state, *next_flush - now);
    }
}

fn sleep<'a>(
    shared: &'a Shared,
    state: MutexGuard<'a, State>,
    time: Duration,
) -> MutexGuard<'a, State> {
    let woken = shared.work.wait_timeout(state, time);
    woken.unwrap_or_else(PoisonError::into_inner).0
}

/// Forgets files that only the manager still holds. Under its lock nobody can open them again meanwhile.
fn close_unused(state: &mut State, spare: &mut Vec<u8>) {
    state.files.retain(|_, file| {
        let used = Arc::strong_count(file) > 1;
        if !used {
            file.drain(0, spare);
        }
        used
    });
}
