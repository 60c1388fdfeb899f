//! How many connections may be open at once, counted over all workers.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use nuncio_sdk::runtime::RuntimeInteger;

/// A number of places. What all workers must agree on is a shared atomic (design §2).
#[derive(Debug)]
pub(crate) struct Limit {
    /// [`u64::MAX`]: no limit.
    max: RuntimeInteger,
    taken: AtomicU64,
}

/// A place that was taken; dropping it gives it back.
#[derive(Debug)]
pub(crate) struct Permit(Option<Arc<Limit>>);

impl Limit {
    /// So many places as are wanted at the moment when one is taken.
    pub(crate) fn new(max: RuntimeInteger) -> Arc<Self> {
        Arc::new(Self {
            max,
            taken: AtomicU64::new(0),
        })
    }

    /// Takes a place; `None` when all are taken.
    pub(crate) fn take(self: &Arc<Self>) -> Option<Permit> {
        let max = self.max.get();
        if max == u64::MAX && self.max.is_fixed() {
            // There will never be a limit: nothing needs to be counted.
            return Some(Permit(None));
        }
        let more = |taken| (taken < max).then_some(taken + 1);
        self.taken
            .try_update(Ordering::Relaxed, Ordering::Relaxed, more)
            .ok()
            .map(|_| Permit(Some(Arc::clone(self))))
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        if let Some(limit) = &self.0 {
            limit.taken.fetch_sub(1, Ordering::Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_limited_and_given_back() {
        let limit = Limit::new(RuntimeInteger::fixed(2));
        let first = limit.take();
        let _second = limit.take().unwrap();
        assert!(limit.take().is_none());
        drop(first);
        assert!(limit.take().is_some());
        assert!(Limit::new(RuntimeInteger::fixed(0)).take().is_none());
        let unlimited = Limit::new(RuntimeInteger::fixed(u64::MAX));
        assert!(unlimited.take().is_some());
    }
}
