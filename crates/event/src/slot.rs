//! Thread-local slots: what each worker sees of a value that the main thread owns.

use std::any::Any;
use std::cell::RefCell;
use std::fmt;
use std::marker::PhantomData;
use std::rc::Rc;
use std::sync::{Arc, Mutex, PoisonError};

use crate::dispatcher::Dispatchers;

thread_local! {
    static VALUES: RefCell<Vec<Option<Entry>>> = const { RefCell::new(Vec::new()) };
}

struct Entry {
    /// Tells this owner of the index from an earlier one whose removal may still be on its way.
    serial: u64,
    value: Rc<dyn Any>,
}

/// A value per worker, set from the main thread and read on the worker without lock or hash.
///
/// Clones share the slot. When the last clone is dropped, every worker frees its value.
pub struct Slot<T> {
    inner: Arc<Inner>,
    // `fn() -> T`: the handle itself holds no T, so it is Send and Sync whatever T is.
    value: PhantomData<fn() -> T>,
}

struct Inner {
    index: usize,
    serial: u64,
    workers: Dispatchers,
}

impl<T: 'static> Slot<T> {
    /// A slot on `workers`, empty everywhere.
    pub fn new(workers: &Dispatchers) -> Self {
        let (index, serial) = allocate_index();
        Self {
            inner: Arc::new(Inner {
                index,
                serial,
                workers: workers.clone(),
            }),
            value: PhantomData,
        }
    }

    /// Gives every worker the value that `make` returns for its index. `make` runs on the worker,
    /// so `T` need not be `Send`. A worker sees the new value after what was posted to it before;
    /// one that has ended is passed over.
    pub fn set(&self, make: impl Fn(usize) -> T + Send + Sync + 'static) {
        let (index, serial) = (self.inner.index, self.inner.serial);
        // A worker that has ended needs no value: nothing runs there that could read it.
        let _ = self.inner.workers.post_all(move |context| {
            store(index, serial, Rc::new(make(context.index())));
        });
    }

    /// Sets the value on the calling thread, at once.
    pub fn set_here(&self, value: T) {
        store(self.inner.index, self.inner.serial, Rc::new(value));
    }

    /// The value of the calling thread.
    ///
    /// # Panics
    /// When it was never set on this thread, which is a mistake in the order of start-up.
    #[inline]
    pub fn get(&self) -> Rc<T> {
        match self.try_get() {
            Some(value) => value,
            None => panic!(
                "slot of {} is not set on this thread",
                std::any::type_name::<T>()
            ),
        }
    }

    /// The value of the calling thread, if it is set.
    #[inline]
    pub fn try_get(&self) -> Option<Rc<T>> {
        // `try_with`: a destructor may ask while the thread ends.
        let found = VALUES.try_with(|values| {
            let values = values.borrow();
            let entry = values.get(self.inner.index)?.as_ref()?;
            if entry.serial != self.inner.serial {
                return None;
            }
            Rc::clone(&entry.value).downcast().ok()
        });
        found.ok().flatten()
    }
}

impl<T> Clone for Slot<T> {
    fn clone(&self) -> Self {
        Self {
            inner: Arc::clone(&self.inner),
            value: PhantomData,
        }
    }
}

impl<T> fmt::Debug for Slot<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Slot")
            .field("index", &self.inner.index)
            .finish_non_exhaustive()
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        let (index, serial) = (self.index, self.serial);
        clear(index, serial);
        // An ended worker has dropped its values with its thread.
        let _ = self.workers.post_all(move |_| clear(index, serial));
        // Only now may the index be used again: every `set` of its next owner is posted after the
        // removal, and the serial guards what is set directly.
        release_index(index);
    }
}

fn store(index: usize, serial: u64, value: Rc<dyn Any>) {
    let old = VALUES.with_borrow_mut(|values| {
        if values.len() <= index {
            values.resize_with(index + 1, || None);
        }
        values[index].replace(Entry { serial, value })
    });
    // Dropped after the borrow: the old value's drop may use slots itself.
    drop(old);
}

fn clear(index: usize, serial: u64) {
    // `try_with`: a slot may be dropped by the destructor of another thread-local value.
    let old = VALUES.try_with(|values| {
        let mut values = values.borrow_mut();
        let place = values.get_mut(index)?;
        place.take_if(|entry| entry.serial == serial)
    });
    drop(old);
}

struct Indexes {
    free: Vec<usize>,
    next: usize,
    serial: u64,
}

// Touched when a slot is made or dropped, never on the data path.
static INDEXES: Mutex<Indexes> = Mutex::new(Indexes {
    free: Vec::new(),
    next: 0,
    serial: 0,
});

fn allocate_index() -> (usize, u64) {
    let mut indexes = INDEXES.lock().unwrap_or_else(PoisonError::into_inner);
    indexes.serial += 1;
    let serial = indexes.serial;
    let index = indexes.free.pop().unwrap_or_else(|| {
        indexes.next += 1;
        indexes.next - 1
    });
    (index, serial)
}

fn release_index(index: usize) {
    INDEXES
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .free
        .push(index);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slot_is_local_and_freed() {
        let slot: Slot<Rc<u32>> = Slot::new(&Dispatchers::none());
        assert!(slot.try_get().is_none());
        let value = Rc::new(7);
        slot.set_here(Rc::clone(&value));
        assert_eq!(**slot.get(), 7);
        let other = slot.clone();
        std::thread::spawn(move || assert!(other.try_get().is_none()))
            .join()
            .unwrap();
        assert_eq!(Rc::strong_count(&value), 2);
        drop(slot);
        assert_eq!(Rc::strong_count(&value), 1);
    }

    #[test]
    fn an_index_used_again_does_not_show_the_old_value() {
        let first: Slot<u32> = Slot::new(&Dispatchers::none());
        first.set_here(1);
        let (index, serial) = (first.inner.index, first.inner.serial);
        drop(first);
        store(index, serial, Rc::new(1_u32));
        let second: Slot<u32> = Slot {
            inner: Arc::new(Inner {
                index,
                serial: serial + 1_000_000,
                workers: Dispatchers::none(),
            }),
            value: PhantomData,
        };
        assert!(second.try_get().is_none());
        second.set_here(2);
        clear(index, serial);
        assert_eq!(
            *second.get(),
            2,
            "a late removal must not hit the new owner"
        );
        std::mem::forget(second);
    }
}
