//! Which streams of a connection were woken.
//!
//! All streams of a connection are driven by its one task. Each slot has a waker of its own, made once; waking it marks the
//! slot in a tree of bits and wakes the task. So a round costs what woke up, not what exists.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Wake, Waker};

use atomic_waker::AtomicWaker;

const BITS: usize = u64::BITS as usize;

/// What all slots of a connection share.
#[derive(Default)]
struct Root {
    /// A bit is set when some slot of its groups may be woken; group `g` has bit `g % 64`.
    groups: AtomicU64,
    task: AtomicWaker,
}

/// 64 slots.
struct Group {
    root: Arc<Root>,
    /// In [`Root::groups`].
    bit: u64,
    slots: AtomicU64,
}

/// Wakes one slot.
struct SlotWaker {
    group: Arc<Group>,
    bit: u64,
}

impl Wake for SlotWaker {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        let group = &*self.group;
        group.slots.fetch_or(self.bit, Ordering::AcqRel);
        // Whoever set the first bit has woken the task, and the task has not looked since.
        if group.root.groups.fetch_or(group.bit, Ordering::AcqRel) == 0 {
            group.root.task.wake();
        }
    }
}

/// The slots of a connection that were woken since the task last looked.
#[derive(Default)]
pub(super) struct ReadySet {
    root: Arc<Root>,
    groups: Vec<Arc<Group>>,
}

impl ReadySet {
    /// A waker for a slot. Make it once and keep it.
    pub(super) fn waker(&mut self, slot: u32) -> Waker {
        let index = slot as usize;
        while self.groups.len() <= index / BITS {
            self.groups.push(Arc::new(Group {
                root: self.root.clone(),
                bit: 1 << (self.groups.len() % BITS),
                slots: AtomicU64::new(0),
            }));
        }
        Waker::from(Arc::new(SlotWaker {
            group: self.groups[index / BITS].clone(),
            bit: 1 << (index % BITS),
        }))
    }

    /// The task that is to be woken with the next slot. To be called before [`ReadySet::take`].
    pub(super) fn register(&self, task: &Waker) {
        self.root.task.register(task);
    }

    /// Gives each woken slot to `found`, once.
    pub(super) fn take(&self, mut found: impl FnMut(u32)) {
        if self.root.groups.load(Ordering::Acquire) == 0 {
            return;
        }
        let mut bits = self.root.groups.swap(0, Ordering::AcqRel);
        while bits != 0 {
            let first = bits.trailing_zeros() as usize;
            bits &= bits - 1;
            for group in (first..self.groups.len()).step_by(BITS) {
                let mut slots = self.groups[group].slots.swap(0, Ordering::AcqRel);
                while slots != 0 {
                    found((group * BITS) as u32 + slots.trailing_zeros());
                    slots &= slots - 1;
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicUsize;

    use super::*;

    #[derive(Default)]
    struct Count(AtomicUsize);

    impl Wake for Count {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn taken(set: &ReadySet) -> Vec<u32> {
        let mut slots = Vec::new();
        set.take(|slot| slots.push(slot));
        slots
    }

    #[test]
    fn woken_slots_are_found_once() {
        let mut set = ReadySet::default();
        let far = 64 * 64 + 7;
        let wakers: Vec<_> = [0, 3, 63, 64, far]
            .into_iter()
            .map(|slot| set.waker(slot))
            .collect();
        assert!(taken(&set).is_empty());
        wakers[4].wake_by_ref();
        wakers[3].wake_by_ref();
        wakers[1].wake_by_ref();
        wakers[1].wake_by_ref();
        assert_eq!(taken(&set), [3, far, 64]);
        assert!(taken(&set).is_empty());
    }

    #[test]
    fn the_task_is_woken_by_the_first_slot_only() {
        let task = Arc::new(Count::default());
        let mut set = ReadySet::default();
        let wakers = [set.waker(1), set.waker(200)];
        set.register(&Waker::from(task.clone()));
        wakers[0].wake_by_ref();
        wakers[1].wake_by_ref();
        assert_eq!(task.0.load(Ordering::Relaxed), 1);
        set.register(&Waker::from(task.clone()));
        assert_eq!(taken(&set), [1, 200]);
        wakers[1].wake_by_ref();
        assert_eq!(task.0.load(Ordering::Relaxed), 2);
    }

    struct Unpark(std::thread::Thread);

    impl Wake for Unpark {
        fn wake(self: Arc<Self>) {
            self.0.unpark();
        }
    }

    /// A lost wake would leave both threads waiting for each other.
    #[test]
    fn no_wake_of_another_thread_is_lost() {
        let mut set = ReadySet::default();
        let wakers: Vec<_> = (0..8).map(|slot| set.waker(slot * 40)).collect();
        let (seen, acknowledged) = std::sync::mpsc::channel();
        let turns = 20_000;
        let thread = std::thread::spawn(move || {
            for turn in 0..turns {
                wakers[turn % wakers.len()].wake_by_ref();
                assert_eq!(acknowledged.recv(), Ok(turn % wakers.len() * 40));
            }
        });
        let task = Waker::from(Arc::new(Unpark(std::thread::current())));
        let mut found = 0;
        while found < turns {
            set.register(&task);
            let before = found;
            set.take(|slot| {
                found += 1;
                seen.send(slot as usize).unwrap();
            });
            if found == before {
                std::thread::park();
            }
        }
        thread.join().unwrap();
    }
}
