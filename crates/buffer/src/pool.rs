//! The per-thread pool of buffer storage.

use std::cell::RefCell;

/// Capacities (bytes) that the pool keeps. Each is four times the one before, so a buffer that
/// grows copies its bytes at most three times before it leaves the pool's range.
const CLASSES: [usize; 4] = [1 << 10, 4 << 10, 16 << 10, 64 << 10];

/// How many free vectors are kept per class: at most 512 KiB + 1 MiB + 1 MiB + 1 MiB a thread.
const KEEP: [usize; 4] = [512, 256, 64, 16];

/// The largest capacity (bytes) that is pooled; larger storage is freed when released.
pub const MAX_POOLED: usize = CLASSES[CLASSES.len() - 1];

struct Pool {
    free: [Vec<Vec<u8>>; CLASSES.len()],
}

thread_local! {
    static POOL: RefCell<Pool> = const { RefCell::new(Pool { free: [const { Vec::new() }; CLASSES.len()] }) };
}

/// An empty vector of at least `min` bytes of capacity.
pub(crate) fn take(min: usize) -> Vec<u8> {
    let Some(class) = CLASSES.iter().position(|&size| size >= min) else {
        return Vec::with_capacity(min.next_power_of_two());
    };
    // The thread may be ending (its pool is gone) while a buffer still grows.
    POOL.try_with(|pool| pool.borrow_mut().free[class].pop())
        .ok()
        .flatten()
        .unwrap_or_else(|| Vec::with_capacity(CLASSES[class]))
}

/// Gives storage back. What fits no class, or finds its class full, is freed.
pub(crate) fn give(mut storage: Vec<u8>) {
    let Some(class) = CLASSES.iter().position(|&size| size == storage.capacity()) else {
        return;
    };
    storage.clear();
    // An error means that the thread is ending; the closure, and with it the storage, is dropped.
    let _ = POOL.try_with(move |pool| {
        let free = &mut pool.borrow_mut().free[class];
        if free.len() < KEEP[class] {
            free.push(storage);
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn storage_is_reused() {
        let storage = take(700);
        assert_eq!(storage.capacity(), 1 << 10);
        let place = storage.as_ptr();
        give(storage);
        let again = take(1);
        assert_eq!(again.as_ptr(), place);
    }

    #[test]
    fn large_and_odd_sizes_are_not_kept() {
        give(Vec::with_capacity(3000));
        assert_eq!(take(2000).capacity(), 4 << 10);
        assert_eq!(take(MAX_POOLED + 1).capacity(), 2 * MAX_POOLED);
    }

    #[test]
    fn the_pool_is_bounded() {
        for _ in 0..2 * KEEP[3] {
            give(Vec::with_capacity(CLASSES[3]));
        }
        let kept = POOL.with(|pool| pool.borrow().free[3].len());
        assert_eq!(kept, KEEP[3]);
    }
}
