//! Which block of a group the calling thread writes.

use std::cell::Cell;
use std::sync::atomic::{AtomicU32, Ordering};

/// First number of threads that did not register: far above any count of workers.
const FIRST_UNREGISTERED: u32 = 1 << 16;

static NEXT_UNREGISTERED: AtomicU32 = AtomicU32::new(FIRST_UNREGISTERED);

thread_local! {
    static SHARD: Cell<Option<u32>> = const { Cell::new(None) };
}

/// Makes the calling thread the writer of shard `index`.
pub(crate) fn register(index: u32) {
    SHARD.set(Some(index));
}

/// The calling thread's shard. A thread that never registered gets one that nobody else has: two threads must not
/// write one block, because an increment is a load and a store.
pub(crate) fn shard() -> u32 {
    SHARD.get().unwrap_or_else(|| {
        let index = NEXT_UNREGISTERED.fetch_add(1, Ordering::Relaxed);
        SHARD.set(Some(index));
        index
    })
}
