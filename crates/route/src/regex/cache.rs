//! Scratch memory of regex searches, per thread: searches take no lock and share nothing.
//!
//! Every compiled regex owns a slot number; a thread keeps the memory of the slot's engine from one search to the
//! next (the states of a lazy DFA are built as they are met). The sum per thread is bounded: over the limit, all is
//! thrown away and built anew as needed.

use std::cell::RefCell;
use std::sync::{Mutex, PoisonError};

use regex_automata::hybrid::dfa;
use regex_automata::meta;
use regex_automata::nfa::thompson::pikevm;

/// Most bytes that one thread keeps.
const MAX_THREAD_BYTES: usize = 16 << 20;

/// The slot of a compiled regex, unique in the process while it lives.
#[derive(Debug)]
pub(super) struct SlotId {
    slot: u32,
    /// Tells users of a slot apart that follow each other.
    generation: u32,
}

struct Slots {
    next: u32,
    free: Vec<SlotId>,
}

static SLOTS: Mutex<Slots> = Mutex::new(Slots {
    next: 0,
    free: Vec::new(),
});

impl SlotId {
    /// A slot of its own for a newly compiled regex (off the data path).
    pub(super) fn allocate() -> SlotId {
        let mut slots = SLOTS.lock().unwrap_or_else(PoisonError::into_inner);
        slots.free.pop().unwrap_or_else(|| {
            slots.next += 1;
            SlotId {
                slot: slots.next - 1,
                generation: 0,
            }
        })
    }
}

impl Drop for SlotId {
    fn drop(&mut self) {
        let mut slots = SLOTS.lock().unwrap_or_else(PoisonError::into_inner);
        let next = SlotId {
            slot: self.slot,
            generation: self.generation.wrapping_add(1),
        };
        slots.free.push(next);
    }
}

/// An engine's memory.
pub(super) enum Memory {
    /// Of a lazy DFA.
    Lazy(Box<dfa::Cache>),
    /// Of a regex with captures.
    Meta(Box<meta::Cache>),
}

impl Memory {
    fn bytes(&self) -> usize {
        match self {
            Memory::Lazy(cache) => cache.memory_usage(),
            Memory::Meta(cache) => cache.memory_usage(),
        }
    }
}

#[derive(Default)]
struct Entry {
    generation: u32,
    memory: Option<Memory>,
    /// Bytes of `memory` that are counted in the sum.
    bytes: usize,
}

#[derive(Default)]
struct ThreadCaches {
    entries: Vec<Entry>,
    bytes: usize,
}

thread_local! {
    static CACHES: RefCell<ThreadCaches> = RefCell::default();
    /// The slow engine's memory, reset for each use: it runs only where a lazy DFA gave up.
    static PIKE: RefCell<Option<pikevm::Cache>> = const { RefCell::new(None) };
}

impl SlotId {
    /// Runs `search` with this slot's memory on this thread, made by `new` if need be.
    #[inline]
    pub(super) fn with<R>(
        &self,
        new: impl FnOnce() -> Memory,
        search: impl FnOnce(&mut Memory) -> R,
    ) -> R {
        CACHES.with(|caches| {
            let caches = &mut *caches.borrow_mut();
            let index = self.slot as usize;
            if index >= caches.entries.len() {
                caches.entries.resize_with(index + 1, Entry::default);
            }
            let entry = &mut caches.entries[index];
            if entry.generation != self.generation {
                entry.generation = self.generation;
                entry.memory = None;
            }
            let memory = entry.memory.get_or_insert_with(new);
            let result = search(memory);
            let bytes = memory.bytes();
            if bytes != entry.bytes {
                caches.bytes = caches.bytes - entry.bytes + bytes;
                entry.bytes = bytes;
                if caches.bytes > MAX_THREAD_BYTES {
                    *caches = ThreadCaches::default();
                }
            }
            result
        })
    }
}

/// Runs `search` with memory for `vm`.
pub(super) fn with_pike<R>(vm: &pikevm::PikeVM, search: impl FnOnce(&mut pikevm::Cache) -> R) -> R {
    PIKE.with(|cache| {
        let cache = &mut *cache.borrow_mut();
        let cache = match cache {
            Some(cache) => {
                cache.reset(vm);
                cache
            }
            none => none.insert(vm.create_cache()),
        };
        search(cache)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use regex_automata::meta::Regex;

    #[test]
    fn a_slot_is_reused_with_fresh_memory() {
        let regex = Regex::new("a").unwrap();
        let new = || Memory::Meta(Box::new(regex.create_cache()));
        let first = SlotId::allocate();
        let slot = first.slot;
        first.with(new, |_| ());
        drop(first);
        let second = SlotId::allocate();
        // Another test may have taken the free slot in between.
        if second.slot == slot {
            let mut made = false;
            second.with(
                || {
                    made = true;
                    new()
                },
                |_| (),
            );
            assert!(made);
        }
    }
}
